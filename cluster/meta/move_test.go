package meta

import (
	"reflect"
	"slices"
	"testing"

	"sluice/base"
)

// at returns a partition.
func (w *world) at(topic base.UUID, index int32) Partition {
	w.t.Helper()
	p, ok := w.img.Partition(topic, index)
	if !ok {
		w.t.Fatalf("partition %d is missing", index)
	}
	return p
}

func (w *world) move(topic base.UUID, index int32, to base.NodeID) RejectCode {
	w.t.Helper()
	return codeOf(w.mustOutcomes(&MovePartitions{Partitions: []PartitionLeader{{PartitionID{topic, index}, to}}}).Errs[0])
}

func (w *world) handOver(node NodeRef, topic base.UUID, index int32, epoch base.StreamEpoch, data, aux base.Offset) RejectCode {
	w.t.Helper()
	cmd := &HandOver{Node: node, Partitions: []HandedOver{{PartitionID{topic, index}, epoch, data, aux}}}
	return codeOf(w.mustOutcomes(cmd).Errs[0])
}

func (w *world) want(what string, got, want RejectCode) {
	w.t.Helper()
	if got != want {
		w.t.Fatalf("%s: %s, want %s", what, got, want)
	}
}

// A partition goes from one node to another while it is open: the leader changes, the offsets go on, the old owner is out.
func TestHandOver(t *testing.T) {
	w := newWorld(t)
	a := w.register(base.NoNode)
	topic := w.topic("t", 1)
	streams := w.open(a, topic)
	b := w.register(base.NoNode)
	w.want("move to nobody that exists", w.move(topic, 0, 77), InvalidAssignment)
	w.want("move", w.move(topic, 0, b.ID), None)
	if p := w.at(topic, 0); p.Target != b.ID || p.Leader != a.ID || w.img.Led(a.ID) != 1 || w.img.OpenStreams(a) != 2 {
		t.Fatalf("%+v", p)
	}
	w.do(uploadOf(a, 1, 1, w.prepare(a), span(streams[0], 0, 10)))
	w.want("too little committed", w.handOver(a, topic, 0, 0, 11, 0), NotCommitted)
	w.want("too much committed", w.handOver(a, topic, 0, 0, 9, 0), NotCommitted)
	w.want("meta stream not committed", w.handOver(a, topic, 0, 0, 10, 1), NotCommitted)
	w.want("by the wrong node", w.handOver(b, topic, 0, 0, 10, 0), NotOwner)
	w.want("of another epoch", w.handOver(a, topic, 0, 1, 10, 0), StaleEpoch)
	w.want("unknown partition", w.handOver(a, topic, 1, 0, 10, 0), UnknownPartition)
	w.want("hand over", w.handOver(a, topic, 0, 0, 10, 0), None)
	w.want("again", w.handOver(a, topic, 0, 0, 10, 0), StaleEpoch)

	p := w.at(topic, 0)
	want := Partition{Topic: topic, Leader: b.ID, LeaderEpoch: 1, State: Opening, Target: base.NoNode, Data: p.Data, Meta: p.Meta,
		EpochStarts: []EpochStart{{0, 0}, {1, 10}}}
	if !reflect.DeepEqual(p, want) {
		t.Fatalf("%+v, want %+v", p, want)
	}
	if w.img.Led(a.ID) != 0 || w.img.OpenStreams(a) != 0 || w.img.Led(b.ID) != 1 || w.img.OpenStreams(b) != 2 {
		t.Fatalf("counts %d %d, %d %d", w.img.Led(a.ID), w.img.OpenStreams(a), w.img.Led(b.ID), w.img.OpenStreams(b))
	}
	// What the old leader still has in flight is skipped, not committed.
	res := w.do(uploadOf(a, 2, 2, w.prepare(a), span(streams[0], 10, 12))).(*UploadDone)
	if !slices.Equal(res.Verdicts, []Verdict{VerdictNotOwned}) {
		t.Fatalf("%v", res.Verdicts)
	}
	// The new one attaches the streams as they are, commits and serves.
	data, _ := w.img.Stream(p.Data)
	w.do(uploadOf(b, 1, 1, w.prepare(b), span(data, 10, 15)))
	w.want("serve", codeOf(w.mustOutcomes(&ServePartitions{Node: b, Partitions: []EpochPartition{{PartitionID{topic, 0}, 1}}}).Errs[0]), None)
	if p := w.at(topic, 0); p.State != Serving {
		t.Fatalf("%+v", p)
	}
	w.refused(&HandOver{Node: NodeRef{b.ID, b.Epoch + 1}}, StaleEpoch, base.Fenced)
}

