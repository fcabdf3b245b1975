package control

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/base/seeded"
	"sluice/cluster/meta"
	"sluice/cluster/metalog"
	"sluice/storage/wal"
)

// Controller holds the metadata log of the cluster. It is the local Client.
type Controller struct {
	opt      Options
	metrics  *metrics
	ownsView bool         // Close ends the view too
	log      *metalog.Log // the loop's
	epoch    atomic.Uint64
	calls    chan *call
	doubt    chan struct{} // somebody says that the role is lost
	view     *view
	recent   recent
	life     context.Context // ends with Close or when the role is lost
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu struct {
		sync.Mutex
		err      error // why no command is taken any more
		local    []meta.NodeRef
		at       metalog.Position // the slot after those the image holds
		verified time.Time        // when the newest proof began that nobody else had taken over
	}
}

var _ Client = (*Controller)(nil)

// call is a command on its way through the loop.
type call struct {
	cmd   meta.Command
	state atomic.Int32 // callQueued, then one of the others
	done  chan struct{}
	res   meta.Result
	err   error
}

const (
	callQueued int32 = iota
	callTaken
	callAbandoned
)

// Start creates the cluster in an empty bucket or takes the metadata log over, replays it and runs the controller until Close.
// ctx bounds the start only.
func Start(ctx context.Context, opt Options) (*Controller, error) {
	opt = opt.withDefaults()
	l, img, err := metalog.Open(ctx, opt.metalog())
	if err != nil {
		return nil, fmt.Errorf("start the controller: %w", err)
	}
	c := begin(opt, newView(img, newMetrics(opt.Registerer)), l, time.Now())
	c.ownsView = true
	c.wg.Go(c.view.notify.run)
	return c, nil
}

// begin runs a controller on a log that it has just taken over, the image at whose end is in the view. verified is when the
// take-over began.
func begin(opt Options, v *view, l *metalog.Log, verified time.Time) *Controller {
	c := &Controller{opt: opt, metrics: v.metrics, log: l, calls: make(chan *call, queueMax), doubt: make(chan struct{}, 1), view: v}
	c.life, c.cancel = context.WithCancel(context.Background())
	c.epoch.Store(l.Epoch())
	c.recent.add(l.Begun())
	c.mu.at, c.mu.verified = l.Next(), verified
	img := c.Image()
	opt.Logger.Info("controller started", "cluster", img.ClusterID().String(), "epoch", l.Epoch(), "position", uint64(img.Pos()),
		"topics", img.TopicCount(), "partitions", img.PartitionCount())
	c.wg.Go(c.run)
	c.wg.Go(c.lifeCycle)
	if opt.SweepEvery > 0 {
		c.wg.Go(c.sweeping)
	}
	return c
}

// Close stops the controller: commands that are not yet acknowledged fail. It returns when its goroutines have ended.
func (c *Controller) Close() error {
	c.fail(base.Errorf(base.Closed, "the controller was closed"))
	if c.ownsView {
		c.view.notify.close()
	}
	c.wg.Wait()
	return nil
}

// fail ends the controller for the reason given unless it has ended before, and reports whether it did.
func (c *Controller) fail(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.err != nil {
		return false
	}
	c.mu.err = err
	c.cancel()
	return true
}

func (c *Controller) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.err
}

// Image implements Client.
func (c *Controller) Image() *meta.Image { return c.view.image.Load() }

// Subscribe implements Client.
func (c *Controller) Subscribe(fn func(old, new *meta.Image)) (cancel func()) {
	return c.view.notify.subscribe(fn)
}

// WaitFor implements Client.
func (c *Controller) WaitFor(ctx context.Context, pos base.MetaPos) error {
	return c.view.waitFor(ctx, pos, c.life.Done(), c.reason)
}

