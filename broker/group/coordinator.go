package group

import (
	"context"
	"log/slog"
	"sync"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/broker/partition"
	"sluice/wire/kerr"
)

// CallInfo says whose request it is.
type CallInfo struct {
	ClientID string
	// ClientHost is the client's IP address.
	ClientHost string
	// Version is the version of the request.
	Version int16
	// Listener is the name of the listener the client came in by; FindCoordinator answers for that one.
	Listener string
	// Describes reports whether the client may describe a topic, by the ACLs as they are when it asks, however late it is called; nil: all of them.
	Describes func(topic string) bool
}

func (i CallInfo) client() client {
	return client{i.ClientID, "/" + i.ClientHost} // as Java prints an address without a name
}

// Coordinator coordinates the groups whose partitions of __consumer_offsets this node leads. Requests do not block; every reply
// function is called exactly once, maybe before the request returns, with a response that is the caller's to keep. Request and
// the buffer it aliases may be reused as soon as the call has returned.
type Coordinator struct {
	opt    Options
	config Config
	log    *slog.Logger
	host   *coord.Host

	aside struct { // what is asked of the state of share groups
		sync.Mutex
		closed  bool
		running sync.WaitGroup
	}
	ctx    context.Context // of that; ends with Close
	cancel context.CancelFunc
}

// New makes a coordinator that coordinates nothing until OnServing is called.
func New(opt Options) *Coordinator {
	c := &Coordinator{opt: opt, config: opt.Config.withDefaults(), log: opt.Logger}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.host = coord.NewHost(coord.HostOptions{
		Topic: coord.Topic{Name: Topic, Partitions: c.config.TopicPartitions, Configs: topicConfigs()}, Cluster: opt.Cluster,
		Open: c.open, Gate: opt.Gate, Logger: c.log, Metrics: coord.NewMetrics(opt.Registerer, "group"),
	})
	return c
}

func (c *Coordinator) open(_ *partition.Partition, batchBytesMax func() int) coord.Tenant {
	return coord.Tenant{NewMachine: func() coord.Machine {
		r := c.config.rules(batchBytesMax(), c.opt.Cluster.Topics, c.opt.GroupConfig)
		r.shareRules, r.streamsRules = c.shareRules(), c.streamsRules()
		return newMachine(r)
	}}
}

// OnServing takes over a partition that this node has begun to lead; partitions of other topics are ignored. It does not block.
func (c *Coordinator) OnServing(p *partition.Partition) { c.host.OnServing(p) }

// OnClosed gives a partition up: everybody who waits gets NOT_COORDINATOR. It does not block.
func (c *Coordinator) OnClosed(p *partition.Partition) { c.host.OnClosed(p) }

// Close gives all partitions up and waits until the coordinator's goroutines have ended.
func (c *Coordinator) Close() {
	c.aside.Lock()
	c.aside.closed = true
	c.aside.Unlock()
	c.cancel()
	c.host.Close()
	c.aside.running.Wait()
}

// OnTopicDeleted forgets the offsets committed for a topic that has been deleted. It does not block.
func (c *Coordinator) OnTopicDeleted(name string, id base.UUID) {
	for _, s := range c.host.Shards() {
		s.Submit(coord.Call{
			Command: &topicDeletedCommand{name: name, id: id},
			Reply:   func(any) {},
			Fail: func(code kerr.Code) {
				c.log.Debug("offsets of a deleted topic stay until they expire", "topic", name, "error", code)
			},
		})
	}
}

// PartitionFor returns the partition of __consumer_offsets that belongs to a group, as Kafka's tools compute it.
func (c *Coordinator) PartitionFor(group string) int32 { return c.host.PartitionFor(group) }

// newMemberID draws the random part of a member id, a version 4 UUID in its usual form.
func newMemberID() string {
	h := base.NewUUID().Hex()
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// submit hands a command of a group to its shard, or fails it.
func submit[R any](c *Coordinator, group string, command any, reply func(R), fail func(kerr.Code)) {
	c.host.Submit(group, coord.Call{Command: command, Reply: func(r any) { reply(r.(R)) }, Fail: fail})
}
