package clean

import (
	"context"
	"errors"
	"time"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/cluster/meta"
	"sluice/storage/compact"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
	"sluice/storage/stream"
	"sluice/wire/batch"
)

// passSettings are the dynamic settings of a pass.
type passSettings struct {
	mapBytes  int64
	load      float64
	bandwidth *compact.Bandwidth // of log.cleaner.io.max.bytes.per.second; nil: no limit
}

// againMax is how often a pass begins a group of ranges anew because an object of it was replaced meanwhile.
const againMax = 10

// pass is one pass over one partition:
//
//	cover   the producer state of everything below the end is made durable in the meta stream: no batch is needed for it any more
//	map     the dirty part is read into the key map, as far as that has room: to end
//	filter  the log is read from its start to end, group of ranges by group; a group of which something goes is written anew, and replaced by a commit
//	mark    the image learns how far the log is clean now, with the last commit or with one that changes nothing else
//
// Groups are replaced in ascending order, and one that cannot be ends the pass: a tombstone may go only when all that it deleted is gone.
type pass struct {
	c        *Compactor
	p        *partition.Partition
	stream   base.StreamID
	settings passSettings
	dirt     dirt
	env      *compact.Env

	end     base.Offset // of what the key map knows
	filter  filter
	marked  base.Offset // the image knows that the log is clean up to here
	clean   base.Offset // it is
	written int64       // record bytes in replaced groups
	read    int64
}

// clean does one pass over a partition, as long as that is led here.
func (c *Compactor) clean(ctx context.Context, j job, settings passSettings) {
	ctx, cancel := context.WithCancel(driver.WithPurpose(ctx, driver.PurposeClean))
	defer cancel()
	go func() {
		select {
		case <-j.p.Closing():
			cancel()
		case <-ctx.Done():
		}
	}()
	ps, err := &pass{}, error(nil)
	began := time.Now()
	for again := true; again && err == nil; {
		ps = &pass{c: c, p: j.p, stream: j.stream, settings: settings, dirt: j.dirt, env: c.opt.Env}
		err = ps.run(ctx)
		again = ps.end < j.dirt.to // the key map was full
		j.dirt.from = ps.end
		if err == nil && again {
			c.metrics.passed(time.Since(began), &ps.filter)
		}
	}
	_, name, index := j.p.ID()
	log := c.opt.Logger.With("topic", name, "partition", index)
	switch {
	case err == nil:
		c.metrics.passed(time.Since(began), &ps.filter)
		log.Info("compacted by key", "from", ps.dirt.from, "to", ps.end, "records", ps.filter.read, "left", ps.filter.kept, "bytes", ps.read, "written", ps.written, "took", time.Since(began))
	case ctx.Err() != nil:
		log.Debug("key compaction was interrupted", "why", context.Cause(ctx))
	default:
		c.metrics.failed.Inc()
		log.Warn("key compaction failed; it will be tried again", "err", err)
	}
}

func (ps *pass) run(ctx context.Context) error {
	if err := ps.p.Cover(ctx, ps.dirt.to); err != nil {
		return err
	}
	cfg, nowMS := ps.p.Config(), ps.c.opt.Now().UnixMilli()
	start := ps.p.Data().Start()
	keys := newKeyMap(int64(ps.dirt.to-ps.dirt.from), ps.settings.mapBytes, ps.settings.load)
	if err := ps.scan(ctx, keys); err != nil {
		return err
	}
	ps.filter = filter{keys: keys, end: ps.end, nowMS: nowMS, horizonMS: nowMS + min(cfg.DeleteRetentionMS, 1<<62), txns: newTxns(ps.p.Aborted(start, ps.dirt.to))}
	ps.c.metrics.mapUse.Set(float64(keys.keys) / float64(keys.max))
	if err := ps.rewrite(ctx); err != nil {
		return err
	}
	ps.p.ForgetAborted(ps.filter.txns.goneBelow(ps.end))
	ps.c.cameTo(ps.stream, ps.end)
	return nil
}

// held is a range of the stream as the image has it.
type held struct {
	meta.Range
	size int64 // of the object
}

// ranges lists the ranges from the one that contains from on, up to the one that contains to-1, of the newest image.
func (ps *pass) ranges(from, to base.Offset) (all []held) {
	img := ps.c.opt.Image()
	for r := range img.RangesOf(ps.stream, from) {
		if r.Start >= to {
			break
		}
		o, ok := img.Object(r.Object)
		if !ok {
			panic("BUG: clean: range of a missing object " + r.Object.String())
		}
		all = append(all, held{r, o.Size})
	}
	return all
}

