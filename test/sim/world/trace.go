package world

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"
)

// Trace is what happened, in order.
type Trace struct {
	mu    sync.Mutex
	start time.Time
	hash  hash.Hash
	out   io.Writer // nil: only the hash
	count int
}

// NewTrace begins a trace. Its lines go to out, if that is not nil.
func NewTrace(out io.Writer) *Trace {
	return &Trace{start: time.Now(), hash: sha256.New(), out: out}
}

// Event adds an event.
func (t *Trace) Event(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	line := fmt.Sprintf("%12.6f ", time.Since(t.start).Seconds()) + fmt.Sprintf(format, args...) + "\n"
	t.hash.Write([]byte(line))
	if t.out != nil {
		io.WriteString(t.out, line)
	}
}

// Write is for a logger, whose lines become events.
func (t *Trace) Write(p []byte) (int, error) {
	t.Event("%s", p[:max(0, len(p)-1)])
	return len(p), nil
}

// Sum returns the number of events and their hash.
func (t *Trace) Sum() (events int, hash string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count, fmt.Sprintf("%x", t.hash.Sum(nil)[:8])
}
