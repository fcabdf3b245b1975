package history

import (
	"fmt"
	"math"
	"time"
)

// places is check 1: the version order of every partition from all acknowledged sends and all polls.
func (c *checker) places() {
	h := c.h
	c.at, c.flags, c.elsewhere, c.told = make([]int64, len(h.sends)), make([]uint8, len(h.sends)), map[int32]place{}, map[conflict]bool{}
	for i := range c.at {
		c.at[i] = -1
	}
	c.columns = make([]column, len(h.partitions))
	for i := range h.sends {
		if s := &h.sends[i]; s.outcome == OK && s.offset >= 0 {
			c.locate(nil, place{s.partition, s.offset}, int32(i))
			c.examined["version order"]++
		}
	}
	c.eachRead(func(s *step, p place, i int32) { c.locate(s, p, i) })
	c.examined["version order"] += len(h.values)
	for p := range c.columns {
		c.columns[p].sort()
	}
}

// locate takes note of a value at a place, where a step has read it, or where its send was acknowledged.
func (c *checker) locate(s *step, p place, i int32) {
	slot := c.columns[p.partition].slot(p.offset)
	if *slot == 0 {
		*slot = slotOf(i)
	} else if other := fromSlot(*slot); other != i && c.value(other) != c.value(i) {
		c.tellOnce(inconsistent, s, p, i, func() (string, []Operation) {
			ops := append(c.opsOf(other), c.opsOf(i)...)
			return fmt.Sprintf("%s holds %s and %s", c.name(p), c.describe(other), c.describe(i)), append(ops, c.firstRead(other, p)...)
		})
	}
	if i < 0 {
		return
	}
	was, known := c.placeOf(i)
	how := "read"
	if s == nil {
		how = "acknowledged"
	}
	switch home := c.h.sends[i].partition; {
	case known && was == p:
	case known:
		c.tellOnce(duplicate, s, p, i, func() (string, []Operation) {
			ops := append(c.opsOf(i), c.firstRead(i, was)...)
			return fmt.Sprintf("%s was %s at %s and is at %s", c.describe(i), how, c.name(p), c.name(was)), ops
		})
	case home == p.partition:
		c.at[i] = p.offset
	default:
		c.at[i], c.elsewhere[i] = -2, p
		c.tellOnce(duplicate, s, p, i, func() (string, []Operation) {
			return fmt.Sprintf("%s was %s in another partition, at %s", c.describe(i), how, c.name(p)), c.opsOf(i)
		})
	}
}

// tellOnce reports a conflict unless it has been; the read that shows it is added to the evidence.
func (c *checker) tellOnce(kind string, s *step, p place, i int32, tell func() (string, []Operation)) {
	k := conflict{kind, i, p}
	if c.told[k] {
		return
	}
	c.told[k] = true
	c.report.add(kind, func() (string, []Operation) {
		text, ops := tell()
		if s != nil {
			ops = append(ops, c.readOp(s, p, i))
		}
		return text, ops
	})
}

// reads is check 2: nothing is read that was not written, or taken back, or not committed yet.
func (c *checker) reads() {
	c.examined["reads"] = len(c.h.values)
	c.eachRead(func(s *step, p place, i int32) {
		if i < 0 {
			c.report.add(phantom, func() (string, []Operation) {
				return fmt.Sprintf("process %d read value %d at %s, which nobody sent", s.process, c.value(i), c.name(p)), []Operation{c.readOp(s, p, i)}
			})
			return
		}
		c.flags[i] |= flagRead
		switch s.kind {
		case finalEvent:
			c.flags[i] |= flagFinal | flagCommitted
		case pollEvent:
			c.flags[i] |= flagCommitted
		}
		if kind, text := c.wrongRead(s, i); kind != "" {
			c.report.add(kind, func() (string, []Operation) {
				return fmt.Sprintf("process %d read %s at %s%s", s.process, c.describe(i), c.name(p), text()), append(c.opsOf(i), c.readOp(s, p, i))
			})
		}
	})
}

// wrongRead says what is wrong with the read of a value that was sent.
func (c *checker) wrongRead(s *step, i int32) (kind string, text func() string) {
	w := &c.h.sends[i]
	if w.invoked > s.at && !c.want.NoClock {
		return early, func() string { return fmt.Sprintf(", %v before it was sent", time.Duration(w.invoked-s.at)) }
	}
	if w.outcome == Fail {
		return aborted, func() string { return ", whose send had failed" }
	}
	if w.txn == 0 || s.kind == dirtyEvent {
		return "", nil
	}
	t := &c.h.txns[w.txn-1]
	switch {
	case s.txn == w.txn:
		return precommitted, func() string { return fmt.Sprintf(", its own, within transaction %d", t.name) }
	case t.outcome == Fail:
		return aborted, func() string { return fmt.Sprintf(", and transaction %d was aborted", t.name) }
	case t.asked > s.at && !c.want.NoClock:
		return uncommitted, func() string {
			return fmt.Sprintf(", %v before the end of transaction %d was asked for", time.Duration(t.asked-s.at), t.name)
		}
	}
	return "", nil
}

