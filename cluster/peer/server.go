package peer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"sluice/base"
)

// Server answers the calls of other members.
type Server struct {
	opt     ServerOptions
	ln      net.Listener
	metrics *metrics
	ctx     context.Context // of every handler; ends with Close
	cancel  context.CancelFunc
	all     sync.WaitGroup // the accept loop and the connections

	mu struct {
		sync.Mutex
		conns       map[net.Conn]struct{} // open, those in their handshake included
		handshaking int
		closed      bool
	}
}

var errServerClosed = base.Errorf(base.Closed, "the server was closed")

// Serve answers calls that come in on ln until Close. It owns ln, and does not wait.
func Serve(ln net.Listener, opt ServerOptions) *Server {
	opt = opt.withDefaults()
	s := &Server{opt: opt, ln: ln, metrics: newMetrics(opt.Registerer, "server", opt.Name)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.mu.conns = map[net.Conn]struct{}{}
	s.all.Add(1)
	go s.acceptLoop()
	return s
}

// Close stops accepting, ends all connections and the contexts of all handlers, and waits for the handlers. Callers that wait for an
// answer learn that their connection is lost. Close may be called more than once.
func (s *Server) Close() {
	s.mu.Lock()
	s.mu.closed = true
	conns := s.mu.conns
	s.mu.conns = nil
	s.mu.Unlock()
	s.cancel()
	s.ln.Close()
	for nc := range conns {
		nc.Close()
	}
	s.all.Wait()
}

func (s *Server) acceptLoop() {
	defer s.all.Done()
	delay := time.Duration(0)
	for {
		nc, err := s.ln.Accept()
		switch {
		case err == nil:
			delay = 0
			s.accept(nc)
			continue
		case s.ctx.Err() != nil:
			return
		case errors.Is(err, net.ErrClosed):
			s.opt.Logger.Error("the listener for other brokers was closed by somebody else", "address", s.ln.Addr(), "error", err)
			return
		}
		delay = min(max(2*delay, 5*time.Millisecond), time.Second) // out of file descriptors, for example
		s.opt.Logger.Warn("cannot accept a connection of another broker", "address", s.ln.Addr(), "error", err, "retry_in", delay)
		select {
		case <-time.After(delay):
		case <-s.ctx.Done():
			return
		}
	}
}

// accept starts serving nc. A connection for whose handshake there is no room is closed without a word.
func (s *Server) accept(nc net.Conn) {
	s.mu.Lock()
	if s.mu.closed || s.mu.handshaking >= s.opt.limits.handshakes {
		closed := s.mu.closed
		s.mu.Unlock()
		nc.Close()
		if !closed {
			s.metrics.handshake(ErrRefused)
		}
		return
	}
	s.mu.conns[nc] = struct{}{}
	s.mu.handshaking++
	full := len(s.mu.conns) > s.opt.limits.connections
	s.all.Add(1)
	s.mu.Unlock()
	s.metrics.connections.Inc()
	go func() {
		defer s.all.Done()
		s.serve(nc, full)
		nc.Close()
		s.mu.Lock()
		delete(s.mu.conns, nc)
		s.mu.Unlock()
		s.metrics.connections.Dec()
	}()
}

// secured is a connection that has a handshake of its own, such as that of TLS.
type secured interface {
	HandshakeContext(ctx context.Context) error
}

// secure does the handshake that a connection has of its own. Who is not let in is refused; who says nothing has given up.
func (s *Server) secure(nc net.Conn) error {
	c, ok := nc.(secured)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.opt.limits.handshake)
	defer cancel()
	err := c.HandshakeContext(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), isTimeout(err), errors.Is(err, context.DeadlineExceeded):
		return base.Errorf(base.Unavailable, "TLS: %w", err)
	}
	return refused("TLS: %v", err)
}

