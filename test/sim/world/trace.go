package world

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Trace is what happened, in order, one line an event: when, who, what. Faults and what made things whole are marked by >>>, what is wrong by !!!.
type Trace struct {
	mu    sync.Mutex
	start time.Time
	hash  hash.Hash
	out   io.Writer // nil: only the hash
	line  []byte
	count int
}

// NewTrace begins a trace. Its lines go to out, if that is not nil.
func NewTrace(out io.Writer) *Trace {
	return &Trace{start: time.Now(), hash: sha256.New(), out: out}
}

// Event adds an event. Its first word is who or what it is about.
func (t *Trace) Event(format string, args ...any) { t.add("   ", format, args...) }

// Mark adds what was done to the world.
func (t *Trace) Mark(format string, args ...any) { t.add(">>>", "world "+format, args...) }

// Wrong adds what must not happen.
func (t *Trace) Wrong(format string, args ...any) { t.add("!!!", "WRONG "+format, args...) }

func (t *Trace) add(mark, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	who, what, _ := strings.Cut(text, " ")
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	t.line = fmt.Appendf(t.line[:0], "%11.6f %s %-8s %s\n", time.Since(t.start).Seconds(), mark, who, what)
	t.hash.Write(t.line)
	if t.out != nil {
		t.out.Write(t.line)
	}
}

// Sum returns the number of events and their hash.
func (t *Trace) Sum() (events int, hash string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count, fmt.Sprintf("%x", t.hash.Sum(nil)[:8])
}

// lines makes events of what a broker logs.
type lines struct {
	trace *Trace
	name  string
	attrs string // of With
}

func (l *lines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	})
	l.trace.Event("%s %s: %s%s%s", l.name, r.Level, r.Message, l.attrs, b.String())
	return nil
}

func (l *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := *l
	for _, a := range attrs {
		more.attrs += fmt.Sprintf(" %s=%v", a.Key, a.Value)
	}
	return &more
}

func (l *lines) WithGroup(string) slog.Handler { return l }
