package stream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/storage/cache"
	"sluice/storage/object"
)

// readAhead knows the sequential cold readers of a stream. A read that begins where an earlier one ended is sequential; each one doubles
// the window that is read ahead of it, up to a bound. When bytes that were read ahead are evicted unread, the cache is too small
// for the reader's pace, and reading ahead stops until the reader has gone on for a while without.
//
// What is read ahead is whole extents of the objects, as large as the window allows: a reader that goes on by a megabyte at a time
// has one GET made for every four or eight of them, and readers of one stretch find each other's extents. A reader takes room of the
// budget only while it is he who has GETs made; one that follows another takes none.
type readAhead struct {
	mu struct {
		sync.Mutex
		cursors []*cursor // at most readAheadCursors
		clock   uint64
	}
}

// cursor is one sequential reader.
type cursor struct {
	next  base.Offset // where it will read
	used  uint64      // clock of its last read
	ahead base.Offset // everything from next up to here has been read ahead, or is being
	own   base.Offset // up to here that was for this reader

	demand int64 // what a read that misses has read at once, where there is no room to read ahead; 0: what it asks for

	want  int64        // bytes to keep read ahead, as far as the budget allows; 0: none
	off   bool         // reading ahead was in vain
	since int64        // bytes read since then
	waste atomic.Int64 // bytes evicted unread, added by the block cache
}

// step notes a read of [from, end), which missed if it had to wait for the bucket. It returns the reader's cursor and how many bytes beyond end he should find in memory.
func (a *readAhead) step(from, end base.Offset, bytes int64, missed bool, budget *aheadBudget) (*cursor, int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.clock++
	c := a.findLocked(from)
	if c == nil {
		c = a.newLocked(budget)
		c.next, c.used, c.ahead = end, a.mu.clock, end
		return c, 0
	}
	c.next, c.used, c.ahead = end, a.mu.clock, max(c.ahead, end)
	if missed {
		c.ahead = end // what was there may have been evicted
	}
	switch {
	case c.waste.Swap(0) > 0:
		c.want, c.demand, c.off, c.since = 0, 0, true, 0
		budget.want(c, 0, time.Time{})
	case c.off:
		if c.since += bytes; c.since >= readAheadRearm {
			c.off = false
		}
	default:
		c.want = min(max(2*c.want, bytes, readAheadMin), readAheadMax)
	}
	return c, c.want
}

// extentOf is the size of the extents that a reader with such a window is read ahead by: a power of two, or whole MiB from aheadExtent on.
func extentOf(window int64) int64 {
	if window >= aheadExtent {
		return min(window&^(1<<20-1), cache.ExtentMax)
	}
	extent := int64(cache.ExtentMin)
	for 2*extent <= window {
		extent *= 2
	}
	return extent
}

// roomOf is what a reader with such a window has in memory at most: the window, the extent that is read as soon as less than the window
// is there, and the one he is reading in.
func roomOf(window int64) int64 { return window + 2*extentOf(window) }

// plan makes the most of what a reader was granted of the room he wanted: the window and the extents it is filled with. Who gets less than three
// extents of aheadExtent has none read ahead of him, since that would take smaller ones, of which each costs as much: what he needs is read when he needs it,
// a whole extent of what fits his room.
func plan(room, wanted int64) (window, extent int64) {
	extent = extentOf(room / 3)
	if extent < aheadExtent && room < wanted {
		return 0, extentOf(room)
	}
	return max(room-2*extent, room/3), extent
}

// demand returns the reader who goes on at from, and the extent that is to be read when he misses; 0 if there is none.
func (a *readAhead) demand(from base.Offset) (*cursor, int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.findLocked(from)
	if c == nil {
		return nil, 0
	}
	return c, c.demand
}

func (a *readAhead) setDemand(c *cursor, extent int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.demand = extent
}

func (a *readAhead) findLocked(from base.Offset) *cursor {
	for _, c := range a.mu.cursors {
		if c.next == from {
			return c
		}
	}
	return nil
}

// newLocked returns a fresh cursor, in place of the one that was not used for longest if there are too many.
func (a *readAhead) newLocked(budget *aheadBudget) *cursor {
	c := &cursor{}
	if len(a.mu.cursors) < readAheadCursors {
		a.mu.cursors = append(a.mu.cursors, c)
		return c
	}
	oldest := 0
	for i, o := range a.mu.cursors {
		if o.used < a.mu.cursors[oldest].used {
			oldest = i
		}
	}
	budget.want(a.mu.cursors[oldest], 0, time.Time{})
	a.mu.cursors[oldest] = c
	return c
}

