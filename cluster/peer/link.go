package peer

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
)

// link is one connection after its handshake, as both sides see it: a reader that gives up when it hears nothing, and a queue of
// frames with one writer. Whoever puts a frame into the queue never waits for the network. A frame that the writer has taken may reach
// the other side; one that it has not taken never will.
type link struct {
	nc     net.Conn
	in     *bufio.Reader
	out    *bufio.Writer // the writer's
	maxIn  int           // bytes of a body
	maxOut int           // as the other side wants it
	stall  time.Duration // see limits
	wake   chan struct{} // holds one: something was queued
	room   chan struct{} // holds one: something was written
	done   chan struct{} // closed when the connection has ended

	mu struct {
		sync.Mutex
		queue       []*outFrame
		queuedBytes int   // of the queue and of what the writer has taken and not written yet
		err         error // why the connection ended
	}
}

// outFrame is a frame in the queue of a link.
type outFrame struct {
	buf []byte
	at  frameState // guarded by the link
}

type frameState uint8

const (
	frameQueued    frameState = iota
	frameTaken                // by the writer
	frameWithdrawn            // it will not be written
)

var (
	errIdle    = errors.New("closed for want of calls")
	errTooMuch = errors.New("too much is queued")
)

func newLink(nc net.Conn, maxIn, maxOut int, silence, stall time.Duration, m *metrics) *link {
	return &link{
		nc: nc, in: bufio.NewReaderSize(&patientReader{nc, silence, m.bytesIn}, bufferBytes),
		out: bufio.NewWriterSize(&patientWriter{nc, stall, m.bytesOut}, bufferBytes), maxIn: maxIn, maxOut: maxOut, stall: stall,
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// patientReader reads with a deadline that starts anew with every byte that arrives.
type patientReader struct {
	nc      net.Conn
	silence time.Duration
	bytes   prometheus.Counter
}

func (r *patientReader) Read(p []byte) (int, error) {
	if err := r.nc.SetReadDeadline(time.Now().Add(r.silence)); err != nil {
		return 0, err
	}
	n, err := r.nc.Read(p)
	r.bytes.Add(float64(n))
	return n, err
}

// patientWriter writes in pieces, each with a deadline of its own.
type patientWriter struct {
	nc    net.Conn
	stall time.Duration
	bytes prometheus.Counter
}

func (w *patientWriter) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		if err := w.nc.SetWriteDeadline(time.Now().Add(w.stall)); err != nil {
			return written, err
		}
		n, err := w.nc.Write(p[written:min(len(p), written+pieceBytes)])
		written += n
		w.bytes.Add(float64(n))
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// read returns the next frame. The body is the caller's.
func (l *link) read() (header, []byte, error) { return readFrame(l.in, l.maxIn) }

// fail ends the connection, if it has not ended already. It does not wait.
func (l *link) fail(err error) {
	l.mu.Lock()
	if l.mu.err != nil {
		l.mu.Unlock()
		return
	}
	l.mu.err = err
	l.mu.Unlock()
	close(l.done)
	l.nc.Close()
}

// cause is why the connection ended, nil while it has not.
func (l *link) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.err
}

// enqueue hands f to the writer. Nil says that it will be written unless the connection ends or it is withdrawn.
func (l *link) enqueue(f *outFrame) error {
	l.mu.Lock()
	if err := l.mu.err; err != nil {
		l.mu.Unlock()
		return err
	}
	l.mu.queue = append(l.mu.queue, f)
	l.mu.queuedBytes += len(f.buf)
	l.mu.Unlock()
	signal(l.wake)
	return nil
}

// enqueueBounded is enqueue for frames that the queue need not take: errTooMuch says that it is full.
func (l *link) enqueueBounded(f *outFrame) error {
	if l.queuedBytes() > queuedBytesMax {
		return errTooMuch
	}
	return l.enqueue(f)
}

// withdraw reports whether f has not been written and will not be.
func (l *link) withdraw(f *outFrame) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.at == frameQueued {
		f.at = frameWithdrawn
	}
	return f.at == frameWithdrawn
}

func (l *link) queuedBytes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.queuedBytes
}

// awaitRoom waits until the queue has room or the connection has ended. One goroutine at a time may wait.
func (l *link) awaitRoom() {
	for l.queuedBytes() > queuedBytesMax {
		select {
		case <-l.room:
		case <-l.done:
			return
		}
	}
}

// take empties the queue and returns the frames to write, and the bytes that were queued. Nothing is taken after the end.
func (l *link) take() ([]*outFrame, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.err != nil {
		return nil, 0
	}
	queue, bytes := l.mu.queue, 0
	l.mu.queue = nil
	for _, f := range queue {
		bytes += len(f.buf)
		if f.at == frameQueued {
			f.at = frameTaken
		}
	}
	return queue, bytes
}

// writeLoop writes what is queued, and calls onTick at every tick, until the connection has ended.
func (l *link) writeLoop(tick <-chan time.Time, onTick func()) {
	for {
		select {
		case <-tick: // also while there is always something to write
			onTick()
		default:
		}
		frames, bytes := l.take()
		if len(frames) == 0 {
			select {
			case <-l.wake:
			case <-tick:
				onTick()
			case <-l.done:
				return
			}
			continue
		}
		for _, f := range frames {
			if f.at == frameTaken { // final, once it was taken
				l.out.Write(f.buf) // an error stays and shows at the flush
			}
		}
		if err := l.out.Flush(); err != nil {
			l.fail(readable(err, l.stall, "writing"))
			return
		}
		l.mu.Lock()
		l.mu.queuedBytes -= bytes
		l.mu.Unlock()
		signal(l.room)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// readable says what an error of the network means.
func readable(err error, limit time.Duration, doing string) error {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return base.Errorf(base.Unavailable, "no progress of %s for %v", doing, limit)
	case errors.Is(err, io.EOF):
		return base.Errorf(base.Unavailable, "the other side closed the connection: %w", io.EOF)
	case base.IsKind(err, base.Corrupt):
		return err
	default:
		return base.Wrap(base.Unavailable, err)
	}
}
