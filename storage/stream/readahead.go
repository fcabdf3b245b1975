package stream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"sluice/base"
)

// readAhead knows the sequential cold readers of a stream. A read that begins where an earlier one ended is sequential; each one doubles
// the window that is read ahead of it, up to a bound. When bytes that were read ahead are evicted unread, the cache is too small
// for the reader's pace, and reading ahead stops until the reader has gone on for a while without.
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

	window int64        // bytes to keep read ahead; 0: none
	off    bool         // reading ahead was in vain
	since  int64        // bytes read since then
	waste  atomic.Int64 // bytes evicted unread, added by the block cache
}

// step notes a read of [from, end) and returns the reader's cursor and how many bytes beyond end should be in memory, as far as the
// budget allows.
func (a *readAhead) step(from, end base.Offset, bytes int64, budget *aheadBudget) (*cursor, int64) {
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
	switch {
	case c.waste.Swap(0) > 0:
		c.window, c.off, c.since = budget.want(c, 0, time.Now()), true, 0
	case c.off:
		if c.since += bytes; c.since >= readAheadRearm {
			c.off = false
		}
	default:
		c.window = budget.want(c, min(max(2*c.window, readAheadMin), readAheadMax), time.Now())
	}
	return c, c.window
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

// moved notes that everything below ahead is read ahead.
func (a *readAhead) moved(c *cursor, ahead base.Offset) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.ahead = max(c.ahead, ahead)
}

func (a *readAhead) position(c *cursor) base.Offset {
	a.mu.Lock()
	defer a.mu.Unlock()
	return c.ahead
}

// readAhead reads ahead of a read that returned chunk. It never waits: what the free slots do not allow is left to the next read.
func (s *Stream) readAhead(ctx context.Context, from base.Offset, chunk *Chunk) {
	c, window := s.ahead.step(from, chunk.End, int64(chunk.Bytes), s.e.ahead)
	end := s.coldEnd()
	if window == 0 || chunk.End >= end {
		return
	}
	loc, err := s.e.opt.Catalog.Locate(ctx, s.id, chunk.End, locateLimit)
	if err != nil {
		return
	}
	at, ahead := chunk.End, s.ahead.position(c)
	for _, o := range loc.Objects {
		if window <= 0 || at >= end {
			break
		}
		var ok bool
		if at, window, ok = s.readAheadObject(o, at, ahead, window, c); !ok {
			break
		}
	}
	s.ahead.moved(c, at)
}

// readAheadObject walks the blocks of one object from offset at on, counts those below ahead against the window, and reads the others. It
// reports whether it got to the object's end.
func (s *Stream) readAheadObject(o ObjectRange, at, ahead base.Offset, window int64, c *cursor) (base.Offset, int64, bool) {
	x, ok := s.e.blocks.TryIndex(o.ID)
	if !ok {
		s.e.blocks.PrefetchIndex(o.ID, o.Size)
		return at, window, false
	}
	i, found := x.Find(s.id, max(at, o.Range.Start))
	for found && i < len(x.Entries) && x.Entries[i].Stream == s.id && x.Entries[i].Range.Start < o.Range.End {
		e := &x.Entries[i]
		if window <= 0 {
			return at, window, false
		}
		if e.Range.End <= ahead {
			at, window, i = e.Range.End, window-int64(e.Size), i+1
			continue
		}
		next, started := s.e.blocks.Prefetch(x, i, window, &c.waste)
		for ; i < next; i++ {
			at, window = x.Entries[i].Range.End, window-int64(x.Entries[i].Size)
		}
		if !started {
			return at, window, false
		}
	}
	return max(at, o.Range.End), window, true
}
