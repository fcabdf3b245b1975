package parity

import (
	"fmt"

	"sluice/wire/batch"
	"sluice/wire/msg"
)

var _ = add(map[string]func(*script){
	"list-offsets":   listOffsets,
	"leader-epoch":   leaderEpochs,
	"delete-records": deleteRecords,
	"producer-id":    producerIDs,
})

func listOffsets(s *script) {
	topic, empty, appendTime := s.create("t", 1), s.create("empty", 1), s.create("append", 1, "message.timestamp.type", "LogAppendTime")
	for i := range int64(3) {
		s.ask("records", 9, s.produceOf(topic, -1, recordsOf(batch.Options{}, t0+100*i, "a", "b", "c")))
	}
	s.ask("records out of order", 9, s.produceOf(topic, -1, recordsOf(batch.Options{}, t0-50, "d")))
	s.ask("records", 9, s.produceOf(appendTime, -1, values("a", "b")))
	times := []int64{-1, -2, -3, -4, -5, -6, -7, -100, 0, t0 - 1000, t0 - 50, t0, t0 + 1, t0 + 3, t0 + 101, t0 + 202, t0 + 203, t0 + 1_000_000}
	s.versions(msg.KeyListOffsets, func(v int16) {
		for _, ts := range times {
			s.ask(fmt.Sprintf("time t0%+d or %d", ts-t0, max(ts, -100)), v, listOf(topic, ts))
		}
		for _, ts := range []int64{-1, -2, -3, -4, t0} {
			s.ask(fmt.Sprintf("%d of an empty topic", min(ts, 1)), v, listOf(empty, ts))
			s.ask(fmt.Sprintf("%d by append time", min(ts, 1)), v, listOf(appendTime, ts))
		}
		s.ask("unknown topic", v, listOf(s.topic("unknown"), -1))
		s.ask("unknown partition", v, listOf(topic, -1, -1))
		s.ask("unknown topic, time -9", v, listOf(s.topic("unknown"), -9))
		committed := listOf(topic, -1)
		committed.IsolationLevel = 1
		s.ask("read committed", v, committed)
		twice := listOf(topic, -1, -2)
		twice.Topics[0].Partitions[1].PartitionIndex = 0
		s.ask("a partition twice", v, twice)
		for _, d := range []int32{0, 1, 9} {
			epoch := listOf(topic, -1)
			epoch.Topics[0].Partitions[0].CurrentLeaderEpoch = s.names.FirstEpoch + d
			s.ask(fmt.Sprintf("leader epoch first+%d", d), v, epoch)
		}
	})
}

func leaderEpochs(s *script) {
	topic := s.create("t", 1)
	s.ask("records", 9, s.produceOf(topic, -1, values("a", "b")))
	empty := s.create("empty", 1)
	s.versions(msg.KeyOffsetForLeaderEpoch, func(v int16) {
		ask := func(name, topic string, partition, current, epoch int32) {
			s.ask(name, v, &msg.OffsetForLeaderEpochRequest{ReplicaId: -1, Topics: []msg.OffsetForLeaderEpochRequestOffsetForLeaderTopic{{
				Topic: topic, Partitions: []msg.OffsetForLeaderEpochRequestOffsetForLeaderPartition{{Partition: partition, CurrentLeaderEpoch: current, LeaderEpoch: epoch}},
			}}})
		}
		first := s.names.FirstEpoch
		ask("the epoch", topic, 0, -1, first)
		ask("a later epoch", topic, 0, -1, first+3)
		ask("epoch -1", topic, 0, -1, -1)
		ask("right current epoch", topic, 0, first, first)
		ask("later current epoch", topic, 0, first+1, first)
		ask("unknown topic", s.topic("unknown"), 0, -1, first)
		ask("unknown partition", topic, 5, -1, first)
		ask("an empty one", empty, 0, -1, first)
	})
}

func deleteRecords(s *script) {
	s.versions(msg.KeyDeleteRecords, func(v int16) {
		topic := s.create(fmt.Sprintf("t%d", v), 1)
		s.ask("records", 9, s.produceOf(topic, -1, values("a", "b", "c")))
		s.ask("records", 9, s.produceOf(topic, -1, values("d")))
		remove := func(name, topic string, partition int32, offset int64) {
			s.ask(name, v, &msg.DeleteRecordsRequest{TimeoutMs: 5000, Topics: []msg.DeleteRecordsRequestDeleteRecordsTopic{{
				Name: topic, Partitions: []msg.DeleteRecordsRequestDeleteRecordsPartition{{PartitionIndex: partition, Offset: offset}},
			}}})
		}
		remove("to offset 2", topic, 0, 2)
		remove("to offset 1", topic, 0, 1)
		s.ask("where it starts", 5, listOf(topic, -2))
		s.ask("below the start", 11, s.fetchOf(topic, from(0, 1)))
		s.ask("from the start", 11, s.fetchOf(topic, from(0, 2)))
		remove("behind the end", topic, 0, 5)
		remove("offset -2", topic, 0, -2)
		remove("to the end", topic, 0, -1)
		s.ask("nothing left", 11, s.fetchOf(topic, from(0, 4)))
		remove("unknown topic", s.topic("unknown"), 0, 1)
		remove("unknown partition", topic, 3, 1)
		remove("internal topic", "__consumer_offsets", 0, 0)
		compacted := s.create(fmt.Sprintf("compacted%d", v), 1, "cleanup.policy", "compact")
		s.ask("records", 9, s.produceOf(compacted, -1, values("a")))
		remove("of a compacted topic", compacted, 0, 1)
	})
}

func producerIDs(s *script) {
	s.producer("") // Kafka has its ids from now on
	s.versions(msg.KeyInitProducerId, func(v int16) {
		s.ask("a new one", v, &msg.InitProducerIdRequest{TransactionTimeoutMs: 1000, ProducerId: -1, ProducerEpoch: -1})
		s.ask("with an id", v, &msg.InitProducerIdRequest{TransactionTimeoutMs: 1000, ProducerId: 12, ProducerEpoch: 3})
		s.ask("with an epoch alone", v, &msg.InitProducerIdRequest{TransactionTimeoutMs: 1000, ProducerId: -1, ProducerEpoch: 3})
		s.ask("empty transactional id", v, &msg.InitProducerIdRequest{TransactionalId: ptr(""), TransactionTimeoutMs: 1000, ProducerId: -1, ProducerEpoch: -1})
	})
}