// moved notes that everything below ahead is read ahead, and whether it was for this reader. A reader for whom others have read ahead all
// that is there gives back his room.
func (a *readAhead) moved(c *cursor, ahead base.Offset, own bool, budget *aheadBudget) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.ahead = max(c.ahead, ahead)
	if own {
		c.own = ahead
	} else if c.own <= c.next {
		budget.want(c, 0, time.Time{})
	} else {
		budget.touch(c, time.Now())
	}
}

// takeOver makes c the one for whom what lies behind at is read, in the place of readers for whom everything up to there was: they read the same
// stretch, and need no room of their own.
func (a *readAhead) takeOver(c *cursor, at base.Offset, budget *aheadBudget) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.mu.cursors {
		if o != c && o.next <= at && at <= o.own {
			o.own = o.next
			budget.want(o, 0, time.Time{})
		}
	}
}

func (a *readAhead) position(c *cursor) base.Offset {
	a.mu.Lock()
	defer a.mu.Unlock()
	return c.ahead
}

// readAhead reads ahead of a read that returned chunk. It never waits: what there is no room for is left to the next read.
func (s *Stream) readAhead(ctx context.Context, from base.Offset, chunk *Chunk, missed bool) {
	c, want := s.ahead.step(from, chunk.End, int64(chunk.Bytes), missed, s.e.ahead)
	end := s.coldEnd()
	if chunk.End >= end {
		s.e.ahead.want(c, 0, time.Time{}) // the rest is in the WAL cache
		return
	}
	if want == 0 {
		return
	}
	loc, err := s.e.opt.Catalog.Locate(ctx, s.id, chunk.End, locateLimit)
	if err != nil {
		return
	}
	f := filling{s: s, c: c, at: chunk.End, ahead: s.ahead.position(c), window: want}
	for _, o := range loc.Objects {
		if f.window <= 0 || f.at >= end || !f.object(o) {
			break
		}
	}
	s.ahead.moved(c, f.at, f.granted, s.e.ahead)
}

// filling is one attempt to fill a window.
type filling struct {
	s       *Stream
	c       *cursor
	at      base.Offset // what is next
	ahead   base.Offset // everything below is in memory or on its way
	window  int64       // bytes still to be had
	extent  int64       // once granted
	granted bool
}

// grant asks the budget for room when the first GET is to be made; what is not granted comes off the window. It reports whether the
// window is still open.
func (f *filling) grant() bool {
	if f.granted {
		return f.window > 0
	}
	f.granted = true
	f.s.ahead.takeOver(f.c, f.at, f.s.e.ahead)
	wanted := roomOf(f.c.want)
	window, extent := plan(f.s.e.ahead.want(f.c, wanted, time.Now()), wanted)
	f.s.ahead.setDemand(f.c, extent)
	f.window -= max(0, f.c.want-window)
	f.extent = min(extent, extentOf(f.c.want))
	return f.window > 0
}

// object walks the blocks of one object from f.at on, counts those that are there against the window, and reads the others. It reports
// whether it got to the object's end.
func (f *filling) object(o ObjectRange) bool {
	blocks := f.s.e.blocks
	x, ok := blocks.TryIndex(o.ID)
	if !ok {
		whole := cache.IsWhole(o.Size, o.Bytes)
		if (whole || blocks.ComesWithIndex(o.Size)) && !f.grant() { // when he needs it, one GET brings it and blocks
			return false
		}
		tail := cache.Tail{}
		if whole {
			tail = cache.Tail{Stream: f.s.id, Bytes: o.Bytes, Waste: &f.c.waste}
		}
		blocks.PrefetchIndex(o.ID, o.Size, tail)
		return false
	}
	i, found := x.Find(f.s.id, max(f.at, o.Range.Start))
	for found && i < len(x.Entries) && x.Entries[i].Stream == f.s.id && x.Entries[i].Range.Start < o.Range.End {
		e := &x.Entries[i]
		switch {
		case f.window <= 0:
			return false
		case e.Range.End <= f.ahead || blocks.Has(x, i):
			f.took(e)
			i++
			continue
		case !f.grant():
			return false
		}
		next, done := blocks.Prefetch(x, i, f.window, f.extent, &f.c.waste)
		for ; i < next; i++ {
			f.took(&x.Entries[i])
		}
		if !done {
			return false
		}
	}
	f.at = max(f.at, o.Range.End)
	return true
}

func (f *filling) took(e *object.Entry) {
	f.at, f.window = e.Range.End, f.window-int64(e.Size)
}
