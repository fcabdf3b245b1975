package history

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"time"
)

// commits is the check of the committed offsets of groups. Each one of a group and partition is a register: what a fetch is told must have been committed,
// not be replaced by a commit that had ended before the fetch began, and not be older than what an earlier fetch was told.
func (c *checker) commits() {
	type key struct{ group, partition int32 }
	registers := map[key][]int32{}
	var keys []key
	for i := range c.h.offsets {
		o := &c.h.offsets[i]
		k := key{o.group, o.partition}
		if registers[k] == nil {
			keys = append(keys, k)
		}
		registers[k] = append(registers[k], int32(i))
	}
	for _, k := range keys {
		c.register(registers[k])
	}
}

// written is all commits of one offset that may have taken effect, in the order of their beginnings.
type written struct {
	first   int64   // when the first began
	invoked []int64 // of each
	ended   []int64 // the latest end of those up to each
}

func (w *written) add(invoked, ended int64) {
	if len(w.invoked) == 0 {
		w.first = invoked
	} else {
		ended = max(ended, w.ended[len(w.ended)-1])
	}
	w.invoked, w.ended = append(w.invoked, invoked), append(w.ended, ended)
}

// until is the latest end among those that began before a time; -1: there is none.
func (w *written) until(t int64) int64 {
	if w == nil {
		return -1
	}
	n := sort.Search(len(w.invoked), func(i int) bool { return w.invoked[i] > t })
	if n == 0 {
		return -1
	}
	return w.ended[n-1]
}

// tops answers which of the operations that had ended before a time began last. They are added in the order of their ends.
type tops struct {
	ended []int64
	best  []int32
	began []int64
}

func (t *tops) add(op int32, began, ended int64) {
	if n := len(t.best); n > 0 && t.began[n-1] >= began {
		op, began = t.best[n-1], t.began[n-1]
	}
	t.ended, t.best, t.began = append(t.ended, ended), append(t.best, op), append(t.began, began)
}

func (t *tops) before(time int64) (op int32, began int64) {
	n := sort.Search(len(t.ended), func(i int) bool { return t.ended[i] >= time })
	if n == 0 {
		return -1, -1
	}
	return t.best[n-1], t.began[n-1]
}

// effect is how a commit ended, and when, its transaction considered.
func (c *checker) effect(o *offsetOp) (Outcome, int64) {
	outcome, ended := o.outcome, endOf(o.ended)
	if o.txn != 0 {
		x := &c.h.txns[o.txn-1]
		outcome, ended = together(outcome, x.outcome), max(ended, endOf(x.ended))
	}
	if outcome != OK {
		ended = never // it may take effect at any time
	}
	return outcome, ended
}

func (c *checker) register(all []int32) {
	by := map[int64]*written{} // by offset
	var acked, fetches []int32
	slices.SortStableFunc(all, func(a, b int32) int { return cmp.Compare(c.h.offsets[a].invoked, c.h.offsets[b].invoked) })
	for _, i := range all {
		o := &c.h.offsets[i]
		if o.fetch {
			if o.ended >= 0 {
				fetches = append(fetches, i)
			}
			continue
		}
		outcome, ended := c.effect(o)
		if outcome == Fail {
			continue
		}
		if by[o.offset] == nil {
			by[o.offset] = &written{}
		}
		by[o.offset].add(o.invoked, ended)
		if outcome == OK {
			acked = append(acked, i)
		}
	}
	ends := func(i int32) int64 { _, t := c.effect(&c.h.offsets[i]); return t }
	slices.SortFunc(acked, func(a, b int32) int { return cmp.Compare(ends(a), ends(b)) })
	var commits, told tops
	for _, i := range acked {
		commits.add(i, c.h.offsets[i].invoked, ends(i))
	}
	slices.SortFunc(fetches, func(a, b int32) int { return cmp.Compare(c.h.offsets[a].ended, c.h.offsets[b].ended) })
	for _, i := range fetches { // what was told began at the earliest when the first commit of it did
		if w := by[c.h.offsets[i].offset]; w != nil {
			told.add(i, w.first, c.h.offsets[i].ended)
		}
	}
	for _, i := range fetches {
		c.fetched(i, by[c.h.offsets[i].offset], &commits, &told)
	}
}

// fetched checks what one fetch was told.
func (c *checker) fetched(i int32, w *written, commits, told *tops) {
	c.examined["committed offsets"]++
	f := &c.h.offsets[i]
	until := w.until(f.ended)
	if until < 0 && f.offset >= 0 {
		c.report.add(commitPhantom, func() (string, []Operation) {
			return fmt.Sprintf("%s: process %d was told offset %d, which nobody had committed", c.register1(f), f.process, f.offset), c.offsetOps(i)
		})
		return
	}
	if other, began := commits.before(f.invoked); other >= 0 && began > until {
		c.report.add(commitLost, func() (string, []Operation) {
			return fmt.Sprintf("%s: process %d was told offset %d, but %d had been committed since", c.register1(f), f.process, f.offset, c.h.offsets[other].offset), c.offsetOps(i, other)
		})
		return
	}
	if other, began := told.before(f.invoked); other >= 0 && began > until {
		c.report.add(commitBack, func() (string, []Operation) {
			return fmt.Sprintf("%s: process %d was told offset %d, after process %d had been told %d, which is newer", c.register1(f), f.process, f.offset,
				c.h.offsets[other].process, c.h.offsets[other].offset), c.offsetOps(i, other)
		})
	}
}

func (c *checker) register1(o *offsetOp) string {
	return fmt.Sprintf("group %s, %v", c.h.groupNames[o.group], c.h.partitions[o.partition])
}

func (c *checker) offsetOps(is ...int32) (ops []Operation) {
	for _, i := range is {
		o := &c.h.offsets[i]
		name, p := "commit of an offset of "+c.h.groupNames[o.group], c.h.partitions[o.partition].String()
		began := o.offset
		if o.fetch {
			name, began = "fetch of the offset of "+c.h.groupNames[o.group], -1
		}
		ops = append(ops, Operation{time.Duration(o.invoked), Process(o.process), name, p, began, -1})
		if o.ended >= 0 {
			ops = append(ops, Operation{time.Duration(o.ended), Process(o.process), "  it ends: " + o.outcome.String(), p, o.offset, -1})
		}
		if o.txn != 0 {
			ops = append(ops, c.txnOps(o.txn-1)...)
		}
	}
	return ops
}

// ownership finds partitions with two owners in one generation of a group.
func (c *checker) ownership() {
	type key struct {
		group, partition int32
		generation       int64
	}
	owners := map[key]*ownership{}
	for i := range c.h.owners {
		o := &c.h.owners[i]
		c.examined["ownership"]++
		for _, p := range o.partitions {
			k := key{o.group, int32(p), o.generation}
			other := owners[k]
			if other == nil {
				owners[k] = o
			} else if other.process != o.process {
				c.report.add(twoOwners, func() (string, []Operation) {
					name := fmt.Sprintf("assigned in generation %d of group %s", o.generation, c.h.groupNames[o.group])
					tp := c.h.partitions[p].String()
					return fmt.Sprintf("group %s, generation %d: %s belongs to processes %d and %d", c.h.groupNames[o.group], o.generation, tp, other.process, o.process),
						[]Operation{{time.Duration(other.at), Process(other.process), name, tp, -1, -1}, {time.Duration(o.at), Process(o.process), name, tp, -1, -1}}
				})
			}
		}
	}
}
