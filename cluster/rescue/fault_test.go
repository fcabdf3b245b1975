package rescue

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/storage/objstore"
	"sluice/storage/wal"
)

// session is what a rescuer sees of the world. Each request that has an effect, and each reading one, is an event; at one of them the
// rescuer dies, pauses, or goes on with a request that hangs somewhere and happens later.
type session struct {
	control.Client
	objstore.Store

	mu struct {
		sync.Mutex
		events int
		dead   bool
		late   []func()
		frozen *meta.Image
	}
	at   int // the event at which it happens, from 1; 0: never
	mode mode
	met  chan struct{} // closed when it happens
	gone chan struct{} // pauses end when it is closed
}

type mode int

const (
	dieBefore mode = iota // the request is not sent
	dieAfter              // it is carried out, nobody hears the answer
	dieLate               // it is carried out when deliver is called
	pauseHere             // nothing dies: the rescuer sleeps, and knows nothing of the cluster from then on but what is answered to it
	modes     = iota
)

func (m mode) String() string { return [...]string{"before", "after", "late", "pause"}[m] }

func newSession(w *world, at int, m mode) *session {
	return &session{Client: w, Store: w.store, at: at, mode: m, met: make(chan struct{}), gone: make(chan struct{})}
}

// event does a request, or what the session has in store.
func (s *session) event(ctx context.Context, do func() error) error {
	s.mu.Lock()
	s.mu.events++
	hit, dead := s.mu.events == s.at, s.mu.dead
	if hit && s.mode != pauseHere {
		s.mu.dead = true
	}
	if hit && s.mode == dieLate {
		s.mu.late = append(s.mu.late, func() { do() })
	}
	if hit && s.mode == pauseHere {
		s.mu.frozen = s.Client.Image()
	}
	s.mu.Unlock()
	switch {
	case hit && s.mode == pauseHere:
		close(s.met)
		<-s.gone
		return do()
	case hit && s.mode == dieAfter:
		do()
	case !dead && !hit:
		return do()
	}
	if hit {
		close(s.met)
	}
	<-ctx.Done()
	return base.Wrap(base.Undetermined, ctx.Err())
}

// deliver lets what hangs happen.
func (s *session) deliver() {
	s.mu.Lock()
	late := s.mu.late
	s.mu.late = nil
	s.mu.Unlock()
	for _, f := range late {
		f()
	}
}

func (s *session) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.events
}

func (s *session) Submit(ctx context.Context, c meta.Command) (res meta.Result, err error) {
	err = s.event(ctx, func() (err error) {
		res, err = s.Client.Submit(context.WithoutCancel(ctx), c)
		return err
	})
	return res, err
}

func (s *session) Image() *meta.Image {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.frozen != nil {
		return s.mu.frozen
	}
	return s.Client.Image()
}

func (s *session) Put(ctx context.Context, key string, body [][]byte, opt objstore.PutOptions) error {
	var kept [][]byte // what hangs in the network is a copy
	for _, b := range body {
		kept = append(kept, append([]byte(nil), b...))
	}
	return s.event(ctx, func() error { return s.Store.Put(context.WithoutCancel(ctx), key, kept, opt) })
}

func (s *session) Get(ctx context.Context, key string, off, n int64, dst []byte) (b []byte, err error) {
	b = dst
	err = s.event(ctx, func() (err error) {
		b, err = s.Store.Get(context.WithoutCancel(ctx), key, off, n, dst)
		return err
	})
	return b, err
}

func (s *session) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Info, error] {
	if err := s.event(ctx, func() error { return nil }); err != nil {
		return func(yield func(objstore.Info, error) bool) { yield(objstore.Info{}, err) }
	}
	return s.Store.List(ctx, prefix, after)
}

func (s *session) Delete(ctx context.Context, keys ...string) error {
	return s.event(ctx, func() error { return s.Store.Delete(context.WithoutCancel(ctx), keys...) })
}

func (s *session) String() string { return s.Store.String() }

// rescuer starts a worker in the session, with pieces so small that there are several.
func (s *session) rescuer(w *world, ref meta.NodeRef) *Worker {
	return w.rescuer(ref, func(o *Options) {
		o.Client, o.Store, o.piece, o.SOBytes = s, s, 64<<10, 40<<10
		o.WAL = func() wal.Options {
			opt := w.walOptions()
			opt.Store = s
			return opt
		}
		o.at = func(ctx context.Context, _ string) error { return s.event(ctx, func() error { return nil }) }
	})
}

