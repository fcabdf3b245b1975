package lead

import (
	"testing"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
)

// An epoch that was attached once is never taken again, though the image shows its streams open for this node.
func TestAnEpochIsTakenOnce(t *testing.T) {
	c, node := newCluster(t)
	topic := c.create("orders", 1)
	id := meta.PartitionID{Topic: topic}
	m := newMachine(node, time.Millisecond, time.Second)
	if a := m.observe(c.Image()); len(a.open) != 1 || len(a.take) != 0 {
		t.Fatal("closed streams are opened", a)
	}
	c.must(&meta.OpenPartitions{Node: node, Partitions: []meta.OpenPartition{{Partition: id, Expected: -1}}})
	// The answer was lost: the streams are open for this node, which has not used them.
	var a actions
	m.observe(c.Image())
	if !m.failed(id, -1, time.Time{}, 0, &a) {
		t.Fatal("the job was not in vain")
	}
	m.due(time.Time{}.Add(time.Hour), &a)
	if len(a.take) != 1 || a.take[0].partition.LeaderEpoch != 0 || len(a.open) != 0 {
		t.Fatal("not taken", a)
	}
	if !m.failed(id, 0, time.Time{}, 0, &a) {
		t.Fatal("the load was not in vain")
	}
	a = actions{}
	m.due(time.Time{}.Add(time.Hour), &a)
	if len(a.take) != 0 || len(a.open) != 1 {
		t.Fatal("taken twice", a)
	}
	// Nor by another process of this node.
	other := newMachine(meta.NodeRef{ID: node.ID, Epoch: node.Epoch + 1}, time.Millisecond, time.Second)
	if a := other.observe(c.Image()); len(a.take) != 0 {
		t.Fatal("another incarnation took over streams that are not its own", a)
	}
	c.must(&meta.DeleteTopics{Topics: []meta.TopicRef{{ID: topic}}})
	m.observe(c.Image())
	if len(m.spent) != 0 {
		t.Fatal("deleted topics are remembered")
	}
}

// What comes too late from a move that the image has ended is ignored.
func TestLateResultOfAMove(t *testing.T) {
	c, node := newCluster(t)
	other := c.must(&meta.Register{Incarnation: base.NewUUID(), Reclaim: base.NoNode, Name: "m", WAL: "mem://m"}).(*meta.Registered).Node
	topic := c.must(&meta.CreateTopics{Topics: []meta.NewTopic{{Name: "orders", Partitions: 1, Leaders: []base.NodeID{node.ID}}}}).(*meta.TopicsCreated).Topics[0].ID
	id := meta.PartitionID{Topic: topic}
	c.must(&meta.OpenPartitions{Node: node, Partitions: []meta.OpenPartition{{Partition: id, Expected: -1}}, ServeEmpty: true})
	m := newMachine(node, time.Millisecond, time.Second)
	var a actions
	m.observe(c.Image())
	if !m.served(id, 0, &a) {
		t.Fatal("not served")
	}
	c.must(&meta.MovePartitions{Partitions: []meta.PartitionLeader{{Partition: id, Leader: other.ID}}})
	m.observe(c.Image())
	ids, _ := m.movable(time.Now(), 10)
	if len(m.leave(ids)) != 1 || len(m.leave(ids)) != 0 {
		t.Fatal("it leaves once", ids)
	}
	if res := c.must(&meta.HandOver{Node: node, Partitions: []meta.HandedOver{{Partition: id}}}).(*meta.Outcomes); res.Errs[0] != nil {
		t.Fatal(res.Errs[0])
	}
	if a := m.observe(c.Image()); len(a.end) != 1 {
		t.Fatal("the image ends a move", a)
	}
	a = actions{}
	if m.resumed(id, 0, time.Now(), 0, &a) || len(a.end) != 0 {
		t.Fatal("resumed what is gone")
	}
	if m.over(id, 0, &a); len(a.end)+len(a.open)+len(a.take) != 0 {
		t.Fatal(a)
	}
}
