package parity

import (
	"sluice/base"
	"sluice/wire/msg"
)

// Requests in short. Fields that a version does not have are not written.

func metadataOf(names ...string) *msg.MetadataRequest {
	req := &msg.MetadataRequest{Topics: []msg.MetadataRequestMetadataRequestTopic{}}
	for _, n := range names {
		req.Topics = append(req.Topics, msg.MetadataRequestMetadataRequestTopic{Name: &n})
	}
	return req
}

type newTopicOf = msg.CreateTopicsRequestCreatableTopic

// newTopic has its configs in pairs.
func newTopic(name string, partitions int32, replicas int16, configs ...string) newTopicOf {
	t := newTopicOf{Name: name, NumPartitions: partitions, ReplicationFactor: replicas}
	for i := 0; i < len(configs); i += 2 {
		t.Configs = append(t.Configs, msg.CreateTopicsRequestCreatableTopicConfig{Name: configs[i], Value: &configs[i+1]})
	}
	return t
}

func createOf(topics ...newTopicOf) *msg.CreateTopicsRequest {
	return &msg.CreateTopicsRequest{Topics: topics, TimeoutMs: 10_000}
}

// listOf asks for one offset of partition 0.
func listOf(topic string, timestamps ...int64) *msg.ListOffsetsRequest {
	t := msg.ListOffsetsRequestListOffsetsTopic{Name: topic}
	for i, ts := range timestamps {
		t.Partitions = append(t.Partitions, msg.ListOffsetsRequestListOffsetsPartition{PartitionIndex: int32(i), CurrentLeaderEpoch: -1, Timestamp: ts})
	}
	return &msg.ListOffsetsRequest{ReplicaId: -1, Topics: []msg.ListOffsetsRequestListOffsetsTopic{t}, TimeoutMs: 10_000}
}

// produceOf writes one batch to each partition from 0 on. Both the name and the id of the topic are given, the version takes one.
func (s *script) produceOf(topic string, acks int16, batches ...[]byte) *msg.ProduceRequest {
	t := msg.ProduceRequestTopicProduceData{Name: topic, TopicId: s.idOf(topic)}
	for i, b := range batches {
		t.PartitionData = append(t.PartitionData, msg.ProduceRequestPartitionProduceData{Index: int32(i), Records: b})
	}
	return &msg.ProduceRequest{Acks: acks, TimeoutMs: 10_000, TopicData: []msg.ProduceRequestTopicProduceData{t}}
}

// idOf returns the id of a topic, one that nothing has if the script did not create it.
func (s *script) idOf(topic string) base.UUID {
	if id, ok := s.ids[topic]; ok {
		return id
	}
	return noSuchID
}

var noSuchID = base.UUID{0x4b, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

type fetchPartition = msg.FetchRequestFetchPartition

// from is a partition of a fetch.
func from(partition int32, offset int64, change ...func(*fetchPartition)) fetchPartition {
	p := fetchPartition{}
	p.SetDefaults()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.LogStartOffset = partition, offset, 1<<20, -1
	for _, fn := range change {
		fn(&p)
	}
	return p
}

// fetchOf fetches without a session.
func (s *script) fetchOf(topic string, parts ...fetchPartition) *msg.FetchRequest {
	req := &msg.FetchRequest{}
	req.SetDefaults()
	req.MaxWaitMs, req.MinBytes, req.MaxBytes, req.SessionEpoch, req.ReplicaId = 0, 1, 50<<20, -1, -1
	req.ReplicaState.ReplicaId, req.ReplicaState.ReplicaEpoch = -1, -1
	if topic != "" {
		req.Topics = []msg.FetchRequestFetchTopic{{Topic: topic, TopicId: s.idOf(topic), Partitions: parts}}
	}
	return req
}
