package parity

import (
	"fmt"
	"time"

	"sluice/wire/msg"
)

var _ = add(map[string]func(*script){
	"streams-group":    streamsGroup,
	"streams-topology": streamsTopology,
	"streams-standby":  streamsStandby,
	"streams-invalid":  streamsInvalid,
})

type (
	streamsBeat = msg.StreamsGroupHeartbeatRequest
	streamsTask = msg.StreamsGroupHeartbeatRequestTaskIds
	streamsPart = msg.StreamsGroupHeartbeatRequestSubtopology
	streamsInfo = msg.StreamsGroupHeartbeatRequestTopicInfo
)

// streamBeats is a streams group whose members send heartbeats. Its topology reads a topic and writes a repartition topic, which its second part
// reads, keeping a state with a changelog.
type streamBeats struct {
	s        *script
	group    string
	topic    string
	topology *msg.StreamsGroupHeartbeatRequestTopology
}

// streamBeats makes a group whose assignments wait for nothing.
func (s *script) streamBeats(partitions int32) *streamBeats {
	b := &streamBeats{s: s, group: s.topic("group"), topic: s.topic("t")}
	if partitions > 0 {
		s.create("t", partitions)
	}
	b.topology = &msg.StreamsGroupHeartbeatRequestTopology{Subtopologies: []streamsPart{
		{SubtopologyId: "0", SourceTopics: []string{b.topic}, RepartitionSinkTopics: []string{s.topic("rep")}},
		{SubtopologyId: "1", RepartitionSourceTopics: []streamsInfo{{Name: s.topic("rep"), TopicConfigs: []msg.StreamsGroupHeartbeatRequestKeyValue{{Key: "cleanup.policy", Value: "delete"}}}},
			StateChangelogTopics: []streamsInfo{{Name: s.topic("log"), TopicConfigs: []msg.StreamsGroupHeartbeatRequestKeyValue{{Key: "cleanup.policy", Value: "compact"}}}}},
	}}
	b.set("streams.initial.rebalance.delay.ms", "0")
	b.set("streams.assignment.interval.ms", "0")
	return b
}

// set sets something for the group, and waits until it shows.
func (b *streamBeats) set(name, value string) {
	b.s.ask(name+"="+value, 1, &msg.IncrementalAlterConfigsRequest{Resources: []msg.IncrementalAlterConfigsRequestAlterConfigsResource{{
		ResourceType: groupResource, ResourceName: b.group, Configs: []configOp{set(name, value)},
	}}})
	b.s.settle("with "+name+"="+value, 4, &msg.DescribeConfigsRequest{Resources: []msg.DescribeConfigsRequestDescribeConfigsResource{{
		ResourceType: groupResource, ResourceName: b.group, ConfigurationKeys: []string{name},
	}}}, func(m msg.Message) bool {
		all := m.(*msg.DescribeConfigsResponse).Results[0].Configs
		return len(all) == 1 && all[0].Value != nil && *all[0].Value == value
	})
	b.s.published()
}

func (b *streamBeats) beat(name, member string, epoch int32, with ...func(*streamsBeat)) *msg.StreamsGroupHeartbeatResponse {
	r := new(streamsBeat)
	r.SetDefaults()
	r.GroupId, r.MemberId, r.MemberEpoch = b.group, member, epoch
	for _, fn := range with {
		fn(r)
	}
	answer, _ := b.s.ask(name, 0, r).(*msg.StreamsGroupHeartbeatResponse)
	return answer
}

func (b *streamBeats) join(name, member string, with ...func(*streamsBeat)) {
	b.beat(name, member, 0, append([]func(*streamsBeat){func(r *streamsBeat) {
		r.RebalanceTimeoutMs, r.Topology, r.ProcessId = 60_000, b.topology, ptr("process of "+member)
		r.ActiveTasks, r.StandbyTasks, r.WarmupTasks = []streamsTask{}, []streamsTask{}, []streamsTask{}
	}}, with...)...)
}

