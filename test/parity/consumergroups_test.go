package parity

import (
	"fmt"
	"time"

	"sluice/base"
	"sluice/test/twin"
	"sluice/wire/msg"
)

var _ = add(map[string]func(*script){
	"consumer-group":   consumerGroup,
	"consumer-batched": consumerBatched,
	"consumer-static":  consumerStatic,
	"consumer-invalid": consumerInvalid,
	"consumer-migrate": consumerMigrate,
	"consumer-pattern": consumerPattern,
})

type beat = msg.ConsumerGroupHeartbeatRequest

// beats is a group whose members send heartbeats.
type beats struct {
	s     *script
	group string
	topic string
	id    base.UUID
}

func (s *script) beats(partitions int32) *beats {
	b := &beats{s: s, group: s.topic("group"), topic: s.create("t", partitions)}
	b.id = s.idOf(b.topic)
	return b
}

// atOnce: an assignment does not wait for others that may follow.
func (b *beats) atOnce() {
	b.assignEvery("0")
}

func (b *beats) assignEvery(ms string) {
	b.s.ask("assign every "+ms+" ms", 1, &msg.IncrementalAlterConfigsRequest{Resources: []msg.IncrementalAlterConfigsRequestAlterConfigsResource{{
		ResourceType: groupResource, ResourceName: b.group, Configs: []configOp{set("consumer.assignment.interval.ms", ms)},
	}}})
	b.s.published()
}

func (b *beats) join(name, member string, with ...func(*beat)) {
	b.beat(name, member, 0, append([]func(*beat){func(r *beat) {
		r.RebalanceTimeoutMs, r.SubscribedTopicNames, r.TopicPartitions = 60_000, []string{b.topic}, []msg.ConsumerGroupHeartbeatRequestTopicPartitions{}
	}}, with...)...)
}

func (b *beats) beat(name, member string, epoch int32, with ...func(*beat)) {
	r := new(beat)
	r.SetDefaults()
	r.GroupId, r.MemberId, r.MemberEpoch = b.group, member, epoch
	for _, fn := range with {
		fn(r)
	}
	b.s.ask(name, 1, r)
}

func (b *beats) owns(partitions ...int32) func(*beat) {
	return func(r *beat) {
		r.TopicPartitions = []msg.ConsumerGroupHeartbeatRequestTopicPartitions{}
		if len(partitions) > 0 {
			r.TopicPartitions = append(r.TopicPartitions, msg.ConsumerGroupHeartbeatRequestTopicPartitions{TopicId: b.id, Partitions: partitions})
		}
	}
}

func instance(id string) func(*beat) { return func(r *beat) { r.InstanceId = &id } }

func (b *beats) describe(name string) {
	b.s.versions(msg.KeyConsumerGroupDescribe, func(v int16) {
		b.s.ask(name, v, &msg.ConsumerGroupDescribeRequest{GroupIds: []string{b.group}})
	})
	b.s.ask(name, 6, &msg.DescribeGroupsRequest{Groups: []string{b.group}})
}

func (b *beats) commit(name string, version int16, member string, epoch int32, partition int32) {
	r := &msg.OffsetCommitRequest{GroupId: b.group, MemberId: member, GenerationIdOrMemberEpoch: epoch, RetentionTimeMs: -1}
	r.Topics = []msg.OffsetCommitRequestOffsetCommitRequestTopic{{Name: b.topic, Partitions: []msg.OffsetCommitRequestOffsetCommitRequestPartition{{
		PartitionIndex: partition, CommittedOffset: 5, CommittedLeaderEpoch: -1, CommittedMetadata: ptr(""),
	}}}}
	b.s.ask(name, version, r)
}

func (b *beats) fetch(name, member string, epoch int32) {
	g := msg.OffsetFetchRequestOffsetFetchRequestGroup{GroupId: b.group, MemberEpoch: epoch}
	if member != "" {
		g.MemberId = &member
	}
	b.s.ask(name, 9, &msg.OffsetFetchRequest{Groups: []msg.OffsetFetchRequestOffsetFetchRequestGroup{g}})
}

