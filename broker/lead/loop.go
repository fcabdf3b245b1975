package lead

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/broker/topicconfig"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
)

// Leader keeps this node's partitions in step with the image.
type Leader struct {
	opt     Options
	dir     *Directory
	parts   *partition.Metrics
	metrics *metrics

	ctx         context.Context // ends when CloseAll begins; of the jobs, not of a request
	cancel      context.CancelFunc
	handCtx     context.Context // of hand-overs that were submitted: ends with the context of CloseAll
	handCancel  context.CancelFunc
	unsubscribe func()
	wg          sync.WaitGroup
	delivered   atomic.Uint64 // the newest image that the subscription brought
	wake        chan struct{} // there is something in inbox
	announce    chan *job
	openers     chan struct{} // semaphores
	loads       chan struct{}
	takes       chan struct{}
	loading     atomic.Int32 // partitions handed over whose load is under way
	closers     chan struct{}

	inbox struct {
		sync.Mutex
		img     *meta.Image
		results []result
		moved   []moved
		waiters []chan struct{} // of WaitServing
	}

	// Owned by the loop, and by CloseAll once the loop has ended.
	m        *machine
	attached map[meta.PartitionID]*job // with open streams: serving, or to be tried again
	configs  map[base.UUID]config
	moving   bool // a batch of moves is under way
	pauses   map[meta.PartitionID]pause
}

// job takes one partition from wanted to announced.
type job struct {
	id         meta.PartitionID
	name       string
	open       meta.Partition // as opened
	data, meta partition.Log
	p          *partition.Partition // nil until loaded
	began      time.Time            // of the open

	told     bool      // the loop's: OnServing was called after the last OnClosed
	pausedAt time.Time // the loop's: when a move stopped appends
}

// result is how a job ended.
type result struct {
	job *job
	err error
}

// config is the parsed configuration of a topic.
type config struct {
	pos    base.MetaPos
	parsed *topicconfig.Config
}

// Start begins to follow the image. It does not wait for partitions to be open; see WaitServing.
func Start(opt Options) *Leader {
	opt = opt.withDefaults()
	l := &Leader{
		opt: opt, dir: newDirectory(opt.Node.ID, opt.Client.Image), parts: partition.NewMetrics(opt.Registerer), metrics: newMetrics(opt.Registerer),
		wake: make(chan struct{}, 1), announce: make(chan *job, opt.BatchMax),
		openers: make(chan struct{}, opt.Openers), loads: make(chan struct{}, opt.Loads), takes: make(chan struct{}, opt.Takes),
		closers:  make(chan struct{}, opt.Closers),
		m:        newMachine(opt.Node, opt.RetryMin, opt.RetryMax),
		attached: map[meta.PartitionID]*job{}, configs: map[base.UUID]config{}, pauses: map[meta.PartitionID]pause{},
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.handCtx, l.handCancel = context.WithCancel(context.Background())
	l.inbox.img = opt.Client.Image()
	l.delivered.Store(uint64(l.inbox.img.Pos()))
	l.unsubscribe = opt.Client.Subscribe(func(_, img *meta.Image) {
		l.delivered.Store(uint64(img.Pos()))
		l.takeImage(img)
	})
	l.signal()
	l.wg.Add(2)
	go l.loop()
	go l.announcer()
	return l
}

// Directory finds open partitions.
func (l *Leader) Directory() *Directory { return l.dir }

// takeImage leaves an image for the loop; one that is still there is skipped, its changes are not.
func (l *Leader) takeImage(img *meta.Image) {
	l.inbox.Lock()
	switch before := l.inbox.img; {
	case before == nil:
		l.inbox.img = img
	case img.Pos() > before.Pos():
		l.inbox.img = img.MergedWith(before)
	}
	l.inbox.Unlock()
	l.signal()
	l.dir.changed.wake()
}

// finish leaves results for the loop. They are judged against an image that holds what the jobs did: the subscription may lag behind
// the answers to their commands.
func (l *Leader) finish(rs ...result) {
	l.takeImage(l.opt.Client.Image())
	l.inbox.Lock()
	l.inbox.results = append(l.inbox.results, rs...)
	l.inbox.Unlock()
	l.signal()
}

func (l *Leader) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// WaitServing waits until every partition that the newest image gives this node serves.
func (l *Leader) WaitServing(ctx context.Context) error {
	c := make(chan struct{})
	l.takeImage(l.opt.Client.Image())
	l.inbox.Lock()
	l.inbox.waiters = append(l.inbox.waiters, c)
	l.inbox.Unlock()
	l.signal()
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return base.Wrap(base.Unavailable, ctx.Err())
	case <-l.ctx.Done():
		return base.Errorf(base.Closed, "the node is shutting down")
	}
}

