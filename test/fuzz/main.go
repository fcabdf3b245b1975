// Command fuzz runs every fuzz target of the module, a share of the minutes each, two at a time: `make fuzz MINUTES=60`. It finds the
// targets by itself, prints a line for each, names the file of an input that failed and the command that repeats it, and goes on with the
// next. It exits with 1 if any failed.
//
// What made a target reach new code is kept in .cache/fuzz, and the next run begins there. With -keep N N of these inputs, spread over their sizes, for each
// target that has fewer, are copied to testdata/fuzz of its package: that is the corpus of the repository, which ordinary `go test` runs.
//
// Each of the workers owns one process at a time and ends it; the goroutine of main waits for them.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

// shareMin is the least that a target gets: below that a process does little but start.
const shareMin = 5 * time.Second

// grace is how long a target may take beyond its share, to start, to run its corpus and to make an input shorter.
const grace = 3 * time.Minute

// tail is how much of what a failed target printed is shown.
const tail = 6 << 10

func main() {
	minutes := flag.Float64("minutes", 10, "how long all targets together may take")
	only := flag.String("only", "", "run only the targets whose package and name match this expression")
	workers := flag.Int("workers", 2, "targets that run side by side, a core each")
	keep := flag.Int("keep", 0, "afterwards, fill testdata/fuzz of each target up to so many inputs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	failed, err := run(ctx, time.Duration(*minutes*float64(time.Minute)), *only, *workers, *keep)
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	if failed > 0 {
		fmt.Printf("%d targets failed\n", failed)
		os.Exit(1)
	}
}

func run(ctx context.Context, all time.Duration, only string, workers, keep int) (failed int, err error) {
	match, err := regexp.Compile(only)
	if err != nil {
		return 0, err
	}
	found, err := targets(ctx)
	if err != nil {
		return 0, err
	}
	chosen := found[:0]
	for _, t := range found {
		if match.MatchString(t.pkg + " " + t.name) {
			chosen = append(chosen, t)
		}
	}
	if len(chosen) == 0 {
		return 0, fmt.Errorf("no target matches %q", only)
	}
	cache, err := filepath.Abs(filepath.Join(".cache", "fuzz"))
	if err != nil {
		return 0, err
	}
	share := max(all*time.Duration(workers)/time.Duration(len(chosen)), shareMin)
	fmt.Printf("%d targets, %v each, %d side by side\n", len(chosen), share.Round(time.Second), workers)
	f := fuzzer{cache: cache, share: share, of: len(chosen)}
	f.runAll(ctx, chosen, workers)
	if keep > 0 && ctx.Err() == nil {
		for _, t := range chosen {
			if err := t.keep(cache, keep); err != nil {
				return f.mu.failed, err
			}
		}
	}
	return f.mu.failed, nil
}

// fuzzer runs targets and says how they went.
type fuzzer struct {
	cache string
	share time.Duration
	of    int

	mu struct {
		sync.Mutex
		done, failed int
		executions   int64
		built        map[string]*sync.Once
	}
}

func (f *fuzzer) runAll(ctx context.Context, all []target, workers int) {
	start := time.Now()
	f.mu.built = map[string]*sync.Once{}
	queue := make(chan target)
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for t := range queue {
				f.runOne(ctx, t)
			}
		})
	}
	for _, t := range all {
		if ctx.Err() != nil {
			break
		}
		queue <- t
	}
	close(queue)
	running.Wait()
	fmt.Printf("%d targets, %d executions in %v\n", f.mu.done, f.mu.executions, time.Since(start).Round(time.Second))
}

// build makes the instrumented test binary of a package, once.
func (f *fuzzer) build(ctx context.Context, t target) (string, error) {
	binary := filepath.Join(f.cache, "bin", filepath.FromSlash(t.pkg)+".test")
	f.mu.Lock()
	once := f.mu.built[t.pkg]
	if once == nil {
		once = &sync.Once{}
		f.mu.built[t.pkg] = once
	}
	f.mu.Unlock()
	var out []byte
	once.Do(func() {
		out, _ = exec.CommandContext(ctx, "go", "test", "-c", "-fuzz=.", "-o", binary, t.pkg).CombinedOutput()
	})
	if _, err := os.Stat(binary); err != nil {
		return "", fmt.Errorf("cannot build the tests of %s: %s", t.pkg, out)
	}
	return binary, nil
}

func (f *fuzzer) runOne(ctx context.Context, t target) {
	binary, err := f.build(ctx, t)
	if err != nil {
		f.report(t, 0, err.Error(), true)
		return
	}
	before := t.crashers()
	ctx, cancel := context.WithTimeout(ctx, f.share+grace)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.fuzz=^"+t.name+"$", "-test.fuzztime="+f.share.String(),
		"-test.fuzzcachedir="+filepath.Join(f.cache, filepath.FromSlash(t.pkg)), "-test.parallel=1", "-test.fuzzminimizetime=30s")
	cmd.Dir = t.dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.CombinedOutput()
	executions, interesting := progress(out)
	if err == nil {
		f.report(t, executions, fmt.Sprintf("%d executions, %d inputs of interest", executions, interesting), false)
		return
	}
	text := string(bytes.TrimSpace(out[max(0, len(out)-tail):]))
	for name := range t.crashers() {
		if !before[name] {
			text += fmt.Sprintf("\nFAILING INPUT: %s\nrepeat it with: go test -run '%s/%s' %s", filepath.Join(t.dir, "testdata", "fuzz", t.name, name), t.name, name, t.pkg)
		}
	}
	f.report(t, executions, fmt.Sprintf("%v\n%s", err, text), true)
}

func (f *fuzzer) report(t target, executions int64, text string, failed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.done++
	f.mu.executions += executions
	verdict := "ok  "
	if failed {
		f.mu.failed++
		verdict = "FAIL"
	}
	fmt.Printf("%3d/%d %s %s %s: %s\n", f.mu.done, f.of, verdict, t.pkg, t.name, text)
}
