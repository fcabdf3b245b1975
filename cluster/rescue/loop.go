package rescue

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/wal"
)

// Worker carries out the rescues that are granted to this node. All methods are safe for concurrent use.
type Worker struct {
	opt     Options
	metrics *metrics
	room    chan struct{} // one for each piece that Memory holds
	wake    chan struct{} // a new image
	ends    chan end
	stop    context.CancelFunc
	cancel  func()        // of the subscription
	over    chan struct{} // closed when loop and jobs have ended

	mu struct {
		sync.Mutex
		pos     base.MetaPos // the image that open follows from
		open    []entry      // rescues this node has to do
		failed  map[meta.NodeRef]failure
		running map[meta.NodeRef]*attempt // rescue jobs
		changed chan struct{}             // closed when one of them changes
		closed  bool
	}
}

// attempt is a job that runs.
type attempt struct {
	job  job
	stop context.CancelFunc
	beat atomic.Int64 // when it last made progress, Unix nanoseconds
}

// idle returns how long the attempt has made no progress.
func (a *attempt) idle(now time.Time) time.Duration { return now.Sub(time.Unix(0, a.beat.Load())) }

// end is how a job ended.
type end struct {
	victim meta.NodeRef
	err    error
}

// Start starts a worker.
func Start(opt Options) *Worker {
	w := &Worker{opt: opt.withDefaults(), wake: make(chan struct{}, 1), ends: make(chan end), over: make(chan struct{})}
	w.metrics = newMetrics(opt.Registerer)
	w.room = make(chan struct{}, w.opt.Memory/w.opt.piece)
	w.mu.changed = make(chan struct{})
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	w.cancel = w.opt.Client.Subscribe(func(_, _ *meta.Image) {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	})
	go w.run(ctx)
	return w
}

// Close stops all jobs, wherever they are, and waits until they have ended; not longer than 5 s for one that hangs in a system call.
func (w *Worker) Close() {
	w.cancel()
	w.stop()
	late := time.NewTimer(closeWait)
	defer late.Stop()
	select {
	case <-w.over:
	case <-late.C:
		w.opt.Logger.Error("a rescue hangs; it is left behind")
	}
}

// run is the loop: images and ends of jobs go into the machine, what it decides is done.
func (w *Worker) run(ctx context.Context) {
	m := newMachine(w.opt.Self, w.opt.Parallel, w.opt.retryMin, wal.Local)
	running := map[meta.NodeRef]*attempt{}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		img := w.opt.Client.Image()
		acts, wake := m.step(img, w.opt.Now())
		for _, a := range acts {
			w.act(ctx, m, running, a)
		}
		w.publish(img.Pos(), m, running)
		if !wake.IsZero() {
			timer.Reset(wake.Sub(w.opt.Now()))
		} else {
			timer.Stop()
		}
		select {
		case <-w.wake:
		case <-timer.C:
		case e := <-w.ends:
			w.ended(m, running, e)
		case <-ctx.Done():
			for len(running) > 0 {
				w.ended(m, running, <-w.ends)
			}
			w.finish()
			return
		}
	}
}

// act starts or stops a job.
func (w *Worker) act(ctx context.Context, m *machine, running map[meta.NodeRef]*attempt, a action) {
	victim := a.job.rescue.Victim
	if a.stop {
		at := running[victim]
		if at.job.kind == rescueJob && at.idle(w.opt.Now()) >= w.opt.stuck {
			m.stuck(victim, errStuck, w.opt.Now())
		}
		at.stop()
		return
	}
	at := &attempt{job: a.job}
	at.beat.Store(w.opt.Now().UnixNano())
	ctx, at.stop = context.WithCancel(ctx)
	running[victim] = at
	w.metrics.running.WithLabelValues(a.job.kind.String()).Inc()
	go func() { w.ends <- end{victim, w.do(ctx, at)} }()
}

var errStuck = base.Errorf(base.Unavailable, "the rescue makes no progress: the WAL or the bucket does not answer")

func (w *Worker) ended(m *machine, running map[meta.NodeRef]*attempt, e end) {
	at := running[e.victim]
	at.stop()
	delete(running, e.victim)
	w.metrics.running.WithLabelValues(at.job.kind.String()).Dec()
	m.ended(e.victim, e.err, w.opt.Now())
}

// publish lets those who wait see how things are.
func (w *Worker) publish(pos base.MetaPos, m *machine, running map[meta.NodeRef]*attempt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.pos, w.mu.open, w.mu.failed, w.mu.running = pos, m.open(), maps.Clone(m.failed), maps.Clone(running)
	w.metrics.open.Set(float64(len(w.mu.open)))
	close(w.mu.changed)
	w.mu.changed = make(chan struct{})
}

func (w *Worker) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.closed = true
	close(w.mu.changed)
	close(w.over)
}

// Failing returns the grants that this node could not carry out, in the order of the victims; also those that have gone to another node a short
// while ago, so that they do not come back before every node has had them.
func (w *Worker) Failing() (all []Failure) {
	now := w.opt.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for v, f := range w.mu.failed {
		if f.until.After(now) {
			all = append(all, Failure{Victim: v, Grant: f.grant, Err: f.err.Error(), Kind: base.KindOf(f.err)})
		}
	}
	for v, at := range w.mu.running {
		if _, known := w.mu.failed[v]; !known && at.job.kind == rescueJob && at.idle(now) >= w.opt.stuck {
			all = append(all, Failure{Victim: v, Grant: at.job.rescue.Grant, Err: errStuck.Error(), Kind: base.KindOf(errStuck)})
		}
	}
	slices.SortFunc(all, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(a.Victim.ID, b.Victim.ID), cmp.Compare(a.Victim.Epoch, b.Victim.Epoch))
	})
	return all
}

// WaitOwn waits until no rescue of an earlier epoch of this node's id is open that this node has to do. One whose WAL is out of reach
// does not hold it up; the worker goes on trying. The error is the first one that needs a person (Corrupt above all), or why ctx ended.
func (w *Worker) WaitOwn(ctx context.Context) error {
	pos := w.opt.Client.Image().Pos()
	for {
		done, changed, err := w.own(pos)
		if done || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// own reports whether the machine, which has seen pos, has nothing to do any more for earlier epochs of this node.
func (w *Worker) own(pos base.MetaPos) (done bool, changed <-chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	done = w.mu.pos >= pos
	for _, e := range w.mu.open {
		if e.victim.ID != w.opt.Self.ID {
			continue
		}
		switch fateOf(e.err) {
		case fatePerson:
			return false, nil, e.err
		case fateRetry:
			done = false
		}
	}
	if w.mu.closed && !done {
		return false, nil, base.Errorf(base.Closed, "the rescue worker is closed")
	}
	return done, w.mu.changed, nil
}
