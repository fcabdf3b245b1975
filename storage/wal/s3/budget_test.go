package s3

import (
	"testing"
	"time"

	"sluice/storage/wal/commit"
)

// TestBudget walks through one bucket of 4 puts per second.
func TestBudget(t *testing.T) {
	at := time.Unix(1000, 0)
	now := func() time.Time { return at }
	b := NewBudget(4, 8)
	take := func(what string, d commit.Demand, want bool) time.Duration {
		t.Helper()
		v := b.Next(now, d)
		if v.Take != want {
			t.Fatalf("%s: take %t with %.2f tokens", what, v.Take, b.tokens)
		}
		return v.Wait
	}
	small, busy := commit.Demand{Bytes: 100}, commit.Demand{Bytes: 100, InFlight: 1}
	take("nothing to write", commit.Demand{}, false)
	take("idle: at once", small, true)
	if w := take("busy, and the bucket is not full", busy, false); w != 250*time.Millisecond {
		t.Fatalf("wait %v", w)
	}
	take("quiet again: at once", small, true)
	if w := take("the budget is spent", small, false); w != 250*time.Millisecond {
		t.Fatalf("wait %v", w)
	}
	take("a full block always goes", commit.Demand{Bytes: 8 << 20, Full: true, InFlight: 3}, true)
	take("but only so many at a time", commit.Demand{Bytes: 8 << 20, Full: true, InFlight: 8}, false)
	at = at.Add(250 * time.Millisecond)
	take("a quarter of a second is one put", small, true)
	take("and no more", small, false)
	take("closing does not wait", commit.Demand{Bytes: 1, Closing: true}, true)
	at = at.Add(time.Hour)
	take("an hour is a full bucket", busy, true)
	take("and no more than that", busy, false)
}

// TestBudgetIsKept: whatever is asked of it, small blocks get no more than rate puts per second, plus the bucket.
func TestBudgetIsKept(t *testing.T) {
	at := time.Unix(1000, 0)
	b := NewBudget(4, 8)
	puts := 0
	for range 100_000 { // a hundred seconds
		at = at.Add(time.Millisecond)
		for b.Next(func() time.Time { return at }, commit.Demand{Bytes: 1}).Take {
			puts++
		}
	}
	if puts < 395 || puts > 402 {
		t.Fatalf("%d puts in 100 seconds", puts)
	}
}