func consumerGroup(s *script) {
	b := s.beats(4)
	b.describe("before it exists")
	b.beat("unknown group", "m1", 4)
	b.atOnce()
	b.join("first member", "m1")
	b.describe("with one member")
	b.beat("nothing new", "m1", 2)
	b.join("second member", "m2")
	b.describe("with two members")
	b.beat("first hears of it", "m1", 2)
	b.beat("second waits", "m2", 3)
	b.beat("first still owns all", "m1", 2, b.owns(0, 1, 2, 3))
	b.describe("first has to give up")
	b.beat("first gives up", "m1", 2, b.owns(0, 1))
	b.beat("second gets its share", "m2", 3)
	b.describe("all done")
	b.beat("lost answer", "m1", 2, b.owns(0, 1))
	b.beat("lost answer, owns too much", "m1", 2, b.owns(0, 1, 2))
	b.beat("lost answer, does not say what it owns", "m1", 2)
	b.beat("epoch too high", "m1", 8)
	b.beat("no such member", "m9", 3)
	b.join("joins again", "m1")
	for _, v := range []int16{8, 9} {
		b.commit("commit of a member", v, "m1", 3, 0)
	}
	b.commit("commit under the epoch before", 9, "m1", 2, 0)
	b.commit("commit under the epoch before, of what it had not", 9, "m2", 2, 2)
	b.commit("commit under a later epoch", 9, "m1", 4, 0)
	b.commit("commit of nobody", 9, "", -1, 0)
	b.commit("commit of a stranger", 9, "m9", 3, 0)
	b.fetch("offsets", "", -1)
	b.fetch("offsets of a member", "m1", 3)
	b.fetch("offsets under another epoch", "m1", 2)
	b.fetch("offsets of a stranger", "m9", 3)
	s.ask("delete while in use", 2, &msg.DeleteGroupsRequest{GroupsNames: []string{b.group}})
	s.ask("delete offsets in use", 0, &msg.OffsetDeleteRequest{GroupId: b.group, Topics: []msg.OffsetDeleteRequestOffsetDeleteRequestTopic{{
		Name: b.topic, Partitions: []msg.OffsetDeleteRequestOffsetDeleteRequestPartition{{PartitionIndex: 0}},
	}}})
	b.beat("leave", "m1", -1)
	b.beat("leave again", "m1", -1)
	b.beat("second gets all", "m2", 3)
	b.beat("subscribes to nothing that exists", "m2", 4, func(r *beat) { r.SubscribedTopicNames = []string{s.topic("nowhere")} })
	b.beat("gives up all", "m2", 4, b.owns())
	b.describe("with nothing to do")
	b.beat("leave", "m2", -1)
	b.describe("empty")
	s.ask("delete", 2, &msg.DeleteGroupsRequest{GroupsNames: []string{b.group}})
	b.describe("deleted")
}

func consumerBatched(s *script) {
	b := s.beats(2)
	b.assignEvery("15000")
	b.join("first member", "m1")
	b.join("second member, soon after", "m2")
	b.beat("first hears nothing", "m1", 2)
	b.beat("second waits", "m2", 2)
	b.describe("to be assigned")
}

func consumerStatic(s *script) {
	b := s.beats(2)
	b.atOnce()
	b.join("first", "m1", instance("i"))
	b.join("another of that instance", "m2", instance("i"))
	b.beat("another, as if it were a member", "m2", 2, instance("i"))
	b.beat("unknown instance", "m1", 2, instance("j"))
	b.beat("leave for a while", "m1", -2, instance("i"))
	b.describe("away")
	b.beat("back under its epoch", "m1", 2, instance("i"))
	b.join("back under another id", "m2", instance("i"))
	b.describe("back")
	b.beat("the old one", "m1", 2, instance("i"))
	b.beat("leave for good, another", "m1", -1, instance("i"))
	b.beat("leave for good", "m2", -1, instance("i"))
	b.describe("gone")
}

// consumerPattern is a subscription by expression, which Kafka matches in the background: whoever brings it is answered before.
func consumerPattern(s *script) {
	b := s.beats(2)
	b.atOnce()
	pattern := func(expression string) func(*beat) {
		return func(r *beat) { r.SubscribedTopicNames, r.SubscribedTopicRegex = nil, ptr(expression) }
	}
	b.join("brings an expression", "m1", pattern(b.topic+".*"))
	b.awaitAssigned("is matched", "m1", 1)
	b.describe("with an expression")
	b.join("brings the same", "m2", pattern(b.topic+".*"))
	b.beat("has to share", "m1", 2, b.owns(0, 1))
	b.beat("gives up", "m1", 2, b.owns(0))
	b.beat("gets its share", "m2", 3)
	b.beat("wants none", "m2", 3, func(r *beat) { r.SubscribedTopicRegex = ptr("") })
	b.describe("one wants none")
}

// awaitAssigned sends heartbeats until one is answered with partitions.
func (b *beats) awaitAssigned(name, member string, epoch int32) {
	r := new(beat)
	r.SetDefaults()
	r.GroupId, r.MemberId, r.MemberEpoch = b.group, member, epoch
	for deadline := time.Now().Add(twin.StartMax); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		answer := b.s.tell(1, r).(*msg.ConsumerGroupHeartbeatResponse)
		if answer.Assignment != nil && len(answer.Assignment.TopicPartitions) == 1 {
			b.s.note(name, fmt.Sprint(answer.ErrorCode, answer.MemberEpoch, answer.Assignment.TopicPartitions[0].Partitions))
			return
		}
	}
	b.s.fatalf("%s: %s gets no partitions", name, member)
}

