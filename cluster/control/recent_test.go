package control

import (
	"testing"

	"sluice/base"
	"sluice/cluster/metalog"
)

// filled returns a ring that was given so many slots of three records and 100 bytes each.
func filled(slots int) *recent {
	r := &recent{}
	for i := range slots {
		r.add(metalog.Entry{From: base.MetaPos(3 * i), Records: 3, Body: make([]byte, 100)})
	}
	return r
}

// A follower gets whole slots from where it is, as many as it may have but at least one; who is elsewhere is told so.
func TestRecent(t *testing.T) {
	r := filled(recentMax + 10)
	first, end := base.MetaPos(30), base.MetaPos(3*(recentMax+10))
	for _, c := range []struct {
		pos   base.MetaPos
		max   int
		count int
		ok    bool
	}{
		{first, 1000, 10, true}, {first, 0, 1, true}, {first - 3, 1000, 0, false}, {0, 1000, 0, false}, {first + 1, 1000, 0, false},
		{end - 6, 1000, 2, true}, {end, 1000, 0, true}, {end + 3, 1000, 0, false}, {3 * 5000, 250, 2, true},
	} {
		got, ok := r.from(c.pos, c.max)
		if ok != c.ok || len(got) != c.count || len(got) > 0 && got[0].From != c.pos {
			t.Errorf("from %d: %d entries, %v", c.pos, len(got), ok)
		}
	}
	if got, ok := new(recent).from(0, 1); ok || got != nil {
		t.Error("something from nothing")
	}
}

// BenchmarkRecent is what the controller does for each follower and slot, beside sending it.
func BenchmarkRecent(b *testing.B) {
	r := filled(recentMax)
	for b.Loop() {
		if got, ok := r.from(3*(recentMax-1), followBytes); !ok || len(got) != 1 {
			b.Fatal(got)
		}
	}
}
