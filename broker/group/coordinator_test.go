package group

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/broker/partition/memlog"
	"sluice/broker/share"
	"sluice/broker/topicconfig"
	"sluice/wire/kbin"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeCluster is a cluster of one node.
type fakeCluster struct {
	mu         sync.Mutex
	topics     map[string]base.UUID
	partitions int32
	creations  int
	createErr  error
	leaderless bool
}

func (c *fakeCluster) TopicID(name string) (base.UUID, bool) {
	id, ok := c.topics[name]
	return id, ok
}

func (c *fakeCluster) TopicName(id base.UUID) (string, bool) {
	for name, i := range c.topics {
		if i == id {
			return name, true
		}
	}
	return "", false
}

func (c *fakeCluster) Topics() Topics {
	view := fixedTopics{version: 1}
	for name, id := range c.topics {
		view = view.with(name, fixedTopic{id, 2})
	}
	return view
}

func (c *fakeCluster) Partitions(string) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.partitions
}

func (c *fakeCluster) Leader(string, int32) (base.NodeID, bool) { return 3, !c.leaderless }

func (c *fakeCluster) Endpoint(node base.NodeID, listener string) (string, int32, bool) {
	return "broker" + node.String() + "." + listener, 9092, listener == "in"
}

func (c *fakeCluster) CreateTopic(ctx context.Context, name string, partitions int32, configs map[string]string) error {
	time.Sleep(time.Second)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.creations++
	if c.createErr != nil {
		return c.createErr
	}
	if name != Topic || configs["cleanup.policy"] != "compact" {
		panic("wrong topic")
	}
	c.partitions = partitions
	return nil
}

// stage is a coordinator with partitions on logs in memory.
type stage struct {
	t       *testing.T
	cluster *fakeCluster
	c       *Coordinator
	wal     *memlog.WAL
	data    *memlog.Log
	meta    *memlog.Log
	p       *partition.Partition
	epoch   base.StreamEpoch
	silent  atomic.Bool // the node may not answer
}

// newStage makes a coordinator that coordinates the only partition.
func newStage(t *testing.T) *stage {
	delay := time.Duration(0)
	s := &stage{t: t, wal: &memlog.WAL{}, cluster: &fakeCluster{partitions: 1, topics: map[string]base.UUID{"t": topicID("T"), "u": topicID("U")}}}
	s.data, s.meta = s.wal.New(0), s.wal.New(0)
	s.c = New(Options{Cluster: s.cluster, Config: Config{InitialRebalanceDelay: &delay}, Gate: func() bool { return !s.silent.Load() }})
	t.Cleanup(s.c.Close)
	s.open()
	return s
}

func (s *stage) open() {
	s.epoch++
	cfg := topicconfig.Default()
	p, err := partition.Open(s.t.Context(), partition.Options{
		Name: Topic, Epoch: s.epoch, EpochStarts: []partition.EpochStart{{Epoch: s.epoch}}, Config: &cfg, Data: s.data, Meta: s.meta,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.p = p
	s.c.OnServing(p)
	synctest.Wait()
}

// crash loses what is not durable, and opens the partition again.
func (s *stage) crash() {
	var logs []*memlog.Log
	s.wal, logs = s.wal.Crash(s.data, s.meta)
	s.data, s.meta = logs[0], logs[1]
	s.p.Abandon(kerr.NotLeaderOrFollower, "crash")
	s.c.OnClosed(s.p)
	s.open()
}

// reply collects the responses to one call.
type reply[R any] struct {
	mu  sync.Mutex
	got []*R
}

func (r *reply[R]) take(v *R) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, v)
}

// response is the one response there must be by now.
func (r *reply[R]) response(t *testing.T) *R {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.got) != 1 {
		t.Fatalf("%d responses of type %T", len(r.got), new(R))
	}
	return r.got[0]
}

// none checks that there is no response yet.
func (r *reply[R]) none(t *testing.T) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.got) != 0 {
		t.Fatalf("answered %+v", r.got[0])
	}
}