// Submit implements Client.
func (c *Controller) Submit(ctx context.Context, cmd meta.Command) (meta.Result, error) {
	k := &call{cmd: cmd, done: make(chan struct{})}
	if err := c.life.Err(); err != nil {
		return nil, c.reason()
	}
	select {
	case c.calls <- k:
	case <-c.life.Done():
		return nil, c.reason()
	case <-ctx.Done():
		return nil, base.Errorf(base.Unavailable, "%s: the controller is busy: %w", meta.CommandName(cmd), ctx.Err())
	}
	select {
	case <-k.done:
		return k.res, k.err
	case <-ctx.Done():
	case <-c.life.Done(): // the loop answers what it has taken, but may be gone before it takes this
	}
	if k.state.CompareAndSwap(callQueued, callAbandoned) {
		if ctx.Err() != nil {
			return nil, base.Errorf(base.Unavailable, "%s: the controller did not get to it: %w", meta.CommandName(cmd), ctx.Err())
		}
		return nil, c.reason()
	}
	select {
	case <-k.done:
		return k.res, k.err
	default:
	}
	if ctx.Err() == nil {
		<-k.done
		return k.res, k.err
	}
	return nil, base.Errorf(base.Undetermined, "%s: no answer in time, it may yet take effect: %w", meta.CommandName(cmd), ctx.Err())
}

// run is the loop.
func (c *Controller) run() {
	defer c.log.Close()
	snapshots := make(chan func(), 1)
	writing := false
	var verify <-chan time.Time
	if c.opt.VerifyEvery > 0 {
		t := time.NewTicker(c.opt.VerifyEvery)
		defer t.Stop()
		verify = t.C
	}
	for {
		select {
		case <-c.life.Done():
			return
		case <-verify:
			if err := c.verify(c.opt.VerifyEvery); err != nil {
				c.lost(err)
				return
			}
		case <-c.doubt:
			if err := c.verify(0); err != nil {
				c.lost(err)
				return
			}
		case note := <-snapshots:
			note()
			writing = false
		case first := <-c.calls:
			b := c.collect(first)
			if err := c.commit(b); err != nil {
				c.lost(err)
				return
			}
		}
		if c.log.Full() {
			if err := c.roll(); err != nil {
				c.lost(err)
				return
			}
		}
		if c.log.Due() && !writing {
			writing = true
			c.snapshot(snapshots)
		}
	}
}

// lost ends a controller whose log has failed.
func (c *Controller) lost(err error) {
	if !c.fail(err) {
		return
	}
	level := slog.LevelError
	if base.IsKind(err, base.Fenced) {
		level = slog.LevelInfo // as it should be
	}
	c.opt.Logger.Log(context.Background(), level, "the controller's role is lost", "error", err)
	c.metrics.lost.Inc()
	go c.opt.OnFenced(err)
}

// batch is what becomes one slot.
type batch struct {
	calls []*call
	draft *meta.Draft
	body  []byte
	count int
	local []meta.NodeRef // nodes that registered in it
}

// collect decides the first command and those that wait behind it.
func (c *Controller) collect(first *call) *batch {
	b := &batch{draft: c.Image().Draft()}
	c.decide(b, first)
	for len(b.calls) < batchMax && len(b.body) < batchBytesMax {
		select {
		case k := <-c.calls:
			c.decide(b, k)
		default:
			return b
		}
	}
	return b
}

// complete adds to a command what the controller chooses or knows.
func complete(cmd meta.Command) meta.Command {
	if u, ok := cmd.(*meta.UnregisterNode); ok {
		return u.Knowing(wal.Local)
	}
	return meta.Fill(cmd, base.NewUUID)
}

func (c *Controller) decide(b *batch, k *call) {
	if !k.state.CompareAndSwap(callQueued, callTaken) {
		return
	}
	b.calls = append(b.calls, k)
	k.res, k.err = c.execute(b, complete(k.cmd))
	if reg, ok := k.res.(*meta.Registered); ok && c.opt.Positions == nil { // the controller of one process
		b.local = append(b.local, reg.Node)
		if _, err := c.execute(b, &meta.NameController{Node: reg.Node}); err != nil {
			panic("BUG: control: " + err.Error())
		}
	}
	c.metrics.command(k.cmd, k.err)
}