// has says what a member works on: partitions of each subtopology.
func has(active, standby map[string][]int32) func(*streamsBeat) {
	list := func(m map[string][]int32) []streamsTask {
		out := []streamsTask{}
		for _, sub := range []string{"0", "1", "9"} {
			if len(m[sub]) > 0 {
				out = append(out, streamsTask{SubtopologyId: sub, Partitions: m[sub]})
			}
		}
		return out
	}
	return func(r *streamsBeat) {
		r.ActiveTasks, r.StandbyTasks, r.WarmupTasks = list(active), list(standby), []streamsTask{}
	}
}

type tasksOf = map[string][]int32

func (b *streamBeats) describe(name string) {
	b.s.ask(name, 0, &msg.StreamsGroupDescribeRequest{GroupIds: []string{b.group}})
	b.s.ask(name, 6, &msg.DescribeGroupsRequest{Groups: []string{b.group}})
}

func (b *streamBeats) commit(name string, version int16, member string, epoch int32, topic string, partition int32) {
	r := &msg.OffsetCommitRequest{GroupId: b.group, MemberId: member, GenerationIdOrMemberEpoch: epoch, RetentionTimeMs: -1}
	r.Topics = []msg.OffsetCommitRequestOffsetCommitRequestTopic{{Name: topic, Partitions: []msg.OffsetCommitRequestOffsetCommitRequestPartition{{
		PartitionIndex: partition, CommittedOffset: 5, CommittedLeaderEpoch: -1, CommittedMetadata: ptr(""),
	}}}}
	b.s.ask(name, version, r)
}

func (b *streamBeats) fetch(name, member string, epoch int32) {
	g := msg.OffsetFetchRequestOffsetFetchRequestGroup{GroupId: b.group, MemberEpoch: epoch}
	if member != "" {
		g.MemberId = &member
	}
	b.s.ask(name, 9, &msg.OffsetFetchRequest{Groups: []msg.OffsetFetchRequestOffsetFetchRequestGroup{g}})
}

func endpointOf(host string) func(*streamsBeat) {
	return func(r *streamsBeat) { r.UserEndpoint = &msg.StreamsGroupHeartbeatRequestEndpoint{Host: host, Port: 9} }
}