// decoded is a request as it comes from the wire, from a buffer that is reused at once.
func decoded[T any, PT interface {
	*T
	msg.Message
}](t *testing.T, m T, version int16, serve func(PT)) {
	t.Helper()
	b := PT(&m).Append(nil, version)
	r := kbin.NewReader(b)
	back := PT(new(T))
	back.Decode(&r, version)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	serve(back)
	for i := range b {
		b[i] = 0xee
	}
}

// encodable checks that a response can be written in that version.
func encodable(t *testing.T, m msg.Message, version int16) {
	t.Helper()
	if len(m.Append(nil, version)) == 0 {
		t.Fatalf("%T", m)
	}
}

func (s *stage) join(version int16, member, instance string) *reply[msg.JoinGroupResponse] {
	r := &reply[msg.JoinGroupResponse]{}
	q := msg.JoinGroupRequest{GroupId: "g", SessionTimeoutMs: 10000, RebalanceTimeoutMs: 60000, MemberId: member, ProtocolType: "consumer"}
	if version >= 5 {
		q.GroupInstanceId = pointer(instance)
	}
	makeSlice(&q.Protocols, 1)
	q.Protocols[0].Name, q.Protocols[0].Metadata = "range", subscription("t")
	decoded(s.t, q, version, func(q *msg.JoinGroupRequest) {
		s.c.Join(CallInfo{ClientID: "c", ClientHost: "10.0.0.1", Version: version}, q, r.take)
	})
	synctest.Wait()
	return r
}

func (s *stage) sync(version int16, member string, generation int32, assigned string) *reply[msg.SyncGroupResponse] {
	r := &reply[msg.SyncGroupResponse]{}
	q := msg.SyncGroupRequest{GroupId: "g", MemberId: member, GenerationId: generation}
	if version >= 5 {
		q.ProtocolType, q.ProtocolName = pointer("consumer"), pointer("range")
	}
	if assigned != "" {
		makeSlice(&q.Assignments, 1)
		q.Assignments[0].MemberId, q.Assignments[0].Assignment = member, []byte(assigned)
	}
	decoded(s.t, q, version, func(q *msg.SyncGroupRequest) { s.c.Sync(CallInfo{Version: version}, q, r.take) })
	synctest.Wait()
	return r
}

func (s *stage) heartbeat(member string, generation int32) kerr.Code {
	r := &reply[msg.HeartbeatResponse]{}
	s.c.Heartbeat(CallInfo{}, &msg.HeartbeatRequest{GroupId: "g", MemberId: member, GenerationId: generation}, r.take)
	return kerr.Code(r.response(s.t).ErrorCode)
}

func (s *stage) commit(version int16, group, member string, generation int32, topics ...string) *reply[msg.OffsetCommitResponse] {
	r := &reply[msg.OffsetCommitResponse]{}
	q := msg.OffsetCommitRequest{GroupId: group, MemberId: member, GenerationIdOrMemberEpoch: generation, RetentionTimeMs: -1}
	makeSlice(&q.Topics, len(topics))
	for i, name := range topics {
		q.Topics[i].Name = name
		if version >= 10 {
			q.Topics[i].TopicId, q.Topics[i].Name = s.cluster.topics[name], ""
		}
		makeSlice(&q.Topics[i].Partitions, 2)
		for p := range q.Topics[i].Partitions {
			q.Topics[i].Partitions[p].PartitionIndex = int32(p)
			q.Topics[i].Partitions[p].CommittedOffset = int64(100*i + p)
			q.Topics[i].Partitions[p].CommittedLeaderEpoch = -1
		}
	}
	decoded(s.t, q, version, func(q *msg.OffsetCommitRequest) { s.c.OffsetCommit(CallInfo{Version: version}, q, r.take) })
	synctest.Wait()
	return r
}

func commitCodes(r *msg.OffsetCommitResponse) (codes []kerr.Code) {
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			codes = append(codes, kerr.Code(p.ErrorCode))
		}
	}
	return codes
}

// TestOffsetFetchAnswersAsItIsAsked: up to version 7 topics are answered as they were named, also twice, and without partitions.
func TestOffsetFetchAnswersAsItIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { offsetFetchAsAsked(t, newStage(t)) })
}

