package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/base"
)

// The tests of this file run in virtual time on pipes, so what they say of durations is exact.

var defaults = limits{}.withDefaults()

// bubble is a network with a client in it, within synctest.
type bubble struct {
	*testing.T
	net       pipeNet
	client    *Client
	strangers sync.WaitGroup
	listeners []net.Listener // of strangers
}

func inBubble(t *testing.T, fn func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t}
		b.client = NewClient(ClientOptions{Cluster: testCluster, Secret: testSecret, Dial: b.net.dial})
		defer b.client.Close()
		fn(b)
		b.client.Close()
		for _, ln := range b.listeners {
			ln.Close()
		}
		b.strangers.Wait()
	})
}

func (b *bubble) serve(addr string, h map[Method]Handler) *Server {
	return Serve(b.net.listen(addr), ServerOptions{Cluster: testCluster, Secret: testSecret, Handlers: h})
}

// stranger accepts one connection at addr and leaves it to fn, on a goroutine.
func (b *bubble) stranger(addr string, fn func(nc net.Conn)) {
	ln := b.net.listen(addr)
	b.listeners = append(b.listeners, ln)
	b.strangers.Go(func() {
		nc, err := ln.Accept()
		if err == nil {
			fn(nc)
			nc.Close()
		}
	})
}

// member is a stranger that knows the secret and shakes hands first.
func (b *bubble) member(addr string, fn func(nc net.Conn)) {
	b.stranger(addr, func(nc net.Conn) {
		if _, err := receive(nc, newHello(testCluster, version, version, maxFrameDefault), testSecret, time.Minute, false); err != nil {
			b.Error(err)
			return
		}
		fn(nc)
	})
}

// timed calls and returns the error and how long it took.
func (b *bubble) timed(ctx context.Context, addr string, m Method) (time.Duration, error) {
	begun := time.Now()
	_, err := b.client.Call(ctx, addr, m, []byte("body"))
	return time.Since(begun), err
}

func within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	_ = cancel // in virtual time it ends soon enough
	return ctx
}

func TestASilentServerIsGivenUp(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.member("a", func(nc net.Conn) { io.Copy(io.Discard, nc) })
		took, err := b.timed(within(time.Hour), "a", echo)
		wantKind(t, err, base.Undetermined)
		if took != defaults.silence {
			t.Errorf("took %v, want %v", took, defaults.silence)
		}
	})
}

func TestAServerThatDoesNotReadIsGivenUp(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.member("a", func(nc net.Conn) { // it keeps talking, so that silence is not what ends it
			for {
				if _, err := nc.Write(encode(framePong, 0, 0, nil)); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		took, err := b.timed(within(time.Hour), "a", echo)
		wantKind(t, err, base.Undetermined)
		if took != defaults.stall || !strings.Contains(err.Error(), "writing") {
			t.Errorf("%v after %v, want it to be about writing after %v", err, took, defaults.stall)
		}
	})
}

// TestWhatWasNotTakenIsUnavailable: a call that waits behind another one that the network does not take can be withdrawn.
func TestWhatWasNotTakenIsUnavailable(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.member("a", func(nc net.Conn) { time.Sleep(time.Hour) })
		first := make(chan error, 1)
		go func() {
			_, err := b.timed(within(2*time.Second), "a", echo)
			first <- err
		}()
		synctest.Wait() // the writer hangs in the first call
		took, err := b.timed(within(time.Second), "a", echo)
		wantKind(t, err, base.Unavailable)
		if took != time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the second: %v after %v", err, took)
		}
		err = <-first
		wantKind(t, err, base.Undetermined)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the first: %v", err)
		}
		last := make(chan error, 1)
		go func() {
			_, err := b.timed(within(time.Hour), "a", echo)
			last <- err
		}()
		synctest.Wait()
		// The connection ends under a call that was not taken; the new one finds nobody who accepts.
		err = <-last
		wantKind(t, err, base.Unavailable)
		if errors.Is(err, errStale) {
			t.Errorf("it was not tried on a new connection: %v", err)
		}
	})
}

