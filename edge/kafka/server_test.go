package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sluice/base/slab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handed collects the requests that the server hands out, for the test to finish.
type handed chan *Request

func (h handed) Handle(r *Request) { h <- r }

type handlerFunc func(*Request)

func (f handlerFunc) Handle(r *Request) { f(r) }

type fixture struct {
	t   *testing.T
	srv *Server
	ln  net.Listener
	log *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t *testing.T, opt Options) *fixture {
	t.Helper()
	f := &fixture{t: t, log: &lockedBuffer{}}
	opt.Logger = slog.New(slog.NewTextHandler(f.log, nil))
	f.srv = New(opt)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.ln = ln
	served := make(chan error, 1)
	go func() { served <- f.srv.Serve("plain", ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := f.srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return f
}

func (f *fixture) dial() net.Conn {
	f.t.Helper()
	nc, err := net.Dial("tcp", f.ln.Addr().String())
	if err != nil {
		f.t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	f.t.Cleanup(func() { nc.Close() })
	return nc
}

func frame(key int16, id int32, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, 1)
	b = binary.BigEndian.AppendUint32(b, uint32(id))
	return append(b, body...)
}

func send(t *testing.T, nc net.Conn, frames ...[]byte) {
	t.Helper()
	if _, err := nc.Write(bytes.Join(frames, nil)); err != nil {
		t.Fatal(err)
	}
}

// receive reads one response.
func receive(t *testing.T, nc net.Conn) (id int32, body []byte) {
	t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(nc, b); err != nil {
		t.Fatal(err)
	}
	return int32(binary.BigEndian.Uint32(b)), b[4:]
}

func reply(text string) Reply { return Reply{Segments: [][]byte{[]byte(text)}} }

func TestProducesArePipelinedAndAnsweredInOrder(t *testing.T) {
	h := make(handed, 10)
	f := start(t, Options{Handler: h})
	nc := f.dial()
	send(t, nc, frame(0, 1, []byte("a")), frame(0, 2, []byte("b")), frame(0, 3, []byte("c")))
	first, second, third := <-h, <-h, <-h // all three are processed before any is answered
	third.Reply(reply("C"))
	second.NoReply()
	first.Reply(Reply{Segments: [][]byte{[]byte("A"), bytes.Repeat([]byte("x"), 5000), []byte("z")}})
	if id, body := receive(t, nc); id != 1 || string(body) != "A"+strings.Repeat("x", 5000)+"z" {
		t.Fatalf("got %d %.20q", id, body)
	}
	if id, body := receive(t, nc); id != 3 || string(body) != "C" {
		t.Fatalf("got %d %q", id, body)
	}
}

func TestOtherRequestsWaitForWhatIsBeforeThem(t *testing.T) {
	h := make(handed, 10)
	f := start(t, Options{Handler: h})
	nc := f.dial()
	send(t, nc, frame(0, 1, nil), frame(3, 2, nil), frame(0, 3, nil))
	first := <-h
	select {
	case r := <-h:
		t.Fatalf("request %d started before its predecessor was answered", r.CorrelationID)
	default:
	}
	first.Reply(reply("1"))
	second := <-h
	second.Reply(reply("2"))
	third := <-h
	third.Reply(reply("3"))
	for want := int32(1); want <= 3; want++ {
		if id, _ := receive(t, nc); id != want {
			t.Fatalf("got %d, want %d", id, want)
		}
	}
}

func TestInFlightIsBounded(t *testing.T) {
	h := make(handed, 10)
	f := start(t, Options{Handler: h, MaxInFlight: 2})
	nc := f.dial()
	send(t, nc, frame(0, 1, nil), frame(0, 2, nil), frame(0, 3, nil))
	first, second := <-h, <-h
	if len(h) != 0 {
		t.Fatal("a third request was handed out")
	}
	first.Reply(reply(""))
	third := <-h
	second.Reply(reply(""))
	third.Reply(reply(""))
	for want := int32(1); want <= 3; want++ {
		if id, _ := receive(t, nc); id != want {
			t.Fatalf("got %d, want %d", id, want)
		}
	}
}

func TestLargeFramesArriveWhole(t *testing.T) {
	var pool slab.Pool
	sums := make(chan []byte, 1)
	f := start(t, Options{Pool: &pool, Handler: handlerFunc(func(r *Request) {
		sums <- bytes.Clone(r.Body)
		r.Reply(reply("ok"))
	})})
	nc := f.dial()
	for _, key := range []int16{0, 3} {
		for _, n := range []int{0, 1, readBufferBytes, firstBytes - 1, firstBytes + 1, 5*firstBytes + 7} {
			body := make([]byte, n)
			for i := range body {
				body[i] = byte(i * 7)
			}
			go nc.Write(frame(key, int32(n), body))
			if got := <-sums; !bytes.Equal(got, body) {
				t.Fatalf("key %d, %d bytes: changed on the way", key, n)
			}
			if id, _ := receive(t, nc); id != int32(n) {
				t.Fatalf("got %d", id)
			}
		}
	}
	nc.Close()
	if err := f.srv.Shutdown(context.Background()); err != nil || pool.InUse() != 0 {
		t.Fatalf("%v, %d bytes not given back", err, pool.InUse())
	}
}

func TestMalformedFramesCloseOnlyTheirConnection(t *testing.T) {
	f := start(t, Options{MaxFrame: 1 << 20, Handler: handlerFunc(func(r *Request) { r.Reply(reply("ok")) })})
	good := f.dial()
	for _, bad := range []string{"\x00\x00\x00\x03\x00\x01\x02", "\x7f\xff\xff\xff\x00\x12\x00", "\x00\x00\x00\x01aaaaaaaa", "\xff\xff\xff\xffaaaaaaaa", "\x00\x10\x00\x01aaaaaaaa", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\xffaaaaaaaaaaa"} {
		nc := f.dial()
		send(t, nc, []byte(bad))
		if _, err := io.ReadAll(nc); err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
			t.Fatalf("%q: %v", bad, err)
		}
	}
	for _, want := range []string{"it looks like HTTP", "it looks like TLS", "a frame of -1 bytes"} {
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("no word of %q in the log:\n%s", want, f.log)
		}
	}
	send(t, good, frame(18, 7, nil))
	if id, _ := receive(t, good); id != 7 {
		t.Fatal("the good connection suffered")
	}
}

