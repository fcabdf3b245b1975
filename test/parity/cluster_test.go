package parity

import (
	"sluice/base"
	"sluice/wire/msg"
)

var _ = add(map[string]func(*script){
	"reassign":   reassign,
	"elect":      elect,
	"quorum":     quorum,
	"features":   updateFeatures,
	"unregister": unregister,
})

// nobody is the id of a broker that neither cluster has.
const nobody = 7777

func reassign(s *script) {
	topic, node := s.create("t", 2), s.broker.Node
	alter := func(name string, v int16, topic string, partition int32, mayResize bool, replicas []int32) {
		s.ask(name, v, &msg.AlterPartitionReassignmentsRequest{TimeoutMs: 10_000, AllowReplicationFactorChange: mayResize,
			Topics: []msg.AlterPartitionReassignmentsRequestReassignableTopic{{Name: topic,
				Partitions: []msg.AlterPartitionReassignmentsRequestReassignablePartition{{PartitionIndex: partition, Replicas: replicas}}}}})
	}
	s.versions(msg.KeyAlterPartitionReassignments, func(v int16) {
		alter("to where it is", v, topic, 0, true, []int32{node})
		alter("to where it is, no other number of replicas", v, topic, 0, false, []int32{node})
		alter("nothing to call off", v, topic, 1, true, nil)
		alter("an unknown topic", v, s.topic("unknown"), 0, true, []int32{node})
		alter("an unknown topic, called off", v, s.topic("unknown"), 0, true, nil)
		alter("an unknown partition", v, topic, 2, true, []int32{node})
		alter("a negative partition", v, topic, -1, true, []int32{node})
		alter("to an unknown broker", v, topic, 0, true, []int32{nobody})
		alter("to broker -1", v, topic, 0, true, []int32{-1})
		alter("to a known and an unknown broker", v, topic, 0, true, []int32{node, nobody})
		alter("to a broker twice", v, topic, 0, true, []int32{node, node})
		alter("to a broker twice, no other number of replicas", v, topic, 0, false, []int32{node, node})
		alter("to no broker", v, topic, 0, true, []int32{})
		s.ask("nothing", v, &msg.AlterPartitionReassignmentsRequest{AllowReplicationFactorChange: true})
	})
	list := func(name string, topics ...msg.ListPartitionReassignmentsRequestListPartitionReassignmentsTopics) {
		s.ask(name, 0, &msg.ListPartitionReassignmentsRequest{TimeoutMs: 10_000, Topics: topics})
	}
	list("all")
	list("of a topic", msg.ListPartitionReassignmentsRequestListPartitionReassignmentsTopics{Name: topic, PartitionIndexes: []int32{0, 1, 2}})
	list("of an unknown topic", msg.ListPartitionReassignmentsRequestListPartitionReassignmentsTopics{Name: s.topic("unknown"), PartitionIndexes: []int32{0}})
}

func elect(s *script) {
	topic := s.create("t", 2)
	s.versions(msg.KeyElectLeaders, func(v int16) {
		for _, kind := range []struct {
			name string
			of   int8
		}{{"preferred", 0}, {"unclean", 1}, {"of no type", 7}} {
			ask := func(name, topic string, partitions ...int32) {
				req := &msg.ElectLeadersRequest{ElectionType: kind.of, TimeoutMs: 10_000}
				req.TopicPartitions = []msg.ElectLeadersRequestTopicPartitions{{Topic: topic, Partitions: partitions}}
				s.ask(kind.name+", "+name, v, req)
			}
			ask("not needed", topic, 0, 1)
			ask("an unknown partition", topic, 1, 2, -1)
			ask("an unknown topic", s.topic("unknown"), 0)
			ask("no partition", topic)
			s.ask(kind.name+", no topic", v, &msg.ElectLeadersRequest{ElectionType: kind.of, TopicPartitions: []msg.ElectLeadersRequestTopicPartitions{}})
		}
	})
}

func quorum(s *script) {
	ask := func(name string, v int16, topic string, partitions ...int32) {
		t := msg.DescribeQuorumRequestTopicData{TopicName: topic}
		for _, p := range partitions {
			t.Partitions = append(t.Partitions, msg.DescribeQuorumRequestPartitionData{PartitionIndex: p})
		}
		s.ask(name, v, &msg.DescribeQuorumRequest{Topics: []msg.DescribeQuorumRequestTopicData{t}})
	}
	s.versions(msg.KeyDescribeQuorum, func(v int16) {
		ask("of another topic", v, s.topic("unknown"), 0, 1)
		ask("of another partition", v, "__cluster_metadata", 1)
		ask("of two partitions", v, "__cluster_metadata", 0, 1)
		s.ask("of nothing", v, &msg.DescribeQuorumRequest{})
		answer := s.tell(v, &msg.DescribeQuorumRequest{Topics: []msg.DescribeQuorumRequestTopicData{
			{TopicName: "__cluster_metadata", Partitions: []msg.DescribeQuorumRequestPartitionData{{}}},
		}}).(*msg.DescribeQuorumResponse)
		levelQuorum(answer)
		s.show("the metadata", v, answer)
	})
}

// levelQuorum takes away what two logs cannot have in common: epochs, positions, directories and listeners.
func levelQuorum(m *msg.DescribeQuorumResponse) {
	for i := range m.Topics {
		for j := range m.Topics[i].Partitions {
			p := &m.Topics[i].Partitions[j]
			p.LeaderEpoch = min(p.LeaderEpoch, -1)
			p.HighWatermark = min(p.HighWatermark, 1)
			for k := range p.CurrentVoters {
				v := &p.CurrentVoters[k]
				v.LogEndOffset, v.ReplicaDirectoryId = min(v.LogEndOffset, 1), base.UUID{}
			}
		}
	}
	for i := range m.Nodes {
		m.Nodes[i].Listeners = nil
	}
}

func updateFeatures(s *script) {
	type update = msg.UpdateFeaturesRequestFeatureUpdateKey
	const upgrade, safe = 1, 2
	latest := int16(30)
	s.versions(msg.KeyUpdateFeatures, func(v int16) {
		ask := func(name string, updates ...update) {
			s.ask(name, v, &msg.UpdateFeaturesRequest{TimeoutMs: 10_000, FeatureUpdates: updates})
		}
		ask("nothing")
		ask("to what it is", update{Feature: "metadata.version", MaxVersionLevel: latest, UpgradeType: upgrade})
		ask("unknown", update{Feature: "no.such.feature", MaxVersionLevel: 1, UpgradeType: upgrade})
		ask("too high", update{Feature: "metadata.version", MaxVersionLevel: 999, UpgradeType: upgrade})
		ask("negative", update{Feature: "metadata.version", MaxVersionLevel: -1, UpgradeType: upgrade})
		ask("a downgrade called upgrade", update{Feature: "metadata.version", MaxVersionLevel: latest - 1, UpgradeType: upgrade})
		ask("one good, one bad", update{Feature: "metadata.version", MaxVersionLevel: latest, UpgradeType: upgrade}, update{Feature: "no.such.feature", MaxVersionLevel: 1, UpgradeType: upgrade})
		if v > 0 {
			ask("of no type", update{Feature: "metadata.version", MaxVersionLevel: latest, UpgradeType: 9})
			ask("to what it is, called downgrade", update{Feature: "metadata.version", MaxVersionLevel: latest, UpgradeType: safe})
			s.ask("only to see", v, &msg.UpdateFeaturesRequest{ValidateOnly: true, FeatureUpdates: []update{{Feature: "no.such.feature", MaxVersionLevel: 1, UpgradeType: upgrade}}})
		}
	})
}

func unregister(s *script) {
	s.versions(msg.KeyUnregisterBroker, func(v int16) {
		s.ask("an unknown broker", v, &msg.UnregisterBrokerRequest{BrokerId: nobody})
		s.ask("broker -1", v, &msg.UnregisterBrokerRequest{BrokerId: -1})
	})
}
