//go:build !wasip1

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/test/sim/world"
)

// progressEvery is how often a long run says how far it is.
const progressEvery = 30 * time.Second

// line is what came of one world: a line of the report file. It is written when the world has ended, so a run that is broken off has told of all that it did.
type line struct {
	Seed    uint64
	Kind    string         // of the world
	Passed  bool           // with everything proved
	Verdict string         // of the history
	Wrong   []string       `json:",omitempty"`
	Replay  string         `json:",omitempty"` // how to run a world again that did not pass
	Hours   float64        // simulated
	Events  int            // of the trace
	Hash    string         // of the events
	Twice   bool           `json:",omitempty"` // it was run a second time, with the same events
	Seconds float64        // of a processor
	MB      int64          // of memory, at most
	Faults  map[string]int // that happened, by kind
}

// total is the sum of many worlds.
type total struct {
	seeds, twice, events int
	hours, seconds       float64
	mb                   int64 // the most of one
	kinds, verdicts      map[string]int
	faults               map[string]int
	failed               []line
}

func newTotal() *total {
	return &total{kinds: map[string]int{}, verdicts: map[string]int{}, faults: map[string]int{}}
}

func (t *total) add(l line) {
	t.seeds++
	t.events += l.Events
	t.hours += l.Hours
	t.seconds += l.Seconds
	t.mb = max(t.mb, l.MB)
	t.kinds[l.Kind]++
	t.verdicts[l.Verdict]++
	if l.Twice {
		t.twice++
	}
	for name, n := range l.Faults {
		t.faults[name] += n
	}
	if !l.Passed {
		t.failed = append(t.failed, l)
	}
}

// tell prints the sum, and how to run what failed again.
func (t *total) tell(out io.Writer) {
	fmt.Fprintf(out, "faults: %s\n", listed(t.faults))
	fmt.Fprintf(out, "worlds: %s; verdicts: %s\n", listed(t.kinds), listed(t.verdicts))
	n := 0
	for _, count := range t.faults {
		n += count
	}
	fmt.Fprintf(out, "%d seeds, %d failed; %.2f cluster-hours simulated, %d events, %d faults of %d kinds; %d seeds ran twice; %.1f s of a processor each, at most %d MB\n",
		t.seeds, len(t.failed), t.hours, t.events, n, len(t.faults), t.twice, t.seconds/float64(max(1, t.seeds+t.twice)), t.mb)
	slices.SortFunc(t.failed, func(a, b line) int { return int(int64(a.Seed) - int64(b.Seed)) })
	for _, l := range t.failed {
		why := l.Verdict
		if len(l.Wrong) > 0 {
			why = l.Wrong[0]
		}
		fmt.Fprintf(out, "  failed: seed %d: %s\n    %s\n", l.Seed, why, l.Replay)
	}
}

func listed(counts map[string]int) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(all, ", ")
}

// summary is what came of many seeds so far.
type summary struct {
	o     options
	out   io.Writer
	began time.Time

	mu    sync.Mutex
	told  time.Time // of the last progress
	done  map[uint64]bool
	total *total
	err   error // of the report file
}

func newSummary(o options, out io.Writer) *summary {
	now := time.Now()
	return &summary{o: o, out: out, began: now, told: now, done: map[uint64]bool{}, total: newTotal()}
}

// add counts a run, and tells of it if it did not pass.
func (s *summary) add(e ended) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done[e.sc.Seed] = true
	l := s.o.line(e)
	s.total.add(l)
	if s.o.report != "" {
		s.err = errors.Join(s.err, appendLine(s.o.report, l))
	}
	if !l.Passed {
		s.o.describe(s.out, e.sc, e.r, e.err)
	}
	if now := time.Now(); now.Sub(s.told) >= progressEvery {
		s.told = now
		took := now.Sub(s.began)
		left := time.Duration(float64(took) / float64(len(s.done)) * float64(s.o.seeds-len(s.done)))
		fmt.Fprintf(s.out, "%v: %d of %d seeds, %.2f hours simulated, %d failed, about %v left; stopped here, go on with FIRST=%d\n",
			took.Round(time.Second), len(s.done), s.o.seeds, s.total.hours, len(s.total.failed), left.Round(time.Second), s.firstMissing())
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

// end tells all. An error when a seed did not pass.
func (s *summary) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total.tell(s.out)
	fmt.Fprintf(s.out, "seeds %d to %d took %v with %d workers\n", s.o.first, s.o.first+uint64(s.o.seeds)-1, time.Since(s.began).Round(time.Second), s.o.workers)
	if n := len(s.total.failed); n > 0 {
		return errors.Join(s.err, fmt.Errorf("%d of %d seeds failed", n, s.o.seeds))
	}
	return s.err
}

// line is what the report says of a world.
func (o options) line(e ended) line {
	l := line{Seed: e.sc.Seed, Kind: string(e.sc.Kind()), Passed: e.err == nil && e.r.Passed(), Verdict: e.r.Verdict.String(), Wrong: e.r.Wrong,
		Hours: e.r.Virtual.Hours(), Events: e.r.Events, Hash: e.r.Hash, Twice: e.twice, Seconds: e.processor.Seconds(), MB: e.memoryMB, Faults: e.r.Faults}
	if e.err != nil {
		l.Verdict, l.Wrong = "ended", append(l.Wrong, e.err.Error())
	}
	if !l.Passed {
		l.Replay = "go run ./test/sim " + o.which(e.sc) + " -trace trace.txt"
	}
	return l
}

func appendLine(path string, l line) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	return json.NewEncoder(f).Encode(l)
}

// sum adds the lines of report files up. A seed that is there twice counts twice.
func sum(paths []string, out io.Writer) error {
	all := newTotal()
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var l line
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			all.add(l)
		}
		if err := lines.Err(); err != nil {
			return err
		}
	}
	all.tell(out)
	return nil
}

// which are the flags that name a world.
func (o options) which(sc world.Scenario) string {
	which := fmt.Sprintf("-first %d", sc.Seed)
	if o.kind != "" {
		which += " -kind " + o.kind
	}
	if o.quiet > 0 {
		which += " -quiet " + o.quiet.String()
	}
	if o.scenario != "" {
		which = "-scenario " + o.scenario
	}
	if o.wasm {
		which += " -wasm"
	}
	if o.tags != "" {
		which += " -tags " + o.tags
	}
	return which
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
	which := o.which(sc)
	fmt.Fprintf(out, "  run it again: go run ./test/sim %s -trace trace.txt\n  make it smaller: go run ./test/sim %s -shrink small.json\n", which, which)
}