// victim is a dead broker with a WAL of several pieces, part of which it uploaded.
func (w *world) victim(class string) *broker {
	b := newBroker(w, w.formatted(class), base.NoNode, 3, 1<<30)
	for i := range 8 {
		if i == 2 {
			must(w.t, b.engine.Flush(context.Background()))
		}
		b.produce(10, 3000)
	}
	b.crash()
	b.fence()
	return b
}

func (w *world) noLeak() {
	w.t.Helper()
	if n := w.pool.InUse(); n != 0 {
		w.t.Errorf("%d bytes of buffers are still in use", n)
	}
}

// TestKilled kills a rescuer at each of its requests: before it is sent, after it was carried out, or so that it is carried out when the next
// rescuer has begun, or is done. Whatever the first one did, the next one brings everything back, once.
func TestKilled(t *testing.T) {
	eachClass(t, func(t *testing.T, class string) {
		w := newWorld(t)
		s := newSession(w, 0, dieBefore)
		b := w.victim(class)
		self := w.register("s3", base.NoNode)
		w.grant(b.ref, self)
		r := s.rescuer(w, self)
		b.rescued(3000)
		r.Close()
		w.noLeak()
		total := s.count()
		t.Logf("a rescue has %d events", total)
		step := 1
		if testing.Short() {
			step = 5
		}
		for at := 1; at <= total; at += step {
			for m := dieBefore; m <= dieLate; m++ {
				t.Run(fmt.Sprintf("%v%d", m, at), func(t *testing.T) { killed(t, class, at, m) })
			}
		}
	})
}

func killed(t *testing.T, class string, at int, m mode) {
	w := newWorld(t)
	b := w.victim(class)
	first, second := w.register("s3", base.NoNode), w.register("s3", base.NoNode)
	do[meta.Done](t, w, &meta.NameController{Node: second})
	w.grant(b.ref, first)
	s := newSession(w, at, m)
	r := s.rescuer(w, first)
	select {
	case <-s.met:
	case <-goneOf(w, b.ref): // this time it took fewer requests
	}
	r.Close()
	if at%2 == 0 {
		s.deliver()
	}
	do[meta.Done](t, w, &meta.FenceNode{Node: first, Why: "killed"})
	for _, v := range rescuesOf(w.Image()) {
		if v.State != meta.RescueDone {
			w.grant(v.Victim, second)
		}
	}
	next := newSession(w, 0, m).rescuer(w, second)
	b.rescued(3000)
	s.deliver()
	b.check(3000)
	w.until("the killed rescuer's own rescue", func(img *meta.Image) bool { return img.RescueCount() == 0 })
	next.Close()
	w.noLeak()
}

// goneOf returns a channel that is closed when nothing is left of a rescue.
func goneOf(w *world, victim meta.NodeRef) <-chan struct{} {
	gone := make(chan struct{})
	var once sync.Once
	look := func(_, img *meta.Image) {
		if _, still := img.Rescue(victim); !still {
			once.Do(func() { close(gone) })
		}
	}
	w.Subscribe(look)
	look(nil, w.Image())
	return gone
}

// TestAllKilled kills one rescuer after the other at a random request, in any way, until one is left alive.
func TestAllKilled(t *testing.T) {
	for seed := range uint64(20) {
		class := classes[seed%2]
		t.Run(fmt.Sprintf("%s%d", class, seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			w := newWorld(t)
			b := w.victim(class)
			var sessions []*session
			for range 4 {
				ref := w.register("s3", base.NoNode)
				do[meta.Done](t, w, &meta.NameController{Node: ref})
				if r, ok := w.Image().Rescue(b.ref); ok && r.State != meta.RescueDone {
					w.grant(b.ref, ref)
				} else if !ok {
					break
				}
				s := newSession(w, 1+rng.IntN(40), mode(rng.IntN(int(pauseHere))))
				r := s.rescuer(w, ref)
				select {
				case <-s.met:
				case <-goneOf(w, b.ref):
				}
				r.Close()
				sessions = append(sessions, s)
				if rng.IntN(2) == 0 {
					sessions[rng.IntN(len(sessions))].deliver()
				}
				do[meta.Done](t, w, &meta.FenceNode{Node: ref, Why: "killed"})
			}
			last := w.register("s3", base.NoNode)
			do[meta.Done](t, w, &meta.NameController{Node: last})
			if r, ok := w.Image().Rescue(b.ref); ok && r.State != meta.RescueDone {
				w.grant(b.ref, last)
			}
			r := newSession(w, 0, dieBefore).rescuer(w, last)
			b.rescued(3000)
			for _, s := range sessions {
				s.deliver()
			}
			b.check(3000)
			r.Close()
			w.noLeak()
		})
	}
}

