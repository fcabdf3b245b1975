package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// watermarks is the check of what brokers say of the ends of partitions: within one answer they are in order and above the records beside them; they never go
// back, in one process or from an answer that was there before the next one was asked for; and what was acknowledged or read before lies below.
func (c *checker) watermarks() {
	c.examined["watermarks"] = len(c.h.marks)
	if len(c.h.marks) == 0 {
		return
	}
	by := make([][]int32, len(c.h.partitions))
	for i := range c.h.marks {
		c.oneAnswer(&c.h.marks[i])
		p := c.h.marks[i].partition
		by[p] = append(by[p], int32(i))
	}
	seen := c.timelines()
	for p, marks := range by {
		c.marksOf(int32(p), marks, seen[p])
	}
}

func (c *checker) markOp(m *mark, what string, offset int64) Operation {
	return Operation{time.Duration(m.at), Process(m.process), what, c.h.partitions[m.partition].String(), offset, -1}
}

// oneAnswer checks what stands in one answer.
func (c *checker) oneAnswer(m *mark) {
	limit, name := m.High, "high watermark"
	if m.Committed && m.Stable >= 0 {
		limit, name = m.Stable, "last stable offset"
	}
	if limit >= 0 && m.Last >= limit {
		c.report.add(beyond, func() (string, []Operation) {
			return fmt.Sprintf("process %d got a record of %v at %d in an answer whose %s is %d", m.process, c.h.partitions[m.partition], m.Last, name, limit),
				[]Operation{c.markOp(m, "answer with "+name, limit), c.markOp(m, "  and a record", m.Last)}
		})
	}
	if m.Stable >= 0 && m.High >= 0 && m.Stable > m.High {
		c.report.add(beyond, func() (string, []Operation) {
			return fmt.Sprintf("process %d was told that %v is stable up to %d and readable up to %d", m.process, c.h.partitions[m.partition], m.Stable, m.High),
				[]Operation{c.markOp(m, "answer with last stable offset", m.Stable), c.markOp(m, "  and high watermark", m.High)}
		})
	}
	if allowed := c.allowed(m); m.Low > allowed {
		c.report.add(trimmedMore, func() (string, []Operation) {
			return fmt.Sprintf("process %d was told that %v begins at %d, and what lies below %d might go", m.process, c.h.partitions[m.partition], m.Low, allowed),
				[]Operation{c.markOp(m, "answer with log start", m.Low)}
		})
	}
}

// allowed is up to where a log might have been trimmed when an answer came.
func (c *checker) allowed(m *mark) (below int64) {
	if m.Low <= 0 {
		return 0
	}
	for _, t := range c.h.trims { // a handful
		if t.partition == m.partition && t.at <= m.at {
			below = max(below, t.below)
		}
	}
	return below
}

// sighting is a moment from which on all up to an offset has to be there.
type sighting struct {
	at      int64
	offset  int64
	process int32
	stable  bool // for readers of what is committed, too
	what    string
}

// timelines are, by partition, all acknowledgements and reads in the order of time, each with the highest offset so far.
func (c *checker) timelines() [][]sighting {
	all := make([][]sighting, len(c.h.partitions))
	marked := make([]bool, len(c.h.partitions))
	for i := range c.h.marks {
		marked[c.h.marks[i].partition] = true
	}
	for i := range c.h.sends {
		if s := &c.h.sends[i]; s.outcome == OK && s.offset >= 0 && marked[s.partition] {
			all[s.partition] = append(all[s.partition], sighting{s.ended, s.offset, s.process, false, "a send is acknowledged"})
		}
	}
	for j := range c.h.steps {
		s := &c.h.steps[j]
		for _, r := range c.h.runs[s.from:s.to] {
			if marked[r.partition] {
				all[r.partition] = append(all[r.partition], sighting{s.at, r.first + int64(r.n) - 1, s.process, s.kind != dirtyEvent, "a record is read"})
			}
		}
	}
	for _, line := range all {
		slices.SortStableFunc(line, func(a, b sighting) int { return cmp.Compare(a.at, b.at) })
	}
	return all
}