// serve is the life of one connection.
func (s *Server) serve(nc net.Conn, full bool) {
	lim := s.opt.limits
	own := newHello(s.opt.Cluster, lim.versionMin, lim.versionMax, s.opt.MaxFrame)
	err := s.secure(nc)
	var other hello
	if err == nil {
		other, err = receive(nc, own, s.opt.Secret, lim.handshake, full)
	}
	s.mu.Lock()
	s.mu.handshaking--
	s.mu.Unlock()
	if s.ctx.Err() != nil {
		return
	}
	s.metrics.handshake(err)
	if err != nil {
		level := slog.LevelDebug // a probe, or a client that gave up
		if errors.Is(err, ErrRefused) {
			level = slog.LevelWarn
		}
		s.opt.Logger.Log(s.ctx, level, "no handshake on the listener for other brokers", "peer", nc.RemoteAddr(), "error", err)
		return
	}
	l := newLink(nc, s.opt.MaxFrame, int(other.maxFrame), 2*lim.silence, lim, s.metrics)
	c := &serverConn{srv: s, link: l}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.mu.calls = map[uint64]context.CancelFunc{}
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		l.writeLoop(nil, nil)
	}()
	err = c.readLoop()
	if s.ctx.Err() != nil {
		err = errServerClosed
	}
	l.fail(err)
	c.cancel()
	c.running.Wait()
	s.opt.Logger.Debug("a connection of another broker ended", "peer", nc.RemoteAddr(), "error", l.cause())
	if s.ctx.Err() == nil && !errors.Is(err, io.EOF) {
		s.metrics.lost.Inc()
	}
}

// serverConn is a connection that passed the handshake. Its reader starts a goroutine for each call.
type serverConn struct {
	srv     *Server
	link    *link
	ctx     context.Context // of its handlers
	cancel  context.CancelFunc
	running sync.WaitGroup // the writer and the handlers

	mu struct {
		sync.Mutex
		calls map[uint64]context.CancelFunc // whose handler runs
		bytes int                           // of their bodies
	}
}

// readLoop returns why no more can be read.
func (c *serverConn) readLoop() error {
	lim := c.srv.opt.limits
	for {
		c.link.awaitRoom()
		h, body, err := c.link.read()
		if err != nil {
			return readable(err, 2*lim.silence, "reading")
		}
		switch h.typ {
		case frameCall:
			if err := c.start(h, body); err != nil {
				return err
			}
		case frameCancel:
			c.mu.Lock()
			if cancel := c.mu.calls[h.call]; cancel != nil {
				cancel()
			}
			c.mu.Unlock()
		case framePing:
			c.link.enqueue(&outFrame{buf: encode(framePong, 0, 0, nil)})
		default:
			return base.Errorf(base.Corrupt, "a client sent a frame of type %d", h.typ)
		}
	}
}

// start runs the handler of a call, or refuses it.
func (c *serverConn) start(h header, body []byte) error {
	method := Method(h.code)
	handler := c.srv.opt.Handlers[method]
	if handler == nil {
		err := base.Errorf(base.Invalid, "no handler for method %v", c.srv.opt.Name(method))
		c.link.enqueue(&outFrame{buf: encodeFailure(h.call, err)})
		return nil
	}
	ctx, cancel := context.WithCancel(c.ctx)
	c.mu.Lock()
	if c.mu.calls[h.call] != nil {
		c.mu.Unlock()
		cancel()
		return base.Errorf(base.Corrupt, "two calls of number %d", h.call)
	}
	if n := len(c.mu.calls); n >= 2*c.srv.opt.limits.calls || n > 0 && c.mu.bytes+len(body) > 2*c.srv.opt.MaxFrame {
		c.mu.Unlock()
		cancel()
		err := base.Errorf(base.Unavailable, "shed: %d calls of this connection are in flight", n)
		c.srv.metrics.call(method, time.Now(), err)
		c.link.enqueue(&outFrame{buf: encodeFailure(h.call, err)})
		return nil
	}
	c.mu.calls[h.call] = cancel
	c.mu.bytes += len(body)
	c.mu.Unlock()
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		c.handle(ctx, handler, h, body)
		c.mu.Lock()
		delete(c.mu.calls, h.call)
		c.mu.bytes -= len(body)
		c.mu.Unlock()
		cancel()
	}()
	return nil
}

func (c *serverConn) handle(ctx context.Context, handler Handler, h header, body []byte) {
	m := c.srv.metrics
	begun := time.Now()
	m.inFlight.Inc()
	answer, err := handler(ctx, body)
	m.inFlight.Dec()
	if err == nil && len(answer) > c.link.maxOut {
		err = base.Errorf(base.Undetermined, "executed, but the answer of %d bytes is longer than the %d the caller takes", len(answer), c.link.maxOut)
	}
	if err != nil {
		err = base.Wrap(handlerKind(err), err)
	}
	m.call(Method(h.code), begun, err)
	if err != nil {
		c.link.enqueue(&outFrame{buf: encodeFailure(h.call, err)})
		return
	}
	c.link.enqueue(&outFrame{buf: encode(frameAnswer, 0, h.call, answer)})
}
