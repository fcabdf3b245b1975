package history

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model is a correct broker of two partitions and its clients, which may be given one mistake to make.
type model struct {
	*Recorder
	t       *rapid.T
	now     int64
	mistake string
	planted bool // the mistake has been made, where it shows
	logs    [2][]entry
	parts   [2]TopicPartition
	open    map[Process]*txnState
	pending []func() // acknowledgements on their way
	at      map[Process]*[2]int
	commits []int64 // what may be the committed offset; the last one is
	ownedBy map[string]Process
}

// entry is a record of a log; without a value it is a marker.
type entry struct {
	value Value
	txn   *txnState
}

type txnState struct {
	name    Txn
	touched [2]bool
	ended   bool
	aborted bool
	first   [2]int
}

const nothing = Value(-1)

func newModel(t *rapid.T, mistake string) *model {
	m := &model{
		Recorder: NewRecorder(), t: t, mistake: mistake, parts: [2]TopicPartition{p0, p1}, open: map[Process]*txnState{},
		at: map[Process]*[2]int{}, ownedBy: map[string]Process{},
	}
	m.clock = func() int64 { m.now++; return m.now }
	return m
}

func (m *model) draw(n int, what string) int { return rapid.IntRange(0, n-1).Draw(m.t, what) }

// err reports whether to make a mistake here, once.
func (m *model) err(mistake string) bool {
	if m.mistake != mistake || m.planted {
		return false
	}
	m.planted = true
	return true
}

func (m *model) append(k int, e entry) int64 {
	m.logs[k] = append(m.logs[k], e)
	return int64(len(m.logs[k]) - 1)
}

// send is a send outside of transactions.
func (m *model) send() {
	p, k := Process(1+m.draw(3, "producer")), m.draw(2, "partition")
	v := m.Invoke(p, m.parts[k])
	switch m.draw(6, "fate") {
	case 0: // it is there, and nobody hears of it
		m.append(k, entry{value: v})
		m.Unclear(v)
	case 1:
		m.Unclear(v)
	case 2:
		m.Failed(v)
		if m.err(aborted) {
			m.append(k, entry{value: v})
		}
	default:
		if m.mistake == disorder && !m.planted {
			m.planted = true // the next one overtakes it
			next := m.Invoke(p, m.parts[k])
			m.Acknowledged(next, m.append(k, entry{value: next}))
		}
		o := m.append(k, entry{value: v})
		if m.err(lost) || m.mistake == unseen && m.err(unseen) {
			m.logs[k][o] = entry{value: nothing}
			if m.mistake == lost { // somebody must have read beyond it
				m.append(k, entry{value: m.written(p, k)})
			}
		}
		if m.err(duplicate) {
			m.append(k, entry{value: v})
		}
		m.pending = append(m.pending, func() { m.Acknowledged(v, o) })
	}
}

// written is a value that is being appended, of which nobody hears.
func (m *model) written(p Process, k int) Value {
	v := m.Invoke(p, m.parts[k])
	m.Unclear(v)
	return v
}

func (m *model) settle(n int) {
	for ; n > 0 && len(m.pending) > 0; n-- {
		i := m.draw(len(m.pending), "answer")
		m.pending[i]()
		m.pending = slices.Delete(m.pending, i, i+1)
	}
}

// transact does a step of a transaction.
func (m *model) transact() {
	p := Process(11 + m.draw(2, "transactional producer"))
	x := m.open[p]
	switch {
	case x == nil:
		m.open[p] = &txnState{name: m.BeginBy(p, 1000_000)}
	case m.draw(3, "end") > 0:
		k := m.draw(2, "partition")
		v := m.InvokeIn(x.name, p, m.parts[k])
		o := m.append(k, entry{v, x})
		if !x.touched[k] {
			x.touched[k], x.first[k] = true, int(o)
		}
		m.Acknowledged(v, o)
		if m.err(precommitted) {
			m.PolledIn(x.name, p, []Record{{m.parts[k], o, v}})
			m.Assigned(p)
		}
		if m.err(uncommitted) {
			m.Polled(29, []Record{{m.parts[k], o, v}})
		}
		if m.draw(2, "poll") == 0 {
			m.PolledIn(x.name, p, m.next(p, true))
		}
	default:
		m.end(p, x)
	}
}

func (m *model) end(p Process, x *txnState) {
	if m.mistake == openLong && x.touched != [2]bool{} && m.err(openLong) {
		m.now += 2000_000
		m.Ending(x.name)
		m.finish(p, x, OK, false)
		return
	}
	m.Ending(x.name)
	switch aborted := m.draw(2, "abort") == 0; {
	case m.draw(4, "unclear") == 0:
		m.finish(p, x, Info, aborted)
	case aborted:
		m.finish(p, x, Fail, true)
	default:
		m.finish(p, x, OK, false)
	}
}

func (m *model) finish(p Process, x *txnState, o Outcome, aborted bool) {
	x.ended, x.aborted = true, aborted
	for k := range x.touched {
		if x.touched[k] {
			m.append(k, entry{value: nothing})
		}
	}
	m.End(x.name, o)
	delete(m.open, p)
}

// stable is the last stable offset.
func (m *model) stable(k int) int {
	end := len(m.logs[k])
	for _, x := range m.open {
		if x.touched[k] {
			end = min(end, x.first[k])
		}
	}
	return end
}