func TestALostClientEndsItsHandlers(t *testing.T) {
	inBubble(t, func(b *bubble) {
		ended := make(chan struct{}, 1)
		s := b.serve("a", handlers(nil, ended))
		defer s.Close()
		nc, err := b.net.dial(context.Background(), "a")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := greet(nc, newHello(testCluster, version, version, maxFrameDefault), testSecret, time.Minute); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		nc.Write(encode(frameCall, uint8(block), 1, nil))
		<-ended // and not a word from the client since
		if took := time.Since(begun); took != 2*defaults.silence {
			t.Errorf("the handler's context ended after %v, want %v", took, 2*defaults.silence)
		}
	})
}

// TestAHealthyConnectionIsKept: neither side's silence limit, nor idleness, ends a connection with a long poll on it.
func TestAHealthyConnectionIsKept(t *testing.T) {
	inBubble(t, func(b *bubble) {
		s := b.serve("a", handlers(nil, nil))
		defer s.Close()
		took, err := b.timed(within(24*time.Hour), "a", block)
		if took != 24*time.Hour || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v after %v", err, took)
		}
		if n := b.net.dialed(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	inBubble(t, func(b *bubble) {
		s := b.serve("a", handlers(nil, nil))
		defer s.Close()
		open := func() int {
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.mu.conns)
		}
		for round := 1; round <= 3; round++ {
			if _, err := b.timed(within(time.Second), "a", echo); err != nil {
				t.Fatal(err)
			}
			time.Sleep(defaults.idle - 2*defaults.ping)
			if open() != 1 {
				t.Fatal("closed too early")
			}
			time.Sleep(4 * defaults.ping)
			if open() != 0 || b.net.dialed() != round {
				t.Fatalf("round %d: %d connections open, %d dialed", round, open(), b.net.dialed())
			}
		}
	})
}

// TestAStoppedProcessIsNoPeer: the kernel accepts for a process that is stopped, and nobody answers the hello.
func TestAStoppedProcessIsNoPeer(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.stranger("a", func(nc net.Conn) { io.Copy(io.Discard, nc) })
		s := b.serve("b", handlers(nil, nil))
		defer s.Close()
		patient := make(chan time.Duration, 1)
		go func() {
			took, err := b.timed(within(time.Hour), "a", echo)
			wantKind(t, err, base.Unavailable)
			patient <- took
		}()
		synctest.Wait()
		took, err := b.timed(within(time.Second), "a", echo)
		wantKind(t, err, base.Unavailable)
		if took != time.Second {
			t.Errorf("a call with a second to live took %v", took)
		}
		if took, err := b.timed(within(time.Second), "b", echo); err != nil || took != 0 {
			t.Errorf("a call to another peer: %v, %v", took, err)
		}
		if took := <-patient; took != defaults.handshake {
			t.Errorf("a patient call took %v, want %v", took, defaults.handshake)
		}
	})
}

// TestABlackHoleIsNoPeer: the same when not even the connection comes about.
func TestABlackHoleIsNoPeer(t *testing.T) {
	inBubble(t, func(b *bubble) {
		ln := b.net.listen("a") // nobody accepts
		defer ln.Close()
		took, err := b.timed(within(time.Hour), "a", echo)
		wantKind(t, err, base.Unavailable)
		if took != defaults.handshake {
			t.Errorf("took %v, want %v", took, defaults.handshake)
		}
		took, err = b.timed(within(time.Hour), "a", echo)
		wantKind(t, err, base.Unavailable)
		if took != 0 || b.net.dialed() != 1 {
			t.Errorf("within the back-off: %v, %d attempts", took, b.net.dialed())
		}
	})
}

func TestADeadPeerCostsLittle(t *testing.T) {
	inBubble(t, func(b *bubble) {
		const step = time.Millisecond
		for range int(time.Minute / step) {
			took, err := b.timed(within(time.Hour), "a", echo)
			wantKind(t, err, base.Unavailable)
			if took != 0 {
				t.Fatalf("a refused connection took %v", took)
			}
			time.Sleep(step)
		}
		// A minute of attempts at least half the longest back-off apart, and the few before it is reached.
		if n, most := b.net.dialed(), int(time.Minute/(defaults.backoffMax/2))+10; n > most || n < int(time.Minute/defaults.backoffMax) {
			t.Errorf("%d attempts in a minute of %d calls", n, time.Minute/step)
		}
		s := b.serve("a", handlers(nil, nil))
		defer s.Close()
		time.Sleep(defaults.backoffMax)
		if _, err := b.timed(within(time.Hour), "a", echo); err != nil {
			t.Errorf("it is back: %v", err)
		}
	})
}

