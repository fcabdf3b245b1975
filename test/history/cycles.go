package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// cycles is check 5. The graph's nodes are transactions, polls outside of transactions of what transactions wrote, and sends outside of which transactions have
// read; its edges:
//
//	wr         somebody read what somebody wrote (a read of what is not committed makes none)
//	process    a process did one thing after the other
//	real time  something had ended when something else began
//	ww         two neighbours in the log, only with Want.WriteEdges
//
// A transaction that depends on one that depends on it, by what was read, is G1c, and an error. With ww edges cycles are legal in Kafka, whose transactions do not
// keep the records of others out of the way of theirs; they are notes.
//
// There are too many real-time edges to make them all. Instead there is a chain of moments, one for each end of an operation: the operation leads to its moment,
// a moment to the next one, and each to the operations that began after it.
func (c *checker) cycles() {
	if len(c.h.txns) == 0 && !c.want.WriteEdges {
		return
	}
	g := c.graph(false)
	c.examined["cycles"] = g.between()
	for _, part := range g.components() {
		path := g.shortest(part)
		c.report.add(cycle, func() (string, []Operation) { return c.tellCycle(g, path) })
	}
	if !c.want.WriteEdges {
		return
	}
	g = c.graph(true)
	for _, part := range g.components() {
		path := g.shortest(part)
		if kind := g.kindOf(path); kind != cycle && len(c.report.Notes) < anomaliesMax {
			text, ops := c.tellCycle(g, path)
			c.report.Notes = append(c.report.Notes, Anomaly{kind, text, ops})
		}
	}
}

// edgeKind is why one operation comes before another.
type edgeKind uint8

const (
	wrEdge edgeKind = iota
	wwEdge
	processEdge
	timeEdge // to a moment, between moments, and from one
)

func (k edgeKind) String() string { return [...]string{"wr", "ww", "process", "real time"}[k] }

// edge leads to a node; value is what was written and read.
type edge struct {
	to    int32
	kind  edgeKind
	value int32
}

// operation is a node: a transaction, a poll or a send.
type operation struct {
	process     int32
	txn         int32 // index, -1: none
	step        int32 // of a poll, -1: none
	send        int32 // -1: none
	begin, ends int64 // ends is never if nobody knows
}

type graph struct {
	ops []operation
	out [][]edge // the nodes behind the ops are moments
}

func (g *graph) add(from int32, e edge) {
	if from != e.to {
		g.out[from] = append(g.out[from], e)
	}
}

// between counts the reads by which one transaction depends on another: without any, a cycle can hardly be.
func (g *graph) between() (n int) {
	for from, edges := range g.out[:len(g.ops)] {
		for _, e := range edges {
			if e.kind == wrEdge && g.ops[from].txn >= 0 && g.ops[e.to].txn >= 0 {
				n++
			}
		}
	}
	return n
}

// builder makes a graph.
type builder struct {
	c            *checker
	g            *graph
	sends, steps map[int32]int32 // their nodes
	links        []link
	seen         map[[2]int32]bool
}

// link is an edge to be.
type link struct {
	from int32
	edge
}

// graph makes the graph.
func (c *checker) graph(ww bool) *graph {
	b := &builder{c: c, g: &graph{}, sends: map[int32]int32{}, steps: map[int32]int32{}, seen: map[[2]int32]bool{}}
	for t := range c.h.txns {
		x := &c.h.txns[t]
		b.g.ops = append(b.g.ops, operation{x.process, int32(t), -1, -1, x.begun, endOf(x.ended)})
	}
	for i := range c.h.sends { // a transaction whose begin did not say whose it is
		if s := &c.h.sends[i]; s.txn != 0 && b.g.ops[s.txn-1].process < 0 {
			b.g.ops[s.txn-1].process = s.process
		}
	}
	b.reads()
	if ww {
		b.neighbours()
	}
	b.g.out = make([][]edge, len(b.g.ops))
	for _, l := range b.links {
		b.g.add(l.from, l.edge)
	}
	b.g.order(!c.want.NoClock)
	return b.g
}

// node returns the node of a send or a step; it makes one if there is none.
func (b *builder) node(m map[int32]int32, i int32, o operation) int32 {
	n, ok := m[i]
	if !ok {
		n = int32(len(b.g.ops))
		b.g.ops = append(b.g.ops, o)
		m[i] = n
	}
	return n
}

