package timeline

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Verdict is what a run says of a guarantee.
type Verdict string

// The verdicts.
const (
	Pass    Verdict = "pass"
	Fail    Verdict = "fail"
	Unknown Verdict = "unknown"
)

// Second is what happened in one second of a run.
type Second struct {
	Produced int64   `json:"produced"` // records acknowledged
	Consumed int64   `json:"consumed"`
	P50      float64 `json:"p50_ms"` // from send to acknowledgement, of the records acknowledged in it
	P99      float64 `json:"p99_ms"`

	took []time.Duration
}

// Band is a fault, from its beginning to its end.
type Band struct {
	Name   string        `json:"name"`
	Family string        `json:"family"`
	From   time.Duration `json:"from_ns"`
	To     time.Duration `json:"to_ns"`
	Fired  bool          `json:"fired"`
	// Served is how long it took after the fault until every partition took a record.
	Served time.Duration `json:"served_ns"`
}

// Stack is what one client stack did.
type Stack struct {
	Name   string           `json:"name"`
	Counts map[string]int64 `json:"operations"`
}

// Guarantee is a promise and what the run says of it.
type Guarantee struct {
	ID      string   `json:"id"`
	Promise string   `json:"promise"`
	Verdict Verdict  `json:"verdict"`
	Wrong   []string `json:"wrong"`   // what speaks against it; at most wrongMax
	Missing []string `json:"missing"` // what should have happened and did not
	Shown   []string `json:"shown"`   // what the verdict rests on

	mu sync.Mutex
}

const wrongMax = 20

// Wrongf says what speaks against the guarantee.
func (g *Guarantee) Wrongf(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.Wrong) < wrongMax {
		g.Wrong = append(g.Wrong, fmt.Sprintf(format, args...))
	}
}

// Need says that something must have happened n times at least, and how often it has.
func (g *Guarantee) Need(what string, got, n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if got < n {
		g.Missing = append(g.Missing, fmt.Sprintf("%s: %d, needs %d", what, got, n))
		return
	}
	g.Shown = append(g.Shown, fmt.Sprintf("%s: %d", what, got))
}

func (g *Guarantee) judge() {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case len(g.Wrong) > 0:
		g.Verdict = Fail
	case len(g.Missing) > 0 || len(g.Shown) == 0:
		g.Verdict = Unknown
	default:
		g.Verdict = Pass
	}
}

// Run is all of a run.
type Run struct {
	Title      string            `json:"title"`
	Facts      map[string]string `json:"facts"` // seed, versions, settings
	Began      time.Time         `json:"began"`
	Length     time.Duration     `json:"length_ns"`
	Verdict    Verdict           `json:"verdict"`
	Guarantees []*Guarantee      `json:"guarantees"`
	Stacks     []Stack           `json:"stacks"`
	Bands      []Band            `json:"faults"`
	Seconds    []Second          `json:"seconds"`
	Notes      []string          `json:"notes"`
}

// Recorder collects a run.
type Recorder struct {
	mu      sync.Mutex
	began   time.Time
	ended   time.Duration
	seconds []Second
	bands   []Band
	stacks  map[string]map[string]int64
	notes   []string
}

// notesMax bounds the notes of a run.
const notesMax = 500

// NewRecorder begins a run.
func NewRecorder() *Recorder {
	return &Recorder{began: time.Now(), stacks: map[string]map[string]int64{}}
}

func (r *Recorder) nowLocked() *Second {
	if r.ended > 0 {
		return &Second{}
	}
	n := int(time.Since(r.began) / time.Second)
	for len(r.seconds) <= n {
		r.seconds = append(r.seconds, Second{})
	}
	return &r.seconds[n]
}

// Stop ends the time that is plotted: what comes after it counts, but is not in a second.
func (r *Recorder) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nowLocked()
	r.ended = time.Since(r.began)
}

// Acked counts a record that was acknowledged to a client stack; took is 0 if it is not known.
func (r *Recorder) Acked(stack string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.nowLocked()
	s.Produced++
	if took > 0 {
		s.took = append(s.took, took)
	}
	r.countLocked(stack, "acknowledged", 1)
}

// Consumed counts records that a client stack has read.
func (r *Recorder) Consumed(stack string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.nowLocked().Consumed += int64(n)
	r.countLocked(stack, "consumed", int64(n))
}

// Count counts other operations of a client stack that succeeded.
func (r *Recorder) Count(stack, what string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.countLocked(stack, what, n)
}

func (r *Recorder) countLocked(stack, what string, n int64) {
	m := r.stacks[stack]
	if m == nil {
		m = map[string]int64{}
		r.stacks[stack] = m
	}
	m[what] += n
}

// Counted is how often an operation of a stack has succeeded; of all stacks if that is empty.
func (r *Recorder) Counted(stack, what string) (n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, m := range r.stacks {
		if stack == "" || stack == name {
			n += m[what]
		}
	}
	return n
}

// Begin begins a fault and returns what ends it.
func (r *Recorder) Begin(family, name string) (end func(fired bool, served time.Duration)) {
	from := time.Since(r.began)
	return func(fired bool, served time.Duration) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bands = append(r.bands, Band{Name: name, Family: family, From: from, To: time.Since(r.began) - served, Fired: fired, Served: served})
	}
}

// Fired is how many faults of a family have fired.
func (r *Recorder) Fired(family string) (n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.bands {
		if b.Fired && b.Family == family {
			n++
		}
	}
	return n
}

// Longest is the longest time after a fault until everything was served.
func (r *Recorder) Longest() (longest Band) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.bands {
		if b.Served > longest.Served {
			longest = b
		}
	}
	return longest
}

// Notef notes something that people may want to know.
func (r *Recorder) Notef(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.notes) < notesMax {
		r.notes = append(r.notes, fmt.Sprintf("%7.1f s  ", time.Since(r.began).Seconds())+fmt.Sprintf(format, args...))
	}
}

// Run is what was collected, and the guarantees judged.
func (r *Recorder) Run(title string, facts map[string]string, guarantees []*Guarantee) *Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	run := &Run{Title: title, Facts: facts, Began: r.began, Length: r.ended, Guarantees: guarantees, Bands: slices.Clone(r.bands), Notes: slices.Clone(r.notes), Verdict: Pass}
	if run.Length == 0 {
		run.Length = time.Since(r.began)
	}
	for _, s := range r.seconds {
		slices.Sort(s.took)
		s.P50, s.P99 = quantile(s.took, .5), quantile(s.took, .99)
		run.Seconds = append(run.Seconds, s)
	}
	for name, counts := range r.stacks {
		run.Stacks = append(run.Stacks, Stack{name, counts})
	}
	slices.SortFunc(run.Stacks, func(a, b Stack) int { return strings.Compare(a.Name, b.Name) })
	for _, g := range guarantees {
		g.judge()
		if g.Verdict == Fail || g.Verdict == Unknown && run.Verdict == Pass {
			run.Verdict = g.Verdict
		}
	}
	if len(guarantees) == 0 {
		run.Verdict = Unknown
	}
	return run
}

// quantile is in milliseconds; of nothing it is 0.
func quantile(sorted []time.Duration, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(share*float64(len(sorted)-1))]) / float64(time.Millisecond)
}
