//go:build !wasip1

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"sluice/base/seeded"
	"sluice/test/sim/world"
)

// wasm runs worlds in WebAssembly. That asks nothing of Go's runtime, and takes ten times as long as [native].
type wasm struct {
	runtime wazero.Runtime
	guest   wazero.CompiledModule
	cache   wazero.CompilationCache
}

// buildWasm builds the guest and compiles it on all cores. What was compiled last is kept in dir, so that the next run with the same code begins at once.
func buildWasm(ctx context.Context, dir, tags string, workers int) (*wasm, error) {
	code, err := wasmCode(ctx, dir, tags)
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
	w := &wasm{cache: cache, runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCompilationCache(cache))}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, w.runtime); err != nil {
		return nil, err
	}
	w.guest, err = w.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, workers), code)
	return w, err
}

// wasmCode returns the guest's code.
func wasmCode(ctx context.Context, dir, tags string) ([]byte, error) {
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

func (w *wasm) close(ctx context.Context) {
	w.runtime.Close(ctx)
	w.cache.Close(ctx)
}

// run implements guest. The guest sees no real time and no real randomness: its clocks are one counter, see [clock], and Go's runtime draws the order of goroutines, selects and maps from the seeded source.
func (w *wasm) run(ctx context.Context, sc world.Scenario, bug seeded.Name, wall time.Duration, out, diag io.Writer) (c cost, err error) {
	runtime.LockOSThread() // so that the thread's time is the run's
	defer runtime.UnlockOSThread()
	began := ofThread()
	defer func() { c.processor = ofThread() - began }()
	clock := newClock(wall)
	cfg := wazero.NewModuleConfig().WithName("").WithArgs("guest").WithStdin(bytes.NewReader(sc.JSON())).WithStdout(out).WithStderr(diag).
		WithRandSource(rand.New(rand.NewSource(int64(sc.Seed)))).
		WithEnv(seeded.Env, string(bug)). // the guest looks at it if it was built with the tag seededbugs
		WithWalltime(func() (int64, int32) { t := clock.read(); return t / 1e9, int32(t % 1e9) }, sys.ClockResolution(1)).
		WithNanotime(clock.read, sys.ClockResolution(1)).
		WithNanosleep(clock.sleep)
	m, err := w.runtime.InstantiateModule(ctx, w.guest, cfg)
	if m != nil {
		defer m.Close(ctx)
		if memory := m.Memory(); memory != nil {
			c.memoryMB = int64(memory.Size() >> 20)
		}
	}
	if exit := (*sys.ExitError)(nil); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 0) {
		return c, err
	}
	return c, nil
}

// ofThread is the time that this thread has had a processor.
func ofThread() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var r syscall.Rusage
	if err := syscall.Getrusage(thread, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