// records reads the records of a range one by one.
func (ps *pass) records(ctx context.Context, r held, each func(*object.Record, batch.Batch) error) error {
	src, err := ps.env.Open(ctx, r.Object, r.size, ps.c.opt.ReadBytes, compact.Piece{Stream: ps.stream, Range: r.OffsetRange})
	if err != nil {
		return err
	}
	defer src.Close()
	for rec, err := range src.Records(ctx, ps.stream, r.OffsetRange) {
		if err == nil && ctx.Err() != nil {
			err = base.Wrap(base.Closed, context.Cause(ctx))
		}
		if err == nil {
			err = ps.settings.bandwidth.Wait(ctx, int64(len(rec.Data)))
		}
		if err != nil {
			return err
		}
		b, rest, err := batch.Parse(rec.Data)
		if err != nil || len(rest) > 0 || base.Offset(b.BaseOffset()) != rec.Base || base.Offset(b.NextOffset()) != rec.End() {
			return base.Errorf(base.Corrupt, "object %s: stream %d has no batch of %d offsets at %d: %w", r.Object, ps.stream, rec.Count, rec.Base, err)
		}
		ps.c.metrics.readBytes.Add(float64(len(rec.Data)))
		if err := each(&rec, b); err != nil {
			return err
		}
	}
	return nil
}

// scan reads the dirty part into the key map and finds the end of the pass. An object that is gone was replaced: what holds the rest now is
// looked up again.
func (ps *pass) scan(ctx context.Context, keys *keyMap) error {
	at, full := ps.dirt.from, false
	x := newTxns(ps.p.Aborted(at, ps.dirt.to))
	for again := 0; at < ps.dirt.to && !full; {
		ranges := ps.ranges(at, ps.dirt.to)
		if len(ranges) == 0 {
			break
		}
		r := ranges[0]
		err := ps.records(ctx, r, func(rec *object.Record, b batch.Batch) error {
			if rec.End() <= at {
				return nil
			}
			if rec.Base >= ps.dirt.to || full {
				return errEnough
			}
			end, err := scan(keys, x, b, at)
			full = err == nil && end < rec.End()
			at = max(at, end)
			return err
		})
		if err == errEnough {
			err = nil
		}
		switch {
		case base.IsKind(err, base.NotFound) && again < againMax:
			again++
			ps.pause(ctx, again)
			continue
		case err != nil:
			return err
		case !full:
			at = max(at, r.End)
		}
	}
	ps.end = min(at, ps.dirt.to)
	return nil
}

// errEnough ends reading.
var errEnough = errors.New("enough")

// pause waits for the image to name what has replaced an object.
func (ps *pass) pause(ctx context.Context, again int) {
	select {
	case <-time.After(time.Millisecond << again):
	case <-ctx.Done():
	}
}

// rewrite filters the log from its start to the end of the pass.
func (ps *pass) rewrite(ctx context.Context) error {
	s, ok := ps.c.opt.Image().Stream(ps.stream)
	if !ok {
		return base.Errorf(base.NotFound, "stream %d was deleted", ps.stream)
	}
	ps.marked = s.CleanedTo
	at := s.Start
	for again := 0; at < ps.end; {
		group := ps.group(at)
		if len(group) == 0 {
			break
		}
		before := ps.filter
		before.txns = ps.filter.txns.clone()
		verdict, err := ps.replace(ctx, group, at)
		switch {
		case base.IsKind(err, base.NotFound) || err == nil && verdict == compact.Changed:
			if again++; again > againMax {
				return base.Errorf(base.Unavailable, "offsets from %d on were replaced %d times meanwhile", at, again)
			}
			ps.filter = before
			ps.pause(ctx, again)
			continue
		case err != nil:
			return err
		case verdict == compact.Deleted:
			return base.Errorf(base.NotFound, "stream %d was deleted", ps.stream)
		}
		again, at = 0, group[len(group)-1].End
		if at <= ps.end {
			ps.clean = at
		}
	}
	return ps.mark(ctx)
}

// group lists neighbouring ranges from the one that contains at on that fit into an object together; at least one.
func (ps *pass) group(at base.Offset) (group []held) {
	bytes := int64(0)
	for _, r := range ps.ranges(at, ps.end) {
		// A range that reaches beyond the end is on its own: what is before it can be marked as clean.
		if len(group) > 0 && (bytes+r.Bytes > ps.c.opt.ObjectBytes || r.End > ps.end || len(group) == groupMax) {
			break
		}
		group = append(group, r)
		bytes += r.Bytes
	}
	return group
}

// groupMax is how many ranges are replaced by one commit at most.
const groupMax = 1024

