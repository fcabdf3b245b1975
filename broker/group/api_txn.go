package group

import (
	"context"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/broker/partition"
	"sluice/broker/txn"
	"sluice/wire/batch"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// TxnClient asks transaction coordinators. *txn.Client implements it.
type TxnClient interface {
	// AddPartitions calls done exactly once, maybe before it returns, with a code for each partition.
	AddPartitions(ctx context.Context, r txn.AddPartitions, done func([]kerr.Code))
}

// Versions of TxnOffsetCommit.
const (
	txnCommitV2        int16 = 5 // of clients with transactions v2: the partition is added to the transaction here
	txnCommitAbortable int16 = 4 // knows TRANSACTION_ABORTABLE
	txnCommitLoading   int16 = 2 // knows COORDINATOR_LOAD_IN_PROGRESS
)

// TxnOffsetCommit serves TxnOffsetCommit, versions 0 to 5. Before the first commit of a transaction in a partition of __consumer_offsets the
// transaction's coordinator is asked: whether the partition is part of the transaction, or from version 5 on to add it.
func (c *Coordinator) TxnOffsetCommit(ctx context.Context, info CallInfo, req *msg.TxnOffsetCommitRequest, reply func(*msg.TxnOffsetCommitResponse)) {
	cmd := &commitCommand{
		group: req.GroupId, identity: identity{req.MemberId, instanceOf(req.GroupInstanceId)}, generation: req.GenerationId,
		retentionMS: -1, producer: &coord.Producer{ID: req.ProducerId, Epoch: req.ProducerEpoch},
	}
	res := &msg.TxnOffsetCommitResponse{}
	makeSlice(&res.Topics, len(req.Topics))
	for i, t := range req.Topics {
		_, id, code := c.resolve(t.Name, base.UUID{}, false)
		out := &res.Topics[i]
		out.Name = t.Name
		makeSlice(&out.Partitions, len(t.Partitions))
		for j, p := range t.Partitions {
			out.Partitions[j].PartitionIndex = p.PartitionIndex
			cmd.offsets = append(cmd.offsets, commitOffset{
				partition: partitionKey{t.Name, p.PartitionIndex}, topicID: id, offset: p.CommittedOffset,
				epoch: p.CommittedLeaderEpoch, metadata: text(p.CommittedMetadata), code: code,
			})
		}
	}
	fill := func(code func(i int) kerr.Code) {
		i := 0
		for t := range res.Topics {
			for p := range res.Topics[t].Partitions {
				res.Topics[t].Partitions[p].ErrorCode = int16(txnCommitCode(code(i), info.Version))
				i++
			}
		}
		reply(res)
	}
	fail := func(code kerr.Code) { fill(func(int) kerr.Code { return code }) }
	if req.GroupId == "" {
		fail(kerr.InvalidGroupID)
		return
	}
	question := txn.AddPartitions{TransactionalID: req.TransactionalId, ProducerID: req.ProducerId, Epoch: req.ProducerEpoch, VerifyOnly: info.Version < txnCommitV2}
	c.commitVerified(ctx, question, cmd, guardsMax, func(r commitResult) { fill(func(i int) kerr.Code { return r.codes[i] }) }, fail)
}

// guardsMax bounds how often the coordinator is asked for one commit. A marker of the transaction before takes the guard away that the question
// was asked with; then it is asked again.
const guardsMax = 4

func (c *Coordinator) commitVerified(ctx context.Context, q txn.AddPartitions, cmd *commitCommand, guards int, reply func(commitResult), fail func(kerr.Code)) {
	c.verified(ctx, q, cmd.group, func(guard partition.Guard) {
		guarded, producer := *cmd, *cmd.producer
		producer.Guard = guard
		guarded.producer = &producer
		submit(c, cmd.group, &guarded, func(r commitResult) {
			if guards > 1 && len(r.codes) > 0 && r.codes[0] == kerr.InvalidTxnState {
				c.commitVerified(ctx, q, cmd, guards-1, reply, fail)
				return
			}
			reply(r)
		}, fail)
	}, fail)
}

// verified asks the transaction's coordinator, if need be, and calls one of then and fail.
func (c *Coordinator) verified(ctx context.Context, q txn.AddPartitions, group string, then func(partition.Guard), fail func(kerr.Code)) {
	p := c.host.Partition(group)
	switch {
	case p == nil:
		fail(kerr.NotCoordinator)
		return
	case c.opt.Txns == nil:
		fail(kerr.CoordinatorNotAvailable)
		return
	}
	guard, needed := p.Verify(q.ProducerID, q.Epoch, batch.NoSequence, !q.VerifyOnly)
	if !needed {
		then(0)
		return
	}
	_, topic, index := p.ID()
	q.Partitions = []txn.TopicPartition{{Topic: topic, Index: index}}
	c.opt.Txns.AddPartitions(ctx, q, func(codes []kerr.Code) {
		if codes[0] != kerr.None {
			fail(codes[0])
			return
		}
		then(guard)
	})
}

// txnCommitCode is what clients of a version are told.
func txnCommitCode(code kerr.Code, version int16) kerr.Code {
	switch {
	case code == kerr.NetworkException: // of the question to the transaction's coordinator; this one has them try again here
		code = kerr.CoordinatorLoadInProgress
	case code == kerr.TransactionAbortable && version < txnCommitAbortable:
		code = kerr.InvalidTxnState
	}
	if code == kerr.CoordinatorLoadInProgress && version < txnCommitLoading {
		code = kerr.CoordinatorNotAvailable
	}
	return code
}

// EndTransaction writes the marker that ends a producer's transaction in a partition of __consumer_offsets, and calls done when the offsets that
// were pending there have become the groups', or have been dropped. Codes are those of the partition's fences, NOT_COORDINATOR and others that
// may be tried again.
func (c *Coordinator) EndTransaction(index int32, m coord.Marker, done func(kerr.Code)) {
	c.host.SubmitTo(index, coord.Call{Command: &endTxnCommand{m}, Reply: func(r any) { done(r.(codeResult).code) }, Fail: done})
}
