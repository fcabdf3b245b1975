package compact

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// Worker compacts what the catalog gives it to look after, round after round. Close ends it at once, wherever it is.
type Worker struct {
	opt     Options
	env     *Env
	lim     Limits
	metrics *metrics
	traffic Traffic
	cancel  context.CancelFunc
	asked   chan chan Report
	done    chan struct{}

	closing sync.Once

	// of the loop
	fresh   map[base.ObjectID]int64     // see Plan
	bad     map[base.ObjectID]time.Time // objects that could not be read: not before then
	settled time.Time                   // when there was last nothing left to do,
	quiet   *Object                     // and the first object of the view that showed it; nil if it was another view that was planned last
}

// Report says what a round did.
type Report struct {
	Plans        int    // plans that were made; the last one found nothing to do, unless the round was given up
	Jobs         int    // jobs that were carried out to their end
	Failed       int    // jobs that were given up
	Replaced     int    // parts of streams that were rewritten
	Skipped      int    // parts that had changed meanwhile, were trimmed or deleted
	ObjectsRead  int    // objects the finished jobs read, and
	ObjectsMade  int    // objects they made
	BytesRead    int64  // from the bucket
	BytesWritten int64  // to the bucket
	Left         int    // jobs that remain to be done
	Error        string // of the last job that was given up
}

// Start starts a worker.
func Start(opt Options) *Worker {
	opt = opt.withDefaults()
	w := &Worker{opt: opt, lim: opt.limits(), asked: make(chan chan Report), done: make(chan struct{}),
		fresh: map[base.ObjectID]int64{}, bad: map[base.ObjectID]time.Time{}, settled: opt.now()}
	w.metrics = newMetrics(opt.Registerer, &w.traffic)
	w.env = &Env{Cluster: opt.Cluster, Node: opt.Node, Store: opt.Store, Catalog: opt.Catalog, Pool: opt.Pool, Bandwidth: opt.Bandwidth, Traffic: &w.traffic}
	ctx, cancel := context.WithCancel(driver.WithPurpose(context.Background(), driver.PurposeCompaction))
	w.cancel = cancel
	go w.loop(ctx)
	return w
}

// Close stops the worker and waits until it has; requests under way are given up.
func (w *Worker) Close() {
	w.closing.Do(w.cancel)
	<-w.done
}

// Round runs a round now, after the one under way, and says what it did. The error is Closed when the worker is.
func (w *Worker) Round(ctx context.Context) (Report, error) {
	answer := make(chan Report, 1)
	select {
	case w.asked <- answer:
	case <-w.done:
		return Report{}, base.Errorf(base.Closed, "compaction is over")
	case <-ctx.Done():
		return Report{}, base.Wrap(base.Unavailable, ctx.Err())
	}
	select {
	case r := <-answer:
		return r, nil
	case <-w.done:
		return Report{}, base.Errorf(base.Closed, "compaction is over")
	case <-ctx.Done():
		return Report{}, base.Wrap(base.Unavailable, ctx.Err())
	}
}

func (w *Worker) loop(ctx context.Context) {
	defer close(w.done)
	for {
		var due <-chan time.Time
		if w.opt.Interval > 0 {
			due = time.After(w.opt.Interval*3/4 + rand.N(w.opt.Interval/2+1))
		}
		var answer chan Report
		select {
		case answer = <-w.asked:
		case <-due:
		case <-ctx.Done():
			return
		}
		r, err := w.round(ctx)
		if answer != nil {
			answer <- r
		}
		if base.IsKind(err, base.Fenced) {
			w.opt.Logger.Info("compaction ends", "err", err)
			return
		}
	}
}

// round plans and works until there is nothing left to do, or nothing comes of it. Each plan is made of an image that shows what the one before it
// has done.
func (w *Worker) round(ctx context.Context) (rep Report, err error) {
	w.metrics.rounds.Inc()
	gets, puts := w.traffic.GetBytes.Load(), w.traffic.PutBytes.Load()
	defer func() {
		rep.BytesRead, rep.BytesWritten = w.traffic.GetBytes.Load()-gets, w.traffic.PutBytes.Load()-puts
	}()
	for ctx.Err() == nil {
		v := w.opt.Catalog.Snapshot()
		if w.stillQuiet(v) {
			w.metrics.behind.Set(0)
			return rep, nil
		}
		jobs := w.plan(v)
		rep.Plans++
		if rep.Left = len(jobs); rep.Left == 0 {
			w.settled, w.quiet = w.opt.now(), first(v)
		}
		w.metrics.behind.Set(w.opt.now().Sub(w.settled).Seconds())
		if len(jobs) == 0 || rep.Plans > passesMax {
			return rep, nil
		}
		before, failures := rep.Replaced, 0
		for i := range jobs {
			if err = w.do(ctx, &jobs[i], &rep); err == nil {
				failures = 0
			} else if failures++; failures == failuresMax || ctx.Err() != nil || base.IsKind(err, base.Fenced) {
				return rep, err
			}
		}
		if rep.Replaced == before { // all of it failed, or was done by somebody else: later
			return rep, nil
		}
	}
	return rep, nil
}

