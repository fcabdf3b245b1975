package handle

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"sluice/base"
	"sluice/base/config"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/edge/kafka"
	"sluice/storage/objstore/mem"
	"sluice/wire/kbin"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// broker is a handler behind a real connection, on the real metadata machine, with nothing behind it: enough for what only looks at
// metadata or changes it.
type broker struct {
	t    *testing.T
	ctl  *control.Controller
	nc   net.Conn
	id   int32
	node []meta.NodeRef
}

// newBroker starts it as the first of several registered nodes.
func newBroker(t *testing.T, nodes int, change ...func(*Options)) *broker {
	t.Helper()
	ctl, err := control.Start(t.Context(), control.Options{Store: mem.New()})
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{t: t, ctl: ctl}
	for i := range nodes {
		b.node = append(b.node, do[meta.Registered](b, &meta.Register{
			Incarnation: base.NewUUID(), Reclaim: base.NoNode, Name: "b", Zone: string(rune('a' + i)), WAL: "s3",
			Endpoints: []meta.Endpoint{{Name: "PLAINTEXT", Host: "localhost", Port: int32(9092 + i)}, {Name: meta.PeerEndpoint, Host: "localhost", Port: int32(9192 + i)}},
		}).Node)
	}
	do[meta.Done](b, &meta.NameController{Node: b.node[0]})
	cfg, err := config.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{
		Node: b.node[0], Control: ctl, Config: cfg, Directory: onePartition{},
		Follower: func(id base.NodeID) (Follower, bool) {
			return Follower{Pos: 7, FetchMS: 8, CaughtUpMS: 9}, id == b.node[1%nodes].ID
		},
	}
	for _, fn := range change {
		fn(&opt)
	}
	srv := kafka.New(kafka.Options{Handler: New(opt)})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve("PLAINTEXT", ln) }()
	if b.nc, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	b.nc.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() {
		b.nc.Close()
		srv.Shutdown(t.Context())
		<-served
		ctl.Close()
	})
	return b
}

// do submits a command that must not be refused.
func do[R any](b *broker, c meta.Command) *R {
	b.t.Helper()
	res, err := control.Do[R](b.t.Context(), b.ctl, c)
	if err != nil {
		b.t.Fatalf("%s: %v", meta.CommandName(c), err)
	}
	return res
}

// ask sends a request and decodes all of the response.
func (b *broker) ask(version int16, req, resp msg.Message) {
	b.t.Helper()
	b.id++
	h := msg.RequestHeader{APIKey: req.APIKey(), Version: version, CorrelationID: b.id}
	out := req.Append(h.Append(make([]byte, 4)), version)
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	if _, err := b.nc.Write(out); err != nil {
		b.t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(b.nc, size[:]); err != nil {
		b.t.Fatalf("%s version %d: %v", msg.Name(req.APIKey()), version, err)
	}
	in := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(b.nc, in); err != nil {
		b.t.Fatal(err)
	}
	r := kbin.NewReader(in)
	if id := r.Int32(); id != b.id {
		b.t.Fatalf("correlation id %d, want %d", id, b.id)
	}
	if msg.IsFlexible(req.APIKey(), version) {
		r.Tags(nil)
	}
	resp.Decode(&r, version)
	if r.Err() != nil || r.Len() != 0 {
		b.t.Fatalf("%s version %d: %v, %d bytes left over", msg.Name(req.APIKey()), version, r.Err(), r.Len())
	}
}

// topic creates a topic whose partitions node 0 has opened, and serves.
func (b *broker) topic(name string, partitions int32) base.UUID {
	b.t.Helper()
	leaders := make([]base.NodeID, partitions)
	for i := range leaders {
		leaders[i] = b.node[0].ID
	}
	id := do[meta.TopicsCreated](b, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: name, Partitions: partitions, Leaders: leaders}}}).Topics[0].ID
	open := &meta.OpenPartitions{Node: b.node[0], ServeEmpty: true}
	for i := range partitions {
		open.Partitions = append(open.Partitions, meta.OpenPartition{Partition: meta.PartitionID{Topic: id, Index: i}, Expected: -1})
	}
	for _, p := range do[meta.PartitionsOpened](b, open).Partitions {
		if p.Err != nil {
			b.t.Fatal(p.Err)
		}
	}
	return id
}

