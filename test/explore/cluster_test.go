package explore

import (
	"strings"
	"testing"
	"time"
)

// worlds are the small clusters that are walked through to the end: those with deep only by `make model`.
var worlds = []struct {
	name string
	deep bool
	b    bounds
}{
	{"one upload, one rescuer", false, bounds{parts: 1, appends: [3]int8{2, 1}, uploads: 1, uploadsAll: 1, piece: 1,
		fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1, faults: 1}},
	{"two uploads that race, one rescuer", false, bounds{parts: 2, appends: [3]int8{2}, uploads: 2, uploadsAll: 2, piece: 2,
		fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1, faults: 1}},
	{"two rescuers", false, bounds{parts: 1, appends: [3]int8{2}, uploads: 1, uploadsAll: 1, piece: 1,
		fences: [3]bool{true}, rescuers: [3]bool{1: true, 2: true}, grants: 2}},
	{"the rescuer is fenced as well", false, bounds{parts: 1, appends: [3]int8{1, 1}, uploads: 1, piece: 1,
		fences: [3]bool{true, true}, rescuers: [3]bool{1: true, 2: true}, grants: 3}},
	{"objects expire", false, bounds{parts: 1, appends: [3]int8{2}, uploads: 1, uploadsAll: 1, piece: 2,
		fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1, faults: 1, expiries: 1}},
	{"a rescue that starts over cuts its pieces differently", false, bounds{parts: 1, appends: [3]int8{2}, piece: 1, vary: true,
		fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1, faults: 2}},
	{"a partition moves to and fro", false, bounds{parts: 1, appends: [3]int8{2, 1}, uploads: 1, moves: 2, faults: 1}},
	{"a move, and the owner is fenced", false, bounds{parts: 1, appends: [3]int8{1, 1}, uploads: 1, piece: 2, moves: 1,
		fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1, faults: 1}},
	{"a move, and the target is fenced", false, bounds{parts: 1, appends: [3]int8{1, 1}, uploads: 1, piece: 2, moves: 1,
		fences: [3]bool{1: true}, rescuers: [3]bool{true}, grants: 1, faults: 1}},
	{"a close and a move", false, bounds{parts: 1, appends: [3]int8{1, 1}, uploads: 1, moves: 1, closes: 1, faults: 1}},
	{"two compactors and a trim", false, bounds{parts: 1, appends: [3]int8{2}, uploads: 1, uploadsAll: 2, trims: 1, compacts: [3]int8{1: 1, 2: 1}, cleans: true, faults: 1}},
	{"two compactors of three ranges", false, bounds{parts: 1, appends: [3]int8{3}, uploads: 1, uploadsAll: 3, compacts: [3]int8{1: 1, 2: 1}, cleans: true}},
	{"a compaction, and the owner is fenced", false, bounds{parts: 1, appends: [3]int8{3}, uploads: 1, uploadsAll: 2, piece: 1,
		fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1, compacts: [3]int8{2: 1}, cuts: true}},
	{"a compaction while a partition moves", false, bounds{parts: 1, appends: [3]int8{2, 1}, uploads: 1, moves: 1, trims: 1, compacts: [3]int8{2: 1}, cleans: true}},
	{"objects expire under a compaction", false, bounds{parts: 1, appends: [3]int8{2}, uploads: 1, uploadsAll: 2, expiries: 1, compacts: [3]int8{1: 1, 2: 1}, cleans: true, cuts: true}},
	{"two partitions in the sources", false, bounds{parts: 2, appends: [3]int8{4}, uploads: 1, uploadsAll: 2, compacts: [3]int8{1: 1, 2: 1}}},
	{"a reader with an old image, a compaction and a trim", false, bounds{parts: 1, appends: [3]int8{2}, uploads: 1, uploadsAll: 2, trims: 1,
		compacts: [3]int8{1: 1}, cleans: true, lags: [3]bool{2: true}, reads: 1}},
	{"readers with old images, one of which is fenced", false, bounds{parts: 1, appends: [3]int8{2}, uploads: 1, uploadsAll: 2, piece: 2,
		fences: [3]bool{1: true}, rescuers: [3]bool{2: true}, grants: 1, compacts: [3]int8{2: 1}, lags: [3]bool{1: true, 2: true}}},
	{"a move whose source dies, and then its rescuer", false, bounds{parts: 1, appends: [3]int8{1}, uploads: 1, uploadsAll: 1, piece: 1, moves: 1,
		fences: [3]bool{true, true}, rescuers: [3]bool{1: true, 2: true}, grants: 2}},

	{"one upload, one rescuer, three faults", true, bounds{parts: 1, appends: [3]int8{2, 1}, uploads: 1, uploadsAll: 1, piece: 1,
		fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1, faults: 3}},
	{"two rescuers, a fault", true, bounds{parts: 1, appends: [3]int8{2, 1}, uploads: 1, uploadsAll: 1, piece: 1,
		fences: [3]bool{true}, rescuers: [3]bool{1: true, 2: true}, grants: 2, faults: 1}},
	{"a partition moves to and fro, two faults", true, bounds{parts: 1, appends: [3]int8{2, 2}, uploads: 1, moves: 3, faults: 2}},
	{"moves, and both may be fenced", true, bounds{parts: 1, appends: [3]int8{1, 1}, uploads: 1, piece: 2, moves: 2,
		fences: [3]bool{true, true}, rescuers: [3]bool{2: true}, grants: 2, faults: 1}},
	{"two compactors of three ranges, a fault", true, bounds{parts: 1, appends: [3]int8{3}, uploads: 1, uploadsAll: 3, trims: 1, compacts: [3]int8{1: 1, 2: 1}, cleans: true, faults: 1}},
	{"a compaction, a move and a rescue", true, bounds{parts: 1, appends: [3]int8{2, 1}, uploads: 1, piece: 2, moves: 1, trims: 1,
		fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1, compacts: [3]int8{2: 1}, cleans: true}},
	{"a close and a move, two faults", true, bounds{parts: 1, appends: [3]int8{2, 1}, uploads: 1, moves: 1, closes: 1, faults: 2}},
	{"source and target of a move die, and then a rescuer", true, bounds{parts: 1, appends: [3]int8{1, 1}, uploads: 1, uploadsAll: 1, piece: 2, moves: 1,
		fences: [3]bool{true, true}, rescuers: [3]bool{1: true, 2: true}, grants: 3}},
	{"source and target of a move die, a fault", true, bounds{parts: 1, appends: [3]int8{1, 1}, uploads: 1, uploadsAll: 1, piece: 2, moves: 1,
		fences: [3]bool{true, true}, rescuers: [3]bool{2: true}, grants: 2, faults: 1, trims: 1}},
	{"a move, its source dies, a trim and a reader with an old image", true, bounds{parts: 1, appends: [3]int8{2, 1}, uploads: 1, uploadsAll: 1, piece: 2, moves: 1,
		fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1, trims: 1, lags: [3]bool{2: true}, reads: 1}},
	{"a move, its target dies, a trim and a reader with an old image", true, bounds{parts: 1, appends: [3]int8{2, 1}, uploads: 1, uploadsAll: 1, piece: 2, moves: 1,
		fences: [3]bool{1: true}, rescuers: [3]bool{2: true}, grants: 1, trims: 1, lags: [3]bool{2: true}, reads: 1}},
}

