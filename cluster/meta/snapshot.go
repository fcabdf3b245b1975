package meta

import (
	"sluice/base"
)

const snapshotVersion = 4

// AppendSnapshot appends the whole image to dst. Equal images give equal bytes, however they came about. Of everything that can be
// derived (indexes, counts of references, sums) nothing is written.
func (img *Image) AppendSnapshot(dst []byte) []byte {
	c := coder{buf: append(dst, snapshotVersion), version: snapshotVersion}
	s := snapshotCoder{c: &c, img: img}
	s.all()
	return c.buf
}

// LoadSnapshot is the inverse of AppendSnapshot. Errors have kind Corrupt.
func LoadSnapshot(b []byte) (*Image, error) {
	if len(b) == 0 {
		return nil, base.Errorf(base.Corrupt, "metadata snapshot is empty")
	}
	img := &Image{}
	err := decodeBody("metadata snapshot", b[1:], b[0], snapshotVersion, func(c *coder) {
		s := snapshotCoder{c: c, img: img}
		s.all()
		s.index()
		img.heldPos = img.pos
	})
	if err != nil {
		return nil, err
	}
	return img, nil
}

// snapshotCoder runs in both directions, as coder does.
type snapshotCoder struct {
	c   *coder
	img *Image
}

func (s snapshotCoder) all() {
	s.scalars()
	s.nodes()
	s.topics()
	s.objects()
	s.configs()
}

func (s snapshotCoder) scalars() {
	c, v := s.c, &s.img.scalars
	c.uuid(&v.cluster)
	signed(c, &v.createdMS)
	unsigned(c, &v.pos)
	unsigned(c, &v.controller.Epoch)
	c.string(&v.controller.Who)
	signed(c, &v.controller.Node)
	unsigned(c, &v.nextNode)
	unsigned(c, &v.nextNodeEpoch)
	unsigned(c, &v.nextTopic)
	unsigned(c, &v.nextStream)
	unsigned(c, &v.nextObject)
	unsigned(c, &v.nextGrant)
	unsigned(c, &v.nextMark)
	unsigned(c, &v.nextProducerID)
	unsigned(c, &v.configsPos)
	if c.reading {
		s.img.goneConfig = v.configsPos
	}
	if c.version >= 2 {
		c.secret(&v.secret)
	}
}

// entries codes a tree: the number of its entries, then the entries in the order of their keys.
func entries[K ordered, V any](c *coder, t *tree[K, *V], min int, key func(*V) K, code func(*V)) {
	n := c.uvarint(uint64(t.len()))
	if !c.reading {
		t.all(func(_ K, v *V) bool { code(v); return true })
		return
	}
	if n > uint64(len(c.buf)/min) {
		c.fail("%d entries where %d bytes are left", n, len(c.buf))
		return
	}
	for i := uint64(0); i < n && c.err == nil; i++ {
		v := new(V)
		code(v)
		t.m.Load(key(v), v)
	}
	if c.err == nil && uint64(t.len()) != n {
		c.fail("%d entries, %d of them distinct", n, t.len())
	}
}

func (s snapshotCoder) nodes() {
	c := s.c
	entries(c, &s.img.nodes, 24, func(n *Node) base.NodeID { return n.ID }, func(n *Node) {
		signed(c, &n.ID)
		c.uuid(&n.Incarnation)
		signed(c, &n.Epoch)
		c.string(&n.Name)
		c.string(&n.Zone)
		c.endpoints(&n.Endpoints)
		s.volumes(n)
		c.bool(&n.Fenced)
		if c.version >= 2 {
			c.bool(&n.Draining)
		}
		signed(c, &n.RegisteredMS)
		unsigned(c, &n.Applied)
		if c.version < 4 {
			c.skips(&n.Volumes[0].lastSkips)
		}
	})
	entries(c, &s.img.rescues, 24, func(r *Rescue) string { return rescueKey(r.Victim) }, c.rescue)
}

