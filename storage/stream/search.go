package stream

import (
	"context"

	"sluice/base"
	"sluice/storage/cache"
	"sluice/storage/object"
)

// FindTimestamp returns the first indexed range that overlaps [from, to) and whose largest record timestamp is at least ts: a record of the WAL
// cache, or a block of an object. The caller decodes it; if what made it qualify lies outside of [from, to), he asks again from its end.
func (s *Stream) FindTimestamp(ctx context.Context, ts int64, from, to base.Offset) (r base.OffsetRange, found bool, err error) {
	err = s.scan(ctx, from, to, func(c candidate) (descend, stop bool) {
		if c.maxTimestamp < ts {
			return false, false
		}
		if c.coarse {
			return true, false
		}
		r, found = c.r, true
		return false, true
	})
	return r, found, err
}

// MaxTimestamp returns the first indexed range within [from, to) that has the largest record timestamp, and that timestamp. found is
// false when there is no record. Where a range sticks out of [from, to), its timestamp may be that of a record outside.
func (s *Stream) MaxTimestamp(ctx context.Context, from, to base.Offset) (r base.OffsetRange, ts int64, found bool, err error) {
	err = s.scan(ctx, from, to, func(c candidate) (descend, stop bool) {
		if found && c.maxTimestamp <= ts {
			return false, false
		}
		if c.coarse {
			return true, false
		}
		r, ts, found = c.r, c.maxTimestamp, true
		return false, false
	})
	return r, ts, found, err
}

// candidate is a range of records that a scan comes across.
type candidate struct {
	r            base.OffsetRange
	maxTimestamp int64
	coarse       bool // a range of an object; its blocks can be looked at
}

// scan visits what the metadata, the objects' indexes and the WAL cache know about [from, to), in order: ranges of objects, the
// blocks of those for which visit says so, then the records in the WAL cache.
func (s *Stream) scan(ctx context.Context, from, to base.Offset, visit func(candidate) (descend, stop bool)) error {
	var gone missing
	from = max(from, s.Start())
	for {
		next, stop, err := s.scanObjects(ctx, from, min(to, s.coldEnd()), visit)
		from = next
		if base.IsKind(err, base.NotFound) {
			if err = gone.again(ctx, err); err == nil {
				continue
			}
		}
		if err != nil || stop || from >= to {
			return err
		}
		if done, err := s.scanCached(from, to, visit); done || err != nil {
			return err
		}
	}
}

// scanObjects visits the object ranges from an offset on and returns how far it came.
func (s *Stream) scanObjects(ctx context.Context, from, to base.Offset, visit func(candidate) (descend, stop bool)) (base.Offset, bool, error) {
	for from < to {
		loc, err := s.e.opt.Catalog.Locate(ctx, s.id, from, locatePage)
		if err != nil {
			return from, false, err
		}
		if from < loc.Start { // trimmed meanwhile
			raise(&s.start, loc.Start)
			from = loc.Start
			continue
		}
		if len(loc.Objects) == 0 {
			return from, false, base.Errorf(base.Corrupt, "stream %d: no object covers %d, the durable end is %d", s.id, from, s.Durable())
		}
		for _, o := range loc.Objects {
			if from >= to {
				break
			}
			descend, stop := visit(candidate{o.Range, o.MaxTimestamp, true})
			if descend {
				stop, err = s.scanBlocks(ctx, o, from, to, visit)
			}
			if stop || err != nil {
				return from, stop, err
			}
			from = min(o.Range.End, to) // what lies behind to may be a record of the WAL cache
		}
	}
	return from, false, nil
}

// scanBlocks visits the blocks of one object.
func (s *Stream) scanBlocks(ctx context.Context, o ObjectRange, from, to base.Offset, visit func(candidate) (descend, stop bool)) (stop bool, err error) {
	x, err := s.e.blocks.Index(ctx, o.ID, o.Size, cache.Tail{})
	if err != nil {
		return false, broken(o, err)
	}
	to = min(to, o.Range.End)
	i, ok := x.Find(s.id, max(from, o.Range.Start))
	for ; ok && !stop && i < len(x.Entries) && x.Entries[i].Stream == s.id && x.Entries[i].Range.Start < to; i++ {
		e := &x.Entries[i]
		if e.Range.Start >= from && e.Range.End <= to {
			_, stop = visit(candidate{e.Range, e.MaxTimestamp, false})
			continue
		}
		if stop, err = s.scanItems(ctx, o, x, i, from, to, visit); err != nil {
			return false, err
		}
	}
	return stop, nil
}

// scanItems visits the records of a block that sticks out of [from, to).
func (s *Stream) scanItems(ctx context.Context, o ObjectRange, x *object.Index, i int, from, to base.Offset, visit func(candidate) (descend, stop bool)) (stop bool, err error) {
	if d, _ := visit(candidate{x.Entries[i].Range, x.Entries[i].MaxTimestamp, true}); !d {
		return false, nil
	}
	b, err := s.e.blocks.Get(ctx, x, i, 0)
	if err != nil {
		return false, broken(o, err)
	}
	defer b.Release()
	for k := range b.Items {
		it := &b.Items[k]
		if it.Range.End > from && it.Range.Start < to && !stop {
			_, stop = visit(candidate{it.Range, it.MaxTimestamp, false})
		}
	}
	return stop, nil
}

// scanCached visits the records in the WAL cache. It reports false when some have been evicted since: then they are in objects.
func (s *Stream) scanCached(from, to base.Offset, visit func(candidate) (descend, stop bool)) (done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := &s.mu.index
	switch {
	case s.mu.detached:
		return false, s.mu.refusal
	case from >= s.Durable():
		return true, nil
	case x.Len() == 0 || from < x.At(0).Base:
		return false, nil
	}
	for i := x.Search(from); i < x.Len(); i++ {
		en := x.At(i)
		if en.Base >= to {
			break
		}
		if _, stop := visit(candidate{entryRange(en), en.MaxTimestamp, false}); stop {
			break
		}
	}
	return true, nil
}

func entryRange(e *cache.Entry) base.OffsetRange {
	return base.OffsetRange{Start: e.Base, End: e.End()}
}

// Ranges lists the ranges of the stream that are in committed objects, ascending: what retention can cut along. The first may begin
// below Start.
func (s *Stream) Ranges(ctx context.Context) ([]ObjectRange, error) {
	var all []ObjectRange
	from := s.Start()
	for {
		loc, err := s.e.opt.Catalog.Locate(ctx, s.id, from, locatePage)
		if err != nil {
			return nil, err
		}
		all = append(all, loc.Objects...)
		if len(loc.Objects) < locatePage {
			return all, nil
		}
		from = loc.Objects[len(loc.Objects)-1].Range.End
	}
}

// Size estimates the record bytes of the stream: those of all objects' ranges, the first of which may be partly trimmed, and those not
// uploaded yet.
func (s *Stream) Size(ctx context.Context) (int64, error) {
	loc, err := s.e.opt.Catalog.Locate(ctx, s.id, s.Start(), 1)
	if err != nil {
		return 0, err
	}
	if loc.Bytes == 0 && len(loc.Objects) > 0 {
		ranges, err := s.Ranges(ctx)
		if err != nil {
			return 0, err
		}
		for _, r := range ranges {
			loc.Bytes += r.Bytes
		}
	}
	return loc.Bytes + s.unuploaded.Load(), nil
}
