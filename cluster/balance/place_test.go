package balance

import (
	"testing"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
)

// spread of values: largest minus smallest.
func gap(m map[base.NodeID]int) int {
	first, low, high := true, 0, 0
	for _, n := range m {
		if first {
			low, high, first = n, n, false
		}
		low, high = min(low, n), max(high, n)
	}
	return high - low
}

func TestOrphans(t *testing.T) {
	w := newWorld(t)
	a, b := w.join("z1"), w.join("z2")
	w.topic("t", times(10, a, b)...)
	if o := Orphans(w.img); len(o) != 0 {
		t.Fatalf("a healthy cluster has orphans: %v", o)
	}
	w.fence(b)
	if o := Orphans(w.img); len(o) != 0 {
		t.Fatalf("the WAL has not been rescued, and yet there are orphans: %v", o)
	}
	c := w.join("z3")
	w.topic("u", times(4, c)...)
	w.closeAll(c)
	if o := Orphans(w.img); len(o) != 0 {
		t.Fatalf("closed, but the leader lives: %v", o)
	}
	w.fence(c)
	if o := Orphans(w.img); len(o) != 4 {
		t.Fatalf("want the 4 partitions of u, got %v", o)
	}
	w.run(&meta.DeleteTopics{Topics: []meta.TopicRef{{Name: "u"}}})
	if o := Orphans(w.img); len(o) != 0 {
		t.Fatalf("partitions of a deleted topic: %v", o)
	}
}

func TestSpreadIsEvenInCount(t *testing.T) {
	w := newWorld(t)
	var ids []base.NodeID
	for i := range 5 {
		ids = append(ids, w.join([]string{"z1", "z2", "z3"}[i%3]))
	}
	for i := range 20 {
		w.topic(name(i), times(10, ids...)...)
	}
	w.closeAll(ids[4])
	w.fence(ids[4])
	o := Orphans(w.img)
	got := Spread(w.img, nil, o)
	if len(got) != 40 || len(o) != 40 {
		t.Fatalf("%d orphans, %d placed", len(o), len(got))
	}
	for i := range got {
		if got[i].Partition != o[i] {
			t.Fatal("not in the order of the orphans")
		}
	}
	w.run(&meta.AssignPartitions{Partitions: got})
	if g := gap(w.led()); g > 1 {
		t.Fatalf("uneven: %v", w.led())
	}
}

// Two heavy partitions do not end up together, whatever the counts say.
func TestSpreadIsEvenInLoad(t *testing.T) {
	w := newWorld(t)
	a, b, dead := w.join("z1"), w.join("z2"), w.join("z3")
	w.topic("t", times(20, a, b)...)
	u := w.topic("u", times(4, dead)...)
	l := NodeLoad{BytesIn: 200 << 20, Partitions: []PartitionLoad{
		{Partition: meta.PartitionID{Topic: u, Index: 1}, BytesIn: 100 << 20}, {Partition: meta.PartitionID{Topic: u, Index: 2}, BytesIn: 100 << 20}}}
	w.closeAll(dead)
	w.fence(dead)
	got := Spread(w.img, Loads{dead: l, a: {}, b: {}}, Orphans(w.img))
	if got[1].Leader == got[2].Leader {
		t.Fatalf("both heavy partitions on node %d", got[1].Leader)
	}
	// A node that is busy already gets none of them.
	busy := NodeLoad{BytesIn: 300 << 20, Partitions: nil}
	got = Spread(w.img, Loads{dead: l, a: busy, b: {}}, Orphans(w.img))
	if got[1].Leader != b || got[2].Leader != b {
		t.Fatalf("node %d is busy, and yet: %v", a, got)
	}
}

// A topic's partitions go to different zones where counts and loads leave the choice.
func TestSpreadKeepsTopicsInAllZones(t *testing.T) {
	w := newWorld(t)
	var ids []base.NodeID
	for i := range 6 {
		ids = append(ids, w.join([]string{"z1", "z1", "z2", "z2", "z3", "z3"}[i]))
	}
	dead := w.join("z3")
	for i := range 12 {
		w.topic(name(i), times(3, dead)...)
	}
	w.closeAll(dead)
	w.fence(dead)
	zones := map[base.UUID]map[string]int{}
	for _, m := range Spread(w.img, nil, Orphans(w.img)) {
		n, _ := w.img.Node(m.Leader)
		if zones[m.Partition.Topic] == nil {
			zones[m.Partition.Topic] = map[string]int{}
		}
		zones[m.Partition.Topic][n.Zone]++
	}
	for topic, z := range zones {
		if len(z) != 3 {
			t.Errorf("topic %v: %v", topic, z)
		}
	}
	_ = ids
}

