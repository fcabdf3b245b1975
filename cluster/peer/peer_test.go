package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
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
			if len(body) == 0 {
				return nil, errors.New("no kind")
			}
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
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%v does not say why", err)
		}
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
	callUntil(t, c, addr, base.Unavailable) // the first may still be written to the connection that ends
	s.Close()
}

// callUntil calls until the error is of the kind.
func callUntil(t *testing.T, c *Client, addr string, kind base.Kind) {
	t.Helper()
	ctx := testContext(t)
	for {
		_, err := c.Call(ctx, addr, echo, nil)
		if ctx.Err() != nil {
			t.Fatalf("got %v, want an error of kind %v at last", err, kind)
		}
		if base.IsKind(err, kind) {
			return
		}
	}
}

func TestAServerThatComesBack(t *testing.T) {
	s, addr := serve(t, ServerOptions{})
	c := client(t, ClientOptions{limits: limits{backoffMin: time.Nanosecond, backoffMax: time.Nanosecond}})
	for range 3 {
		if _, err := c.Call(testContext(t), addr, echo, nil); err != nil {
			t.Fatal(err)
		}
		s.Close()
		callUntil(t, c, addr, base.Unavailable)
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		s = Serve(ln, ServerOptions{Cluster: testCluster, Secret: testSecret, Handlers: handlers(nil, nil)})
		t.Cleanup(s.Close)
	}
}

func TestClientClose(t *testing.T) {
	started, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	_, addr := serve(t, ServerOptions{Handlers: handlers(started, ended)})
	c := client(t, ClientOptions{})
	result := make(chan error, 1)
	go func() {
		_, err := c.Call(testContext(t), addr, block, nil)
		result <- err
	}()
	receiveOne(t, started, "the start of the handler")
	c.Close()
	wantKind(t, <-result, base.Undetermined)
	receiveOne(t, ended, "the end of the handler of a client that was closed")
	_, err := c.Call(testContext(t), addr, echo, nil)
	wantKind(t, err, base.Closed)
	c.Close()
}

func TestAnEndedContextIsNotWritten(t *testing.T) {
	started := make(chan struct{}, 1)
	_, addr := serve(t, ServerOptions{Handlers: handlers(started, nil)})
	c := client(t, ClientOptions{})
	if _, err := c.Call(testContext(t), addr, echo, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := c.Call(ctx, addr, block, nil)
	wantKind(t, err, base.Unavailable)
	if !errors.Is(err, context.Canceled) || len(started) != 0 {
		t.Errorf("%v, %d handlers ran", err, len(started))
	}
}

func TestBodiesAreBounded(t *testing.T) {
	_, addr := serve(t, ServerOptions{MaxFrame: 8192, Handlers: map[Method]Handler{
		echo:  func(_ context.Context, body []byte) ([]byte, error) { return body, nil },
		fail:  func(context.Context, []byte) ([]byte, error) { return make([]byte, maxFrameDefault+1), nil },
		block: func(context.Context, []byte) ([]byte, error) { return nil, errors.New(strings.Repeat("é", 10_000)) },
	}})
	reg := prometheus.NewRegistry()
	c := client(t, ClientOptions{Registerer: reg})
	if _, err := c.Call(testContext(t), addr, echo, make([]byte, 8192)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Call(testContext(t), addr, echo, make([]byte, 8193))
	wantKind(t, err, base.Invalid)
	_, err = c.Call(testContext(t), addr, fail, nil)
	wantKind(t, err, base.Undetermined) // the handler did run
	_, err = c.Call(testContext(t), addr, block, nil)
	wantKind(t, err, base.Unknown)
	if len(err.Error()) > messageBytesMax || !utf8.ValidString(err.Error()) {
		t.Errorf("a text of %d bytes", len(err.Error()))
	}
	if n := metric(t, reg, "sluice_peer_client_handshakes_total{ok}"); n != 1 {
		t.Errorf("%v connections: calls that were too long ended one", n)
	}
}

func TestCallsAreShed(t *testing.T) {
	started := make(chan struct{}, 10)
	for _, tc := range []struct {
		name   string
		server limits
		client limits
		room   int
		bytes  int
	}{
		{"by the client", limits{}, limits{calls: 3}, 3, 0},
		{"by the server for their number", limits{calls: 2}, limits{}, 4, 0},
		{"by the server for their bytes", limits{}, limits{}, 2, 1000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, addr := serve(t, ServerOptions{limits: tc.server, MaxFrame: 1000, Handlers: handlers(started, nil)})
			c := client(t, ClientOptions{limits: tc.client})
			ctx, cancel := context.WithCancel(testContext(t))
			var polls sync.WaitGroup
			for range tc.room {
				polls.Go(func() { c.Call(ctx, addr, block, make([]byte, tc.bytes)) })
			}
			for range tc.room {
				receiveOne(t, started, "the start of a poll")
			}
			_, err := c.Call(ctx, addr, block, make([]byte, tc.bytes))
			wantKind(t, err, base.Unavailable)
			if !strings.Contains(err.Error(), "shed") || len(started) != 0 {
				t.Errorf("%v, %d more handlers ran", err, len(started))
			}
			cancel()
			polls.Wait()
			for err = errors.New("not called"); err != nil; { // the server may not have heard of the cancellations yet
				if _, err = c.Call(testContext(t), addr, echo, nil); err != nil && !strings.Contains(err.Error(), "shed") {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	name := func(m Method) string { return map[Method]string{echo: "echo", fail: "fail"}[m] }
	s, addr := serve(t, ServerOptions{Registerer: reg, Name: name})
	c := client(t, ClientOptions{Registerer: reg, Name: name})
	for range 3 {
		if _, err := c.Call(testContext(t), addr, echo, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	c.Call(testContext(t), addr, fail, []byte{byte(base.Fenced)})
	for name, want := range map[string][2]float64{
		"client_calls_total{echo ok}": {3, 3}, "client_calls_total{fail fenced}": {1, 1}, "client_call_seconds{echo}": {3, 3},
		"client_connections": {1, 1}, "client_handshakes_total{ok}": {1, 1}, "client_calls_in_flight": {0, 0},
		"server_calls_total{echo ok}": {3, 3}, "server_calls_total{fail fenced}": {1, 1}, "server_call_seconds{echo}": {3, 3},
		"server_connections": {1, 1}, "server_handshakes_total{ok}": {1, 1}, "server_calls_in_flight": {0, 0},
		"client_sent_bytes_total": {3000, 3500}, "client_received_bytes_total": {3000, 3500}, "server_received_bytes_total": {3000, 3500},
		"client_connections_lost_total": {0, 0},
	} {
		if got := metric(t, reg, "sluice_peer_"+name); got < want[0] || got > want[1] {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	s.Close()
	callUntil(t, c, addr, base.Unavailable)
	c.Close() // the count is final
	if n := metric(t, reg, "sluice_peer_client_connections_lost_total"); n != 1 {
		t.Errorf("%v connections lost", n)
	}
}

// metric returns the value of a metric, the count of a histogram, by its name and the values of its labels in the order of their names; 0 if it is
// not there.
func metric(t *testing.T, reg *prometheus.Registry, want string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			if len(m.GetLabel()) > 0 {
				var values []string
				for _, l := range m.GetLabel() {
					values = append(values, l.GetValue())
				}
				name += "{" + strings.Join(values, " ") + "}"
			}
			if name == want {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return 0
}
