package peer

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"sluice/base"
)

// Client calls other members. It is safe for concurrent use.
type Client struct {
	opt     ClientOptions
	metrics *metrics
	ctx     context.Context // of dials; ends with Close
	cancel  context.CancelFunc
	all     sync.WaitGroup // dials and the goroutines of connections

	mu struct {
		sync.Mutex
		targets map[string]*target // by address
		closed  bool
	}
}

// NewClient returns a client without connections; calls make them.
func NewClient(opt ClientOptions) *Client {
	opt = opt.withDefaults()
	c := &Client{opt: opt, metrics: newMetrics(opt.Registerer, "client", opt.Name)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.mu.targets = map[string]*target{}
	return c
}

// Close ends all connections and waits until no goroutine of the client runs. Calls in flight fail, as Undetermined if they may have
// been executed and as Closed if not, and so do later ones. Close may be called more than once.
func (c *Client) Close() {
	c.mu.Lock()
	c.mu.closed = true
	var conns []*clientConn
	for _, t := range c.mu.targets {
		if t.conn != nil {
			conns = append(conns, t.conn)
		}
	}
	c.mu.Unlock()
	c.cancel()
	for _, conn := range conns {
		conn.link.fail(errClientClosed)
	}
	c.all.Wait()
}

// Call asks the member at addr and returns its answer, which is the caller's; body is not used after Call has returned. An error of the handler has
// the handler's kind and text. Otherwise the kind says what happened to the call:
//
//   - Unavailable: it was surely not executed: no connection, too many calls in flight, or ctx ended before it was written. A refused connection and
//     an address that failed a moment ago are reported at once; the error matches that of the dialer (syscall.ECONNREFUSED), which is up to a second
//     old. A handshake that was refused matches [ErrRefused].
//   - Undetermined: it was written and there is no answer: the connection was lost, or ctx ended (the error then matches ctx.Err()). The
//     handler's context ends as soon as the server hears of it.
//   - Invalid: the body is longer than the server takes, or the server has no handler for m. It was not executed.
//   - Closed: the client was closed before the call was written.
func (c *Client) Call(ctx context.Context, addr string, m Method, body []byte) ([]byte, error) {
	begun := time.Now()
	c.metrics.inFlight.Inc()
	answer, err := c.call(ctx, addr, m, body)
	c.metrics.inFlight.Dec()
	c.metrics.call(m, begun, err)
	return answer, err
}

func (c *Client) call(ctx context.Context, addr string, m Method, body []byte) ([]byte, error) {
	for attempt := 0; ; attempt++ {
		if ctx.Err() != nil {
			return nil, base.Errorf(base.Unavailable, "call %s: %w", addr, ctx.Err())
		}
		conn, err := c.connect(ctx, addr)
		if err != nil {
			return nil, err
		}
		answer, err := conn.call(ctx, m, body)
		if errors.Is(err, errStale) && attempt == 0 {
			continue // the connection ended before it took the call: once more on a new one
		}
		return answer, err
	}
}

// errStale says that a connection had ended before the call was written.
var errStale = errors.New("the connection had ended")

// clientConn is a connection that passed the handshake. Its reader hands answers to the calls that wait for them; its writer also pings,
// and closes it when it is idle.
type clientConn struct {
	client *Client
	addr   string
	link   *link

	mu struct {
		sync.Mutex
		last      uint64 // number of the last call
		calls     map[uint64]chan<- result
		idleSince time.Time // when the last call ended
	}
}

type result struct {
	answer []byte
	err    error
}

func newClientConn(c *Client, addr string, nc net.Conn, maxOut int) *clientConn {
	lim := c.opt.limits
	conn := &clientConn{client: c, addr: addr, link: newLink(nc, maxFrameDefault, maxOut, lim.silence, lim, c.metrics)}
	conn.mu.calls = map[uint64]chan<- result{}
	conn.mu.idleSince = time.Now()
	return conn
}

func (conn *clientConn) call(ctx context.Context, m Method, body []byte) ([]byte, error) {
	if len(body) > conn.link.maxOut {
		return nil, base.Errorf(base.Invalid, "call %s: a body of %d bytes, the server takes %d", conn.addr, len(body), conn.link.maxOut)
	}
	answered := make(chan result, 1)
	id, ok := conn.register(answered)
	if !ok {
		return nil, base.Errorf(base.Unavailable, "call %s: shed: %d calls are in flight", conn.addr, conn.client.opt.limits.calls)
	}
	defer conn.unregister(id)
	f := &outFrame{buf: encode(frameCall, uint8(m), id, body)}
	if err := conn.link.enqueueBounded(f); errors.Is(err, errTooMuch) {
		return nil, base.Errorf(base.Unavailable, "call %s: shed: %w", conn.addr, err)
	} else if err != nil {
		return nil, conn.unwritten(err)
	}
	select {
	case r := <-answered:
		return r.answer, r.err
	case <-conn.link.done:
	case <-ctx.Done():
	}
	select {
	case r := <-answered: // came at the same time
		return r.answer, r.err
	default:
	}
	withdrawn, cause := conn.link.withdraw(f), conn.link.cause()
	switch {
	case withdrawn && cause != nil:
		return nil, conn.unwritten(cause)
	case withdrawn:
		return nil, base.Errorf(base.Unavailable, "call %s: not sent yet: %w", conn.addr, ctx.Err())
	case cause != nil:
		return nil, base.Errorf(base.Undetermined, "call %s: the connection was lost: %w", conn.addr, cause)
	}
	conn.link.enqueue(&outFrame{buf: encode(frameCancel, 0, id, nil)})
	return nil, base.Errorf(base.Undetermined, "call %s: sent, but not answered: %w", conn.addr, ctx.Err())
}

// unwritten is the error of a call that the connection did not take because it had ended.
func (conn *clientConn) unwritten(cause error) error {
	if errors.Is(cause, errClientClosed) {
		return errClientClosed
	}
	return base.Errorf(base.Unavailable, "call %s: %w: %w", conn.addr, errStale, cause)
}

// register gives a call its number; false says that there are too many already.
func (conn *clientConn) register(answered chan<- result) (uint64, bool) {
	conn.mu.Lock()
	defer conn.mu.Unlock()
	if len(conn.mu.calls) >= conn.client.opt.limits.calls {
		return 0, false
	}
	conn.mu.last++
	conn.mu.calls[conn.mu.last] = answered
	return conn.mu.last, true
}

func (conn *clientConn) unregister(id uint64) {
	conn.mu.Lock()
	defer conn.mu.Unlock()
	delete(conn.mu.calls, id)
	if len(conn.mu.calls) == 0 {
		conn.mu.idleSince = time.Now()
	}
}

func (conn *clientConn) idle() bool {
	conn.mu.Lock()
	defer conn.mu.Unlock()
	return len(conn.mu.calls) == 0 && time.Since(conn.mu.idleSince) > conn.client.opt.limits.idle
}

// writeLoop writes until the connection has ended. The server hears from it at least once a ping interval, so silence means that
// something is wrong; and the pongs say the same to this side.
func (conn *clientConn) writeLoop() {
	defer conn.client.all.Done()
	ticker := time.NewTicker(conn.client.opt.limits.ping)
	defer ticker.Stop()
	conn.link.writeLoop(ticker.C, func() []byte {
		if conn.idle() {
			conn.link.fail(errIdle)
			return nil
		}
		return encode(framePing, 0, 0, nil)
	})
}

// readLoop hands out answers until the connection has ended, and then forgets it.
func (conn *clientConn) readLoop() {
	c := conn.client
	defer c.all.Done()
	c.metrics.connections.Inc()
	err := conn.readAnswers()
	conn.link.fail(err)
	c.metrics.connections.Dec()
	c.mu.Lock()
	if t := c.mu.targets[conn.addr]; t != nil && t.conn == conn {
		t.conn = nil
	}
	c.mu.Unlock()
	cause := conn.link.cause()
	if !errors.Is(cause, errIdle) && !errors.Is(cause, errClientClosed) {
		c.metrics.lost.Inc()
		c.opt.Logger.Info("the connection to another broker was lost", "address", conn.addr, "error", cause)
	}
}

// readAnswers returns why no more can be read.
func (conn *clientConn) readAnswers() error {
	for {
		h, body, err := conn.link.read()
		if err != nil {
			return readable(err, conn.client.opt.limits.silence, "reading")
		}
		r := result{answer: body}
		switch h.typ {
		case framePong:
			continue
		case frameAnswer:
		case frameFailure:
			r = result{err: failure(h.code, body)}
		default:
			return base.Errorf(base.Corrupt, "a server sent a frame of type %d", h.typ)
		}
		conn.mu.Lock()
		answered := conn.mu.calls[h.call] // nil: nobody waits any more
		conn.mu.Unlock()
		select {
		case answered <- r:
		default: // or it has its answer already
		}
	}
}
