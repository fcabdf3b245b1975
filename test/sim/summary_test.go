//go:build !wasip1

package main

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/test/history"
	"sluice/test/sim/world"
)

// TestReportAddsUp: what two runs append to a report is their sum, and what failed is told with how to run it again.
func TestReportAddsUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report")
	for run := range uint64(2) {
		o := options{first: 1 + run, seeds: 1, report: path, tags: "t"}
		s := newSummary(o, io.Discard)
		e := ended{sc: world.NewScenario(1 + run), cost: cost{processor: time.Second, memoryMB: 7}, twice: run == 0,
			r: world.Result{Verdict: history.Pass, Virtual: time.Hour, Events: 7, Faults: map[string]int{"kill": 2}}}
		if run == 1 {
			e.err = errors.New("it stood still")
		}
		s.add(e)
		if err := s.end(); (err != nil) != (run == 1) {
			t.Errorf("run %d ends with %v", run, err)
		}
	}
	var b strings.Builder
	if err := sum([]string{path, path}, &b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"4 seeds, 2 failed; 4.00 cluster-hours simulated, 28 events, 8 faults of 1 kinds; 2 seeds ran twice; 0.7 s of a processor each, at most 7 MB", "kill 8", "ended 2", "pass 2",
		"seed 2: it stood still\n    go run ./test/sim -first 2 -tags t -trace trace.txt"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in:\n%s", want, b.String())
		}
	}
}
