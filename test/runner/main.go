// Command runner runs the steps of `make test` one after the other, prints a line a package and the output of what failed, and ends
// with the counts: `N passed, N failed, N skipped`. It exits with 1 if anything failed.
//
// The steps: lint, unit and property tests, the same under the race detector, real clients, parity with Apache Kafka, random requests beside it, a few of
// Kafka's own tests, hostile clients, simulated clusters, crashes, a cluster under faults.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// step is one `go test` command. Packages are all of the module less those whose path contains one of without, or only those
// given.
type step struct {
	name    string
	args    []string
	env     []string
	only    []string
	without []string
	leave   func(dir string) (bool, error) // packages to leave out besides, by their directories; nil: none
}

func steps() []step {
	rounds := os.Getenv("ROUNDS")
	if rounds == "" {
		rounds = "8"
	}
	processes := []string{"/test/compat", "/test/parity", "/test/differential", "/test/kafkasuite", "/test/crash", "/test/cluster", "/test/hostile", "/test/sim"}
	// What waits for brokers and for the servers of stores runs under the race detector alone: it would take as long again, and find the same.
	onlyRaced := []string{"/app/node", "/objstore/az", "/objstore/etcd", "/objstore/gs", "/objstore/s3"}
	return []step{
		{name: "lint", args: []string{"-count=1"}, only: []string{"./test/lint"}},
		{name: "unit and property tests", without: slices.Concat(processes, onlyRaced, []string{"/test/lint"})},
		{name: "race detector", args: []string{"-race", "-short"}, without: []string{"/test/"}, leave: alone},
		{name: "real clients", args: []string{"-count=1", "-timeout=25m", "-parallel=4"}, only: []string{"./test/compat/..."}},
		{name: "parity with Apache Kafka", args: []string{"-count=1", "-timeout=10m"}, only: []string{"./test/parity"}},
		{name: "random requests beside Apache Kafka", args: []string{"-count=1", "-timeout=10m"}, only: []string{"./test/differential"}},
		{name: "Apache Kafka's own tests", args: []string{"-count=1", "-timeout=10m"}, only: []string{"./test/kafkasuite"}},
		{name: "hostile clients", args: []string{"-count=1", "-timeout=10m"}, only: []string{"./test/hostile"}},
		{name: "simulated clusters", args: []string{"-count=1", "-timeout=20m"}, only: []string{"./test/sim/..."}},
		{name: "crashes", args: []string{"-count=1", "-timeout=25m"}, env: []string{"SLUICE_CRASH_ROUNDS=" + rounds}, only: []string{"./test/crash"}},
		{name: "a cluster under faults", args: []string{"-count=1", "-timeout=25m"}, only: []string{"./test/cluster"}},
	}
}

// alone reports whether nothing in a package and its tests runs side by side: then the race detector has nothing to find in a run of these tests.
func alone(dir string) (bool, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return false, err
	}
	together := false
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return false, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				together = true
			case *ast.SelectorExpr:
				together = together || slices.Contains([]string{"Go", "AfterFunc", "Parallel", "RunParallel"}, n.Sel.Name)
			}
			return !together
		})
	}
	return !together, nil
}

// event is a line of `go test -json`.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
}

// slow is from how many seconds on a test is named with the time it took.
const slow = 20

// tally counts tests over all steps, and keeps what the failed ones said first.
type tally struct {
	passed, failed, skipped int
	failures                []string
}

// said finds what a test reported itself, among the logs of what it started.
var said = regexp.MustCompile(`(?m)^ +[a-z_0-9]+\.go:\d+: .*$`)

func main() {
	var total tally
	ok := true
	for _, s := range steps() {
		start := time.Now()
		fmt.Printf("== %s\n", s.name)
		if !s.run(&total) {
			ok = false
		}
		fmt.Printf("== %s: %v\n", s.name, time.Since(start).Round(time.Second))
	}
	if !ok && total.failed == 0 {
		total.failed = 1 // a package that did not build
	}
	for _, f := range total.failures {
		fmt.Println(f)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", total.passed, total.failed, total.skipped)
	if !ok {
		os.Exit(1)
	}
}

func (s step) packages() ([]string, error) {
	if s.only != nil {
		return s.only, nil
	}
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{.Dir}}", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var all []string
next:
	for line := range strings.Lines(string(out)) {
		name, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, w := range s.without {
			if strings.Contains(name, w) {
				continue next
			}
		}
		if s.leave != nil {
			if leave, err := s.leave(dir); err != nil {
				return nil, err
			} else if leave {
				continue
			}
		}
		all = append(all, name)
	}
	return all, nil
}

func (s step) run(total *tally) bool {
	packages, err := s.packages()
	if err != nil {
		fmt.Println(err)
		return false
	}
	cmd := exec.Command("go", append(append([]string{"test", "-json"}, s.args...), packages...)...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Println(err)
		return false
	}
	outputs := map[string]*strings.Builder{} // of tests and packages under way
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text())
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output", "build-output":
			if outputs[key] == nil {
				outputs[key] = &strings.Builder{}
			}
			outputs[key].WriteString(e.Output)
		case "pass", "fail", "skip":
			total.count(e, outputs[key])
			delete(outputs, key)
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Println(err)
		return false
	}
	return cmd.Wait() == nil
}

func (t *tally) count(e event, output *strings.Builder) {
	if e.Action == "fail" && output != nil {
		fmt.Print(output.String())
	}
	if e.Test == "" {
		if output == nil || !strings.Contains(output.String(), "no test files") {
			fmt.Printf("%s %s %.1fs\n", e.Action, strings.TrimPrefix(e.Package, "sluice/"), e.Elapsed)
		}
		return
	}
	if e.Elapsed >= slow {
		fmt.Printf("     %s took %.0fs\n", e.Test, e.Elapsed)
	}
	switch e.Action {
	case "pass":
		t.passed++
	case "fail":
		t.failed++
		t.note(e, output)
	case "skip":
		t.skipped++
	}
}

// note keeps the first words of a failed test for the end of the output, where they are not lost between logs. A test that failed
// because of its subtests says nothing itself.
func (t *tally) note(e event, output *strings.Builder) {
	const most, width = 4, 400
	if output == nil {
		return
	}
	for i, line := range said.FindAllString(output.String(), most) {
		if i == 0 {
			t.failures = append(t.failures, "failed: "+strings.TrimPrefix(e.Package, "sluice/")+" "+e.Test)
		}
		t.failures = append(t.failures, line[:min(len(line), width)])
	}
}
