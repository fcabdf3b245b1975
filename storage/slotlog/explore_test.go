package slotlog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/test/explore"
)

// The explorer runs the machines of writers and sealers against a store that is a few lines long and walks through every
// interleaving of their steps, with a bounded number of faults: an answer is lost; a request is told to be undetermined and
// happens later, or never; a read fails. After every step it checks the invariants of the package.

// owner says who put a slot's content. Zero: empty.
type owner int8

const sealOwner owner = 100 // and above: the sealers

type world struct {
	writers []*simWriter
	sealers []*simSealer
	slots   [8]owner
	late    []lateSlot // puts that were given up by their caller and may still happen
	faults  int        // left
	hedges  int        // left
	trim    uint64     // the committed trim; frozen once a sealer has read it
	frozen  bool
	dirty   bool // what a late put stores are other bytes under the same nonce: its body was reused too early
	bug     bug
}

// dirtied is added to the owner of such bytes.
const dirtied owner = 50

// bug is a seeded mistake that the explorer must find.
type bug string

const (
	noBug            bug = ""
	takenIsSuccess   bug = "a taken slot counts as stored"
	skipUndetermined bug = "an undetermined put counts as stored"
	anyDataIsOurs    bug = "whatever data a slot holds counts as ours"
	nonceIsEnough    bug = "a slot with our nonce counts as ours, whatever its bytes"
	sealerSkips      bug = "the sealer goes on from an undetermined put"
	trimNotFrozen    bug = "the trim moves on after the sealer read it"
	sealDeleted      bug = "the seal is deleted"
)

// What an attempt waits for whose put has happened.
const (
	answerStored action = 100 + iota
	answerTaken
)

type lateSlot struct {
	slot uint64
	who  owner
}

type simWriter struct {
	machine
	who     owner
	first   uint64
	pending map[uint64][]action // next action of each attempt
	closed  bool
	acked   uint64 // slots [first, acked) are acknowledged
	failed  int
	total   int
}

type simSealer struct {
	sealMachine
	who     owner
	started bool
	from    uint64
	sealed  [8]owner // the prefix at the moment the seal was known
}

func (w *world) clone() *world {
	c := *w
	c.late = slices.Clone(w.late)
	c.writers = make([]*simWriter, len(w.writers))
	for i, x := range w.writers {
		y := *x
		y.flights = slices.Clone(x.flights)
		y.pending = make(map[uint64][]action, len(x.pending))
		for slot, a := range x.pending {
			y.pending[slot] = slices.Clone(a)
		}
		c.writers[i] = &y
	}
	c.sealers = make([]*simSealer, len(w.sealers))
	for i, x := range w.sealers {
		y := *x
		c.sealers[i] = &y
	}
	return &c
}

// key identifies the state.
func (w *world) key() string {
	var b strings.Builder
	fmt.Fprint(&b, w.slots, w.late, w.faults, w.hedges, w.trim, w.frozen)
	for _, x := range w.writers {
		fmt.Fprint(&b, "|", x.head, x.started, x.tail, x.flights, x.stopped, x.acked, x.failed)
		for slot := x.head; slot < x.started; slot++ {
			if a, ok := x.pending[slot]; ok {
				a = slices.Clone(a)
				slices.Sort(a) // attempts are alike
				fmt.Fprint(&b, slot, a)
			}
		}
	}
	for _, x := range w.sealers {
		fmt.Fprint(&b, "/", x.slot, x.next, x.resume, x.started, x.from, x.sealed)
	}
	return b.String()
}

// settle lets a writer complete and start what its rules allow; that takes no time and no luck.
func (x *simWriter) settle() {
	for {
		slot, ok, done := x.complete()
		if !done {
			break
		}
		if len(x.pending[slot]) > 0 {
			violated("slot %d is completed while an attempt may look at its body", slot)
		}
		switch {
		case ok && x.failed > 0:
			violated("slot %d acknowledged after a failure", slot)
		case ok && slot != x.acked:
			violated("slot %d acknowledged, want %d", slot, x.acked)
		case ok:
			x.acked++
		default:
			x.failed++
		}
		if x.acked-x.first+uint64(x.failed) > uint64(x.total) {
			violated("slot %d completed twice", slot)
		}
	}
	for {
		slot, ok := x.start()
		if !ok {
			return
		}
		x.pending[slot] = []action{doPut}
	}
}

