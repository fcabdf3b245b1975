//go:build !wasip1

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"sluice/test/sim/world"
)

// triesOf is with how many seeds a smaller world is tried: what is taken away changes the order of everything else, and so hides some failures.
const triesOf = 4

// runner runs a world.
type runner interface {
	run(ctx context.Context, sc world.Scenario, events io.Writer) (world.Result, error)
}

// shrink makes a world that fails smaller, one thing after the other, as long as it fails in the same way, and writes the smallest to a file.
func shrink(ctx context.Context, s runner, sc world.Scenario, path string, out io.Writer) error {
	r, err := s.run(ctx, sc, nil)
	want := failure(r, err)
	if want == "" {
		return errors.New("this world passes")
	}
	fmt.Fprintf(out, "it fails by: %s\n", want)
	runs := 1
	for again := true; again; {
		again = false
		all := world.Smaller(sc)
		for i := 0; i < len(all); {
			found, n := holds(ctx, s, all[i], want)
			runs += n
			if found == nil {
				i++
				continue
			}
			fmt.Fprintf(out, "%4d runs, smaller: %s\n", runs, all[i].What)
			sc, again = *found, true
			all = world.Smaller(sc)
		}
	}
	fmt.Fprintf(out, "the smallest, after %d runs: %v\n  run it: go run ./test/sim -scenario %s -trace trace.txt\n", runs, sc, path)
	return os.WriteFile(path, sc.JSON(), 0o644)
}

// holds looks for a seed with which a candidate still fails in the way that is wanted. Nil: there is none.
func holds(ctx context.Context, s runner, c world.Candidate, want string) (found *world.Scenario, runs int) {
	for try := range uint64(triesOf) {
		sc := c.Scenario
		sc.Seed += try << 32
		r, err := s.run(ctx, sc, nil)
		if runs++; failure(r, err) == want {
			return &sc, runs
		}
	}
	return nil, runs
}

// failure says in which way a world fails. Empty: it passes.
func failure(r world.Result, err error) string {
	if err != nil {
		return "the guest ended"
	}
	return r.Failure()
}