// TestCluster walks through small clusters to the end.
func TestCluster(t *testing.T) {
	for _, c := range worlds {
		if c.deep && !Deep() {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if Deep() {
				t.Parallel()
			}
			began := time.Now()
			r := Walk(newCluster(c.b), Limit{States: 20_000_000})
			t.Log(r, time.Since(began).Round(time.Millisecond))
			if r.Found != nil {
				t.Fatal(r.Found)
			}
			if !r.Complete {
				t.Error("cut off")
			}
		})
	}
}

// TestClusterMistakes: each mistake that is planted is found.
func TestClusterMistakes(t *testing.T) {
	for _, c := range []struct {
		mistake mistake
		breaks  string
		b       bounds
	}{
		{noNumberCheck, "I1", bounds{parts: 2, appends: [3]int8{2}, uploads: 2, uploadsAll: 2}},
		{noFenceCheck, "I1", bounds{parts: 1, appends: [3]int8{3}, uploads: 1, uploadsAll: 2, piece: 1, fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1}},
		{walkFromStart, "I3", bounds{parts: 1, appends: [3]int8{3}, uploads: 1, uploadsAll: 1, piece: 1, fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1}},
		{trimAhead, "I1", bounds{parts: 1, appends: [3]int8{2}, uploads: 1, uploadsAll: 1}},
		{completeEarly, "I1", bounds{parts: 1, appends: [3]int8{1}, piece: 1, fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1}},
		{lastSlotUnsealed, "I3", bounds{parts: 1, appends: [3]int8{1}, piece: 1, fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1}},
		{appendAfterSent, "I3", bounds{parts: 1, appends: [3]int8{1, 1}, uploads: 1, moves: 1, faults: 1}},
		{appendAfterSent, "I3", bounds{parts: 1, appends: [3]int8{1}, uploads: 1, closes: 1, faults: 1}},
		{handOverEarly, "I1", bounds{parts: 1, appends: [3]int8{1, 1}, uploads: 1, moves: 1}},
		{takenEarly, "I2", bounds{parts: 1, appends: [3]int8{1, 1}, uploads: 1, moves: 1}},
		{sourcesUnchecked, "I6", bounds{parts: 1, appends: [3]int8{2}, uploads: 1, uploadsAll: 2, compacts: [3]int8{1: 1, 2: 1}, cleans: true}},
		{laidFromHeld, "I6", bounds{parts: 1, appends: [3]int8{2}, uploads: 1, uploadsAll: 2, trims: 1, compacts: [3]int8{1: 1}, cuts: true}},
		{sourcesDeleted, "I6", bounds{parts: 2, appends: [3]int8{3}, uploads: 1, uploadsAll: 2, compacts: [3]int8{1: 1}}},
		{takenFenced, "I", bounds{parts: 1, appends: [3]int8{1, 1}, piece: 1, fences: [3]bool{true}, rescuers: [3]bool{2: true}, grants: 1}},
		{fromSeal, "I1", bounds{parts: 1, appends: [3]int8{1}, piece: 1, fences: [3]bool{true, true}, rescuers: [3]bool{1: true, 2: true}, grants: 2}},
		{positionsIgnored, "I7", bounds{parts: 1, appends: [3]int8{2}, uploads: 1, uploadsAll: 2, compacts: [3]int8{1: 1}, lags: [3]bool{2: true}}},
		{positionAssumed, "I7", bounds{parts: 1, appends: [3]int8{2}, uploads: 1, uploadsAll: 2, trims: 1, lags: [3]bool{2: true}}},
		{sourcesUnseen, "G10", bounds{parts: 1, appends: [3]int8{2}, uploads: 1, uploadsAll: 2, compacts: [3]int8{1: 1}, lags: [3]bool{2: true}, reads: 1}},
		{fencedAwaited, "I7", bounds{parts: 1, appends: [3]int8{1}, uploads: 1, uploadsAll: 1, piece: 1, trims: 1,
			fences: [3]bool{1: true}, rescuers: [3]bool{2: true}, grants: 1, lags: [3]bool{1: true}}},
		{duplicateTrusted, "I1", bounds{parts: 1, appends: [3]int8{2}, piece: 1, vary: true, fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1, faults: 2}},
	} {
		c.b.mistake = c.mistake
		r := Walk(newCluster(c.b), Limit{States: 2_000_000})
		if r.Found == nil || !strings.HasPrefix(r.Found.Err.Error(), c.breaks) {
			t.Errorf("%s: not found in %v, but %v", c.mistake, r, r.Found)
			continue
		}
		t.Logf("%s: found in %v: %v", c.mistake, r, r.Found)
	}
}