// peak is the highest mark so far, and who was told.
type peak struct {
	offset int64
	from   *mark
}

// marksOf checks the marks of one partition against those before them and against what was seen.
func (c *checker) marksOf(p int32, marks []int32, seen []sighting) {
	kinds := []struct {
		name string
		of   func(m *mark) int64
	}{
		{"high watermark", func(m *mark) int64 { return m.High }},
		{"last stable offset", func(m *mark) int64 { return m.Stable }},
		{"log start", func(m *mark) int64 { return m.Low }},
	}
	for n, kind := range kinds {
		own := map[int32]peak{} // by process
		for _, i := range marks {
			m := &c.h.marks[i]
			if v := kind.of(m); v >= 0 {
				if was, ok := own[m.process]; ok && was.offset > v {
					c.wentBack(kind.name, m, v, was)
				} else {
					own[m.process] = peak{v, m}
				}
			}
		}
		if !c.want.NoClock {
			c.acrossProcesses(kind.name, kind.of, marks)
			if n < 2 {
				c.aboveSeen(kind.name, n == 1, kind.of, marks, seen)
			}
		}
	}
}

func (c *checker) wentBack(name string, m *mark, v int64, was peak) {
	c.report.add(markBack, func() (string, []Operation) {
		return fmt.Sprintf("the %s of %v was %d and then %d", name, c.h.partitions[m.partition], was.offset, v),
			[]Operation{c.markOp(was.from, "answer with "+name, was.offset), c.markOp(m, "answer with "+name, v)}
	})
}

// acrossProcesses compares each mark with the highest that another process had been told before this one was asked for. Marks come in the order of their answers.
func (c *checker) acrossProcesses(name string, of func(*mark) int64, marks []int32) {
	asked := c.byQuestion(marks)
	best, next := peak{-1, nil}, 0
	for _, i := range asked {
		m := &c.h.marks[i]
		for ; next < len(marks) && c.h.marks[marks[next]].at < m.since; next++ {
			if earlier := &c.h.marks[marks[next]]; of(earlier) > best.offset {
				best = peak{of(earlier), earlier}
			}
		}
		if v := of(m); v >= 0 && best.offset > v && best.from.process != m.process {
			c.wentBack(name, m, v, best)
		}
	}
}

// aboveSeen compares each mark with the highest offset that had been acknowledged or read before it was asked for.
func (c *checker) aboveSeen(name string, stable bool, of func(*mark) int64, marks []int32, seen []sighting) {
	best, next := sighting{offset: -1}, 0
	for _, i := range c.byQuestion(marks) {
		m := &c.h.marks[i]
		for ; next < len(seen) && seen[next].at < m.since; next++ {
			if (seen[next].stable || !stable) && seen[next].offset > best.offset {
				best = seen[next]
			}
		}
		if v := of(m); v >= 0 && best.offset >= v {
			was := best
			c.report.add(beyond, func() (string, []Operation) {
				tp := c.h.partitions[m.partition].String()
				return fmt.Sprintf("the %s of %s was %d, though there had been offset %d before", name, tp, v, was.offset),
					[]Operation{{time.Duration(was.at), Process(was.process), was.what, tp, was.offset, -1}, {time.Duration(m.since), Process(m.process), "the marks are asked for", tp, -1, -1}, c.markOp(m, "answer with "+name, v)}
			})
		}
	}
}

// byQuestion are those of the marks whose question's time is known, in its order.
func (c *checker) byQuestion(marks []int32) (asked []int32) {
	for _, i := range marks {
		if c.h.marks[i].since >= 0 {
			asked = append(asked, i)
		}
	}
	slices.SortStableFunc(asked, func(a, b int32) int { return cmp.Compare(c.h.marks[a].since, c.h.marks[b].since) })
	return asked
}