func TestBackoff(t *testing.T) {
	lim := limits{backoffMin: 20 * time.Millisecond, backoffMax: time.Second}
	for failures, want := range map[int]time.Duration{1: 20 * time.Millisecond, 2: 40 * time.Millisecond, 6: 640 * time.Millisecond, 7: time.Second, 1000: time.Second} {
		low, high := backoff(failures, lim, 0), backoff(failures, lim, 0.999999)
		if low != want/2 || high < want*99/100 || high > want {
			t.Errorf("after %d failures [%v, %v), want up to %v", failures, low, high, want)
		}
	}
}

func TestOneAttemptForAllCallers(t *testing.T) {
	inBubble(t, func(b *bubble) {
		ln := b.net.listen("a")
		done := make(chan error, 100)
		for i := range 100 {
			go func() {
				life := time.Hour
				if i < 50 {
					life = time.Second // these give up and spoil nothing for the others
				}
				_, err := b.timed(within(life), "a", echo)
				done <- err
			}()
		}
		for range 50 {
			wantKind(t, <-done, base.Unavailable)
		}
		s := Serve(ln, ServerOptions{Cluster: testCluster, Secret: testSecret, Handlers: handlers(nil, nil)})
		defer s.Close()
		for range 50 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if n := b.net.dialed(); n != 1 {
			t.Errorf("%d attempts", n)
		}
	})
}

func TestAFullQueueShedsCalls(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.client = NewClient(ClientOptions{Cluster: testCluster, Secret: testSecret, Dial: b.net.dial, limits: limits{queuedBytes: 10_000}})
		defer b.client.Close()
		b.member("a", func(nc net.Conn) { time.Sleep(time.Hour) })
		var all sync.WaitGroup
		var shed atomic.Int32
		for range 100 {
			all.Go(func() {
				took, err := b.timed(within(time.Second), "a", echo)
				if base.IsKind(err, base.Unavailable) && strings.Contains(err.Error(), "shed") {
					if shed.Add(1); took != 0 {
						t.Errorf("a call was shed after %v", took)
					}
				}
			})
			synctest.Wait()
		}
		if shed.Load() != 0 {
			t.Errorf("%d small calls were shed", shed.Load())
		}
		for range 15 {
			all.Go(func() {
				if _, err := b.client.Call(within(time.Second), "a", echo, make([]byte, 1000)); strings.Contains(err.Error(), "shed") {
					shed.Add(1)
				}
			})
			synctest.Wait()
		}
		all.Wait()
		if n := shed.Load(); n < 5 || n > 14 {
			t.Errorf("%d of 15 larger calls were shed", n)
		}
	})
}

// TestAServerDoesNotReadFromWhoDoesNotListen: answers that nobody takes are bounded, and so are the handlers that make them.
func TestAServerDoesNotReadFromWhoDoesNotListen(t *testing.T) {
	inBubble(t, func(b *bubble) {
		ran := 0
		s := Serve(b.net.listen("a"), ServerOptions{Cluster: testCluster, Secret: testSecret, limits: limits{queuedBytes: 10_000},
			Handlers: map[Method]Handler{echo: func(_ context.Context, body []byte) ([]byte, error) {
				ran++ // one after the other, by the Wait below
				return body, nil
			}}})
		defer s.Close()
		nc, err := b.net.dial(context.Background(), "a")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := greet(nc, newHello(testCluster, version, version, maxFrameDefault), testSecret, time.Minute); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		for n := uint64(1); err == nil; n++ {
			_, err = nc.Write(encode(frameCall, uint8(echo), n, make([]byte, 1000)))
			synctest.Wait()
		}
		if took := time.Since(begun); took != defaults.stall {
			t.Errorf("the server ended it after %v, want %v", took, defaults.stall)
		}
		if ran < 10 || ran > 60 { // the queue, and what fits into the buffer of reads
			t.Errorf("%d handlers ran", ran)
		}
	})
}

