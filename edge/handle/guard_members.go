package handle

import (
	"slices"

	"sluice/broker/auth"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// Guards of the groups whose members the coordinator assigns partitions to: consumer groups (KIP-848), share groups, streams groups.

// allDescribed reports whether the client may see every topic.
func (g *gate) allDescribed(topics []string) bool {
	return !slices.ContainsFunc(topics, func(t string) bool { return !g.topic(auth.Describe, t) })
}

func guardConsumerGroupHeartbeat(g *gate, req *msg.ConsumerGroupHeartbeatRequest) msg.Message {
	switch {
	case !g.group(auth.Read, req.GroupId):
		return refused[msg.ConsumerGroupHeartbeatResponse](kerr.GroupAuthorizationFailed)
	case !g.allDescribed(req.SubscribedTopicNames):
		return refused[msg.ConsumerGroupHeartbeatResponse](kerr.TopicAuthorizationFailed)
	}
	return nil
}

func guardShareGroupHeartbeat(g *gate, req *msg.ShareGroupHeartbeatRequest) msg.Message {
	switch {
	case !g.group(auth.Read, req.GroupId):
		return refused[msg.ShareGroupHeartbeatResponse](kerr.GroupAuthorizationFailed)
	case !g.allDescribed(req.SubscribedTopicNames):
		return refused[msg.ShareGroupHeartbeatResponse](kerr.TopicAuthorizationFailed)
	}
	return nil
}

func guardStreamsGroupHeartbeat(g *gate, req *msg.StreamsGroupHeartbeatRequest) msg.Message {
	if !g.group(auth.Read, req.GroupId) {
		return refusedStreams(kerr.GroupAuthorizationFailed)
	}
	if req.Topology == nil {
		return nil
	}
	for _, sub := range req.Topology.Subtopologies {
		topics := slices.Concat(sub.SourceTopics, sub.RepartitionSinkTopics)
		for _, t := range sub.RepartitionSourceTopics {
			topics = append(topics, t.Name)
		}
		for _, t := range sub.StateChangelogTopics {
			topics = append(topics, t.Name)
		}
		if !g.allDescribed(topics) {
			return refusedStreams(kerr.TopicAuthorizationFailed)
		}
	}
	return nil
}

// refusedStreams refuses a heartbeat; the list of what is to be told is never null.
func refusedStreams(code kerr.Code) msg.Message {
	resp := refused[msg.StreamsGroupHeartbeatResponse](code).(*msg.StreamsGroupHeartbeatResponse)
	resp.Status = []msg.StreamsGroupHeartbeatResponseStatus{}
	return resp
}

// describeMembers guards the description of groups: names are those asked for, and hide is given the answer, how to check a topic, and the bits and
// the names that are refused.
func describeMembers(g *gate, names *[]string, bits bool, hide func(m msg.Message, sees func(topic string) bool, bits map[string]int32, rest []string)) {
	told := map[string]int32{}
	rest := split(names, func(name *string) bool {
		if !g.group(auth.Describe, *name) {
			return false
		}
		if bits {
			told[*name] = g.bits(auth.Group, *name)
		}
		return true
	})
	a, who, host := g.a, g.c.session.who, g.c.session.host
	sees := func(topic string) bool { return a.Allowed(who, host, auth.Describe, auth.Topic, topic) }
	g.after(func(m msg.Message) { hide(m, sees, told, rest) })
}

const hiddenTopics = "The group has described topic(s) that the client is not authorized to describe."

func guardConsumerGroupDescribe(g *gate, req *msg.ConsumerGroupDescribeRequest) msg.Message {
	describeMembers(g, &req.GroupIds, req.IncludeAuthorizedOperations, func(m msg.Message, sees func(string) bool, bits map[string]int32, rest []string) {
		resp := m.(*msg.ConsumerGroupDescribeResponse)
		for i := range resp.Groups {
			out := &resp.Groups[i]
			if b, ok := bits[out.GroupId]; ok && out.ErrorCode == 0 {
				out.AuthorizedOperations = b
			}
			if slices.ContainsFunc(out.Members, func(m msg.ConsumerGroupDescribeResponseMember) bool {
				blind := func(p msg.ConsumerGroupDescribeResponseTopicPartitions) bool { return !sees(p.TopicName) }
				return slices.ContainsFunc(m.Assignment.TopicPartitions, blind) || slices.ContainsFunc(m.TargetAssignment.TopicPartitions, blind) ||
					slices.ContainsFunc(m.SubscribedTopicNames, func(t string) bool { return !sees(t) })
			}) {
				text := hiddenTopics
				out.Members, out.ErrorCode, out.ErrorMessage = nil, topicRefused, &text
			}
		}
		for _, name := range rest {
			out := add(&resp.Groups)
			out.GroupId, out.ErrorCode, out.ErrorMessage = name, groupRefused, nil
		}
	})
	return nil
}

func guardShareGroupDescribe(g *gate, req *msg.ShareGroupDescribeRequest) msg.Message {
	describeMembers(g, &req.GroupIds, req.IncludeAuthorizedOperations, func(m msg.Message, sees func(string) bool, bits map[string]int32, rest []string) {
		resp := m.(*msg.ShareGroupDescribeResponse)
		for i := range resp.Groups {
			out := &resp.Groups[i]
			if b, ok := bits[out.GroupId]; ok && out.ErrorCode == 0 {
				out.AuthorizedOperations = b
			}
			if slices.ContainsFunc(out.Members, func(m msg.ShareGroupDescribeResponseMember) bool {
				return slices.ContainsFunc(m.Assignment.TopicPartitions, func(p msg.ShareGroupDescribeResponseTopicPartitions) bool { return !sees(p.TopicName) }) ||
					slices.ContainsFunc(m.SubscribedTopicNames, func(t string) bool { return !sees(t) })
			}) {
				text := hiddenTopics
				out.Members, out.ErrorCode, out.ErrorMessage = nil, topicRefused, &text
			}
		}
		for _, name := range rest {
			out := add(&resp.Groups)
			out.GroupId, out.ErrorCode, out.ErrorMessage = name, groupRefused, nil
		}
	})
	return nil
}

// hiddenStreamsTopics is what Kafka says of streams groups in place of hiddenTopics.
const hiddenStreamsTopics = "The described group uses topics that the client is not authorized to describe."

func guardStreamsGroupDescribe(g *gate, req *msg.StreamsGroupDescribeRequest) msg.Message {
	describeMembers(g, &req.GroupIds, req.IncludeAuthorizedOperations, func(m msg.Message, sees func(string) bool, bits map[string]int32, rest []string) {
		resp := m.(*msg.StreamsGroupDescribeResponse)
		for i := range resp.Groups {
			out := &resp.Groups[i]
			if b, ok := bits[out.GroupId]; ok && out.ErrorCode == 0 {
				out.AuthorizedOperations = b
			}
			if out.Topology == nil {
				continue
			}
			if slices.ContainsFunc(out.Topology.Subtopologies, func(s msg.StreamsGroupDescribeResponseSubtopology) bool {
				blind := func(t string) bool { return !sees(t) }
				blindTopic := func(t msg.StreamsGroupDescribeResponseTopicInfo) bool { return blind(t.Name) }
				return slices.ContainsFunc(s.SourceTopics, blind) || slices.ContainsFunc(s.RepartitionSinkTopics, blind) ||
					slices.ContainsFunc(s.RepartitionSourceTopics, blindTopic) || slices.ContainsFunc(s.StateChangelogTopics, blindTopic)
			}) {
				text, name := hiddenStreamsTopics, out.GroupId
				out.SetDefaults()
				out.GroupId, out.ErrorCode, out.ErrorMessage = name, topicRefused, &text
			}
		}
		for _, name := range rest {
			out := add(&resp.Groups)
			out.GroupId, out.ErrorCode, out.ErrorMessage = name, groupRefused, nil
		}
	})
	return nil
}

// noShareLeader is whom a refusal names as the leader, and its epoch; see shareLeader.
const noShareLeader = -1

// guardShareFetch takes topics that may not be read out of the request before they get into the session.
func guardShareFetch(g *gate, req *msg.ShareFetchRequest) msg.Message {
	if req.GroupId != nil && !g.group(auth.Read, *req.GroupId) {
		return refused[msg.ShareFetchResponse](kerr.GroupAuthorizationFailed)
	}
	rest := split(&req.Topics, func(t *msg.ShareFetchRequestFetchTopic) bool { return g.topicID(auth.Read, t.TopicId) })
	if len(rest) > 0 {
		g.after(func(m msg.Message) {
			resp := m.(*msg.ShareFetchResponse)
			for _, t := range rest {
				out := add(&resp.Responses)
				out.TopicId = t.TopicId
				for _, p := range t.Partitions {
					o := add(&out.Partitions)
					o.PartitionIndex, o.ErrorCode, o.ErrorMessage, o.AcknowledgeErrorMessage = p.PartitionIndex, topicRefused, nil, nil
					o.CurrentLeader.LeaderId, o.CurrentLeader.LeaderEpoch = noShareLeader, noShareLeader
				}
			}
		})
	}
	return nil
}

func guardShareAcknowledge(g *gate, req *msg.ShareAcknowledgeRequest) msg.Message {
	if req.GroupId != nil && !g.group(auth.Read, *req.GroupId) {
		return refused[msg.ShareAcknowledgeResponse](kerr.GroupAuthorizationFailed)
	}
	rest := split(&req.Topics, func(t *msg.ShareAcknowledgeRequestAcknowledgeTopic) bool { return g.topicID(auth.Read, t.TopicId) })
	if len(rest) > 0 {
		g.after(func(m msg.Message) {
			resp := m.(*msg.ShareAcknowledgeResponse)
			for _, t := range rest {
				out := add(&resp.Responses)
				out.TopicId = t.TopicId
				for _, p := range t.Partitions {
					o := add(&out.Partitions)
					o.PartitionIndex, o.ErrorCode, o.ErrorMessage = p.PartitionIndex, topicRefused, nil
					o.CurrentLeader.LeaderId, o.CurrentLeader.LeaderEpoch = noShareLeader, noShareLeader
				}
			}
		})
	}
	return nil
}

func guardAlterShareOffsets(g *gate, req *msg.AlterShareGroupOffsetsRequest) msg.Message {
	if !g.group(auth.Read, req.GroupId) {
		return refused[msg.AlterShareGroupOffsetsResponse](kerr.GroupAuthorizationFailed)
	}
	rest := split(&req.Topics, func(t *msg.AlterShareGroupOffsetsRequestAlterShareGroupOffsetsRequestTopic) bool {
		return g.topic(auth.Read, t.TopicName)
	})
	if len(rest) > 0 {
		g.after(func(m msg.Message) {
			resp := m.(*msg.AlterShareGroupOffsetsResponse)
			for _, t := range rest {
				out := add(&resp.Responses)
				out.TopicName = t.TopicName
				for _, p := range t.Partitions {
					o := add(&out.Partitions)
					text := refusalText(kerr.TopicAuthorizationFailed)
					o.PartitionIndex, o.ErrorCode, o.ErrorMessage = p.PartitionIndex, topicRefused, &text
				}
			}
		})
	}
	return nil
}

func guardDeleteShareOffsets(g *gate, req *msg.DeleteShareGroupOffsetsRequest) msg.Message {
	if !g.group(auth.Delete, req.GroupId) {
		return refused[msg.DeleteShareGroupOffsetsResponse](kerr.GroupAuthorizationFailed)
	}
	rest := split(&req.Topics, func(t *msg.DeleteShareGroupOffsetsRequestDeleteShareGroupOffsetsRequestTopic) bool {
		return g.topic(auth.Read, t.TopicName)
	})
	if len(rest) > 0 {
		g.after(func(m msg.Message) {
			resp := m.(*msg.DeleteShareGroupOffsetsResponse)
			for _, t := range rest {
				out := add(&resp.Responses)
				text := refusalText(kerr.TopicAuthorizationFailed)
				out.TopicName, out.ErrorCode, out.ErrorMessage = t.TopicName, topicRefused, &text
			}
		})
	}
	return nil
}

func guardDescribeShareOffsets(g *gate, req *msg.DescribeShareGroupOffsetsRequest) msg.Message {
	type asked = msg.DescribeShareGroupOffsetsRequestDescribeShareGroupOffsetsRequestGroup
	rest := split(&req.Groups, func(f *asked) bool { return g.group(auth.Describe, f.GroupId) })
	a, who, host := g.a, g.c.session.who, g.c.session.host
	g.after(func(m msg.Message) {
		resp := m.(*msg.DescribeShareGroupOffsetsResponse)
		for i := range resp.Groups {
			for j := range resp.Groups[i].Topics {
				t := &resp.Groups[i].Topics[j]
				if a.Allowed(who, host, auth.Describe, auth.Topic, t.TopicName) {
					continue
				}
				for k := range t.Partitions {
					p := &t.Partitions[k]
					text := refusalText(kerr.TopicAuthorizationFailed)
					p.StartOffset, p.LeaderEpoch, p.Lag, p.ErrorCode, p.ErrorMessage = -1, -1, -1, topicRefused, &text
				}
			}
		}
		for _, f := range rest {
			out := add(&resp.Groups)
			text := refusalText(kerr.GroupAuthorizationFailed)
			out.GroupId, out.ErrorCode, out.ErrorMessage = f.GroupId, groupRefused, &text
		}
	})
	return nil
}
