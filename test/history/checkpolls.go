package history

import (
	"fmt"
	"time"
)

// positions is check 4 for reads: in one process and partition, offsets only rise and nothing in between is left out, from poll to poll
// and within each. An assignment or a crash lets the position jump.
func (c *checker) positions() {
	last := map[int32]map[int32]reached{} // by process and partition
	for j := range c.h.steps {
		s := &c.h.steps[j]
		if s.kind == assignEvent || s.kind == crashEvent {
			delete(last, s.process)
			continue
		}
		c.examined["polls"]++
		at := last[s.process]
		if at == nil {
			at = map[int32]reached{}
			last[s.process] = at
		}
		for _, r := range c.h.runs[s.from:s.to] { // within a run nothing can be wrong
			before, ok := at[r.partition]
			at[r.partition] = reached{r.first + int64(r.n) - 1, s}
			if ok && r.first <= before.offset {
				c.report.add(regress, func() (string, []Operation) {
					return fmt.Sprintf("process %d read %s after offset %d, %s", s.process, c.name(place{r.partition, r.first}), before.offset, between(before.step, s)),
						c.twoReads(before, s, r)
				})
			} else if ok && r.first > before.offset+1 {
				c.skipped(before, s, r)
			}
		}
	}
}

// reached is the last offset that a process has read of a partition.
type reached struct {
	offset int64
	step   *step
}

func between(a, b *step) string {
	if a == b {
		return "within a poll"
	}
	return "between two polls"
}

// twoReads are the last read before and the first of a run, as evidence.
func (c *checker) twoReads(before reached, s *step, r run) []Operation {
	p := place{r.partition, before.offset}
	for _, was := range c.h.runs[before.step.from:before.step.to] {
		if was.partition == r.partition && was.first+int64(was.n)-1 == before.offset {
			return []Operation{c.readOp(before.step, p, c.h.values[was.at+int(was.n)-1]), c.readOp(s, place{r.partition, r.first}, c.h.values[r.at])}
		}
	}
	panic("BUG: a poll has not read what it has reached")
}

// skipped reports values that this process should have read and that lie between two offsets it read one after the other.
func (c *checker) skipped(before reached, s *step, r run) {
	c.columns[r.partition].each(max(before.offset+1, c.trimmed[r.partition]), r.first, func(offset int64, i int32) bool {
		if i < 0 || !c.visible(i, s) {
			return true
		}
		c.report.add(skip, func() (string, []Operation) {
			return fmt.Sprintf("process %d went from offset %d to %s over %s at %d, %s", s.process, before.offset, c.name(place{r.partition, r.first}),
				c.describe(i), offset, between(before.step, s)), append(c.opsOf(i), c.twoReads(before, s, r)...)
		})
		return true
	})
}

// visible reports whether a value at a known place had to be returned to who read past it.
func (c *checker) visible(i int32, s *step) bool {
	w := &c.h.sends[i]
	if w.outcome == Fail {
		return false
	}
	if s.kind == dirtyEvent {
		return w.outcome == OK || c.flags[i]&flagRead != 0
	}
	outcome := c.h.outcome(i)
	return outcome == OK || outcome != Fail && (c.flags[i]&flagCommitted != 0 || w.txn == 0 && c.flags[i]&flagRead != 0)
}

// openTransactions finds those that were open for longer than they might.
func (c *checker) openTransactions() {
	first := make([]int64, len(c.h.txns)) // when the broker knew of it for certain
	latest := make([]int64, len(c.h.txns))
	for t := range first {
		first[t], latest[t] = never, -1
	}
	for i := range c.h.sends {
		if s := &c.h.sends[i]; s.txn != 0 && s.outcome == OK {
			first[s.txn-1] = min(first[s.txn-1], s.ended)
			latest[s.txn-1] = max(latest[s.txn-1], s.invoked)
		}
	}
	tell := func(t int32, at int64, p int32, how string) {
		x := &c.h.txns[t]
		c.report.add(openLong, func() (string, []Operation) {
			return fmt.Sprintf("transaction %d (process %d) might be open for %v, and %s after %v", x.name, x.process, time.Duration(x.limit), how, time.Duration(at-first[t])),
				append(c.txnOps(t), Operation{time.Duration(x.begun), Process(x.process), fmt.Sprintf("transaction %d begins", x.name), "", -1, -1},
					Operation{time.Duration(first[t]), Process(x.process), "  its first send is acknowledged", "", -1, -1},
					Operation{time.Duration(at), Process(p), "  " + how, "", -1, -1})
		})
	}
	for _, s := range c.h.sights {
		if x := &c.h.txns[s.txn]; x.limit > 0 && first[s.txn] != never && s.at > first[s.txn]+x.limit {
			tell(s.txn, s.at, s.process, "was seen open")
		}
	}
	for t := range c.h.txns {
		x := &c.h.txns[t]
		if x.limit <= 0 {
			continue
		}
		c.examined["ends of transactions"]++
		if x.outcome == OK && first[t] != never {
			asked := max(x.asked, latest[t]) // the broker had it open until then, for it could be committed
			if asked > first[t]+x.limit {
				tell(int32(t), asked, x.process, "was committed although it was to be aborted")
			}
		}
	}
}
