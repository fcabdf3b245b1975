package slotlog

import "sluice/base/seeded"

// machine holds the rules of a writer. It knows slots, not bytes: each append is the next slot, and a slot that has been started
// is driven by its own flight: one attempt, or two while the slot is hedged. An attempt does what the machine tells it and reports
// what came of it, until it is over.
//
// The slots are in three rows, head ≤ started ≤ tail:
//
//	[…, head)       completed: done has been, or is about to be, called
//	[head, started) in flight, at most window of them; their states are in flights
//	[started, tail) waiting
type machine struct {
	window              uint64
	head, started, tail uint64
	flights             []flight // flights[i] is slot head+i
	stopped             bool     // no append is acknowledged any more
}

// flight is the state of a slot that has been started.
type flight struct {
	attempts uint8 // under way: they put, read back or pause
	stored   bool  // the slot holds our bytes
}

// attemptsMax bounds the attempts of one slot at a time.
const attemptsMax = 2

// action is what an attempt does next.
type action uint8

const (
	doPut      action = iota // put the slot's bytes with put-if-absent
	doReadBack               // read the slot's header and compare
	doPause                  // wait a little, then report passed
	doEnd                    // nothing: the attempt is over
)

// event is what came of an action.
type event uint8

const (
	putStored   event = iota // the put succeeded
	putTaken                 // the slot is taken, by us or by others
	readOurs                 // the slot holds our bytes
	readForeign              // the slot holds something else: a seal, or another writer's data
	unknown                  // the put or the read-back failed in a way that leaves the slot undetermined
	passed                   // the pause is over
	refused                  // the store says that this can never succeed
)

func newMachine(next uint64, window int) machine {
	return machine{window: uint64(window), head: next, started: next, tail: next}
}

// admit takes one append and returns its slot.
func (m *machine) admit() uint64 {
	m.tail++
	return m.tail - 1
}

// start returns the next slot to start, if there is one and the window has room. Its first attempt begins with doPut.
func (m *machine) start() (slot uint64, ok bool) {
	if m.stopped || m.started == m.tail || m.started-m.head == m.window {
		return 0, false
	}
	m.flights = append(m.flights, flight{attempts: 1})
	m.started++
	return m.started - 1, true
}

// hedge asks for a second attempt at a slot whose first one takes long. It begins with doPut.
func (m *machine) hedge(slot uint64) bool {
	if m.decided(slot) {
		return false
	}
	f := &m.flights[slot-m.head]
	if f.attempts == 0 || f.attempts == attemptsMax {
		return false
	}
	f.attempts++
	return true
}

// decided reports whether what became of a slot is known, or does not matter any more: attempts that are still under way may be called off.
func (m *machine) decided(slot uint64) bool {
	return m.stopped || slot < m.head || m.flights[slot-m.head].stored
}

// report tells what came of the last action of one of a slot's attempts and returns the attempt's next one. Completions may
// follow: see complete. What the first decisive answer says holds, and the other attempt ends at its next report; of two attempts
// that both remain without an answer, the one that ends last begins anew.
func (m *machine) report(slot uint64, e event) action {
	f := &m.flights[slot-m.head]
	if f.attempts == 0 {
		panic("BUG: slotlog: a report of a flight that is over")
	}
	if !m.decided(slot) {
		switch e {
		case putStored, readOurs:
			f.stored = true
		case readForeign, refused:
			m.stopped = true
		case putTaken:
			if f.stored = seeded.Bug(seeded.ExistsIsSuccess); !f.stored {
				return doReadBack
			}
		case passed:
			return doPut
		case unknown:
			if f.attempts == 1 {
				return doPause
			}
		}
	}
	f.attempts--
	return doEnd
}

// stop ends the writer: nothing is started or acknowledged any more. Attempts end at their next report.
func (m *machine) stop() { m.stopped = true }

// complete takes the next slot that is at its end off the head and says whether it is acknowledged. A slot that was started is at
// its end only when all its attempts are over, because until then one may look at its body.
func (m *machine) complete() (slot uint64, acknowledged, ok bool) {
	switch {
	case m.head < m.started:
		f := m.flights[0]
		if f.attempts > 0 {
			return 0, false, false
		}
		m.flights = m.flights[1:]
		m.head++
		return m.head - 1, f.stored && !m.stopped, true
	case m.head < m.tail && m.stopped:
		m.head++
		m.started++
		return m.head - 1, false, true
	default:
		return 0, false, false
	}
}

// idle reports whether every append has been completed.
func (m *machine) idle() bool { return m.head == m.tail }
