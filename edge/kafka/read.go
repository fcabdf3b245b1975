package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"sluice/base/slab"
)

const (
	headerBytes = 8        // key, version, correlation id
	firstBytes  = 1 << 20  // a frame gets this much memory at once; more only when it has arrived
	growFactor  = 4        // and then so many times more,
	growMost    = 16 << 20 // up to here; then all of it: two copies of most of the largest frame are too much

	smallFrame = readBufferBytes - 4 // a frame that fits into the read buffer with its size
	readTick   = time.Second         // how often it is looked whether a frame that does not get on holds others up
	otherBytes = 8 << 20             // a frame that is no Produce may have so much, or a quarter of the memory for requests

	loginBytes = 512 << 10 // a frame of somebody who has not logged in
)

// readLoop reads requests and hands them to the handler until the connection ends.
func (c *conn) readLoop() {
	defer c.dropBuffer()
	if err := c.handshake(); err != nil {
		reason := reasonTLS
		if c.draining() {
			reason = reasonShutdown
		}
		c.close(reason, err.Error())
		return
	}
	for {
		reason, err := c.readRequest()
		if err == nil {
			c.yield()
			continue
		}
		if c.draining() {
			c.awaitAnswers()
			reason = reasonShutdown
		}
		if c.refused {
			reason = reasonClient // said already
		}
		c.close(reason, err.Error())
		c.awaitAnswers()
		return
	}
}

// readRequest reads one request and starts it.
func (c *conn) readRequest() (reason string, err error) {
	if c.refused {
		return reasonLogin, net.ErrClosed
	}
	c.extendDeadline()
	if err := c.await(); err != nil {
		return c.readError(err, true)
	}
	head, err := c.in.Peek(4)
	if err != nil {
		return c.readError(err, false)
	}
	size := int(int32(binary.BigEndian.Uint32(head)))
	if c.raw {
		return c.readToken(size)
	}
	guest := !c.login.IsZero()
	most := c.srv.opt.MaxFrame
	if guest {
		most = min(most, loginBytes)
	}
	if size < headerBytes || size > most { // judged before more is waited for, which may never come
		return reasonFrame, fmt.Errorf("a frame of %d bytes; allowed are %d to %d%s", size, headerBytes, most, looksLike(head))
	}
	if head, err = c.in.Peek(4 + headerBytes); err != nil {
		return c.readError(err, false)
	}
	r := &Request{
		Key:           int16(binary.BigEndian.Uint16(head[4:])),
		Version:       int16(binary.BigEndian.Uint16(head[6:])),
		CorrelationID: int32(binary.BigEndian.Uint32(head[8:])),
		conn:          c,
	}
	if r.Key != ProduceKey && size > c.srv.otherMost() {
		return reasonFrame, fmt.Errorf("a frame of %d bytes that is no Produce; allowed are %d", size, c.srv.otherMost())
	}
	return c.receive(r, size, headerBytes)
}

// receive reads a frame whose first skip bytes, behind the size, are known, and hands it to the handler. Memory is taken when the frame is here, or
// as much of it as the read buffer holds: announcing costs nobody anything.
func (c *conn) receive(r *Request, size, skip int) (reason string, err error) {
	if !c.admit(r) {
		return reasonClient, net.ErrClosed
	}
	from := addressOf(c.nc)
	leave, err := c.srv.answers.enter(c.ctx, from, r.Key)
	if err != nil {
		return reasonClient, err
	}
	defer leave()
	c.extendDeadline() // it may have had to wait
	if _, err := c.in.Peek(min(4+size, readBufferBytes)); err != nil {
		return c.readError(err, false)
	}
	arrived := size <= smallFrame
	memory, err := c.srv.memory.of(r.Key, size, !c.login.IsZero()).take(c.ctx, from, size, arrived)
	if err != nil {
		return reasonClient, err
	}
	c.srv.metrics.memory.Add(float64(memory.bytes))
	defer func() {
		c.srv.metrics.memory.Sub(float64(memory.bytes))
		memory.give()
	}()
	c.in.Discard(4 + skip)
	if err := c.readBody(r, size-skip, memory); err != nil {
		return c.readError(err, false)
	}
	memory.arrived()
	c.srv.metrics.bytesIn.Add(float64(4 + size))
	r.Received = time.Now()
	buf := r.Buf
	c.start(r)
	c.srv.opt.Handler.Handle(r)
	if buf != nil {
		buf.Release()
	}
	return "", nil
}

// otherMost bounds frames that are no Produce. They are decoded into many times their size, and none needs to be large.
func (s *Server) otherMost() int {
	return min(s.opt.MaxFrame, max(otherBytes, int(min(s.opt.RequestMemory/4, int64(s.opt.MaxFrame)))))
}

