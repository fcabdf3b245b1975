package stream

import (
	"sync"
	"time"

	"sluice/base"
)

// aheadBudget divides what may be read ahead among all sequential readers of the engine: their windows together stay within a part
// of the block cache, so that what one reader has read ahead is not evicted by another's before it is used. A reader that wants
// more than its fair share gets it only while there is room; when room is short, windows shrink to the fair share, and those of
// readers that went away are taken back.
type aheadBudget struct {
	limit int64 // bytes

	mu struct {
		sync.Mutex
		total   int64
		windows map[*cursor]*grant
	}
}

// grant is what one reader may have read ahead.
type grant struct {
	bytes int64
	used  time.Time
}

// aheadShare is the part of the block cache that may be read ahead and not read yet. While a reader uses up what was read ahead for it,
// as much again is read ahead for the next turn, and both lie in the cache beside what was just read: a quarter each, and a
// quarter to spare.
const aheadShare = 4

// aheadIdle is how long a reader keeps its window without reading.
const aheadIdle = 5 * time.Second

func newAheadBudget(limit int64) *aheadBudget {
	b := &aheadBudget{limit: limit}
	b.mu.windows = map[*cursor]*grant{}
	return b
}

// want asks for a window of so many bytes for c and returns what it may have: 0 gives the window back.
func (b *aheadBudget) want(c *cursor, bytes int64, now time.Time) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.mu.windows[c]
	if bytes == 0 {
		b.dropLocked(c)
		return 0
	}
	if g == nil {
		g = &grant{}
		b.mu.windows[c] = g
	}
	g.used = now
	rest := b.limit - (b.mu.total - g.bytes)
	if bytes > rest {
		b.expireLocked(now)
		rest = b.limit - (b.mu.total - g.bytes)
		fair := b.limit / int64(len(b.mu.windows))
		bytes = min(bytes, max(rest, min(g.bytes, fair)))
		if bytes < min(readAheadMin, fair) {
			bytes = min(readAheadMin, fair) // a newcomer gets its share at once; the others shrink as they read on
		}
	}
	if b.mu.total > b.limit { // newcomers came: back to the fair share
		bytes = min(bytes, max(b.limit/int64(len(b.mu.windows)), 1))
	}
	b.mu.total += bytes - g.bytes
	g.bytes = bytes
	return bytes
}

// expireLocked takes back the windows of readers that went away.
func (b *aheadBudget) expireLocked(now time.Time) {
	for c, g := range b.mu.windows {
		if now.Sub(g.used) > aheadIdle {
			b.dropLocked(c)
		}
	}
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