// fence ends a node and, if asked, rescues it: all its streams are closed then.
func (b *broker) fence(victim meta.NodeRef, rescue bool) {
	b.t.Helper()
	do[meta.Done](b, &meta.FenceNode{Node: victim, Why: "test"})
	if rescue {
		r := do[meta.Granted](b, &meta.GrantRescue{Victim: victim, Rescuer: b.node[1]}).Rescue
		do[meta.Done](b, &meta.CompleteRescue{Victim: victim, Grant: r.Grant})
	}
}

func (b *broker) partition(topic base.UUID, index int32) meta.Partition {
	b.t.Helper()
	p, ok := b.ctl.Image().Partition(topic, index)
	if !ok {
		b.t.Fatalf("no partition %d", index)
	}
	return p
}

func reassign(topic string, index int32, replicas ...int32) *msg.AlterPartitionReassignmentsRequest {
	return &msg.AlterPartitionReassignmentsRequest{AllowReplicationFactorChange: true, Topics: []msg.AlterPartitionReassignmentsRequestReassignableTopic{
		{Name: topic, Partitions: []msg.AlterPartitionReassignmentsRequestReassignablePartition{{PartitionIndex: index, Replicas: replicas}}},
	}}
}

// A move of an open partition is wanted, listed and called off; what makes no sense is refused as Kafka refuses it.
func TestReassignments(t *testing.T) {
	b := newBroker(t, 3)
	id := b.topic("t", 3)
	one, two := int32(b.node[1].ID), int32(b.node[2].ID)
	alter := func(v int16, req *msg.AlterPartitionReassignmentsRequest) kerr.Code {
		var resp msg.AlterPartitionReassignmentsResponse
		b.ask(v, req, &resp)
		p := resp.Responses[0].Partitions[0]
		if resp.ErrorCode != 0 || (p.ErrorCode != 0) != (p.ErrorMessage != nil) {
			t.Errorf("%+v", resp)
		}
		return kerr.Code(p.ErrorCode)
	}
	narrow := reassign("t", 0, one, two)
	narrow.AllowReplicationFactorChange = false
	b.fence(b.node[2], false)
	for what, c := range map[string]struct {
		v    int16
		req  *msg.AlterPartitionReassignmentsRequest
		want kerr.Code
	}{
		"no such topic":     {1, reassign("u", 0, one), kerr.UnknownTopicOrPartition},
		"no such partition": {1, reassign("t", 9, one), kerr.UnknownTopicOrPartition},
		"nothing to cancel": {1, reassign("t", 0), kerr.NoReassignmentInProgress},
		"unknown node":      {0, reassign("t", 0, 77), kerr.InvalidReplicaAssignment},
		"a node twice":      {1, reassign("t", 0, one, one), kerr.InvalidReplicaAssignment},
		"fenced node":       {1, reassign("t", 0, two), kerr.InvalidReplicaAssignment},
		"more replicas":     {1, narrow, kerr.InvalidReplicationFactor},
		"to its leader":     {1, reassign("t", 0, int32(b.node[0].ID)), kerr.None},
	} {
		if got := alter(c.v, c.req); got != c.want {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
	empty := reassign("t", 0)
	empty.Topics[0].Partitions[0].Replicas = []int32{}
	if got := alter(0, empty); got != kerr.InvalidReplicaAssignment {
		t.Errorf("an empty list: %v", got)
	}
	for v, index := range []int32{0, 2} {
		if got := alter(int16(v), reassign("t", index, one)); got != kerr.None {
			t.Errorf("move: %v", got)
		}
	}
	if p := b.partition(id, 2); p.Target != b.node[1].ID || p.Leader != b.node[0].ID {
		t.Errorf("%+v", p)
	}
	list := func(topics []msg.ListPartitionReassignmentsRequestListPartitionReassignmentsTopics) (n int) {
		var resp msg.ListPartitionReassignmentsResponse
		b.ask(0, &msg.ListPartitionReassignmentsRequest{Topics: topics}, &resp)
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				if n++; len(p.Replicas) != 2 || p.AddingReplicas[0] != one || p.RemovingReplicas[0] != int32(b.node[0].ID) {
					t.Errorf("%+v", p)
				}
			}
		}
		return n
	}
	if n := list(nil); n != 2 {
		t.Errorf("%d moves, want 2", n)
	}
	if n := list([]msg.ListPartitionReassignmentsRequestListPartitionReassignmentsTopics{{Name: "u"}, {Name: "t", PartitionIndexes: []int32{0, 1, 9}}}); n != 1 {
		t.Errorf("%d moves of the partitions asked for, want 1", n)
	}
	if got := alter(1, reassign("t", 0)); got != kerr.None {
		t.Errorf("cancel: %v", got)
	}
	if n := list(nil); n != 1 || b.partition(id, 0).Target != base.NoNode {
		t.Errorf("%d moves after one was called off", n)
	}
}

func elect(kind int8, topic string, partitions ...int32) *msg.ElectLeadersRequest {
	return &msg.ElectLeadersRequest{ElectionType: kind, TopicPartitions: []msg.ElectLeadersRequestTopicPartitions{{Topic: topic, Partitions: partitions}}}
}

// A partition with a live leader needs no election; one whose leader is gone gets one as soon as its records are safe, and not before.
func TestElectLeaders(t *testing.T) {
	b := newBroker(t, 3)
	id := b.topic("t", 4)
	ask := func(v int16, req *msg.ElectLeadersRequest, want ...kerr.Code) {
		t.Helper()
		var resp msg.ElectLeadersResponse
		b.ask(v, req, &resp)
		var got []kerr.Code
		for _, topic := range resp.ReplicaElectionResults {
			for _, p := range topic.PartitionResult {
				got = append(got, kerr.Code(p.ErrorCode))
			}
		}
		if len(got) != len(want) {
			t.Fatalf("version %d: %v, want %v", v, got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("version %d: %v, want %v", v, got, want)
			}
		}
	}
	for v := range int16(3) {
		ask(v, elect(0, "t", 0, 9), kerr.ElectionNotNeeded, kerr.UnknownTopicOrPartition)
		ask(v, elect(0, "u", 0), kerr.UnknownTopicOrPartition)
		ask(v, &msg.ElectLeadersRequest{})
	}
	var resp msg.ElectLeadersResponse
	if b.ask(1, elect(7, "t", 0), &resp); kerr.Code(resp.ErrorCode) != kerr.InvalidRequest {
		t.Errorf("an unknown type of election: %+v", resp)
	}
	b.fence(b.node[0], false)
	ask(2, elect(0, "t", 0), kerr.PreferredLeaderNotAvailable)
	ask(2, elect(1, "t", 0), kerr.EligibleLeadersNotAvailable)
	b.fence(b.node[0], true)
	ask(2, elect(1, "t", 3), kerr.None)
	if p := b.partition(id, 3); p.Leader != b.node[1].ID && p.Leader != b.node[2].ID {
		t.Errorf("led by node %d", p.Leader)
	}
	ask(2, &msg.ElectLeadersRequest{}, kerr.None, kerr.None, kerr.None)
	if n, m := b.ctl.Image().Led(b.node[1].ID), b.ctl.Image().Led(b.node[2].ID); n+m != 4 || n != m {
		t.Errorf("the live nodes lead %d and %d", n, m)
	}
	b.fence(b.node[2], false)
	do[meta.Done](b, &meta.FenceNode{Node: b.node[1]})
	ask(1, &msg.ElectLeadersRequest{}, kerr.PreferredLeaderNotAvailable, kerr.PreferredLeaderNotAvailable, kerr.PreferredLeaderNotAvailable, kerr.PreferredLeaderNotAvailable)
}

func quorumOf(topic string, partitions ...int32) *msg.DescribeQuorumRequest {
	req := &msg.DescribeQuorumRequest{Topics: []msg.DescribeQuorumRequestTopicData{{TopicName: topic}}}
	for _, p := range partitions {
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, msg.DescribeQuorumRequestPartitionData{PartitionIndex: p})
	}
	return req
}

// The controller is the leader, live nodes are voters, fenced ones observers.
func TestDescribeQuorum(t *testing.T) {
	b := newBroker(t, 3)
	b.fence(b.node[2], false)
	for v := range int16(3) {
		var resp msg.DescribeQuorumResponse
		b.ask(v, quorumOf(metadataTopic, 0), &resp)
		p := resp.Topics[0].Partitions[0]
		if resp.ErrorCode != 0 || p.ErrorCode != 0 || p.LeaderId != int32(b.node[0].ID) || p.HighWatermark != int64(b.ctl.Image().Pos()) || len(p.CurrentVoters) != 2 || len(p.Observers) != 1 {
			t.Fatalf("version %d: %+v", v, resp)
		}
		self, follower := p.CurrentVoters[0], p.CurrentVoters[1]
		if self.LogEndOffset != p.HighWatermark || follower.LogEndOffset != 7 || v > 0 && (follower.LastFetchTimestamp != 8 || follower.LastCaughtUpTimestamp != 9) {
			t.Errorf("version %d: %+v", v, p.CurrentVoters)
		}
		if v == 2 && (len(resp.Nodes) != 2 || resp.Nodes[1].Listeners[0].Port != 9193 || follower.ReplicaDirectoryId.IsZero()) {
			t.Errorf("%+v", resp.Nodes)
		}
	}
	for _, req := range []*msg.DescribeQuorumRequest{quorumOf("t", 0), quorumOf(metadataTopic, 1), quorumOf(metadataTopic, 0, 1)} {
		var resp msg.DescribeQuorumResponse
		b.ask(2, req, &resp)
		for _, p := range resp.Topics[0].Partitions {
			if kerr.Code(p.ErrorCode) != kerr.UnknownTopicOrPartition || len(p.CurrentVoters) != 0 {
				t.Errorf("%+v", p)
			}
		}
	}
}

// A node is forgotten when it is gone and its records are safe, and not before.
func TestUnregisterBroker(t *testing.T) {
	b := newBroker(t, 2)
	b.topic("t", 1)
	ask := func(id int32, want kerr.Code) {
		t.Helper()
		var resp msg.UnregisterBrokerResponse
		b.ask(0, &msg.UnregisterBrokerRequest{BrokerId: id}, &resp)
		if kerr.Code(resp.ErrorCode) != want || (want != kerr.None) != (resp.ErrorMessage != nil) {
			t.Errorf("node %d: %v, want %v", id, kerr.Code(resp.ErrorCode), want)
		}
	}
	id := int32(b.node[0].ID)
	ask(77, kerr.BrokerIDNotRegistered)
	ask(id, kerr.InvalidRequest)
	b.fence(b.node[0], false)
	ask(id, kerr.InvalidRequest)
	b.fence(b.node[0], true)
	ask(id, kerr.None)
	ask(id, kerr.BrokerIDNotRegistered)
	if _, ok := b.ctl.Image().Node(b.node[0].ID); ok {
		t.Error("it is still there")
	}
}

// The level that there is may be asked for; no other.
func TestUpdateFeatures(t *testing.T) {
	b := newBroker(t, 1)
	for v := range int16(3) {
		for _, c := range []struct {
			feature string
			level   int16
			upgrade int8
			down    bool
			want    kerr.Code
		}{
			{"metadata.version", features[0].max, featureUpgrade, false, kerr.None},
			{"metadata.version", features[0].max + 1, featureUpgrade, false, kerr.InvalidUpdateVersion},
			{"metadata.version", features[0].max - 1, featureUpgrade, false, kerr.InvalidUpdateVersion},
			{"metadata.version", features[0].max - 1, featureSafeDowngrade, true, kerr.InvalidUpdateVersion},
			{"metadata.version", -1, featureUpgrade, false, kerr.InvalidUpdateVersion},
			{"no.such.feature", 1, featureUpgrade, false, kerr.InvalidUpdateVersion},
		} {
			var resp msg.UpdateFeaturesResponse
			b.ask(v, &msg.UpdateFeaturesRequest{FeatureUpdates: []msg.UpdateFeaturesRequestFeatureUpdateKey{
				{Feature: c.feature, MaxVersionLevel: c.level, UpgradeType: c.upgrade, AllowDowngrade: c.down},
			}}, &resp)
			if kerr.Code(resp.ErrorCode) != c.want || (v < 2 && c.want == kerr.None) != (len(resp.Results) == 1) {
				t.Errorf("version %d: %+v: %+v", v, c, resp)
			}
		}
	}
}

// behind is a client whose image is old until the controller has answered it.
type behind struct {
	control.Client
	old   atomic.Pointer[meta.Image]
	asked atomic.Int64 // how often
}

func (b *behind) Image() *meta.Image {
	if old := b.old.Load(); old != nil {
		return old
	}
	return b.Client.Image()
}

func (b *behind) Submit(ctx context.Context, c meta.Command) (meta.Result, error) {
	defer b.old.Store(nil)
	b.asked.Add(1)
	return b.Client.Submit(ctx, c)
}

// TestCreateWhatWasDeletedElsewhere: a topic whose deletion another broker has answered can be created by one that has not heard of it.
func TestCreateWhatWasDeletedElsewhere(t *testing.T) {
	late := new(behind)
	b := newBroker(t, 1, func(o *Options) { late.Client = o.Control; o.Control = late })
	b.topic("again", 1)
	old := b.ctl.Image()
	do[meta.TopicsDeleted](b, &meta.DeleteTopics{Topics: []meta.TopicRef{{Name: "again"}}})
	late.old.Store(old)
	for _, want := range []kerr.Code{kerr.None, kerr.TopicAlreadyExists} {
		req, resp := new(msg.CreateTopicsRequest), new(msg.CreateTopicsResponse)
		req.SetDefaults()
		req.Topics = []msg.CreateTopicsRequestCreatableTopic{{Name: "again", NumPartitions: 1, ReplicationFactor: 1}}
		b.ask(7, req, resp)
		if got := kerr.Code(resp.Topics[0].ErrorCode); got != want {
			t.Fatalf("%v, want %v: %v", got, want, resp.Topics[0].ErrorMessage)
		}
	}
}

// TestCreateWhatExists: whatever number of names of one request exist, the controller is asked once about them.
func TestCreateWhatExists(t *testing.T) {
	counted := new(behind)
	b := newBroker(t, 1, func(o *Options) { counted.Client = o.Control; o.Control = counted })
	req, resp := new(msg.CreateTopicsRequest), new(msg.CreateTopicsResponse)
	req.SetDefaults()
	for i := range 20 {
		b.topic(fmt.Sprint("there-", i), 1)
		req.Topics = append(req.Topics, msg.CreateTopicsRequestCreatableTopic{Name: fmt.Sprint("there-", i), NumPartitions: 1, ReplicationFactor: 1})
	}
	before := counted.asked.Load()
	b.ask(7, req, resp)
	for _, topic := range resp.Topics {
		if got := kerr.Code(topic.ErrorCode); got != kerr.TopicAlreadyExists {
			t.Errorf("%s: %v", topic.Name, got)
		}
	}
	if n := counted.asked.Load() - before; len(resp.Topics) != 20 || n != 1 {
		t.Errorf("%d answers, the controller was asked %d times", len(resp.Topics), n)
	}
}
