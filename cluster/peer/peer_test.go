package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/base"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	echo  Method = 1 // answers the body
	fail  Method = 2 // fails with the kind in the first byte of the body and the rest as text
	block Method = 3 // answers when its context has ended
)

var (
	testCluster = base.UUID{1, 2, 3}
	testSecret  = [32]byte{4, 5, 6}
)

const patience = time.Minute // of tests, with what must happen

// handlers are the methods above. What happens in block is told to the channels, if there are any.
func handlers(started, ended chan<- struct{}) map[Method]Handler {
	return map[Method]Handler{
		echo: func(_ context.Context, body []byte) ([]byte, error) { return body, nil },
		fail: func(_ context.Context, body []byte) ([]byte, error) {
			return nil, fmt.Errorf("outer: %w", base.Errorf(base.Kind(body[0]), "%s", body[1:]))
		},
		block: func(ctx context.Context, body []byte) ([]byte, error) {
			if started != nil {
				started <- struct{}{}
			}
			<-ctx.Done()
			if ended != nil {
				ended <- struct{}{}
			}
			return nil, ctx.Err()
		},
	}
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// serve starts a server with the test's cluster, secret and methods where opt has none.
func serve(t testing.TB, opt ServerOptions) (*Server, string) {
	t.Helper()
	if opt.Cluster == (base.UUID{}) {
		opt.Cluster = testCluster
	}
	if opt.Secret == [32]byte{} {
		opt.Secret = testSecret
	}
	if opt.Handlers == nil {
		opt.Handlers = handlers(nil, nil)
	}
	ln := listen(t)
	s := Serve(ln, opt)
	t.Cleanup(s.Close)
	return s, ln.Addr().String()
}

func client(t testing.TB, opt ClientOptions) *Client {
	t.Helper()
	if opt.Cluster == (base.UUID{}) {
		opt.Cluster = testCluster
	}
	if opt.Secret == [32]byte{} {
		opt.Secret = testSecret
	}
	c := NewClient(opt)
	t.Cleanup(c.Close)
	return c
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func wantKind(t testing.TB, err error, kind base.Kind) {
	t.Helper()
	if !base.IsKind(err, kind) {
		t.Fatalf("got %v, want an error of kind %v", err, kind)
	}
}

func receiveOne(t testing.TB, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s did not happen", what)
	}
}

func TestCall(t *testing.T) {
	_, addr := serve(t, ServerOptions{})
	c := client(t, ClientOptions{})
	for _, size := range []int{0, 1, 100, growBytes - 1, growBytes + 1, 9 << 20} {
		body := bytes.Repeat([]byte{byte(size), 7}, size)[:size]
		got, err := c.Call(testContext(t), addr, echo, body)
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("%d bytes: %d bytes came back, %v", size, len(got), err)
		}
	}
}

func TestHandlersErrorsKeepKindAndText(t *testing.T) {
	_, addr := serve(t, ServerOptions{})
	c := client(t, ClientOptions{})
	for kind := base.Unknown; kind <= base.OutOfRange; kind++ {
		_, err := c.Call(testContext(t), addr, fail, append([]byte{byte(kind)}, "no such thing"...))
		if base.KindOf(err) != kind || err.Error() != "outer: no such thing" {
			t.Errorf("kind %v: got %v of kind %v", kind, err, base.KindOf(err))
		}
	}
	_, err := c.Call(testContext(t), addr, 99, nil)
	wantKind(t, err, base.Invalid)
}

func TestALongPollHoldsUpNobody(t *testing.T) {
	started := make(chan struct{}, 100)
	ended := make(chan struct{}, 100)
	_, addr := serve(t, ServerOptions{Handlers: handlers(started, ended)})
	c := client(t, ClientOptions{})
	ctx, cancel := context.WithCancel(testContext(t))
	var polls sync.WaitGroup
	for range 50 {
		polls.Go(func() {
			_, err := c.Call(ctx, addr, block, nil)
			if !base.IsKind(err, base.Undetermined) || !errors.Is(err, context.Canceled) {
				t.Errorf("a poll that was given up: %v", err)
			}
		})
	}
	for range 50 {
		receiveOne(t, started, "the start of a poll")
	}
	for range 100 {
		if _, err := c.Call(testContext(t), addr, echo, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	polls.Wait()
	for range 50 {
		receiveOne(t, ended, "the end of a handler whose caller gave up")
	}
}

func TestRefusedConnectionsFailAtOnce(t *testing.T) {
	ln := listen(t)
	addr := ln.Addr().String()
	ln.Close()
	c := client(t, ClientOptions{})
	for range 3 {
		_, err := c.Call(context.Background(), addr, echo, nil)
		wantKind(t, err, base.Unavailable)
	}
}

func TestServerClose(t *testing.T) {
	started, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	s, addr := serve(t, ServerOptions{Handlers: handlers(started, ended)})
	c := client(t, ClientOptions{})
	result := make(chan error, 1)
	go func() {
		_, err := c.Call(testContext(t), addr, block, nil)
		result <- err
	}()
	receiveOne(t, started, "the start of the handler")
	s.Close()
	select {
	case <-ended:
	default:
		t.Fatal("Close did not wait for the handler")
	}
	wantKind(t, <-result, base.Undetermined)
	_, err := c.Call(testContext(t), addr, echo, nil)
	wantKind(t, err, base.Unavailable)
}

func TestWrongSecretAndCluster(t *testing.T) {
	_, addr := serve(t, ServerOptions{})
	for name, opt := range map[string]ClientOptions{"secret": {Secret: [32]byte{9}}, "cluster": {Cluster: base.UUID{9}}} {
		c := client(t, opt)
		_, err := c.Call(testContext(t), addr, echo, nil)
		wantKind(t, err, base.Unavailable)
		if !errors.Is(err, ErrRefused) {
			t.Errorf("wrong %s: %v", name, err)
		}
	}
}
