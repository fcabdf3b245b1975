package parity

import (
	"fmt"
	"time"

	"sluice/base"
	"sluice/wire/batch"
	"sluice/wire/msg"
)

var _ = add(map[string]func(*script){
	"share-group":  shareGroup,
	"share-fetch":  shareFetch,
	"share-others": shareOthers,
})

// Members of share groups. Kafka reads the ids as UUIDs.
const (
	memberA = "AAAAAAAAAAAAAAAAAAAAAQ"
	memberB = "AAAAAAAAAAAAAAAAAAAAAg"
)

// sharers is a share group that reads a topic from the beginning.
type sharers struct {
	s     *script
	group string
	topic string
	id    base.UUID
	epoch map[string]int32 // of sessions
}

func (s *script) sharers(partitions int32) *sharers {
	g := &sharers{s: s, group: s.topic("group"), topic: s.create("t", partitions), epoch: map[string]int32{}}
	g.id = s.idOf(g.topic)
	s.tell(1, &msg.IncrementalAlterConfigsRequest{Resources: []msg.IncrementalAlterConfigsRequestAlterConfigsResource{{ResourceType: groupResource, ResourceName: g.group,
		Configs: []configOp{set("share.auto.offset.reset", "earliest"), set("share.assignment.interval.ms", "0"), set("share.delivery.count.limit", "2")}}}})
	s.published()
	return g
}

func (g *sharers) beat(member string, epoch int32, topics ...string) *msg.ShareGroupHeartbeatRequest {
	return &msg.ShareGroupHeartbeatRequest{GroupId: g.group, MemberId: member, MemberEpoch: epoch, SubscribedTopicNames: topics}
}

// join joins and waits until the member has its partitions: Kafka hands them out when their state is there. It returns the member's epoch.
func (g *sharers) join(name, member string) int32 {
	epoch, answer := int32(0), (*msg.ShareGroupHeartbeatResponse)(nil)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		req := g.beat(member, epoch)
		if epoch == 0 {
			req.SubscribedTopicNames = []string{g.topic}
		}
		answer = g.s.tell(1, req).(*msg.ShareGroupHeartbeatResponse)
		if answer.ErrorCode == 0 {
			epoch = answer.MemberEpoch
		}
		if a := answer.Assignment; a != nil && len(a.TopicPartitions) > 0 {
			break
		}
	}
	answer.MemberEpoch = 0 // how often it had to be assigned is a matter of time
	g.s.show(name, 1, answer)
	return epoch
}

type ackRange struct {
	first, last int64
	types       []int8
}

func ack(first, last int64, types ...int8) ackRange { return ackRange{first, last, types} }

func (g *sharers) fetching(member string, epoch int32, acks ...ackRange) *msg.ShareFetchRequest {
	r := &msg.ShareFetchRequest{GroupId: &g.group, MemberId: &member, ShareSessionEpoch: epoch, MinBytes: 1, MaxBytes: 1 << 20, MaxRecords: 100, BatchSize: 100}
	p := msg.ShareFetchRequestFetchPartition{}
	for _, a := range acks {
		p.AcknowledgementBatches = append(p.AcknowledgementBatches, msg.ShareFetchRequestAcknowledgementBatch{FirstOffset: a.first, LastOffset: a.last, AcknowledgeTypes: a.types})
	}
	r.Topics = []msg.ShareFetchRequestFetchTopic{{TopicId: g.id, Partitions: []msg.ShareFetchRequestFetchPartition{p}}}
	return r
}

func (g *sharers) acking(member string, epoch int32, acks ...ackRange) *msg.ShareAcknowledgeRequest {
	r := &msg.ShareAcknowledgeRequest{GroupId: &g.group, MemberId: &member, ShareSessionEpoch: epoch}
	p := msg.ShareAcknowledgeRequestAcknowledgePartition{}
	for _, a := range acks {
		p.AcknowledgementBatches = append(p.AcknowledgementBatches, msg.ShareAcknowledgeRequestAcknowledgementBatch{FirstOffset: a.first, LastOffset: a.last, AcknowledgeTypes: a.types})
	}
	r.Topics = []msg.ShareAcknowledgeRequestAcknowledgeTopic{{TopicId: g.id, Partitions: []msg.ShareAcknowledgeRequestAcknowledgePartition{p}}}
	return r
}

// until fetches until records are acquired, and takes that as a step.
func (g *sharers) until(name, member string) {
	var answer *msg.ShareFetchResponse
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		answer = g.s.tell(2, g.fetching(member, g.epoch[member])).(*msg.ShareFetchResponse)
		if answer.ErrorCode == 0 {
			g.epoch[member]++
		}
		if len(answer.Responses) > 0 && len(answer.Responses[0].Partitions) > 0 && len(answer.Responses[0].Partitions[0].AcquiredRecords) > 0 {
			break
		}
	}
	g.s.show(name, 2, answer)
}