// writer is the node that has written a value.
func (b *builder) writer(i int32) int32 {
	s := &b.c.h.sends[i]
	if s.txn != 0 {
		return s.txn - 1
	}
	return b.node(b.sends, i, operation{s.process, -1, -1, i, s.invoked, endOf(s.ended)})
}

// reads makes the wr edges.
func (b *builder) reads() {
	h := b.c.h
	for j := range h.steps {
		s := &h.steps[j]
		if s.kind == dirtyEvent {
			continue
		}
		for _, r := range h.runs[s.from:s.to] {
			for _, i := range h.values[r.at : r.at+int(r.n)] {
				if i < 0 || s.txn == 0 && h.sends[i].txn == 0 || h.outcome(i) == Fail {
					continue
				}
				from, to := b.writer(i), s.txn-1
				if s.txn == 0 {
					to = b.node(b.steps, int32(j), operation{s.process, -1, int32(j), -1, s.at, s.at})
				}
				if pair := [2]int32{from, to}; !b.seen[pair] {
					b.seen[pair] = true
					b.links = append(b.links, link{from, edge{to, wrEdge, i}})
				}
			}
		}
	}
}

// neighbours makes the ww edges.
func (b *builder) neighbours() {
	for p := range b.c.columns {
		before := int32(-1)
		b.c.columns[p].each(0, math.MaxInt64, func(_ int64, i int32) bool {
			if i >= 0 {
				if before >= 0 {
					b.links = append(b.links, link{b.writer(before), edge{b.writer(i), wwEdge, i}})
				}
				before = i
			}
			return true
		})
	}
}

// order adds the edges of processes and of time.
func (g *graph) order(clock bool) {
	byBegin := make([]int32, len(g.ops))
	for i := range byBegin {
		byBegin[i] = int32(i)
	}
	byEnd := slices.Clone(byBegin)
	slices.SortStableFunc(byBegin, func(a, b int32) int { return cmp.Compare(g.ops[a].begin, g.ops[b].begin) })
	last := map[int32]int32{}
	for _, i := range byBegin {
		o := &g.ops[i]
		if before, ok := last[o.process]; ok && o.process >= 0 && (!clock || g.ops[before].ends > o.begin || g.ops[before].ends == never) && g.inOrder(before, i) {
			g.add(before, edge{i, processEdge, -1})
		}
		last[o.process] = i
	}
	if !clock {
		return
	}
	slices.SortStableFunc(byEnd, func(a, b int32) int { return cmp.Compare(g.ops[a].ends, g.ops[b].ends) })
	moments := int32(len(g.ops)) // the first moment
	next := 0
	for _, i := range byBegin {
		for ; next < len(byEnd) && g.ops[byEnd[next]].ends < g.ops[i].begin; next++ {
			m := int32(len(g.out))
			g.out = append(g.out, nil)
			g.add(byEnd[next], edge{m, timeEdge, -1})
			if m > moments {
				g.add(m-1, edge{m, timeEdge, -1})
			}
		}
		if next > 0 {
			g.add(int32(len(g.out))-1, edge{i, timeEdge, -1})
		}
	}
}

// inOrder reports whether of two operations of a process the first one, which began first, comes before the second: a poll while a transaction is open does not.
func (g *graph) inOrder(a, b int32) bool { return g.ops[a].ends <= g.ops[b].begin || g.ops[a].txn < 0 }

// shortest finds a shortest cycle within a strongly connected part: breadth first from each of its operations, at most startsMax of them.
func (g *graph) shortest(part []int32) []step2 {
	inside := make(map[int32]bool, len(part))
	for _, n := range part {
		inside[n] = true
	}
	var best []step2
	starts := 0
	for _, n := range part {
		if int(n) >= len(g.ops) {
			continue
		}
		if starts++; starts > startsMax {
			break
		}
		if path := g.around(n, inside); best == nil || path != nil && len(path) < len(best) {
			best = path
		}
	}
	return best
}

// startsMax bounds the time that large parts take; a cycle is found in any case.
const startsMax = 200

// step2 is an edge of a path between operations; moments are left out.
type step2 struct {
	from, to int32
	kind     edgeKind
	value    int32
}

