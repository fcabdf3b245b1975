package stream

import (
	"context"

	"sluice/base"
	"sluice/base/seeded"
	"sluice/storage/cache"
	"sluice/storage/object"
)

// coldEnd is the offset from which the WAL cache has everything.
func (s *Stream) coldEnd() base.Offset {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.index.Len() > 0 {
		return s.mu.index.At(0).Base
	}
	return s.Durable()
}

// readCold reads from objects. Without wait it reports false rather than do I/O. A *goneError says that an object is missing. A chunk
// without records whose End lies above from says that there is nothing in between.
func (s *Stream) readCold(ctx context.Context, from, to base.Offset, maxBytes int, minOne, wait bool) (*Chunk, bool, error) {
	if wait {
		s.e.coldWaits.Add(1)
		defer s.e.coldWaits.Add(-1)
	}
	end := min(to, s.coldEnd())
	loc, err := s.e.opt.Catalog.Locate(ctx, s.id, from, locateLimit)
	if err != nil {
		return nil, false, err
	}
	if from < loc.Start {
		raise(&s.start, loc.Start)
		return nil, false, base.Errorf(base.OutOfRange, "stream %d: read at %d, it starts at %d", s.id, from, loc.Start)
	}
	r := coldRead{s: s, c: newChunk(from), at: from, end: end, maxBytes: maxBytes, minOne: minOne, wait: wait}
	if err := r.objects(ctx, loc.Objects); err != nil || r.cold && r.c.Bytes == 0 {
		r.c.Release()
		return nil, false, err
	}
	if r.c.Bytes == 0 {
		if !r.full {
			r.c.Start, r.c.End = r.at, r.at
		}
		return r.c, true, nil
	}
	s.e.metrics.coldReads.Inc()
	s.e.metrics.coldBytes.Add(float64(r.c.Bytes))
	s.readAhead(ctx, from, r.c, r.waited)
	return r.c, true, nil
}

// coldRead walks the objects, blocks and records from an offset on and collects records. It waits until it has one; what lies behind
// that is taken as far as it is in memory.
type coldRead struct {
	s        *Stream
	c        *Chunk
	at, end  base.Offset // what is next, and where to stop
	maxBytes int
	minOne   bool
	wait     bool

	full   bool // the next record does not fit or lies beyond the end
	cold   bool // stopped at something that is not in memory
	waited bool // for a block that was not in memory
}

// mayWait reports whether something that is not in memory is worth waiting for; if not, the read stops there.
func (r *coldRead) mayWait() bool {
	if r.wait && r.c.Bytes == 0 {
		return true
	}
	r.cold = true
	return false
}

func (r *coldRead) objects(ctx context.Context, objects []ObjectRange) error {
	first := r.at
	for _, o := range objects {
		if r.at >= r.end {
			return nil
		}
		if o.Range.Start > r.at {
			return r.s.uncovered(r.at, o.Range.Start)
		}
		if err := r.object(ctx, o); seeded.Bug(seeded.MissingIsEmpty) && base.IsKind(err, base.NotFound) {
			r.at = min(o.Range.End, r.end)
			continue
		} else if err != nil || r.full || r.cold {
			return err
		}
		r.at = min(o.Range.End, r.end) // not beyond: what the WAL cache has may lie in a gap of the objects, with more behind it
	}
	if r.at == first {
		return r.s.uncovered(r.at, r.end)
	}
	return nil
}

// object takes the records of one object, up to the end of the range that the metadata names.
func (r *coldRead) object(ctx context.Context, o ObjectRange) error {
	x, err := r.index(ctx, o)
	if err != nil || r.cold {
		return err
	}
	i, found := x.Find(r.s.id, r.at)
	for ; found && i < len(x.Entries) && x.Entries[i].Stream == r.s.id && x.Entries[i].Range.Start < min(r.end, o.Range.End); i++ {
		b, ok := r.s.e.blocks.TryGet(x, i)
		if !ok {
			if !r.mayWait() {
				return nil
			}
			r.waited = true
			if b, err = r.fetch(ctx, x, i); err != nil {
				return broken(o, err)
			}
		}
		r.block(b, o.Range.End)
		b.Release()
		if r.full {
			return nil
		}
	}
	return nil
}

// fetch has a block read, with as much behind it as the read may take: that is gone from memory as soon as it is there. Who reads in sequence and has room for more has
// the extent read that it is in.
func (r *coldRead) fetch(ctx context.Context, x *object.Index, i int) (*cache.Block, error) {
	want := int64(min(max(r.maxBytes, readAheadMin), coldReadMax))
	if c, extent := r.s.ahead.demand(r.c.Start); extent >= want {
		return r.s.e.blocks.GetExtent(ctx, x, i, extent, &c.waste)
	}
	return r.s.e.blocks.Get(ctx, x, i, want)
}

// index returns an object's index.
func (r *coldRead) index(ctx context.Context, o ObjectRange) (*object.Index, error) {
	if x, ok := r.s.e.blocks.TryIndex(o.ID); ok {
		return x, nil
	}
	if !r.mayWait() {
		return nil, nil
	}
	x, err := r.s.e.blocks.Index(ctx, o.ID, o.Size, cache.Tail{Stream: r.s.id, Bytes: o.Bytes})
	return x, broken(o, err)
}

// block takes the records of one block that lie below rangeEnd, where the metadata's range ends. A record that begins at or above the
// end of the read makes nothing full: what the WAL cache has may come before it.
func (r *coldRead) block(b *cache.Block, rangeEnd base.Offset) {
	for k := range b.Items {
		it := &b.Items[k]
		if it.Range.End <= r.at {
			continue
		}
		if it.Range.Start >= min(r.end, rangeEnd) {
			return
		}
		if it.Range.End > r.end || !r.c.fits(int(it.Len), r.maxBytes, r.minOne) {
			r.full = true
			return
		}
		r.c.refer(b.Data[it.Pos:it.Pos+it.Len], b.Buf())
		r.c.extend(it.Range, int(it.Len))
		r.at = it.Range.End
	}
}
