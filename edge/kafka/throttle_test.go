package kafka

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestThrottled: who is throttled is answered at once, and his next request starts when the time has passed, to the tick.
func TestThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := make(handed, 10)
		withPipes(t, Options{Handler: h}, func(t *testing.T, _ *Server, p *pipes) {
			nc, other := p.dial(1), p.dial(2)
			send(t, nc, frame(3, 1, nil))
			go nc.Write(frame(3, 2, nil)) // a pipe takes it when it is read
			first := <-h
			began := time.Now()
			const wait = 200 * time.Millisecond
			first.Throttle(wait)
			first.Reply(reply("1"))
			receive(t, nc)
			synctest.Wait() // whatever can start has started
			send(t, other, frame(3, 7, nil))
			r := <-h
			if r.CorrelationID != 7 {
				t.Fatalf("request %d started although its connection is throttled", r.CorrelationID)
			}
			r.Reply(reply("7"))
			receive(t, other)
			second := <-h
			if took := time.Since(began); took != wait {
				t.Fatalf("the next request started after %v, it was to wait for %v", took, wait)
			}
			second.Reply(reply("2"))
			receive(t, nc)
			nc.Close()
			other.Close()
		})
	})
}

// TestThrottledAndShutDown: a shutdown does not wait for what is throttled.
func TestThrottledAndShutDown(t *testing.T) {
	f := start(t, Options{Handler: handlerFunc(func(r *Request) {
		r.Throttle(time.Hour)
		r.Reply(reply(""))
	})})
	nc := f.dial()
	send(t, nc, frame(3, 1, nil), frame(3, 2, nil))
	receive(t, nc)
	f.srv.Quiesce() // and the end of the test waits for the shutdown
}

// testGate is a Gate of fixed answers.
type testGate struct {
	refuse         time.Duration
	all, ofAddress int
}

func (g *testGate) Connect(netip.Addr) (pause, refuse time.Duration)    { return 0, g.refuse }
func (g *testGate) MaxConnections(from netip.Addr) (all, ofAddress int) { return g.all, g.ofAddress }

func TestGate(t *testing.T) {
	for name, g := range map[string]*testGate{"all": {all: 2}, "one address": {ofAddress: 2}} {
		t.Run(name, func(t *testing.T) {
			h := make(handed, 10)
			f := start(t, Options{Handler: h, Gate: g})
			for i := range 2 {
				nc := f.dial()
				send(t, nc, frame(3, int32(i), nil))
				(<-h).Reply(reply(""))
				receive(t, nc)
			}
			if n, err := f.dial().Read(make([]byte, 1)); err == nil {
				t.Fatalf("a third connection is open, and read %d bytes", n)
			}
		})
	}
	t.Run("rate", func(t *testing.T) {
		f := start(t, Options{Handler: make(handed, 1), Gate: &testGate{refuse: 50 * time.Millisecond}})
		began := time.Now()
		if _, err := f.dial().Read(make([]byte, 1)); err == nil || time.Since(began) < 50*time.Millisecond {
			t.Fatalf("%v after %v", err, time.Since(began))
		}
	})
}
