package group

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/broker/coord"
)

// Topic is Kafka's name of the topic that holds groups and offsets.
const Topic = "__consumer_offsets"

// Cluster is what the coordinator needs to know of the cluster. Its methods do not block, CreateTopic aside. [NewCluster] makes one
// of the cluster's image.
type Cluster interface {
	coord.Cluster
	// TopicID finds a topic by name, TopicName by id.
	TopicID(name string) (base.UUID, bool)
	TopicName(id base.UUID) (string, bool)
	// Topics returns a view of all topics as they are now.
	Topics() Topics
}

// Config holds the settings of groups, under the names Kafka knows them by. The zero value of a field means its default.
type Config struct {
	MinSessionTimeout     *time.Duration // group.min.session.timeout.ms; nil: 6 s
	MaxSessionTimeout     time.Duration  // group.max.session.timeout.ms; 30 min
	InitialRebalanceDelay *time.Duration // group.initial.rebalance.delay.ms; nil: 3 s
	MaxSize               int            // group.max.size; unlimited
	OffsetsRetention      time.Duration  // offsets.retention.minutes; 7 days
	OffsetsCheckInterval  time.Duration  // offsets.retention.check.interval.ms; 10 min
	OffsetMetadataMax     int            // offset.metadata.max.bytes; 4096
	TopicPartitions       int32          // offsets.topic.num.partitions; 50

	// Of groups of the consumer protocol. Bounds hold for what is set for a single group.
	ConsumerSession, ConsumerSessionMin, ConsumerSessionMax    time.Duration  // group.consumer.[min.|max.]session.timeout.ms; 45 s, 45 s to 60 s
	ConsumerInterval, ConsumerIntervalMin, ConsumerIntervalMax time.Duration  // group.consumer.[min.|max.]heartbeat.interval.ms; 5 s, 5 s to 15 s
	ConsumerAssign                                             *time.Duration // group.consumer.assignment.interval.ms; nil: 1 s
	ConsumerAssignMin, ConsumerAssignMax                       time.Duration  // group.consumer.[min.|max.]assignment.interval.ms; 0 to 15 s
	ConsumerMaxSize                                            int            // group.consumer.max.size; unlimited
	ConsumerAssignors                                          []string       // group.consumer.assignors; uniform, range
	ConsumerMigration                                          string         // group.consumer.migration.policy; bidirectional
	RegexRefresh                                               time.Duration  // group.consumer.regex.refresh.interval.ms; 10 min

	ShareMaxSize   int // group.share.max.size; 200
	StreamsMaxSize int // group.streams.max.size; unlimited
}

// Options are what a Coordinator works with. Cluster is required.
type Options struct {
	Cluster Cluster
	Config  Config
	// GroupConfig returns what is set for a group (the config resource of kind GROUP); nil: nothing ever is. It must not block.
	GroupConfig func(group string) map[string]string
	// Txns asks transaction coordinators; nil means that there are none, and offsets are committed in no transaction.
	Txns TxnClient
	// Shares keeps the state of share groups; nil: there are none.
	Shares ShareStates
	// ShareMS returns a setting of a share group that is a time in milliseconds; nil: the default. It must not block.
	ShareMS func(group, name string) int64
	// Gate reports whether this node may still answer as a coordinator; nil means always. It must not block.
	Gate       func() bool
	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: no metrics
}

// newMemberJoinTimeout is how long a member that joins for the first time may be parked; Kafka has it as a constant, too.
const newMemberJoinTimeout = 5 * time.Minute

func (c Config) withDefaults() Config {
	c.MaxSessionTimeout = or(c.MaxSessionTimeout, 30*time.Minute)
	c.MaxSize = or(c.MaxSize, 1<<31-1)
	c.OffsetsRetention = or(c.OffsetsRetention, 7*24*time.Hour)
	c.OffsetsCheckInterval = or(c.OffsetsCheckInterval, 10*time.Minute)
	c.OffsetMetadataMax = or(c.OffsetMetadataMax, 4096)
	c.TopicPartitions = or(c.TopicPartitions, 50)
	c.ConsumerSession = or(c.ConsumerSession, 45*time.Second)
	c.ConsumerSessionMin = or(c.ConsumerSessionMin, min(45*time.Second, c.ConsumerSession))
	c.ConsumerSessionMax = or(c.ConsumerSessionMax, max(time.Minute, c.ConsumerSession))
	c.ConsumerInterval = or(c.ConsumerInterval, 5*time.Second)
	c.ConsumerIntervalMin = or(c.ConsumerIntervalMin, min(5*time.Second, c.ConsumerInterval))
	c.ConsumerIntervalMax = or(c.ConsumerIntervalMax, max(15*time.Second, c.ConsumerInterval))
	c.ShareMaxSize = or(c.ShareMaxSize, 200)
	c.StreamsMaxSize = or(c.StreamsMaxSize, 1<<31-1)
	c.ConsumerAssignMax = or(c.ConsumerAssignMax, 15*time.Second)
	if c.ConsumerAssign == nil {
		interval := time.Second
		c.ConsumerAssign = &interval
	}
	c.ConsumerMaxSize = or(c.ConsumerMaxSize, 1<<31-1)
	c.RegexRefresh = or(c.RegexRefresh, 10*time.Minute)
	c.ConsumerMigration = or(c.ConsumerMigration, "bidirectional")
	if c.ConsumerAssignors == nil {
		c.ConsumerAssignors = []string{"uniform", "range"}
	}
	if c.MinSessionTimeout == nil {
		least := 6 * time.Second
		c.MinSessionTimeout = &least
	}
	if c.InitialRebalanceDelay == nil {
		delay := 3 * time.Second
		c.InitialRebalanceDelay = &delay
	}
	return c
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (c Config) rules(batchBytesMax int, topics func() Topics, config func(string) map[string]string) rules {
	if config == nil {
		config = func(string) map[string]string { return nil }
	}
	return rules{
		sessionTimeoutMin: *c.MinSessionTimeout, sessionTimeoutMax: c.MaxSessionTimeout,
		initialRebalanceDelay: *c.InitialRebalanceDelay, newMemberJoinTimeout: newMemberJoinTimeout,
		groupSizeMax: c.MaxSize, offsetsRetention: c.OffsetsRetention, offsetsCheckInterval: c.OffsetsCheckInterval,
		metadataBytesMax: c.OffsetMetadataMax, batchBytesMax: batchBytesMax, newID: newMemberID,
		consumerRules: consumerRules{
			consumerSession:  limited{c.ConsumerSession, c.ConsumerSessionMin, c.ConsumerSessionMax},
			consumerInterval: limited{c.ConsumerInterval, c.ConsumerIntervalMin, c.ConsumerIntervalMax},
			consumerAssign:   limited{*c.ConsumerAssign, c.ConsumerAssignMin, c.ConsumerAssignMax},
			regexRefresh:     c.RegexRefresh,
			consumersMax:     c.ConsumerMaxSize, assignors: c.ConsumerAssignors, migration: c.ConsumerMigration, topics: topics, config: config,
		},
	}
}

// topicConfigs are the settings Kafka gives the topic.
func topicConfigs() map[string]string {
	return map[string]string{"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "104857600"}
}
