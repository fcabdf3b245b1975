package peer

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
)

// link is one connection after its handshake, as both sides see it: a reader that gives up when it hears nothing, and a queue of
// frames with one writer. Whoever puts a frame into the queue never waits for the network. A frame that the writer has taken may reach
// the other side; one that it has not taken never will.
type link struct {
	nc        net.Conn
	in        *bufio.Reader
	out       *bufio.Writer // the writer's
	maxIn     int           // bytes of a body
	maxOut    int           // as the other side wants it
	stall     time.Duration // see limits
	queuedMax int           // see limits
	wake      chan struct{} // holds one: something was queued
	room      chan struct{} // holds one: something was written
	done      chan struct{} // closed when the connection has ended

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

func newLink(nc net.Conn, maxIn, maxOut int, silence time.Duration, lim limits, m *metrics) *link {
	w := &patientWriter{nc: nc, stall: lim.stall, bytes: m.bytesOut, born: time.Now()}
	return &link{
		nc: nc, in: bufio.NewReaderSize(&patientReader{nc, silence, m.bytesIn, w}, bufferBytes),
		out: bufio.NewWriterSize(w, bufferBytes), maxIn: maxIn, maxOut: maxOut, stall: lim.stall, queuedMax: lim.queuedBytes,
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// patientReader reads until nothing has arrived for the silence limit. Much that was written counts as well as what arrived: while a large
// frame makes its way to the other side, a ping waits behind it and nothing need come back. Little does not count, since the kernel takes
// it for a peer that is gone.
type patientReader struct {
	nc      net.Conn
	silence time.Duration
	bytes   prometheus.Counter
	writer  *patientWriter
}

func (r *patientReader) Read(p []byte) (int, error) {
	alive := time.Now()
	for {
		if err := r.nc.SetReadDeadline(alive.Add(r.silence)); err != nil {
			return 0, err
		}
		n, err := r.nc.Read(p)
		r.bytes.Add(float64(n))
		if progress := r.writer.progress(); n == 0 && isTimeout(err) && progress.After(alive) {
			alive = progress
			continue
		}
		return n, err
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// patientWriter writes in pieces, each with a deadline of its own.
type patientWriter struct {
	nc        net.Conn
	stall     time.Duration
	bytes     prometheus.Counter
	born      time.Time
	uncounted int          // bytes written since moved was set
	moved     atomic.Int64 // nanoseconds after born, when the last pieceBytes were complete
}

// progress is when the last pieceBytes were complete.
func (w *patientWriter) progress() time.Time { return w.born.Add(time.Duration(w.moved.Load())) }

func (w *patientWriter) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		if err := w.nc.SetWriteDeadline(time.Now().Add(w.stall)); err != nil {
			return written, err
		}
		n, err := w.nc.Write(p[written:min(len(p), written+pieceBytes)])
		written += n
		w.bytes.Add(float64(n))
		if w.uncounted += n; w.uncounted >= pieceBytes {
			w.uncounted = 0
			w.moved.Store(int64(time.Since(w.born)))
		}
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
	if l.queuedBytes() > l.queuedMax {
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
	for l.queuedBytes() > l.queuedMax {
		select {
		case <-l.room:
		case <-l.done:
			return
		}
	}
}

// take removes the next frames to write from the queue, batchBytes of them and what is begun, and returns them and their bytes. Nothing is
// taken after the end.
func (l *link) take() ([]*outFrame, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.err != nil {
		return nil, 0
	}
	n, bytes := 0, 0
	for ; n < len(l.mu.queue) && bytes < batchBytes; n++ {
		f := l.mu.queue[n]
		bytes += len(f.buf)
		if f.at == frameQueued {
			f.at = frameTaken
		}
	}
	frames := l.mu.queue[:n]
	if l.mu.queue = l.mu.queue[n:]; len(l.mu.queue) == 0 {
		l.mu.queue = nil
	}
	return frames, bytes
}

// writeLoop writes what is queued until the connection has ended. At every tick it writes what onTick returns, before what is
// queued but together with some of it, so that neither waits for ever for the other on a slow link.
func (l *link) writeLoop(tick <-chan time.Time, onTick func() []byte) {
	for {
		var urgent []byte
		select {
		case <-tick: // also while there is always something to write
			urgent = onTick()
		default:
		}
		frames, bytes := l.take()
		if len(frames) == 0 && len(urgent) == 0 {
			select {
			case <-l.wake:
				continue
			case <-tick:
				urgent = onTick()
			case <-l.done:
				return
			}
		}
		l.out.Write(urgent) // an error stays and shows at the flush
		for i, f := range frames {
			if f.at == frameTaken { // final, once it was taken
				l.out.Write(f.buf)
			}
			frames[i] = nil // the queue goes on in the same memory
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
	switch {
	case isTimeout(err):
		return base.Errorf(base.Unavailable, "no progress of %s for %v", doing, limit)
	case errors.Is(err, io.EOF):
		return base.Errorf(base.Unavailable, "the other side closed the connection: %w", io.EOF)
	case base.IsKind(err, base.Corrupt):
		return err
	default:
		return base.Wrap(base.Unavailable, err)
	}
}
