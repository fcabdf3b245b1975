package share

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/broker/partition"
)

// Topic is Kafka's name of the topic that holds the state of share partitions.
const Topic = "__share_group_state"

// Reset says where a group begins in a partition that it has not read yet.
type Reset uint8

const (
	ResetLatest Reset = iota
	ResetEarliest
	ResetByDuration
)

// GroupConfig holds the settings of one share group that partition leaders go by, under the names Kafka knows them by.
type GroupConfig struct {
	LockDuration  time.Duration       // share.record.lock.duration.ms
	DeliveryLimit int16               // share.delivery.count.limit
	RecordLocks   int                 // share.partition.max.record.locks
	Isolation     partition.Isolation // share.isolation.level
	Reset         Reset               // share.auto.offset.reset
	ResetDuration time.Duration       // of by_duration
	RenewDisabled bool                // share.renew.acknowledge.enable = false
	DeadTopic     string              // errors.deadletterqueue.topic.name; empty: none
	DeadCopy      bool                // errors.deadletterqueue.copy.record.enable
}

// DefaultGroupConfig is Kafka's.
func DefaultGroupConfig() GroupConfig {
	return GroupConfig{LockDuration: 30 * time.Second, DeliveryLimit: 5, RecordLocks: 2000}
}

func (g GroupConfig) limits() limits {
	return limits{deliveryCount: g.DeliveryLimit, lock: g.LockDuration, records: g.RecordLocks, buries: g.DeadTopic != ""}
}

// CoordinatorOptions are what a Coordinator works with. Cluster is required.
type CoordinatorOptions struct {
	Cluster            coord.Cluster
	TopicPartitions    int32         // share.coordinator.state.topic.num.partitions; 50
	UpdatesPerSnapshot int           // share.coordinator.snapshot.update.records.per.snapshot; 500
	PruneInterval      time.Duration // how often records that are not needed are deleted; 5 min
	// Gate reports whether this node may still answer as a coordinator; nil means always. It must not block.
	Gate       func() bool
	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: no metrics
}

// Store keeps the state of share partitions. The methods block; errors are *kerr.Error, and one that is retriable may have had an effect.
type Store interface {
	Read(ctx context.Context, k Key, leaderEpoch int32) (State, error)
	Write(ctx context.Context, k Key, w Write) error
}

// Directory finds partitions. *lead.Directory implements it; errors are *kerr.Error.
type Directory interface {
	Get(topic base.UUID, index int32) (*partition.Partition, error)
}

// Options are what a Manager works with. Directory and Store are required.
type Options struct {
	Directory Directory
	Store     Store
	// Group returns the settings of a group; nil: the defaults. It must not block.
	Group func(group string) GroupConfig
	// Contact says why this node may be out of date; nothing is handed out then. Nil means never. It must not block.
	Contact    func() error
	Dead       DeadLetters   // nil: groups have no dead letters
	Sessions   int           // share sessions kept (group.share.max.share.sessions); 2000
	MaxBytes   int           // of one response (fetch.max.bytes); 55 MiB
	MaxWait    time.Duration // longest a fetch waits, whatever it asks for; 5 min
	ColdReads  int           // reads from the bucket at the same time; 32
	Now        func() time.Time
	Random     func() uint64         // nil: a random number
	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: no metrics
}

func (o Options) withDefaults() Options {
	o.Sessions, o.MaxBytes, o.ColdReads = or(o.Sessions, 2000), or(o.MaxBytes, 55<<20), or(o.ColdReads, 32)
	o.MaxWait = or(o.MaxWait, 5*time.Minute)
	if o.Group == nil {
		o.Group = func(string) GroupConfig { return DefaultGroupConfig() }
	}
	if o.Contact == nil {
		o.Contact = func() error { return nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Uint64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