// acks takes a step of the member's session.
func (g *sharers) acks(name, member string, acks ...ackRange) {
	g.s.ask(name, 2, g.acking(member, g.epoch[member], acks...))
	g.epoch[member]++
}

func (g *sharers) produce(n int) {
	var vs []string
	for i := range n {
		vs = append(vs, fmt.Sprint("v", i))
	}
	g.s.tell(9, g.s.produceOf(g.topic, -1, recordsOf(batch.Options{}, t0, vs...)))
}

func shareGroup(s *script) {
	g := s.sharers(2)
	s.ask("unknown group", 1, g.beat(memberA, 4))
	s.ask("leaves an unknown group", 1, g.beat(memberA, -1))
	epoch := g.join("first member", memberA)
	quiet := s.tell(1, g.beat(memberA, epoch)).(*msg.ShareGroupHeartbeatResponse)
	epoch, quiet.MemberEpoch = quiet.MemberEpoch, 0
	s.show("nothing new", 1, quiet)
	s.ask("unknown member", 1, g.beat(memberB, epoch))
	s.ask("epoch too high", 1, g.beat(memberA, epoch+7))
	s.ask("no group", 1, &msg.ShareGroupHeartbeatRequest{MemberId: memberA, SubscribedTopicNames: []string{g.topic}})
	s.ask("no member", 1, g.beat("", 0, g.topic))
	s.ask("no subscription", 1, g.beat(memberB, 0))
	s.ask("epoch -2", 1, g.beat(memberA, -2))
	s.ask("classic member", 9, &msg.JoinGroupRequest{GroupId: g.group, SessionTimeoutMs: 10_000, RebalanceTimeoutMs: 10_000, MemberId: "m", ProtocolType: "consumer",
		Protocols: []msg.JoinGroupRequestJoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0}}}})
	b := &beats{s: s, group: g.group, topic: g.topic, id: g.id}
	b.join("consumer", "m")
	b.commit("commit", 9, "", -1, 0)
	b.commit("commit of a member", 9, memberA, epoch, 0)
	b.fetch("offsets", "", -1)
	s.ask("describe as a consumer group", 0, &msg.ConsumerGroupDescribeRequest{GroupIds: []string{g.group}})
	s.ask("describe as a classic group", 6, &msg.DescribeGroupsRequest{Groups: []string{g.group}})
	s.ask("heartbeat of a classic member", 4, &msg.HeartbeatRequest{GroupId: g.group, MemberId: "m", GenerationId: 1})
	s.ask("delete while in use", 2, &msg.DeleteGroupsRequest{GroupsNames: []string{g.group}})
	s.ask("delete offsets of a consumer group", 0, &msg.OffsetDeleteRequest{GroupId: g.group, Topics: []msg.OffsetDeleteRequestOffsetDeleteRequestTopic{{
		Name: g.topic, Partitions: []msg.OffsetDeleteRequestOffsetDeleteRequestPartition{{PartitionIndex: 0}},
	}}})
	s.ask("alter offsets while in use", 0, g.altering(0, 1))
	s.ask("delete offsets while in use", 0, g.deleting())
	s.ask("leave", 1, g.beat(memberA, -1))
	s.ask("leave again", 1, g.beat(memberA, -1))
	s.ask("alter offsets", 0, g.altering(0, 1))
	s.ask("alter offsets of no such partition", 0, g.altering(7, 1))
	s.ask("delete offsets", 0, g.deleting())
	s.ask("delete offsets again", 0, g.deleting())
	s.ask("delete", 2, &msg.DeleteGroupsRequest{GroupsNames: []string{g.group}})
	s.ask("alter offsets of a new group", 0, g.altering(0, 1))
}

func (g *sharers) altering(partition int32, start int64) *msg.AlterShareGroupOffsetsRequest {
	return &msg.AlterShareGroupOffsetsRequest{GroupId: g.group, Topics: []msg.AlterShareGroupOffsetsRequestAlterShareGroupOffsetsRequestTopic{{TopicName: g.topic,
		Partitions: []msg.AlterShareGroupOffsetsRequestAlterShareGroupOffsetsRequestPartition{{PartitionIndex: partition, StartOffset: start}}}}}
}

func (g *sharers) deleting() *msg.DeleteShareGroupOffsetsRequest {
	return &msg.DeleteShareGroupOffsetsRequest{GroupId: g.group, Topics: []msg.DeleteShareGroupOffsetsRequestDeleteShareGroupOffsetsRequestTopic{{TopicName: g.topic}}}
}