func TestAbortClosesAndReleases(t *testing.T) {
	h := make(handed, 10)
	f := start(t, Options{Handler: h})
	nc := f.dial()
	send(t, nc, frame(0, 1, nil), frame(0, 2, nil))
	first, second := <-h, <-h
	released := make(chan struct{})
	second.Reply(Reply{Segments: [][]byte{[]byte("x")}, Release: func() { close(released) }})
	first.Abort("unknown key 999")
	<-released
	<-first.Context().Done()
	if n, err := nc.Read(make([]byte, 1)); err == nil {
		t.Fatalf("read %d bytes from an aborted connection", n)
	}
	if !strings.Contains(f.log.String(), "unknown key 999") {
		t.Errorf("log: %s", f.log)
	}
}

func TestFinishingTwicePanics(t *testing.T) {
	h := make(handed, 1)
	f := start(t, Options{Handler: h})
	nc := f.dial()
	send(t, nc, frame(0, 1, nil))
	r := <-h
	r.Reply(reply(""))
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	r.NoReply()
}

// TestIdleConnectionsAreClosed: whether or not they ever asked for anything. In real time only one that never did can be looked at: a client that is held up for
// long is idle, too.
func TestIdleConnectionsAreClosed(t *testing.T) {
	opt := Options{IdleTimeout: 80 * time.Millisecond, Handler: handlerFunc(func(r *Request) { r.Reply(reply("")) })}
	t.Run("socket", func(t *testing.T) {
		if _, err := start(t, opt).dial().Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("after a request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			withPipes(t, opt, func(t *testing.T, _ *Server, p *pipes) {
				nc := p.dial(1)
				time.Sleep(70 * time.Millisecond)
				began := time.Now()
				send(t, nc, frame(3, 1, nil))
				receive(t, nc)
				if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Fatalf("got %v", err)
				}
				if took := time.Since(began); took < opt.IdleTimeout || took > opt.IdleTimeout*9/8 {
					t.Fatalf("closed after %v, allowed are %v", took, opt.IdleTimeout)
				}
			})
		})
	})
}

