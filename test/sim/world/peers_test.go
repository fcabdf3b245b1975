package world

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/peer"
	"sluice/test/history"
	"sluice/test/sim/simnet"
)

// peers are two hosts of which one serves calls, with the product's own code, and a world that listens.
type peers struct {
	w      *world
	client *peer.Client
	served *atomic.Int64 // calls
}

func newPeers(t *testing.T, steps ...Step) peers {
	t.Helper()
	sc := NewScenario(1)
	sc.Steps = steps
	w := &world{Scenario: sc, rnd: rand.New(rand.NewPCG(1, 0)), trace: NewTrace(io.Discard), rec: history.NewRecorder(), happened: map[string]int{}, asked: map[string]bool{}}
	w.net = simnet.New(1, simnet.Delays{Min: time.Millisecond, Max: 3 * time.Millisecond}, nil)
	w.brokers = []*broker{{w: w, name: "b1"}, {w: w, name: "b2"}}
	w.overhear()
	ln, err := w.net.Up("b2").Listen("tcp", "b2:9092")
	if err != nil {
		t.Fatal(err)
	}
	served := new(atomic.Int64)
	answer := func(_ context.Context, body []byte) ([]byte, error) {
		served.Add(1)
		if len(body) == 0 {
			return nil, base.Errorf(base.Invalid, "nothing was asked")
		}
		return body, nil
	}
	handlers := map[peer.Method]peer.Handler{}
	for m := peer.Method(1); m <= control.FreeMethod; m++ {
		handlers[m] = answer
	}
	server := peer.Serve(ln, peer.ServerOptions{Handlers: handlers})
	from := w.net.Up("b1")
	client := peer.NewClient(peer.ClientOptions{Dial: func(ctx context.Context, addr string) (net.Conn, error) { return from.Dial(ctx, addr) }})
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return peers{w, client, served}
}

func (p peers) call(m peer.Method, bytes int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	body := make([]byte, bytes)
	for i := range body { // of frames, which a second piece of it would begin with
		body[i] = [frameHeader]byte{4: 1, 5: 4, 15: 9}[(i+frameHeader-pieceBytes%frameHeader)%frameHeader]
	}
	_, err := p.client.Call(ctx, "b2:9092", m, body)
	return err
}

// pieceBytes is how much of a large body is written at once, see package peer.
const pieceBytes = 256<<10 - frameHeader

// What is said is what the product's own code says, small or large, and is told right before it is read and right after; what else goes to and fro is not.
func TestOverheard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeers(t, Step{Fault: "cut at a peer"})
		var got []string
		p.w.net.Watch(func(piece simnet.Piece, before bool) {
			for _, s := range p.w.heard.parse(piece, !before) {
				got = append(got, fmt.Sprintf("%s before=%t", s, before))
			}
		})
		var want []string
		for _, c := range []struct {
			method peer.Method
			bytes  int
			name   string
		}{{1, 10, "ping"}, {4, 1_000_000, "submit"}, {2, 3, "heartbeat"}, {4, 0, "submit"}, {control.FreeMethod, 5000, "of a coordinator"}, {3, 4096 - frameHeader, "follow"}} {
			if err := p.call(c.method, c.bytes); (err == nil) != (c.bytes > 0) {
				t.Fatal(err)
			}
			for _, what := range []string{"call " + c.name + " from b1 to b2", "answer " + c.name + " from b2 to b1"} {
				want = append(want, what+" before=true", what+" before=false")
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("overheard:\n%s\nwanted:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// Calls go on while a fault waits for one of them. An answer that is lost was a call that was carried out; a call that is lost was not.
func TestPeerFaults(t *testing.T) {
	for _, answer := range []bool{false, true} {
		for _, before := range []bool{false, true} {
			for _, reset := range []bool{false, true} {
				t.Run(fmt.Sprintf("answer=%t before=%t reset=%t", answer, before, reset), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { peerFault(t, answer, before, reset) })
				})
			}
		}
	}
}

func peerFault(t *testing.T, answer, before, reset bool) {
	p := newPeers(t, Step{Fault: "cut at a peer"})
	if err := p.call(4, 10); err != nil {
		t.Fatal(err)
	}
	a := &peerAmbush{matches: func(m peer.Method) bool { return m == 4 }, answer: answer, before: before, skip: 1, asker: true, done: make(chan struct{})}
	a.do = func(s said, _ *broker) {
		if reset {
			p.w.net.Reset(s.conn)
		} else {
			p.w.net.Cut(s.from, s.to, true)
		}
	}
	p.w.heard.ambush = a
	for _, m := range []peer.Method{4, 2} { // one that it lets pass, one that it is not about
		if err := p.call(m, 10); err != nil {
			t.Fatal(err)
		}
	}
	served := p.served.Load()
	err := p.call(4, 10)
	select {
	case <-a.done:
	default:
		t.Fatal("nothing was caught")
	}
	if a.hit == nil || a.hit.name != "b1" {
		t.Errorf("%v was hit", a.hit)
	}
	through := answer || !before // the call has come to the server
	heard := answer && !before   // and the answer to the client
	if !reset && !answer && !before {
		heard = true // the way back is whole
	}
	if done := p.served.Load() > served; done != through && !(reset && !answer && !before) {
		t.Errorf("the call was carried out: %t", done) // a server whose connection is reset may have no time for the call
	}
	if (err == nil) != heard {
		t.Errorf("the call returned %v", err)
	}
	if !heard && !base.IsKind(err, base.Undetermined) {
		t.Errorf("a call of which nobody knows returned %v", err)
	}
}
