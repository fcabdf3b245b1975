package txn

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/broker/partition"
	"sluice/wire/kerr"
)

// Coordinator coordinates the transactions whose partitions of __transaction_state this node leads. Requests do not block; every reply
// function is called exactly once, maybe before the request returns, with a response that is the caller's to keep. A request and
// the buffer it aliases may be reused as soon as the call has returned.
type Coordinator struct {
	opt    Options
	config Config
	log    *slog.Logger
	host   *coord.Host
	sender *sender

	ctx     context.Context // of the search for producer ids; ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
	closing sync.Mutex // held while running grows
}

// New makes a coordinator that coordinates nothing until OnServing is called.
func New(opt Options) *Coordinator {
	c := &Coordinator{opt: opt, config: opt.Config.withDefaults(), log: opt.Logger}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.sender = newSender(opt.Leaders, opt.Markers, c.log)
	c.host = coord.NewHost(coord.HostOptions{
		Topic: coord.Topic{Name: Topic, Partitions: c.config.TopicPartitions, Configs: topicConfigs()}, Cluster: opt.Cluster,
		Open: c.open, Gate: opt.Gate, Logger: c.log, Metrics: coord.NewMetrics(opt.Registerer, "txn"),
	})
	return c
}

// OnServing takes over a partition that this node has begun to lead; partitions of other topics are ignored. It does not block.
func (c *Coordinator) OnServing(p *partition.Partition) { c.host.OnServing(p) }

// OnClosed gives a partition up: everybody who waits gets NOT_COORDINATOR. It does not block.
func (c *Coordinator) OnClosed(p *partition.Partition) { c.host.OnClosed(p) }

// Close gives all partitions up and waits until the coordinator's goroutines have ended.
func (c *Coordinator) Close() {
	c.closing.Lock()
	c.cancel()
	c.closing.Unlock()
	c.host.Close()
	c.sender.Close()
	c.running.Wait()
}

// Leader returns the node that coordinates a transactional id, false if none does at the moment.
func (c *Coordinator) Leader(id string) (base.NodeID, bool) { return c.host.Leader(id) }

// tenancy is a partition that this node coordinates, and the life of the machine that runs on it now.
type tenancy struct {
	mu   sync.Mutex
	now  *life
	over bool
}

// begin ends the life before and returns a new one.
func (t *tenancy) begin() *life {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now != nil {
		t.now.over.Store(true)
	}
	t.now = &life{}
	t.now.over.Store(t.over)
	return t.now
}

func (t *tenancy) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over = true; t.now != nil {
		t.now.over.Store(true)
	}
}

// open says what runs on a partition.
func (c *Coordinator) open(p *partition.Partition, batchBytesMax func() int) coord.Tenant {
	t := &tenancy{}
	return coord.Tenant{
		NewMachine: func() coord.Machine {
			t.begin()
			return newMachine(rules{
				timeoutMaxMS: c.config.MaxTimeout.Milliseconds(), idExpiration: c.config.IDExpiration, idCheckInterval: c.config.IDCheckInterval,
				batchBytesMax: batchBytesMax, coordinatorEpoch: int32(p.LeaderEpoch()),
			})
		},
		Do:     func(action any) { c.do(t, action) },
		Closed: t.end,
	}
}

// do carries out what a machine asks for. It is called on the goroutine of the machine that runs, so the life is that machine's.
func (c *Coordinator) do(t *tenancy, action any) {
	t.mu.Lock()
	l := t.now
	t.mu.Unlock()
	switch a := action.(type) {
	case sendMarkers:
		c.sender.send(a.delivery, l, func(partitions []TopicPartition) { c.tell(&markersWritten{a.delivery, partitions}) })
	case findID:
		c.withID(func(id int64, err error) {
			if err == nil {
				c.host.Submit(a.id, coord.Call{Command: &abortCommand{a.id, id}, Reply: func(any) {}, Fail: func(kerr.Code) {}})
			}
		})
	}
}

// tell has the machine hear of markers that are written. A machine that has too many callers is told again later: else it would wait for ever.
func (c *Coordinator) tell(cmd *markersWritten) {
	c.host.Submit(cmd.of.id, coord.Call{Command: cmd, Reply: func(any) {}, Fail: func(code kerr.Code) {
		if code != kerr.CoordinatorNotAvailable {
			return // the machine is gone; its successor finds the verdict in the log
		}
		c.run(func() {
			select {
			case <-time.After(tellAgainAfter):
				c.tell(cmd)
			case <-c.ctx.Done():
			}
		})
	}})
}

const tellAgainAfter = 100 * time.Millisecond

// run runs fn on a goroutine of its own, unless the coordinator is closed.
func (c *Coordinator) run(fn func()) bool {
	c.closing.Lock()
	defer c.closing.Unlock()
	if c.ctx.Err() != nil {
		return false
	}
	c.running.Go(fn)
	return true
}

// withID calls fn with a producer id that nobody had before.
func (c *Coordinator) withID(fn func(id int64, err error)) {
	started := c.run(func() {
		ctx, cancel := context.WithTimeout(c.ctx, producerIDTimeout)
		defer cancel()
		id, err := c.opt.ProducerID(ctx)
		if err != nil {
			c.log.Warn("cannot get a producer id", "error", err)
		}
		fn(id, err)
	})
	if !started {
		fn(noID, base.Errorf(base.Closed, "the coordinator is closed"))
	}
}

// producerIDTimeout bounds the wait for the controller.
const producerIDTimeout = 10 * time.Second

// submit hands a command to the shard of a transactional id, or fails it.
func submit[R any](c *Coordinator, id string, command any, reply func(R), fail func(kerr.Code)) {
	c.host.Submit(id, coord.Call{Command: command, Reply: func(r any) { reply(r.(R)) }, Fail: fail})
}