// replace writes a group of ranges anew without what goes, if something does, and commits that. What lies below at has been through it.
func (ps *pass) replace(ctx context.Context, group []held, at base.Offset) (compact.Verdict, error) {
	r := compact.Replacement{Stream: ps.stream, Range: base.OffsetRange{Start: group[0].Start, End: group[len(group)-1].End}}
	bytes := int64(0)
	for _, h := range group {
		r.Sources = append(r.Sources, h.Object)
		bytes += h.Bytes
	}
	if bytes > ps.c.opt.ObjectBytes { // the first object would be put before it is known whether anything changes
		if changes, err := ps.changes(ctx, group[0], at); err != nil || !changes {
			return compact.Replaced, err
		}
	}
	out := ps.env.NewOutput(ps.c.opt.ObjectBytes)
	defer out.Close()
	if err := out.Begin(ctx, stream.SO, ps.stream, r.Range, bytes); err != nil {
		return 0, err
	}
	w := &groupWriter{ps: ps, out: out, at: at}
	for _, h := range group {
		if err := ps.records(ctx, h, func(rec *object.Record, b batch.Batch) error { return w.add(ctx, rec, b) }); err != nil {
			return 0, err
		}
	}
	ps.read += w.read
	if !w.changed {
		return compact.Replaced, nil
	}
	if err := w.end(ctx); err != nil {
		return 0, err
	}
	objects, runs := out.Take()
	r.New, r.Cleaned = runs[0].New, r.Range.End <= ps.end
	verdicts, err := ps.env.Commit(ctx, objects, []compact.Replacement{r})
	if err != nil {
		return 0, err
	}
	if verdicts[0] == compact.Replaced {
		ps.written += w.written
		ps.c.metrics.writtenBytes.Add(float64(w.written))
		if r.Cleaned {
			ps.marked = max(ps.marked, r.Range.End)
		}
		ps.p.Data().Uncache(r.Range.End)
	}
	return verdicts[0], nil
}

// changes finds out whether anything goes from a range. If not, the filter has gone through it; otherwise it is as it was.
func (ps *pass) changes(ctx context.Context, h held, at base.Offset) (bool, error) {
	before := ps.filter
	before.txns = ps.filter.txns.clone()
	w := &groupWriter{ps: ps, at: at}
	err := ps.records(ctx, h, func(rec *object.Record, b batch.Batch) error {
		if err := w.add(ctx, rec, b); err != nil {
			return err
		}
		if w.changed {
			return errEnough
		}
		return nil
	})
	if err == errEnough {
		ps.filter, err = before, nil
	}
	ps.read += w.read
	return w.changed, err
}

// mark has the image know how far the log is clean, where no replacement has told it.
func (ps *pass) mark(ctx context.Context) error {
	for again := 0; ps.clean > ps.marked; again++ {
		ranges := ps.ranges(ps.clean-1, ps.clean)
		if len(ranges) == 0 || ranges[0].End != ps.clean || again == againMax {
			return nil // merged with what follows: the next pass goes on from what this node remembers
		}
		r := compact.Replacement{Stream: ps.stream, Range: ranges[0].OffsetRange, Sources: []base.ObjectID{ranges[0].Object}, Cleaned: true}
		verdicts, err := ps.env.Commit(ctx, nil, []compact.Replacement{r})
		if err != nil {
			return err
		}
		if verdicts[0] != compact.Changed {
			return nil
		}
		ps.pause(ctx, again)
	}
	return nil
}

// groupWriter writes what is left of a group.
type groupWriter struct {
	ps      *pass
	out     *compact.Output
	at      base.Offset // records that end at or below have been filtered before
	changed bool
	emptied *object.Record // the last record, if nothing is left of it
	read    int64
	written int64
}

func (w *groupWriter) add(ctx context.Context, rec *object.Record, b batch.Batch) error {
	w.read += int64(len(rec.Data))
	w.emptied = nil
	if rec.End() <= w.at {
		return w.put(ctx, rec)
	}
	f, err := w.ps.filter.batch(b)
	if err != nil {
		return err
	}
	if f.Kept == 0 {
		e := *rec
		e.Data, e.MaxTimestamp = b.Emptied().Bytes(), batch.NoTimestamp
		w.emptied = &e
		// A batch that was emptied before, and is still the last one, is no change.
		w.changed = w.changed || b.NumRecords() > 0
		return nil
	}
	if f.Changed {
		w.changed = true
		rec.Data, rec.MaxTimestamp = f.Batch.Bytes(), f.Batch.MaxTimestamp()
	}
	return w.put(ctx, rec)
}

func (w *groupWriter) put(ctx context.Context, rec *object.Record) error {
	w.written += int64(len(rec.Data))
	if w.out == nil { // only to see whether something changes
		return nil
	}
	return w.out.Add(ctx, rec)
}

// end ends the run. Its last batch stays, emptied if need be, so that the range has a record and the end of the log a batch.
func (w *groupWriter) end(ctx context.Context) error {
	if w.emptied != nil {
		if err := w.put(ctx, w.emptied); err != nil {
			return err
		}
	}
	if err := w.out.End(); err != nil {
		return err
	}
	return w.out.Flush(ctx)
}
