package quota

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

var usual = windows{n: 11, ms: 1000}

// TestRateAsKafkaCounts: numbers that Kafka's own tests of quotas have.
func TestRateAsKafkaCounts(t *testing.T) {
	r, now := newRate(usual), int64(0)
	for range 10 { // 400 a second for ten seconds: below 500
		r.add(400, now)
		if w := r.waitMS(500, now); w != 0 {
			t.Fatalf("wait %d at %d", w, now)
		}
		now += 1000
	}
	now += 500
	r.add(2300, now) // 6300 in 10.5 s is 600 a second: (600-500)/500 of the 10.5 s
	if w := r.waitMS(500, now); w != 2100 {
		t.Fatalf("wait %d", w)
	}
}

// TestRateIsKept: whoever adds what he likes, and waits when told to, comes to the limit: over a long time within the debt of one step and one window in all of
// them, for the oldest is forgotten as a whole.
func TestRateIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := windows{n: rapid.IntRange(5, 20).Draw(t, "windows"), ms: int64(rapid.IntRange(500, 2000).Draw(t, "ms"))}
		limit := float64(rapid.IntRange(100, 100_000).Draw(t, "limit"))
		span := float64(w.n) * float64(w.ms) / 1000
		step := limit * max(span*rapid.Float64Range(0.001, 0.1).Draw(t, "step"), 0.1) // waits are whole milliseconds
		r, now, sum := newRate(w), int64(0), 0.0
		for end := int64(40) * int64(w.n) * w.ms; now < end; {
			r.add(step, now)
			sum += step
			now += 1 + r.waitMS(limit, now)
		}
		got := sum / (float64(now) / 1000)
		const first = 1. / 40 // what all windows hold may be had at once, and is so much of the whole time
		if off := 1.5/float64(w.n-1) + first; got > limit*(1+off)+step/(float64(now)/1000) || got < limit*(1-off) {
			t.Fatalf("%f a second, the limit is %f", got, limit)
		}
	})
}

func TestTimeMayGoBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, b := newRate(usual), bucket{w: usual}
		for range 50 {
			now := rapid.Int64Range(-1e12, 1e12).Draw(t, "now")
			r.add(rapid.Float64Range(0, 1e15).Draw(t, "v"), now)
			if w := r.waitMS(10, now); w < 0 || w > math.MaxInt32 {
				t.Fatal(w)
			}
			if w := b.take(rapid.Float64Range(0, 1e15).Draw(t, "n"), 10, now); w < 0 || w > math.MaxInt32 {
				t.Fatal(w)
			}
		}
	})
}

// TestBucket: a burst of 560 under a limit of 5 in 100 windows of a second leaves 60 to be paid, which takes 12 s; with a rate it would be 100 s.
func TestBucket(t *testing.T) {
	b := bucket{w: windows{n: 100, ms: 1000}}
	if w := b.take(560, 5, 0); w != 12_000 {
		t.Fatal(w)
	}
	b.refill(5, 11_999)
	if b.waitMS(5) == 0 {
		t.Fatal("too early")
	}
	b.refill(5, 12_000)
	if b.waitMS(5) != 0 {
		t.Fatal("too late")
	}
	b.refill(5, 1e9)
	if b.tokens != 500 {
		t.Fatalf("%f tokens, more than all windows hold", b.tokens)
	}
}
