package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"sluice/base"
)

// Server accepts connections and serves their requests.
type Server struct {
	opt     Options
	metrics *metrics
	memory  budgets
	answers *answers

	mu struct {
		sync.Mutex
		listeners  map[net.Listener]struct{}
		conns      map[*conn]struct{}
		ofAddress  map[netip.Addr]int // connections
		nextID     uint64
		complained map[string]*complaints // by address, listener and reason; see complain
		stopping   bool
	}
	conns    sync.WaitGroup // readers and writers
	quiesced chan struct{}  // closed by Quiesce
}

// New returns a server without listeners.
func New(opt Options) *Server {
	opt = opt.withDefaults()
	s := &Server{opt: opt, metrics: newMetrics(opt.Registerer, opt.APIName), quiesced: make(chan struct{})}
	s.memory = newBudgets(opt.RequestMemory)
	s.answers = newAnswers(opt.RequestMemory / 2)
	s.metrics.answers(opt.Registerer, s.answers)
	s.mu.listeners = map[net.Listener]struct{}{}
	s.mu.conns = map[*conn]struct{}{}
	s.mu.ofAddress = map[netip.Addr]int{}
	return s
}

// Serve accepts connections on ln, whose name requests report, until Quiesce or Shutdown. It returns nil then, and otherwise the
// error that made accepting impossible. It closes ln.
func (s *Server) Serve(name string, ln net.Listener) error {
	defer ln.Close()
	if !s.addListener(ln) {
		return nil
	}
	delay := time.Duration(0)
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			delay = 0
			s.accept(name, nc)
		case s.stopping():
			return nil
		case errors.Is(err, net.ErrClosed):
			return base.Errorf(base.Closed, "listener %s was closed: %w", name, err)
		default: // out of file descriptors, or a connection that was reset while it waited
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			s.opt.Logger.Warn("cannot accept a connection", "listener", name, "error", err, "retry_in", delay)
			time.Sleep(delay)
		}
	}
}

func (s *Server) addListener(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.stopping {
		return false
	}
	s.mu.listeners[ln] = struct{}{}
	return true
}

func (s *Server) stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.stopping
}

// accept starts serving nc, unless there are too many connections or its address makes too many.
func (s *Server) accept(listener string, nc net.Conn) {
	s.metrics.accepted.Inc()
	from := addressOf(nc)
	all, ofAddress := s.opt.MaxConnections, 0
	var pause, refuse time.Duration
	if s.opt.Gate != nil {
		pause, refuse = s.opt.Gate.Connect(from)
		var bound int
		if bound, ofAddress = s.opt.Gate.MaxConnections(from); bound > 0 {
			all = bound
		}
	}
	s.mu.Lock()
	limit := 0
	switch {
	case len(s.mu.conns) >= all:
		limit = all
	case ofAddress > 0 && s.mu.ofAddress[from] >= ofAddress:
		limit = ofAddress
	}
	if s.mu.stopping || limit > 0 || refuse > 0 {
		stopping := s.mu.stopping
		s.mu.Unlock()
		if !stopping {
			s.refuse(nc, listener, limit, refuse)
			return
		}
		nc.Close()
		return
	}
	s.mu.nextID++
	c := newConn(s, s.mu.nextID, listener, nc)
	s.mu.conns[c] = struct{}{}
	s.mu.ofAddress[from]++
	s.conns.Add(1)
	s.mu.Unlock()
	s.metrics.connections.Inc()
	go func() {
		defer s.conns.Done()
		c.readLoop()
	}()
	s.pause(pause)
}

// refuse closes a connection that is not welcome, after a time: a client that is refused at once comes back at once.
func (s *Server) refuse(nc net.Conn, listener string, limit int, after time.Duration) {
	reason := reasonTooMany
	if limit == 0 {
		reason = reasonRate
	} else {
		s.complain("too many connections", nc.RemoteAddr(), listener, reason, fmt.Sprintf("%d are allowed", limit))
		after = 0
	}
	s.metrics.closed.WithLabelValues(reason).Inc()
	if after <= 0 {
		nc.Close()
		return
	}
	time.AfterFunc(after, func() { nc.Close() })
}

// pause lets time pass before the next connection is accepted, unless the server stops.
func (s *Server) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.quiesced:
	}
}

// addressOf is the address of a client; the zero one if its network has none.
func addressOf(nc net.Conn) netip.Addr {
	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// forget removes a closed connection.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.mu.conns, c)
	from := addressOf(c.nc)
	if s.mu.ofAddress[from]--; s.mu.ofAddress[from] <= 0 {
		delete(s.mu.ofAddress, from)
	}
	s.mu.Unlock()
	s.metrics.connections.Dec()
}

// Quiesce closes the listeners and stops reading requests. Requests that were read are still answered; a connection is closed
// when its last one is. It does not wait.
func (s *Server) Quiesce() {
	s.mu.Lock()
	if !s.mu.stopping {
		s.mu.stopping = true
		close(s.quiesced)
	}
	listeners, conns := s.mu.listeners, make([]*conn, 0, len(s.mu.conns))
	s.mu.listeners = map[net.Listener]struct{}{}
	for c := range s.mu.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for ln := range listeners {
		ln.Close()
	}
	for _, c := range conns {
		c.stopReading()
	}
}

// Shutdown quiesces, waits until every request has been answered, and closes all connections. When ctx ends first it closes them
// without waiting for answers, and returns the context's error. Afterwards no goroutine of the server runs.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Quiesce()
	drained := make(chan struct{})
	go func() {
		s.conns.Wait()
		close(drained)
	}()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	conns := make([]*conn, 0, len(s.mu.conns))
	for c := range s.mu.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.close(reasonShutdown, "the broker shuts down")
	}
	<-drained
	return ctx.Err()
}