func offsetFetchAsAsked(t *testing.T, s *stage) {
	for _, version := range []int16{1, 2, 5, 7} {
		q := msg.OffsetFetchRequest{GroupId: "nobody"}
		makeSlice(&q.Topics, 3)
		for i, indexes := range [][]int32{{1, 0}, {}, {0}} {
			q.Topics[i].Name, q.Topics[i].PartitionIndexes = "t", indexes
		}
		r := &reply[msg.OffsetFetchResponse]{}
		decoded(t, q, version, func(q *msg.OffsetFetchRequest) { s.c.OffsetFetch(CallInfo{Version: version}, q, r.take) })
		var got []int
		for _, topic := range r.response(t).Topics {
			got = append(got, len(topic.Partitions))
		}
		if fmt.Sprint(got) != "[2 0 1]" {
			t.Errorf("version %d: %v partitions", version, got)
		}
	}
}

// fetched asks for offsets of t-0 and u-1 and returns what is said of them, group by group.
func (s *stage) fetched(version int16, all bool, groups ...string) string {
	r := &reply[msg.OffsetFetchResponse]{}
	q := msg.OffsetFetchRequest{RequireStable: version >= 7}
	if version < 8 {
		q.GroupId = groups[0]
		if !all {
			makeSlice(&q.Topics, 2)
			q.Topics[0].Name, q.Topics[0].PartitionIndexes = "t", []int32{0}
			q.Topics[1].Name, q.Topics[1].PartitionIndexes = "u", []int32{1}
		}
	} else {
		makeSlice(&q.Groups, len(groups))
		for i, g := range groups {
			q.Groups[i].GroupId = g
			if !all {
				makeSlice(&q.Groups[i].Topics, 2)
				q.Groups[i].Topics[0].Name, q.Groups[i].Topics[0].TopicId, q.Groups[i].Topics[0].PartitionIndexes = "t", topicID("T"), []int32{0}
				q.Groups[i].Topics[1].Name, q.Groups[i].Topics[1].TopicId, q.Groups[i].Topics[1].PartitionIndexes = "u", topicID("U"), []int32{1}
			}
		}
	}
	decoded(s.t, q, version, func(q *msg.OffsetFetchRequest) { s.c.OffsetFetch(CallInfo{Version: version}, q, r.take) })
	res := r.response(s.t)
	encodable(s.t, res, version)
	text := ""
	if version < 8 {
		for _, t := range res.Topics {
			for _, p := range t.Partitions {
				text += fmt.Sprintf(" %s-%d=%d", t.Name, p.PartitionIndex, p.CommittedOffset)
				if p.ErrorCode != 0 {
					text += "!" + kerr.Code(p.ErrorCode).String()
				}
			}
		}
		if res.ErrorCode != 0 && version >= 2 {
			text += " " + kerr.Code(res.ErrorCode).String()
		}
	}
	for _, g := range res.Groups {
		text += " " + g.GroupId + ":"
		for _, t := range g.Topics {
			name := t.Name
			if version >= 10 {
				name, _ = s.cluster.TopicName(t.TopicId)
			}
			for _, p := range t.Partitions {
				text += fmt.Sprintf(" %s-%d=%d", name, p.PartitionIndex, p.CommittedOffset)
				if p.ErrorCode != 0 {
					text += "!" + kerr.Code(p.ErrorCode).String()
				}
			}
		}
		if g.ErrorCode != 0 {
			text += " " + kerr.Code(g.ErrorCode).String()
		}
	}
	return text
}

