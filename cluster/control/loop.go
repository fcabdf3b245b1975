package control

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/cluster/metalog"
)

// Controller holds the metadata log of the cluster. It is the local Client.
type Controller struct {
	opt     Options
	metrics *metrics
	log     *metalog.Log // the loop's
	calls   chan *call
	image   atomic.Pointer[meta.Image]
	notify  *notifier
	life    context.Context // ends with Close or when the role is lost
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu struct {
		sync.Mutex
		err   error // why no command is taken any more
		local []meta.NodeRef
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
	l, img, err := metalog.Open(ctx, metalog.Options{
		Store: opt.Store, Name: opt.Name, Who: opt.Who, Now: opt.Now, NewCluster: opt.NewCluster, SnapshotBytes: opt.SnapshotBytes,
		RollSlots: opt.RollSlots, Logger: opt.Logger, Registerer: opt.Registerer,
	})
	if err != nil {
		return nil, fmt.Errorf("start the controller: %w", err)
	}
	c := &Controller{opt: opt, metrics: newMetrics(opt.Registerer), log: l, calls: make(chan *call, queueMax)}
	c.life, c.cancel = context.WithCancel(context.Background())
	c.image.Store(img)
	c.metrics.observe(img)
	c.notify = newNotifier(img)
	opt.Logger.Info("controller started", "cluster", img.ClusterID().String(), "epoch", l.Epoch(), "position", uint64(img.Pos()),
		"topics", img.TopicCount(), "partitions", img.PartitionCount())
	c.wg.Go(c.run)
	c.wg.Go(c.notify.run)
	c.wg.Go(c.lifeCycle)
	return c, nil
}

// Close stops the controller: commands that are not yet acknowledged fail. It returns when its goroutines have ended.
func (c *Controller) Close() error {
	c.fail(base.Errorf(base.Closed, "the controller was closed"))
	c.notify.close()
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
func (c *Controller) Image() *meta.Image { return c.image.Load() }

// Subscribe implements Client.
func (c *Controller) Subscribe(fn func(old, new *meta.Image)) (cancel func()) {
	return c.notify.subscribe(fn)
}

// WaitFor implements Client.
func (c *Controller) WaitFor(ctx context.Context, pos base.MetaPos) error {
	for {
		changed := c.notify.changed()
		if c.Image().Pos() >= pos {
			return nil
		}
		select {
		case <-changed:
		case <-c.life.Done():
			return c.reason()
		case <-ctx.Done():
			return base.Errorf(base.Unavailable, "metadata position %d is not reached: %w", pos, ctx.Err())
		}
	}
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
	for {
		select {
		case <-c.life.Done():
			return
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
	c.opt.Logger.Error("the controller's role is lost", "error", err)
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

func (c *Controller) decide(b *batch, k *call) {
	if !k.state.CompareAndSwap(callQueued, callTaken) {
		return
	}
	b.calls = append(b.calls, k)
	k.res, k.err = c.execute(b, meta.Fill(k.cmd, base.NewUUID))
	if reg, ok := k.res.(*meta.Registered); ok {
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
	if b.count > 0 {
		if err := c.append(b); err != nil {
			for _, k := range b.calls {
				k.res, k.err = nil, err
				close(k.done)
			}
			return err
		}
		c.publish(b.draft.Image())
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
	acked := make(chan error, 1)
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
	return nil
}

func (c *Controller) publish(img *meta.Image) {
	c.image.Store(img)
	c.metrics.observe(img)
	c.notify.publish(img)
}

func (c *Controller) roll() error {
	img, err := c.log.Roll(c.life, c.Image())
	if err != nil {
		return err
	}
	c.opt.Logger.Info("metadata log rolled", "epoch", c.log.Epoch())
	c.publish(img)
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
