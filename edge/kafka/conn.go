package kafka

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Reasons for closing a connection, as the metric names them.
const (
	reasonClient   = "client"   // the client closed it
	reasonIdle     = "idle"     // no request for a long time
	reasonStalled  = "stalled"  // a frame or a response made no progress
	reasonFrame    = "frame"    // a size or header that makes no sense
	reasonAborted  = "aborted"  // the handler gave up on it
	reasonTooMany  = "too many" // the limit of connections
	reasonRate     = "rate"     // its address makes too many connections in a second
	reasonShutdown = "shutdown" // the broker stops
	reasonNetwork  = "network"  // the network failed
	reasonTLS      = "tls"      // no TLS connection came about
	reasonLogin    = "login"    // the client did not log in in time, or not rightly
)

// conn is one client connection.
//
// The queue holds the requests that the handler got and that have not left yet, in order of arrival. Whoever finishes the request
// at its head starts the writer, unless there is one; the writer takes the finished prefix of the queue, writes it, and ends when
// the head is unfinished. The reader waits on the condition for the queue to become short enough.
type conn struct {
	srv      *Server
	id       uint64
	listener string
	nc       net.Conn
	in       *readBuffer           // nil while there is nothing to read; the reader's, as are the next five
	poller   syscall.RawConn       // of a plain socket, else nil
	look     func(fd uintptr) bool // tryRead
	looked   error                 // what it came to
	turn     time.Time             // when it began with what its client had sent at once; zero: it is not there any more
	first    [1]byte               // is read without a buffer where there is no poller
	ctx      context.Context
	cancel   context.CancelFunc
	deadline time.Time                 // of reading, as it was last set; the reader's
	software atomic.Pointer[[2]string] // name and version
	login    time.Time                 // the client must have logged in by then; zero: it has, or need not; the reader's
	refused  bool                      // a login was: no more requests are read; the reader's
	raw      bool                      // the next frame is a bare token of SASL; the reader's
	session  any                       // the handler's

	mu struct {
		sync.Mutex
		moved    sync.Cond  // the queue became shorter, or the connection was closed
		queue    []*Request // unanswered, in order
		inFlight int        // queue, plus what the writer has taken and not written yet
		alone    bool       // what is in flight is not a Produce
		writing  bool       // a writer goroutine exists
		draining bool       // no more requests are read
		closed   bool
		muted    time.Time // no request starts before; see Request.Throttle
	}
}

const readBufferBytes = 16 << 10 // of a connection that has sent something; larger frames are read around it

func newConn(s *Server, id uint64, listener string, nc net.Conn) *conn {
	c := &conn{srv: s, id: id, listener: listener, nc: nc}
	l := s.opt.Listeners[listener]
	if l.TLS != nil {
		c.nc = tls.Server(nc, l.TLS)
	}
	if l.Login {
		c.login = time.Now().Add(s.opt.LoginTimeout)
	}
	c.poller, c.look = pollerOf(c.nc), c.tryRead
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.mu.moved.L = &c.mu
	return c
}

// admit waits until a request with the key may start, and puts r into the queue. It reports false when the connection is closed.
func (c *conn) admit(r *Request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.mu.closed && (!c.mayStartLocked(r.Key) || c.mutedLocked()) {
		c.mu.moved.Wait()
	}
	if c.mu.closed {
		return false
	}
	return true
}

func (c *conn) mayStartLocked(key int16) bool {
	if c.mu.inFlight == 0 {
		return true
	}
	return key == ProduceKey && !c.mu.alone && c.mu.inFlight < c.srv.opt.MaxInFlight
}

// mutedLocked reports whether the client has been told to wait. A connection that is being given up is not muted: its last request is answered.
func (c *conn) mutedLocked() bool {
	return !c.mu.muted.IsZero() && !c.mu.draining && time.Now().Before(c.mu.muted)
}

// mute lets no request start for a time, at most for as long as a connection may be idle: a client that is gone is noticed only then.
func (c *conn) mute(d time.Duration) {
	d = min(d, c.srv.opt.IdleTimeout)
	c.mu.Lock()
	if until := time.Now().Add(d); until.After(c.mu.muted) {
		c.mu.muted = until
	}
	c.mu.Unlock()
	time.AfterFunc(d, c.mu.moved.Broadcast)
}

// start puts r, which admit let pass, at the end of the queue.
func (c *conn) start(r *Request) {
	c.mu.Lock()
	c.mu.queue = append(c.mu.queue, r)
	c.mu.inFlight++
	c.mu.alone = r.Key != ProduceKey
	c.mu.Unlock()
	c.srv.metrics.inFlight.Inc()
}

// finish stores the reply of r, and sees to it that what is ready gets written.
func (c *conn) finish(r *Request, reply Reply) {
	c.mu.Lock()
	if r.done {
		c.mu.Unlock()
		panic("BUG: kafka: a request was finished twice")
	}
	r.reply, r.done = reply, true
	if !c.mu.writing && c.mu.queue[0].done {
		c.mu.writing = true
		c.srv.conns.Add(1) // the reader still counts: it ends only when nothing is in flight
		go func() {
			defer c.srv.conns.Done()
			c.writeLoop()
		}()
	}
	c.mu.Unlock()
}

// stopReading makes the reader end. The connection is closed when nothing is in flight any more.
func (c *conn) stopReading() {
	c.mu.Lock()
	c.mu.draining = true
	c.mu.Unlock()
	c.mu.moved.Broadcast()
	c.nc.SetReadDeadline(longAgo)
}

var longAgo = time.Unix(1, 0)

func (c *conn) draining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.draining
}

// close closes the connection, once. Requests in flight are finished as usual and go nowhere.
func (c *conn) close(reason, detail string) {
	c.mu.Lock()
	already := c.mu.closed
	c.mu.closed = true
	c.mu.Unlock()
	if already {
		return
	}
	switch reason {
	case reasonTLS, reasonLogin, reasonFrame, reasonAborted, reasonStalled:
		c.srv.complain("closed a connection", c.nc.RemoteAddr(), c.listener, reason, detail)
	default:
		c.srv.opt.Logger.Debug("closed a connection", "client", c.nc.RemoteAddr(), "reason", reason, "detail", detail)
	}
	c.cancel()
	c.nc.Close()
	c.mu.moved.Broadcast()
	c.srv.forget(c)
	c.srv.metrics.closed.WithLabelValues(reason).Inc()
}
