//go:build old

package main

import (
	"context"

	"github.com/IBM/sarama"
	"suite"
)

func partitioner(name string) sarama.PartitionerConstructor {
	return map[string]sarama.PartitionerConstructor{"round-robin": sarama.NewRoundRobinPartitioner}[name]
}

func (c *client) ListOffset(_ context.Context, topic string, p int32, at int64, committed bool) (int64, error) {
	if committed || at == suite.MaxTimestamp {
		return 0, suite.ErrLacks
	}
	return c.cl.GetOffset(topic, p, at)
}
