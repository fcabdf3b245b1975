package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// answerAll answers every request at once.
var answerAll = handlerFunc(func(r *Request) { r.Reply(Reply{Segments: [][]byte{{1}}}) })

// begun is a request that announces size bytes and of which n are there.
func begun(key int16, size, n int) []byte {
	b := frame(key, 1, make([]byte, n))
	binary.BigEndian.PutUint32(b, uint32(size))
	return b
}

// listen adds a listener to the server of f.
func (f *fixture) listen(name string) net.Listener {
	f.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- f.srv.Serve(name, ln) }()
	f.t.Cleanup(func() {
		f.srv.Quiesce()
		if err := <-served; err != nil {
			f.t.Errorf("serve: %v", err)
		}
	})
	return ln
}

// TestGuestsHoldNobodyUp: who has not logged in and announces more than there is memory for is in nobody's way, on his listener or another.
func TestGuestsHoldNobodyUp(t *testing.T) {
	f := start(t, Options{Handler: answerAll, RequestMemory: 1 << 20, Listeners: map[string]Listener{"login": {Login: true}}})
	ln := f.listen("login")
	connect := func() net.Conn {
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		t.Cleanup(func() { nc.Close() })
		return nc
	}
	for range 8 {
		send(t, connect(), begun(36, loginBytes, readBufferBytes))
	}
	for _, nc := range []net.Conn{f.dial(), connect()} { // one of a size that has to be charged, one that fits into the read buffer
		send(t, nc, frame(1, 2, make([]byte, 10<<10)))
		receive(t, nc)
	}
	nc := f.dial()
	send(t, nc, frame(1, 3, make([]byte, 100<<10)), frame(ProduceKey, 4, make([]byte, 100<<10)), frame(ProduceKey, 5, nil))
	for range 3 {
		receive(t, nc)
	}
}

// TestSmallFramesDoNotWaitForLargeOnes: what has been announced and does not come holds up nothing that fits into the read buffer.
func TestSmallFramesDoNotWaitForLargeOnes(t *testing.T) {
	f := start(t, Options{Handler: answerAll, RequestMemory: 1 << 20})
	for _, key := range []int16{ProduceKey, 1, 3} {
		for range 3 {
			send(t, f.dial(), begun(key, 4<<20, 2*readBufferBytes))
		}
	}
	for _, key := range []int16{ProduceKey, 1, 3} {
		nc := f.dial()
		send(t, nc, frame(key, 2, make([]byte, 10<<10)))
		receive(t, nc)
	}
}

// TestWhoIsSlowWhileOthersWaitIsCutOff: a large frame that holds all the memory and does not come goes when another wants it.
func TestWhoIsSlowWhileOthersWaitIsCutOff(t *testing.T) {
	f := start(t, Options{Handler: answerAll, RequestMemory: 1 << 20})
	slow := f.dial()
	send(t, slow, begun(ProduceKey, 4<<20, 2*readBufferBytes))
	for memory := f.srv.memory.produce.free; memory.TryAcquire(1); time.Sleep(time.Millisecond) { // until it holds the memory: the other one must not come first
		memory.Release(1)
	}
	other := f.dial()
	send(t, other, frame(ProduceKey, 2, make([]byte, 2<<20)))
	receive(t, other)
	if n, err := io.Copy(io.Discard, slow); err != nil || n != 0 {
		t.Errorf("the slow one: %d bytes, %v", n, err)
	}
	if log := f.log.String(); !strings.Contains(log, errSlow.Error()) {
		t.Errorf("the log does not say why:\n%s", log)
	}
}

// TestSharesOfAddresses: while its frames are being received an address has half of the memory, so there is room for others; what has arrived does not count.
func TestSharesOfAddresses(t *testing.T) {
	b := newBudget(1000)
	ctx, cancel := context.WithCancel(t.Context())
	one, two := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	first, err := b.take(ctx, one, 400, false)
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan *claim)
	go func() {
		c, err := b.take(context.Background(), one, 400, false)
		if err != nil {
			t.Error(err)
		}
		waiting <- c
	}()
	other, err := b.take(ctx, two, 400, false)
	if err != nil {
		t.Fatal(err)
	}
	first.arrived()
	other.give()
	second := <-waiting // 400 have arrived, 400 are being received
	cancel()
	if _, err := b.take(ctx, one, 400, false); err == nil {
		t.Error("taken, though the context had ended and there was no room")
	}
	second.give()
	first.give()
	if len(b.mu.shares) != 0 {
		t.Errorf("shares are left: %v", b.mu.shares)
	}
	if !b.free.TryAcquire(1000) {
		t.Error("memory is missing")
	}
}

func TestTooSlow(t *testing.T) {
	b := newBudget(1000)
	c, err := b.take(t.Context(), netip.Addr{}, 10, false)
	if err != nil {
		t.Fatal(err)
	}
	if c.tooSlow(0, time.Hour) {
		t.Error("nobody waits")
	}
	b.waiting.Add(1)
	if !c.tooSlow(0, time.Hour) || c.tooSlow(0, slowGrace) || c.tooSlow(slowRate, slowGrace+time.Second) || !c.tooSlow(slowRate-1, slowGrace+time.Second) {
		t.Error("wrong while others wait for memory")
	}
	b.waiting.Add(-1)
	c.share.waiting.Add(1)
	if !c.tooSlow(0, time.Hour) {
		t.Error("wrong while others of the address wait")
	}
	c.share.waiting.Add(-1)
	c.give()
}

// TestOnlyProduceMayBeLarge: other requests are decoded into many times their size.
func TestOnlyProduceMayBeLarge(t *testing.T) {
	f := start(t, Options{Handler: answerAll, RequestMemory: 16 << 20})
	nc := f.dial()
	send(t, nc, frame(3, 1, make([]byte, otherBytes-headerBytes)))
	receive(t, nc)
	send(t, nc, begun(3, otherBytes+1, 0))
	if n, err := io.Copy(io.Discard, nc); err != nil || n != 0 {
		t.Errorf("%d bytes, %v", n, err)
	}
	nc = f.dial()
	send(t, nc, frame(ProduceKey, 1, make([]byte, 2*otherBytes)))
	receive(t, nc)
}

// TestComplaintsAreFew: who is cut off again and again fills no log.
func TestComplaintsAreFew(t *testing.T) {
	var log bytes.Buffer
	s := New(Options{Handler: answerAll, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	from := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}
	for i := range 1000 {
		s.complain("closed a connection", from, "plain", reasonFrame, strings.Repeat("x", i%50))
	}
	s.complain("closed a connection", from, "plain", reasonStalled, "another reason")
	if n := strings.Count(log.String(), "\n"); n != complainOfEach+1 {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
}
