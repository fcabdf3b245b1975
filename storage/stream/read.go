package stream

import (
	"context"
	"time"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/wal"
)

// Read returns durable records from the one that contains from on: whole records, none that reaches beyond to, at most maxBytes
// together; with minOne the first one may be larger. It may return less than there is, and returns an empty chunk when nothing
// fits or from is at the durable end; it never waits for new data. The caller releases the chunk.
//
// Offsets may be without a record, after a key compaction: reading at one gives the next record. An empty chunk that ends above from says that
// there is no record in between. What a compaction removed may still be returned as long as it is in memory.
//
// Errors: OutOfRange when from lies below Start; NotFound when the stream was deleted; Unavailable when the bucket is; Corrupt
// when committed data cannot be found or verified; Closed.
func (s *Stream) Read(ctx context.Context, from, to base.Offset, maxBytes int, minOne bool) (*Chunk, error) {
	var gone missing
	for {
		c, _, err := s.read(ctx, from, to, maxBytes, minOne, true)
		if !base.IsKind(err, base.NotFound) {
			return c, err
		}
		if err := gone.again(ctx, err); err != nil {
			return nil, err
		}
	}
}

// TryReadCached is Read, but reports false instead of doing I/O.
func (s *Stream) TryReadCached(from, to base.Offset, maxBytes int, minOne bool) (*Chunk, bool, error) {
	c, ok, err := s.read(context.Background(), from, to, maxBytes, minOne, false)
	return c, ok || err != nil, err
}

// read reads from the WAL cache, or else from objects. A stretch without records (compaction leaves them) is stepped over.
func (s *Stream) read(ctx context.Context, from, to base.Offset, maxBytes int, minOne, wait bool) (*Chunk, bool, error) {
	for {
		c, ok, err := s.readCached(from, to, maxBytes, minOne)
		if ok || err != nil {
			return c, ok, err
		}
		c, ok, err = s.readCold(ctx, from, to, maxBytes, minOne, wait)
		if c == nil || c.Bytes > 0 || c.End == from {
			return c, ok, err
		}
		from = c.End
		c.Release()
	}
}

// missing bounds how often a read that met a missing object may locate again: an image that lags shows the object that replaced it
// soon; one that does not change means that the object is lost.
type missing struct{ tries int }

// again returns nil when err, a NotFound, is worth another try, after a pause. That the stream itself is gone is not.
func (m *missing) again(ctx context.Context, err error) error {
	gone, ok := err.(*goneError)
	if !ok {
		return err
	}
	if m.tries++; m.tries > missingTries {
		return &Damage{gone.in.ID, gone.in.Range, base.Errorf(base.Corrupt, "object %s is missing, and the metadata goes on naming it: %w", gone.in.ID, gone.err)}
	}
	select {
	case <-time.After(missingPause << m.tries):
		return nil
	case <-ctx.Done():
		return base.Wrap(base.Unavailable, ctx.Err())
	}
}

// goneError is a NotFound of the bucket, as opposed to one of the catalog.
type goneError struct {
	in  ObjectRange
	err error
}

func (g *goneError) Error() string { return g.err.Error() }
func (g *goneError) Unwrap() error { return g.err }

// found is a record found in the index.
type found struct {
	r        base.OffsetRange
	data     []byte
	buf      *slab.Buf
	retained bool // with a reference to buf: the first of a run of records that lie in it
}

// readCached reads from the WAL cache. It reports false when the records have been evicted from it.
func (s *Stream) readCached(from, to base.Offset, maxBytes int, minOne bool) (*Chunk, bool, error) {
	if start := s.Start(); from < start {
		return nil, true, base.Errorf(base.OutOfRange, "stream %d: read at %d, it starts at %d", s.id, from, start)
	}
	if to <= from || from >= s.Durable() {
		return newChunk(from), true, nil
	}
	var batch [lookupBatch]found
	c := newChunk(from)
	for {
		n, covered, more, err := s.lookUp(batch[:], c, to, maxBytes, minOne)
		if err != nil || !covered && c.Bytes == 0 {
			c.Release()
			return nil, err != nil, err
		}
		c.addFound(batch[:n], s.e.opt.Pool)
		if !more {
			s.e.metrics.cachedReads.Inc()
			s.e.metrics.cachedBytes.Add(float64(c.Bytes))
			return c, true, nil
		}
	}
}

// lookUp finds the records that come next in c, as many as fit both c and batch, and retains their memory. covered is false when the
// index begins above c.End; more is set when there may be more to look up. Only the lookup happens under the lock, and for a bounded
// number of records: the WAL's completion goroutine waits for this lock.
func (s *Stream) lookUp(batch []found, c *Chunk, to base.Offset, maxBytes int, minOne bool) (n int, covered, more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.detached {
		return 0, false, false, s.mu.refusal
	}
	x := &s.mu.index
	if x.Len() == 0 || c.End < x.At(0).Base {
		return 0, false, false, nil
	}
	var b *wal.Block
	var last *slab.Buf
	bytes := c.Bytes
	for i := x.Search(c.End); i < x.Len(); i++ {
		en := x.At(i)
		if n == len(batch) {
			return n, true, true, nil
		}
		if b == nil || en.Pos != b.Pos {
			b = s.e.wal.Block(en.Pos)
		}
		data := b.Records[en.Record].Data
		if en.End() > to || bytes+len(data) > maxBytes && !(minOne && bytes == 0) {
			break
		}
		batch[n] = found{r: base.OffsetRange{Start: en.Base, End: en.End()}, data: data, buf: b.Buf}
		if b.Buf != last {
			b.Buf.Retain(1)
			batch[n].retained, last = true, b.Buf
		}
		bytes += len(data)
		n++
	}
	return n, true, false, nil
}

// addFound adds what was found. Records that lie side by side in memory are taken as one run. Large runs are added by reference, small ones
// copied together, because a segment for each of them would cost the socket more than the copy. The references of batch are given back.
func (c *Chunk) addFound(batch []found, pool *slab.Pool) {
	for i := 0; i < len(batch); {
		f := &batch[i]
		at, n := offsetIn(f.buf, f.data), 0
		for ; i < len(batch) && batch[i].buf == f.buf && offsetIn(f.buf, batch[i].data) == at+n; i++ {
			n += len(batch[i].data)
			c.extend(batch[i].r, len(batch[i].data))
		}
		if run := f.buf.B[at : at+n]; n < copyBelow {
			c.copyIn(run, pool)
		} else {
			c.refer(run, f.buf)
		}
	}
	for i := range batch {
		if batch[i].retained {
			batch[i].buf.Release()
		}
	}
}
