package compact

import (
	"context"
	"math/rand/v2"
	"time"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
	"sluice/storage/stream"
)

const (
	chunkBytes       = 1 << 20 // record bytes are collected in buffers of this size
	putTries         = 5       // a put or a command that fails for the moment is tried so often, then the job is given up
	retryMin         = 100 * time.Millisecond
	retryMax         = 5 * time.Second
	recordOverhead   = 32  // bytes of a record's table entry at most
	rangeOverhead    = 128 // bytes of trailer and index entry
	prepareMax       = 64  // ids prepared at once
	idsUsableFor     = time.Hour / 4
	minRecordsInHint = 64
	maxObjectRanges  = 50_000 // ranges in one object: what one command of the metadata can commit a few times over
)

// Run is a contiguous part of a stream that was written anew.
type Run struct {
	Stream base.StreamID
	Range  base.OffsetRange
	New    []NewRange
}

// Output makes objects of records that come in ascending order of (stream, offset), run by run, and puts each when it is full. Record bytes are copied,
// so that a source's memory is free at once; the memory of an Output is one object. It is not safe for concurrent use; it must be closed.
//
// A run is a part of a stream that is replaced as a whole. The ranges of a run cover it without a gap even where offsets have no
// record. An object ends between runs if it can: before a run that is not expected to fit. Only a run that is larger than an object is cut, at a
// record. Stream objects hold one run.
type Output struct {
	env    *Env
	max    int64
	expect int // objects that are still to come, as far as one knows
	ids    []base.ObjectID
	idsAt  time.Time

	kind    stream.ObjectKind
	w       *object.Writer // of the open object, nil if it is empty
	bytes   int64          // of the open object, estimated
	chunks  []*slab.Buf
	used    int // of the last chunk
	inside  []rangeIn
	last    object.Record // the last record, without bytes
	began   bool          // a run is open: the last of runs
	runs    []Run
	objects []NewObject
}

// rangeIn says which range of which run lies in the open object.
type rangeIn struct{ run, part int }

// NewOutput returns an Output of objects with about max bytes at most, a single larger record aside.
func (e *Env) NewOutput(max int64) *Output { return &Output{env: e, max: max} }

// Expect says that n more objects will be made, so that their ids can be prepared at once.
func (o *Output) Expect(n int) { o.expect = n }

// Begin begins a run of about bytes record bytes. It may put the open object.
func (o *Output) Begin(ctx context.Context, kind stream.ObjectKind, id base.StreamID, r base.OffsetRange, bytes int64) error {
	if o.began {
		panic("BUG: compact: a run within a run")
	}
	if !o.Fits(kind, bytes) {
		if err := o.Flush(ctx); err != nil {
			return err
		}
	}
	if n := len(o.runs); o.w == nil || n > 0 && o.runs[n-1].Stream != id {
		o.last.Epoch = 0
	}
	o.kind, o.began = kind, true
	o.runs = append(o.runs, Run{Stream: id, Range: r})
	o.last = object.Record{Stream: id, Base: r.Start, Epoch: o.last.Epoch}
	return nil
}

// Fits reports whether a run of so many record bytes goes into the open object.
func (o *Output) Fits(kind stream.ObjectKind, bytes int64) bool {
	return o.w == nil || kind == o.kind && kind == stream.SSO && o.bytes+bytes+rangeOverhead <= o.max && len(o.inside) < maxObjectRanges
}

// Add adds a record to the run. Its bytes are copied. The error is Corrupt when the record does not lie in the run, behind the one before it.
func (o *Output) Add(ctx context.Context, r *object.Record) error {
	run := &o.runs[len(o.runs)-1]
	if !o.began || r.Stream != run.Stream || r.Count <= 0 || r.Base < o.last.End() || r.End() > run.Range.End || r.Epoch < o.last.Epoch || len(r.Data) == 0 {
		return base.Errorf(base.Corrupt, "stream %d epoch %d: record at %d with %d offsets after %d of epoch %d in %v", r.Stream, r.Epoch, r.Base, r.Count,
			o.last.End(), o.last.Epoch, run.Range)
	}
	size := int64(len(r.Data)) + recordOverhead
	if o.w != nil && o.bytes+size > o.max {
		if err := o.Flush(ctx); err != nil {
			return err
		}
	}
	if o.w == nil {
		o.w = object.NewWriter(minRecordsInHint, 0)
	}
	o.extend(run, r)
	rec := *r
	var mem []byte
	rec.Data, mem = o.copy(r.Data)
	o.w.Add(&rec, mem)
	o.bytes += size
	o.last = rec
	o.last.Data = nil
	return nil
}

// extend counts the record to the run's range in the open object. The first range of a run begins where the run does, a later one with its first
// record; one ends where the next begins.
func (o *Output) extend(run *Run, r *object.Record) {
	at := rangeIn{len(o.runs) - 1, len(run.New) - 1}
	if len(o.inside) == 0 || o.inside[len(o.inside)-1] != at || at.part < 0 {
		start := run.Range.Start
		if at.part >= 0 {
			start = r.Base
			run.New[at.part].Range.End = start
		}
		run.New = append(run.New, NewRange{Range: base.OffsetRange{Start: start}, MaxTimestamp: -1})
		at.part++
		o.inside = append(o.inside, at)
		o.bytes += rangeOverhead
	}
	n := &run.New[at.part]
	n.Range.End = r.End()
	n.Bytes += int64(len(r.Data))
	n.MaxTimestamp = max(n.MaxTimestamp, r.MaxTimestamp)
}

