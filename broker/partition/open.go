package partition

import (
	"context"
	"fmt"
	"iter"
	"time"

	"sluice/base"
	"sluice/storage/stream"
	"sluice/wire/batch"
)

// Open makes the partition of two streams that this node has just opened: it loads the last producer snapshot, replays the data behind
// it, and returns a partition that is ready to serve. All of both streams is durable at this point, so HW is the end.
func Open(ctx context.Context, opt Options) (*Partition, error) {
	opt = opt.withDefaults()
	snap, metaKeep, err := loadSnapshot(ctx, opt)
	if err != nil {
		return nil, fmt.Errorf("load producer snapshot of %s-%d: %w", opt.Name, opt.Index, err)
	}
	p := &Partition{opt: opt, room: roomOf(opt.Data), closing: make(chan struct{})}
	p.durable = p.onDurable
	p.config.Store(opt.Config)
	p.mu.producers = snap.state
	p.mu.metaKeep, p.mu.covered = metaKeep, snap.end
	if err := p.replay(ctx, snap.end); err != nil {
		return nil, fmt.Errorf("replay %s-%d: %w", opt.Name, opt.Index, err)
	}
	p.mu.next = opt.Data.Next()
	p.mu.hw = p.mu.next
	p.mu.lso = p.mu.producers.stable(p.mu.hw)
	return p, nil
}

// loadSnapshot returns the last complete snapshot, or an empty state at the start of the data, and where in the meta stream it starts. Nearly
// always that is the very last record; older ones are read only where it is not.
func loadSnapshot(ctx context.Context, opt Options) (r snapshotReader, keep base.Offset, err error) {
	from, end := opt.Meta.Start(), opt.Meta.Next()
	if end-1 > from {
		if keep, err = readSnapshots(ctx, opt, &r, end-1); err != nil {
			return r, 0, err
		}
	}
	if r.state == nil {
		r = snapshotReader{}
		if keep, err = readSnapshots(ctx, opt, &r, from); err != nil {
			return r, 0, err
		}
	}
	start, next := opt.Data.Start(), opt.Data.Next()
	if r.state != nil && r.end > next {
		// The snapshot was appended behind the data it covers; data that is gone although the snapshot survived was lost.
		return r, 0, base.Errorf(base.Corrupt, "the snapshot covers offsets up to %d, the data ends at %d", r.end, next)
	}
	if r.state == nil {
		r.state, r.end = newProducers(), start
	}
	r.end = max(r.end, start)
	r.state.trim(start)
	return r, keep, nil
}

// readSnapshots feeds the meta stream from offset from on to r, and returns where the last complete snapshot starts.
func readSnapshots(ctx context.Context, opt Options, r *snapshotReader, from base.Offset) (keep base.Offset, err error) {
	end := opt.Meta.Next()
	keep, first := from, from
	for from < end {
		c, err := opt.Meta.Read(ctx, from, end, opt.ReplayBytes, true)
		if err != nil {
			return 0, err
		}
		if c == nil || c.End <= from {
			return 0, base.Errorf(base.Corrupt, "meta stream ends at %d, not at %d", from, end)
		}
		at := c.Start
		for b, err := range snapshotParts(c) {
			if err == nil {
				err = r.add(b)
			}
			if err != nil {
				c.Release()
				return 0, fmt.Errorf("meta stream offset %d: %w", at, err)
			}
			if r.began {
				first = at
			}
			if r.ended {
				keep = first
			}
			at++
		}
		from = c.End
		c.Release()
	}
	return keep, nil
}

// replay applies the batches from offset from to the end to the producer state.
func (p *Partition) replay(ctx context.Context, from base.Offset) error {
	began, first := time.Now(), from
	end, now := p.opt.Data.Next(), p.opt.Now().UnixMilli()
	for from < end {
		c, err := p.opt.Data.Read(ctx, from, end, p.opt.ReplayBytes, true)
		if err != nil {
			return err
		}
		if c == nil || c.End <= from {
			return base.Errorf(base.Corrupt, "data stream ends at %d, not at %d", from, end)
		}
		for b, err := range batches(c) {
			if err != nil {
				c.Release()
				return err
			}
			// The first batch may begin below from: then the snapshot has it. A control batch without a record is what is left of a transaction
			// that was compacted away.
			if i := infoOf(b); i.producerID >= 0 && i.base >= from && (i.marker || !b.IsControl()) {
				p.mu.producers.apply(&i, now)
			}
			p.mu.sinceSnapshot += int64(len(b.Bytes()))
			p.mu.batchesSince++
		}
		from = c.End
		c.Release()
	}
	if d := time.Since(began); d > time.Second {
		p.opt.Logger.Info("replayed", "topic", p.opt.Name, "partition", p.opt.Index, "offsets", base.OffsetRange{Start: first, End: end}, "took", d)
	}
	return nil
}

// snapshotParts yields the records of a chunk of a meta stream.
func snapshotParts(c *stream.Chunk) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, seg := range c.Segments {
			for len(seg) > 0 {
				part, rest, err := cutSnapshotPart(seg)
				if !yield(part, err) || err != nil {
					return
				}
				seg = rest
			}
		}
	}
}

// batches yields the record batches of a chunk.
func batches(c *stream.Chunk) iter.Seq2[batch.Batch, error] {
	return func(yield func(batch.Batch, error) bool) {
		for _, seg := range c.Segments {
			for len(seg) > 0 {
				b, rest, err := batch.Parse(seg)
				if err != nil {
					yield(b, base.Wrap(base.Corrupt, err))
					return
				}
				if !yield(b, nil) {
					return
				}
				seg = rest
			}
		}
	}
}
