package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
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

// Want says what a run must have seen to prove something.
type Want struct {
	// Faults that must have fired.
	Faults []string
	// Acknowledged is the smallest number of acknowledged sends; 0 means 1.
	Acknowledged int
	// NoFinalRead: the run ends without one, so that checks of it cannot be made (for histories that are cut off).
	NoFinalRead bool
}

// Anomaly is one broken promise.
type Anomaly struct {
	Kind string // as in the package's list
	Text string
}

// Report is the result of a check.
type Report struct {
	Verdict   Verdict
	Anomalies []Anomaly // at most anomaliesMax of each kind
	Counts    map[string]int
	Missing   []string // why the verdict is unknown, if there is no anomaly
	Sends     int
	OK        int
	Failed    int
	Unclear   int
	Reads     int
}

// anomaliesMax bounds how many anomalies of a kind are told; all are counted.
const anomaliesMax = 20

func (r *Report) add(kind, format string, args ...any) {
	r.Counts[kind]++
	if r.Counts[kind] <= anomaliesMax {
		r.Anomalies = append(r.Anomalies, Anomaly{kind, fmt.Sprintf(format, args...)})
	}
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
	}
	return b.String()
}

// Check checks what was recorded so far.
func Check(rec *Recorder, want Want) *Report {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	c := &checker{rec: rec, report: &Report{Counts: map[string]int{}, Sends: len(rec.sends)}}
	c.tally()
	c.order()
	c.aborted()
	c.lost()
	c.positions()
	c.sendOrder()
	if !want.NoFinalRead {
		c.unseen()
	}
	c.judge(want)
	return c.report
}

// place is a value at an offset of a partition.
type place struct {
	partition int32
	offset    int64
}

type checker struct {
	rec    *Recorder
	report *Report

	at    []place // by value: where it is known to be; partition -1: nowhere
	read  []bool  // by value: some poll returned it
	final []bool  // by value: a final poll returned it
	// byOffset holds, per partition, the values whose place is known, ascending by offset: the version order.
	byOffset [][]located
}

type located struct {
	offset int64
	value  Value
}

func (c *checker) name(p place) string {
	return fmt.Sprintf("%v@%d", c.rec.partitions[p.partition], p.offset)
}

func (c *checker) known(v Value) bool { return v >= 0 && int(v) < len(c.rec.sends) }

func (c *checker) describe(v Value) string {
	if !c.known(v) {
		return fmt.Sprintf("value %d, which nobody sent", v)
	}
	s := &c.rec.sends[v]
	text := fmt.Sprintf("value %d (process %d to %v, %v", v, s.process, c.rec.partitions[s.partition], c.rec.outcomeLocked(s))
	if s.offset >= 0 {
		text += fmt.Sprintf(" at %d", s.offset)
	}
	return text + ")"
}

func (c *checker) tally() {
	for i := range c.rec.sends {
		switch c.rec.outcomeLocked(&c.rec.sends[i]) {
		case OK:
			c.report.OK++
		case Fail:
			c.report.Failed++
		default:
			c.report.Unclear++
		}
	}
	for i := range c.rec.steps {
		c.report.Reads += len(c.rec.steps[i].reads)
	}
}

// order is check 1: the version order of every partition from all acknowledged sends and all polls.
func (c *checker) order() {
	n := len(c.rec.sends)
	c.at, c.read, c.final = make([]place, n), make([]bool, n), make([]bool, n)
	for i := range c.at {
		c.at[i].partition = -1
	}
	seen := make([][]located, len(c.rec.partitions))
	for v := range c.rec.sends {
		if s := &c.rec.sends[v]; s.outcome == OK && s.offset >= 0 {
			c.locate(Value(v), place{s.partition, s.offset}, "acknowledged")
			seen[s.partition] = append(seen[s.partition], located{s.offset, Value(v)})
		}
	}
	for i := range c.rec.steps {
		s := &c.rec.steps[i]
		for _, r := range s.reads {
			if c.known(r.value) {
				c.read[r.value] = true
				c.final[r.value] = c.final[r.value] || s.kind == finalPoll
				c.locate(r.value, place{r.partition, r.offset}, "read")
			}
			seen[r.partition] = append(seen[r.partition], located{r.offset, r.value})
		}
	}
	c.byOffset = make([][]located, len(seen))
	for p, all := range seen {
		slices.SortFunc(all, func(a, b located) int {
			return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.value, b.value))
		})
		all = slices.Compact(all)
		for i, l := range all {
			if i > 0 && all[i-1].offset == l.offset {
				c.report.add("inconsistent offsets", "%s holds %s and %s", c.name(place{int32(p), l.offset}), c.describe(all[i-1].value), c.describe(l.value))
			}
		}
		c.byOffset[p] = all
	}
}

func (c *checker) locate(v Value, p place, how string) {
	switch was := c.at[v]; {
	case was.partition < 0:
		if want := c.rec.sends[v].partition; want != p.partition {
			c.report.add("duplicate", "%s was %s in another partition, at %s", c.describe(v), how, c.name(p))
		}
		c.at[v] = p
	case was != p:
		c.report.add("duplicate", "%s was %s at %s and is at %s", c.describe(v), how, c.name(p), c.name(was))
	}
}

