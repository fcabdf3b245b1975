package stream

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestAheadBudgetStaysNearItsLimit: whatever readers want, come and go, the windows are within the limit once each has read again.
func TestAheadBudgetStaysNearItsLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 64 << 20
		b := newAheadBudget(func() int64 { return limit })
		now := time.Unix(1, 0)
		readers := make([]cursor, rapid.IntRange(1, 40).Draw(t, "readers"))
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			c := &readers[rapid.IntRange(0, len(readers)-1).Draw(t, "reader")]
			want := rapid.Int64Range(0, readAheadMax).Draw(t, "want")
			if got := b.want(c, want, now); got > max(want, readAheadMin) {
				t.Fatalf("wanted %d, got %d", want, got)
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond)
			b.check()
		}
		for range 3 {
			for i := range readers {
				b.want(&readers[i], readAheadMax, now)
			}
		}
		b.check()
		if b.mu.total > limit {
			t.Fatalf("%d bytes may be read ahead, the limit is %d", b.mu.total, int64(limit))
		}
	})
}

// TestAheadBudgetLoneReader: one reader gets all it wants, and again when the others have gone.
func TestAheadBudgetLoneReader(t *testing.T) {
	b := newAheadBudget(func() int64 { return 40 << 20 })
	var a, c cursor
	now := time.Unix(1, 0)
	if got := b.want(&a, readAheadMax, now); got != readAheadMax {
		t.Fatalf("a lone reader got %d", got)
	}
	b.want(&c, readAheadMax, now)
	if got := b.want(&a, readAheadMax, now); got > 40<<20-b.mu.windows[&c].bytes {
		t.Fatalf("with another one it keeps %d", got)
	}
	now = now.Add(2 * aheadIdle)
	b.want(&a, readAheadMax, now) // finds out that the other has gone
	if got := b.want(&a, readAheadMax, now); got != readAheadMax {
		t.Fatalf("alone again it got %d", got)
	}
}

// TestPlan: what is planned fits the room that was granted; nobody is read ahead by extents below aheadExtent for want of room, and who is not has what he needs read by
// the largest extent that fits.
func TestPlan(t *testing.T) {
	for _, c := range []struct{ room, wanted, window, extent int64 }{
		{3 << 20, 3 << 20, 1 << 20, 1 << 20}, // begins, and gets what he wants
		{3 << 20, 12 << 20, 0, 2 << 20},
		{6 << 20, 48 << 20, 0, 6 << 20},
		{11 << 20, 48 << 20, 0, 8 << 20},
		{12 << 20, 48 << 20, 4 << 20, 4 << 20},
		{19 << 20, 48 << 20, 7 << 20, 6 << 20},
		{48 << 20, 48 << 20, 32 << 20, 8 << 20},
	} {
		if window, extent := plan(c.room, c.wanted); window != c.window || extent != c.extent {
			t.Errorf("of %d MiB granted, %d wanted: window %d, extent %d", c.room>>20, c.wanted>>20, window, extent)
		}
	}
}
