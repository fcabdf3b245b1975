//go:build !old

package main

import (
	"context"
	"errors"

	"github.com/IBM/sarama"
	"suite"
)

func partitioner(name string) sarama.PartitionerConstructor {
	return map[string]sarama.PartitionerConstructor{"round-robin": sarama.NewRoundRobinPartitioner, "murmur2": sarama.NewMurmur2Partitioner}[name]
}

func (c *client) ListOffset(_ context.Context, topic string, p int32, at int64, committed bool) (int64, error) {
	if at == suite.MaxTimestamp {
		return 0, suite.ErrLacks
	}
	opt := &sarama.ListOffsetsOptions{}
	if committed {
		opt.IsolationLevel = sarama.ReadCommitted
	}
	all, err := c.adm.ListOffsets(map[string]map[int32]int64{topic: {p: at}}, opt)
	if err != nil {
		return 0, err
	}
	o := all[topic][p]
	if errors.Is(o.Err, sarama.ErrNoError) {
		return o.Offset, nil
	}
	return o.Offset, o.Err
}

func (c *client) ElectLeader(_ context.Context, topic string, p int32) error {
	all, err := c.adm.ElectLeaders(sarama.PreferredElection, map[string][]int32{topic: {p}})
	if err != nil {
		return err
	}
	return kerr(all[topic][p].ErrorCode)
}

func (c *client) Producers(_ context.Context, topic string, p int32) (all []suite.ProducerState, err error) {
	b, err := c.cl.Leader(topic, p)
	if err != nil {
		return nil, err
	}
	resp, err := b.DescribeProducers(&sarama.DescribeProducersRequest{Topics: []sarama.DescribeProducersRequestTopic{{Name: topic, PartitionIndexes: []int32{p}}}})
	if err != nil {
		return nil, err
	}
	got := resp.Topics[0].Partitions[0]
	for _, s := range got.ActiveProducers {
		all = append(all, suite.ProducerState{ID: s.ProducerID, Epoch: s.ProducerEpoch, LastSequence: s.LastSequence, TxnStart: s.CurrentTxnStartOffset})
	}
	return all, kerr(got.ErrorCode)
}

func (c *client) DescribeTxn(_ context.Context, id string) (string, error) {
	b, err := c.cl.TransactionCoordinator(id)
	if err != nil {
		return "", err
	}
	resp, err := b.DescribeTransactions(&sarama.DescribeTransactionsRequest{TransactionalIDs: []string{id}})
	if err != nil {
		return "", err
	}
	return resp.TransactionStates[0].TransactionState, kerr(resp.TransactionStates[0].ErrorCode)
}

func (c *client) DescribeACLs(context.Context) error {
	_, err := c.adm.ListAcls(sarama.AclFilter{ResourceType: sarama.AclResourceAny, ResourcePatternTypeFilter: sarama.AclPatternAny, Operation: sarama.AclOperationAny, PermissionType: sarama.AclPermissionAny})
	return err
}
