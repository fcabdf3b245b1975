package kafka

import (
	"bufio"
	"errors"
	"net"
	"runtime"
	"sync"
	"time"
)

// readBuffer is what a connection reads through while there is something to read. One that waits for its client has none: most connections do nothing most of
// the time, and there may be very many.
type readBuffer struct {
	bufio.Reader
	from source
}

// source is what a read buffer is filled from.
type source struct {
	nc    net.Conn // nil: fd, as far as something is there
	fd    uintptr
	first []byte // goes before what nc has
}

// errNothing is what a source returns that would have to wait.
var errNothing = errors.New("nothing to read yet")

// Read implements io.Reader.
func (s *source) Read(p []byte) (n int, err error) {
	switch {
	case len(s.first) > 0:
		n = copy(p, s.first)
		s.first = s.first[n:]
		return n, nil
	case s.nc == nil:
		return readNow(s.fd, p)
	}
	return s.nc.Read(p)
}

var readBuffers = sync.Pool{New: func() any {
	b := &readBuffer{}
	b.Reader = *bufio.NewReaderSize(&b.from, readBufferBytes)
	return b
}}

// giveBack ends the use of a buffer.
func (b *readBuffer) giveBack() {
	b.from = source{}
	b.Reset(&b.from)
	readBuffers.Put(b)
}

// await waits until there is something to read. Then c has a buffer, with the beginning of it.
func (c *conn) await() error {
	if c.in != nil && c.in.Buffered() > 0 {
		return nil
	}
	c.dropBuffer()
	if c.poller == nil { // it has buffers of its own, or is no socket
		for {
			n, err := c.nc.Read(c.first[:])
			if n > 0 {
				c.in = readBuffers.Get().(*readBuffer)
				c.in.from = source{nc: c.nc, first: c.first[:n]}
				_, err := c.in.Peek(1)
				return err
			}
			if err != nil {
				return err
			}
		}
	}
	c.looked = nil
	if err := c.poller.Read(c.look); err != nil {
		return err
	}
	return c.looked
}

// tryRead reads what is there. It reports false when that is nothing.
func (c *conn) tryRead(fd uintptr) bool {
	b := readBuffers.Get().(*readBuffer)
	b.from = source{fd: fd}
	_, err := b.Peek(1)
	if errors.Is(err, errNothing) {
		b.giveBack()
		return false
	}
	b.from.nc = c.nc
	c.in, c.looked = b, err
	return true
}

// turnMost is how long a connection may go on with what its client has sent already, before others get their turn.
const turnMost = 200 * time.Microsecond

// yield lets others go on, if the client has sent much at once and this took long. The reader and the writer of such a connection wake each other, and the
// scheduler counts that as one turn, of 10 ms: a few of them were enough for everybody else to wait for a tenth of a second (test/hostile).
func (c *conn) yield() {
	if c.in == nil || c.in.Buffered() == 0 {
		c.turn = time.Time{}
		return
	}
	switch now := time.Now(); {
	case c.turn.IsZero():
		c.turn = now
	case now.Sub(c.turn) >= turnMost:
		c.turn = time.Time{}
		runtime.Gosched()
	}
}

// dropBuffer gives back the buffer, if there is one.
func (c *conn) dropBuffer() {
	if c.in != nil {
		c.in.giveBack()
		c.in = nil
	}
}
