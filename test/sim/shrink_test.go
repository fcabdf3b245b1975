//go:build !wasip1

package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sluice/test/history"
	"sluice/test/sim/world"
)

// brokenBy is a simulator in which a world fails when it is killed and somebody copies, and in another way when it is large.
type brokenBy struct{}

func (brokenBy) run(_ context.Context, sc world.Scenario, _ io.Writer) (r world.Result, err error) {
	r.Verdict = history.Pass
	killed := slices.ContainsFunc(sc.Steps, func(st world.Step) bool { return st.Fault == "kill" })
	switch {
	case killed && sc.Copiers > 0:
		r.Kinds = []string{"lost write"}
	case sc.Partitions > 1:
		r.Kinds = []string{"duplicate"}
	}
	return r, nil
}

// A world shrinks to what its failure needs, and not to another failure.
func TestShrink(t *testing.T) {
	for seed := uint64(1); seed <= 200; seed++ {
		sc := world.NewScenario(seed)
		if r, _ := (brokenBy{}).run(t.Context(), sc, nil); r.Failure() != "lost write" {
			continue
		}
		path := filepath.Join(t.TempDir(), "small.json")
		if err := shrink(t.Context(), brokenBy{}, sc, path, io.Discard); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		small, err := world.ParseScenario(text)
		if err != nil {
			t.Fatal(err)
		}
		if len(small.Steps) != 1 || small.Steps[0].Fault != "kill" || small.Copiers != 1 || small.Brokers != 1 || small.Partitions != 1 || small.Tail || len(small.Groups) > 0 {
			t.Errorf("seed %d became %v", seed, small)
		}
	}
}

// A world that passes is not shrunk.
func TestShrinkNothing(t *testing.T) {
	if err := shrink(t.Context(), brokenBy{}, world.Scenario{Partitions: 1}, filepath.Join(t.TempDir(), "none.json"), io.Discard); err == nil {
		t.Fatal("it was shrunk")
	}
}