// aborted is check 2: nothing is read that was not written, or taken back, or not committed yet.
func (c *checker) aborted() {
	for i := range c.rec.steps {
		s := &c.rec.steps[i]
		for _, r := range s.reads {
			at := place{r.partition, r.offset}
			if !c.known(r.value) {
				c.report.add("phantom", "process %d read value %d at %s, which nobody sent", s.process, r.value, c.name(at))
				continue
			}
			w := &c.rec.sends[r.value]
			switch {
			case c.rec.outcomeLocked(w) == Fail:
				c.report.add("aborted read", "process %d read %s at %s", s.process, c.describe(r.value), c.name(at))
			case s.txn != 0 && w.txn == s.txn:
				c.report.add("precommitted read", "process %d read its own %s at %s within transaction %d", s.process, c.describe(r.value), c.name(at), s.txn)
			}
		}
	}
}

// lost is check 3: whatever is acknowledged and lies below something that was read must have been read.
func (c *checker) lost() {
	for p, all := range c.byOffset {
		highest := int64(-1)
		for _, l := range all {
			if c.known(l.value) && c.read[l.value] {
				highest = l.offset
			}
		}
		for _, l := range all {
			if l.offset >= highest {
				break
			}
			if c.known(l.value) && !c.read[l.value] && c.rec.outcomeLocked(&c.rec.sends[l.value]) == OK {
				c.report.add("lost write", "%s was never read, but %v was read up to %d", c.describe(l.value), c.rec.partitions[p], highest)
			}
		}
	}
}

// positions is check 4 for reads: in one process and partition, offsets only rise and nothing in between is left out, from poll to poll
// and within each. An assignment or a crash lets the position jump.
func (c *checker) positions() {
	type key struct {
		process   Process
		partition int32
	}
	last := map[key]int64{}
	for i := range c.rec.steps {
		s := &c.rec.steps[i]
		if s.kind == assign || s.kind == crash {
			for k := range last {
				if k.process == s.process {
					delete(last, k)
				}
			}
			continue
		}
		inside := map[int32]bool{} // partitions this poll has returned something of already
		for _, r := range s.reads {
			k := key{s.process, r.partition}
			before, ok := last[k]
			where := "between two polls"
			if inside[r.partition] {
				where = "within a poll"
			}
			inside[r.partition] = true
			last[k] = r.offset
			switch {
			case !ok:
			case r.offset <= before:
				c.report.add("regress", "process %d read %s after offset %d, %s", s.process, c.name(place{r.partition, r.offset}), before, where)
			default:
				c.skipped(s.process, r, before, where)
			}
		}
	}
}

// skipped reports values that may be read and lie between two offsets that a process read one after the other.
func (c *checker) skipped(p Process, r read, before int64, where string) {
	all := c.byOffset[r.partition]
	i, _ := slices.BinarySearchFunc(all, before+1, func(l located, offset int64) int { return cmp.Compare(l.offset, offset) })
	for ; i < len(all) && all[i].offset < r.offset; i++ {
		if v := all[i].value; c.known(v) && c.rec.outcomeLocked(&c.rec.sends[v]) != Fail {
			c.report.add("skip", "process %d went from offset %d to %s over %s at %d, %s",
				p, before, c.name(place{r.partition, r.offset}), c.describe(v), all[i].offset, where)
		}
	}
}

// sendOrder is check 4 for writes: what one process sent to one partition and had acknowledged lies in the order of the sends.
func (c *checker) sendOrder() {
	type key struct {
		process   Process
		partition int32
	}
	last := map[key]Value{}
	for v := range c.rec.sends {
		s := &c.rec.sends[v]
		if s.outcome != OK || c.at[v].partition != s.partition {
			continue
		}
		k := key{s.process, s.partition}
		if before, ok := last[k]; ok && c.at[before].offset > c.at[v].offset {
			c.report.add("out of order", "%s was sent after %s and lies before it, at %d and %d", c.describe(Value(v)), c.describe(before), c.at[v].offset, c.at[before].offset)
			continue
		}
		last[k] = Value(v)
	}
}

// unseen is check 6: after all is healed, everything that was acknowledged, or seen by anybody before, is there.
func (c *checker) unseen() {
	for v := range c.rec.sends {
		if c.final[v] {
			continue
		}
		switch s := &c.rec.sends[v]; {
		case c.rec.outcomeLocked(s) == OK:
			c.report.add("unseen", "%s is not there in the end", c.describe(Value(v)))
		case c.read[v]:
			c.report.add("vanished", "%s was read at %s and is not there in the end", c.describe(Value(v)), c.name(c.at[v]))
		}
	}
}

func (c *checker) judge(want Want) {
	r := c.report
	missing := func(format string, args ...any) { r.Missing = append(r.Missing, fmt.Sprintf(format, args...)) }
	for _, f := range want.Faults {
		if c.rec.faults[f] == 0 {
			missing("fault %q never fired", f)
		}
	}
	if need := max(1, want.Acknowledged); r.OK < need {
		missing("%d sends were acknowledged, %d would prove something", r.OK, need)
	}
	if r.Reads == 0 {
		missing("nothing was read")
	}
	if !want.NoFinalRead && c.rec.finals == 0 {
		missing("there was no final read")
	}
	switch {
	case len(r.Counts) > 0:
		r.Verdict = FailVerdict
	case len(r.Missing) > 0:
		r.Verdict = Unknown
	default:
		r.Verdict = Pass
	}
}