func shareFetch(s *script) {
	g := s.sharers(1)
	g.produce(10)
	g.join("member", memberA)
	s.ask("without a session", 2, g.fetching(memberA, 3))
	s.ask("acknowledge without a session", 2, g.acking(memberA, 3, ack(0, 0, 1)))
	s.ask("close without a session", 2, g.acking(memberA, -1))
	s.ask("acknowledge to begin", 2, g.acking(memberA, 0, ack(0, 0, 1)))
	s.ask("acknowledge in the first fetch", 2, g.fetching(memberA, 0, ack(0, 0, 1)))
	s.ask("no group", 2, &msg.ShareFetchRequest{MemberId: ptr(memberA)})
	s.ask("no member", 2, &msg.ShareFetchRequest{GroupId: &g.group})
	g.until("first records", memberA)
	s.ask("epoch too high", 2, g.fetching(memberA, 100))
	s.ask("acknowledge under another epoch", 2, g.acking(memberA, 100, ack(0, 0, 1)))
	s.ask("stranger", 2, g.acking(memberB, g.epoch[memberA], ack(0, 0, 1)))
	g.acks("accept", memberA, ack(0, 1, 1))
	g.acks("accept once more", memberA, ack(0, 1, 1))
	g.acks("one of them is done", memberA, ack(1, 2, 1))
	g.acks("beyond what was fetched", memberA, ack(9, 12, 1))
	g.acks("far beyond", memberA, ack(100, 101, 1))
	g.acks("no type", memberA, ack(2, 2))
	g.acks("unknown type", memberA, ack(2, 2, 5))
	g.acks("negative type", memberA, ack(2, 2, -1))
	g.acks("too many types", memberA, ack(2, 3, 1, 1, 1))
	g.acks("last before first", memberA, ack(3, 2, 1))
	g.acks("descending", memberA, ack(3, 3, 1), ack(2, 2, 1))
	g.acks("overlapping", memberA, ack(2, 3, 1), ack(3, 3, 1))
	g.acks("renew without saying so", memberA, ack(2, 2, 4))
	renew := g.acking(memberA, g.epoch[memberA], ack(2, 2, 4))
	renew.IsRenewAck = true
	s.ask("renew", 2, renew)
	g.epoch[memberA]++
	renew = g.acking(memberA, g.epoch[memberA], ack(2, 2, 4))
	s.ask("renew in the old version", 1, renew)
	g.epoch[memberA]++
	g.acks("of each type", memberA, ack(2, 5, 1, 2, 3, 0))
	g.until("what was released", memberA)
	g.acks("released twice", memberA, ack(3, 3, 2))
	g.acks("after its last delivery", memberA, ack(3, 3, 1))
	unknown := g.acking(memberA, g.epoch[memberA], ack(6, 6, 1))
	unknown.Topics[0].TopicId = base.UUID{9, 9}
	s.ask("unknown topic", 2, unknown)
	g.epoch[memberA]++
	nowhere := g.acking(memberA, g.epoch[memberA], ack(6, 6, 1))
	nowhere.Topics[0].Partitions[0].PartitionIndex = 5
	s.ask("unknown partition", 2, nowhere)
	g.epoch[memberA]++
	lost := g.fetching(memberA, g.epoch[memberA])
	lost.Topics[0].TopicId = base.UUID{9, 9}
	s.ask("fetch of an unknown topic", 2, lost)
	g.epoch[memberA]++
	s.ask("renew with a fetch", 2, func() *msg.ShareFetchRequest {
		r := g.fetching(memberA, g.epoch[memberA], ack(6, 6, 4))
		r.IsRenewAck = true
		return r
	}())
	s.ask("close", 2, g.acking(memberA, -1, ack(6, 7, 1)))
	s.ask("after the close", 2, g.acking(memberA, g.epoch[memberA], ack(8, 8, 1)))
	g.epoch[memberA] = 0
	g.until("what was not acknowledged", memberA)
	s.ask("close with the last fetch", 2, g.fetching(memberA, -1, ack(8, 8, 1)))
}

// shareOthers asks about share groups what is for groups of other kinds, and the other way round.
func shareOthers(s *script) {
	b := s.beats(1)
	b.atOnce()
	b.join("consumer", "m1")
	g := &sharers{s: s, group: b.group, topic: b.topic, id: b.id, epoch: map[string]int32{}}
	s.ask("share member of a consumer group", 1, g.beat(memberA, 0, g.topic))
	s.ask("describe", 1, &msg.ShareGroupDescribeRequest{GroupIds: []string{b.group, s.topic("nowhere")}})
	s.ask("alter", 0, g.altering(0, 1))
	s.ask("delete", 0, g.deleting())
	none := s.topic("nowhere")
	s.ask("offsets of no group", 0, &msg.DescribeShareGroupOffsetsRequest{Groups: []msg.DescribeShareGroupOffsetsRequestDescribeShareGroupOffsetsRequestGroup{{GroupId: none}}})
	s.ask("offsets of a consumer group", 0, &msg.DescribeShareGroupOffsetsRequest{Groups: []msg.DescribeShareGroupOffsetsRequestDescribeShareGroupOffsetsRequestGroup{{GroupId: b.group}}})
	g.group = none
	s.ask("delete of no group", 0, g.deleting())
}
