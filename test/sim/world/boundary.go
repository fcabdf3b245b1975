package world

import (
	"strings"
	"time"
)

// A boundary is where something becomes durable: an operation of a file system or of the bucket that changes something, right before it happens or right after.
// That is what fault points in the code would stand for. Here they are in the ports: so none is forgotten, none is in the product, and a process that dies or is paused
// there does so with everything that its other goroutines have under way.
type boundary struct {
	name    string
	matches func(op, key string) bool
}

var boundaries = []boundary{
	{"anything durable", func(op, _ string) bool { return true }},
	{"slot of a WAL", func(op, key string) bool { return op == "put" && strings.HasPrefix(key, "wal/") }},
	{"slot of the metadata", func(op, key string) bool { return op == "put" && strings.HasPrefix(key, "meta/") }},
	{"object", func(op, key string) bool {
		return op == "put" && !strings.HasPrefix(key, "wal/") && !strings.HasPrefix(key, "meta/")
	}},
	{"deletion", func(op, _ string) bool { return op == "delete" || op == "disk Remove" }},
	{"block or stamp", func(op, _ string) bool { return op == "disk WriteDurable" }},
	{"token, seal or header", func(op, _ string) bool { return op == "disk Put" || op == "disk Overwrite" || op == "disk Replace" }},
	{"name of a file", func(op, _ string) bool {
		return op == "disk Create" || op == "disk Rename" || op == "disk Mkdir" || op == "disk SyncDir"
	}},
}

// ambush waits at a boundary.
type ambush struct {
	boundary
	before bool
	skip   int // it lets so many pass
	do     func()
	done   chan struct{} // closed when it has been done
}

// reach is told of every boundary that a process gets to.
func (l *life) reach(op, key string, before bool) {
	l.mu.Lock()
	a := l.ambush
	if a == nil || a.before != before || !a.matches(op, key) {
		l.mu.Unlock()
		return
	}
	if a.skip > 0 {
		a.skip--
		l.mu.Unlock()
		return
	}
	l.ambush = nil
	l.mu.Unlock()
	l.at(op, key, before)
	a.do()
	close(a.done)
}

// within is how long a boundary may take to be reached; then the next best is taken.
const within = 15 * time.Second

// withinMax is how long that is in a long world, where little happens, withinDays in one of days.
const (
	withinMax  = 10 * time.Minute
	withinDays = 12 * time.Hour
)

// patience is how long something is awaited that a dense world meets within a time d.
func (w *world) patience(d time.Duration) time.Duration {
	if w.Kind() == Days {
		return min(w.slowly(d), withinDays)
	}
	return min(w.slowly(d), withinMax)
}

// atBoundary has something happen to a broker at a boundary, and returns the broker, nil if none has got to one: whoever is cut off has nothing to write, and who leads
// nothing may have nothing either. Then all is made whole, and the others are awaited.
func (w *world) atBoundary(kind string, do func(b *broker)) *broker {
	w.ask(kind)
	first := w.in(up)[0]
	if w.awaitAt(kind, first, boundaries[w.rnd.IntN(len(boundaries))], do) || w.awaitAt(kind, first, boundaries[0], do) {
		return first
	}
	w.heal()
	for _, b := range w.in(up) {
		if w.awaitAt(kind, b, boundaries[0], do) {
			return b
		}
	}
	return nil
}

// awaitAt waits until a broker gets to a boundary.
func (w *world) awaitAt(kind string, b *broker, at boundary, do func(b *broker)) bool {
	a := &ambush{boundary: at, before: w.rnd.IntN(2) == 0, skip: w.rnd.IntN(6), do: func() { do(b) }, done: make(chan struct{})}
	w.trace.Mark("%s is awaited at %q, before=%t, after %d others", b.name, at.name, a.before, a.skip)
	b.life.wait(a)
	select {
	case <-a.done:
	case <-time.After(w.patience(within)):
		if b.life.giveUp(a) {
			return false
		}
		<-a.done
	}
	w.happens(kind)
	return true
}

func (l *life) wait(a *ambush) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ambush = a
}

// giveUp reports whether the ambush was still waiting.
func (l *life) giveUp(a *ambush) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := l.ambush == a
	l.ambush = nil
	return waiting
}