// tell reports what came of the last action of the slot's attempt n.
func (x *simWriter) tell(slot uint64, n int, e event) {
	all := x.pending[slot]
	switch next := x.report(slot, e); {
	case next != doEnd:
		all[n] = next
	case len(all) == 1:
		delete(x.pending, slot)
	default:
		x.pending[slot] = slices.Delete(all, n, n+1)
	}
	x.settle()
}

// putSlot does a put with put-if-absent.
func (w *world) putSlot(slot uint64, who owner) bool {
	if w.slots[slot] != 0 {
		return false
	}
	w.slots[slot] = who
	return true
}

// step is one thing that can happen next.
type step struct {
	name string
	do   func(w *world)
}

// steps returns everything that can happen next.
func (w *world) steps() []step {
	var all []step
	add := func(name string, do func(w *world)) { all = append(all, step{name, do}) }
	for i, x := range w.writers {
		for slot := x.head; slot < x.started; slot++ {
			for n := range x.pending[slot] {
				w.attemptSteps(add, i, slot, n)
			}
			if len(x.pending[slot]) == 1 && w.hedges > 0 && !x.decided(slot) {
				add(fmt.Sprintf("writer %d slot %d: hedge", x.who, slot), func(w *world) {
					x := w.writers[i]
					if w.hedges--; x.hedge(slot) {
						x.pending[slot] = append(x.pending[slot], doPut)
					}
				})
			}
		}
	}
	for i, x := range w.sealers {
		if x.next != sealEnd || !x.started {
			w.sealerSteps(add, i)
		}
	}
	for i := range w.late {
		add(fmt.Sprintf("late put of %d into %d", w.late[i].who, w.late[i].slot), func(w *world) {
			l := w.late[i]
			w.late = slices.Delete(w.late, i, i+1)
			w.putSlot(l.slot, l.who)
		})
	}
	if x := w.writers[0]; (!w.frozen || w.bug == trimNotFrozen) && w.trim < x.acked {
		add("trim", func(w *world) {
			if w.trim++; w.trim > 1 {
				w.slots[w.trim-1] = 0 // slots [1, trim) go
			}
		})
	}
	for i, x := range w.sealers {
		if w.bug == sealDeleted && x.started && x.next == sealEnd && w.slots[x.slot] == x.who {
			add("delete the seal", func(w *world) { w.slots[w.sealers[i].slot] = 0 })
		}
	}
	return all
}

// attemptSteps adds what can happen to attempt n at a slot.
func (w *world) attemptSteps(add func(string, func(*world)), i int, slot uint64, n int) {
	who, hedged := w.writers[i].who, w.hedges > 0 || len(w.writers[i].pending[slot]) > 1
	tell := func(name string, do func(w *world) event) {
		add(fmt.Sprintf("writer %d slot %d attempt %d: %s", who, slot, n, name), func(w *world) { w.writers[i].tell(slot, n, do(w)) })
	}
	put := func(w *world) event {
		if w.putSlot(slot, who) {
			return putStored
		}
		if w.bug == takenIsSuccess {
			return putStored
		}
		return putTaken
	}
	lost := unknown
	if w.bug == skipUndetermined {
		lost = putStored
	}
	late := func(w *world) {
		l := lateSlot{slot, who}
		if w.dirty {
			l.who += dirtied
		}
		w.late = append(w.late, l)
	}
	switch a := w.writers[i].pending[slot][n]; a {
	case doPut:
		if w.writers[i].decided(slot) { // nobody waits for it any more
			tell("put called off", func(*world) event { return unknown })
			if w.hedges > 0 || hedged {
				tell("put called off, and done later", func(w *world) event { late(w); return unknown })
			}
		}
		if hedged { // the other attempt may come between the put and its answer
			add(fmt.Sprintf("writer %d slot %d attempt %d: put done, the answer is on its way", who, slot, n), func(w *world) {
				a := answerTaken
				if put(w) == putStored {
					a = answerStored
				}
				w.writers[i].pending[slot][n] = a
			})
		}
		tell("put", put)
		if w.faults > 0 {
			tell("put, answer lost", func(w *world) event { w.faults--; put(w); return lost })
			tell("put later", func(w *world) event {
				w.faults--
				late(w)
				return lost
			})
		}
	case answerStored, answerTaken:
		tell("answer", func(*world) event {
			if a == answerStored {
				return putStored
			}
			return putTaken
		})
		if w.writers[i].decided(slot) {
			tell("answer not awaited", func(*world) event { return unknown })
		}
	case doReadBack:
		tell("read back", func(w *world) event {
			switch w.slots[slot] {
			case who:
				return readOurs
			case 0:
				return unknown // trimmed or swept meanwhile
			default:
				if w.bug == anyDataIsOurs && w.slots[slot] < sealOwner || w.bug == nonceIsEnough && w.slots[slot] == who+dirtied {
					return readOurs
				}
				return readForeign
			}
		})
		if w.faults > 0 {
			tell("read back fails", func(w *world) event { w.faults--; return unknown })
		}
	case doPause:
		tell("pause over", func(*world) event { return passed })
	}
}

