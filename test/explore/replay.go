package explore

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Replay explores real code, goroutines and all. Its actors run inside a synctest bubble and stop at points, which the model puts before
// every request to what they share: a disk, a store. The scheduler lets one point go at a time and waits until all goroutines have
// stopped again. As goroutines cannot be cloned, a world here is the list of choices that leads to it, and is entered by running
// everything anew. What tells two worlds apart is what each actor has asked for and been answered so far, and what the model says of the shared
// state: actors are deterministic, so that is all their future depends on.
//
// The actors' own goroutines run one after the other only where they meet points; what they do between points must not depend on their order.
type Replay struct {
	// Start builds a run: it sets up whatever is shared and starts the actors with Run.Go. Points that are met before Start
	// returns do not stop.
	Start func(r *Run)
	// Key appends what is shared.
	Key func(r *Run, dst []byte) []byte
	// Check and End are those of a World. All actors are stopped at points, or at their end, meanwhile.
	Check, End func(r *Run) error
	// Clock: when nobody is at a point but actors sleep, the time moves on. Elsewhere it never does.
	Clock bool
}

// Run is one execution of a Replay.
type Run struct {
	State any // the model's own

	ctx   context.Context
	began chan struct{} // closed when points begin to stop
	last  []func()
	mu    struct {
		sync.Mutex
		on      bool
		waiting []*point
		said    map[string][]byte   // by actor: what it has asked and been answered
		fresh   map[string][]string // the same since its last point, in no order
		running int
		failed  error
	}
}

// point is an actor that has stopped.
type point struct {
	actor, name string
	group       bool // goes together with the actor's other points of that kind
	ways        []string
	way         chan int
}

// Context is what actors work under; it ends when the run is over, wherever they are.
func (r *Run) Context() context.Context { return r.ctx }

// AtEnd has f called when everything else of the run has been let go, the last one first: it ends goroutines.
func (r *Run) AtEnd(f func()) { r.last = append(r.last, f) }

// Go starts an actor, after Start. Only actors that it started count for Idle.
func (r *Run) Go(f func()) {
	r.mu.Lock()
	r.mu.running++
	r.mu.Unlock()
	go func() {
		<-r.began
		f()
		r.mu.Lock()
		r.mu.running--
		r.mu.Unlock()
	}()
}

// Point stops the actor before what it is about to do and returns which of the ways (of which there is at least one) it is to go.
func (r *Run) Point(actor, name string, ways ...string) int {
	return r.stop(&point{actor: actor, name: name, ways: ways, way: make(chan int)})
}

// Together is a Point that goes at the same moment as the actor's other ones which wait at such: for reads in parallel, in whatever
// order, where only what lies before and behind all of them matters.
func (r *Run) Together(actor, name string) {
	r.stop(&point{actor: actor, name: name, ways: []string{""}, group: true, way: make(chan int)})
}

func (r *Run) stop(p *point) int {
	r.mu.Lock()
	if !r.mu.on {
		r.mu.Unlock()
		return 0
	}
	r.mu.waiting = append(r.mu.waiting, p)
	r.mu.Unlock()
	return <-p.way
}

// Say notes what an actor was answered, or what it has come to know.
func (r *Run) Say(actor, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.fresh[actor] = append(r.mu.fresh[actor], fmt.Sprintf(format, args...))
}

// Forget replaces all that an actor was answered so far by what it has made of it: what it says is all its future depends on. Worlds that an
// actor has come to in different ways are then one.
func (r *Run) Forget(actor, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.fresh, actor)
	r.mu.said[actor] = fmt.Appendf(nil, format, args...)
}

// gatherLocked puts what an actor was answered since its last point in an order that does not depend on that of its goroutines.
func (r *Run) gatherLocked(actor string) {
	slices.Sort(r.mu.fresh[actor])
	for _, s := range r.mu.fresh[actor] {
		r.mu.said[actor] = append(append(r.mu.said[actor], s...), ';')
	}
	delete(r.mu.fresh, actor)
}

// Fail notes a violation that an actor has seen itself.
func (r *Run) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.failed == nil && r.mu.on {
		r.mu.failed = err
	}
}

// Idle reports whether all actors have come to their end.
func (r *Run) Idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.running == 0
}

// choices returns what can happen next, in an order that does not depend on that of goroutines.
func (r *Run) choices() (points []*point, ways []int, names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortFunc(r.mu.waiting, func(a, b *point) int {
		return strings.Compare(a.actor+"\x00"+a.name, b.actor+"\x00"+b.name)
	})
	for i, p := range r.mu.waiting {
		if p.group && slices.ContainsFunc(r.mu.waiting[:i], func(q *point) bool { return q.group && q.actor == p.actor }) {
			continue
		}
		for w, name := range p.ways {
			points, ways, names = append(points, p), append(ways, w), append(names, p.actor+": "+p.name+name)
		}
	}
	return points, ways, names
}

