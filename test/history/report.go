package history

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Verdict is the outcome of a check.
type Verdict uint8

const (
	// Unknown: the run proves nothing.
	Unknown Verdict = iota
	// Pass: no anomaly, and what was asked for has happened.
	Pass
	// FailVerdict: there is an anomaly.
	FailVerdict
)

func (v Verdict) String() string { return [...]string{"unknown", "pass", "fail"}[v] }

// MarshalText makes it a word in JSON.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText has made.
func (v *Verdict) UnmarshalText(text []byte) error {
	for w := Unknown; w <= FailVerdict; w++ {
		if w.String() == string(text) {
			*v = w
			return nil
		}
	}
	return fmt.Errorf("verdict %q: want unknown, pass or fail", text)
}

// Want says what a run must have seen to prove something, and how it is judged.
type Want struct {
	// Faults that must have fired.
	Faults []string
	// Acknowledged is the smallest number of acknowledged sends; 0 means 1.
	Acknowledged int
	// Every: each check must have had something to examine.
	Every bool
	// NoFinalRead: the run ends without one, so that checks of it cannot be made (for histories that are cut off).
	NoFinalRead bool
	// WriteEdges adds edges between neighbours in the log to the graph of transactions. Cycles of them are legal in Kafka and told as notes.
	WriteEdges bool
	// NoClock: the processes have not had one clock, so that what happened before what in different ones is not known.
	NoClock bool
}

// Operation is something that a process did, as evidence.
type Operation struct {
	At        time.Duration `json:"ns"` // since the start
	Process   Process       `json:"process"`
	What      string        `json:"what"`
	Partition string        `json:"partition,omitempty"`
	Offset    int64         `json:"offset"` // -1: none
	Value     Value         `json:"value"`  // -1: none
}

func (o Operation) String() string {
	s := fmt.Sprintf("%.6f s  process %d  %s", o.At.Seconds(), o.Process, o.What)
	if o.Partition != "" {
		s += "  " + o.Partition
	}
	if o.Offset >= 0 {
		s += fmt.Sprintf("  offset %d", o.Offset)
	}
	if o.Value >= 0 {
		s += fmt.Sprintf("  value %d", o.Value)
	}
	return s
}

// Anomaly is one broken promise.
type Anomaly struct {
	Kind       string      `json:"kind"` // as in the package's list
	Text       string      `json:"text"`
	Operations []Operation `json:"operations"` // that show it
}

// Line is the verdict of one check.
type Line struct {
	Check     string         `json:"check"`
	Guarantee string         `json:"guarantee"`
	Verdict   Verdict        `json:"verdict"` // unknown: there was nothing to look at
	Examined  int            `json:"examined"`
	Of        string         `json:"of"` // what was examined
	Counts    map[string]int `json:"anomalies,omitempty"`
}

// Report is the result of a check.
type Report struct {
	Verdict   Verdict        `json:"verdict"`
	Checks    []Line         `json:"checks"`
	Anomalies []Anomaly      `json:"anomalies,omitempty"` // at most anomaliesMax of each kind
	Counts    map[string]int `json:"counts,omitempty"`
	Notes     []Anomaly      `json:"notes,omitempty"`   // what is remarkable and legal
	Missing   []string       `json:"missing,omitempty"` // why the verdict is unknown, if there is no anomaly
	Faults    map[string]int `json:"faults,omitempty"`
	Sends     int            `json:"sends"`
	OK        int            `json:"ok"`
	Failed    int            `json:"failed"`
	Unclear   int            `json:"unclear"`
	Reads     int            `json:"reads"`
}

// anomaliesMax bounds how many anomalies of a kind are told; all are counted.
const anomaliesMax = 20

// add counts an anomaly. tell is called if it is among those that are told.
func (r *Report) add(kind string, tell func() (text string, ops []Operation)) {
	r.Counts[kind]++
	if r.Counts[kind] > anomaliesMax {
		return
	}
	text, ops := tell()
	slices.SortStableFunc(ops, func(a, b Operation) int { return int(min(1, max(-1, a.At-b.At))) })
	r.Anomalies = append(r.Anomalies, Anomaly{kind, text, ops})
}

func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %d sends (%d acknowledged, %d failed, %d unclear), %d reads", r.Verdict, r.Sends, r.OK, r.Failed, r.Unclear, r.Reads)
	for _, m := range r.Missing {
		fmt.Fprintf(&b, "\n  missing: %s", m)
	}
	kinds := make([]string, 0, len(r.Counts))
	for k := range r.Counts {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	for _, k := range kinds {
		fmt.Fprintf(&b, "\n  %s: %d", k, r.Counts[k])
	}
	for _, a := range r.Anomalies {
		fmt.Fprintf(&b, "\n  %s: %s", a.Kind, a.Text)
		for _, o := range a.Operations {
			fmt.Fprintf(&b, "\n    %v", o)
		}
	}
	return b.String()
}

// finalCheck is the one that takes a final read.
const finalCheck = "final read"

// A check's name, what it proves, and the kinds of anomalies it finds.
var catalogue = []struct {
	check, guarantee, of string
	kinds                []string
}{
	{"version order", "G1 G3 G6", "places of values", []string{inconsistent, duplicate}},
	{"reads", "G4 G7", "reads", []string{phantom, aborted, precommitted, uncommitted, early}},
	{"lost writes", "G1", "acknowledged sends", []string{lost}},
	{"polls", "G2", "polls", []string{skip, regress}},
	{"order of sends", "G2", "acknowledged sends", []string{disorder, realTime}},
	{"cycles", "G4", "reads of transactions in transactions", []string{cycle}},
	{finalCheck, "G1 G6", "acknowledged sends", []string{unseen, vanished}},
	{"committed offsets", "G5", "fetches of offsets", []string{commitLost, commitBack, commitPhantom}},
	{"ownership", "G5", "assignments of groups", []string{twoOwners}},
	{"ends of transactions", "G4", "transactions with a limit", []string{openLong}},
	{"watermarks", "G7 G9", "answers", []string{markBack, beyond, trimmedMore}},
}

// The kinds of anomalies, see doc.go.
const (
	inconsistent  = "inconsistent offsets"
	duplicate     = "duplicate"
	phantom       = "phantom"
	aborted       = "aborted read"
	precommitted  = "precommitted read"
	uncommitted   = "uncommitted read"
	early         = "read before send"
	lost          = "lost write"
	skip          = "skip"
	regress       = "regress"
	disorder      = "out of order"
	realTime      = "real-time order"
	cycle         = "G1c"
	unseen        = "unseen"
	vanished      = "vanished"
	commitLost    = "lost commit"
	commitBack    = "commit goes back"
	commitPhantom = "phantom commit"
	twoOwners     = "two owners"
	openLong      = "open too long"
	markBack      = "watermark goes back"
	beyond        = "beyond watermark"
	trimmedMore   = "trimmed too much"
)
