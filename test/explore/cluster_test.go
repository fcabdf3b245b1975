package explore

import (
	"strings"
	"testing"
	"time"
)

// TestCluster walks through small clusters to the end.
func TestCluster(t *testing.T) {
	for _, c := range []struct {
		name string
		b    bounds
	}{
		{"one upload, one rescuer, two faults", bounds{parts: 1, appends: [3]int8{2, 1}, uploads: 1, uploadsAll: 1, piece: 1,
			fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1, faults: 2}},
		{"two uploads that race, one rescuer", bounds{parts: 2, appends: [3]int8{2}, uploads: 2, uploadsAll: 2, piece: 2,
			fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1, faults: 1}},
		{"two rescuers", bounds{parts: 1, appends: [3]int8{2, 1}, uploads: 1, uploadsAll: 1, piece: 1,
			fences: [3]bool{true}, rescuers: [3]bool{1: true, 2: true}, grants: 2, faults: 1}},
		{"the rescuer is fenced as well", bounds{parts: 1, appends: [3]int8{2, 1}, uploads: 1, piece: 1,
			fences: [3]bool{true, true}, rescuers: [3]bool{1: true, 2: true}, grants: 3}},
		{"objects expire", bounds{parts: 1, appends: [3]int8{2}, uploads: 1, uploadsAll: 1, piece: 2,
			fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1, faults: 1, expiries: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			r := Run(newCluster(c.b), Limit{States: 3_000_000})
			t.Log(r, time.Since(began))
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
		{piecesVary, "I1", bounds{parts: 1, appends: [3]int8{2}, piece: 1, fences: [3]bool{true}, rescuers: [3]bool{1: true}, grants: 1, faults: 2}},
	} {
		c.b.mistake = c.mistake
		r := Run(newCluster(c.b), Limit{States: 2_000_000})
		if r.Found == nil || !strings.HasPrefix(r.Found.Err.Error(), c.breaks) {
			t.Errorf("%s: not found in %v, but %v", c.mistake, r, r.Found)
			continue
		}
		t.Logf("%s: found in %v: %v", c.mistake, r, r.Found)
	}
}
