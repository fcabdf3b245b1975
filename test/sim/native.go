//go:build !wasip1

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"sluice/base/seeded"
	"sluice/test/sim/world"
)

// native runs each world in a process of its own, on a runtime of Go whose time and randomness are not real, see [edits].
type native struct {
	dir  string // of the binary; a simulator has one of its own
	path string
}

// buildNative builds the guest. errOtherRuntime: it cannot be run in this way here.
func buildNative(ctx context.Context, dir, tags string) (_ *native, err error) {
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("%w: of %s", errOtherRuntime, runtime.GOOS)
	}
	root, err := goroot(ctx)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	forgetOld(dir)
	n := new(native)
	if n.dir, err = os.MkdirTemp(dir, "native-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(n.dir)
		}
	}()
	link := filepath.Join(n.dir, "go") // the go command replaces no file in the cache of modules, where a Go that it has fetched itself is
	if err := os.Symlink(root, link); err != nil {
		return nil, err
	}
	overlay, err := writeOverlay(filepath.Join(link, "src"), n.dir)
	if err != nil {
		return nil, err
	}
	n.path = filepath.Join(n.dir, "guest")
	if tags != "" {
		tags += ","
	}
	build := exec.CommandContext(ctx, filepath.Join(link, "bin", "go"), "build", "-trimpath", "-buildvcs=false", "-overlay", overlay, "-tags", tags+"faketime", "-o", n.path, "sluice/test/sim/guest")
	build.Env = append(os.Environ(), "GOROOT="+link, "GOTOOLCHAIN=local", "CGO_ENABLED=0", "GOEXPERIMENT=norandomizedheapbase64")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: build the guest: %w\n%s", errOtherRuntime, err, out) // if the guest is to blame, WebAssembly tells
	}
	return n, nil
}

// leftFor is how long nobody uses what a simulator left that was killed.
const leftFor = 7 * 24 * time.Hour

// forgetOld removes what simulators left that were killed. What cannot be removed harms nobody.
func forgetOld(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, "native-*"))
	for _, path := range left {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > leftFor {
			os.RemoveAll(path)
		}
	}
}

func (n *native) close(context.Context) { os.RemoveAll(n.dir) }

// run implements guest.
func (n *native) run(ctx context.Context, sc world.Scenario, bug seeded.Name, wall time.Duration, out, diag io.Writer) (cost, error) {
	if wall > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, wall, fmt.Errorf("the world takes more than %v", wall))
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, n.path, fmt.Sprint("world ", sc.Seed))
	cmd.Env = []string{"GOMAXPROCS=1", guestGC, "GOTRACEBACK=single", seeded.Env + "=" + string(bug)} // the guest looks at the last if it was built with the tag seededbugs
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(sc.JSON()), out, diag
	err := cmd.Run()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = errors.Join(err, cause)
	}
	var c cost
	if s := cmd.ProcessState; s != nil {
		c.processor = s.UserTime() + s.SystemTime()
		if usage, ok := s.SysUsage().(*syscall.Rusage); ok {
			c.memoryMB = usage.Maxrss >> 10 // Linux counts KiB
		}
	}
	return c, err
}

// guestGC has the guest collect garbage seldom: a world needs little memory, and is over soon.
const guestGC = "GOGC=400"
