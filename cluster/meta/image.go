package meta

import (
	"iter"
	"strconv"

	"github.com/tidwall/btree"

	"sluice/base"
)

// Image is the state of the cluster at one position. It is immutable: share it freely. What its methods return must not be changed
// either (maps and slices in it are shared).
type Image struct {
	scalars
	nodes      tree[base.NodeID, *Node]
	rescues    tree[string, *Rescue] // by rescueKey
	topics     tree[uint32, *Topic]  // by number, deleted ones included until they are reaped
	byID       tree[string, *Topic]  // by the 16 bytes of the id
	byName     tree[string, *Topic]
	collisions tree[string, string] // names with '.' or '_', those replaced by '_' -> name
	partitions tree[uint64, *Partition]
	streams    tree[base.StreamID, *Stream]
	objects    tree[base.ObjectID, *Object]
	prepared   tree[base.ObjectID, struct{}] // ids ascend with time
	marks      tree[uint64, base.ObjectID]   // destroying objects, oldest mark first
	deleted    tree[uint32, struct{}]        // numbers of topics that wait to be reaped
	configs    tree[string, *ConfigResource] // by configKey
	led        tree[base.NodeID, int]        // partitions each node leads; derived, no zeros
	open       tree[base.NodeEpoch, opened]  // streams each volume has open; derived, no zeros
	heldPos    base.MetaPos                  // see HeldPos
	goneConfig base.MetaPos                  // where configurations of anything but a topic were last removed, or later: an image of a snapshot has configsPos here
	ranges     int                           // of all streams; derived
	deltas     []*Delta                      // what led here, newest last; see history
	merged     bool                          // by MergedWith: the oldest delta is that of the first image that was skipped
}

// scalars are the parts of an image that are plain values, the counters above all. Each counter is the next value to hand out.
type scalars struct {
	cluster        base.UUID
	secret         [32]byte
	createdMS      int64
	pos            base.MetaPos
	controller     Controller
	nextNode       base.NodeID
	nextNodeEpoch  base.NodeEpoch
	nextTopic      uint32
	nextStream     base.StreamID
	nextObject     base.ObjectID
	nextGrant      uint64
	nextMark       uint64
	nextProducerID int64
	configsPos     base.MetaPos // where any configuration of anything but a topic last changed
}

// tree is a copy-on-write ordered map. The zero value is empty.
type tree[K ordered, V any] struct{ m btree.Map[K, V] }

type ordered interface {
	~int32 | ~int64 | ~uint32 | ~uint64 | ~string
}

// fork returns a tree with the same content that can be changed without changing t. Only a copy of t's header is touched, so
// that forking an image is safe while others read it or fork it.
func (t *tree[K, V]) fork() tree[K, V] {
	header := t.m
	return tree[K, V]{*header.IsoCopy()}
}

func (t *tree[K, V]) get(k K) (V, bool) { return t.m.Get(k) }
func (t *tree[K, V]) has(k K) bool      { _, ok := t.m.Get(k); return ok }
func (t *tree[K, V]) set(k K, v V)      { t.m.Set(k, v) }
func (t *tree[K, V]) delete(k K)        { t.m.Delete(k) }
func (t *tree[K, V]) len() int          { return t.m.Len() }
func (t *tree[K, V]) each(from K, yield func(K, V) bool) {
	t.m.Ascend(from, yield)
}
func (t *tree[K, V]) all(yield func(K, V) bool) { t.m.Scan(yield) }

// Empty returns the image before the first record.
func Empty() *Image {
	return &Image{scalars: scalars{nextNode: 1, nextNodeEpoch: 1, nextTopic: 1, nextStream: 1, nextObject: 1, nextGrant: 1, nextMark: 1,
		nextProducerID: 1, controller: Controller{Node: base.NoNode}}}
}

func (img *Image) fork() *Image {
	return &Image{
		scalars: img.scalars, nodes: img.nodes.fork(), rescues: img.rescues.fork(), topics: img.topics.fork(), byID: img.byID.fork(),
		byName: img.byName.fork(), collisions: img.collisions.fork(), partitions: img.partitions.fork(), streams: img.streams.fork(),
		objects: img.objects.fork(), prepared: img.prepared.fork(), marks: img.marks.fork(), deleted: img.deleted.fork(),
		configs: img.configs.fork(), led: img.led.fork(), open: img.open.fork(), heldPos: img.heldPos, goneConfig: img.goneConfig, ranges: img.ranges,
	}
}

func idKey(id base.UUID) string { return string(id[:]) }

func partitionKey(num uint32, index int32) uint64 { return uint64(num)<<32 | uint64(uint32(index)) }

func rescueKey(v NodeRef) string {
	var b [12]byte
	putBE(b[:4], uint64(uint32(v.ID)))
	putBE(b[4:], uint64(v.Epoch))
	return string(b[:])
}