func (r *Run) release(p *point, way int) {
	r.mu.Lock()
	let := []*point{p}
	r.mu.waiting = slices.DeleteFunc(r.mu.waiting, func(q *point) bool {
		if q != p && p.group && q.group && q.actor == p.actor {
			let = append(let, q)
			return true
		}
		return q == p
	})
	r.gatherLocked(p.actor)
	slices.SortFunc(let, func(a, b *point) int { return strings.Compare(a.name, b.name) })
	for _, q := range let {
		r.mu.said[q.actor] = fmt.Appendf(r.mu.said[q.actor], "%s/%d:", q.name, way)
	}
	r.mu.Unlock()
	for _, q := range let {
		q.way <- way
	}
}

// settle waits until everybody has stopped.
func (r *Run) settle(clock bool) {
	for range 100 {
		synctest.Wait()
		r.mu.Lock()
		stuck := len(r.mu.waiting) == 0 && r.mu.running > 0
		r.mu.Unlock()
		if !stuck || !clock {
			return
		}
		time.Sleep(time.Second)
	}
}

// drain lets everything run to its end.
func (r *Run) drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.on = false
	for _, p := range r.mu.waiting {
		close(p.way)
	}
	r.mu.waiting = nil
}

// replayed is a world of a Replay.
type replayed struct {
	t     *testing.T
	m     *Replay
	path  []uint16
	known bool
	key   []byte
	names []string
	err   error // of Check
	end   error // of End, if there is nothing to choose
}

// Explore runs the model up to the limit.
func (m *Replay) Explore(t *testing.T, limit Limit) Result {
	return Walk(&replayed{t: t, m: m}, limit)
}

func (w *replayed) Clone() *replayed { return &replayed{t: w.t, m: w.m, path: slices.Clone(w.path)} }

func (w *replayed) AppendKey(dst []byte) []byte {
	w.execute()
	return append(dst, w.key...)
}

func (w *replayed) Check() error { return w.err }
func (w *replayed) End() error   { return w.end }

func (w *replayed) Steps(add Add[*replayed]) {
	w.execute()
	for i, name := range w.names {
		add(func(w *replayed) error {
			w.path, w.known = append(w.path, uint16(i)), false
			return nil
		}, "%s", name)
	}
}

// execute runs everything anew up to this world.
func (w *replayed) execute() {
	if w.known {
		return
	}
	w.known = true
	synctest.Test(w.t, func(*testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		r := &Run{ctx: ctx, began: make(chan struct{})}
		r.mu.said, r.mu.fresh = map[string][]byte{}, map[string][]string{}
		w.m.Start(r)
		r.mu.Lock()
		r.mu.on = true
		r.mu.Unlock()
		close(r.began)
		r.settle(w.m.Clock)
		for i, c := range w.path {
			points, ways, names := r.choices()
			if int(c) >= len(points) {
				panic(fmt.Sprintf("BUG: explore: choice %d of the run is %d of %q: the run is not deterministic", i, c, names))
			}
			r.release(points[c], ways[c])
			r.settle(w.m.Clock)
		}
		_, _, w.names = r.choices()
		w.look(r)
		cancel()
		r.drain()
		for i := 0; i < 1000 && !r.Idle(); i++ {
			time.Sleep(time.Second) // virtual
		}
		for _, f := range slices.Backward(r.last) {
			f()
		}
	})
}

// look takes down what there is to know of a world.
func (w *replayed) look(r *Run) {
	r.mu.Lock()
	for a := range r.mu.fresh {
		r.gatherLocked(a)
	}
	h := fnv.New128a()
	actors := make([]string, 0, len(r.mu.said))
	for a := range r.mu.said {
		actors = append(actors, a)
	}
	slices.Sort(actors)
	for _, a := range actors {
		fmt.Fprintf(h, "%s %d ", a, len(r.mu.said[a]))
		h.Write(r.mu.said[a])
	}
	for _, name := range w.names {
		io.WriteString(h, name+"\n")
	}
	w.err = r.mu.failed
	r.mu.Unlock()
	w.key = w.m.Key(r, h.Sum(nil))
	if w.err == nil {
		w.err = w.m.Check(r)
	}
	if len(w.names) == 0 {
		w.end = w.m.End(r)
	}
}