func (w *world) sealerSteps(add func(string, func(*world)), i int) {
	x := w.sealers[i]
	tell := func(name string, do func(w *world, slot uint64) sealEvent) {
		add(fmt.Sprintf("sealer %d slot %d: %s", x.who, x.slot, name), func(w *world) {
			x := w.sealers[i]
			if x.report(do(w, x.slot)); x.next == sealEnd {
				x.sealed = w.slots
			}
		})
	}
	if !x.started {
		add(fmt.Sprintf("sealer %d starts", x.who), func(w *world) {
			x := w.sealers[i]
			x.started, w.frozen = true, true // the fence record freezes the trim; the walk starts from it
			x.from, x.slot = w.trim, w.trim
		})
		return
	}
	switch x.next {
	case sealProbe:
		tell("probe", func(w *world, slot uint64) sealEvent {
			switch o := w.slots[slot]; {
			case o == 0:
				return slotEmpty
			case o >= sealOwner:
				return slotSeal
			default:
				return slotData
			}
		})
	case sealPut:
		put := func(w *world, slot uint64) sealEvent {
			if w.putSlot(slot, x.who) {
				return sealStored
			}
			return sealTaken
		}
		tell("put seal", put)
		if w.faults > 0 {
			tell("put seal, answer lost", func(w *world, slot uint64) sealEvent { w.faults--; put(w, slot); return sealUnknown })
			tell("put seal later", func(w *world, slot uint64) sealEvent {
				w.faults--
				w.late = append(w.late, lateSlot{slot, x.who})
				if w.bug == sealerSkips {
					return slotData
				}
				return sealUnknown
			})
		}
	case sealPause:
		tell("pause over", func(*world, uint64) sealEvent { return sealPassed })
	}
}

// check checks the invariants of the package in one state.
func (w *world) check() {
	winners := 0
	for _, x := range w.writers {
		if x.acked > x.first {
			winners++
		}
		for slot := max(x.first, w.trim); slot < x.acked; slot++ {
			if w.slots[slot] != x.who {
				violated("slot %d was acknowledged to writer %d and holds %d", slot, x.who, w.slots[slot])
			}
		}
		for _, s := range w.sealers {
			if s.started && s.next == sealEnd && x.acked > s.slot {
				violated("writer %d was acknowledged slot %d of an epoch sealed at %d", x.who, x.acked-1, s.slot)
			}
		}
	}
	if winners > 1 {
		violated("two writers of one epoch were acknowledged")
	}
	end := -1
	for _, s := range w.sealers {
		if !s.started || s.next != sealEnd {
			continue
		}
		if end >= 0 && end != int(s.slot) {
			violated("one sealer found the end %d, another %d", end, s.slot)
		}
		end = int(s.slot)
		if w.slots[end] < sealOwner && w.bug != sealDeleted {
			violated("no seal at the end %d", end)
		}
		for slot := s.from; slot < s.slot; slot++ {
			if w.slots[slot] != s.sealed[slot] || w.slots[slot] == 0 || w.slots[slot] >= sealOwner {
				violated("slot %d of the sealed prefix held %d and holds %d", slot, s.sealed[slot], w.slots[slot])
			}
		}
	}
}