func configKey(kind ConfigKind, name string) string { return string([]byte{byte(kind)}) + name }

func putBE(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte(v)
		v >>= 8
	}
}

// Pos returns the number of records the image has applied.
func (img *Image) Pos() base.MetaPos { return img.pos }

// ClusterID returns the cluster's id; zero before the first record.
func (img *Image) ClusterID() base.UUID { return img.cluster }

// Secret returns what proves to other processes that a process belongs to the cluster. It must not be logged. It is zero, and then no proof,
// in a cluster that was created by a program which knew no peers, until the next take-over draws one.
func (img *Image) Secret() [32]byte { return img.secret }

// Controller returns who holds the metadata log.
func (img *Image) Controller() Controller { return img.controller }

// Node returns a node, fenced or not.
func (img *Image) Node(id base.NodeID) (Node, bool) { return value(img.nodes.get(id)) }

// Nodes yields all nodes in the order of their ids, fenced ones included.
func (img *Image) Nodes() iter.Seq[Node] { return values(&img.nodes) }

// Current reports whether ref is the present, unfenced incarnation of its node, or one of its volumes.
func (img *Image) Current(ref NodeRef) bool { return img.holder(ref) != nil }

// Rescues yields the fenced node epochs whose WAL still exists, in the order of node id and epoch.
func (img *Image) Rescues() iter.Seq[Rescue] { return values(&img.rescues) }

// Rescue returns the rescue of a victim.
func (img *Image) Rescue(victim NodeRef) (Rescue, bool) {
	return value(img.rescues.get(rescueKey(victim)))
}

// Topics yields all topics in the order of their names.
func (img *Image) Topics() iter.Seq[Topic] { return values(&img.byName) }

// TopicCount returns the number of topics.
func (img *Image) TopicCount() int { return img.byName.len() }

// TopicsDeleted returns how many topics have ever been deleted.
func (img *Image) TopicsDeleted() uint32 { return img.nextTopic - 1 - uint32(img.byName.len()) }

// PartitionCount returns the number of partitions, those of deleted topics included until they are reaped.
func (img *Image) PartitionCount() int { return img.partitions.len() }

// TopicByName returns the topic of that name.
func (img *Image) TopicByName(name string) (Topic, bool) { return value(img.byName.get(name)) }

// TopicByID returns the topic with that id.
func (img *Image) TopicByID(id base.UUID) (Topic, bool) { return value(img.byID.get(idKey(id))) }

// Partition returns a partition of a topic that exists.
func (img *Image) Partition(topic base.UUID, index int32) (Partition, bool) {
	return value(img.partition(PartitionID{topic, index}))
}

func (img *Image) partition(id PartitionID) (*Partition, bool) {
	t, ok := img.byID.get(idKey(id.Topic))
	if !ok {
		return nil, false
	}
	return img.partitions.get(partitionKey(t.num, id.Index))
}

// PartitionsOf yields the partitions of a topic in the order of their indexes.
func (img *Image) PartitionsOf(topic base.UUID) iter.Seq[Partition] {
	return func(yield func(Partition) bool) {
		t, ok := img.byID.get(idKey(topic))
		if !ok {
			return
		}
		img.partitions.each(partitionKey(t.num, 0), func(k uint64, p *Partition) bool {
			return uint32(k>>32) == t.num && yield(*p)
		})
	}
}

// PartitionsLedBy yields the partitions whose leader is the node. It looks at all partitions of the cluster: for starting, not for
// every change (see Delta for that).
func (img *Image) PartitionsLedBy(node base.NodeID) iter.Seq[Partition] {
	return func(yield func(Partition) bool) {
		img.partitions.all(func(k uint64, p *Partition) bool {
			if p.Leader != node {
				return true
			}
			if t, ok := img.topics.get(uint32(k >> 32)); ok && t.deleted {
				return true
			}
			return yield(*p)
		})
	}
}

// Stream returns a stream. Streams of deleted topics are gone at once.
func (img *Image) Stream(id base.StreamID) (Stream, bool) { return value(img.stream(id)) }

func (img *Image) stream(id base.StreamID) (*Stream, bool) {
	s, ok := img.streams.get(id)
	if !ok {
		return nil, false
	}
	if t, ok := img.topics.get(s.topicNum); !ok || t.deleted {
		return nil, false
	}
	return s, true
}

// Object returns an object.
func (img *Image) Object(id base.ObjectID) (Object, bool) { return value(img.objects.get(id)) }

// Objects yields all objects in the order of their ids.
func (img *Image) Objects() iter.Seq[Object] { return values(&img.objects) }

// ObjectCount returns how many objects there are, in any state.
func (img *Image) ObjectCount() int { return img.objects.len() }

