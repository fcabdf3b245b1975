package parity

import (
	"fmt"
	"time"

	"sluice/wire/batch"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

var _ = add(map[string]func(*script){
	"txn-produce":   txnProduce,
	"txn-unasked":   txnUnasked,
	"txn-markers":   txnMarkers,
	"txn-offsets":   txnOffsets,
	"txn-offsets-2": txnOffsetsVersionTwo,
})

// txnBatchOf is a batch of a transaction.
func txnBatchOf(p producing, sequence int32, values ...string) []byte {
	return recordsOf(batch.Options{Idempotent: true, Transactional: true, ProducerID: p.id, ProducerEpoch: p.epoch, BaseSequence: sequence}, t0, values...)
}

func (s *script) produceIn(id string, topic string, batches ...[]byte) *msg.ProduceRequest {
	req := s.produceOf(topic, -1, batches...)
	if id != "" {
		req.TransactionalId = &id
	}
	return req
}

// send produces, and repeats that while the broker has to find out about the transaction.
func (s *script) send(name string, version int16, id, topic string, batches ...[]byte) {
	req := s.produceIn(id, topic, batches...)
	codeOf := func(m msg.Message) kerr.Code {
		return kerr.Code(m.(*msg.ProduceResponse).Responses[0].PartitionResponses[0].ErrorCode)
	}
	answer := s.tell(version, req)
	for deadline := time.Now().Add(settleMax); time.Now().Before(deadline); answer = s.tell(version, req) {
		if code := codeOf(answer); code != kerr.NotEnoughReplicas && code != kerr.ConcurrentTransactions {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.show(name, version, answer)
}

// read takes what is in partition 0 as steps: for those who read everything, and for those who read what is committed.
func (s *script) read(name, topic string, offsets ...int64) {
	s.awaitStable(topic)
	for _, v := range []int16{4, 11, 12, 18} {
		for _, offset := range offsets {
			for _, isolation := range []int8{0, 1} {
				req := s.fetchOf(topic, from(0, offset))
				req.IsolationLevel = isolation
				s.ask(fmt.Sprintf("%s, from %d, isolation %d", name, offset, isolation), v, req)
			}
		}
	}
	for _, ts := range []int64{-1, -2, -3, t0, t0 + 5000} {
		for _, isolation := range []int8{0, 1} {
			req := listOf(topic, ts)
			req.IsolationLevel = isolation
			s.ask(fmt.Sprintf("%s, time %d, isolation %d", name, ts, isolation), 8, req)
		}
	}
	s.ask(name, 0, &msg.DescribeProducersRequest{Topics: []msg.DescribeProducersRequestTopicRequest{{Name: topic, PartitionIndexes: []int32{0, 1}}}})
}

// awaitStable waits until the markers of transactions that have ended are there: the end of what is committed stands still.
func (s *script) awaitStable(topic string) {
	last, since := "", time.Now()
	for deadline := time.Now().Add(settleMax); time.Now().Before(deadline) && time.Since(since) < 300*time.Millisecond; time.Sleep(10 * time.Millisecond) {
		parts := s.tell(8, listOf(topic, -1, -1)).(*msg.ListOffsetsResponse).Topics[0].Partitions
		if end := fmt.Sprint(parts[0].Offset, parts[1].Offset); end != last {
			last, since = end, time.Now()
		}
	}
}

// txnProduce has transactions of both versions overlap in a partition, and reads what comes of it.
func txnProduce(s *script) {
	topic := s.create("t", 1)
	a, b, c := s.topic("a"), s.topic("b"), s.topic("c")
	pa, pb, pc := s.initTxn("a", 4, a, noProducer), s.initTxn("b", 5, b, noProducer), s.initTxn("c", 5, c, noProducer)
	s.addTxn("a adds", 3, a, pa, topic, 0)
	s.send("a writes", 11, a, topic, txnBatchOf(pa, 0, "a0", "a1"))
	s.send("b writes", 12, b, topic, txnBatchOf(pb, 0, "b0"))
	s.ask("somebody writes", 11, s.produceOf(topic, -1, values("x")))
	s.send("a goes on", 11, a, topic, txnBatchOf(pa, 2, "a2"))
	s.send("a again", 11, a, topic, txnBatchOf(pa, 2, "a2"))
	s.send("c writes", 13, c, topic, txnBatchOf(pc, 0, "c0"))
	s.read("three are open", topic, 0, 3)
	pb = s.endTxn("b aborts", 5, b, pb, false)
	s.read("b was aborted", topic, 0, 3)
	s.endTxn("a commits", 4, a, pa, true)
	s.read("a was committed", topic, 0, 3, 6)
	pc = s.endTxn("c aborts", 5, c, pc, false)
	s.read("all have ended", topic, 0, 2, 3, 5, 6, 8, 9)
	s.send("b is back", 12, b, topic, txnBatchOf(pb, 0, "b1"))
	s.send("b with the epoch before", 12, b, topic, txnBatchOf(pb.with(-1), 1, "b2"))
	pb = s.endTxn("b commits", 5, b, pb, true)
	s.describe("b has committed", b) // its marker is written behind the answer, before what follows
	s.addTxn("a adds again", 3, a, pa, topic, 0)
	s.send("a is back", 11, a, topic, txnBatchOf(pa, 3, "a3"))
	s.ask("a writes outside", 11, s.produceOf(topic, -1, recordsOf(batch.Options{Idempotent: true, ProducerID: pa.id, ProducerEpoch: pa.epoch, BaseSequence: 4}, t0, "a4")))
	s.ask("a skips one", 11, s.produceIn(a, topic, txnBatchOf(pa, 5, "a5")))
	s.initTxn("a again", 4, a, noProducer)
	s.ask("the first a goes on", 11, s.produceIn(a, topic, txnBatchOf(pa, 4, "a4")))
	s.ask("the first a goes on, v2", 12, s.produceIn(a, topic, txnBatchOf(pa, 4, "a4")))
	s.read("at last", topic, 0, 9, 12)
}

// txnUnasked produces what does not belong to a transaction.
func txnUnasked(s *script) {
	topic, odd := s.create("t", 2), s.create("odd", 1)
	for _, v := range []int16{3, 10, 11, 12, 13} {
		id := s.topic(fmt.Sprint("v", v))
		p := s.initTxn("init", 5, id, noProducer)
		if v < 12 {
			s.send("not added", v, id, topic, txnBatchOf(p, 0, "x"))
			s.addTxn("add the other", 3, id, p, topic, 1)
			s.send("not added, the other is", v, id, topic, txnBatchOf(p, 0, "x"))
			s.send("one is added, one not", v, id, topic, txnBatchOf(p, 0, "x"), txnBatchOf(p, 0, "x"))
		}
		s.send("sequence 3", v, id, topic, txnBatchOf(p, 3, "x"))
		s.send("another id", v, s.topic("unknown"), topic, txnBatchOf(p, 0, "x"))
		s.send("a later epoch", v, id, topic, txnBatchOf(p.with(1), 0, "x"))
		s.send("another producer", v, id, topic, txnBatchOf(producing{p.id + 1000, 0}, 0, "x"))
		s.ask("two producers", v, s.produceIn(id, topic, txnBatchOf(p, 0, "x"), txnBatchOf(producing{p.id + 1000, 0}, 0, "x")))
		s.ask("two epochs", v, s.produceIn(id, topic, txnBatchOf(p, 0, "x"), txnBatchOf(p.with(1), 0, "x")))
		s.ask("no transactional id", v, s.produceIn("", topic, txnBatchOf(p, 0, "x"), values("y")))
		s.ask("a transactional id for nothing", v, s.produceIn(id, topic, values("y")))
		s.ask("without a producer id", v, s.produceIn(id, odd, txnBatchOf(noProducer, 0, "x")))
		s.ask("an unknown partition", v, s.produceIn(id, topic, values("y"), values("z"), txnBatchOf(p, 0, "x")))
		s.endTxn("abort", 4, id, p, false)
		s.awaitStable(topic)
	}
}

func marker(p producing, commit bool, coordinator int32, topic string, partitions ...int32) msg.WriteTxnMarkersRequestWritableTxnMarker {
	return msg.WriteTxnMarkersRequestWritableTxnMarker{
		ProducerId: p.id, ProducerEpoch: p.epoch, TransactionResult: commit, CoordinatorEpoch: coordinator,
		Topics: []msg.WriteTxnMarkersRequestWritableTxnMarkerTopic{{Name: topic, PartitionIndexes: partitions}},
	}
}

// txnMarkers writes markers as an administrator does.
func txnMarkers(s *script) {
	topic := s.create("t", 2)
	id := s.topic("id")
	p := s.initTxn("init", 4, id, noProducer)
	s.addTxn("add", 3, id, p, topic, 0)
	s.send("write", 11, id, topic, txnBatchOf(p, 0, "x"))
	write := func(name string, v int16, version int8, m msg.WriteTxnMarkersRequestWritableTxnMarker) {
		m.TransactionVersion = version
		time.Sleep(2 * time.Millisecond) // no two markers have the same time: which has the largest one is asked for
		s.ask(name, v, &msg.WriteTxnMarkersRequest{Markers: []msg.WriteTxnMarkersRequestWritableTxnMarker{m}})
	}
	for _, v := range []int16{1, 2} {
		write("a negative epoch", v, 0, marker(p.with(-1), true, 1000, topic, 0))
		write("an unknown partition", v, 0, marker(p, true, 1000, topic, 7))
		write("an unknown topic", v, 0, marker(p, true, 1000, s.topic("unknown"), 0))
		write("a later epoch", v, 0, marker(p.with(1), false, 1000, topic, 0, 1))
		write("an earlier coordinator", v, 0, marker(p.with(1), false, 999, topic, 0))
		write("another producer", v, 0, marker(producing{p.id + 1000 + int64(v), 3}, true, 1000, topic, 0))
		s.read("then", topic, 0)
	}
	write("version 2 of the protocol, a lower epoch", 2, 2, marker(p, true, 1000, topic, 0))
	write("version 2 of the protocol, the next epoch", 2, 2, marker(p.with(2), true, 1000, topic, 0))
	s.ask("none", 1, &msg.WriteTxnMarkersRequest{Markers: []msg.WriteTxnMarkersRequestWritableTxnMarker{}})
	s.read("at last", topic, 0)
	s.ask("unknown ones", 0, &msg.DescribeProducersRequest{Topics: []msg.DescribeProducersRequestTopicRequest{{Name: s.topic("unknown"), PartitionIndexes: []int32{0}}, {Name: topic, PartitionIndexes: []int32{-1, 9}}}})
}

func txnCommitOf(id, group string, p producing, topic string, offsets ...int64) *msg.TxnOffsetCommitRequest {
	t := msg.TxnOffsetCommitRequestTxnOffsetCommitRequestTopic{Name: topic}
	for i, o := range offsets {
		t.Partitions = append(t.Partitions, msg.TxnOffsetCommitRequestTxnOffsetCommitRequestPartition{PartitionIndex: int32(i), CommittedOffset: o, CommittedLeaderEpoch: -1, CommittedMetadata: ptr("m")})
	}
	return &msg.TxnOffsetCommitRequest{TransactionalId: id, GroupId: group, ProducerId: p.id, ProducerEpoch: p.epoch, GenerationId: -1,
		Topics: []msg.TxnOffsetCommitRequestTxnOffsetCommitRequestTopic{t}}
}

// commitTxn commits offsets, and repeats that while the broker has to find out about the transaction.
func (s *script) commitTxn(name string, v int16, req *msg.TxnOffsetCommitRequest) {
	s.patiently(name, v, req, func(m msg.Message) int16 {
		return m.(*msg.TxnOffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
	})
}

// readOffsets takes a group's offsets of partitions 0 to 2 as steps, once no marker is on its way if they are to be stable.
func (s *script) readOffsets(name, group, topic string, stable bool) {
	req := func(require bool) *msg.OffsetFetchRequest {
		return &msg.OffsetFetchRequest{RequireStable: require, GroupId: group,
			Topics: []msg.OffsetFetchRequestOffsetFetchRequestTopic{{Name: topic, PartitionIndexes: []int32{0, 1, 2}}},
			Groups: []msg.OffsetFetchRequestOffsetFetchRequestGroup{{GroupId: group, MemberEpoch: -1, Topics: []msg.OffsetFetchRequestOffsetFetchRequestTopics{{Name: topic, PartitionIndexes: []int32{0, 1, 2}}}}}}
	}
	if stable {
		s.settle(name+", settled", 7, req(true), func(m msg.Message) bool {
			for _, p := range m.(*msg.OffsetFetchResponse).Topics[0].Partitions {
				if kerr.Code(p.ErrorCode) == kerr.UnstableOffsetCommit {
					return false
				}
			}
			return true
		})
	}
	for _, v := range []int16{6, 7, 8, 9} {
		s.ask(name, v, req(false))
		s.ask(name+", stable", v, req(true))
	}
	all := req(true)
	all.Topics, all.Groups[0].Topics = nil, nil
	s.ask(name+", all, stable", 7, all)
	s.ask(name+", all, stable", 9, all)
}

// txnOffsets commits offsets in transactions of the first version of the protocol.
func txnOffsets(s *script) {
	topic := s.create("t", 3)
	for v := int16(0); v <= 4; v++ {
		id, group := s.topic(fmt.Sprint("v", v)), s.topic(fmt.Sprint("g", v))
		p := s.initTxn("init", 4, id, noProducer)
		s.commitTxn("not added", v, txnCommitOf(id, group, p, topic, 5))
		s.patiently("add", 3, &msg.AddOffsetsToTxnRequest{TransactionalId: id, ProducerId: p.id, ProducerEpoch: p.epoch, GroupId: group}, func(m msg.Message) int16 {
			return m.(*msg.AddOffsetsToTxnResponse).ErrorCode
		})
		s.commitTxn("commit", v, txnCommitOf(id, group, p, topic, 5, 6))
		s.commitTxn("commit more", v, txnCommitOf(id, group, p, topic, 7))
		s.commitTxn("an earlier epoch", v, txnCommitOf(id, group, p.with(-1), topic, 8))
		s.commitTxn("a later epoch", v, txnCommitOf(id, group, p.with(1), topic, 8))
		s.commitTxn("an unknown topic", v, txnCommitOf(id, group, p, s.topic("unknown"), 8))
		long := txnCommitOf(id, group, p, topic, 9)
		long.Topics[0].Partitions[0].CommittedMetadata = ptr(string(make([]byte, 4097)))
		s.commitTxn("long metadata", v, long)
		if v >= 3 {
			member := txnCommitOf(id, group, p, topic, 8)
			member.MemberId, member.GenerationId = "nobody", 3
			s.commitTxn("no such member", v, member)
			member = txnCommitOf(id, s.topic("unknown"), p, topic, 8)
			member.MemberId, member.GenerationId = "nobody", 3
			s.commitTxn("no such group", v, member)
		}
		s.readOffsets("pending", group, topic, false)
		s.endTxn("commit", 4, id, p, true)
		s.readOffsets("committed", group, topic, true)
		s.commitTxn("after the end", v, txnCommitOf(id, group, p, topic, 10))
		s.ask("delete the group", 1, &msg.DeleteGroupsRequest{GroupsNames: []string{group}})
	}
}

// txnOffsetsVersionTwo commits offsets in transactions of the second version, and in some that overlap.
func txnOffsetsVersionTwo(s *script) {
	topic := s.create("t", 3)
	a, b, group := s.topic("a"), s.topic("b"), s.topic("g")
	pa, pb := s.initTxn("a", 5, a, noProducer), s.initTxn("b", 5, b, noProducer)
	s.commitTxn("a", 5, txnCommitOf(a, group, pa, topic, 1, 1))
	s.commitTxn("b", 5, txnCommitOf(b, group, pb, topic, 2))
	s.readOffsets("both are open", group, topic, false)
	pb = s.endTxn("b commits", 5, b, pb, true)
	pa = s.endTxn("a commits", 5, a, pa, true)
	s.readOffsets("the later commit counts", group, topic, true)
	s.commitTxn("a", 5, txnCommitOf(a, group, pa, topic, 3))
	s.commitTxn("a with the epoch before", 5, txnCommitOf(a, group, pa.with(-1), topic, 4))
	pa = s.endTxn("a aborts", 5, a, pa, false)
	s.readOffsets("aborted", group, topic, true)
	s.commitTxn("a", 5, txnCommitOf(a, group, pa, topic, 5, 5))
	s.ask("an administrator commits", 8, &msg.OffsetCommitRequest{GroupId: group, GenerationIdOrMemberEpoch: -1, Topics: []msg.OffsetCommitRequestOffsetCommitRequestTopic{{Name: topic,
		Partitions: []msg.OffsetCommitRequestOffsetCommitRequestPartition{{PartitionIndex: 0, CommittedOffset: 6, CommittedLeaderEpoch: -1, CommittedMetadata: ptr("")}}}}})
	s.endTxn("a commits", 5, a, pa, true)
	s.readOffsets("the administrator came later", group, topic, true)
	c := s.topic("c")
	pc := s.initTxn("c", 5, c, noProducer)
	s.commitTxn("c", 5, txnCommitOf(c, s.topic("doomed"), pc, topic, 7))
	s.ask("delete a group with a pending offset", 1, &msg.DeleteGroupsRequest{GroupsNames: []string{s.topic("doomed")}})
	s.endTxn("c commits", 5, c, pc, true)
	s.readOffsets("of the deleted group", s.topic("doomed"), topic, true)
}