func (l *Leader) loop() {
	defer l.wg.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-l.wake:
		case <-timer.C:
		case <-l.ctx.Done():
			return
		}
		timer.Reset(l.step())
	}
}

// step handles everything that has come in, and says when to look again at the latest.
func (l *Leader) step() time.Duration {
	l.inbox.Lock()
	img, results, moved := l.inbox.img, l.inbox.results, l.inbox.moved
	l.inbox.img, l.inbox.results, l.inbox.moved = nil, nil, nil
	l.inbox.Unlock()

	var a actions
	if img != nil && (l.m.img == nil || img.Pos() > l.m.img.Pos()) {
		a = l.m.observe(img)
		l.measurePauses()
	}
	l.end(a.end)
	a.end = nil
	l.reconfigure(&a)
	l.applied()
	l.take(results, &a)
	l.takeMoved(moved, &a)
	l.end(a.end)
	next := sooner(l.m.due(l.opt.Now(), &a), l.beginMoves())
	l.start(a.open)
	l.adopt(a.take)
	l.metrics.observe(l.m)
	l.answerWaiters()
	if next.IsZero() {
		return time.Hour
	}
	return max(0, next.Sub(l.opt.Now()))
}

// applied tells who waits for it which image is in force: its configurations are with the partitions, and whoever subscribed before this leader
// has been given it. Jobs may bring images earlier than the subscription.
func (l *Leader) applied() {
	if l.m.img == nil {
		return
	}
	if pos := min(uint64(l.m.img.Pos()), l.delivered.Load()); l.dir.applied.Swap(pos) != pos {
		l.dir.changed.wake()
	}
}

// sooner returns the earlier of two times, of which zero means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// answerWaiters tells WaitServing that all is open.
func (l *Leader) answerWaiters() {
	if l.m.count[working]+l.m.count[waiting] > 0 {
		return
	}
	l.inbox.Lock()
	defer l.inbox.Unlock()
	if l.inbox.img != nil || len(l.inbox.results) > 0 {
		return // there is news
	}
	for _, c := range l.inbox.waiters {
		close(c)
	}
	l.inbox.waiters = nil
}

// take handles the jobs that have ended: those in time go into the directory together.
func (l *Leader) take(results []result, a *actions) {
	var come []change
	var late []*job
	for _, r := range results {
		j := r.job
		switch {
		case r.err != nil:
			l.metrics.failures.Inc()
			l.opt.Logger.Warn("partition not opened; will be tried again", "topic", j.name, "partition", j.id.Index, "err", r.err)
			if !l.m.failed(j.id, j.epoch(), l.opt.Now(), rand.Float64(), a) {
				late = append(late, j)
			} else if j.data != nil {
				l.attached[j.id] = j // keeps the open, repeats the rest
			}
		case l.m.served(j.id, j.epoch(), a):
			l.attached[j.id] = j
			j.p.SetConfig(l.config(j.id.Topic))
			l.metrics.open.Observe(time.Since(j.began).Seconds())
			come = append(come, change{j.p, true})
		default:
			late = append(late, j)
		}
	}
	l.drop(late)
	if len(come) == 0 {
		return
	}
	l.dir.apply(come)
	for _, c := range come {
		topic, _, index := c.p.ID()
		l.tell(l.attached[meta.PartitionID{Topic: topic, Index: index}], true)
	}
}

// tell calls OnServing and OnClosed, in turns.
func (l *Leader) tell(j *job, serves bool) {
	switch {
	case j.told == serves:
	case serves:
		j.told = true
		l.opt.OnServing(j.p)
	default:
		j.told = false
		l.opt.OnClosed(j.p)
	}
}

