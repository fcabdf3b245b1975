package share

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/broker/partition"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// Coordinator keeps the state of the share partitions whose partitions of __share_group_state this node leads. Requests do not block; every
// function that takes an answer is called exactly once.
type Coordinator struct {
	opt  CoordinatorOptions
	log  *slog.Logger
	host *coord.Host

	mu struct {
		sync.Mutex
		closed bool
	}
	ctx     context.Context // of deletions; ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// NewCoordinator makes a coordinator that coordinates nothing until OnServing is called.
func NewCoordinator(opt CoordinatorOptions) *Coordinator {
	opt.TopicPartitions = or(opt.TopicPartitions, 50)
	opt.UpdatesPerSnapshot = or(opt.UpdatesPerSnapshot, 500)
	opt.PruneInterval = or(opt.PruneInterval, 5*time.Minute)
	c := &Coordinator{opt: opt, log: opt.Logger}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.host = coord.NewHost(coord.HostOptions{
		Topic: coord.Topic{Name: Topic, Partitions: opt.TopicPartitions, Configs: topicConfigs()}, Cluster: opt.Cluster,
		Open: c.open, Gate: opt.Gate, Logger: c.log, Metrics: coord.NewMetrics(opt.Registerer, "share"),
	})
	return c
}

// topicConfigs are the settings Kafka gives the topic. It is not compacted: several updates of one key count. What is not needed is deleted
// by the coordinator.
func topicConfigs() map[string]string {
	return map[string]string{"cleanup.policy": "delete", "compression.type": "producer", "retention.ms": "-1", "segment.bytes": "104857600"}
}

func (c *Coordinator) open(p *partition.Partition, batchBytesMax func() int) coord.Tenant {
	return coord.Tenant{
		NewMachine: func() coord.Machine {
			return newMachine(rules{updatesPerSnapshot: c.opt.UpdatesPerSnapshot, pruneInterval: c.opt.PruneInterval, batchBytesMax: batchBytesMax()})
		},
		Do: func(action any) { c.prune(p, action.(prune).below) },
	}
}

// prune deletes records that no share partition needs. If that fails they are deleted the next time.
func (c *Coordinator) prune(p *partition.Partition, below base.Offset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if start, _, _, _ := p.Bounds(); c.mu.closed || below <= start {
		return
	}
	c.running.Go(func() {
		if _, err := p.DeleteRecords(c.ctx, below); err != nil {
			c.log.Info("old records of share groups stay for now", "topic", Topic, "below", below, "error", err)
		}
	})
}

// OnServing takes over a partition that this node has begun to lead; partitions of other topics are ignored. It does not block.
func (c *Coordinator) OnServing(p *partition.Partition) { c.host.OnServing(p) }

// OnClosed gives a partition up: everybody who waits gets NOT_COORDINATOR. It does not block.
func (c *Coordinator) OnClosed(p *partition.Partition) { c.host.OnClosed(p) }

// OnTopicDeleted forgets the share partitions of a topic that has been deleted. It does not block.
func (c *Coordinator) OnTopicDeleted(id base.UUID) {
	for _, s := range c.host.Shards() {
		s.Submit(coord.Call{Command: &topicDeleted{id}, Reply: func(any) {}, Fail: func(code kerr.Code) {
			c.log.Debug("the state of a deleted topic's share partitions stays", "topic", id, "error", code)
		}})
	}
}

// FindCoordinator serves FindCoordinator for keys of share partitions.
func (c *Coordinator) FindCoordinator(version int16, listener string, req *msg.FindCoordinatorRequest, reply func(*msg.FindCoordinatorResponse)) {
	c.host.FindCoordinator(version, listener, req, reply)
}

// Close gives all partitions up and waits until the coordinator's goroutines have ended.
func (c *Coordinator) Close() {
	c.mu.Lock()
	c.mu.closed = true
	c.mu.Unlock()
	c.host.Close()
	c.cancel()
	c.running.Wait()
}

// submit hands a command of a share partition to the machine.
func (c *Coordinator) submit(k Key, command any, reply func(result)) {
	c.host.Submit(k.String(), coord.Call{
		Command: command,
		Reply:   func(r any) { reply(r.(result)) },
		Fail:    func(code kerr.Code) { reply(result{code: code}) },
	})
}