func TestUselessAddressesAreForgotten(t *testing.T) {
	inBubble(t, func(b *bubble) {
		for i := range 3 * targetsMax {
			_, err := b.timed(within(time.Hour), fmt.Sprint("host", i), echo)
			wantKind(t, err, base.Unavailable)
			time.Sleep(time.Millisecond)
			if n := len(b.client.mu.targets); n > targetsMax {
				t.Fatalf("%d addresses are remembered", n)
			}
		}
	})
}

// TestASlowLargeFrameIsProgress: limits of silence and stall are about bytes, not about frames.
func TestASlowLargeFrameIsProgress(t *testing.T) {
	inBubble(t, func(b *bubble) {
		const size = 4 << 20
		b.member("a", func(nc net.Conn) {
			h, body, err := readFrame(&slowReader{nc, 128 << 10}, size)
			if err != nil || h.size != size {
				t.Errorf("%+v: %v", h, err)
				return
			}
			var pings sync.WaitGroup
			pings.Go(func() { io.Copy(io.Discard, nc) })
			defer pings.Wait() // until the client closes, else a ping may find the connection closed before the answer is read
			answer := encode(frameAnswer, 0, h.call, body)
			for len(answer) > 0 {
				time.Sleep(time.Second)
				n := min(len(answer), 128<<10)
				if _, err := nc.Write(answer[:n]); err != nil {
					t.Error(err)
					return
				}
				answer = answer[n:]
			}
		})
		begun := time.Now()
		answer, err := b.client.Call(within(time.Hour), "a", echo, make([]byte, size))
		if err != nil || len(answer) != size {
			t.Errorf("%d bytes, %v", len(answer), err)
		}
		if took := time.Since(begun); took < 10*defaults.silence {
			t.Errorf("took only %v", took)
		}
	})
}

// slowReader takes some bytes a second, and says nothing meanwhile.
type slowReader struct {
	nc   net.Conn
	most int
}

func (r *slowReader) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return r.nc.Read(p[:min(len(p), r.most)])
}

// TestPingsPassWhatIsQueued: a link that is always behind, and too slow for what was written to be a sign of life.
func TestPingsPassWhatIsQueued(t *testing.T) {
	inBubble(t, func(b *bubble) {
		ctx, cancel := context.WithCancel(context.Background())
		var received atomic.Int32
		b.member("a", func(nc net.Conn) {
			r := bufio.NewReaderSize(&slowReader{nc, 40 << 10}, 40<<10)
			for {
				h, _, err := readFrame(r, 1<<20)
				if err != nil {
					return
				}
				switch h.typ {
				case frameCall:
					received.Add(1)
				case framePing:
					nc.Write(encode(framePong, 0, 0, nil))
				}
			}
		})
		var all sync.WaitGroup
		for range 600 {
			all.Go(func() {
				if _, err := b.client.Call(ctx, "a", echo, make([]byte, 10<<10)); !errors.Is(err, context.Canceled) {
					t.Errorf("it was not the caller who ended it: %v", err)
				}
			})
			time.Sleep(100 * time.Millisecond)
		}
		cancel()
		all.Wait()
		if n := b.net.dialed(); n != 1 {
			t.Errorf("%d connections", n)
		}
		if n := received.Load(); n < 100 {
			t.Errorf("%d calls got through", n)
		}
	})
}

func TestCloseWaitsForHandlers(t *testing.T) {
	inBubble(t, func(b *bubble) {
		s := b.serve("a", map[Method]Handler{block: func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			time.Sleep(time.Minute) // it has to put something in order
			return nil, nil
		}})
		result := make(chan error, 1)
		go func() {
			_, err := b.timed(within(time.Hour), "a", block)
			result <- err
		}()
		synctest.Wait()
		begun := time.Now()
		s.Close()
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("Close took %v", took)
		}
		wantKind(t, <-result, base.Undetermined)
	})
}

func TestServerHandshakeIsBounded(t *testing.T) {
	inBubble(t, func(b *bubble) {
		s := b.serve("a", handlers(nil, nil))
		defer s.Close()
		nc, err := b.net.dial(context.Background(), "a")
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("a stranger that says nothing: %v", err)
		}
		if took := time.Since(begun); took != defaults.handshake {
			t.Errorf("it was let wait for %v, want %v", took, defaults.handshake)
		}
	})
}
