package world

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"sluice/cluster/control"
	"sluice/cluster/peer"
	"sluice/test/sim/simnet"
)

// What brokers say to each other is the other thing that goes wrong at a moment: a call is carried out and its answer is lost, or the caller dies before it hears, or
// whoever was to answer. The boundary is a call or an answer, right before it is delivered or right after.

func init() { faults = append(faults, peerFaults...) }

// peerFaults are those of brokers and their connections when one says something to another.
var peerFaults = []trouble{
	{name: "crash at a peer", brokers: 2, do: func(w *world) {
		silent := w.rnd.IntN(3) == 0
		if b := w.atPeer("crash at a peer", func(_ said, hit *broker) { hit.life.down(silent) }); b != nil {
			b.state = down
			w.random(0, 3*time.Second)
			b.launch()
		}
	}},
	{name: "pause at a peer", brokers: 2, do: func(w *world) {
		if b := w.atPeer("pause at a peer", func(_ said, hit *broker) { hit.setPaused(true) }); b != nil {
			w.random(w.session/2, 4*w.session)
			b.setPaused(false)
		}
	}},
	{name: "cut at a peer", brokers: 2, do: func(w *world) {
		back := w.rnd.IntN(2) == 0
		w.atPeer("cut at a peer", func(s said, _ *broker) {
			if back {
				s.from, s.to = s.to, s.from
			}
			w.net.Cut(s.from, s.to, true)
			w.trace.Mark("cut from %s to %s", s.from, s.to)
		})
		w.random(0, 2*w.session)
	}},
	{name: "resets at a peer", brokers: 2, do: func(w *world) {
		for range 1 + w.rnd.IntN(6) {
			w.atPeer("resets at a peer", func(s said, _ *broker) { w.net.Reset(s.conn) })
			w.random(0, time.Second)
		}
	}},
}

// said is a call of one broker to another, or its answer, as it is delivered.
type said struct {
	conn     int
	from, to string // hosts
	method   peer.Method
	answer   bool
}

func (s said) String() string {
	what := "call"
	if s.answer {
		what = "answer"
	}
	name := control.MethodName(s.method)
	if s.method >= control.FreeMethod {
		name = "of a coordinator"
	}
	return what + " " + name + " from " + s.from + " to " + s.to
}

// peerBoundaries are what is waited for. Followers ask for metadata all the time, and tell that they live; so these are not in all of them.
var peerBoundaries = []struct {
	name    string
	matches func(m peer.Method) bool
}{
	{"anything", func(peer.Method) bool { return true }},
	{"command", func(m peer.Method) bool { return control.MethodName(m) == "submit" }},
	{"command", func(m peer.Method) bool { return control.MethodName(m) == "submit" }},
	{"coordinators", func(m peer.Method) bool { return m >= control.FreeMethod }},
	{"neither heartbeat nor metadata", func(m peer.Method) bool {
		return control.MethodName(m) != "heartbeat" && control.MethodName(m) != "follow"
	}},
}

// peerAmbush waits for something to be said.
type peerAmbush struct {
	matches func(m peer.Method) bool
	answer  bool
	before  bool
	skip    int // it lets so many pass
	asker   bool
	do      func(s said, hit *broker)
	hit     *broker // set before done is closed
	done    chan struct{}
}

// overheard is what brokers have said to each other.
type overheard struct {
	ambush *peerAmbush // nil: none
	calls  map[callID]peer.Method
	rest   map[direction]int // bytes of a frame that are still to come
}

// A callID is a call that is not answered yet.
type callID struct {
	conn   int
	number uint64
}

type direction struct {
	conn  int
	asked bool
}

// overhear listens to the brokers, if the world has a fault that needs it.
func (w *world) overhear() {
	if !slices.ContainsFunc(w.Steps, func(st Step) bool { return strings.HasSuffix(st.Fault, " at a peer") }) {
		return
	}
	w.heard = &overheard{calls: map[callID]peer.Method{}, rest: map[direction]int{}}
	w.net.Watch(w.hear)
}