// readBody reads the n bytes of r that follow the header. Memory grows as they arrive, so that a client that only claims to send
// much costs little. Produce frames lie in recycled memory; others are small and may outlive their request in a coordinator.
func (c *conn) readBody(r *Request, n int, memory *claim) error {
	var have int
	var buf *slab.Buf
	var body []byte
	p := progress{memory: memory, begun: time.Now()}
	p.piece = p.begun
	for have < n || body == nil {
		want := min(n, max(have*growFactor, firstBytes))
		if have >= growMost {
			want = n
		}
		if r.Key == ProduceKey {
			next := c.srv.opt.Pool.Get(want)
			copy(next.B, body[:have])
			if buf != nil {
				buf.Release()
			}
			buf, body = next, next.B[:want]
		} else {
			next := make([]byte, want)
			copy(next, body[:have])
			body = next
		}
		if err := c.fill(body[have:], n <= smallFrame, &p); err != nil {
			if buf != nil {
				buf.Release()
			}
			return err
		}
		have = want
	}
	r.Buf, r.Body = buf, body[:n:n]
	return nil
}

// progress is how a frame gets on.
type progress struct {
	memory *claim
	begun  time.Time
	got    int
	piece  time.Time // when the megabyte that is being read was begun
}

// errSlow closes the connection of a frame that others wait for.
var errSlow = errors.New("a request came slowly while others waited for its memory")

// fill reads all of dst; here says that it has arrived. Every megabyte must come within the stall timeout, and sooner when others wait.
func (c *conn) fill(dst []byte, here bool, p *progress) error {
	if here {
		_, err := io.ReadFull(c.in, dst)
		return err
	}
	for len(dst) > 0 {
		now := time.Now()
		if c.deadline.Sub(now) < readTick/2 || c.deadline.Sub(now) > readTick {
			c.deadline = now.Add(readTick)
			c.setReadDeadline(c.deadline)
		}
		n, err := c.in.Read(dst)
		dst = dst[n:]
		if p.got/firstBytes != (p.got+n)/firstBytes {
			p.piece = now
		}
		p.got += n
		now = time.Now()
		switch timeout := errors.Is(err, os.ErrDeadlineExceeded); {
		case errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case err != nil && (!timeout || c.draining()):
			return err
		case now.Sub(p.piece) >= c.srv.opt.StallTimeout, !c.login.IsZero() && !now.Before(c.login):
			return os.ErrDeadlineExceeded
		case len(dst) > 0 && p.memory.tooSlow(p.got, now.Sub(p.begun)):
			return errSlow
		}
	}
	c.deadline = time.Time{}
	return nil
}

// extendDeadline lets the connection be idle for IdleTimeout from now. Setting a deadline costs about as much as a small request,
// so it is set an eighth later than asked, and again only when an eighth has passed: never too early, at most an eighth too late.
func (c *conn) extendDeadline() {
	if !c.login.IsZero() {
		if c.deadline != c.login {
			c.deadline = c.login
			c.setReadDeadline(c.deadline)
		}
		return
	}
	now, idle := time.Now(), c.srv.opt.IdleTimeout
	if c.deadline.Sub(now) >= idle {
		return
	}
	c.deadline = now.Add(idle + idle/8)
	c.setReadDeadline(c.deadline)
}

// setReadDeadline sets the deadline of reading, but never undoes stopReading.
func (c *conn) setReadDeadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.draining {
		c.nc.SetReadDeadline(t)
	}
}

// readError names the reason for a failed read. boundary says that it failed between two requests.
func (c *conn) readError(err error, boundary bool) (string, error) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		if !c.login.IsZero() {
			return reasonLogin, fmt.Errorf("no login within %v", c.srv.opt.LoginTimeout)
		}
		if boundary {
			return reasonIdle, err
		}
		return reasonStalled, errors.New("a request was begun and not finished in time")
	case errors.Is(err, errSlow):
		return reasonStalled, err
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
		return reasonClient, err
	}
	return reasonNetwork, err
}

// awaitAnswers waits until nothing is in flight: every request was finished, and its response written or dropped.
func (c *conn) awaitAnswers() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.mu.inFlight > 0 {
		c.mu.moved.Wait()
	}
}

// looksLike guesses what a client speaks that does not speak Kafka.
func looksLike(head []byte) string {
	switch {
	case head[0] == 0x16 && head[1] == 0x03:
		return " (it looks like TLS, but this listener is plain text)"
	case string(head[:4]) == "GET " || string(head[:4]) == "POST" || string(head[:4]) == "HEAD":
		return " (it looks like HTTP, but this is the Kafka listener)"
	}
	return ""
}
