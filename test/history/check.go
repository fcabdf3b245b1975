package history

import (
	"fmt"
	"math"
	"time"
)

// Check checks what was recorded so far.
func Check(rec *Recorder, want Want) *Report {
	in, err := rec.reader()
	if err != nil {
		return broken(err)
	}
	defer in.Close()
	h, err := read(in)
	if err != nil {
		return broken(err)
	}
	h.CutOff = false // a file that still grows
	return h.Check(want)
}

// broken is the report of a history that cannot be read: nothing is known.
func broken(err error) *Report {
	return &Report{Verdict: Unknown, Counts: map[string]int{}, Missing: []string{err.Error()}}
}

// Check checks a history.
func (h *History) Check(want Want) *Report {
	c := &checker{h: h, want: want, report: &Report{Counts: map[string]int{}, Faults: h.faults, Sends: len(h.sends)}, examined: map[string]int{}}
	c.tally()
	c.places()
	c.reads()
	c.lost()
	c.positions()
	c.sendOrder()
	c.realTimeOrder()
	c.cycles()
	if !want.NoFinalRead {
		c.unseen()
	}
	c.commits()
	c.ownership()
	c.openTransactions()
	c.watermarks()
	c.judge()
	return c.report
}

// place is where a value is.
type place struct {
	partition int32
	offset    int64
}

// What is known of a value besides its place.
const (
	flagRead      uint8 = 1 << iota // some poll returned it
	flagCommitted                   // a poll that returns only what is committed did
	flagFinal                       // a final poll did
)

type checker struct {
	h        *History
	want     Want
	report   *Report
	examined map[string]int // by check

	at        []int64         // by send: the offset it is known to be at; -1: not known, -2: see elsewhere
	elsewhere map[int32]place // sends that are in another partition than they were sent to
	flags     []uint8         // by send
	columns   []column        // by partition: what is at each offset, the version order
	trimmed   []int64         // by partition: what lies below may be gone
	told      map[conflict]bool
}

// conflict is a value at a place where it should not be; each is told once, however often it is read.
type conflict struct {
	kind string
	i    int32
	place
}

func (c *checker) name(p place) string {
	return fmt.Sprintf("%v@%d", c.h.partitions[p.partition], p.offset)
}

// value is what i stands for: a send, or below 0 a value that nobody sent.
func (c *checker) value(i int32) Value {
	if i < 0 {
		return c.h.strange[-i-1]
	}
	return c.h.value(i)
}

func (c *checker) describe(i int32) string {
	if i < 0 {
		return fmt.Sprintf("value %d, which nobody sent", c.value(i))
	}
	s := &c.h.sends[i]
	text := fmt.Sprintf("value %d (process %d to %v, %v", c.value(i), s.process, c.h.partitions[s.partition], c.h.outcome(i))
	if s.offset >= 0 {
		text += fmt.Sprintf(" at %d", s.offset)
	}
	return text + ")"
}

// placeOf is where a send is known to be.
func (c *checker) placeOf(i int32) (place, bool) {
	switch at := c.at[i]; at {
	case -1:
		return place{}, false
	case -2:
		return c.elsewhere[i], true
	default:
		return place{c.h.sends[i].partition, at}, true
	}
}

// opsOf is the send of a value, as evidence.
func (c *checker) opsOf(i int32) []Operation {
	if i < 0 {
		return nil
	}
	s := &c.h.sends[i]
	to := c.h.partitions[s.partition].String()
	what := "send"
	if s.txn != 0 {
		what = fmt.Sprintf("send in transaction %d", c.h.txns[s.txn-1].name)
	}
	ops := []Operation{{time.Duration(s.invoked), Process(s.process), what, to, -1, c.value(i)}}
	if s.done {
		ops = append(ops, Operation{time.Duration(s.ended), Process(s.process), "  the send ends: " + s.outcome.String(), to, s.offset, c.value(i)})
	}
	if s.txn != 0 {
		ops = append(ops, c.txnOps(s.txn-1)...)
	}
	return ops
}

// txnOps is the end of a transaction, as evidence.
func (c *checker) txnOps(t int32) (ops []Operation) {
	x := &c.h.txns[t]
	if x.asked >= 0 {
		ops = append(ops, Operation{time.Duration(x.asked), Process(x.process), fmt.Sprintf("  the end of transaction %d is asked for", x.name), "", -1, -1})
	}
	if x.done {
		ops = append(ops, Operation{time.Duration(x.ended), Process(x.process), fmt.Sprintf("  transaction %d ends: %v", x.name, x.outcome), "", -1, -1})
	}
	return ops
}

