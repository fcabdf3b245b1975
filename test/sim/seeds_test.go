//go:build !wasip1

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"sluice/test/sim/world"
)

// In every test there are so many worlds with every fault there is; one in ten of them runs twice. Where worlds run in WebAssembly, ten times as slowly, there
// are a few short ones. For many: make sim.
const (
	seeds      = 30
	shortSeeds = 4
)

// short is the world of a seed with three plain faults, and without what takes long.
func short(seed uint64) world.Scenario {
	sc := world.NewScenario(seed)
	sc.Slow, sc.Quiet, sc.Rest = 0, 0, false
	sc.Producers, sc.Copiers, sc.Tellers = min(sc.Producers, 2), min(sc.Copiers, 1), 0
	sc.Groups = slices.DeleteFunc(sc.Groups, func(g world.GroupOf) bool { return g.Kind == "share" })
	sc.Steps = nil
	for i, fault := range []string{"kill", "pause", "outage of the bucket"} {
		sc.Steps = append(sc.Steps, world.Step{Fault: fault, Seed: seed + uint64(i), Before: world.Span(time.Second), After: world.Span(time.Second), Heal: true})
	}
	return sc
}

// TestSeeds: worlds pass, and one that runs again has the same events.
func TestSeeds(t *testing.T) {
	s, err := newSimulator(t.Context(), filepath.Join("..", "..", ".cache", "sim"), "", runtime.NumCPU(), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close(context.Background()) })
	s.wall = wallOfOne
	t.Logf("worlds are run %s", s.how)
	many, worldOf := uint64(shortSeeds), short
	if s.how == natively {
		many, worldOf = seeds, world.NewScenario
	}
	t.Run("seeds", func(t *testing.T) {
		for seed := range many {
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				t.Parallel()
				sc := worldOf(seed)
				r, err := s.run(t.Context(), sc, nil)
				if err == nil && seed%10 == 0 {
					_, err = s.again(t.Context(), sc, r)
				}
				if err != nil || !r.Passed() {
					t.Errorf("%v after %v: %q, %s, %v; the world:\n%s", r.Verdict, r.Virtual, r.Wrong, r.Report, err, sc.JSON())
				}
			})
		}
	})
}
