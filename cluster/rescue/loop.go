package rescue

import (
	"context"
	"sync"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/wal"
)

// Worker carries out the rescues that are granted to this node. All methods are safe for concurrent use.
type Worker struct {
	opt     Options
	metrics *metrics
	piece   int64         // bytes of a piece
	room    chan struct{} // one for each piece that Memory holds
	wake    chan struct{} // a new image
	ends    chan end
	stop    context.CancelFunc
	cancel  func()        // of the subscription
	over    chan struct{} // closed when loop and jobs have ended

	mu struct {
		sync.Mutex
		pos     base.MetaPos  // the image that open follows from
		open    []entry       // rescues this node has to do
		changed chan struct{} // closed when one of them changes
		closed  bool
	}
}

// end is how a job ended.
type end struct {
	victim meta.NodeRef
	err    error
}

// Start starts a worker.
func Start(opt Options) *Worker {
	w := &Worker{opt: opt.withDefaults(), wake: make(chan struct{}, 1), ends: make(chan end), over: make(chan struct{})}
	w.metrics = newMetrics(opt.Registerer)
	w.piece = min(pieceBytes, w.opt.Memory/piecesMin)
	w.room = make(chan struct{}, w.opt.Memory/w.piece)
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
	m := &machine{self: w.opt.Self, parallel: w.opt.Parallel, local: wal.Local, retryMin: w.opt.retryMin, tasks: map[meta.NodeRef]*task{}}
	stops := map[meta.NodeRef]context.CancelFunc{} // running jobs
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		img := w.opt.Client.Image()
		acts, wake := m.step(img, w.opt.Now())
		for _, a := range acts {
			victim := a.job.rescue.Victim
			if a.stop {
				stops[victim]()
				continue
			}
			jobCtx, stop := context.WithCancel(ctx)
			stops[victim] = stop
			w.metrics.running.WithLabelValues(a.job.kind.String()).Inc()
			go func() { w.ends <- end{victim, w.do(jobCtx, a.job)} }()
		}
		w.publish(img.Pos(), m.open())
		if !wake.IsZero() {
			timer.Reset(wake.Sub(w.opt.Now()))
		} else {
			timer.Stop()
		}
		select {
		case <-w.wake:
		case <-timer.C:
		case e := <-w.ends:
			w.ended(m, stops, e)
		case <-ctx.Done():
			for len(stops) > 0 {
				w.ended(m, stops, <-w.ends)
			}
			w.finish()
			return
		}
	}
}

func (w *Worker) ended(m *machine, stops map[meta.NodeRef]context.CancelFunc, e end) {
	stops[e.victim]()
	delete(stops, e.victim)
	w.metrics.running.WithLabelValues(m.tasks[e.victim].job.kind.String()).Dec()
	m.ended(e.victim, e.err, w.opt.Now())
}

// publish lets those who wait see how things are.
func (w *Worker) publish(pos base.MetaPos, open []entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.pos, w.mu.open = pos, open
	w.metrics.open.Set(float64(len(open)))
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

// Failing returns the grants that this node cannot carry out at present, in the order of the victims.
func (w *Worker) Failing() (all []Failure) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.mu.open {
		if e.err != nil && e.grant != 0 {
			all = append(all, Failure{Victim: e.victim, Grant: e.grant, Err: e.err.Error(), Kind: base.KindOf(e.err)})
		}
	}
	return all
}

// WaitOwn waits until no rescue of an earlier epoch of this node's id is open that this node has to do. One whose WAL is out of reach
// does not hold it up; the worker goes on trying. The error is the first one that needs a person (Corrupt above all), or why ctx ended.
func (w *Worker) WaitOwn(ctx context.Context) error {
	return w.wait(ctx, func(e entry) bool { return e.victim.ID == w.opt.Self.ID })
}

// WaitAll waits as WaitOwn does, but for all rescues that this node has to do.
func (w *Worker) WaitAll(ctx context.Context) error {
	return w.wait(ctx, func(entry) bool { return true })
}

func (w *Worker) wait(ctx context.Context, of func(entry) bool) error {
	pos := w.opt.Client.Image().Pos()
	for {
		done, changed, err := w.look(pos, of)
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

// look reports whether there is nothing to wait for any more among what the machine has seen at pos or later.
func (w *Worker) look(pos base.MetaPos, of func(entry) bool) (done bool, changed <-chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	done = w.mu.pos >= pos
	for _, e := range w.mu.open {
		if !of(e) {
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