// hear is told of every piece that is delivered.
func (w *world) hear(p simnet.Piece, before bool) {
	from, to := w.host(p.From), w.host(p.To)
	if from == nil || to == nil {
		return
	}
	w.mu.Lock()
	all := w.heard.parse(p, !before)
	a := w.heard.ambush
	i := slices.IndexFunc(all, func(s said) bool {
		return a != nil && a.before == before && a.answer == s.answer && a.matches(s.method)
	})
	if i < 0 {
		w.mu.Unlock()
		return
	}
	if a.skip > 0 {
		a.skip--
		w.mu.Unlock()
		return
	}
	w.heard.ambush = nil
	w.mu.Unlock()
	hit := from
	if a.asker == all[i].answer {
		hit = to
	}
	w.trace.Mark("caught, before=%t: %s; it hits %s", before, all[i], hit.name)
	a.do(all[i], hit)
	a.hit = hit
	close(a.done)
}

// host is the broker on a host, nil if there is none.
func (w *world) host(name string) *broker {
	for _, b := range w.brokers {
		if b.name == name {
			return b
		}
	}
	return nil
}

// frameHeader is the header of a frame between brokers: bytes of the body, type, method, number of the call and a checksum, see package peer.
const frameHeader = 20

// parse returns what a piece says. gone says that the piece was read, and will not come again. What is not understood, a handshake, is nothing.
func (o *overheard) parse(p simnet.Piece, gone bool) (all []said) {
	const call, answer, failure, cancel = 1, 2, 3, 4
	d := direction{p.Conn, p.Asked}
	rest := o.rest[d]
	data := p.Data[min(rest, len(p.Data)):]
	rest -= len(p.Data) - len(data)
	for len(data) >= frameHeader && data[4] >= 1 && data[4] <= 6 && data[6] == 0 && data[7] == 0 {
		id := callID{p.Conn, binary.BigEndian.Uint64(data[8:])}
		s := said{conn: p.Conn, from: p.From, to: p.To, method: peer.Method(data[5])}
		switch data[4] {
		case call:
			o.calls[id] = s.method
			all = append(all, s)
		case answer, failure:
			var asked bool
			if s.method, asked = o.calls[id]; asked {
				s.answer = true
				all = append(all, s)
			}
			if gone {
				delete(o.calls, id)
			}
		case cancel: // nobody waits for its answer, which may still come
		}
		size := frameHeader + int(binary.BigEndian.Uint32(data))
		if size > len(data) {
			rest, data = size-len(data), nil
			break
		}
		data = data[size:]
	}
	if gone {
		o.rest[d] = rest
	}
	return all
}

// atPeer has something happen when one broker says something to another, and returns whom it has hit, nil if nothing was said.
func (w *world) atPeer(kind string, do func(s said, hit *broker)) *broker {
	w.ask(kind)
	for _, i := range []int{w.rnd.IntN(len(peerBoundaries)), 0} {
		if b := w.awaitSaid(kind, i, do); b != nil {
			return b
		}
	}
	w.heal() // who is cut off from the others says nothing
	return w.awaitSaid(kind, 0, do)
}

// awaitSaid waits until something is said.
func (w *world) awaitSaid(kind string, at int, do func(s said, hit *broker)) *broker {
	b := peerBoundaries[at]
	a := &peerAmbush{matches: b.matches, answer: w.rnd.IntN(2) == 0, before: w.rnd.IntN(2) == 0, skip: w.rnd.IntN(6), asker: w.rnd.IntN(2) == 0, do: do, done: make(chan struct{})}
	w.trace.Mark("what brokers say is awaited: %q, answer=%t, before=%t, after %d others, to hit who asked=%t", b.name, a.answer, a.before, a.skip, a.asker)
	w.mu.Lock()
	w.heard.ambush = a
	w.mu.Unlock()
	select {
	case <-a.done:
	case <-time.After(within):
		w.mu.Lock()
		waiting := w.heard.ambush == a
		w.heard.ambush = nil
		w.mu.Unlock()
		if waiting {
			return nil
		}
		<-a.done
	}
	w.happens(kind)
	return a.hit
}