func (j *job) epoch() base.StreamEpoch {
	if j.data == nil {
		return -1
	}
	return j.open.LeaderEpoch
}

// end takes partitions out of service.
func (l *Leader) end(ends []meta.PartitionID) {
	var gone []change
	var jobs []*job
	for _, id := range ends {
		j := l.attached[id]
		if j == nil {
			continue // it failed before its streams were open
		}
		delete(l.attached, id)
		if j.p != nil && j.p.Paused() {
			l.pauses[id] = pause{j.pausedAt, j.epoch()}
		}
		if jobs = append(jobs, j); l.dir.view.Load().byID[id.Topic].at(id.Index) == j.p && j.p != nil {
			gone = append(gone, change{j.p, false})
		}
	}
	if len(gone) > 0 {
		l.dir.apply(gone)
	}
	for _, j := range jobs {
		l.tell(j, false)
	}
	l.drop(jobs)
}

// drop wakes everybody who waits at the partitions, and lets go of their streams: those of deleted topics, and those that have another epoch,
// at once, the others by closing them in the background.
func (l *Leader) drop(jobs []*job) {
	var over, open []partition.Log
	for _, j := range jobs {
		p, exists := l.m.img.Partition(j.id.Topic, j.id.Index)
		code := kerr.NotLeaderOrFollower
		if !exists {
			code = kerr.UnknownTopicOrPartition
		}
		if j.p != nil {
			j.p.Abandon(code, "the partition is not served here any more")
		}
		switch {
		case j.data == nil:
		case exists && p.LeaderEpoch == j.epoch():
			open = append(open, j.data, j.meta)
		default:
			over = append(over, j.data, j.meta)
		}
	}
	l.opt.Engine.Detach(over)
	if len(open) > 0 {
		l.goDo(l.closers, func() { l.closeStreams(open) })
	}
}

// closeStreams closes streams; those that are lost to another node are forgotten.
func (l *Leader) closeStreams(streams []partition.Log) {
	for i, err := range l.opt.Engine.Close(l.ctx, streams) {
		if err == nil || l.ctx.Err() != nil {
			continue
		}
		if k := base.KindOf(err); k == base.Fenced || k == base.NotFound {
			l.opt.Engine.Detach(streams[i : i+1])
			continue
		}
		l.opt.Logger.Warn("stream not closed", "err", err)
	}
}

// reconfigure applies changed configurations to the open partitions.
func (l *Leader) reconfigure(a *actions) {
	if a.all {
		clear(l.configs)
		for id, j := range l.attached {
			if j.p != nil {
				j.p.SetConfig(l.config(id.Topic))
			}
		}
		return
	}
	for _, t := range a.conf {
		for i := range l.m.held[t] {
			if j := l.attached[meta.PartitionID{Topic: t, Index: i}]; j != nil && j.p != nil {
				j.p.SetConfig(l.config(t))
			}
		}
	}
	for t := range l.configs {
		if l.m.held[t] == nil {
			delete(l.configs, t)
		}
	}
}

// config returns the parsed configuration of a topic in the machine's image.
func (l *Leader) config(id base.UUID) *topicconfig.Config {
	t, _ := l.m.img.TopicByID(id)
	if c, ok := l.configs[id]; ok && c.pos == t.ConfigsPos {
		return c.parsed
	}
	parsed, err := topicconfig.Parse(t.Configs, BrokerConfigs(l.m.img, l.opt.Node.ID))
	if err != nil {
		// Checked before it was stored; a newer release may have stored what this one does not know.
		l.opt.Logger.Error("topic has a configuration that is not understood; defaults apply", "topic", t.Name, "err", err)
		parsed = topicconfig.Default()
	}
	l.configs[id] = config{t.ConfigsPos, &parsed}
	return &parsed
}

// BrokerConfigs returns the dynamic configurations of a broker, its own over those of all brokers.
func BrokerConfigs(img *meta.Image, node base.NodeID) map[string]string {
	all, own := img.NodeConfigs(base.NoNode), img.NodeConfigs(node)
	if len(own) == 0 {
		return all
	}
	m := make(map[string]string, len(all)+len(own))
	for k, v := range all {
		m[k] = v
	}
	for k, v := range own {
		m[k] = v
	}
	return m
}