// volumes codes those of a node; up to version 3 there was one, under the node's epoch.
func (s snapshotCoder) volumes(n *Node) {
	c := s.c
	if c.version < 4 {
		if c.reading {
			n.Volumes = []Volume{{Epoch: n.Epoch}}
		}
		v := &n.Volumes[0]
		c.string(&v.URL)
		unsigned(c, &v.Trim)
		unsigned(c, &v.LastUpload)
		return
	}
	list(c, &n.Volumes, 6, func(v *Volume) {
		signed(c, &v.Epoch)
		c.string(&v.URL)
		enum(c, &v.State, VolumeDraining)
		unsigned(c, &v.Trim)
		unsigned(c, &v.LastUpload)
		c.skips(&v.lastSkips)
	})
	if len(n.Volumes) == 0 {
		c.fail("node %d has no volume", n.ID)
	}
}

func (c *coder) rescue(r *Rescue) {
	c.nodeRef(&r.Victim)
	c.uuid(&r.Incarnation)
	c.string(&r.Name)
	c.string(&r.WAL)
	unsigned(c, &r.WALTrim)
	unsigned(c, &r.LastUpload)
	enum(c, &r.State, RescueDone)
	c.nodeRef(&r.Rescuer)
	unsigned(c, &r.Grant)
	signed(c, &r.FencedMS)
	c.skips(&r.lastSkips)
}

func (s snapshotCoder) topics() {
	c := s.c
	entries(c, &s.img.topics, 20, func(t *Topic) uint32 { return t.num }, func(t *Topic) {
		unsigned(c, &t.num)
		c.uuid(&t.ID)
		c.string(&t.Name)
		c.stringMap(&t.Configs)
		unsigned(c, &t.Partitions)
		signed(c, &t.CreatedMS)
		unsigned(c, &t.ConfigsPos)
		c.bool(&t.deleted)
		s.partitions(t)
	})
}

// partitions codes those of a topic; a deleted one may have lost the first of them.
func (s snapshotCoder) partitions(t *Topic) {
	c := s.c
	if !c.reading {
		var held []*Partition
		s.img.partitions.each(partitionKey(t.num, 0), func(k uint64, p *Partition) bool {
			if uint32(k>>32) != t.num {
				return false
			}
			held = append(held, p)
			return true
		})
		c.uvarint(uint64(len(held)))
		for _, p := range held {
			s.partition(t, p)
		}
		return
	}
	n := c.uvarint(0)
	for i := uint64(0); i < n && c.err == nil; i++ {
		p := &Partition{Topic: t.ID, Target: base.NoNode}
		s.partition(t, p)
		if _, twice := s.img.partitions.m.Load(partitionKey(t.num, p.Index), p); twice {
			c.fail("partition %d of topic number %d twice", p.Index, t.num)
		}
	}
}

func (s snapshotCoder) partition(t *Topic, p *Partition) {
	c := s.c
	unsigned(c, &p.Index)
	signed(c, &p.Leader)
	signed(c, &p.LeaderEpoch)
	enum(c, &p.State, Serving)
	if c.version >= 2 {
		signed(c, &p.Target)
	}
	list(c, &p.EpochStarts, 2, func(e *EpochStart) {
		unsigned(c, &e.Epoch)
		unsigned(c, &e.Start)
	})
	s.stream(t, p, &p.Data)
	s.stream(t, p, &p.Meta)
}

func (s snapshotCoder) stream(t *Topic, p *Partition, id *base.StreamID) {
	c := s.c
	unsigned(c, id)
	v := &Stream{ID: *id, Topic: t.ID, Partition: p.Index, topicNum: t.num}
	if !c.reading {
		v, _ = s.img.streams.get(*id)
	}
	fields := *v
	signed(c, &fields.Owner)
	signed(c, &fields.OwnerEpoch)
	signed(c, &fields.Epoch)
	enum(c, &fields.State, Open)
	unsigned(c, &fields.Start)
	if c.version >= 3 {
		unsigned(c, &fields.CleanedTo)
	}
	s.ranges(&fields)
	if !c.reading {
		return
	}
	fields.CommittedEnd = fields.Start
	if !fields.ranges.empty() {
		fields.CommittedEnd = fields.ranges.end()
		if fields.ranges.first() > fields.Start || fields.CommittedEnd < fields.Start {
			c.fail("stream %d: ranges do not hold its start %d", *id, fields.Start)
		}
	}
	if fields.CleanedTo > fields.CommittedEnd {
		c.fail("stream %d: cleaned up to %d, committed up to %d", *id, fields.CleanedTo, fields.CommittedEnd)
	}
	if _, twice := s.img.streams.m.Load(*id, &fields); twice {
		c.fail("stream %d twice", *id)
	}
}

// ranges codes the first range's start and then only lengths, for there are no gaps.
func (s snapshotCoder) ranges(v *Stream) {
	c := s.c
	n := c.uvarint(uint64(v.ranges.len()))
	if !c.reading {
		if n > 0 {
			first := v.ranges.first()
			unsigned(c, &first)
		}
		v.ranges.from(-1, func(r Range) bool { codeRange(c, &r); return true })
		return
	}
	if n == 0 {
		return
	}
	var at base.Offset
	unsigned(c, &at)
	for i := uint64(0); i < n && c.err == nil; i++ {
		r := Range{OffsetRange: base.OffsetRange{Start: at}}
		if codeRange(c, &r); c.err != nil {
			return
		}
		at = r.End
		v.ranges.extend(r)
		v.Bytes += r.Bytes
	}
}

func codeRange(c *coder, r *Range) {
	count := r.End - r.Start
	unsigned(c, &count)
	unsigned(c, &r.Object)
	unsigned(c, &r.Bytes)
	signed(c, &r.MaxTimestamp)
	if c.reading {
		if r.End = r.Start + count; r.End <= r.Start {
			c.fail("range of %d offsets from %d", count, r.Start)
		}
	}
}

func (s snapshotCoder) objects() {
	c := s.c
	entries(c, &s.img.objects, 6, func(o *Object) base.ObjectID { return o.ID }, func(o *Object) {
		unsigned(c, &o.ID)
		enum(c, &o.State, Destroying)
		enum(c, &o.Kind, SO)
		c.nodeRef(&o.Node)
		unsigned(c, &o.Size)
		signed(c, &o.PreparedMS)
		if o.State == Destroying {
			signed(c, &o.MarkedMS)
			unsigned(c, &o.MarkedPos)
			unsigned(c, &o.mark)
		}
	})
}

func (s snapshotCoder) configs() {
	c := s.c
	entries(c, &s.img.configs, 4, func(r *ConfigResource) string { return configKey(r.Kind, r.Name) }, func(r *ConfigResource) {
		enum(c, &r.Kind, lastConfigKind)
		c.string(&r.Name)
		c.stringMap(&r.Configs)
		unsigned(c, &r.Pos)
	})
}

// index derives what is not written and checks what must hold together.
func (s snapshotCoder) index() {
	img := s.img
	img.streams.all(func(id base.StreamID, v *Stream) bool {
		v.ranges.from(-1, func(r Range) bool {
			o, ok := img.objects.get(r.Object)
			if !ok || o.State != Committed {
				s.c.fail("stream %d: object %s is not committed", id, r.Object)
				return false
			}
			o.Refs++ // nobody else sees the image yet
			img.ranges++
			return true
		})
		return s.c.err == nil
	})
	s.count()
	img.objects.all(func(id base.ObjectID, o *Object) bool {
		switch {
		case o.State == Prepared:
			img.prepared.m.Load(id, struct{}{})
		case o.State == Destroying:
			img.marks.set(o.mark, id)
		case o.Refs == 0:
			s.c.fail("object %s is committed but holds nothing", id)
		}
		return s.c.err == nil
	})
	img.topics.all(func(num uint32, t *Topic) bool {
		if t.deleted {
			img.deleted.set(num, struct{}{})
			return true
		}
		img.byID.set(idKey(t.ID), t)
		img.byName.set(t.Name, t)
		if key, ok := collisionKey(t.Name); ok {
			img.collisions.set(key, t.Name)
		}
		return true
	})
}

// count derives how much each node leads and has open.
func (s snapshotCoder) count() {
	img := s.img
	img.partitions.all(func(k uint64, p *Partition) bool {
		if t, ok := img.topics.get(uint32(k >> 32)); ok && !t.deleted {
			img.countLed(p.Leader, 1)
			for _, id := range [...]base.StreamID{p.Data, p.Meta} {
				if v, ok := img.streams.get(id); ok && v.State == Open {
					img.countOpen(v, 1)
				}
			}
		}
		return true
	})
}
