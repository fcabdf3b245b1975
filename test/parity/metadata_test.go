package parity

import (
	"strings"

	"sluice/wire/msg"
)

var _ = add(map[string]func(*script){
	"versions":            apiVersions,
	"metadata":            metadata,
	"cluster":             cluster,
	"describe-partitions": describePartitions,
})

func apiVersions(s *script) {
	for v := int16(0); v <= 6; v++ {
		s.ask("versions", v, &msg.ApiVersionsRequest{ClientSoftwareName: "parity", ClientSoftwareVersion: "1.0"})
		s.ask("bad name", v, &msg.ApiVersionsRequest{ClientSoftwareName: "no good name", ClientSoftwareVersion: "1.0"})
		s.ask("no version", v, &msg.ApiVersionsRequest{ClientSoftwareName: "parity"})
	}
	s.ask("an unknown version of another key", 99, &msg.HeartbeatRequest{})
	p, err := s.on().SendBytes(999, 0, nil)
	s.record("an unknown key", 0, msg.KeyApiVersions, p, err)
	p, err = s.on().SendBytes(msg.KeyMetadata, 1, []byte{1, 2})
	s.record("a cut-short request", 1, msg.KeyMetadata, p, err)
}

func metadata(s *script) {
	one, two := s.create("one", 1), s.create("two", 3)
	s.versions(msg.KeyMetadata, func(v int16) {
		s.ask("a topic", v, metadataOf(one))
		s.ask("two topics", v, metadataOf(one, two))
		s.ask("a topic twice", v, metadataOf(one, one))
		if v > 0 {
			s.ask("none", v, metadataOf())
		}
		req := metadataOf(one)
		req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = true, true
		s.ask("with operations", v, req)
		if v >= 4 {
			s.ask("unknown", v, metadataOf(s.topic("unknown"), one))
			s.ask("illegal names", v, metadataOf("not a name!", "", ".", "..", strings.Repeat("x", 250)))
		}
		if v >= 10 {
			ids := &msg.MetadataRequest{Topics: []msg.MetadataRequestMetadataRequestTopic{{TopicId: s.idOf(one)}, {TopicId: noSuchID}}}
			s.ask("by id", v, ids)
			s.ask("by no id", v, &msg.MetadataRequest{Topics: []msg.MetadataRequestMetadataRequestTopic{{}}})
			s.ask("by id and name", v, &msg.MetadataRequest{Topics: []msg.MetadataRequestMetadataRequestTopic{{TopicId: s.idOf(one), Name: &two}}})
		}
		if v >= 4 {
			made := s.topic("made") + string(rune('a'+v))
			req := metadataOf(made)
			req.AllowAutoTopicCreation = true
			answer := s.settle("made on demand", v, req, func(m msg.Message) bool { return m.(*msg.MetadataResponse).Topics[0].ErrorCode == 0 })
			s.ids[made] = answer.(*msg.MetadataResponse).Topics[0].TopicId
			req = metadataOf("not a name!", "__consumer_offsets")
			req.AllowAutoTopicCreation = true
			s.ask("internal and illegal", v, req)
		}
	})
}

func cluster(s *script) {
	s.versions(msg.KeyDescribeCluster, func(v int16) {
		s.ask("brokers", v, &msg.DescribeClusterRequest{EndpointType: 1})
		s.ask("with operations", v, &msg.DescribeClusterRequest{EndpointType: 1, IncludeClusterAuthorizedOperations: true})
		s.ask("controllers", v, &msg.DescribeClusterRequest{EndpointType: 2})
		s.ask("type 7", v, &msg.DescribeClusterRequest{EndpointType: 7})
		s.ask("fenced ones too", v, &msg.DescribeClusterRequest{EndpointType: 1, IncludeFencedBrokers: true})
	})
	s.ask("reassignments", 0, &msg.ListPartitionReassignmentsRequest{TimeoutMs: 1000})
}

func describePartitions(s *script) {
	a, b := s.create("a", 3), s.create("b", 2)
	ask := func(name string, limit int32, cursor *msg.DescribeTopicPartitionsRequestCursor, topics ...string) {
		req := &msg.DescribeTopicPartitionsRequest{ResponsePartitionLimit: limit, Cursor: cursor}
		for _, t := range topics {
			req.Topics = append(req.Topics, msg.DescribeTopicPartitionsRequestTopicRequest{Name: t})
		}
		answer, _ := s.ask(name, 0, req).(*msg.DescribeTopicPartitionsResponse)
		var order []string
		if answer != nil {
			for _, t := range answer.Topics {
				order = append(order, *t.Name)
			}
		}
		s.note("order: "+name, strings.Join(order, ", "))
	}
	at := func(topic string, partition int32) *msg.DescribeTopicPartitionsRequestCursor {
		return &msg.DescribeTopicPartitionsRequestCursor{TopicName: topic, PartitionIndex: partition}
	}
	ask("both", 2000, nil, b, a)
	ask("one twice", 2000, nil, a, a)
	ask("limit 2", 2, nil, a, b)
	ask("limit 3", 3, nil, a, b)
	ask("limit 4", 4, nil, a, b)
	ask("limit 5", 5, nil, a, b)
	ask("limit 0", 0, nil, a)
	ask("limit -1", -1, nil, a)
	ask("from a cursor", 2000, at(a, 2), a, b)
	ask("from the second", 2000, at(b, 0), a, b)
	ask("a cursor behind the partitions", 2000, at(a, 3), a, b)
	ask("a cursor at no topic", 2000, at(a+"x", 0), a, b)
	ask("a cursor of -1", 2000, at(a, -1), a, b)
	ask("unknown", 2000, nil, s.topic("unknown"), a)
	ask("illegal name", 2000, nil, "not a name!")
	ask("a cursor and a limit", 1, at(a, 1), a, b)
}
