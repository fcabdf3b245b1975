package txn

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/broker/coord"
)

// Topic is Kafka's name of the topic that holds transactions.
const Topic = "__transaction_state"

// Config holds the settings of transactions, under the names Kafka knows them by. The zero value of a field means its default.
type Config struct {
	TopicPartitions int32         // transaction.state.log.num.partitions; 50
	MaxTimeout      time.Duration // transaction.max.timeout.ms; 15 min
	IDExpiration    time.Duration // transactional.id.expiration.ms; 7 days
	IDCheckInterval time.Duration // transaction.remove.expired.transaction.cleanup.interval.ms; 1 h
}

func (c Config) withDefaults() Config {
	if c.TopicPartitions == 0 {
		c.TopicPartitions = 50
	}
	if c.MaxTimeout == 0 {
		c.MaxTimeout = 15 * time.Minute
	}
	if c.IDExpiration == 0 {
		c.IDExpiration = 7 * 24 * time.Hour
	}
	if c.IDCheckInterval == 0 {
		c.IDCheckInterval = time.Hour
	}
	return c
}

// Options are what a Coordinator works with. All are required but Config, Gate, Logger and Registerer.
type Options struct {
	Cluster coord.Cluster
	Config  Config
	// ProducerID returns a producer id that nobody had before. It may block.
	ProducerID func(ctx context.Context) (int64, error)
	// Leaders finds the leaders of partitions, Markers what writes markers on a node.
	Leaders Leaders
	Markers WriterOf
	// GroupPartition returns the partition of __consumer_offsets that holds the offsets of a group.
	GroupPartition func(group string) TopicPartition
	// Gate reports whether this node may still answer as a coordinator; nil means always. It must not block.
	Gate       func() bool
	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: no metrics
}

// topicConfigs are the settings Kafka gives the topic.
func topicConfigs() map[string]string {
	return map[string]string{
		"cleanup.policy": "compact", "compression.type": "uncompressed", "segment.bytes": "104857600", "unclean.leader.election.enable": "false",
	}
}