// TestEveryVersion takes a group through its life in every version of JoinGroup, with the versions of the other APIs beside it.
func TestEveryVersion(t *testing.T) {
	for version := int16(0); version <= 9; version++ {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			join := s.join(version, "", "")
			if version >= 4 {
				r := join.response(t)
				if kerr.Code(r.ErrorCode) != kerr.MemberIDRequired || r.MemberId[:2] != "c-" || len(r.MemberId) != 38 {
					t.Fatalf("v%d: %+v", version, r)
				}
				join = s.join(version, r.MemberId, "")
			}
			j := join.response(t)
			encodable(t, j, version)
			if j.ErrorCode != 0 || j.GenerationId != 1 || j.Leader != j.MemberId || len(j.Members) != 1 || !slices.Equal(j.Members[0].Metadata, subscription("t")) {
				t.Fatalf("v%d: %+v", version, j)
			}
			syncVersion := min(version, 5)
			sync := s.sync(syncVersion, j.MemberId, 1, "t0t1")
			sync.none(t)
			s.wal.Complete(1)
			if r := sync.response(t); string(r.Assignment) != "t0t1" || r.ErrorCode != 0 {
				t.Fatalf("v%d: %+v", version, r)
			}
			encodable(t, sync.response(t), syncVersion)
			commit := s.commit(max(2, version), "g", j.MemberId, 1, "t", "u")
			commit.none(t)
			s.wal.Complete(1)
			if codes := commitCodes(commit.response(t)); !slices.Equal(codes, make([]kerr.Code, 4)) {
				t.Fatalf("v%d: %v", version, codes)
			}
			leave := &reply[msg.LeaveGroupResponse]{}
			q := msg.LeaveGroupRequest{GroupId: "g", MemberId: j.MemberId}
			if version >= 3 {
				q.MemberId = ""
				makeSlice(&q.Members, 2)
				q.Members[0].MemberId, q.Members[1].MemberId = j.MemberId, "stranger"
			}
			leaveVersion := min(version, 5)
			decoded(t, q, leaveVersion, func(q *msg.LeaveGroupRequest) { s.c.Leave(CallInfo{Version: leaveVersion}, q, leave.take) })
			leave.none(t)
			s.wal.Complete(1)
			r := leave.response(t)
			encodable(t, r, leaveVersion)
			if r.ErrorCode != 0 || version >= 3 && (r.Members[0].ErrorCode != 0 || kerr.Code(r.Members[1].ErrorCode) != kerr.UnknownMemberID) {
				t.Fatalf("v%d: %+v", version, r)
			}
			s.c.Close()
		})
	}
}

func TestOffsetVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		for version := int16(2); version <= 10; version++ {
			group := fmt.Sprintf("g%d", version)
			r := s.commit(version, group, "", -1, "t", "unknown", "u")
			s.wal.Complete(1)
			unknown := kerr.UnknownTopicOrPartition
			if version >= 10 {
				unknown = kerr.UnknownTopicID
			}
			if codes := commitCodes(r.response(t)); !slices.Equal(codes, []kerr.Code{0, 0, unknown, unknown, 0, 0}) {
				t.Fatalf("v%d: %v", version, codes)
			}
			encodable(t, r.response(t), version)
			if r := s.commit(version, "none"+group, "m", 4, "t"); kerr.Code(r.response(t).Topics[0].Partitions[0].ErrorCode) !=
				map[bool]kerr.Code{true: kerr.GroupIDNotFound, false: kerr.IllegalGeneration}[version >= 9] {
				t.Fatalf("v%d: %+v", version, r.response(t))
			}
		}
		for version := int16(1); version <= 10; version++ {
			if version < 8 {
				if got, want := s.fetched(version, false, "g5"), " t-0=0 u-1=201"; got != want {
					t.Fatalf("v%d: %q", version, got)
				}
				if got, want := s.fetched(version, false, "unknown"), " t-0=-1 u-1=-1"; got != want {
					t.Fatalf("v%d: %q", version, got)
				}
			} else if got, want := s.fetched(version, false, "g5", "unknown", "g10"), " g5: t-0=0 u-1=201 unknown: t-0=-1 u-1=-1 g10: t-0=0 u-1=201"; got != want {
				t.Fatalf("v%d: %q", version, got)
			}
			if version >= 2 {
				want := " t-0=0 t-1=1 u-0=200 u-1=201"
				if version >= 8 {
					want = " g2:" + want
				}
				if got := s.fetched(version, true, "g2"); got != want {
					t.Fatalf("v%d: %q", version, got)
				}
			}
		}
		// Ids that are not known come last in an answer.
		known := s.cluster.topics["t"]
		delete(s.cluster.topics, "t")
		if got, want := s.fetched(10, false, "g2"), " g2: u-1=201 -0=-1!UNKNOWN_TOPIC_ID"; got != want {
			t.Fatalf("%q", got)
		}
		s.cluster.topics["t"] = known
		// A topic is deleted: names are harmless, ids are not known any more.
		delete(s.cluster.topics, "u")
		if got, want := s.fetched(10, false, "g2"), " g2: t-0=0 -1=-1!UNKNOWN_TOPIC_ID"; got != want {
			t.Fatalf("%q", got)
		}
		if got, want := s.fetched(10, true, "g2"), " g2: t-0=0 t-1=1"; got != want {
			t.Fatalf("%q", got)
		}
		s.c.OnTopicDeleted("u", topicID("U"))
		synctest.Wait()
		s.wal.Complete(1)
		synctest.Wait()
		// Made again, it is another topic.
		s.cluster.topics["u"] = topicID("V")
		s.cluster.topics["t"] = topicID("S")
		if got, want := s.fetched(9, false, "g2"), " g2: t-0=-1 u-1=-1"; got != want {
			t.Fatalf("%q", got)
		}
	})
}

func TestFailuresOfTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		member := s.join(3, "", "").response(t).MemberId
		s.sync(3, member, 1, "t0")
		s.wal.Complete(1)
		s.commit(3, "g", member, 1, "t")
		s.wal.Complete(1)
		synctest.Wait()

		// The leadership is lost: all who wait are told so, what was not acknowledged did not happen.
		commit, parked, join := s.commit(3, "g", member, 1, "t", "u"), s.sync(3, member, 1, ""), s.join(3, "", "")
		commit.none(t)
		join.none(t)
		if string(parked.response(t).Assignment) != "t0" {
			t.Fatal("stable")
		}
		s.c.OnClosed(s.p)
		if codes := commitCodes(commit.response(t)); codes[0] != kerr.NotCoordinator {
			t.Fatal(codes)
		}
		if code := kerr.Code(join.response(t).ErrorCode); code != kerr.NotCoordinator {
			t.Fatal(code)
		}
		if code := s.heartbeat(member, 1); code != kerr.NotCoordinator {
			t.Fatal(code)
		}
		if got := s.fetched(7, false, "g"); got != " NOT_COORDINATOR" {
			t.Fatalf("%q", got)
		}
		if got := s.fetched(1, false, "g"); got != " t-0=-1!NOT_COORDINATOR u-1=-1!NOT_COORDINATOR" {
			t.Fatalf("%q", got)
		}

		// The successor knows what was durable.
		s.crash()
		if code := s.heartbeat(member, 1); code != kerr.None {
			t.Fatal(code)
		}
		if got := s.fetched(8, false, "g"); got != " g: t-0=0 u-1=-1" {
			t.Fatalf("%q", got)
		}

		// The disk fails: nothing moves, everybody is told, the partition serves no more; its successor knows what was durable.
		commit = s.commit(3, "g", member, 1, "u")
		s.wal.Fail(base.Errorf(base.Failed, "disk"))
		if codes := commitCodes(commit.response(t)); codes[0] != kerr.NotCoordinator {
			t.Fatal(codes)
		}
		time.Sleep(time.Second)
		if got := s.fetched(8, false, "g"); got != " g: NOT_COORDINATOR" {
			t.Fatalf("%q", got)
		}
		s.crash()
		if got := s.fetched(8, false, "g"); got != " g: t-0=0 u-1=-1" {
			t.Fatalf("%q", got)
		}
	})
}

func TestLoading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.commit(3, "g", "", -1, "t")
		s.wal.Complete(1)
		synctest.Wait()
		s.c.OnClosed(s.p)
		// A partition whose replay does not end: everything is refused, retriably, and heartbeats are humoured.
		s.data.SetCold(0, make(chan struct{}))
		s.c.OnServing(s.p)
		if code := kerr.Code(s.join(3, "m", "").response(t).ErrorCode); code != kerr.CoordinatorLoadInProgress {
			t.Fatal(code)
		}
		if code := s.heartbeat("m", 1); code != kerr.None {
			t.Fatal(code)
		}
		if got := s.fetched(8, false, "g"); got != " g: COORDINATOR_LOAD_IN_PROGRESS" {
			t.Fatalf("%q", got)
		}
		list := &reply[msg.ListGroupsResponse]{}
		s.c.List(CallInfo{}, &msg.ListGroupsRequest{}, list.take)
		if code := kerr.Code(list.response(t).ErrorCode); code != kerr.CoordinatorLoadInProgress {
			t.Fatal(code)
		}
	})
}

