//go:build !wasip1

// Command sim runs simulations of whole clusters, see package world: each seed is a world, run in WebAssembly, where time, randomness and the order
// of goroutines follow from the seed. A seed that fails is named with the command that runs it again, event by event.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"sluice/test/sim/world"
)

func main() {
	first := flag.Uint64("first", 1, "the first `seed`")
	seeds := flag.Int("seeds", 20, "how many seeds")
	twice := flag.Int("twice", 5, "run every so many-th seed twice and compare the events; 0: none")
	workers := flag.Int("workers", 2, "runs side by side")
	events := flag.Bool("events", false, "print every event of the first seed, and run only this one")
	flag.Parse()
	if *events {
		*seeds, *twice = 1, 0
	}
	if err := simulate(context.Background(), *first, *seeds, *twice, *workers, *events); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// simulate runs the seeds and says what came of them. An error when one of them did not pass.
func simulate(ctx context.Context, first uint64, seeds, twice, workers int, events bool) error {
	s, err := newSimulator(ctx)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	var (
		mu     sync.Mutex
		failed []uint64
		total  time.Duration
		count  int
		wg     sync.WaitGroup
		next   = make(chan uint64)
		began  = time.Now()
	)
	one := func(seed uint64) {
		r, err := s.run(ctx, seed, events)
		if err == nil && twice > 0 && seed%uint64(twice) == 0 {
			err = s.again(ctx, r)
		}
		mu.Lock()
		defer mu.Unlock()
		total += r.Virtual
		count += r.Events
		if err == nil && r.Passed() && !events {
			return
		}
		if err != nil || !r.Passed() {
			failed = append(failed, seed)
		}
		describe(os.Stdout, seed, r, err)
	}
	for range workers {
		wg.Go(func() {
			for seed := range next {
				one(seed)
			}
		})
	}
	for i := range seeds {
		next <- first + uint64(i)
	}
	close(next)
	wg.Wait()
	fmt.Printf("%d seeds, %d failed; %v simulated in %v; %d events\n", seeds, len(failed), total.Round(time.Second), time.Since(began).Round(time.Second), count)
	if len(failed) > 0 {
		return fmt.Errorf("failed: %d", failed)
	}
	return nil
}

func describe(out io.Writer, seed uint64, r world.Result, err error) {
	fmt.Fprintf(out, "seed %d: %v after %v, %d events, hash %s\n  %s\n", seed, r.Verdict, r.Virtual.Round(time.Millisecond), r.Events, r.Hash, r.Swarm)
	for _, wrong := range r.Wrong {
		fmt.Fprintf(out, "  %s\n", wrong)
	}
	if !r.Passed() {
		fmt.Fprintf(out, "  %s\n", r.Report)
	}
	if err != nil {
		fmt.Fprintf(out, "  %v\n", err)
	}
	fmt.Fprintf(out, "  run it again: go run ./test/sim -first %d -events 2>events.txt\n", seed)
}

// simulator holds the compiled guest.
type simulator struct {
	runtime wazero.Runtime
	guest   wazero.CompiledModule
	cache   wazero.CompilationCache
}

// newSimulator builds the guest and compiles it. What was compiled is kept in .cache.
func newSimulator(ctx context.Context) (*simulator, error) {
	dir, err := os.MkdirTemp("", "sluice-sim-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "guest.wasm")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "sluice/test/sim/guest")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the guest: %w\n%s", err, out)
	}
	code, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	cache, err := wazero.NewCompilationCacheWithDir(filepath.Join(".cache", "wazero"))
	if err != nil {
		return nil, err
	}
	s := &simulator{cache: cache, runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(cache))}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, s.runtime); err != nil {
		return nil, err
	}
	began := time.Now()
	if s.guest, err = s.runtime.CompileModule(ctx, code); err != nil {
		return nil, err
	}
	fmt.Printf("the guest was built and compiled; the latter took %v\n", time.Since(began).Round(time.Millisecond))
	return s, nil
}

func (s *simulator) close(ctx context.Context) {
	s.runtime.Close(ctx)
	s.cache.Close(ctx)
}

// run runs the world of a seed. The guest sees no real time and no real randomness: its clocks are one counter, which only a reading (100 ns) or a sleep
// (its length) advances, and Go's runtime draws the order of goroutines, selects and maps from the seeded source. It prints its events whether they are
// wanted or not, because a write is a call that advances the clock too: a run that is looked at must be the one that failed.
func (s *simulator) run(ctx context.Context, seed uint64, events bool) (r world.Result, err error) {
	r.Seed = seed
	var out, diag bytes.Buffer
	now := int64(1_700_000_000_000_000_000)
	tick := func() int64 { now += 100; return now }
	var stderr io.Writer = &diag
	if events {
		stderr = struct{ io.Writer }{os.Stderr} // not a file: the guest would treat one in another way
	}
	cfg := wazero.NewModuleConfig().WithName("").WithArgs("guest", "-seed", strconv.FormatUint(seed, 10)).WithStdout(&out).WithStderr(stderr).
		WithRandSource(rand.New(rand.NewSource(int64(seed)))).
		WithWalltime(func() (int64, int32) { t := tick(); return t / 1e9, int32(t % 1e9) }, sys.ClockResolution(1)).
		WithNanotime(tick, sys.ClockResolution(1)).
		WithNanosleep(func(ns int64) { now += ns })
	m, err := s.runtime.InstantiateModule(ctx, s.guest, cfg)
	if m != nil {
		defer m.Close(ctx)
	}
	if exit := (*sys.ExitError)(nil); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 0) {
		return r, fmt.Errorf("the guest ended: %w\n%s", err, tail(diag.Bytes()))
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("the guest printed %q: %w", out.String(), err)
	}
	return r, nil
}

// again runs a seed once more: the same must come of it.
func (s *simulator) again(ctx context.Context, r world.Result) error {
	second, err := s.run(ctx, r.Seed, false)
	if err != nil {
		return err
	}
	if second.Hash != r.Hash || second.Events != r.Events {
		return fmt.Errorf("it does not replay: %d events with hash %s, then %d with %s", r.Events, r.Hash, second.Events, second.Hash)
	}
	return nil
}

// tail returns the end of what a guest said before it died.
func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }
