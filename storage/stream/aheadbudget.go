package stream

import (
	"math"
	"sync"
	"time"

	"sluice/base"
)

// aheadBudget divides what readers in sequence may have in memory ahead of them among all of them: together they stay within a part of the
// block cache, so that what one reader has read ahead is not evicted by another's before it is used. The division is by water-filling: everybody
// gets what he wants, up to one level for all at which the sum is the limit. Who has more, from a time when there were fewer, keeps
// it until he asks again; what is held that way others get later.
type aheadBudget struct {
	limit func() int64 // bytes; it may change

	mu struct {
		sync.Mutex
		total   int64
		windows map[*cursor]*grant
	}
}

// grant is what one reader wants, and what he has got.
type grant struct {
	wanted, bytes int64
	used          time.Time
}

// aheadShare is the part of the block cache, in quarters, that is for readers in sequence: what is read ahead of them and the extents they read in. What
// was read to its end is evicted before it.
const aheadShare = 3

// aheadIdle is how long a reader keeps its room without reading.
const aheadIdle = 2 * time.Second

func newAheadBudget(limit func() int64) *aheadBudget {
	b := &aheadBudget{limit: limit}
	b.mu.windows = map[*cursor]*grant{}
	return b
}

// want asks for room of so many bytes for c and returns what it may have: 0 gives the room back.
func (b *aheadBudget) want(c *cursor, bytes int64, now time.Time) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if bytes == 0 {
		b.dropLocked(c)
		return 0
	}
	g := b.mu.windows[c]
	if g == nil {
		g = &grant{}
		b.mu.windows[c] = g
	}
	g.wanted, g.used = bytes, now
	limit := b.limit()
	level := b.levelLocked(limit)
	if (level < bytes || b.mu.total-g.bytes+bytes > limit) && b.expireLocked(now) {
		level = b.levelLocked(limit)
	}
	bytes = min(bytes, level)
	bytes = max(min(bytes, limit-(b.mu.total-g.bytes)), min(bytes, readAheadMin))
	b.mu.total += bytes - g.bytes
	g.bytes = bytes
	return bytes
}

// touch notes that a reader is still there.
func (b *aheadBudget) touch(c *cursor, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.mu.windows[c]; g != nil {
		g.used = now
	}
}

// levelLocked returns the level up to which everybody gets what he wants.
func (b *aheadBudget) levelLocked(limit int64) int64 {
	rest, n, level := limit, int64(len(b.mu.windows)), int64(0)
	for n > 0 {
		level = rest / n // for those who are not known to want less
		before := n
		rest, n = limit, 0
		for _, g := range b.mu.windows {
			if g.wanted <= level {
				rest -= g.wanted
			} else {
				n++
			}
		}
		if n == before {
			return max(level, 1)
		}
	}
	return math.MaxInt64
}

// expireLocked takes back the room of readers that went away, and reports whether there were any.
func (b *aheadBudget) expireLocked(now time.Time) (some bool) {
	for c, g := range b.mu.windows {
		if now.Sub(g.used) > aheadIdle {
			b.dropLocked(c)
			some = true
		}
	}
	return some
}

func (b *aheadBudget) dropLocked(c *cursor) {
	if g := b.mu.windows[c]; g != nil {
		b.mu.total -= g.bytes
		delete(b.mu.windows, c)
	}
}

// check panics when the books are wrong; for tests.
func (b *aheadBudget) check() {
	b.mu.Lock()
	defer b.mu.Unlock()
	sum := int64(0)
	for _, g := range b.mu.windows {
		sum += g.bytes
	}
	if sum != b.mu.total {
		panic(base.Errorf(base.Unknown, "BUG: stream: windows of %d bytes are booked as %d", sum, b.mu.total))
	}
}