func TestGroupAdministration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		member := s.join(9, "", "pod").response(t).MemberId
		s.sync(5, member, 1, "t0")
		s.commit(8, "simple", "", -1, "u")
		s.wal.Complete(2)
		list := func(states, types []string) string {
			r := &reply[msg.ListGroupsResponse]{}
			decoded(t, msg.ListGroupsRequest{StatesFilter: states, TypesFilter: types}, 5, func(q *msg.ListGroupsRequest) { s.c.List(CallInfo{Version: 5}, q, r.take) })
			text := ""
			for _, g := range r.response(t).Groups {
				text += fmt.Sprintf(" %s/%s/%s/%s", g.GroupId, g.ProtocolType, g.GroupState, g.GroupType)
			}
			return text
		}
		for _, c := range []struct {
			states, types []string
			want          string
		}{
			{nil, nil, " g/consumer/Stable/classic simple//Empty/classic"},
			{[]string{"STABLE"}, nil, " g/consumer/Stable/classic"},
			{[]string{"Empty", "dead"}, []string{"Classic", "consumer"}, " simple//Empty/classic"},
			{nil, []string{"consumer"}, ""},
			{[]string{"PreparingRebalance"}, nil, ""},
		} {
			if got := list(c.states, c.types); got != c.want {
				t.Fatalf("%v %v: %q", c.states, c.types, got)
			}
		}
		for version := int16(0); version <= 6; version++ {
			r := &reply[msg.DescribeGroupsResponse]{}
			decoded(t, msg.DescribeGroupsRequest{Groups: []string{"g", "nobody", "simple"}}, version, func(q *msg.DescribeGroupsRequest) {
				s.c.Describe(CallInfo{Version: version}, q, r.take)
			})
			res := r.response(t)
			encodable(t, res, version)
			g, nobody, simple := res.Groups[0], res.Groups[1], res.Groups[2]
			if g.GroupState != "Stable" || g.ProtocolData != "range" || len(g.Members) != 1 || g.Members[0].ClientHost != "/10.0.0.1" ||
				string(g.Members[0].MemberAssignment) != "t0" || *g.Members[0].GroupInstanceId != "pod" {
				t.Fatalf("v%d: %+v", version, g)
			}
			if nobody.GroupState != "Dead" || (version >= 6) != (kerr.Code(nobody.ErrorCode) == kerr.GroupIDNotFound) || (version >= 6) != (nobody.ErrorMessage != nil) {
				t.Fatalf("v%d: %+v", version, nobody)
			}
			if simple.GroupState != "Empty" || simple.ProtocolType != "" {
				t.Fatalf("v%d: %+v", version, simple)
			}
		}
		del := &reply[msg.OffsetDeleteResponse]{}
		q := msg.OffsetDeleteRequest{GroupId: "simple"}
		makeSlice(&q.Topics, 2)
		q.Topics[0].Name, q.Topics[1].Name = "u", "unknown"
		for i := range q.Topics {
			makeSlice(&q.Topics[i].Partitions, 1)
		}
		decoded(t, q, 0, func(q *msg.OffsetDeleteRequest) { s.c.OffsetDelete(CallInfo{}, q, del.take) })
		del.none(t)
		s.wal.Complete(1)
		if r := del.response(t); r.ErrorCode != 0 || r.Topics[0].Partitions[0].ErrorCode != 0 || kerr.Code(r.Topics[1].Partitions[0].ErrorCode) != kerr.UnknownTopicOrPartition {
			t.Fatalf("%+v", r)
		}
		if got := s.fetched(8, true, "simple"); got != " simple: u-1=1" {
			t.Fatalf("%q", got)
		}
		delGroups := &reply[msg.DeleteGroupsResponse]{}
		decoded(t, msg.DeleteGroupsRequest{GroupsNames: []string{"g", "simple", "nobody"}}, 2, func(q *msg.DeleteGroupsRequest) {
			s.c.DeleteGroups(CallInfo{}, q, delGroups.take)
		})
		delGroups.none(t)
		s.wal.Complete(1)
		r := delGroups.response(t).Results
		if kerr.Code(r[0].ErrorCode) != kerr.NonEmptyGroup || r[1].ErrorCode != 0 || kerr.Code(r[2].ErrorCode) != kerr.GroupIDNotFound {
			t.Fatalf("%+v", r)
		}
		if got := list(nil, nil); got != " g/consumer/Stable/classic" {
			t.Fatalf("%q", got)
		}
	})
}

func TestFindCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := &fakeCluster{}
		c := New(Options{Cluster: cluster})
		defer c.Close()
		find := func(version int16, keyType int8, keys ...string) *reply[msg.FindCoordinatorResponse] {
			r := &reply[msg.FindCoordinatorResponse]{}
			q := msg.FindCoordinatorRequest{KeyType: keyType}
			if version < 4 {
				q.Key = keys[0]
			} else {
				q.CoordinatorKeys = keys
			}
			decoded(t, q, version, func(q *msg.FindCoordinatorRequest) {
				c.FindCoordinator(CallInfo{Version: version, Listener: "in"}, q, r.take)
			})
			return r
		}
		// The first look-up creates the topic; those that come meanwhile wait for the same creation.
		a, b := find(3, 0, "g"), find(6, 0, "g", "h")
		a.none(t)
		b.none(t)
		time.Sleep(2 * time.Second)
		if r := a.response(t); r.ErrorCode != 0 || r.NodeId != 3 || r.Host != "broker3.in" || r.Port != 9092 {
			t.Fatalf("%+v", r)
		}
		if r := b.response(t); len(r.Coordinators) != 2 || r.Coordinators[1].Key != "h" || r.Coordinators[1].NodeId != 3 {
			t.Fatalf("%+v", r)
		}
		if cluster.creations != 1 || cluster.partitions != 50 {
			t.Fatalf("%d creations, %d partitions", cluster.creations, cluster.partitions)
		}
		cluster.leaderless = true
		for version := int16(0); version <= 6; version++ {
			r := find(version, 0, "g").response(t)
			encodable(t, r, version)
			code, node := r.ErrorCode, r.NodeId
			if version >= 4 {
				code, node = r.Coordinators[0].ErrorCode, r.Coordinators[0].NodeId
			}
			if kerr.Code(code) != kerr.CoordinatorNotAvailable || node != -1 {
				t.Fatalf("v%d: %+v", version, r)
			}
		}
		if r := find(4, 1, "txn").response(t); kerr.Code(r.Coordinators[0].ErrorCode) != kerr.InvalidRequest {
			t.Fatalf("%+v", r)
		}
		cluster.partitions, cluster.createErr = 0, base.Errorf(base.Unavailable, "no controller")
		r := find(4, 0, "g")
		time.Sleep(2 * time.Second)
		if r := r.response(t); kerr.Code(r.Coordinators[0].ErrorCode) != kerr.CoordinatorNotAvailable {
			t.Fatalf("%+v", r)
		}
	})
}

func TestPartitionFor(t *testing.T) {
	c := New(Options{Cluster: &fakeCluster{partitions: 50}})
	// Computed by Java: Math.abs("…".hashCode()) % 50, with 0 for Integer.MIN_VALUE.
	for group, want := range map[string]int32{"": 0, "g": 3, "my-group": 12, "polygenelubricants": 0, "größe": 7, "\U0001F600": 49} {
		if got := c.PartitionFor(group); got != want {
			t.Errorf("%q: %d, want %d", group, got, want)
		}
	}
}

// A least session timeout of 0 is one, and does not stand for the default.
func TestNoLeastSessionTimeout(t *testing.T) {
	var least time.Duration
	if got := (Config{MinSessionTimeout: &least}).withDefaults().rules(0, nil, nil).sessionTimeoutMin; got != 0 {
		t.Errorf("0 became %v", got)
	}
	if got := (Config{}).withDefaults().rules(0, nil, nil).sessionTimeoutMin; got != 6*time.Second {
		t.Errorf("the default is %v", got)
	}
}

// A share group without a name is not made, nor looked for.
func TestShareOffsetsWithoutAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		altered, deleted := &reply[msg.AlterShareGroupOffsetsResponse]{}, &reply[msg.DeleteShareGroupOffsetsResponse]{}
		s.c.AlterShareGroupOffsets(CallInfo{}, &msg.AlterShareGroupOffsetsRequest{}, altered.take)
		s.c.DeleteShareGroupOffsets(CallInfo{}, &msg.DeleteShareGroupOffsetsRequest{}, deleted.take)
		if code := kerr.Code(altered.response(t).ErrorCode); code != kerr.InvalidGroupID {
			t.Errorf("altered: %v", code)
		}
		if code := kerr.Code(deleted.response(t).ErrorCode); code != kerr.InvalidGroupID {
			t.Errorf("deleted: %v", code)
		}
	})
}

// TestLongMemberIDs: clients make the ids of members of share groups, which are no longer than a UUID.
func TestLongMemberIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.c.opt.Shares = struct{ ShareStates }{}
		for _, n := range []int{share.MemberIDMax, share.MemberIDMax + 1} {
			r := &reply[msg.ShareGroupHeartbeatResponse]{}
			s.c.ShareGroupHeartbeat(CallInfo{}, &msg.ShareGroupHeartbeatRequest{GroupId: "g", MemberId: strings.Repeat("m", n), MemberEpoch: 5}, r.take)
			synctest.Wait()
			want := kerr.GroupIDNotFound
			if n > share.MemberIDMax {
				want = kerr.InvalidRequest
			}
			if code := kerr.Code(r.response(t).ErrorCode); code != want {
				t.Errorf("%d characters: %v, want %v", n, code, want)
			}
		}
	})
}

// A member that names a protocol twice supports it once.
func TestProtocolNamedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		r := &reply[msg.JoinGroupResponse]{}
		q := msg.JoinGroupRequest{GroupId: "g", SessionTimeoutMs: 10000, RebalanceTimeoutMs: 60000, ProtocolType: "consumer"}
		for range 2 {
			q.Protocols = append(q.Protocols, msg.JoinGroupRequestJoinGroupRequestProtocol{Name: "range", Metadata: subscription("t")})
		}
		decoded(s.t, q, 0, func(q *msg.JoinGroupRequest) { s.c.Join(CallInfo{ClientID: "c", ClientHost: "10.0.0.1"}, q, r.take) })
		synctest.Wait()
		time.Sleep(5 * time.Second) // of the fake clock: the initial delay
		synctest.Wait()
		if j := r.response(t); j.ErrorCode != 0 || j.ProtocolName == nil || *j.ProtocolName != "range" {
			t.Fatalf("%+v", j)
		}
	})
}

// A protocol without a name can be agreed on, and is told as none where none may be told.
func TestProtocolWithoutAName(t *testing.T) {
	for version, want := range map[int16]string{6: `""`, 7: "null"} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			r := &reply[msg.JoinGroupResponse]{}
			q := msg.JoinGroupRequest{GroupId: "g", SessionTimeoutMs: 10000, RebalanceTimeoutMs: 60000, ProtocolType: "consumer", GroupInstanceId: pointer("i"),
				Protocols: []msg.JoinGroupRequestJoinGroupRequestProtocol{{Metadata: subscription("t")}}}
			decoded(s.t, q, version, func(q *msg.JoinGroupRequest) {
				s.c.Join(CallInfo{ClientID: "c", ClientHost: "10.0.0.1", Version: version}, q, r.take)
			})
			synctest.Wait()
			time.Sleep(5 * time.Second) // of the fake clock: the initial delay
			synctest.Wait()
			j := r.response(t)
			if got, err := json.Marshal(j.ProtocolName); err != nil || j.ErrorCode != 0 || string(got) != want {
				t.Errorf("version %d: %+v, %s, want %s", version, j, got, want)
			}
		})
	}
}