func streamsGroup(s *script) {
	b := s.streamBeats(2)
	s.create("rep", 2)
	s.create("log", 2)
	s.published()
	b.describe("before it exists")
	b.beat("unknown group", "m1", 4)
	b.join("first member", "m1", endpointOf("h1"))
	b.describe("with one member")
	b.beat("nothing new", "m1", 2)
	b.beat("asks for endpoints", "m1", 2, func(r *streamsBeat) { r.EndpointInformationEpoch = -1 })
	b.join("second member", "m2")
	b.beat("first hears of it", "m1", 2)
	b.beat("second waits", "m2", 3)
	b.beat("first still has all", "m1", 2, has(tasksOf{"0": {0, 1}, "1": {0, 1}}, nil))
	b.describe("first has to give up")
	b.beat("first gives up", "m1", 2, has(tasksOf{"0": {0}, "1": {0}}, nil))
	b.beat("second gets its share", "m2", 3)
	b.describe("all done")
	b.beat("lost answer", "m1", 2, has(tasksOf{"0": {0}}, nil))
	b.beat("lost answer, has too much", "m1", 2, has(tasksOf{"0": {0, 1}}, nil))
	b.beat("lost answer, does not say what it has", "m1", 2)
	b.beat("a task of no subtopology", "m1", 3, has(tasksOf{"9": {0}}, nil))
	b.beat("a task beyond the last", "m1", 3, has(tasksOf{"0": {2}}, nil))
	b.beat("epoch too high", "m1", 8)
	b.beat("no such member", "m9", 3)
	b.join("joins again", "m1")
	for _, v := range []int16{8, 9} {
		b.commit("commit of a member", v, "m1", 3, b.topic, 0)
	}
	b.commit("commit under the epoch before", 9, "m1", 2, b.topic, 0)
	b.commit("commit under the epoch before, of what it had not", 9, "m2", 2, b.topic, 1)
	b.commit("commit under the epoch before, another topic", 9, "m1", 2, s.topic("log"), 0)
	b.commit("commit under a later epoch", 9, "m1", 4, b.topic, 0)
	b.commit("commit of nobody", 9, "", -1, b.topic, 0)
	b.commit("commit of a stranger", 9, "m9", 3, b.topic, 0)
	b.fetch("offsets", "", -1)
	b.fetch("offsets of a member", "m1", 3)
	b.fetch("offsets under another epoch", "m1", 2)
	b.fetch("offsets of a stranger", "m9", 3)
	s.ask("delete while in use", 2, &msg.DeleteGroupsRequest{GroupsNames: []string{b.group}})
	s.ask("delete offsets in use", 0, &msg.OffsetDeleteRequest{GroupId: b.group, Topics: []msg.OffsetDeleteRequestOffsetDeleteRequestTopic{{
		Name: b.topic, Partitions: []msg.OffsetDeleteRequestOffsetDeleteRequestPartition{{PartitionIndex: 0}},
	}}})
	s.ask("joins as a classic member", 3, &msg.JoinGroupRequest{GroupId: b.group, SessionTimeoutMs: 30_000, RebalanceTimeoutMs: 60_000, ProtocolType: "consumer",
		Protocols: []msg.JoinGroupRequestJoinGroupRequestProtocol{{Name: "range", Metadata: []byte{}}}})
	s.ask("describe as a group of consumers", 1, &msg.ConsumerGroupDescribeRequest{GroupIds: []string{b.group}})
	for _, types := range [][]string{{"streams"}, {"STREAMS"}, {"consumer"}} {
		for _, states := range [][]string{nil, {"stable"}, {"reconciling", "Assigning", "empty"}} {
			for _, g := range s.tell(5, &msg.ListGroupsRequest{TypesFilter: types, StatesFilter: states}).(*msg.ListGroupsResponse).Groups {
				if g.GroupId == b.group {
					s.note(fmt.Sprintf("listed by %v %v", types, states), g.GroupType+" "+g.GroupState+" "+g.ProtocolType)
				}
			}
		}
	}
	b.beat("all shall shut down", "m1", 3, func(r *streamsBeat) { r.ShutdownApplication = true })
	b.beat("the other hears of it", "m2", 3)
	b.beat("leave", "m1", -1)
	b.beat("leave again", "m1", -1)
	b.beat("second gets all", "m2", 3)
	b.beat("leave", "m2", -1)
	b.describe("empty")
	s.ask("delete", 2, &msg.DeleteGroupsRequest{GroupsNames: []string{b.group}})
	b.describe("deleted")
}

func streamsTopology(s *script) {
	b := s.streamBeats(0)
	b.join("no source topic", "m1")
	b.describe("not ready")
	s.create("t", 3)
	s.published() // a coordinator of Kafka's learns of a topic later than the broker's cache
	answer := b.beat("internal topics are missing", "m1", 2)
	for deadline := time.Now().Add(settleMax); answer != nil && len(answer.Status) > 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		r := new(streamsBeat)
		r.SetDefaults()
		r.GroupId, r.MemberId, r.MemberEpoch = b.group, "m1", answer.MemberEpoch
		answer = s.tell(0, r).(*msg.StreamsGroupHeartbeatResponse)
	}
	if answer != nil {
		s.show("ready", 0, answer)
	}
	b.describe("ready")
	s.describeConfigs("of a topic that the group has got", topicResource, s.topic("log"), true)
	b.join("another topology", "m2", func(r *streamsBeat) {
		other := *b.topology
		other.Subtopologies = other.Subtopologies[:1]
		r.Topology = &other
	})
	b.join("a later topology", "m2", func(r *streamsBeat) {
		other := *b.topology
		other.Epoch = 1
		r.Topology = &other
	})
}

func streamsStandby(s *script) {
	b := s.streamBeats(1)
	s.create("rep", 1)
	s.create("log", 1)
	b.set("streams.num.standby.replicas", "1")
	b.join("first member", "m1")
	b.join("second member", "m2", func(r *streamsBeat) { r.RackId = ptr("rack") })
	b.beat("first gives up", "m1", 2, has(nil, nil))
	b.beat("second", "m2", 3)
	b.describe("with a standby")
	b.set("streams.num.standby.replicas", "0")
	b.beat("no standbys any more", "m2", 3)
	b.describe("without")
	b.set("streams.assignment.interval.ms", "15000")
	b.join("third member, soon after", "m3")
	b.set("streams.initial.rebalance.delay.ms", "60000")
	for _, m := range []string{"m1", "m2", "m3"} {
		b.beat("leave", m, -1)
	}
	b.join("first of an empty group", "m4")
	b.beat("waits", "m4", 1)
}

