package handle

import (
	"slices"

	"sluice/broker/auth"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

const txnRefused = int16(kerr.TransactionalIDAuthorizationFailed)

type (
	addedTopic   = msg.AddPartitionsToTxnRequestAddPartitionsToTxnTopic
	addedOutcome = msg.AddPartitionsToTxnResponseAddPartitionsToTxnTopicResult
)

// guardAddPartitionsToTxn: one topic that may not be written refuses all of its transaction, and the others are not attempted. From version 4 on
// the request is one of brokers.
func guardAddPartitionsToTxn(g *gate, req *msg.AddPartitionsToTxnRequest) msg.Message {
	if g.c.Version >= 4 {
		if g.cluster(auth.ClusterAction) {
			return nil
		}
		return refused[msg.AddPartitionsToTxnResponse](kerr.ClusterAuthorizationFailed)
	}
	code := func(addedTopic) int16 { return txnRefused }
	if g.txn(auth.Write, req.V3AndBelowTransactionalId) {
		denied := map[string]bool{}
		for _, t := range req.V3AndBelowTopics {
			if !g.topic(auth.Write, t.Name) {
				denied[t.Name] = true
			}
		}
		if len(denied) == 0 {
			return nil
		}
		code = func(t addedTopic) int16 {
			if denied[t.Name] {
				return topicRefused
			}
			return int16(kerr.OperationNotAttempted)
		}
	}
	resp := new(msg.AddPartitionsToTxnResponse)
	resp.SetDefaults()
	for _, t := range req.V3AndBelowTopics {
		var out *addedOutcome = add(&resp.ResultsByTopicV3AndBelow)
		out.Name = t.Name
		for _, index := range t.Partitions {
			p := add(&out.ResultsByPartition)
			p.PartitionIndex, p.PartitionErrorCode = index, code(t)
		}
	}
	return resp
}

func guardAddOffsetsToTxn(g *gate, req *msg.AddOffsetsToTxnRequest) msg.Message {
	switch {
	case !g.txn(auth.Write, req.TransactionalId):
		return refused[msg.AddOffsetsToTxnResponse](kerr.TransactionalIDAuthorizationFailed)
	case !g.group(auth.Read, req.GroupId):
		return refused[msg.AddOffsetsToTxnResponse](kerr.GroupAuthorizationFailed)
	}
	return nil
}

func guardEndTxn(g *gate, req *msg.EndTxnRequest) msg.Message {
	if g.txn(auth.Write, req.TransactionalId) {
		return nil
	}
	resp := new(msg.EndTxnResponse)
	resp.SetDefaults()
	resp.ErrorCode, resp.ProducerId, resp.ProducerEpoch = txnRefused, -1, -1
	return resp
}

type txnOffsets = msg.TxnOffsetCommitRequestTxnOffsetCommitRequestTopic

func guardTxnOffsetCommit(g *gate, req *msg.TxnOffsetCommitRequest) msg.Message {
	refuse := func(resp *msg.TxnOffsetCommitResponse, topics []txnOffsets, code int16) *msg.TxnOffsetCommitResponse {
		for _, t := range topics {
			out := add(&resp.Topics)
			out.Name = t.Name
			for _, p := range t.Partitions {
				o := add(&out.Partitions)
				o.PartitionIndex, o.ErrorCode = p.PartitionIndex, code
			}
		}
		return resp
	}
	fresh := func() *msg.TxnOffsetCommitResponse {
		resp := new(msg.TxnOffsetCommitResponse)
		resp.SetDefaults()
		return resp
	}
	switch {
	case !g.txn(auth.Write, req.TransactionalId):
		return refuse(fresh(), req.Topics, txnRefused)
	case !g.group(auth.Read, req.GroupId):
		return refuse(fresh(), req.Topics, groupRefused)
	}
	rest := split(&req.Topics, func(t *txnOffsets) bool { return g.topic(auth.Read, t.Name) })
	switch {
	case len(rest) == 0:
	case len(req.Topics) == 0:
		return refuse(fresh(), rest, topicRefused)
	default:
		g.after(func(m msg.Message) { refuse(m.(*msg.TxnOffsetCommitResponse), rest, topicRefused) })
	}
	return nil
}

func guardWriteTxnMarkers(g *gate, req *msg.WriteTxnMarkersRequest) msg.Message {
	if g.may(auth.Alter, auth.Cluster, auth.ClusterName) || g.cluster(auth.ClusterAction) {
		return nil
	}
	resp := new(msg.WriteTxnMarkersResponse)
	resp.SetDefaults()
	for _, m := range req.Markers {
		out := add(&resp.Markers)
		out.ProducerId = m.ProducerId
		for _, t := range m.Topics {
			o := add(&out.Topics)
			o.Name = t.Name
			for _, index := range t.PartitionIndexes {
				p := add(&o.Partitions)
				p.PartitionIndex, p.ErrorCode = index, clusterRefused
			}
		}
	}
	return resp
}

func guardDescribeProducers(g *gate, req *msg.DescribeProducersRequest) msg.Message {
	rest := split(&req.Topics, func(t *msg.DescribeProducersRequestTopicRequest) bool { return g.topic(auth.Read, t.Name) })
	if len(rest) > 0 {
		g.after(func(m msg.Message) {
			resp := m.(*msg.DescribeProducersResponse)
			for _, t := range rest {
				out := add(&resp.Topics)
				out.Name = t.Name
				for _, index := range t.PartitionIndexes {
					p := add(&out.Partitions)
					text := refusalText(kerr.TopicAuthorizationFailed)
					p.PartitionIndex, p.ErrorCode, p.ErrorMessage = index, topicRefused, &text
				}
			}
		})
	}
	return nil
}

func guardDescribeTransactions(g *gate, req *msg.DescribeTransactionsRequest) msg.Message {
	rest := split(&req.TransactionalIds, func(id *string) bool { return g.txn(auth.Describe, *id) })
	a, who, host := g.a, g.c.session.who, g.c.session.host
	g.after(func(m msg.Message) {
		resp := m.(*msg.DescribeTransactionsResponse)
		for i := range resp.TransactionStates {
			s := &resp.TransactionStates[i]
			s.Topics = slices.DeleteFunc(s.Topics, func(t msg.DescribeTransactionsResponseTopicData) bool {
				return !a.Allowed(who, host, auth.Describe, auth.Topic, t.Topic)
			})
		}
		for _, id := range rest {
			out := add(&resp.TransactionStates)
			out.TransactionalId, out.ErrorCode = id, txnRefused
		}
	})
	return nil
}

func guardListTransactions(g *gate, _ *msg.ListTransactionsRequest) msg.Message {
	a, who, host := g.a, g.c.session.who, g.c.session.host
	g.after(func(m msg.Message) {
		resp := m.(*msg.ListTransactionsResponse)
		resp.TransactionStates = slices.DeleteFunc(resp.TransactionStates, func(s msg.ListTransactionsResponseTransactionState) bool {
			return !a.Allowed(who, host, auth.Describe, auth.TransactionalID, s.TransactionalId)
		})
	})
	return nil
}

func guardAlterClientQuotas(g *gate, req *msg.AlterClientQuotasRequest) msg.Message {
	if g.cluster(auth.AlterConfigs) {
		return nil
	}
	resp := new(msg.AlterClientQuotasResponse)
	resp.SetDefaults()
	text := refusalText(kerr.ClusterAuthorizationFailed)
	for _, e := range req.Entries {
		out := add(&resp.Entries)
		out.ErrorCode, out.ErrorMessage = clusterRefused, &text
		for _, part := range e.Entity {
			o := add(&out.Entity)
			o.EntityType, o.EntityName = part.EntityType, part.EntityName
		}
	}
	return resp
}