// copy copies record bytes; mem is the buffer they lie in.
func (o *Output) copy(b []byte) (c, mem []byte) {
	if n := len(o.chunks); n == 0 || len(o.chunks[n-1].B)-o.used < len(b) {
		o.chunks = append(o.chunks, o.env.Pool.Get(max(len(b), int(min(chunkBytes, max(o.max, 1))))))
		o.used = 0
	}
	mem = o.chunks[len(o.chunks)-1].B
	c = mem[o.used : o.used+len(b) : o.used+len(b)]
	copy(c, b)
	o.used += len(b)
	return c, mem
}

// End ends the run. The error is Corrupt when it has no record.
func (o *Output) End() error {
	run := &o.runs[len(o.runs)-1]
	o.began = false
	if len(run.New) == 0 {
		o.runs = o.runs[:len(o.runs)-1]
		return base.Errorf(base.Corrupt, "stream %d has no record in %v", run.Stream, run.Range)
	}
	run.New[len(run.New)-1].Range.End = run.Range.End
	return nil
}

// Flush puts the open object, if there is one.
func (o *Output) Flush(ctx context.Context) error {
	if o.w == nil {
		return nil
	}
	id, size, err := o.put(ctx)
	if err != nil {
		return err
	}
	o.objects = append(o.objects, NewObject{ID: id, Size: size, Kind: o.kind})
	for _, in := range o.inside {
		o.runs[in.run].New[in.part].Object = id
	}
	o.release()
	return nil
}

// Waiting returns the bytes of the objects that were put since the last Take.
func (o *Output) Waiting() (bytes int64) {
	for _, p := range o.objects {
		bytes += p.Size
	}
	return bytes
}

// Take returns the objects that were put since the last Take and the runs they hold. Call it after Flush, between runs.
func (o *Output) Take() ([]NewObject, []Run) {
	if o.began || o.w != nil {
		panic("BUG: compact: taking runs that are not complete")
	}
	objects, runs := o.objects, o.runs
	o.objects, o.runs = nil, nil
	return objects, runs
}

// Close gives the memory back. What was not taken is lost.
func (o *Output) Close() { o.release() }

func (o *Output) release() {
	for _, c := range o.chunks {
		c.Release()
	}
	o.chunks, o.inside, o.w, o.used, o.bytes = o.chunks[:0], o.inside[:0], nil, 0, 0
}

// put puts the open object under an id of its own.
func (o *Output) put(ctx context.Context) (id base.ObjectID, size int64, err error) {
	if id, err = o.id(ctx); err != nil {
		return 0, 0, err
	}
	meta := object.Meta{Cluster: o.env.Cluster, ID: id, Kind: object.Kind(o.kind), Node: o.env.Node.ID, NodeEpoch: o.env.Node.Epoch}
	body, size := o.w.Finish(meta)
	ctx = driver.WithShares(ctx, o.shares())
	err = o.env.repeat(ctx, func() error {
		if err := o.env.Bandwidth.Wait(ctx, size); err != nil {
			return err
		}
		o.env.wrote(size)
		return object.Put(ctx, o.env.Store, o.env.Cluster, id, body, size, driver.PutOptions{Cold: o.final(size)})
	})
	return id, size, err
}

// final reports whether the open object, of that size, is as large as it gets and not rewritten again before it is half dead: what a cold storage
// class is for.
func (o *Output) final(size int64) bool { return o.kind == stream.SO && size >= o.max/2 }

func (o *Output) shares() []driver.Share {
	ranges := o.w.Ranges()
	shares := make([]driver.Share, len(ranges))
	for i, r := range ranges {
		shares[i] = driver.Share{Stream: r.Stream, Bytes: r.Bytes}
	}
	return shares
}

// id returns a prepared id.
func (o *Output) id(ctx context.Context) (base.ObjectID, error) {
	if len(o.ids) == 0 || time.Since(o.idsAt) > idsUsableFor {
		err := o.env.repeat(ctx, func() (err error) {
			o.ids, err = o.env.Catalog.PrepareObjects(ctx, min(max(o.expect, 1), prepareMax))
			return err
		})
		if err != nil {
			return 0, err
		}
		o.idsAt = time.Now()
	}
	id := o.ids[0]
	o.ids = o.ids[1:]
	o.expect--
	return id, nil
}

// repeat repeats op, with growing pauses, while its failure may pass, putTries times at most.
func (e *Env) repeat(ctx context.Context, op func() error) error {
	pause := retryMin
	for try := 1; ; try++ {
		err := op()
		if err == nil || try == putTries || ctx.Err() != nil {
			return err
		}
		switch base.KindOf(err) {
		case base.Unavailable, base.Undetermined, base.Full:
		default:
			return err
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return base.Wrap(base.Closed, context.Cause(ctx))
		}
		pause = min(2*pause, retryMax)
	}
}

// Commit commits runs that replace sources; sources has an entry for each run. It repeats the commit while its failure may pass.
func (e *Env) Commit(ctx context.Context, objects []NewObject, replacements []Replacement) (verdicts []Verdict, err error) {
	if len(replacements) == 0 {
		return nil, nil
	}
	err = e.repeat(ctx, func() (err error) {
		verdicts, err = e.Catalog.CommitCompaction(ctx, Commit{Node: e.Node, Objects: objects, Replacements: replacements})
		return err
	})
	if err == nil && len(verdicts) != len(replacements) {
		err = base.Errorf(base.Corrupt, "%d verdicts for %d replacements", len(verdicts), len(replacements))
	}
	return verdicts, err
}