// lost is check 3: whatever is acknowledged and lies below something that was read must have been read.
func (c *checker) lost() {
	c.examined["lost writes"] = c.report.OK
	for p := range c.columns {
		column := &c.columns[p]
		highest := int64(-1)
		column.each(0, math.MaxInt64, func(offset int64, i int32) bool {
			if i >= 0 && c.flags[i]&flagRead != 0 {
				highest = offset
			}
			return true
		})
		column.each(c.trimmed[p], highest, func(offset int64, i int32) bool {
			if i >= 0 && c.flags[i]&flagRead == 0 && c.h.outcome(i) == OK {
				c.report.add(lost, func() (string, []Operation) {
					ops := c.opsOf(i)
					if top := fromSlot(*column.slot(highest)); top >= 0 {
						ops = append(ops, c.firstRead(top, place{int32(p), highest})...)
					}
					return fmt.Sprintf("%s was never read, but %v was read up to %d", c.describe(i), c.h.partitions[p], highest), ops
				})
			}
			return true
		})
	}
}

// sendOrder is check 4 for writes: what one process sent to one partition and had acknowledged lies in the order of the sends.
func (c *checker) sendOrder() {
	c.examined["order of sends"] = c.report.OK
	last := map[uint64]int32{}
	for i := range c.h.sends {
		s := &c.h.sends[i]
		if s.outcome != OK || c.at[i] < 0 {
			continue
		}
		k := uint64(uint32(s.process))<<32 | uint64(uint32(s.partition))
		if before, ok := last[k]; ok && c.at[before] > c.at[i] {
			c.report.add(disorder, func() (string, []Operation) {
				return fmt.Sprintf("%s was sent after %s and lies before it, at %d and %d", c.describe(int32(i)), c.describe(before), c.at[i], c.at[before]),
					append(c.opsOf(before), c.opsOf(int32(i))...)
			})
			continue
		}
		last[k] = int32(i)
	}
}

// realTimeOrder finds sends that began when another one to the partition was acknowledged already, and lie before it. (In the graph of sends these
// are the cycles of two, of a write and a real-time edge; longer ones contain one of them.)
func (c *checker) realTimeOrder() {
	if c.want.NoClock {
		return
	}
	for p := range c.columns {
		latest := int32(-1) // the send that began last among those at lower offsets
		c.columns[p].each(0, math.MaxInt64, func(offset int64, i int32) bool {
			if i < 0 || c.h.sends[i].partition != int32(p) {
				return true
			}
			s := &c.h.sends[i]
			if latest >= 0 && s.outcome == OK && s.ended < c.h.sends[latest].invoked && c.h.sends[latest].process != s.process {
				c.report.add(realTime, func() (string, []Operation) {
					return fmt.Sprintf("%s began %v after %s was acknowledged and lies before it, at %d and %d", c.describe(latest),
						time.Duration(c.h.sends[latest].invoked-s.ended), c.describe(i), c.at[latest], offset), append(c.opsOf(i), c.opsOf(latest)...)
				})
			}
			if latest < 0 || s.invoked > c.h.sends[latest].invoked {
				latest = i
			}
			return true
		})
	}
}

// unseen is check 6: after all is healed, everything that was acknowledged, or seen by anybody before, is there.
func (c *checker) unseen() {
	if c.h.finals > 0 {
		c.examined["final read"] = c.report.OK
	}
	for i := range c.h.sends {
		v := int32(i)
		if c.flags[i]&flagFinal != 0 {
			continue
		}
		p, known := c.placeOf(v)
		if known && p.offset < c.trimmed[p.partition] {
			continue
		}
		switch {
		case c.h.outcome(v) == OK:
			c.report.add(unseen, func() (string, []Operation) {
				return fmt.Sprintf("%s is not there in the end", c.describe(v)), c.opsOf(v)
			})
		case c.h.outcome(v) != Fail && (c.flags[i]&flagCommitted != 0 || c.h.sends[i].txn == 0 && c.flags[i]&flagRead != 0):
			c.report.add(vanished, func() (string, []Operation) {
				return fmt.Sprintf("%s was read at %s and is not there in the end", c.describe(v), c.name(p)), append(c.opsOf(v), c.firstRead(v, p)...)
			})
		}
	}
}
