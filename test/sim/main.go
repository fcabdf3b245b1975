//go:build !wasip1

// Command sim runs simulations of whole clusters, see package world: each seed is a world, run where time, randomness and the order
// of goroutines follow from the seed: on a runtime of Go that was edited for it, or in WebAssembly. A seed that fails is named with the commands that run it again, event by event, and that make it smaller.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"sluice/test/sim/world"
)

// options are the flags.
type options struct {
	first    uint64
	seeds    int
	twice    int
	workers  int
	quiet    time.Duration
	wall     time.Duration
	kind     string
	scenario string
	trace    string
	print    bool
	shrink   string
	report   string
	tags     string
	bugs     string
	sum      bool
	wasm     bool
}

func main() {
	var o options
	flag.Uint64Var(&o.first, "first", 1, "the first `seed`")
	flag.IntVar(&o.seeds, "seeds", 20, "how many seeds")
	flag.IntVar(&o.twice, "twice", 5, "run every so many-th seed twice and compare the events; 0: none")
	flag.IntVar(&o.workers, "workers", runtime.NumCPU(), "runs side by side")
	flag.DurationVar(&o.quiet, "quiet", 0, "let each world go on for so long when its faults are over")
	flag.DurationVar(&o.wall, "wall", wallOfOne, "how long a world may take in real time; 0: for ever")
	flag.StringVar(&o.kind, "kind", "", "the `kind` of all worlds: dense (minutes), long (an hour), days; default: each seed has its own")
	flag.StringVar(&o.scenario, "scenario", "", "run the scenario of a `file` in the place of seeds")
	flag.StringVar(&o.trace, "trace", "", "run one world only, and write every event of it to a `file`")
	flag.BoolVar(&o.print, "print", false, "print the scenario of the first seed, and run nothing")
	flag.StringVar(&o.shrink, "shrink", "", "make one world that fails as small as it goes, and write that scenario to a `file`")
	flag.StringVar(&o.report, "report", "", "append what came of each seed to a `file`, a line of JSON each")
	flag.BoolVar(&o.sum, "sum", false, "add up the report files that follow, and run nothing")
	flag.StringVar(&o.tags, "tags", "", "build tags of the guest")
	flag.StringVar(&o.bugs, "bugs", "", "look for seeded bugs, separated by commas: seeds until one finds the bug; with -tags seededbugs")
	flag.BoolVar(&o.wasm, "wasm", false, "run worlds in WebAssembly, where a seed is another world, and takes ten times as long")
	flag.Parse()
	if err := o.do(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (o options) do(ctx context.Context, out io.Writer) error {
	if o.sum {
		return sum(flag.Args(), out)
	}
	one, err := o.world(o.first)
	if err != nil {
		return err
	}
	if o.print {
		_, err := out.Write(one.JSON())
		return err
	}
	began := time.Now()
	s, err := newSimulator(ctx, filepath.Join(".cache", "sim"), o.tags, runtime.NumCPU(), o.wasm)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	s.wall = o.wall
	fmt.Fprintf(out, "the guest was built in %v, and is run %s\n", time.Since(began).Round(time.Millisecond), s.how)
	switch {
	case o.bugs != "":
		return o.hunt(ctx, s, out)
	case o.shrink != "":
		return shrink(ctx, s, one, o.shrink, out)
	case o.trace != "" || o.scenario != "":
		return o.runOne(ctx, s, one, out)
	}
	return o.runAll(ctx, s, out)
}

// world is the world of a seed, or that of the file.
func (o options) world(seed uint64) (world.Scenario, error) {
	if o.scenario != "" {
		text, err := os.ReadFile(o.scenario)
		if err != nil {
			return world.Scenario{}, err
		}
		return world.ParseScenario(text)
	}
	if !world.Known(o.kind) {
		return world.Scenario{}, fmt.Errorf("-kind %s: there are worlds of kind dense, long and days", o.kind)
	}
	sc := world.NewScenarioOf(world.Kind(o.kind), seed)
	sc.Quiet += world.Span(o.quiet)
	return sc, nil
}

// runOne runs one world and tells what came of it in any case.
func (o options) runOne(ctx context.Context, s *simulator, sc world.Scenario, out io.Writer) error {
	var events io.Writer
	if o.trace != "" {
		f, err := os.Create(o.trace)
		if err != nil {
			return err
		}
		defer f.Close()
		events = f
	}
	r, err := s.run(ctx, sc, events)
	o.describe(out, sc, r, err)
	if err == nil && !r.Passed() {
		err = fmt.Errorf("failed")
	}
	return err
}

// runAll runs the seeds side by side and says what came of them. An error when one of them did not pass.
func (o options) runAll(ctx context.Context, s *simulator, out io.Writer) error {
	var wg sync.WaitGroup
	next := make(chan uint64)
	all := newSummary(o, out)
	for range o.workers {
		wg.Go(func() {
			for seed := range next {
				all.add(o.runSeed(ctx, s, seed))
			}
		})
	}
	for i := range o.seeds {
		next <- o.first + uint64(i)
	}
	close(next)
	wg.Wait()
	return all.end()
}

// ended is a world and what came of it.
type ended struct {
	sc    world.Scenario
	r     world.Result
	err   error
	twice bool // it was run twice
	cost       // of a processor: all runs
}

func (o options) runSeed(ctx context.Context, s *simulator, seed uint64) (e ended) {
	if e.sc, e.err = o.world(seed); e.err != nil {
		return e
	}
	e.r, e.cost, e.err = s.measured(ctx, e.sc, nil)
	if e.twice = e.err == nil && o.twice > 0 && seed%uint64(o.twice) == 0; e.twice {
		var second cost
		second, e.err = s.again(ctx, e.sc, e.r)
		e.processor += second.processor
	}
	return e
}
