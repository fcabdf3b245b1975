//go:build !wasip1

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"sluice/base/seeded"
	"sluice/test/sim/world"
)

// simulator holds the compiled guest.
type simulator struct {
	runtime wazero.Runtime
	guest   wazero.CompiledModule
	cache   wazero.CompilationCache
	bug     seeded.Name   // that is turned on in the guest
	wall    time.Duration // that a run may take
}

// newSimulator builds the guest and compiles it on all cores. What was compiled last is kept in dir, so that the next run with the same code begins at once.
func newSimulator(ctx context.Context, dir, tags string, workers int) (*simulator, error) {
	code, err := buildGuest(ctx, dir, tags)
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "compiled"+tags)
	compiled := filepath.Join(dir, fmt.Sprintf("%x", sha256.Sum256(code))[:16])
	if err := forgetOthers(dir, compiled); err != nil {
		return nil, err
	}
	cache, err := wazero.NewCompilationCacheWithDir(compiled)
	if err != nil {
		return nil, err
	}
	s := &simulator{bug: seeded.Name(os.Getenv(seeded.Env)), cache: cache, runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(cache))}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, s.runtime); err != nil {
		return nil, err
	}
	s.guest, err = s.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, workers), code)
	return s, err
}

// buildGuest returns the guest's code.
func buildGuest(ctx context.Context, dir, tags string) ([]byte, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, "guest-*.wasm")
	if err != nil {
		return nil, err
	}
	f.Close()
	defer os.Remove(f.Name())
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-tags", tags, "-o", f.Name(), "sluice/test/sim/guest")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the guest: %w\n%s", err, out)
	}
	return os.ReadFile(f.Name())
}

// forgetOthers removes what was compiled of other guests.
func forgetOthers(dir, keep string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); e.IsDir() && path != keep {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *simulator) close(ctx context.Context) {
	s.runtime.Close(ctx)
	s.cache.Close(ctx)
}

// run runs a scenario. The guest sees no real time and no real randomness: its clocks are one counter, see [clock], and Go's runtime draws the order of goroutines, selects and maps from the seeded source. events, if not nil, gets the trace. The guest
// prints it whether it is wanted or not, because a write is a call that advances the clock too: a run that is looked at must be the one that failed.
func (s *simulator) run(ctx context.Context, sc world.Scenario, events io.Writer) (r world.Result, err error) {
	r.Seed = sc.Seed
	var out bytes.Buffer
	diag := &lastBytes{to: events}
	clock := newClock(s.wall)
	cfg := wazero.NewModuleConfig().WithName("").WithArgs("guest").WithStdin(bytes.NewReader(sc.JSON())).WithStdout(&out).WithStderr(diag).
		WithRandSource(rand.New(rand.NewSource(int64(sc.Seed)))).
		WithEnv(seeded.Env, string(s.bug)). // the guest looks at it if it was built with the tag seededbugs
		WithWalltime(func() (int64, int32) { t := clock.read(); return t / 1e9, int32(t % 1e9) }, sys.ClockResolution(1)).
		WithNanotime(clock.read, sys.ClockResolution(1)).
		WithNanosleep(clock.sleep)
	m, err := s.runtime.InstantiateModule(ctx, s.guest, cfg)
	if m != nil {
		defer m.Close(ctx)
	}
	if exit := (*sys.ExitError)(nil); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 0) {
		return r, fmt.Errorf("the guest ended: %w\n%s", err, diag.kept)
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("the guest printed %q: %w", out.String(), err)
	}
	err = keepHistory(&r)
	return r, err
}

// keepHistory puts the history of a run that did not pass into the directory SLUICE_HISTORY, for sluice-check, if there is one.
func keepHistory(r *world.Result) error {
	packed, dir := r.History, os.Getenv("SLUICE_HISTORY")
	r.History = nil
	if len(packed) == 0 || dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fmt.Sprintf("sim-%d.jsonl.gz", r.Seed)), packed, 0o644)
}

// again runs a scenario once more: the same must come of it.
func (s *simulator) again(ctx context.Context, sc world.Scenario, r world.Result) error {
	second, err := s.run(ctx, sc, nil)
	if err != nil {
		return err
	}
	if second.Hash != r.Hash || second.Events != r.Events {
		return fmt.Errorf("it does not replay: %d events with hash %s, then %d with %s", r.Events, r.Hash, second.Events, second.Hash)
	}
	return nil
}

// lastBytes keeps the end of what a guest says, for when it dies, and hands everything on. It is no file: the guest would treat one in another way.
type lastBytes struct {
	to   io.Writer // nil: nowhere
	kept []byte
}

// keptMax bounds what is kept.
const keptMax = 8 << 10

func (l *lastBytes) Write(p []byte) (int, error) {
	l.kept = append(l.kept, p...)
	if n := len(l.kept); n > 2*keptMax {
		l.kept = append(l.kept[:0], l.kept[n-keptMax:]...)
	}
	if l.to == nil {
		return len(p), nil
	}
	return l.to.Write(p)
}