// However a move comes to nothing, the partition is led by somebody who may open or go on.
func TestMovesThatComeToNothing(t *testing.T) {
	w := newWorld(t)
	a := w.register(base.NoNode)
	topic := w.topic("t", 4)
	w.open(a, topic)
	b := w.register(base.NoNode)
	all := func(to base.NodeID) {
		for i := range int32(4) {
			w.want("move", w.move(topic, i, to), None)
		}
	}
	all(b.ID)
	w.want("taken back by naming nobody", w.move(topic, 0, base.NoNode), None)
	w.want("taken back by naming the leader", w.move(topic, 1, a.ID), None)
	if w.at(topic, 0).Target != base.NoNode || w.at(topic, 1).Target != base.NoNode || w.at(topic, 2).Target != b.ID {
		t.Fatal("targets were not taken back")
	}
	// Handed over although nobody wants it any more: opened anew for the one who had it, which therefore has to load it.
	w.want("hand over", w.handOver(a, topic, 0, 0, 0, 0), None)
	if p := w.at(topic, 0); p.Leader != a.ID || p.LeaderEpoch != 1 || p.State != Opening || w.img.OpenStreams(a) != 8 {
		t.Fatalf("%+v, %d open", p, w.img.OpenStreams(a))
	}
	w.do(&FenceNode{Node: b, Why: "test"}) // the target goes
	if p := w.at(topic, 2); p.Target != base.NoNode || p.Leader != a.ID {
		t.Fatalf("%+v", p)
	}
	w.want("to a fenced node", w.move(topic, 2, b.ID), InvalidAssignment)
	b = w.register(base.NoNode)
	all(b.ID)
	// The leader closes instead of handing over: the move is off.
	p := w.at(topic, 3)
	w.mustOutcomes(&CloseStreams{Node: a, Closes: []StreamClose{{p.Data, 0, 0}}})
	if w.at(topic, 3).Target != base.NoNode {
		t.Fatal("target of a closed partition")
	}
	w.want("half closed", w.move(topic, 3, b.ID), StreamsNotClosed)
	w.want("half closed", w.handOver(a, topic, 3, 0, 0, 0), NotOwner)
	w.mustOutcomes(&CloseStreams{Node: a, Closes: []StreamClose{{p.Meta, 0, 0}}})
	w.want("closed", w.move(topic, 3, b.ID), None)
	if p := w.at(topic, 3); p.Leader != b.ID || p.Target != base.NoNode || p.State != Assigned || w.img.Led(b.ID) != 1 {
		t.Fatalf("%+v", p)
	}
	w.do(&FenceNode{Node: a, Why: "test"}) // the leader goes
	if p := w.at(topic, 2); p.Target != base.NoNode || p.State != Assigned || p.Leader != a.ID {
		t.Fatalf("%+v", p)
	}
	w.want("before the rescue", w.move(topic, 2, b.ID), StreamsNotClosed)
	w.do(&CompleteRescue{Victim: a, Grant: w.do(&GrantRescue{Victim: a, Rescuer: b}).(*Granted).Rescue.Grant})
	all(b.ID)
	if w.img.Led(b.ID) != 4 || w.img.Led(a.ID) != 0 || w.img.OpenStreams(a) != 0 {
		t.Fatalf("%d, %d, %d", w.img.Led(b.ID), w.img.Led(a.ID), w.img.OpenStreams(a))
	}
}

// One command names a partition once.
func TestMoveTwiceInOneCommand(t *testing.T) {
	w := newWorld(t)
	a := w.register(base.NoNode)
	topic := w.topic("t", 1)
	w.open(a, topic)
	b := w.register(base.NoNode)
	id := PartitionID{topic, 0}
	out := w.mustOutcomes(&MovePartitions{Partitions: []PartitionLeader{{id, b.ID}, {id, base.NoNode}}})
	w.want("first", codeOf(out.Errs[0]), None)
	w.want("second", codeOf(out.Errs[1]), InvalidCommand)
	out = w.mustOutcomes(&HandOver{Node: a, Partitions: []HandedOver{{id, 0, 0, 0}, {id, 0, 0, 0}}})
	w.want("first", codeOf(out.Errs[0]), None)
	w.want("second", codeOf(out.Errs[1]), InvalidCommand)
}

// A draining node gets nothing new while there is another; a node that registers anew does not drain.
func TestDrain(t *testing.T) {
	w := newWorld(t)
	a, b := w.register(base.NoNode), w.register(base.NoNode)
	w.do(&DrainNode{Node: a, Drain: true, Why: "test"})
	at := w.img.Pos()
	w.do(&DrainNode{Node: a, Drain: true})
	if w.img.Pos() != at {
		t.Fatal("a repetition wrote a record")
	}
	w.topic("t", 10)
	if w.img.Led(a.ID) != 0 || w.img.Led(b.ID) != 10 {
		t.Fatalf("%d and %d", w.img.Led(a.ID), w.img.Led(b.ID))
	}
	w.do(&DrainNode{Node: b, Drain: true})
	w.topic("u", 10)
	if w.img.Led(a.ID) != 10 || w.img.Led(b.ID) != 10 {
		t.Fatalf("all drain: %d and %d", w.img.Led(a.ID), w.img.Led(b.ID))
	}
	w.do(&DrainNode{Node: b, Drain: false})
	w.topic("v", 1)
	if w.img.Led(b.ID) != 11 {
		t.Fatal("drained no more, but gets nothing")
	}
	w.refused(&DrainNode{Node: NodeRef{a.ID, a.Epoch + 5}, Drain: true}, StaleEpoch, base.Fenced)
	if again := w.register(a.ID); again.ID != a.ID {
		t.Fatalf("%v", again)
	}
	if n, _ := w.img.Node(a.ID); n.Draining {
		t.Fatal("a new incarnation drains")
	}
}

// New partitions fill up whoever leads least, in the order of ids where they are equal.
func TestLeadersOfNewPartitions(t *testing.T) {
	w := newWorld(t)
	a := w.register(base.NoNode)
	w.topic("t", 5)
	b, c := w.register(base.NoNode), w.register(base.NoNode)
	topic := w.topic("u", 9)
	var got []base.NodeID
	for p := range w.img.PartitionsOf(topic) {
		got = append(got, p.Leader)
	}
	if want := []base.NodeID{b.ID, c.ID, b.ID, c.ID, b.ID, c.ID, b.ID, c.ID, b.ID}; !slices.Equal(got, want) {
		t.Fatalf("leaders %v, want %v", got, want)
	}
	w.mustOutcomes(&CreatePartitions{Topics: []MorePartitions{{Topic: TopicRef{ID: topic}, Count: 12}}})
	if w.img.Led(a.ID) != 6 || w.img.Led(b.ID) != 6 || w.img.Led(c.ID) != 5 {
		t.Fatalf("%d %d %d", w.img.Led(a.ID), w.img.Led(b.ID), w.img.Led(c.ID))
	}
	w.do(&DeleteTopics{Topics: []TopicRef{{ID: topic}}})
	if w.img.Led(a.ID) != 5 || w.img.Led(b.ID) != 0 || w.img.Led(c.ID) != 0 {
		t.Fatalf("after a deletion: %d %d %d", w.img.Led(a.ID), w.img.Led(b.ID), w.img.Led(c.ID))
	}
}

