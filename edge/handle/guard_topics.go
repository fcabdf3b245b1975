package handle

import (
	"slices"

	"sluice/base"
	"sluice/broker/auth"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

const topicRefused = int16(kerr.TopicAuthorizationFailed)

func guardProduce(g *gate, req *msg.ProduceRequest) msg.Message {
	if req.TransactionalId != nil && !g.txn(auth.Write, *req.TransactionalId) {
		resp := new(msg.ProduceResponse)
		resp.SetDefaults()
		refuseProduced(resp, req.TopicData, int16(kerr.TransactionalIDAuthorizationFailed))
		return resp
	}
	rest := split(&req.TopicData, func(t *msg.ProduceRequestTopicProduceData) bool {
		if g.c.Version >= 13 {
			return g.topicID(auth.Write, t.TopicId)
		}
		return g.topic(auth.Write, t.Name)
	})
	if len(rest) > 0 {
		g.c.denied = true
		g.after(func(m msg.Message) { refuseProduced(m.(*msg.ProduceResponse), rest, topicRefused) })
	}
	return nil
}

func refuseProduced(resp *msg.ProduceResponse, topics []msg.ProduceRequestTopicProduceData, code int16) {
	for _, t := range topics {
		out := add(&resp.Responses)
		out.Name, out.TopicId = t.Name, t.TopicId
		for _, p := range t.PartitionData {
			o := add(&out.PartitionResponses)
			o.Index, o.BaseOffset, o.ErrorCode, o.ErrorMessage = p.Index, -1, code, nil
		}
	}
}

func guardListOffsets(g *gate, req *msg.ListOffsetsRequest) msg.Message {
	rest := split(&req.Topics, func(t *msg.ListOffsetsRequestListOffsetsTopic) bool { return g.topic(auth.Describe, t.Name) })
	if len(rest) > 0 {
		g.after(func(m msg.Message) {
			resp := m.(*msg.ListOffsetsResponse)
			for _, t := range rest {
				out := add(&resp.Topics)
				out.Name = t.Name
				for _, p := range t.Partitions {
					o := add(&out.Partitions)
					o.PartitionIndex, o.ErrorCode, o.Offset, o.Timestamp, o.LeaderEpoch = p.PartitionIndex, topicRefused, -1, -1, -1
				}
			}
		})
	}
	return nil
}

type askedMetadata = msg.MetadataRequestMetadataRequestTopic

func guardMetadata(g *gate, req *msg.MetadataRequest) msg.Message {
	img := g.h.opt.Control.Image()
	all := req.Topics == nil || g.c.Version == 0 && len(req.Topics) == 0
	var rest []askedMetadata
	if !all {
		creates := g.h.opt.Config.AutoCreateTopics && (g.c.Version < 4 || req.AllowAutoTopicCreation)
		rest = split(&req.Topics, func(t *askedMetadata) bool {
			if t.Name == nil {
				known, ok := img.TopicByID(t.TopicId)
				return !ok || g.topic(auth.Describe, known.Name)
			}
			if !g.topic(auth.Describe, *t.Name) {
				return false
			}
			if _, exists := img.TopicByName(*t.Name); exists || !creates {
				return true
			}
			return g.may(auth.Create, auth.Cluster, auth.ClusterName) || g.topic(auth.Create, *t.Name)
		})
	}
	describes := g.may(auth.Describe, auth.Cluster, auth.ClusterName)
	bits := g.clusterBits(req.IncludeClusterAuthorizedOperations && describes)
	told := map[string]int32{}
	g.after(func(m msg.Message) {
		resp := m.(*msg.MetadataResponse)
		if req.IncludeClusterAuthorizedOperations {
			resp.ClusterAuthorizedOperations = bits
		}
		if !all && len(req.Topics) == 0 {
			resp.Topics = nil // version 0 takes no topics for all of them
		}
		if all {
			resp.Topics = slices.DeleteFunc(resp.Topics, func(t msg.MetadataResponseMetadataResponseTopic) bool {
				return t.Name != nil && !g.may(auth.Describe, auth.Topic, *t.Name)
			})
		}
		for i := range resp.Topics {
			if t := &resp.Topics[i]; req.IncludeTopicAuthorizedOperations && t.Name != nil {
				t.TopicAuthorizedOperations = g.topicBits(told, *t.Name)
			}
		}
		for _, t := range rest {
			out := add(&resp.Topics)
			out.ErrorCode, out.Name, out.TopicId = topicRefused, t.Name, t.TopicId
		}
	})
	return nil
}

func (g *gate) clusterBits(wanted bool) int32 {
	if !wanted {
		return 0
	}
	return g.bits(auth.Cluster, auth.ClusterName)
}

func (g *gate) topicBits(told map[string]int32, name string) int32 {
	if bits, ok := told[name]; ok {
		return bits
	}
	told[name] = g.bits(auth.Topic, name)
	return told[name]
}

func guardDescribeTopicPartitions(g *gate, req *msg.DescribeTopicPartitionsRequest) msg.Message {
	all := len(req.Topics) == 0
	if all { // the handler's page is to be full of what may be seen
		for t := range g.h.opt.Control.Image().Topics() {
			if g.may(auth.Describe, auth.Topic, t.Name) {
				req.Topics = append(req.Topics, msg.DescribeTopicPartitionsRequestTopicRequest{Name: t.Name})
			}
		}
		if len(req.Topics) == 0 {
			resp := new(msg.DescribeTopicPartitionsResponse)
			resp.SetDefaults()
			resp.NextCursor = nil
			return resp
		}
	}
	rest := split(&req.Topics, func(t *msg.DescribeTopicPartitionsRequestTopicRequest) bool { return g.topic(auth.Describe, t.Name) })
	if len(req.Topics) == 0 {
		resp := new(msg.DescribeTopicPartitionsResponse)
		resp.SetDefaults()
		resp.NextCursor = nil
		refuseDescribed(resp, rest)
		return resp
	}
	told := map[string]int32{}
	g.after(func(m msg.Message) {
		resp := m.(*msg.DescribeTopicPartitionsResponse)
		for i := range resp.Topics {
			if t := &resp.Topics[i]; t.Name != nil && t.ErrorCode == 0 {
				t.TopicAuthorizedOperations = g.topicBits(told, *t.Name)
			}
		}
		refuseDescribed(resp, rest)
	})
	return nil
}

func refuseDescribed(resp *msg.DescribeTopicPartitionsResponse, topics []msg.DescribeTopicPartitionsRequestTopicRequest) {
	for i := range topics {
		out := add(&resp.Topics)
		out.ErrorCode, out.Name = topicRefused, &topics[i].Name
	}
}

func guardCreateTopics(g *gate, req *msg.CreateTopicsRequest) msg.Message {
	describes := map[string]bool{}
	any := g.may(auth.Create, auth.Cluster, auth.ClusterName)
	rest := split(&req.Topics, func(t *msg.CreateTopicsRequestCreatableTopic) bool {
		describes[t.Name] = g.may(auth.DescribeConfigs, auth.Topic, t.Name)
		return any || g.topic(auth.Create, t.Name)
	})
	g.after(func(m msg.Message) {
		resp := m.(*msg.CreateTopicsResponse)
		for i := range resp.Topics {
			if t := &resp.Topics[i]; t.ErrorCode == 0 && !describes[t.Name] {
				t.Configs, t.NumPartitions, t.ReplicationFactor, t.TopicConfigErrorCode = nil, -1, -1, topicRefused
			}
		}
		for _, t := range rest {
			out := add(&resp.Topics)
			text := refusalText(kerr.TopicAuthorizationFailed)
			out.Name, out.ErrorCode, out.ErrorMessage, out.NumPartitions, out.ReplicationFactor = t.Name, topicRefused, &text, -1, -1
		}
	})
	return nil
}

func guardDeleteTopics(g *gate, req *msg.DeleteTopicsRequest) msg.Message {
	img := g.h.opt.Control.Image()
	names := split(&req.TopicNames, func(name *string) bool { return g.topic(auth.Delete, *name) })
	rest := split(&req.Topics, func(t *msg.DeleteTopicsRequestDeleteTopicState) bool {
		if t.Name != nil {
			return g.topic(auth.Delete, *t.Name)
		}
		known, ok := img.TopicByID(t.TopicId)
		return !ok || g.topic(auth.Delete, known.Name)
	})
	for i := range names {
		rest = append(rest, msg.DeleteTopicsRequestDeleteTopicState{Name: &names[i]})
	}
	if len(rest) == 0 {
		return nil
	}
	shown := map[base.UUID]*string{} // names of topics that the client asked for by id and may see
	for _, t := range rest {
		if known, ok := img.TopicByID(t.TopicId); ok && t.Name == nil && g.may(auth.Describe, auth.Topic, known.Name) {
			shown[t.TopicId] = &known.Name
		}
	}
	g.after(func(m msg.Message) {
		resp := m.(*msg.DeleteTopicsResponse)
		for _, t := range rest {
			out := add(&resp.Responses)
			text := refusalText(kerr.TopicAuthorizationFailed)
			out.Name, out.TopicId, out.ErrorCode, out.ErrorMessage = t.Name, t.TopicId, topicRefused, &text
			if t.Name != nil && g.knowsMissing(img, *t.Name) {
				missing := "This server does not host this topic-partition."
				out.ErrorCode, out.ErrorMessage = int16(kerr.UnknownTopicOrPartition), &missing
			}
			if t.Name == nil {
				out.Name = shown[t.TopicId]
			}
		}
	})
	return nil
}

func guardDeleteRecords(g *gate, req *msg.DeleteRecordsRequest) msg.Message {
	rest := split(&req.Topics, func(t *msg.DeleteRecordsRequestDeleteRecordsTopic) bool { return g.topic(auth.Delete, t.Name) })
	if len(rest) > 0 {
		g.after(func(m msg.Message) {
			resp := m.(*msg.DeleteRecordsResponse)
			for _, t := range rest {
				out := add(&resp.Topics)
				out.Name = t.Name
				for _, p := range t.Partitions {
					o := add(&out.Partitions)
					o.PartitionIndex, o.LowWatermark, o.ErrorCode = p.PartitionIndex, -1, topicRefused
				}
			}
		})
	}
	return nil
}

func guardCreatePartitions(g *gate, req *msg.CreatePartitionsRequest) msg.Message {
	rest := split(&req.Topics, func(t *msg.CreatePartitionsRequestCreatePartitionsTopic) bool { return g.topic(auth.Alter, t.Name) })
	if len(rest) > 0 {
		g.after(func(m msg.Message) {
			resp := m.(*msg.CreatePartitionsResponse)
			for _, t := range rest {
				out := add(&resp.Results)
				out.Name, out.ErrorCode, out.ErrorMessage = t.Name, topicRefused, nil
			}
		})
	}
	return nil
}

func guardOffsetForLeaderEpoch(g *gate, req *msg.OffsetForLeaderEpochRequest) msg.Message {
	rest := split(&req.Topics, func(t *msg.OffsetForLeaderEpochRequestOffsetForLeaderTopic) bool {
		return g.topic(auth.Describe, t.Topic)
	})
	if len(rest) > 0 {
		g.after(func(m msg.Message) {
			resp := m.(*msg.OffsetForLeaderEpochResponse)
			for _, t := range rest {
				out := add(&resp.Topics)
				out.Topic = t.Topic
				for _, p := range t.Partitions {
					o := add(&out.Partitions)
					o.Partition, o.ErrorCode, o.LeaderEpoch, o.EndOffset = p.Partition, topicRefused, -1, -1
				}
			}
		})
	}
	return nil
}

// knowsMissing reports that there is no such topic, and that the client may know it.
func (g *gate) knowsMissing(img *meta.Image, name string) bool {
	_, exists := img.TopicByName(name)
	return !exists && g.may(auth.Describe, auth.Topic, name)
}
