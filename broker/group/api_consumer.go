package group

import (
	"fmt"
	"slices"
	"strings"

	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// ConsumerGroupHeartbeat serves ConsumerGroupHeartbeat, versions 0 and 1; from version 1 members make their ids.
func (c *Coordinator) ConsumerGroupHeartbeat(info CallInfo, req *msg.ConsumerGroupHeartbeatRequest, reply func(*msg.ConsumerGroupHeartbeatResponse)) {
	cmd := &beatCommand{
		client: info.client(), group: req.GroupId, member: req.MemberId, instance: req.InstanceId, epoch: req.MemberEpoch, rack: req.RackId,
		rebalanceMS: req.RebalanceTimeoutMs, regex: req.SubscribedTopicRegex, assignor: req.ServerAssignor, idRequired: info.Version >= 1,
		describes: info.Describes,
	}
	if req.SubscribedTopicNames != nil {
		topics := slices.Clone(req.SubscribedTopicNames)
		cmd.topics = &topics
	}
	if req.TopicPartitions != nil {
		owned := []partitionID{}
		for _, t := range req.TopicPartitions {
			for _, index := range t.Partitions {
				owned = append(owned, partitionID{Topic: t.TopicId, Index: index})
			}
		}
		cmd.owned, cmd.named = &owned, len(req.TopicPartitions) > 0
	}
	answer := func(r beatResult) { reply(beatResponse(r)) }
	submit(c, cmd.group, cmd, answer, func(code kerr.Code) { answer(beatResult{code: code}) })
}

func beatResponse(r beatResult) *msg.ConsumerGroupHeartbeatResponse {
	res := &msg.ConsumerGroupHeartbeatResponse{
		ErrorCode: int16(r.code), ErrorMessage: pointer(r.message), MemberId: pointer(r.member), MemberEpoch: r.epoch, HeartbeatIntervalMs: r.beatMS,
	}
	if r.assigned != nil {
		res.Assignment = &msg.ConsumerGroupHeartbeatResponseAssignment{}
		makeSlice(&res.Assignment.TopicPartitions, 0)
		for _, run := range byTopic(*r.assigned, func(p partitionID) partitionID { return p }) {
			growSlice(&res.Assignment.TopicPartitions)
			out := &res.Assignment.TopicPartitions[len(res.Assignment.TopicPartitions)-1]
			out.TopicId, out.Partitions = run[0].Topic, indexes(run)
		}
	}
	return res
}

func indexes(run []partitionID) []int32 {
	all := make([]int32, len(run))
	for i, p := range run {
		all[i] = p.Index
	}
	return all
}

// describeEach asks the group of each name for what command makes, and calls done when all have answered: found with the answer to the name with an
// index, or failed. A name that is none fails.
func describeEach[R any](c *Coordinator, names []string, command func(name string) any, found func(i int, r R), failed func(i int, code kerr.Code), done func()) {
	all := newGather(len(names), done)
	for i, name := range names {
		if strings.TrimSpace(name) == "" {
			failed(i, kerr.InvalidGroupID)
			all.done()
			continue
		}
		submit(c, name, command(name), func(r R) {
			found(i, r)
			all.done()
		}, func(code kerr.Code) {
			failed(i, code)
			all.done()
		})
	}
	all.done()
}

// ConsumerGroupDescribe serves ConsumerGroupDescribe, versions 0 and 1. AuthorizedOperations is left to the caller.
func (c *Coordinator) ConsumerGroupDescribe(info CallInfo, req *msg.ConsumerGroupDescribeRequest, reply func(*msg.ConsumerGroupDescribeResponse)) {
	res := &msg.ConsumerGroupDescribeResponse{}
	makeSlice(&res.Groups, len(req.GroupIds))
	for i, name := range req.GroupIds {
		out := &res.Groups[i]
		out.SetDefaults()
		out.GroupId = name
		makeSlice(&out.Members, 0)
	}
	describeEach(c, req.GroupIds, func(name string) any { return &describeConsumersCommand{name} }, func(i int, r describeConsumersResult) {
		out := &res.Groups[i]
		out.ErrorCode, out.ErrorMessage = int16(r.code), pointer(r.message)
		out.GroupState, out.GroupEpoch, out.AssignmentEpoch, out.AssignorName = r.status, r.epoch, r.targetEpoch, r.assignor
		makeSlice(&out.Members, len(r.members))
		view := c.opt.Cluster.Topics()
		for j, m := range r.members {
			describeConsumer(view, &out.Members[j], m)
		}
	}, func(i int, code kerr.Code) { res.Groups[i].ErrorCode = int16(code) }, func() { reply(res) })
}

func describeConsumer(view Topics, o *msg.ConsumerGroupDescribeResponseMember, m describedConsumer) {
	o.MemberId, o.InstanceId, o.RackId, o.MemberEpoch = m.id, m.instance.pointer(), pointer(m.rack), m.epoch
	o.ClientId, o.ClientHost, o.SubscribedTopicNames, o.SubscribedTopicRegex = m.client.id, m.client.host, m.topics, &m.regex
	o.Assignment.TopicPartitions = namedPartitions(view, *append(slices.Clone(m.assigned), m.revoking...).sort().partitions())
	o.TargetAssignment.TopicPartitions = namedPartitions(view, m.target)
	o.MemberType = 1
	if m.classic != nil {
		o.MemberType = 0
	}
}

// namedPartitions groups partitions by topic. Topics that are gone are left out.
func namedPartitions(view Topics, ps []partitionID) []msg.ConsumerGroupDescribeResponseTopicPartitions {
	out := []msg.ConsumerGroupDescribeResponseTopicPartitions{}
	for _, run := range byTopic(ps, func(p partitionID) partitionID { return p }) {
		if name, ok := view.ByID(run[0].Topic); ok {
			out = append(out, msg.ConsumerGroupDescribeResponseTopicPartitions{TopicId: run[0].Topic, TopicName: name, Partitions: indexes(run)})
		}
	}
	return out
}

// notClassic is what DescribeGroups says of a group of the consumer protocol.
func notClassic(group string) string { return fmt.Sprintf("Group %s is not a classic group.", group) }
