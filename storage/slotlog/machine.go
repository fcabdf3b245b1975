package slotlog

// machine holds the rules of a writer. It knows slots, not bytes: each append is the next slot, and a slot that has been started
// is driven by its own flight, which does what the machine tells it and reports what came of it.
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
type flight uint8

const (
	flying flight = iota // an attempt, or the pause before one, is under way
	stored               // the slot holds our bytes
	landed               // stopped: no attempt is under way, and none will be
)

// action is what a flight does next.
type action uint8

const (
	doPut      action = iota // put the slot's bytes with put-if-absent
	doReadBack               // read the slot's header and compare
	doPause                  // wait a little, then report passed
	doEnd                    // the flight is over
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

// start returns the next slot to start, if there is one and the window has room. Its flight begins with doPut.
func (m *machine) start() (slot uint64, ok bool) {
	if m.stopped || m.started == m.tail || m.started-m.head == m.window {
		return 0, false
	}
	m.flights = append(m.flights, flying)
	m.started++
	return m.started - 1, true
}

// report tells what came of the last action of a slot's flight and returns the next one. Completions may follow: see complete.
func (m *machine) report(slot uint64, e event) action {
	f := &m.flights[slot-m.head]
	if *f != flying {
		panic("BUG: slotlog: a report of a flight that is over")
	}
	switch e {
	case readForeign, refused:
		m.stopped = true
	case putStored, readOurs:
		if !m.stopped {
			*f = stored
			return doEnd
		}
	}
	if m.stopped {
		*f = landed
		return doEnd
	}
	switch e {
	case putTaken:
		return doReadBack
	case unknown:
		return doPause
	default: // passed
		return doPut
	}
}

// stop ends the writer: nothing is started or acknowledged any more. Flights end at their next report.
func (m *machine) stop() { m.stopped = true }

// complete takes the next slot that is at its end off the head and says whether it is acknowledged. A slot that was started is at
// its end only when its flight is over, because until then an attempt may look at its body.
func (m *machine) complete() (slot uint64, acknowledged, ok bool) {
	switch {
	case m.head < m.started:
		f := m.flights[0]
		if f == flying {
			return 0, false, false
		}
		m.flights = m.flights[1:]
		m.head++
		return m.head - 1, f == stored && !m.stopped, true
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
