package group

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"unicode/utf16"

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
}

func (i CallInfo) client() client {
	return client{i.ClientID, "/" + i.ClientHost} // as Java prints an address without a name
}

// Coordinator coordinates the groups whose partitions of __consumer_offsets this node leads. Requests do not block; every reply
// function is called exactly once, maybe before the request returns, with a response that is the caller's to keep. Request and
// the buffer it aliases may be reused as soon as the call has returned.
type Coordinator struct {
	opt     Options
	config  Config
	log     *slog.Logger
	metrics *coord.Metrics

	creating sync.WaitGroup  // and what is asked of the state of share groups
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc

	mu struct {
		sync.RWMutex
		shards   map[int32]*shard
		creation *creation // of the topic, under way
		closed   bool
	}
}

// shard is an open partition.
type shard struct {
	*coord.Shard
	log *coord.PartitionLog
	of  *partition.Partition
}

// New makes a coordinator that coordinates nothing until OnServing is called.
func New(opt Options) *Coordinator {
	c := &Coordinator{opt: opt, config: opt.Config.withDefaults(), log: opt.Logger, metrics: coord.NewMetrics(opt.Registerer, "group")}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.mu.shards = map[int32]*shard{}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// OnServing takes over a partition that this node has begun to lead; partitions of other topics are ignored. It does not block.
func (c *Coordinator) OnServing(p *partition.Partition) {
	_, name, index := p.ID()
	if name != Topic {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return
	}
	if old := c.mu.shards[index]; old != nil {
		old.stop()
	}
	opt := coord.PartitionLogOptions{BatchBytesMax: func() int {
		cfg := p.Config()
		return int(min(cfg.MaxMessageBytes, cfg.SegmentBytes))
	}}
	if room := p.Room(); room != nil {
		opt.Admit = room.Admit
	}
	log := coord.NewPartitionLog(p, opt)
	c.mu.shards[index] = &shard{log: log, of: p, Shard: coord.Start(coord.Options{
		Name: fmt.Sprintf("%s-%d", Topic, index), Log: log, Gate: c.opt.Gate, Logger: c.log, Metrics: c.metrics,
		NewMachine: func() coord.Machine {
			r := c.config.rules(log.BatchBytesMax(), c.opt.Cluster.Topics, c.opt.GroupConfig)
			r.shareRules = c.shareRules()
			return newMachine(r)
		},
	})}
}

// OnClosed gives a partition up: everybody who waits gets NOT_COORDINATOR. It does not block.
func (c *Coordinator) OnClosed(p *partition.Partition) {
	_, name, index := p.ID()
	if name != Topic {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.mu.shards[index]; s != nil && s.of == p {
		delete(c.mu.shards, index)
		s.stop()
	}
}

func (s *shard) stop() {
	s.Shard.Stop()
	s.log.Stop()
}

// Close gives all partitions up and waits until the coordinator's goroutines have ended.
func (c *Coordinator) Close() {
	c.mu.Lock()
	c.mu.closed = true
	c.cancel()
	shards := c.mu.shards
	c.mu.shards = map[int32]*shard{}
	if c.mu.creation != nil {
		c.mu.creation.cancel()
	}
	c.mu.Unlock()
	for _, s := range shards {
		s.stop()
	}
	for _, s := range shards {
		s.Shard.Wait()
		s.log.Wait()
	}
	c.creating.Wait()
}

// OnTopicDeleted forgets the offsets committed for a topic that has been deleted. It does not block.
func (c *Coordinator) OnTopicDeleted(name string, id base.UUID) {
	for _, s := range c.all() {
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
func (c *Coordinator) PartitionFor(group string) int32 {
	n := c.opt.Cluster.Partitions(Topic)
	if n == 0 {
		n = c.config.TopicPartitions
	}
	return int32(max(0, abs(javaHash(group))) % n)
}

// javaHash is Java's String.hashCode.
func javaHash(s string) int32 {
	var h int32
	for _, u := range utf16.Encode([]rune(s)) {
		h = 31*h + int32(u)
	}
	return h
}

// abs is Kafka's: the absolute value, 0 for the smallest integer.
func abs(n int32) int32 {
	if n < 0 {
		return max(0, -n)
	}
	return n
}

// newMemberID draws the random part of a member id, a version 4 UUID in its usual form.
func newMemberID() string {
	h := base.NewUUID().Hex()
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func (c *Coordinator) shardFor(group string) *shard {
	index := c.PartitionFor(group)
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.shards[index]
}

func (c *Coordinator) all() []*shard {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make([]*shard, 0, len(c.mu.shards))
	for _, s := range c.mu.shards {
		all = append(all, s)
	}
	return all
}

// submit hands a command of a group to its shard, or fails it.
func submit[R any](c *Coordinator, group string, command any, reply func(R), fail func(kerr.Code)) {
	s := c.shardFor(group)
	if s == nil {
		fail(kerr.NotCoordinator)
		return
	}
	s.Submit(coord.Call{Command: command, Reply: func(r any) { reply(r.(R)) }, Fail: fail})
}

// creation is the creation of the topic.
type creation struct {
	cancel context.CancelFunc
	then   []func(error)
}

// ensureTopic calls then when the topic exists, at once if it does.
func (c *Coordinator) ensureTopic(then func(error)) {
	if c.opt.Cluster.Partitions(Topic) > 0 {
		then(nil)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		go then(base.Errorf(base.Closed, "the coordinator is closed"))
		return
	}
	if c.mu.creation == nil {
		ctx, cancel := context.WithTimeout(context.Background(), topicCreationTimeout)
		c.mu.creation = &creation{cancel: cancel}
		c.creating.Add(1)
		go c.createTopic(ctx)
	}
	c.mu.creation.then = append(c.mu.creation.then, then)
}

func (c *Coordinator) createTopic(ctx context.Context) {
	defer c.creating.Done()
	err := c.opt.Cluster.CreateTopic(ctx, Topic, c.config.TopicPartitions, topicConfigs())
	if err != nil {
		c.log.Warn("could not create the topic of groups and offsets", "topic", Topic, "error", err)
	}
	c.mu.Lock()
	done := c.mu.creation
	c.mu.creation = nil
	c.mu.Unlock()
	done.cancel()
	for _, then := range done.then {
		then(err)
	}
}
