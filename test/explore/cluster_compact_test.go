package explore

import (
	"slices"

	"sluice/base"
	"sluice/cluster/meta"
)

// trimSteps: the owner of a partition gives up the oldest records.
func (c *cluster) trimSteps(add Add[*cluster], i, part int8) {
	s := c.stream(part)
	for to := int8(s.Start) + 1; c.trims > 0 && to <= int8(s.CommittedEnd); to++ {
		q := call{kind: callTrim, proc: i, part: part, epoch: c.procs[i].roles[part].epoch, end: to}
		c.calls(add, q, func(c *cluster, a answer) error { c.trims--; return nil }, "%s trims partition %d to %d", names[i], part, to)
	}
}

// compactSteps: a process that need not own anything plans to rewrite two or more ranges of a partition, reads the objects they are in, puts
// what it read into new ones and commits that. Between any two of these anything may happen, the same by another process above all.
func (c *cluster) compactSteps(add Add[*cluster], i int8) {
	k := c.procs[i].compact
	over := func(c *cluster, a answer) bool {
		if c.procs[i].over = a.code == meta.StaleEpoch; a.code != meta.None {
			c.procs[i].compact = compaction{}
		}
		return a.code != meta.None
	}
	switch k.phase {
	case idle:
		if c.compacts[i] > 0 {
			c.planSteps(add, i)
		}
	case preparing:
		c.calls(add, call{kind: callPrepare, proc: i, compact: compaction{cut: k.cut}}, func(c *cluster, a answer) error {
			if !over(c, a) {
				c.procs[i].compact.object, c.procs[i].compact.phase = int8(a.res.(*meta.ObjectsPrepared).First), putting
			}
			return nil
		}, "%s prepares objects for its compaction", names[i])
	case putting:
		add(func(c *cluster) error { c.rewrite(i); return nil }, "%s reads %v and puts what it compacts", names[i], k.sources)
	case committing:
		k.phase = idle
		c.calls(add, call{kind: callCompact, proc: i, compact: k}, func(c *cluster, a answer) error {
			if !over(c, a) && c.env.mistake == sourcesDeleted && a.res.(*meta.CompactionDone).Verdicts[0] == meta.CompactReplaced {
				for _, o := range k.sources {
					c.put[o], c.objects[o] = false, content{}
				}
			}
			c.procs[i].compact = compaction{}
			return nil
		}, "%s commits [%d, %d) of partition %d in object %d", names[i], k.start, k.end, k.part, k.object)
	}
}

// planSteps adds every run of two or more ranges that the image has.
func (c *cluster) planSteps(add Add[*cluster], i int8) {
	for part := range int8(c.env.parts) {
		s := c.stream(part)
		held := slices.Collect(s.Held())
		for from := range held {
			for to := from + 2; to <= min(len(held), from+sourcesMax); to++ {
				k := compaction{phase: preparing, part: part, start: int8(held[from].Start), end: int8(held[to-1].End)}
				for n, r := range held[from:to] {
					k.sources[n] = int8(r.Object)
				}
				plan := func(k compaction, how string) {
					add(func(c *cluster) error { c.compacts[i]--; c.procs[i].compact = k; return nil },
						"%s plans to rewrite [%d, %d) of partition %d%s", names[i], k.start, k.end, part, how)
				}
				plan(k, "")
				if c.env.cleans {
					k.clean = k.start + 1
					plan(k, " without its first record")
					k.clean = 0
				}
				if c.env.cuts {
					k.cut = int8(held[from].End)
					plan(k, " into two objects")
				}
			}
		}
	}
}

// rewrite reads the sources and puts the new objects. Sources that are gone by now were replaced or trimmed: the work is given up.
func (c *cluster) rewrite(i int8) {
	k := &c.procs[i].compact
	var out [2]content
	var n [2]int
	for _, o := range k.sources {
		if o == 0 {
			break
		}
		if !c.put[o] {
			*k = compaction{}
			return
		}
		for _, r := range c.objects[o] {
			if r.value == 0 || r.part != k.part || r.base < k.start || r.base >= k.end || r.base == k.clean-1 {
				continue
			}
			to := 0
			if k.cut > 0 && r.base >= k.cut {
				to = 1
			}
			if slices.Contains(out[to][:n[to]], r) {
				continue // the ranges of two sources may both lie in one object
			}
			out[to][n[to]] = r
			n[to]++
		}
	}
	for to := range 1 + min(k.cut, 1) {
		c.objects[k.object+to], c.put[k.object+to] = out[to], true
	}
	k.phase = committing
}

// compaction is the command that commits one.
func (e *env) compaction(img *meta.Image, q call) meta.Command {
	k := q.compact
	p, _ := img.Partition(e.topic, int32(k.part))
	s, _ := img.Stream(p.Data)
	r := meta.Replacement{Stream: p.Data, Range: base.OffsetRange{Start: base.Offset(k.start), End: base.Offset(k.end)}, Cleaned: k.clean > 0}
	for _, o := range k.sources {
		if o != 0 {
			r.Sources = append(r.Sources, base.ObjectID(o))
		}
	}
	cmd := &meta.CommitCompaction{Node: e.nodes[q.proc]}
	for to := range 1 + min(k.cut, 1) {
		cmd.Objects = append(cmd.Objects, meta.CompactedObject{ID: base.ObjectID(k.object + to), Size: 1})
		r.New = append(r.New, meta.NewRange{Object: base.ObjectID(k.object + to), Range: r.Range, Bytes: 1})
	}
	if k.cut > 0 {
		r.New[0].Range.End, r.New[1].Range.Start = base.Offset(k.cut), base.Offset(k.cut)
	}
	held := slices.Collect(s.Held())
	switch {
	case e.mistake == sourcesUnchecked:
		r.Sources = nil
		for _, g := range held {
			if g.End > r.Range.Start && g.End <= r.Range.End {
				r.Sources = append(r.Sources, g.Object)
			}
		}
	case e.mistake == laidFromHeld && len(held) > 0 && held[0].Start > r.Range.Start && held[0].Start < r.Range.End:
		layFrom(&r, held)
	}
	cmd.Replacements = []meta.Replacement{r}
	return cmd
}

// layFrom is the mistake laidFromHeld: only lengths of the new ranges are looked at.
func layFrom(r *meta.Replacement, held []meta.Range) {
	at, n := held[0].Start, 0
	for _, g := range held {
		if g.End <= r.Range.End {
			n++
		}
	}
	r.Sources = r.Sources[max(0, len(r.Sources)-n):]
	r.Range.Start = at
	var out []meta.NewRange
	for _, f := range r.New {
		f.Range = base.OffsetRange{Start: at, End: min(r.Range.End, at+f.Range.End-f.Range.Start)}
		if at = f.Range.End; !f.Range.Empty() {
			out = append(out, f)
		}
	}
	out[len(out)-1].Range.End = r.Range.End
	r.New = out
}

// remove takes note of the record that a compaction removed.
func (c *cluster) remove(q call, a answer) {
	if q.kind != callCompact || q.compact.clean == 0 || a.code != meta.None {
		return
	}
	if done := a.res.(*meta.CompactionDone); !done.Duplicate && done.Verdicts[0] == meta.CompactReplaced {
		c.removed[q.compact.part][q.compact.clean-1] = true
	}
}
