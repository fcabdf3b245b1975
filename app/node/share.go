package node

import (
	"context"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/broker/partition"
	"sluice/broker/share"
	"sluice/broker/topicconfig"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/cluster/peer"
	"sluice/edge/handle"
)

// What brokers ask each other about share groups.
const (
	methodShareState   peer.Method = control.FreeMethod + 8 + iota // the state of a share partition
	methodShareEnd                                                 // the end of a partition
	methodShareLetters                                             // dead letters for a partition
)

// shares is what a node has of share groups.
type shares struct {
	node        *Node
	coordinator *share.Coordinator
	client      *share.Client
	manager     atomic.Pointer[share.Manager] // nil until the partitions can be found

	mu struct {
		sync.Mutex
		at     base.MetaPos // of the image that the settings are of
		broker map[string]string
		groups map[string]share.GroupConfig
	}
}

// services are what other brokers may ask this one.
func (n *Node) services() map[peer.Method]control.Service {
	all := n.txnServices()
	maps.Copy(all, n.shareServices())
	return all
}

// shareServices are what other brokers may ask this one.
func (n *Node) shareServices() map[peer.Method]control.Service {
	return map[peer.Method]control.Service{
		methodShareState: {Name: "share state", Handle: func(ctx context.Context, body []byte) ([]byte, error) {
			if s := n.shares.Load(); s != nil {
				return s.coordinator.Serve(ctx, body)
			}
			return nil, base.Errorf(base.Unavailable, "the broker is starting")
		}},
		methodShareEnd: {Name: "share end", Handle: func(_ context.Context, body []byte) ([]byte, error) {
			if s := n.shares.Load(); s != nil {
				return s.serveEnd(body)
			}
			return nil, base.Errorf(base.Unavailable, "the broker is starting")
		}},
		methodShareLetters: {Name: "share letters", Handle: func(ctx context.Context, body []byte) ([]byte, error) {
			if s := n.shares.Load(); s != nil {
				return s.serveLetters(ctx, body)
			}
			return nil, base.Errorf(base.Unavailable, "the broker is starting")
		}},
	}
}

// newShares makes the coordinator of share partitions, and what asks those of all nodes.
func (n *Node) newShares() *shares {
	s := &shares{node: n}
	s.coordinator = share.NewCoordinator(share.CoordinatorOptions{
		Cluster: coord.NewCluster(n.member), TopicPartitions: int32(n.opt.Config.ShareStatePartitions),
		Gate: func() bool { return n.member.Contact() == nil }, Logger: n.log, Registerer: n.opt.Registry,
	})
	s.client = share.NewClient(n.self.ID, s.coordinator, sharePeers{n})
	n.shares.Store(s)
	return s
}

// serve begins to serve share groups on the partitions of a directory.
func (s *shares) serve(directory share.Directory) {
	n := s.node
	s.manager.Store(share.NewManager(share.Options{
		Directory: directory, Store: s.client, Group: s.group, Contact: n.member.Contact, Sessions: n.opt.Config.ShareSessions,
		Dead: deadLetters{s}, MaxBytes: int(n.opt.Config.FetchMaxBytes), Logger: n.log, Registerer: n.opt.Registry,
	}))
}

func (s *shares) serveEnd(question []byte) ([]byte, error) {
	if m := s.manager.Load(); m != nil {
		return m.ServeEnd(question)
	}
	return nil, base.Errorf(base.Unavailable, "the broker is starting")
}

func (s *shares) onServing(p *partition.Partition) { s.coordinator.OnServing(p) }

func (s *shares) onClosed(p *partition.Partition) {
	s.coordinator.OnClosed(p)
	if m := s.manager.Load(); m != nil {
		m.OnClosed(p)
	}
}

// close ends what serves clients; the partitions may still be open.
func (s *shares) close() {
	if m := s.manager.Load(); m != nil {
		m.Close()
	}
	s.coordinator.Close()
}

// setting returns a number that is set for a group, or for all, as the image has it now.
func (s *shares) setting(group, name string) int64 {
	img := s.node.member.Image()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshLocked(img)
	return topicconfig.GroupInt(name, img.Configs(meta.GroupConfig, group), s.mu.broker)
}

func (s *shares) refreshLocked(img *meta.Image) {
	if s.mu.groups == nil || s.mu.at != img.Pos() {
		s.mu.at, s.mu.groups = img.Pos(), map[string]share.GroupConfig{}
		s.mu.broker = handle.BrokerValues(img, s.node.self.ID, s.node.opt.Config)
	}
}

// group returns the settings of a share group.
func (s *shares) group(name string) share.GroupConfig {
	img := s.node.member.Image()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshLocked(img)
	g, ok := s.mu.groups[name]
	if !ok {
		g = shareConfig(img.Configs(meta.GroupConfig, name), s.mu.broker)
		s.mu.groups[name] = g
	}
	return g
}

// shareConfig reads the settings of a group, which have been checked when they were set.
func shareConfig(own, broker map[string]string) share.GroupConfig {
	number := func(name string) int64 { return topicconfig.GroupInt(name, own, broker) }
	text := func(name string) string { return topicconfig.GroupValue(name, own, broker).Value }
	g := share.GroupConfig{
		LockDuration:  time.Duration(number("share.record.lock.duration.ms")) * time.Millisecond,
		DeliveryLimit: int16(number("share.delivery.count.limit")),
		RecordLocks:   int(number("share.partition.max.record.locks")),
		RenewDisabled: strings.EqualFold(text("share.renew.acknowledge.enable"), "false"),
		DeadTopic:     text("errors.deadletterqueue.topic.name"),
		DeadCopy:      strings.EqualFold(text("errors.deadletterqueue.copy.record.enable"), "true"),
	}
	if text("share.isolation.level") == "read_committed" {
		g.Isolation = partition.ReadCommitted
	}
	switch reset := text("share.auto.offset.reset"); reset {
	case "earliest":
		g.Reset = share.ResetEarliest
	case "latest":
	default:
		g.Reset, g.ResetDuration = share.ResetByDuration, topicconfig.ResetDuration(reset)
	}
	return g
}

// states is what the group coordinator asks of share coordinators and of partition leaders.
type states struct {
	*share.Client
	*shares
}

// End returns the end of what can be read of a partition, -1 if it is not known.
func (s states) End(ctx context.Context, topic base.UUID, index int32) base.Offset {
	n := s.node
	p, ok := n.member.Image().Partition(topic, index)
	if !ok {
		return -1
	}
	question := share.EncodeEnd(topic, index)
	var answer []byte
	var err error
	if p.Leader == n.self.ID {
		answer, err = s.serveEnd(question)
	} else {
		answer, err = n.member.Ask(ctx, p.Leader, methodShareEnd, question)
	}
	if err != nil {
		return -1
	}
	return share.DecodeEnd(answer)
}

// sharePeers asks other nodes.
type sharePeers struct{ n *Node }

func (p sharePeers) AskShare(ctx context.Context, node base.NodeID, body []byte) ([]byte, error) {
	return p.n.member.Ask(ctx, node, methodShareState, body)
}
