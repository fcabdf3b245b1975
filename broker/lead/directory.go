package lead

import (
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
)

// Directory finds the partitions that are open here. Look-ups take no lock: they read an immutable view that the leader's loop replaces.
type Directory struct {
	self    base.NodeID
	view    atomic.Pointer[view]
	image   func() *meta.Image
	changed notice
	closing atomic.Bool   // nothing comes here any more
	applied atomic.Uint64 // the image that is in force
}

type view struct {
	byID   map[base.UUID]*topic
	byName map[string]*topic
}

// topic holds the open partitions of a topic by index, nil where one is not open here. It is immutable once it is in a view.
type topic struct {
	id    base.UUID
	name  string
	parts []*partition.Partition
}

func newDirectory(self base.NodeID, image func() *meta.Image) *Directory {
	d := &Directory{self: self, image: image}
	d.view.Store(&view{byID: map[base.UUID]*topic{}, byName: map[string]*topic{}})
	return d
}

// Get finds a partition by topic id. The error is a *kerr.Error: UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION or NOT_LEADER_OR_FOLLOWER.
func (d *Directory) Get(id base.UUID, index int32) (*partition.Partition, error) {
	if p := d.view.Load().byID[id].at(index); p != nil {
		return p, nil
	}
	t, ok := d.image().TopicByID(id)
	if !ok {
		return nil, kerr.Errorf(kerr.UnknownTopicID, "topic id %s is not known", id)
	}
	return nil, absent(t, index)
}

// GetByName finds a partition by topic name. The error is a *kerr.Error: UNKNOWN_TOPIC_OR_PARTITION or NOT_LEADER_OR_FOLLOWER.
func (d *Directory) GetByName(name string, index int32) (*partition.Partition, error) {
	if p := d.view.Load().byName[name].at(index); p != nil {
		return p, nil
	}
	t, ok := d.image().TopicByName(name)
	if !ok {
		return nil, kerr.Errorf(kerr.UnknownTopicOrPartition, "topic %s is not known", name)
	}
	return nil, absent(t, index)
}

func (t *topic) at(index int32) *partition.Partition {
	if t == nil || index < 0 || int(index) >= len(t.parts) {
		return nil
	}
	return t.parts[index]
}

// absent says why a partition of a topic that exists is not found here.
func absent(t meta.Topic, index int32) error {
	if index < 0 || index >= t.Partitions {
		return kerr.Errorf(kerr.UnknownTopicOrPartition, "topic %s has no partition %d", t.Name, index)
	}
	return kerr.Errorf(kerr.NotLeaderOrFollower, "%s-%d is not served here", t.Name, index)
}

// Serves reports whether the partition is open here; Metadata names this node as a leader only then.
func (d *Directory) Serves(id base.UUID, index int32) bool {
	return d.view.Load().byID[id].at(index) != nil
}

// Coming reports whether a partition that Get does not find will in all likelihood be served in a moment, by this node or by another one:
// a live node opens it. A request for it is better held than refused; see Changed.
func (d *Directory) Coming(id base.UUID, index int32) bool {
	img := d.image()
	p, ok := img.Partition(id, index)
	if !ok {
		return false
	}
	leader, ok := img.Node(p.Leader)
	switch {
	case !ok || leader.Fenced || p.Leader == d.self && d.closing.Load():
		return false
	case p.State != meta.Serving:
		return true
	}
	return p.Leader == d.self && !d.Serves(id, index) // announced a moment before it is here
}

// ComingByName is Coming for the topic of that name.
func (d *Directory) ComingByName(name string, index int32) bool {
	t, ok := d.image().TopicByName(name)
	return ok && d.Coming(t.ID, index)
}

// Applied returns the position of the image that is in force here: the open partitions have its configurations, and those who subscribed to the
// metadata before the leader was started know it.
func (d *Directory) Applied() base.MetaPos { return base.MetaPos(d.applied.Load()) }

// Changed returns a channel that is closed when the image, what is open here, or what Applied returns, changes the next time. Call it before the look that
// decides to wait.
func (d *Directory) Changed() <-chan struct{} { return d.changed.wait() }

// All yields the open partitions, by topic name and index.
func (d *Directory) All() iter.Seq[*partition.Partition] {
	v := d.view.Load()
	return func(yield func(*partition.Partition) bool) {
		for _, name := range slices.Sorted(maps.Keys(v.byName)) {
			for _, p := range v.byName[name].parts {
				if p != nil && !yield(p) {
					return
				}
			}
		}
	}
}

// change is a partition that comes or goes.
type change struct {
	p       *partition.Partition
	present bool
}

// apply makes the next view. One caller at a time. The cost is the number of topics, plus the size of the topics that change: changes
// come in batches.
func (d *Directory) apply(changes []change) {
	old := d.view.Load()
	next := &view{byID: maps.Clone(old.byID), byName: maps.Clone(old.byName)}
	fresh := map[base.UUID]*topic{}
	for _, c := range changes {
		id, name, index := c.p.ID()
		t := fresh[id]
		if t == nil {
			t = &topic{id: id, name: name}
			if was := next.byID[id]; was != nil {
				t.parts = slices.Clone(was.parts)
			}
			fresh[id] = t
		}
		for int(index) >= len(t.parts) {
			t.parts = append(t.parts, nil)
		}
		switch {
		case c.present:
			t.parts[index] = c.p
		case t.parts[index] == c.p:
			t.parts[index] = nil
		}
	}
	// A name may have passed from a deleted topic to a new one within this batch: first those that go.
	for id, t := range fresh {
		if !slices.ContainsFunc(t.parts, func(p *partition.Partition) bool { return p != nil }) {
			delete(next.byID, id)
			if was := next.byName[t.name]; was != nil && was.id == id {
				delete(next.byName, t.name)
			}
			delete(fresh, id)
		}
	}
	for id, t := range fresh {
		next.byID[id] = t
		if was := next.byName[t.name]; was == nil || was.id == id || !d.exists(was.id) {
			next.byName[t.name] = t
		}
	}
	d.view.Store(next)
	d.changed.wake()
}

func (d *Directory) exists(id base.UUID) bool {
	_, ok := d.image().TopicByID(id)
	return ok
}

// notice wakes everybody who waits for something to change. The zero value is ready to use.
type notice struct {
	mu sync.Mutex
	ch chan struct{} // nil unless somebody waits
}

func (n *notice) wait() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch == nil {
		n.ch = make(chan struct{})
	}
	return n.ch
}

func (n *notice) wake() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
}