// checkEnd checks a state in which nothing more can happen.
func (w *world) checkEnd() {
	for _, x := range w.writers {
		if !x.idle() || x.acked-x.first+uint64(x.failed) != uint64(x.total) {
			violated("writer %d: %d of %d appends came to an end", x.who, x.acked-x.first+uint64(x.failed), x.total)
		}
	}
	for _, s := range w.sealers {
		if s.started && s.next != sealEnd {
			violated("sealer %d is stuck", s.who)
		}
	}
}

func newWorld(window, appends, writers, sealers, faults int) *world {
	w := &world{faults: faults}
	for i := range writers {
		x := &simWriter{machine: newMachine(0, window), who: owner(i + 1), pending: map[uint64][]action{}, total: appends}
		for range appends {
			x.admit()
		}
		x.settle()
		w.writers = append(w.writers, x)
	}
	for i := range sealers {
		w.sealers = append(w.sealers, &simSealer{who: sealOwner + owner(i)})
	}
	return w
}

// violation is what a check panics with.
type violation string

func violated(format string, args ...any) { panic(violation(fmt.Sprintf(format, args...))) }

// caught turns a violation into an error.
func caught(err *error) {
	switch v := recover().(type) {
	case nil:
	case violation:
		*err = errors.New(string(v))
	default:
		panic(v)
	}
}

// Clone implements explore.World, as what follows does.
func (w *world) Clone() *world { return w.clone() }

func (w *world) AppendKey(dst []byte) []byte { return append(dst, w.key()...) }

func (w *world) Steps(add explore.Add[*world]) {
	for _, s := range w.steps() {
		add(func(w *world) (err error) {
			defer caught(&err)
			s.do(w)
			return nil
		}, "%s", s.name)
	}
}

func (w *world) Check() (err error) {
	defer caught(&err)
	w.check()
	return nil
}

func (w *world) End() (err error) {
	defer caught(&err)
	w.checkEnd()
	return nil
}

func TestEveryInterleaving(t *testing.T) {
	for _, c := range []struct {
		window, appends, writers, sealers, faults, hedges int
		dirty                                             bool
	}{
		{1, 2, 1, 1, 3, 0, false},
		{2, 3, 1, 1, 2, 0, false},
		{2, 2, 1, 2, 2, 0, false},
		{2, 2, 2, 1, 1, 0, false},
		{1, 1, 2, 1, 3, 0, false},
		{3, 3, 1, 0, 3, 0, false},
		{2, 2, 1, 1, 2, 0, true},
		{1, 2, 1, 1, 1, 1, false},
		{1, 2, 1, 1, 0, 2, false},
		{2, 2, 1, 1, 0, 1, false},
		{1, 1, 2, 1, 0, 1, false},
		{2, 2, 2, 2, 1, 0, false}, // deep
	} {
		if c.writers+c.sealers == 4 && !explore.Deep() {
			continue
		}
		w := newWorld(c.window, c.appends, c.writers, c.sealers, c.faults)
		w.dirty, w.hedges = c.dirty, c.hedges
		res := explore.Walk(w, explore.Limit{})
		if res.Found != nil {
			t.Errorf("%+v: %v", c, res.Found)
		}
		t.Logf("%+v: %v", c, res)
	}
}

// TestTheExplorerFindsBugs: an explorer that finds nothing must be able to find something.
func TestTheExplorerFindsBugs(t *testing.T) {
	for _, b := range []bug{takenIsSuccess, skipUndetermined, anyDataIsOurs, nonceIsEnough, sealerSkips, trimNotFrozen, sealDeleted} {
		w := newWorld(2, 3, 2, 1, 2)
		w.bug, w.dirty = b, b == nonceIsEnough
		res := explore.Walk(w, explore.Limit{})
		if res.Found == nil {
			t.Errorf("%s: not found in %v", b, res)
		}
		t.Logf("%s: found in %v: %v", b, res, res.Found)
	}
}