func TestNothingIsPlacedOnDrainingOrFencedNodes(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.join("z1"), w.join("z1"), w.join("z1")
	w.topic("t", times(9, a)...)
	w.closeAll(a)
	w.fence(a)
	w.drain(b, true)
	for _, m := range Spread(w.img, nil, Orphans(w.img)) {
		if m.Leader != c {
			t.Fatalf("placed on node %d", m.Leader)
		}
	}
	w.drain(c, true)
	if got := Spread(w.img, nil, Orphans(w.img)); got != nil {
		t.Fatalf("nobody may lead, and yet %v", got)
	}
}

func TestDrain(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.join("z1"), w.join("z2"), w.join("z3")
	w.topic("t", times(90, a, b, c)...)
	if m := Drain(w.img, nil, 100); m != nil {
		t.Fatalf("nobody drains: %v", m)
	}
	w.drain(c, true)
	first := Drain(w.img, nil, 12)
	if len(first) != 12 {
		t.Fatalf("want 12 moves, got %d", len(first))
	}
	w.run(&meta.MovePartitions{Partitions: first})
	if m := Drain(w.img, nil, 12); len(m) != 0 {
		t.Fatalf("12 are on their way, and yet %v", m)
	}
	rest := Drain(w.img, nil, 1000)
	if len(rest) != 18 {
		t.Fatalf("want the other 18, got %d", len(rest))
	}
	w.run(&meta.MovePartitions{Partitions: rest})
	if n := w.led(); n[a] != 45 || n[b] != 45 || n[c] != 0 {
		t.Fatalf("got %v", n)
	}
	// Now the target drains too: what leaves c goes to a, and what was b's stays in question until it is moved.
	w.drain(b, true)
	for _, m := range Drain(w.img, nil, 1000) {
		if m.Leader != a {
			t.Fatalf("moved to node %d, which drains", m.Leader)
		}
	}
	w.drain(a, true)
	if m := Drain(w.img, nil, 1000); m != nil {
		t.Fatalf("everybody drains, and yet %v", m)
	}
}

// A planned move to a node that begins to drain is called off.
func TestDrainCallsMovesOff(t *testing.T) {
	w := newWorld(t)
	a, b := w.join("z1"), w.join("z2")
	topic := w.topic("t", a, a, b)
	w.run(&meta.MovePartitions{Partitions: []meta.PartitionLeader{{Partition: meta.PartitionID{Topic: topic}, Leader: b}}})
	w.drain(b, true)
	got := Drain(w.img, nil, 1)
	if len(got) != 2 || got[0].Leader != a || got[0].Partition.Index != 0 || got[1].Leader != a || got[1].Partition.Index != 2 {
		t.Fatalf("got %v", got)
	}
}

// Partitions of a topic that asks for a class of WAL stay on nodes that have it when the load is evened out and when they are placed anew. Where no node has it
// they go anywhere.
func TestClassOfWALDecides(t *testing.T) {
	s := newSim(t, Options{}, func(meta.PartitionID, int) amount { return amount{} })
	a, b, c := s.join("z1"), s.join("z2"), s.join("z3")
	for _, id := range []base.NodeID{a, b} {
		v := s.run(&meta.AddVolume{Node: s.nodes[id], URL: "file:///wal"}).(*meta.VolumeAdded).Epoch
		s.run(&meta.SetVolume{Node: s.nodes[id], Volume: v, State: meta.VolumeActive, Made: true})
	}
	filed := s.topic("filed", times(30, a)...)
	s.topic("free", times(30, a)...)
	s.run(&meta.AlterConfigs{Changes: []meta.ConfigChange{{Kind: meta.TopicConfig, Name: "filed", Configs: map[string]string{meta.WALClassConfig: meta.ClassFile}}}})
	s.pass(2 * time.Minute)
	on := func() map[base.NodeID]int {
		n := map[base.NodeID]int{}
		for p := range s.img.PartitionsOf(filed) {
			n[p.Leader]++
		}
		return n
	}
	if led, n := s.led(), on(); n[c] > 0 || n[b] == 0 || led[a] > 22 || led[b] > 22 || led[c] < 18 {
		t.Errorf("led %v, of filed %v", led, n)
	}
	for _, left := range []base.NodeID{b, c} {
		dead := left - 1
		s.closeAll(dead)
		s.fence(dead)
		moves := Spread(s.img, nil, Orphans(s.img))
		for _, m := range moves {
			if m.Partition.Topic == filed && m.Leader != left {
				t.Errorf("%v goes to node %d", m.Partition, m.Leader)
			}
		}
		s.run(&meta.AssignPartitions{Partitions: moves})
		s.openAll()
	}
	if n := on(); n[c] != 30 {
		t.Errorf("without a node that has the class: %v", n)
	}
}