// around is a shortest cycle through an operation. An edge from an operation costs 1, one from a moment nothing: near holds the nodes at one distance, far those at
// the next.
func (g *graph) around(start int32, inside map[int32]bool) []step2 {
	type arrival struct {
		from, distance int32
		edge           edge
		done           bool
	}
	via := map[int32]*arrival{}
	near, far := []int32{start}, []int32(nil)
	for distance := int32(0); len(near) > 0 && (via[start] == nil || !via[start].done); distance++ {
		for len(near) > 0 {
			n := near[len(near)-1]
			near = near[:len(near)-1]
			if a := via[n]; a != nil {
				if a.done || a.distance != distance {
					continue
				}
				a.done = true
			}
			moment := int(n) >= len(g.ops)
			for _, e := range g.out[n] {
				cost := distance + 1
				if moment {
					cost = distance
				}
				if a := via[e.to]; !inside[e.to] || a != nil && a.distance <= cost {
					continue
				}
				via[e.to] = &arrival{from: n, distance: cost, edge: e}
				if moment {
					near = append(near, e.to)
				} else {
					far = append(far, e.to)
				}
			}
		}
		near, far = far, nil
	}
	if via[start] == nil {
		return nil
	}
	var path []step2
	for n := start; len(path) == 0 || n != start; {
		to, e := n, via[n].edge
		for n = via[n].from; int(n) >= len(g.ops); n = via[n].from {
		}
		path = append(path, step2{n, to, e.kind, e.value})
	}
	slices.Reverse(path)
	return path
}

// kindOf names a cycle by its edges.
func (g *graph) kindOf(path []step2) string {
	wr, ww := false, false
	for _, s := range path {
		wr, ww = wr || s.kind == wrEdge, ww || s.kind == wwEdge
	}
	switch {
	case ww && wr:
		return "G1c with writes"
	case ww:
		return "G0"
	}
	return cycle
}

func (c *checker) tellCycle(g *graph, path []step2) (string, []Operation) {
	var b strings.Builder
	var ops []Operation
	fmt.Fprintf(&b, "a cycle of %d:", len(path))
	for _, s := range path {
		why := s.kind.String()
		if s.value >= 0 {
			why += fmt.Sprintf(" of value %d", c.value(s.value))
		}
		fmt.Fprintf(&b, " %s -> [%s]", c.operation(&g.ops[s.from]), why)
		ops = append(ops, c.operationOps(&g.ops[s.from])...)
		if s.kind == wrEdge {
			ops = append(ops, c.wrOps(s.value, &g.ops[s.to])...)
		}
	}
	fmt.Fprintf(&b, " -> %s", c.operation(&g.ops[path[0].from]))
	return b.String(), slices.Compact(ops)
}

func (c *checker) operation(o *operation) string {
	span := fmt.Sprintf("(process %d, %.6f s to ", o.process, time.Duration(o.begin).Seconds())
	if o.ends == never {
		span += "the end)"
	} else {
		span += fmt.Sprintf("%.6f s)", time.Duration(o.ends).Seconds())
	}
	switch {
	case o.txn >= 0:
		return fmt.Sprintf("transaction %d %s", c.h.txns[o.txn].name, span)
	case o.step >= 0:
		return "poll " + span
	}
	return fmt.Sprintf("send of %d %s", c.value(o.send), span)
}

func (c *checker) operationOps(o *operation) []Operation {
	if o.txn < 0 {
		return nil
	}
	x := &c.h.txns[o.txn]
	return append([]Operation{{time.Duration(x.begun), Process(o.process), fmt.Sprintf("transaction %d begins", x.name), "", -1, -1}}, c.txnOps(o.txn)...)
}

// wrOps are the send of a value and its read by an operation, as evidence.
func (c *checker) wrOps(i int32, by *operation) []Operation {
	s := &c.h.sends[i]
	ops := []Operation{{time.Duration(s.invoked), Process(s.process), "send", c.h.partitions[s.partition].String(), s.offset, c.value(i)}}
	for j := range c.h.steps {
		st := &c.h.steps[j]
		if int32(j) != by.step && (by.txn < 0 || st.txn-1 != by.txn) {
			continue
		}
		for _, r := range c.h.runs[st.from:st.to] {
			if at := slices.Index(c.h.values[r.at:r.at+int(r.n)], i); at >= 0 {
				return append(ops, c.readOp(st, place{r.partition, r.first + int64(at)}, i))
			}
		}
	}
	return ops
}