// TestVoidGrant puts a rescuer to sleep at each of its requests; the grant goes to another, which does everything; then the first one wakes
// up with its old image and goes on. Nothing of what it does then counts.
func TestVoidGrant(t *testing.T) {
	eachClass(t, func(t *testing.T, class string) {
		step := 1
		if testing.Short() {
			step = 5
		}
		for at := 1; ; at += step {
			more := true
			t.Run(fmt.Sprint(at), func(t *testing.T) { more = voidGrant(t, class, at) })
			if !more || t.Failed() {
				return
			}
		}
	})
}

// voidGrant returns false when a rescue has fewer requests.
func voidGrant(t *testing.T, class string, at int) bool {
	w := newWorld(t)
	b := w.victim(class)
	first, second := w.register("s3", base.NoNode), w.register("s3", base.NoNode)
	w.grant(b.ref, first)
	s := newSession(w, at, pauseHere)
	r := s.rescuer(w, first)
	defer r.Close()
	select {
	case <-s.met:
	case <-goneOf(w, b.ref):
		close(s.gone)
		return false
	}
	completed := false
	if v, ok := w.Image().Rescue(b.ref); ok && v.State != meta.RescueDone {
		w.grant(b.ref, second)
	} else {
		completed = true // what is left is for the first one to do
	}
	next := newSession(w, 0, dieBefore).rescuer(w, second)
	defer next.Close()
	if !completed {
		b.rescued(3000)
		before := w.streams(b)
		close(s.gone)
		r.until(t, "the void grant is found out", func() bool { return len(r.mu.open) > 0 && r.mu.open[0].err != nil })
		if after := w.streams(b); !slices.Equal(before, after) || w.Image().RescueCount() != 0 {
			t.Fatalf("the sleeper had an effect: %+v, before %+v; rescues %+v", after, before, rescuesOf(w.Image()))
		}
	} else {
		close(s.gone)
		b.rescued(3000)
	}
	b.check(3000)
	return true
}

// streams describes the streams of a broker.
func (w *world) streams(b *broker) (all []string) {
	img := w.Image()
	for _, old := range b.streams {
		s, _ := img.Stream(old.ID())
		all = append(all, fmt.Sprintf("%d: %v, epoch %d of %d-%d, [%d, %d), %d bytes in %d ranges", s.ID, s.State, s.Epoch, s.Owner, s.OwnerEpoch, s.Start, s.CommittedEnd, s.Bytes, s.Ranges()))
	}
	return all
}

// until waits for what the worker has published.
func (w *Worker) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	defer cancel()
	for {
		w.mu.Lock()
		done, changed := ok(), w.mu.changed
		w.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%s: not within %v", what, waitMax)
		}
	}
}

// TestLateCommit: a commit of an attempt that was given up takes effect late, under the number of the present attempt's first piece, and ends
// elsewhere. The present attempt is told that its piece is a duplicate; it must not believe that the piece is committed.
func TestLateCommit(t *testing.T) {
	eachClass(t, func(t *testing.T, class string) {
		w := newWorld(t)
		b := w.victim(class)
		self := w.register("s3", base.NoNode)
		w.grant(b.ref, self)
		late := false
		w.setAround(func(_ context.Context, cmd meta.Command, decide func() (meta.Result, error)) (meta.Result, error) {
			if c, ok := cmd.(*meta.CommitUpload); ok && !late {
				late = true
				if _, err := w.decide(&meta.CommitUpload{Node: c.Node, Grant: c.Grant, Number: c.Number}); err != nil {
					t.Error(err)
				}
			}
			return decide()
		})
		r := newSession(w, 0, dieBefore).rescuer(w, self)
		defer r.Close()
		b.rescued(3000)
		if !late {
			t.Fatal("there was no commit")
		}
	})
}