func TestUnregister(t *testing.T) {
	w := newWorld(t)
	a := w.register(base.NoNode)
	topic := w.topic("t", 2)
	w.open(a, topic)
	b := w.register(base.NoNode)
	w.mustOutcomes(&AlterConfigs{Changes: []ConfigChange{{Kind: BrokerConfig, Name: a.ID.String(), Configs: map[string]string{"k": "v"}}}})
	w.refused(&UnregisterNode{ID: 99}, UnknownNode, base.NotFound)
	w.refused(&UnregisterNode{ID: a.ID}, NodeLive, base.Exists)
	w.do(&FenceNode{Node: a})
	w.refused(&UnregisterNode{ID: a.ID}, RescueRunning, base.Unavailable)
	grant := w.do(&GrantRescue{Victim: a, Rescuer: b}).(*Granted).Rescue.Grant
	w.refused(&UnregisterNode{ID: a.ID}, RescueRunning, base.Unavailable)
	w.do(&CompleteRescue{Victim: a, Grant: grant})
	before := w.img
	w.do(&UnregisterNode{ID: a.ID})
	if p := w.at(topic, 0); p.Leader != base.NoNode || w.img.Led(a.ID) != 0 || w.img.NodeConfigs(a.ID) != nil {
		t.Fatalf("%+v, %v", p, w.img.NodeConfigs(a.ID))
	}
	delta := w.img.DeltaFrom(before)
	if !has(delta.Nodes, a.ID) || !has(delta.Partitions, PartitionID{topic, 0}) || !delta.Configs {
		t.Fatalf("%+v", delta)
	}
	w.do(&ForgetRescue{Victim: a})
	w.refused(&UnregisterNode{ID: a.ID}, UnknownNode, base.NotFound)
	w.refused(&Register{Incarnation: w.uuid(), Reclaim: a.ID}, UnknownNode, base.NotFound)
	if c := w.register(base.NoNode); c.ID == a.ID {
		t.Fatal("the id was used again")
	}
}

// A node whose WAL only it can reach, and that left nothing open, is forgotten with its rescues: nobody else could carry them out or tidy up after them.
func TestUnregisterWithLocalWAL(t *testing.T) {
	w := newWorld(t)
	local := func(string) bool { return true }
	a, b := w.register(base.NoNode), w.register(base.NoNode)
	topic := w.topic("t", 1)
	w.open(a, topic)
	w.do(&FenceNode{Node: a})
	w.refused((&UnregisterNode{ID: a.ID}).Knowing(local), RescueRunning, base.Unavailable) // what it acknowledged is there only
	grant := w.do(&GrantRescue{Victim: a, Rescuer: b}).(*Granted).Rescue.Grant
	w.refused((&UnregisterNode{ID: a.ID}).Knowing(local), RescueRunning, base.Unavailable)
	w.do(&CompleteRescue{Victim: a, Grant: grant})
	w.do((&UnregisterNode{ID: a.ID}).Knowing(local))
	c := w.register(base.NoNode)
	w.do(&FenceNode{Node: b})
	w.refused(&UnregisterNode{ID: b.ID}, RescueRunning, base.Unavailable) // others can
	w.do((&UnregisterNode{ID: b.ID}).Knowing(local))
	for r := range w.img.Rescues() {
		t.Errorf("left: %+v", r)
	}
	w.do(&FenceNode{Node: c})
	next := w.do(&GrantRescue{Victim: c, Rescuer: w.register(base.NoNode)}).(*Granted).Rescue.Grant
	if next <= grant {
		t.Errorf("grant %d came after %d", next, grant)
	}
}

// A repeated creation with the same id is the same topic; with another id, or under another name, it is not.
func TestCreateTopicsAgain(t *testing.T) {
	w := newWorld(t)
	w.register(base.NoNode)
	id := base.UUID{42}
	create := func(name string, id base.UUID) TopicCreatedResult {
		return w.do(&CreateTopics{Topics: []NewTopic{{Name: name, Partitions: 1, ID: id}}}).(*TopicsCreated).Topics[0]
	}
	if res := create("t", id); res.Err != nil || res.ID != id {
		t.Fatalf("%+v", res)
	}
	at := w.img.Pos()
	if res := create("t", id); res.Err != nil || res.ID != id || w.img.Pos() != at {
		t.Fatalf("again: %+v, at %d", res, w.img.Pos())
	}
	if res := create("t", base.UUID{43}); codeOf(res.Err) != TopicExists || res.ID != id {
		t.Fatalf("another id: %+v", res)
	}
	if res := create("u", id); codeOf(res.Err) != InvalidCommand {
		t.Fatalf("another name: %+v", res)
	}
}