// readOp is a read, as evidence.
func (c *checker) readOp(s *step, p place, i int32) Operation {
	what := map[what]string{pollEvent: "poll", dirtyEvent: "poll of what is not committed too", finalEvent: "final poll"}[s.kind]
	if s.txn != 0 {
		what = fmt.Sprintf("%s in transaction %d", what, c.h.txns[s.txn-1].name)
	}
	return Operation{time.Duration(s.at), Process(s.process), what, c.h.partitions[p.partition].String(), p.offset, c.value(i)}
}

// firstRead looks for the first read of a value at a place: slow, for evidence only.
func (c *checker) firstRead(i int32, p place) []Operation {
	for j := range c.h.steps {
		s := &c.h.steps[j]
		for _, r := range c.h.runs[s.from:s.to] {
			if d := p.offset - r.first; r.partition == p.partition && d >= 0 && d < int64(r.n) && c.h.values[r.at+int(d)] == i {
				return []Operation{c.readOp(s, p, i)}
			}
		}
	}
	return nil
}

// eachRead calls fn with every read, in the order of the history.
func (c *checker) eachRead(fn func(s *step, p place, i int32)) {
	for j := range c.h.steps {
		s := &c.h.steps[j]
		for _, r := range c.h.runs[s.from:s.to] {
			p := place{r.partition, r.first}
			for _, i := range c.h.values[r.at : r.at+int(r.n)] {
				fn(s, p, i)
				p.offset++
			}
		}
	}
}

func (c *checker) tally() {
	for i := range c.h.sends {
		switch c.h.outcome(int32(i)) {
		case OK:
			c.report.OK++
		case Fail:
			c.report.Failed++
		default:
			c.report.Unclear++
		}
	}
	c.report.Reads = len(c.h.values)
	c.trimmed = make([]int64, len(c.h.partitions))
	for _, t := range c.h.trims {
		c.trimmed[t.partition] = max(c.trimmed[t.partition], t.below)
	}
}

// judge sums up.
func (c *checker) judge() {
	r, h := c.report, c.h
	missing := func(format string, args ...any) { r.Missing = append(r.Missing, fmt.Sprintf(format, args...)) }
	for _, f := range c.want.Faults {
		if h.faults[f] == 0 {
			missing("fault %q never fired", f)
		}
	}
	if need := max(1, c.want.Acknowledged); r.OK < need {
		missing("%d sends were acknowledged, %d would prove something", r.OK, need)
	}
	if r.Reads == 0 {
		missing("nothing was read")
	}
	if !c.want.NoFinalRead && h.finals == 0 {
		missing("there was no final read")
	}
	if c.want.Every {
		for _, check := range c.nothingFor() {
			missing("there was nothing for the check %q", check)
		}
	}
	if h.CutOff {
		missing("the history is cut off after line %d", h.lines-1)
	}
	switch {
	case len(r.Counts) > 0:
		r.Verdict = FailVerdict
	case len(r.Missing) > 0:
		r.Verdict = Unknown
	default:
		r.Verdict = Pass
	}
	for _, k := range catalogue {
		l := Line{Check: k.check, Guarantee: k.guarantee, Of: k.of, Examined: c.examined[k.check], Counts: map[string]int{}}
		for _, kind := range k.kinds {
			if n := r.Counts[kind]; n > 0 {
				l.Counts[kind] = n
			}
		}
		switch {
		case len(l.Counts) > 0:
			l.Verdict = FailVerdict
		case l.Examined > 0:
			l.Verdict = Pass
		}
		r.Checks = append(r.Checks, l)
	}
}

// nothingFor are the checks that had nothing to examine, of those that were made.
func (c *checker) nothingFor() (checks []string) {
	for _, k := range catalogue {
		if c.examined[k.check] == 0 && !(k.check == finalCheck && c.want.NoFinalRead) {
			checks = append(checks, k.check)
		}
	}
	return checks
}

const never = int64(math.MaxInt64)

// endOf is when something has ended that may never have.
func endOf(t int64) int64 {
	if t < 0 {
		return never
	}
	return t
}