func streamsInvalid(s *script) {
	b := s.streamBeats(2)
	empty := ""
	with := func(change func(t *msg.StreamsGroupHeartbeatRequestTopology)) func(*streamsBeat) {
		return func(r *streamsBeat) {
			t := *b.topology
			t.Subtopologies = append([]streamsPart{}, t.Subtopologies...)
			change(&t)
			r.Topology = &t
		}
	}
	b.join("no member id", "")
	b.join("no rebalance timeout", "m", func(r *streamsBeat) { r.RebalanceTimeoutMs = -1 })
	b.join("no topology", "m", func(r *streamsBeat) { r.Topology = nil })
	b.join("active tasks", "m", has(tasksOf{"0": {0}}, nil))
	b.join("standby tasks", "m", has(nil, tasksOf{"0": {0}}))
	b.join("one kind of tasks", "m", func(r *streamsBeat) { r.StandbyTasks = nil })
	b.join("warmup tasks", "m", func(r *streamsBeat) { r.WarmupTasks = []streamsTask{{SubtopologyId: "0", Partitions: []int32{0}}} })
	b.join("offsets of tasks", "m", func(r *streamsBeat) { r.TaskOffsets = []msg.StreamsGroupHeartbeatRequestTaskOffset{} })
	b.join("an instance", "m", func(r *streamsBeat) { r.InstanceId = ptr("i") })
	b.join("empty rack", "m", func(r *streamsBeat) { r.RackId = &empty })
	b.join("no group", "m", func(r *streamsBeat) { r.GroupId = "" })
	b.beat("epoch -3", "m", -3)
	b.beat("leaves what is not there", "m", -1)
	b.beat("static leave without instance", "m", -2)
	b.beat("a topology later", "m", 3, func(r *streamsBeat) { r.Topology = b.topology })
	b.join("an internal topic of Kafka's", "m", with(func(t *msg.StreamsGroupHeartbeatRequestTopology) {
		t.Subtopologies[0].SourceTopics = []string{"__consumer_offsets"}
	}))
	b.join("a name that is none", "m", with(func(t *msg.StreamsGroupHeartbeatRequestTopology) { t.Subtopologies[0].SourceTopics = []string{"a b"} }))
	b.join("an expression", "m", with(func(t *msg.StreamsGroupHeartbeatRequestTopology) {
		t.Subtopologies[0].SourceTopicRegex = []string{"a.*"}
	}))
	b.join("a changelog with partitions", "m", with(func(t *msg.StreamsGroupHeartbeatRequestTopology) {
		t.Subtopologies[1].StateChangelogTopics = []streamsInfo{{Name: s.topic("log"), Partitions: 2}}
	}))
	b.join("a repartition topic nobody writes", "m", with(func(t *msg.StreamsGroupHeartbeatRequestTopology) { t.Subtopologies[0].RepartitionSinkTopics = nil }))
	b.join("a loop", "m", with(func(t *msg.StreamsGroupHeartbeatRequestTopology) {
		t.Subtopologies = []streamsPart{{SubtopologyId: "0", RepartitionSinkTopics: []string{s.topic("rep")}, RepartitionSourceTopics: []streamsInfo{{Name: s.topic("rep")}}}}
	}))
	s.create("u", 3)
	s.published()
	b.join("partitions that do not match", "m", with(func(t *msg.StreamsGroupHeartbeatRequestTopology) {
		t.Subtopologies = []streamsPart{{SubtopologyId: "0", SourceTopics: []string{b.topic, s.topic("u")}, CopartitionGroups: []msg.StreamsGroupHeartbeatRequestCopartitionGroup{{SourceTopics: []int16{0, 1}}}}}
	}))
	b.describe("with partitions that do not match")
	s.ask("describe no group", 0, &msg.StreamsGroupDescribeRequest{GroupIds: []string{""}})
}