func (c *Controller) execute(b *batch, cmd meta.Command) (meta.Result, error) {
	recs, res, err := b.draft.Execute(cmd, c.opt.Now().UnixMilli())
	for _, r := range recs {
		b.body = meta.AppendRecord(b.body, r)
	}
	b.count += len(recs)
	return res, err
}

// commit makes the batch durable and visible, and answers its commands. After an error the controller is done for.
func (c *Controller) commit(b *batch) error {
	if seeded.Bug(seeded.AnswersEarly) {
		for _, k := range b.calls {
			close(k.done)
		}
		b.calls = nil
	}
	if b.count > 0 {
		if err := c.append(b); err != nil {
			for _, k := range b.calls {
				k.res, k.err = nil, err
				close(k.done)
			}
			return err
		}
		c.view.publish(b.draft.Image())
	}
	if len(b.local) > 0 {
		c.mu.Lock()
		c.mu.local = append(c.mu.local, b.local...)
		c.mu.Unlock()
	}
	for _, k := range b.calls {
		close(k.done)
	}
	return nil
}

func (c *Controller) append(b *batch) error {
	defer c.metrics.slot(len(b.calls), b.count, len(b.body))()
	began, acked := time.Now(), make(chan error, 1)
	c.log.Append(b.body, b.count, func(err error) { acked <- err })
	var err error
	select {
	case err = <-acked:
	case <-c.life.Done():
		c.log.Close()
		err = <-acked
	}
	if err != nil {
		return fmt.Errorf("metadata log: %w", err)
	}
	c.log.Acknowledged()
	c.acknowledged(began, metalog.Entry{From: c.Image().Pos(), Records: b.count, Body: b.body, Next: c.log.Next()})
	return nil
}

// acknowledged takes note of a slot of ours that came to lie before any end of the epoch, so nobody had taken over when its append
// began.
func (c *Controller) acknowledged(began time.Time, e metalog.Entry) {
	c.recent.add(e)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.at, c.mu.verified = e.Next, began
}

// verify looks whether another controller has begun an epoch, unless an append or a look has proved the contrary less than since ago.
// The error is Fenced if one has. A store that does not answer proves nothing.
func (c *Controller) verify(since time.Duration) error {
	began := time.Now()
	if began.Sub(c.verifiedAt()) < since {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.life, verifyTimeout)
	defer cancel()
	over, err := c.log.Superseded(ctx, c.log.Epoch())
	switch {
	case err != nil:
		c.opt.Logger.Debug("cannot see whether another controller has taken over", "error", err)
		return nil
	case over:
		return base.Errorf(base.Fenced, "another controller has begun epoch %d of the metadata log", c.log.Epoch()+1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.verified = began
	return nil
}

// verifiedAt returns when the newest proof began that nobody else had taken over.
func (c *Controller) verifiedAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.verified
}

// position returns the slot after those that the image holds.
func (c *Controller) position() metalog.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.at
}

// suspect has the loop look soon whether somebody else is the controller.
func (c *Controller) suspect() {
	select {
	case c.doubt <- struct{}{}:
	default:
	}
}

func (c *Controller) roll() error {
	began := time.Now()
	img, err := c.log.Roll(c.life, c.Image())
	if err != nil {
		return err
	}
	c.epoch.Store(c.log.Epoch())
	c.opt.Logger.Info("metadata log rolled", "epoch", c.log.Epoch())
	c.acknowledged(began, c.log.Begun())
	c.view.publish(img)
	return nil
}

// snapshot writes one beside the loop; what the loop has to note comes back through the channel.
func (c *Controller) snapshot(back chan<- func()) {
	job := c.log.Snapshot(c.Image())
	c.wg.Go(func() {
		size, err := job.Run(c.life)
		if err != nil && c.life.Err() == nil {
			c.opt.Logger.Warn("metadata snapshot failed, the log is kept instead", "error", err)
		}
		c.metrics.snapshot(size, err)
		back <- func() { c.log.Finished(job, size, err) }
	})
}