// The controller's node is named with the take-over where it is known; a fenced or unknown one is not believed.
func TestControllerNode(t *testing.T) {
	w := newWorld(t)
	a, b := w.register(base.NoNode), w.register(base.NoNode)
	change := func(epoch uint64, who string, node, want base.NodeID) {
		t.Helper()
		before := w.img
		img, err := w.img.Apply(w.img.Pos(), []Record{ChangeController(epoch, who, node)})
		if err != nil {
			t.Fatal(err)
		}
		w.img = img
		if c := img.Controller(); c != (Controller{Epoch: epoch, Who: who, Node: want}) {
			t.Fatalf("%+v, want node %d", c, want)
		}
		if old := before.Controller().Node; old != want {
			for _, id := range []base.NodeID{old, want} {
				if id != base.NoNode && !has(img.DeltaFrom(before).Nodes, id) {
					t.Fatalf("node %d is not in the delta", id)
				}
			}
		}
	}
	change(1, "a", a.ID, a.ID)
	change(2, "a", base.NoNode, a.ID) // a roll
	change(3, "b", b.ID, b.ID)
	change(4, "c", base.NoNode, base.NoNode)
	change(5, "x", 99, base.NoNode)
	w.do(&FenceNode{Node: a})
	change(6, "a", a.ID, base.NoNode)
}

// A cluster of an older program is given a secret, once.
func TestDrawSecret(t *testing.T) {
	img, err := Empty().Apply(0, []Record{CreateCluster(base.UUID{1}, [32]byte{}, 1), DrawSecret([32]byte{8})})
	if err != nil || img.Secret() != [32]byte{8} {
		t.Fatalf("%v", err)
	}
	for _, r := range []Record{DrawSecret([32]byte{9}), DrawSecret([32]byte{})} {
		if _, err := img.Apply(img.Pos(), []Record{r}); !base.IsKind(err, base.Corrupt) {
			t.Fatalf("%v", err)
		}
	}
}

func TestRepeatable(t *testing.T) {
	one := base.UUID{1}
	for _, c := range []struct {
		cmd  Command
		want bool
	}{
		{&Register{}, true}, {&HandOver{}, true}, {&MovePartitions{}, true}, {&CommitUpload{}, true},
		{&DeleteTopics{}, false}, {&CreatePartitions{}, false}, {&CreatePartitions{ValidateOnly: true}, true},
		{&CreateTopics{Topics: []NewTopic{{ID: one}, {}}}, false}, {&CreateTopics{Topics: []NewTopic{{ID: one}}}, true},
		{&CreateTopics{Topics: []NewTopic{{}}, ValidateOnly: true}, true},
		{&AlterConfigs{Changes: []ConfigChange{{Since: 1}}}, true}, {&AlterConfigs{Changes: []ConfigChange{{Since: 1}, {}}}, false},
	} {
		if Repeatable(c.cmd) != c.want {
			t.Errorf("%s %+v: want %v", CommandName(c.cmd), c.cmd, c.want)
		}
	}
}

func TestEndpoint(t *testing.T) {
	n := Node{Endpoints: []Endpoint{{"PLAINTEXT", "h", 1}, {PeerEndpoint, "p", 2}}}
	if e, ok := n.Endpoint(PeerEndpoint); !ok || e != (Endpoint{PeerEndpoint, "p", 2}) {
		t.Fatalf("%+v, %v", e, ok)
	}
	if e, ok := n.Endpoint("SSL"); ok {
		t.Fatalf("%+v", e)
	}
}
