package stream

import (
	"context"
	"slices"
	"sync"
	"time"

	"sluice/base"
)

// gate makes appends wait, first come first served, while there is no room for their bytes.
//
// It is a gate and keeps no reservations: between being admitted and being appended a request is counted nowhere, so that a request
// that is refused after its admission has nothing to give back and nothing can leak. The overshoot is at most the bytes of the
// requests that are being validated at one moment, which the broker's memory budget bounds. Only waiters that are let in together
// are counted, for regrantAfter: there may be many of them.
type gate struct {
	room func(granted, bytes int64) bool
	mu   struct {
		sync.Mutex
		waiters []*waiter
		granted int64 // bytes of waiters let in since the timer was started
		timer   *time.Timer
		err     error
	}
}

// regrantAfter is how long waiters that were let in are counted, by which time they have appended.
const regrantAfter = 10 * time.Millisecond

type waiter struct {
	bytes int
	ready chan error // one result, buffered
}

// enter admits a request, or queues it and returns the waiter.
func (g *gate) enter(bytes int) (*waiter, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.err != nil {
		return nil, g.mu.err
	}
	if len(g.mu.waiters) == 0 && g.room(g.mu.granted, int64(bytes)) {
		return nil, nil
	}
	w := &waiter{bytes: bytes, ready: make(chan error, 1)}
	g.mu.waiters = append(g.mu.waiters, w)
	return w, nil
}

// wake admits waiters from the head of the queue while there is room for all of them together.
func (g *gate) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.mu.waiters) > 0 {
		w := g.mu.waiters[0]
		if !g.room(g.mu.granted, int64(w.bytes)) {
			return
		}
		g.mu.granted += int64(w.bytes)
		if g.mu.timer == nil {
			g.mu.timer = time.AfterFunc(regrantAfter, g.regrant)
		}
		g.mu.waiters[0] = nil
		g.mu.waiters = g.mu.waiters[1:]
		w.ready <- nil
	}
	g.mu.waiters = nil
}

// regrant forgets what was granted and looks again: those let in may have appended nothing.
func (g *gate) regrant() {
	g.mu.Lock()
	g.mu.granted, g.mu.timer = 0, nil
	g.mu.Unlock()
	g.wake()
}

// leave takes a waiter out of the queue that waits no longer.
func (g *gate) leave(w *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.mu.waiters, w); i >= 0 {
		g.mu.waiters = slices.Delete(g.mu.waiters, i, i+1)
	}
}

// fail refuses everybody from now on.
func (g *gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.err == nil {
		g.mu.err = err
	}
	if g.mu.timer != nil {
		g.mu.timer.Stop()
	}
	for _, w := range g.mu.waiters {
		w.ready <- g.mu.err
	}
	g.mu.waiters = nil
}

func (g *gate) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.mu.waiters)
}

// room reports whether the WAL cache and the WAL have room for bytes beside those granted a moment ago. Something always fits into an
// empty engine.
func (e *Engine) room(granted, bytes int64) bool {
	used := granted + e.pressing()
	if used > 0 && used+bytes > e.limit(e) {
		return false
	}
	held, capacity := e.log.Used()+granted, e.log.Capacity()
	return capacity <= 0 || held == 0 || held+bytes+walSlackBytes <= capacity
}

// Admit waits until the WAL cache and the WAL have room for bytes. It is called once per request, before offsets are assigned. Room
// comes back when blocks are uploaded and committed. The error is Full when ctx ends first, else why the engine takes no more appends.
func (e *Engine) Admit(ctx context.Context, bytes int) error {
	w, err := e.gate.enter(bytes)
	if w == nil {
		return err
	}
	began := time.Now()
	e.metrics.admitWaits.Inc()
	defer func() { e.metrics.admitSeconds.Observe(time.Since(began).Seconds()) }()
	e.OnFull() // what waits may be less than what starts an upload by itself
	if e.short(int64(bytes)) {
		for _, o := range e.all() {
			o.OnFull()
		}
	}
	e.gate.wake()
	select {
	case err := <-w.ready:
		return err
	case <-ctx.Done():
		e.gate.leave(w)
		e.gate.wake()
		return base.Errorf(base.Full, "no room for %d bytes in the WAL or its cache: %w", bytes, ctx.Err())
	}
}