// stillQuiet reports whether v is the very view of which the last plan said that there is nothing to do, and too little time has passed to make another
// of it, as objects become old. So an idle cluster costs next to nothing, however much it holds.
func (w *Worker) stillQuiet(v View) bool {
	return len(v.Objects) == 0 || w.quiet == first(v) && len(w.bad) == 0 && w.opt.now().Sub(w.settled) < w.opt.SplitAge/8
}

// first tells views apart.
func first(v View) *Object {
	if len(v.Objects) == 0 {
		return nil
	}
	return &v.Objects[0]
}

// plan plans without the objects that could not be read.
func (w *Worker) plan(v View) []Job {
	now := w.opt.now()
	w.quiet = nil
	for id, until := range w.bad {
		if now.After(until) {
			delete(w.bad, id)
		}
	}
	w.metrics.unreadable.Set(float64(len(w.bad)))
	still := make(map[base.ObjectID]int64, len(w.fresh))
	use := View{Objects: make([]Object, 0, len(v.Objects))}
	for _, o := range v.Objects {
		if live, mine := w.fresh[o.ID]; mine {
			still[o.ID] = live
		}
		if _, bad := w.bad[o.ID]; !bad {
			use.Objects = append(use.Objects, o)
		}
	}
	w.fresh = still
	jobs := Plan(use, w.lim, now.UnixMilli(), w.fresh)
	backlog := int64(0)
	for i := range jobs {
		backlog += jobs[i].Bytes
	}
	w.metrics.backlog.Set(float64(backlog))
	return jobs
}

// do carries out one job and draws the conclusions.
func (w *Worker) do(ctx context.Context, job *Job, rep *Report) error {
	began := time.Now()
	x := newExecution(w.env, job, w.lim, w.opt.cursorBytes())
	x.produced = func(objects []NewObject) {
		rep.ObjectsMade += len(objects)
		for _, o := range objects {
			w.metrics.objects.WithLabelValues(o.Kind.String()).Inc()
		}
	}
	x.settled = func(r *JobRun, v Verdict, made []NewRange) {
		w.metrics.replacements.WithLabelValues(v.String()).Inc()
		w.metrics.backlog.Sub(float64(r.Bytes))
		if v != Replaced {
			rep.Skipped++
			return
		}
		rep.Replaced++
		w.metrics.replaced.Add(float64(len(r.Pieces)))
		for _, n := range made {
			w.fresh[n.Object] += n.Bytes
		}
	}
	err := x.run(ctx)
	w.metrics.seconds.Observe(time.Since(began).Seconds())
	if err == nil {
		rep.Jobs++
		rep.ObjectsRead += len(job.Sources)
		w.metrics.jobs.WithLabelValues(job.Reason.String(), "done").Inc()
		w.opt.Logger.Debug("compacted", "rule", job.Reason, "objects", len(job.Sources), "runs", len(job.Runs), "bytes", job.Bytes, "took", time.Since(began))
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	rep.Failed++
	rep.Error = err.Error()
	w.metrics.jobs.WithLabelValues(job.Reason.String(), base.KindOf(err).String()).Inc()
	w.gaveUp(job, err)
	return err
}

// gaveUp leaves alone what could not be read. An object that is missing has been replaced by somebody whose commit this node has not seen; that
// passes. One that is damaged stays so; it is left to those who look for damage.
func (w *Worker) gaveUp(job *Job, err error) {
	var src *sourceError
	switch {
	case errors.As(err, &src) && base.IsKind(err, base.Corrupt):
		w.bad[src.id] = w.opt.now().Add(corruptPause)
		w.opt.Logger.Error("an object is damaged; compaction leaves it alone", "object", src.id, "err", err)
	case errors.As(err, &src) && base.IsKind(err, base.NotFound):
		w.bad[src.id] = w.opt.now().Add(max(w.opt.Interval, time.Minute))
		w.opt.Logger.Info("an object is gone before it could be compacted", "object", src.id, "err", err)
	default:
		w.opt.Logger.Warn("a compaction job was given up", "rule", job.Reason, "objects", len(job.Sources), "err", err)
	}
}