func TestShutdownAnswersWhatIsInFlight(t *testing.T) {
	h := make(handed, 10)
	f := start(t, Options{Handler: h})
	busy, idle := f.dial(), f.dial()
	send(t, idle, frame(3, 9, nil)) // a connection that was not accepted yet is reset, not closed
	(<-h).Reply(reply("9"))
	receive(t, idle)
	send(t, busy, frame(0, 1, nil), frame(0, 2, nil))
	first, second := <-h, <-h
	f.srv.Quiesce()
	if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("idle connection: %v", err)
	}
	if nc, err := net.Dial("tcp", f.ln.Addr().String()); err == nil {
		nc.Close()
		t.Fatal("still listening")
	}
	first.Reply(reply("1"))
	second.Reply(reply("2"))
	for want := int32(1); want <= 2; want++ {
		if id, _ := receive(t, busy); id != want {
			t.Fatalf("got %d", id)
		}
	}
	if err := f.srv.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestShutdownGivesUpWhenItsTimeIsOver(t *testing.T) {
	h := make(handed, 10)
	f := start(t, Options{Handler: handlerFunc(func(r *Request) {
		h <- r
		if r.Key == 1 {
			<-r.Context().Done()
			r.NoReply()
		}
	})})
	nc := f.dial()
	send(t, nc, frame(1, 1, nil))
	<-h
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.srv.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestTooManyConnections(t *testing.T) {
	f := start(t, Options{MaxConnections: 1, Handler: handlerFunc(func(r *Request) { r.Reply(reply("")) })})
	first := f.dial()
	send(t, first, frame(3, 1, nil))
	receive(t, first)
	second := f.dial()
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Fatal("served")
	}
	first.Close()
}

func TestRequestMemoryHoldsReadersBack(t *testing.T) {
	h := make(handed, 10)
	entered := make(chan struct{}, 10)
	resume := make(chan struct{})
	f := start(t, Options{RequestMemory: 1000, Handler: handlerFunc(func(r *Request) {
		entered <- struct{}{}
		<-resume
		h <- r
		r.Reply(reply(""))
	})})
	one, two := f.dial(), f.dial()
	send(t, one, frame(0, 1, make([]byte, 5000))) // more than all: charged with all
	<-entered
	send(t, two, frame(0, 1, make([]byte, 100)))
	select {
	case <-entered:
		t.Fatal("a second request was read without memory")
	default:
	}
	three := f.dial()
	send(t, three, frame(3, 1, make([]byte, 100))) // has memory of its own
	<-entered
	close(resume)
	receive(t, one)
	receive(t, two)
	receive(t, three)
}

func BenchmarkPipelinedProduce(b *testing.B) {
	srv := New(Options{Handler: handlerFunc(func(r *Request) { r.Reply(Reply{}) })})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go srv.Serve("plain", ln)
	defer srv.Shutdown(context.Background())
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	one := frame(0, 1, make([]byte, 256<<10))
	b.SetBytes(int64(len(one)))
	b.ReportAllocs()
	window := make(chan struct{}, 5)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 8)
		for range b.N {
			if _, err := io.ReadFull(nc, buf); err != nil {
				return
			}
			<-window
		}
	}()
	for range b.N {
		window <- struct{}{}
		nc.Write(one)
	}
	nc.Close()
	<-done
}
