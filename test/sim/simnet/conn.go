package simnet

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// windowBytes is how many bytes may be on their way in one direction before Write waits.
const windowBytes = 1 << 20

// half is one direction of a connection. Its fields are under Network.mu.
type half struct {
	net      *Network
	from, to string
	segments []segment
	bytes    int           // in segments
	last     time.Time     // when the last segment arrives
	ended    bool          // the writer has closed: EOF behind the segments
	gone     bool          // the reader has closed
	deaf     bool          // the reader's or the writer's host is down: nothing moves
	err      error         // of both sides, at once
	changed  chan struct{} // closed, and made anew, when any of it changes
}

// segment is what one Write wrote.
type segment struct {
	data    []byte // not read yet
	whole   []byte
	arrives time.Time
	told    bool // to who watches, that it is about to be read
}

func newHalf(n *Network, from, to string) *half {
	return &half{net: n, from: from, to: to, changed: make(chan struct{})}
}

func (h *half) wakeLocked() {
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *half) failLocked(err error) {
	if h.err == nil {
		h.err = err
	}
	h.segments, h.bytes = nil, 0
	h.wakeLocked()
}

// conn is one end of a connection.
type conn struct {
	net           *Network
	number        int // of the connection; both ends have the same
	host          *Host
	local, remote address
	in, out       *half
	accepted      bool // the other end has connected

	closed                bool // this and the deadlines under Network.mu
	readUntil, writeUntil time.Time
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n := c.net
	for {
		n.mu.Lock()
		h, now := c.in, time.Now()
		var next time.Time
		switch {
		case c.closed:
			n.mu.Unlock()
			return 0, net.ErrClosed
		case passed(c.readUntil, now):
			n.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case h.err != nil:
			err := c.fails("read", h.err)
			n.mu.Unlock()
			return 0, err
		case h.deaf || n.mu.cut[[2]string{h.from, h.to}]:
		case len(h.segments) > 0 && !now.Before(h.segments[0].arrives):
			if s := &h.segments[0]; n.mu.watcher != nil && !s.told {
				s.told = true
				n.tellUnlock(c, s.whole, true)
				continue // what was told may have changed everything
			}
			whole := h.segments[0].whole
			count, last := h.takeLocked(p)
			if last && n.mu.watcher != nil {
				n.tellUnlock(c, whole, false)
				return count, nil
			}
			n.mu.Unlock()
			return count, nil
		case len(h.segments) > 0:
			next = h.segments[0].arrives
		case h.ended:
			n.mu.Unlock()
			return 0, io.EOF
		}
		changed, paths := h.changed, n.mu.changed
		next = earlier(next, c.readUntil)
		n.mu.Unlock()
		wait(now, next, changed, paths)
	}
}

// fails is the error of package net, by which clients know what to try again.
func (c *conn) fails(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: os.NewSyscallError(op, err)}
}

// takeLocked takes bytes of the first segment; last says that it was all that was left of it.
func (h *half) takeLocked(p []byte) (count int, last bool) {
	s := &h.segments[0]
	count = copy(p, s.data)
	if s.data = s.data[count:]; len(s.data) == 0 {
		h.segments, last = h.segments[1:], true
	}
	h.bytes -= count
	h.wakeLocked() // a writer may wait
	return count, last
}

// tellUnlock tells who watches of a piece that c reads, and leaves the network unlocked.
func (n *Network) tellUnlock(c *conn, data []byte, before bool) {
	watcher := n.mu.watcher
	n.mu.Unlock()
	watcher(Piece{Conn: c.number, From: c.in.from, To: c.in.to, Asked: c.accepted, Data: data}, before)
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	n := c.net
	for {
		n.mu.Lock()
		h, now := c.out, time.Now()
		switch {
		case c.closed:
			n.mu.Unlock()
			return 0, net.ErrClosed
		case passed(c.writeUntil, now):
			n.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case c.host.down:
			n.mu.Unlock()
			return 0, c.fails("write", syscall.ENETDOWN)
		case h.err != nil:
			err := c.fails("write", h.err)
			n.mu.Unlock()
			return 0, err
		case h.gone:
			n.mu.Unlock()
			return 0, c.fails("write", syscall.EPIPE)
		case h.bytes < windowBytes:
			at := now.Add(n.delayLocked())
			if at.Before(h.last) {
				at = h.last
			}
			h.last = at
			data := append([]byte(nil), p...)
			h.segments = append(h.segments, segment{data: data, whole: data, arrives: at})
			h.bytes += len(p)
			h.wakeLocked()
			n.mu.Unlock()
			return len(p), nil
		}
		changed, until := h.changed, c.writeUntil
		n.mu.Unlock()
		wait(now, until, changed, nil)
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	n := c.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	delete(n.mu.conns, c)
	c.out.ended = true
	c.in.gone = true
	c.in.segments, c.in.bytes = nil, 0
	c.in.wakeLocked()
	c.out.wakeLocked()
	return nil
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.readUntil = t
	c.in.wakeLocked()
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.writeUntil = t
	c.out.wakeLocked()
	return nil
}

func passed(deadline, now time.Time) bool { return !deadline.IsZero() && !now.Before(deadline) }

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// wait waits until something changed, or until a time if it is not zero.
func wait(now, until time.Time, changed, paths <-chan struct{}) {
	var at <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(until.Sub(now))
		defer t.Stop()
		at = t.C
	}
	select {
	case <-changed:
	case <-paths:
	case <-at:
	}
}
