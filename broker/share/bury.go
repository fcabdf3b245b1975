package share

import (
	"context"
	"strconv"
	"time"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/wire/batch"
	"sluice/wire/kerr"
)

// DeadLetters keeps the dead letters of share groups. The methods block; errors are *kerr.Error, and one that is not retriable is for ever.
type DeadLetters interface {
	// Open finds the topic for a group's dead letters, or creates it if that is allowed, and returns the largest batch it takes.
	Open(ctx context.Context, name string) (bytesMax int, err error)
	// Append makes a batch durable in the partition of the topic that belongs to a source partition.
	Append(ctx context.Context, name string, source int32, records []byte) error
}

// Headers of a dead letter, in this order.
const (
	headerTopic     = "__dlq.errors.topic"
	headerPartition = "__dlq.errors.partition"
	headerOffset    = "__dlq.errors.offset"
	headerGroup     = "__dlq.errors.group"
	headerCount     = "__dlq.errors.delivery.count"
	headerMessage   = "__dlq.errors.message"
)

// sourceBytes is how much is read of the log at once for the records that letters are to hold.
const sourceBytes = 1 << 20

// buryLocked begins to write dead letters, if there are any to be written. One burial is under way at a time.
func (sp *part) buryLocked() {
	if sp.mu.burying {
		return
	}
	if g, ok := sp.mu.w.nextGrave(); ok {
		sp.mu.burying = true
		sp.aside(func(ctx context.Context) { sp.bury(ctx, g) })
	}
}

// bury writes the dead letters of a run, for as long as it takes. Those that can never be written are counted and given up.
func (sp *part) bury(ctx context.Context, g grave) {
	d := dirge{part: sp, grave: g, next: g.first}
	for d.next <= g.last && ctx.Err() == nil {
		err := d.round(ctx)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return // whoever loads the share partition next goes on
		}
		if kerr.CodeOf(err).Retriable() {
			sp.m.log.Info("cannot write dead letters, trying again", "key", sp.key, "from", d.next, "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(retryDelay):
			}
			continue
		}
		sp.m.log.Warn("dead letters can not be written, the records are archived without", "key", sp.key, "from", d.next, "to", g.last, "error", err)
		sp.m.metrics.letters.WithLabelValues("failed").Add(float64(g.last - d.next + 1))
		d.done(g.last)
	}
	sp.mu.Lock()
	sp.mu.burying = false
	sp.changedLocked()
	gone := sp.mu.retiring && sp.mu.failure == nil && sp.quietLocked()
	sp.mu.Unlock()
	if gone {
		sp.m.forget(sp)
	}
}

// dirge is the burial of a run on its way.
type dirge struct {
	*part
	grave
	next    base.Offset                  // whose letter comes next
	sources map[base.Offset]batch.Record // what was read of the log, if letters are to hold it
	read    base.Offset                  // up to which it was read
}

// round writes one batch of letters.
func (d *dirge) round(ctx context.Context) error {
	g := d.m.opt.Group(d.key.Group)
	if g.DeadTopic == "" || d.m.opt.Dead == nil {
		return kerr.Errorf(kerr.InvalidConfig, "the group has no topic for dead letters any more")
	}
	bytesMax, err := d.m.opt.Dead.Open(ctx, g.DeadTopic)
	if err != nil {
		return err
	}
	if g.DeadCopy && d.next >= d.read {
		if err := d.readSources(ctx); err != nil {
			return err
		}
	}
	records, last := d.letters(bytesMax, g.DeadCopy)
	_, _, index := d.p.ID()
	if err := d.m.opt.Dead.Append(ctx, g.DeadTopic, index, records); err != nil {
		return err
	}
	d.m.metrics.letters.WithLabelValues("written").Add(float64(last - d.next + 1))
	d.done(last)
	return nil
}

// done archives the records up to last.
func (d *dirge) done(last base.Offset) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.failure == nil {
		d.mu.w.buried(grave{first: d.next, last: last})
		d.changedLocked()
	}
	d.next = last + 1
}

// letters builds the next batch of letters, at least one, and returns the offset of the last record that has one in it.
func (d *dirge) letters(bytesMax int, copied bool) (records []byte, last base.Offset) {
	b := batch.NewBuilder(batch.Options{})
	now := d.m.opt.Now().UnixMilli()
	end := d.last
	if copied {
		end = min(end, max(d.next, d.read-1))
	}
	for at := d.next; at <= end; at++ {
		r := d.letter(at, now)
		if b.NumRecords() > 0 && b.Size()+letterBytes(r) > bytesMax {
			break
		}
		if b.Size()+letterBytes(r) > bytesMax {
			r.Key, r.Value = nil, nil // too large for the topic: its place says where it is
		}
		b.Add(r)
		last = at
	}
	return b.Bytes(), last
}

func (d *dirge) letter(at base.Offset, nowMS int64) batch.Record {
	_, name, index := d.p.ID()
	r := batch.Record{Timestamp: nowMS, Key: d.sources[at].Key, Value: d.sources[at].Value}
	for _, h := range [...][2]string{
		{headerTopic, name}, {headerPartition, strconv.Itoa(int(index))}, {headerOffset, strconv.FormatInt(int64(at), 10)},
		{headerGroup, d.key.Group}, {headerCount, strconv.Itoa(int(d.count))}, {headerMessage, d.cause.String()},
	} {
		r.Headers = append(r.Headers, batch.Header{Key: h[0], Value: []byte(h[1])})
	}
	return r
}

// letterBytes is an upper bound of what a record takes in a batch.
func letterBytes(r batch.Record) int {
	const varint = 5
	n := 1 + 7*varint + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += 2*varint + len(h.Key) + len(h.Value)
	}
	return n
}

// readSources reads the records from next on. What is not there any more is left out.
func (d *dirge) readSources(ctx context.Context) error {
	d.sources = map[base.Offset]batch.Record{}
	logStart, hw, _, _ := d.p.Bounds()
	from := max(d.next, logStart)
	d.read = d.last + 1
	if from > d.last || from >= hw {
		return nil // all are deleted
	}
	res, err := d.m.read(ctx, d.p, partition.ReadRequest{
		From: from, MaxBytes: sourceBytes, MinOne: true, Isolation: partition.ReadUncommitted, LeaderEpoch: partition.NoEpoch, LastEpoch: partition.NoEpoch,
	})
	if err != nil {
		d.read = d.next
		return asKerr(err)
	}
	if res.Chunk == nil {
		return nil
	}
	defer res.Chunk.Release()
	d.read = min(d.read, max(base.Offset(res.Chunk.End), d.next+1))
	for _, seg := range res.Chunk.Segments {
		for b, err := range batch.All(seg) {
			if err == nil {
				err = d.keep(b)
			}
			if err != nil {
				d.m.log.Warn("cannot read the records of dead letters", "key", d.key, "from", from, "error", err)
				return nil
			}
		}
	}
	return nil
}

// keep copies the records of a batch that letters are to hold.
func (d *dirge) keep(b batch.Batch) error {
	if b.IsControl() || base.Offset(b.LastOffset()) < d.next || base.Offset(b.BaseOffset()) > d.last {
		return nil
	}
	for r, err := range b.Records(batch.Shared) {
		if err != nil {
			return err
		}
		if at := base.Offset(b.BaseOffset() + int64(r.OffsetDelta)); at >= d.next && at <= d.last {
			d.sources[at] = batch.Record{Key: cloned(r.Key), Value: cloned(r.Value)}
		}
	}
	return nil
}

// cloned copies bytes; null stays null.
func cloned(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}
