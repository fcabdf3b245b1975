//go:build !wasip1

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/test/history"
	"sluice/test/sim/world"
)

// progressEvery is how often a long run says how far it is.
const progressEvery = 30 * time.Second

// summary is what came of many seeds so far.
type summary struct {
	o     options
	out   io.Writer
	began time.Time

	mu       sync.Mutex
	told     time.Time // of the last progress
	done     map[uint64]bool
	failed   []uint64
	verdicts map[history.Verdict]int
	faults   map[string]int
	virtual  time.Duration
	events   int
}

func newSummary(o options, out io.Writer) *summary {
	now := time.Now()
	return &summary{o: o, out: out, began: now, told: now, done: map[uint64]bool{}, verdicts: map[history.Verdict]int{}, faults: map[string]int{}}
}

// add counts a run, and tells of it if it did not pass.
func (s *summary) add(sc world.Scenario, r world.Result, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done[sc.Seed] = true
	s.virtual += r.Virtual
	s.events += r.Events
	for name, n := range r.Faults {
		s.faults[name] += n
	}
	s.verdicts[r.Verdict]++
	if err != nil || !r.Passed() {
		s.failed = append(s.failed, sc.Seed)
		s.o.describe(s.out, sc, r, err)
	}
	if now := time.Now(); now.Sub(s.told) >= progressEvery {
		s.told = now
		took := now.Sub(s.began)
		left := time.Duration(float64(took) / float64(len(s.done)) * float64(s.o.seeds-len(s.done)))
		fmt.Fprintf(s.out, "%v: %d of %d seeds, %.2f hours simulated, %d failed, about %v left; stopped here, go on with FIRST=%d\n",
			took.Round(time.Second), len(s.done), s.o.seeds, s.virtual.Hours(), len(s.failed), left.Round(time.Second), s.firstMissing())
	}
}

// firstMissing is the seed up to which all have ended.
func (s *summary) firstMissing() uint64 {
	seed := s.o.first
	for s.done[seed] {
		seed++
	}
	return seed
}

// line is a run in the report file.
type line struct {
	First    uint64
	Seeds    int
	Quiet    string `json:",omitempty"`
	Hours    float64
	Events   int
	Wall     string
	Workers  int
	Verdicts map[string]int
	Faults   map[string]int
	Failed   []uint64
}

// end tells all and appends it to the report. An error when a seed did not pass.
func (s *summary) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	took := time.Since(s.began)
	slices.Sort(s.failed)
	l := line{First: s.o.first, Seeds: s.o.seeds, Hours: s.virtual.Hours(), Events: s.events, Wall: took.Round(time.Second).String(), Workers: s.o.workers,
		Verdicts: map[string]int{}, Faults: s.faults, Failed: s.failed}
	if s.o.quiet > 0 {
		l.Quiet = s.o.quiet.String()
	}
	for v, n := range s.verdicts {
		l.Verdicts[v.String()] = n
	}
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(s.faults)) {
		faults = append(faults, fmt.Sprintf("%s %d", name, s.faults[name]))
	}
	fmt.Fprintf(s.out, "faults: %s\nverdicts: %v\n%d seeds from %d on, %d failed; %.2f cluster-hours simulated in %v by %d workers; %d events\n",
		strings.Join(faults, ", "), l.Verdicts, l.Seeds, l.First, len(l.Failed), l.Hours, l.Wall, l.Workers, l.Events)
	if s.o.report != "" {
		if err := appendLine(s.o.report, l); err != nil {
			return err
		}
	}
	if len(s.failed) > 0 {
		return fmt.Errorf("failed: %d", s.failed)
	}
	return nil
}

func appendLine(path string, l line) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	return json.NewEncoder(f).Encode(l)
}

// describe tells what came of a world, and how to run it again.
func (o options) describe(out io.Writer, sc world.Scenario, r world.Result, err error) {
	fmt.Fprintf(out, "seed %d: %v after %v, %d events, hash %s\n  %v\n", sc.Seed, r.Verdict, r.Virtual.Round(time.Millisecond), r.Events, r.Hash, sc)
	for _, wrong := range r.Wrong {
		fmt.Fprintf(out, "  %s\n", wrong)
	}
	if !r.Passed() {
		fmt.Fprintf(out, "  %s\n", r.Report)
	}
	if err != nil {
		fmt.Fprintf(out, "  %v\n", err)
	}
	which := fmt.Sprintf("-first %d", sc.Seed)
	if o.quiet > 0 {
		which += " -quiet " + o.quiet.String()
	}
	if o.scenario != "" {
		which = "-scenario " + o.scenario
	}
	if o.tags != "" {
		which += " -tags " + o.tags
	}
	fmt.Fprintf(out, "  run it again: go run ./test/sim %s -trace trace.txt\n  make it smaller: go run ./test/sim %s -shrink small.json\n", which, which)
}