func consumerInvalid(s *script) {
	b := s.beats(1)
	empty := ""
	b.join("no member id", "")
	b.join("no rebalance timeout", "m", func(r *beat) { r.RebalanceTimeoutMs = -1 })
	b.join("no partitions said", "m", func(r *beat) { r.TopicPartitions = nil })
	b.join("partitions owned", "m", b.owns(0))
	b.join("no topics", "m", func(r *beat) { r.SubscribedTopicNames = nil })
	b.join("empty topics", "m", func(r *beat) { r.SubscribedTopicNames = []string{} })
	b.join("empty instance", "m", func(r *beat) { r.InstanceId = &empty })
	b.join("empty rack", "m", func(r *beat) { r.RackId = &empty })
	b.join("no group", "m", func(r *beat) { r.GroupId = "" })
	b.join("unknown assignor", "m", func(r *beat) { r.ServerAssignor = ptr("sticky") })
	b.join("bad expression", "m", func(r *beat) { r.SubscribedTopicRegex = ptr("(") })
	b.beat("epoch -3", "m", -3)
	b.beat("leaves what is not there", "m", -1)
	b.beat("static leave without instance", "m", -2)
	b.join("known assignor", "m", func(r *beat) { r.ServerAssignor = ptr("range") })
	b.describe("with an assignor")
	s.ask("describe no group", 1, &msg.ConsumerGroupDescribeRequest{GroupIds: []string{""}})
	for _, types := range [][]string{{"consumer"}, {"CLASSIC"}, {"nonsense"}} {
		for _, states := range [][]string{nil, {"stable"}, {"reconciling", "Assigning", "empty"}} {
			answer := s.tell(5, &msg.ListGroupsRequest{TypesFilter: types, StatesFilter: states}).(*msg.ListGroupsResponse)
			for _, g := range answer.Groups {
				if g.GroupId == b.group {
					s.note(fmt.Sprintf("listed by %v %v", types, states), g.GroupType+" "+g.GroupState+" "+g.ProtocolType)
				}
			}
		}
	}
}

func consumerMigrate(s *script) {
	b := s.beats(2)
	b.atOnce()
	join := func(name, member string) *msg.JoinGroupResponse {
		r := &msg.JoinGroupRequest{GroupId: b.group, MemberId: member, SessionTimeoutMs: 30_000, RebalanceTimeoutMs: 60_000, ProtocolType: "consumer"}
		sub := msg.ConsumerProtocolSubscription{Topics: []string{b.topic}}
		r.Protocols = []msg.JoinGroupRequestJoinGroupRequestProtocol{{Name: "range", Metadata: sub.Append([]byte{0, 1}, 1)}}
		return s.ask(name, 3, r).(*msg.JoinGroupResponse)
	}
	sync := func(name, member string, generation int32, assigned ...int32) {
		r := &msg.SyncGroupRequest{GroupId: b.group, MemberId: member, GenerationId: generation}
		if len(assigned) > 0 {
			a := msg.ConsumerProtocolAssignment{AssignedPartitions: []msg.ConsumerProtocolAssignmentTopicPartition{{Topic: b.topic, Partitions: assigned}}}
			r.Assignments = []msg.SyncGroupRequestSyncGroupRequestAssignment{{MemberId: member, Assignment: a.Append([]byte{0, 1}, 1)}}
		}
		s.ask(name, 3, r)
	}
	heartbeat := func(name, member string, generation int32) {
		s.ask(name, 3, &msg.HeartbeatRequest{GroupId: b.group, MemberId: member, GenerationId: generation})
	}
	first := join("classic member", "")
	sync("classic assignment", first.MemberId, first.GenerationId, 0, 1)
	b.join("upgrade", "m1")
	heartbeat("classic heartbeat", first.MemberId, first.GenerationId)
	second := join("classic member joins again", first.MemberId)
	sync("its share", first.MemberId, second.GenerationId)
	b.beat("the other's share", "m1", 2)
	heartbeat("classic heartbeat", first.MemberId, second.GenerationId)
	heartbeat("of the generation before", first.MemberId, first.GenerationId)
	heartbeat("of a member that is not classic", "m1", 2)
	b.commit("classic commit", 2, first.MemberId, second.GenerationId, 0)
	b.commit("classic commit, generation before", 2, first.MemberId, first.GenerationId, 0)
	b.beat("downgrade", "m1", -1)
	b.describe("a classic group again")
	heartbeat("classic heartbeat", first.MemberId, second.GenerationId)
	third := join("classic member joins again", first.MemberId)
	sync("classic assignment", first.MemberId, third.GenerationId, 0, 1)
}