// Prepared yields the prepared objects, oldest first.
func (img *Image) Prepared() iter.Seq[Object] {
	return func(yield func(Object) bool) {
		img.prepared.all(func(id base.ObjectID, _ struct{}) bool {
			o, ok := img.objects.get(id)
			if !ok {
				panic("BUG: meta: prepared object " + id.String() + " is missing")
			}
			return yield(*o)
		})
	}
}

// PreparedCount returns how many objects are prepared.
func (img *Image) PreparedCount() int { return img.prepared.len() }

// Destroying yields the objects to be deleted, in the order they were marked.
func (img *Image) Destroying() iter.Seq[Object] {
	return func(yield func(Object) bool) {
		img.marks.all(func(_ uint64, id base.ObjectID) bool {
			o, ok := img.objects.get(id)
			if !ok {
				panic("BUG: meta: marked object " + id.String() + " is missing")
			}
			return yield(*o)
		})
	}
}

// DestroyingCount returns how many objects wait to be deleted.
func (img *Image) DestroyingCount() int { return img.marks.len() }

// DeletedTopics returns how many deleted topics wait to be reaped.
func (img *Image) DeletedTopics() int { return img.deleted.len() }

// AppliedByAll returns the smallest position that the unfenced nodes have reported; with no such node the image's own.
func (img *Image) AppliedByAll() base.MetaPos {
	low := img.pos
	img.nodes.all(func(_ base.NodeID, n *Node) bool {
		if !n.Fenced {
			low = min(low, n.Applied)
		}
		return true
	})
	return low
}

// NodeConfigs returns the dynamic configurations of a broker; with base.NoNode those for all brokers.
func (img *Image) NodeConfigs(id base.NodeID) map[string]string {
	name := ""
	if id != base.NoNode {
		name = strconv.Itoa(int(id))
	}
	return img.Configs(BrokerConfig, name)
}

// Configs returns the configurations of a resource; nil if none were set or it does not exist.
func (img *Image) Configs(kind ConfigKind, name string) map[string]string {
	if kind == TopicConfig {
		if t, ok := img.byName.get(name); ok {
			return t.Configs
		}
		return nil
	}
	if r, ok := img.configs.get(configKey(kind, name)); ok {
		return r.Configs
	}
	return nil
}

// ConfigResources yields the configured resources of a kind other than TopicConfig, by name.
func (img *Image) ConfigResources(kind ConfigKind) iter.Seq[ConfigResource] {
	return func(yield func(ConfigResource) bool) {
		img.configs.each(configKey(kind, ""), func(_ string, r *ConfigResource) bool {
			return r.Kind == kind && yield(*r)
		})
	}
}

// Location is where a part of a stream lies.
type Location struct {
	Start, CommittedEnd base.Offset
	Bytes               int64 // record bytes in all ranges that are held
	Objects             []LocatedRange
}

// LocatedRange is a range of a stream with what its object's header fields say.
type LocatedRange struct {
	Range
	Size int64 // bytes of the whole object
	Kind ObjectKind
}

// Locate returns up to limit ranges of a stream in order, beginning with the one that holds from (or the first above it). The
// first may begin below Start where a trim fell inside of it. The cost is two binary searches and limit lookups.
func (img *Image) Locate(id base.StreamID, from base.Offset, limit int) (Location, error) {
	s, ok := img.stream(id)
	if !ok {
		return Location{}, base.Errorf(base.NotFound, "stream %d does not exist at metadata position %d", id, img.pos)
	}
	loc := Location{Start: s.Start, CommittedEnd: s.CommittedEnd, Bytes: s.Bytes}
	s.ranges.from(max(from, s.Start), func(r Range) bool {
		if len(loc.Objects) >= limit {
			return false
		}
		o, ok := img.objects.get(r.Object)
		if !ok {
			panic("BUG: meta: range of a missing object " + r.Object.String())
		}
		loc.Objects = append(loc.Objects, LocatedRange{Range: r, Size: o.Size, Kind: o.Kind})
		return true
	})
	return loc, nil
}

// RangesOf yields the ranges of a stream from the one that holds from, in order.
func (img *Image) RangesOf(id base.StreamID, from base.Offset) iter.Seq[Range] {
	return func(yield func(Range) bool) {
		if s, ok := img.stream(id); ok {
			s.ranges.from(max(from, s.Start), yield)
		}
	}
}

func value[V any](p *V, ok bool) (V, bool) {
	if !ok {
		var zero V
		return zero, false
	}
	return *p, true
}

func values[K ordered, V any](t *tree[K, *V]) iter.Seq[V] {
	return func(yield func(V) bool) {
		t.all(func(_ K, v *V) bool { return yield(*v) })
	}
}

// RescueCount returns how many fenced node epochs still have a WAL.
func (img *Image) RescueCount() int { return img.rescues.len() }