// next is what a process reads next.
func (m *model) next(p Process, committed bool) (recs []Record) {
	if m.at[p] == nil {
		m.at[p] = &[2]int{}
	}
	at := m.at[p]
	for k := range m.logs {
		end := len(m.logs[k])
		if committed {
			end = m.stable(k)
		}
		for n := m.draw(6, "records"); n > 0 && at[k] < end; n-- {
			o := at[k]
			at[k]++
			e := m.logs[k][o]
			if e.value == nothing || committed && e.txn != nil && e.txn.aborted {
				continue
			}
			if m.mistake == skip && !m.planted && len(recs) > 0 && recs[len(recs)-1].Partition == m.parts[k] && at[k] < end && m.plain(k, o) && m.plain(k, o+1) {
				m.planted = true
				at[k]++
				recs = append(recs, Record{m.parts[k], int64(o + 1), m.logs[k][o+1].value})
				continue
			}
			recs = append(recs, Record{m.parts[k], int64(o), e.value})
		}
	}
	return recs
}

func (m *model) plain(k, o int) bool { return m.logs[k][o].value != nothing && m.logs[k][o].txn == nil }

func (m *model) read() {
	p := Process(21 + m.draw(3, "reader"))
	if m.draw(8, "jump") == 0 {
		m.Assigned(p)
		m.at[p] = &[2]int{m.draw(len(m.logs[0])+1, "offset"), m.draw(len(m.logs[1])+1, "offset")}
	}
	if p == 23 {
		m.PolledUncommitted(p, m.next(p, false))
		return
	}
	recs := m.next(p, true)
	m.Polled(p, recs)
	if len(recs) > 0 && m.err(regress) {
		m.Polled(p, recs[len(recs)-1:])
	}
}

// offsets does a commit or a fetch of the group's offset.
func (m *model) offsets() {
	if m.draw(2, "fetch") == 0 {
		n := int64(len(m.commits))
		op := m.InvokeCommit(31, "g", p0, n)
		switch m.draw(4, "fate") {
		case 0:
			m.EndCommit(op, Info)
		case 1:
			m.EndCommit(op, Info)
			m.commits = append(m.commits, n)
		default:
			m.commits = append(m.commits, n)
			m.EndCommit(op, OK)
			if m.err(commitLost) {
				fetch := m.InvokeFetch(33, "g", p0)
				m.EndFetch(fetch, -1)
			}
		}
		return
	}
	op := m.InvokeFetch(32, "g", p0)
	told := int64(-1)
	if n := len(m.commits); n > 0 {
		told = m.commits[n-1]
	}
	if m.err(commitPhantom) {
		told = 1_000_000
	}
	m.EndFetch(op, told)
}

// rebalance gives a partition to a member in a generation of its own.
func (m *model) rebalance(generation int) {
	p := Process(21 + m.draw(2, "member"))
	m.Owns(p, "g", int64(generation), []TopicPartition{p0, p1})
	m.at[p] = &[2]int{}
	if m.err(twoOwners) {
		m.Owns(34, "g", int64(generation), []TopicPartition{p1})
	}
}

func (m *model) look() {
	p, k := Process(41+m.draw(2, "watcher")), m.draw(2, "partition")
	since := m.Clock()
	high := int64(len(m.logs[k]))
	marks := Marks{Low: 0, Stable: int64(m.stable(k)), High: high, Last: -1}
	m.Saw(p, m.parts[k], since, marks)
	if high > 0 && m.err(markBack) {
		marks.High, marks.Stable = high-1, min(marks.Stable, high-1)
		m.Saw(p, m.parts[k], m.Clock(), marks)
	}
}

// run makes a history of so many steps and its final read.
func (m *model) run(steps int) {
	for n := range steps {
		switch m.draw(10, "step") {
		case 0, 1, 2:
			m.send()
		case 3, 4:
			m.transact()
		case 5, 6:
			m.read()
		case 7:
			m.offsets()
		case 8:
			m.look()
		default:
			m.settle(3)
			if m.draw(3, "rebalance") == 0 {
				m.rebalance(n)
			}
		}
	}
	m.settle(len(m.pending))
	for _, p := range slices.Sorted(maps.Keys(m.open)) {
		m.end(p, m.open[p])
	}
	v := m.Invoke(1, p0)
	m.Acknowledged(v, m.append(0, entry{value: v}))
	for k, log := range m.logs {
		var all []Record
		for o, e := range log {
			if e.value != nothing && (e.txn == nil || !e.txn.aborted) {
				all = append(all, Record{m.parts[k], int64(o), e.value})
			}
		}
		m.PolledFinally(99, all)
	}
}

// TestCorrectModelPasses: whatever a correct broker and its clients do, no check fails.
func TestCorrectModelPasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t, "")
		m.run(rapid.IntRange(1, 120).Draw(t, "steps"))
		if r := Check(m.Recorder, Want{}); r.Verdict != Pass {
			t.Fatal(r)
		}
		if r := Check(m.Recorder, Want{NoClock: true, WriteEdges: true}); r.Verdict != Pass {
			t.Fatal(r)
		}
	})
}

// TestMistakesAreFound: a broker that makes one mistake fails with what belongs to it.
func TestMistakesAreFound(t *testing.T) {
	for _, kind := range []string{aborted, lost, unseen, duplicate, disorder, precommitted, uncommitted, skip, regress, openLong, commitLost, commitPhantom, twoOwners, markBack} {
		t.Run(kind, func(t *testing.T) {
			made := 0
			rapid.Check(t, func(t *rapid.T) {
				m := newModel(t, kind)
				m.run(rapid.IntRange(20, 120).Draw(t, "steps"))
				r := Check(m.Recorder, Want{})
				switch {
				case !m.planted && r.Verdict != Pass:
					t.Fatal(r)
				case m.planted && r.Counts[kind] == 0 && !(kind == uncommitted && r.Counts[aborted] > 0): // for what is aborted later is both
					t.Fatalf("not found:\n%v", r)
				case m.planted:
					made++
				}
			})
			if made == 0 {
				t.Error(fmt.Sprintf("the mistake %q was never made", kind))
			}
		})
	}
}
