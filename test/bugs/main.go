// Command bugs tests the suite: it builds it with the tag seededbugs, turns the mistakes of base/seeded on one after the other, and looks which
// layer finds each, how soon. What it sees it keeps in test/bugs/results.json, and makes the table of docs/reliability.md from it.
//
// A layer finds a mistake if it fails with the mistake on and passes without (the control, which runs first). A package that does not build or
// a run that is broken off finds nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"sluice/base/seeded"
)

func main() {
	only := flag.String("only", "", "the mistakes, separated by commas; empty: all")
	layer := flag.String("layer", "", "the layers, separated by commas, of "+strings.Join(layers, ", ")+"; empty: unit,explore,sim")
	seeds := flag.Int("seeds", 20, "of the simulation, for each mistake")
	budget := flag.Duration("budget", 10*time.Minute, "for one run of a package's tests")
	table := flag.Bool("table", false, "only make the table again")
	flag.Parse()
	r := &runner{seeds: *seeds, budget: *budget, controls: map[try]error{}, binaries: map[string]string{}}
	err := r.results.load()
	if err == nil && !*table {
		err = r.all(context.Background(), pick(*only), split(*layer, []string{unit, explore, sim}))
	}
	if err == nil {
		err = r.results.write(layers)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func split(list string, otherwise []string) []string {
	if list == "" {
		return otherwise
	}
	return strings.Split(list, ",")
}

func pick(only string) (names []seeded.Name) {
	wanted := split(only, nil)
	for _, e := range seeded.All() {
		if len(wanted) == 0 || slices.Contains(wanted, string(e.Name)) {
			names = append(names, e.Name)
		}
	}
	return names
}

// runner runs tests that are built with the mistakes.
type runner struct {
	seeds    int
	budget   time.Duration
	results  results
	controls map[try]error
	binaries map[string]string // by package
}

func (r *runner) all(ctx context.Context, names []seeded.Name, wanted []string) error {
	for _, layer := range layers {
		if !slices.Contains(wanted, layer) {
			continue
		}
		if layer == sim {
			if err := r.simulate(ctx, names); err != nil {
				return err
			}
			continue
		}
		for _, name := range names {
			if err := r.layer(ctx, layer, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// layer tries the tests that a layer has for a mistake, until one finds it.
func (r *runner) layer(ctx context.Context, layer string, name seeded.Name) error {
	var o outcome
	tried := false
	for _, t := range plan[name] {
		if t.layer != layer || o.Found {
			continue
		}
		if err := r.control(ctx, t); err != nil {
			return err
		}
		tried = true
		began := time.Now()
		out, err := r.run(ctx, t, name)
		o = outcome{Found: err != nil, How: t.pkg, Seconds: time.Since(began).Seconds()}
		if err != nil {
			if o.How, err = verdict(t, out); err != nil { // also where the tests could not be run
				return fmt.Errorf("%s, %s: %w", name, t.pkg, err)
			}
		}
	}
	if !tried {
		return nil
	}
	fmt.Printf("%-22s %-8s %s\n", name, layer, o)
	return r.results.set(name, layer, o)
}

// control runs the tests without a mistake, once.
func (r *runner) control(ctx context.Context, t try) error {
	if err, done := r.controls[t]; done {
		return err
	}
	out, err := r.run(ctx, t, "")
	if err != nil {
		err = fmt.Errorf("control: %s fails without a mistake: %w\n%s", t.pkg, err, tail(out))
	} else if !passed.Match(out) {
		err = fmt.Errorf("control: no test of %s has run that matches %q\n%s", t.pkg, t.run, tail(out))
	}
	r.controls[t] = err
	return err
}

func (r *runner) run(ctx context.Context, t try, name seeded.Name) ([]byte, error) {
	binary, err := r.binary(ctx, t.pkg)
	if err != nil {
		return nil, err
	}
	args := []string{"-test.v", "-test.failfast", "-test.timeout", r.budget.String(), "-test.run", t.run}
	if t.layer == unit {
		args = append(args, "-test.short") // which leaves out explorers; they are a layer of their own
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = filepath.FromSlash(t.pkg)
	cmd.Env = append(os.Environ(), seeded.Env+"="+string(name), "GOFLAGS=-trimpath -tags=seededbugs", "SLUICE_CRASH_ROUNDS=8")
	out, err := cmd.CombinedOutput()
	// What a random test leaves to fail again with is of no use without the mistake.
	left := filepath.Join(t.pkg, "testdata", "rapid")
	if _, none := os.Stat(left); none != nil {
		return out, err
	}
	if text, failed := exec.CommandContext(ctx, "git", "clean", "-fdq", "--", left).CombinedOutput(); failed != nil {
		return nil, fmt.Errorf("git clean: %w\n%s", failed, text)
	}
	return out, err
}

// binary builds the tests of a package with the mistakes in it.
func (r *runner) binary(ctx context.Context, pkg string) (string, error) {
	if b, ok := r.binaries[pkg]; ok {
		return b, nil
	}
	path, err := filepath.Abs(filepath.Join(".cache", "bugs", strings.ReplaceAll(pkg, "/", "-")+".test"))
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "go", "test", "-c", "-trimpath", "-tags", "seededbugs", "-o", path, "sluice/"+pkg).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the tests of %s: %w\n%s", pkg, err, out)
	}
	r.binaries[pkg] = path
	return path, nil
}

var (
	failed   = regexp.MustCompile(`--- FAIL: (\S+)`)
	passed   = regexp.MustCompile(`--- PASS: `)
	panicked = regexp.MustCompile(`panic: (.*)`)
)

// verdict says what of the tests failed. An error when the output does not say so.
func verdict(t try, out []byte) (string, error) {
	if m := failed.FindSubmatch(out); m != nil {
		return t.pkg + " " + string(m[1]), nil
	}
	if m := panicked.FindSubmatch(out); m != nil {
		if strings.Contains(string(m[1]), "timed out") {
			return t.pkg + ", which hangs", nil
		}
		return t.pkg + ", which panics", nil
	}
	return "", fmt.Errorf("neither a failed test nor a panic:\n%s", tail(out))
}

func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }
