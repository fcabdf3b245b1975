package coord

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// Topic is an internal topic in which a kind of coordinator keeps its state.
type Topic struct {
	Name       string
	Partitions int32             // when it is created
	Configs    map[string]string // when it is created
}

// HostOptions are what a Host works with. All are required but Gate, Logger and Metrics.
type HostOptions struct {
	Topic   Topic
	Cluster Cluster
	// Open is told of a partition that this node has begun to lead and says what runs on it. It must not block.
	Open    func(p *partition.Partition, batchBytesMax func() int) Tenant
	Gate    func() bool // see Options
	Logger  *slog.Logger
	Metrics *Metrics
}

// Tenant is what a host runs on one partition.
type Tenant struct {
	NewMachine func() Machine   // see Options
	Do         func(action any) // see Options
	Closed     func()           // called when the partition is given up; nil: nothing to do. It must not block
}

// topicCreationTimeout bounds one attempt to create the topic.
const topicCreationTimeout = 30 * time.Second

// Host runs the machines of one kind of coordinator, one for each partition of its topic that this node leads, and finds the others.
type Host struct {
	opt      HostOptions
	creating sync.WaitGroup

	mu struct {
		sync.RWMutex
		shards   map[int32]*hosted
		creation *creation // of the topic, under way
		closed   bool
	}
}

// hosted is an open partition.
type hosted struct {
	*Shard
	log    *PartitionLog
	of     *partition.Partition
	tenant Tenant
}

// creation is the creation of the topic.
type creation struct {
	cancel context.CancelFunc
	then   []func(error)
}

// NewHost makes a host that runs nothing until OnServing is called.
func NewHost(opt HostOptions) *Host {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Host{opt: opt}
	h.mu.shards = map[int32]*hosted{}
	return h
}

// OnServing takes over a partition that this node has begun to lead; partitions of other topics are ignored. It does not block.
func (h *Host) OnServing(p *partition.Partition) {
	_, name, index := p.ID()
	if name != h.opt.Topic.Name {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.closed {
		return
	}
	if old := h.mu.shards[index]; old != nil {
		old.stop()
	}
	opt := PartitionLogOptions{BatchBytesMax: func() int {
		cfg := p.Config()
		return int(min(cfg.MaxMessageBytes, cfg.SegmentBytes))
	}}
	if room := p.Room(); room != nil {
		opt.Admit = room.Admit
	}
	log := NewPartitionLog(p, opt)
	tenant := h.opt.Open(p, log.BatchBytesMax)
	h.mu.shards[index] = &hosted{log: log, of: p, tenant: tenant, Shard: Start(Options{
		Name: fmt.Sprintf("%s-%d", name, index), Log: log, NewMachine: tenant.NewMachine, Do: tenant.Do,
		Gate: h.opt.Gate, Logger: h.opt.Logger, Metrics: h.opt.Metrics,
	})}
}

// OnClosed gives a partition up: everybody who waits gets NOT_COORDINATOR. It does not block.
func (h *Host) OnClosed(p *partition.Partition) {
	_, name, index := p.ID()
	if name != h.opt.Topic.Name {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.mu.shards[index]; s != nil && s.of == p {
		delete(h.mu.shards, index)
		s.stop()
	}
}

func (s *hosted) stop() {
	if s.tenant.Closed != nil {
		s.tenant.Closed()
	}
	s.Shard.Stop()
	s.log.Stop()
}

// Close gives all partitions up and waits until the host's goroutines have ended.
func (h *Host) Close() {
	h.mu.Lock()
	h.mu.closed = true
	shards := h.mu.shards
	h.mu.shards = map[int32]*hosted{}
	if h.mu.creation != nil {
		h.mu.creation.cancel()
	}
	h.mu.Unlock()
	for _, s := range shards {
		s.stop()
	}
	for _, s := range shards {
		s.Shard.Wait()
		s.log.Wait()
	}
	h.creating.Wait()
}

// PartitionFor returns the partition of the topic that belongs to a key.
func (h *Host) PartitionFor(key string) int32 {
	n := h.opt.Cluster.Partitions(h.opt.Topic.Name)
	if n == 0 {
		n = h.opt.Topic.Partitions
	}
	return PartitionOf(key, n)
}

// Submit hands a call to the shard of a key, or fails it.
func (h *Host) Submit(key string, c Call) { h.SubmitTo(h.PartitionFor(key), c) }

// SubmitTo hands a call to the shard of a partition, or fails it.
func (h *Host) SubmitTo(index int32, c Call) {
	if s := h.hosted(index); s != nil {
		s.Submit(c)
		return
	}
	c.Fail(kerr.NotCoordinator)
}

// Partition returns the partition that belongs to a key, nil if this node does not lead it.
func (h *Host) Partition(key string) *partition.Partition {
	if s := h.hosted(h.PartitionFor(key)); s != nil {
		return s.of
	}
	return nil
}

func (h *Host) hosted(index int32) *hosted {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.mu.shards[index]
}

// Shards returns the shards of all partitions that this node leads.
func (h *Host) Shards() []*Shard {
	h.mu.RLock()
	defer h.mu.RUnlock()
	all := make([]*Shard, 0, len(h.mu.shards))
	for _, s := range h.mu.shards {
		all = append(all, s.Shard)
	}
	return all
}

// EnsureTopic calls then when the topic exists, at once if it does.
func (h *Host) EnsureTopic(then func(error)) {
	if h.opt.Cluster.Partitions(h.opt.Topic.Name) > 0 {
		then(nil)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.closed {
		go then(base.Errorf(base.Closed, "the coordinator is closed"))
		return
	}
	if h.mu.creation == nil {
		ctx, cancel := context.WithTimeout(context.Background(), topicCreationTimeout)
		h.mu.creation = &creation{cancel: cancel}
		h.creating.Add(1)
		go h.createTopic(ctx)
	}
	h.mu.creation.then = append(h.mu.creation.then, then)
}

func (h *Host) createTopic(ctx context.Context) {
	defer h.creating.Done()
	t := h.opt.Topic
	err := h.opt.Cluster.CreateTopic(ctx, t.Name, t.Partitions, t.Configs)
	if err != nil {
		h.opt.Logger.Warn("could not create an internal topic", "topic", t.Name, "error", err)
	}
	h.mu.Lock()
	done := h.mu.creation
	h.mu.creation = nil
	h.mu.Unlock()
	done.cancel()
	for _, then := range done.then {
		then(err)
	}
}

// Leader returns the node that coordinates a key, false if none does at the moment.
func (h *Host) Leader(key string) (base.NodeID, bool) {
	return h.opt.Cluster.Leader(h.opt.Topic.Name, h.PartitionFor(key))
}

// FindCoordinator serves FindCoordinator, versions 0 to 6, for keys of this kind: one key up to version 3, several from version 4. The
// first key to be looked for creates the topic.
func (h *Host) FindCoordinator(version int16, listener string, req *msg.FindCoordinatorRequest, reply func(*msg.FindCoordinatorResponse)) {
	keys := req.CoordinatorKeys
	if version < 4 {
		keys = []string{req.Key}
	}
	h.EnsureTopic(func(created error) {
		res := &msg.FindCoordinatorResponse{}
		res.SetDefaults()
		res.Coordinators = make([]msg.FindCoordinatorResponseCoordinator, len(keys))
		for i, key := range keys {
			res.Coordinators[i] = h.find(key, listener, created)
		}
		if version < 4 {
			f := res.Coordinators[0]
			res.ErrorCode, res.ErrorMessage, res.NodeId, res.Host, res.Port = f.ErrorCode, f.ErrorMessage, f.NodeId, f.Host, f.Port
			if f.ErrorCode == 0 {
				none := kerr.None.String() // as Kafka has it
				res.ErrorMessage = &none
			}
		}
		reply(res)
	})
}

func (h *Host) find(key, listener string, created error) msg.FindCoordinatorResponseCoordinator {
	found := msg.FindCoordinatorResponseCoordinator{Key: key, NodeId: int32(base.NoNode), Port: -1, ErrorCode: int16(kerr.CoordinatorNotAvailable), ErrorMessage: new(string)}
	if created != nil {
		text := "the topic " + h.opt.Topic.Name + " could not be created"
		found.ErrorMessage = &text
		return found
	}
	if node, ok := h.Leader(key); ok {
		if host, port, ok := h.opt.Cluster.Endpoint(node, listener); ok {
			found.ErrorCode, found.NodeId, found.Host, found.Port = 0, int32(node), host, port
		}
	}
	return found
}
