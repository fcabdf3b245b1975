package control

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/compact"
	"sluice/storage/objstore/mem"
	"sluice/storage/stream"
)

// compacted is a controller with one topic whose partitions the node leads, and uploads so many times to all of them.
type compacted struct {
	*Controller
	t       *testing.T
	node    meta.NodeRef
	streams []base.StreamID
	number  uint64
}

func newCompacted(t *testing.T, partitions int, uploads int) *compacted {
	t.Helper()
	c := &compacted{Controller: start(t, Options{Store: mem.New()}), t: t}
	c.node = registered(t, c, base.NoNode)
	topic := do[meta.TopicsCreated](t, c, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: "t", Partitions: int32(partitions)}}}).Topics[0].ID
	open := &meta.OpenPartitions{Node: c.node}
	for p := range c.Image().PartitionsOf(topic) {
		open.Partitions = append(open.Partitions, meta.OpenPartition{Partition: meta.PartitionID{Topic: topic, Index: p.Index}, Expected: -1})
		c.streams = append(c.streams, p.Data)
	}
	do[meta.PartitionsOpened](t, c, open)
	for range uploads {
		c.upload()
	}
	return c
}

// upload puts ten offsets of each stream, one byte each, into a new object.
func (c *compacted) upload() base.ObjectID {
	c.t.Helper()
	id := do[meta.ObjectsPrepared](c.t, c, &meta.PrepareObjects{Node: c.node, Count: 1}).First
	o := meta.UploadObject{ID: id, Size: 100}
	for _, sid := range c.streams {
		s, _ := c.Image().Stream(sid)
		o.Ranges = append(o.Ranges, meta.UploadRange{Stream: sid, Epoch: s.Epoch, Range: base.OffsetRange{Start: s.CommittedEnd, End: s.CommittedEnd + 10}, Bytes: 10, MaxTimestamp: 7})
	}
	c.number++
	do[meta.UploadDone](c.t, c, &meta.CommitUpload{Node: c.node, Number: c.number, Objects: []meta.UploadObject{o}})
	return id
}

func describe(v compact.View) string {
	out := ""
	for _, o := range v.Objects {
		out += fmt.Sprintf("%d %v:", o.ID, o.Kind)
		for _, r := range o.Ranges {
			out += fmt.Sprintf(" %d[%d,%d)", r.Stream, r.Start, r.End)
		}
		out += "\n"
	}
	return out
}

// What the catalog shows is what it commits; it repeats, and is refused, as the engine expects.
func TestCompactCatalog(t *testing.T) {
	c := newCompacted(t, 2, 3)
	cat := NewCompactCatalog(c, stream.NodeRef(c.node))
	a, b := c.streams[0], c.streams[1]
	want := fmt.Sprintf("1 SSO: %d[0,10) %d[0,10)\n2 SSO: %d[10,20) %d[10,20)\n3 SSO: %d[20,30) %d[20,30)\n", a, b, a, b, a, b)
	if got := describe(cat.Snapshot()); got != want {
		t.Fatalf("view\n%s, want\n%s", got, want)
	}
	ids, err := cat.PrepareObjects(t.Context(), 2)
	if err != nil || len(ids) != 2 {
		t.Fatal(ids, err)
	}
	whole := base.OffsetRange{Start: 0, End: 20}
	commit := compact.Commit{Node: stream.NodeRef(c.node), Objects: []compact.NewObject{{ID: ids[0], Size: 30, Kind: stream.SO}, {ID: ids[1], Size: 40}},
		Replacements: []compact.Replacement{
			{Stream: a, Range: whole, Sources: []base.ObjectID{1, 2}, New: []compact.NewRange{{Object: ids[0], Range: whole, Bytes: 15, MaxTimestamp: 7}}, Cleaned: true},
			{Stream: b, Range: whole, Sources: []base.ObjectID{2, 1}, New: []compact.NewRange{{Object: ids[1], Range: whole, Bytes: 20, MaxTimestamp: 7}}},
		}}
	for range 2 {
		verdicts, err := cat.CommitCompaction(t.Context(), commit)
		if err != nil || !slices.Equal(verdicts, []compact.Verdict{compact.Replaced, compact.Changed}) {
			t.Fatal(verdicts, err)
		}
	}
	want = fmt.Sprintf("1 SSO: %d[0,10)\n2 SSO: %d[10,20)\n3 SSO: %d[20,30) %d[20,30)\n4 SO: %d[0,20)\n", b, b, a, b, a)
	if got := describe(cat.Snapshot()); got != want {
		t.Fatalf("view\n%s, want\n%s", got, want)
	}
	loc, err := NewCatalog(c, stream.NodeRef(c.node)).Locate(t.Context(), a, 0, 9)
	if err != nil || loc.Bytes != 25 || len(loc.Objects) != 2 || loc.Objects[0].ID != ids[0] {
		t.Fatalf("%+v, %v", loc, err)
	}
	if s, _ := c.Image().Stream(a); s.CleanedTo != 20 {
		t.Fatalf("%+v", s)
	}
	commit.Objects = commit.Objects[1:]
	commit.Replacements = commit.Replacements[1:]
	if _, err := cat.CommitCompaction(t.Context(), commit); !base.IsKind(err, base.NotFound) {
		t.Fatal(err) // the object was of no use and is on its way out
	}
	commit.Node.Epoch++
	if _, err := cat.CommitCompaction(t.Context(), commit); !base.IsKind(err, base.Fenced) {
		t.Fatal(err)
	}
	commit.Node.ID = 99
	if _, err := cat.CommitCompaction(t.Context(), commit); !base.IsKind(err, base.Fenced) {
		t.Fatal(err)
	}
}

// A view is made anew only if something in it can have changed.
func TestCompactViewIsKept(t *testing.T) {
	c := newCompacted(t, 1, 2)
	cat := NewCompactCatalog(c, stream.NodeRef(c.node))
	first := cat.Snapshot()
	same := func() bool { return &cat.Snapshot().Objects[0] == &first.Objects[0] }
	do[meta.ObjectsPrepared](t, c, &meta.PrepareObjects{Node: c.node, Count: 1})
	do[meta.TopicsCreated](t, c, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: "u", Partitions: 1}}})
	do[meta.ProducerIDs](t, c, &meta.AllocateProducerIDs{Node: c.node})
	if !same() {
		t.Fatal("made anew although nothing was uploaded, trimmed or replaced")
	}
	c.upload()
	if same() || len(cat.Snapshot().Objects) != 3 {
		t.Fatal("an upload does not show")
	}
}

// Every committed object of every node is looked after by exactly one live node, with all of its ranges: while all live, and when some are gone.
func TestEverythingIsLookedAfter(t *testing.T) {
	c := newCompacted(t, 3, 4)
	ids, err := NewCompactCatalog(c, stream.NodeRef(c.node)).PrepareObjects(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	cmd := &meta.CommitCompaction{Node: c.node}
	whole := base.OffsetRange{End: 20}
	for i, id := range ids {
		cmd.Objects = append(cmd.Objects, meta.CompactedObject{ID: id, Size: 1, Kind: meta.SO})
		cmd.Replacements = append(cmd.Replacements, meta.Replacement{Stream: c.streams[i], Range: whole, Sources: []base.ObjectID{1, 2}, New: []meta.NewRange{{Object: id, Range: whole, Bytes: 9}}})
	}
	do[meta.CompactionDone](t, c, cmd)
	others := []meta.NodeRef{registered(t, c, base.NoNode), registered(t, c, base.NoNode), registered(t, c, base.NoNode)}
	keepers := func() map[base.NodeID]int {
		t.Helper()
		img := c.Image()
		by, seen := map[base.NodeID]int{}, map[base.ObjectID]compact.Object{}
		for n := range img.Nodes() {
			v := lookAfter(img, n.ID)
			if n.Fenced && len(v.Objects) > 0 {
				t.Fatalf("node %d is gone and looks after %s", n.ID, describe(v))
			}
			if !slices.IsSortedFunc(v.Objects, func(a, b compact.Object) int { return int(a.ID) - int(b.ID) }) {
				t.Fatalf("not ascending: %s", describe(v))
			}
			by[n.ID] = len(v.Objects)
			for _, o := range v.Objects {
				if _, twice := seen[o.ID]; twice {
					t.Fatalf("object %d is looked after twice", o.ID)
				}
				seen[o.ID] = o
			}
		}
		for o := range img.Objects() {
			var want []compact.LiveRange
			for s := range img.Streams() {
				for r := range s.Held() {
					if r.Object == o.ID {
						want = append(want, compact.LiveRange{Stream: s.ID, OffsetRange: r.OffsetRange, Bytes: r.Bytes, MaxTimestamp: r.MaxTimestamp})
					}
				}
			}
			got, ok := seen[o.ID]
			if ok != (o.State == meta.Committed) || ok && (!reflect.DeepEqual(got.Ranges, want) || got.Size != o.Size || meta.ObjectKind(got.Kind) != o.Kind || got.PreparedMS != o.PreparedMS) {
				t.Fatalf("object %+v with ranges %v is seen as %+v", o, want, got)
			}
		}
		return by
	}
	if by := keepers(); by[c.node.ID] != 5 {
		t.Fatalf("objects by node: %v", by)
	}
	do[meta.Done](t, c, &meta.FenceNode{Node: c.node})
	keepers()
	do[meta.Done](t, c, &meta.FenceNode{Node: others[0]})
	keepers()
	registered(t, c, c.node.ID)
	if by := keepers(); by[c.node.ID] != 5 {
		t.Fatalf("objects by node after its return: %v", by)
	}
}

// What a node that is gone leaves behind is spread over all others, and when one of those goes too, only its share moves.
func TestKeepersSpread(t *testing.T) {
	const n, things = 10, 10_000
	live := func(without ...base.NodeID) (ids []base.NodeID) {
		for id := range base.NodeID(n) {
			if !slices.Contains(without, id) {
				ids = append(ids, id)
			}
		}
		return ids
	}
	keeperOf := func(id uint64, live []base.NodeID) base.NodeID {
		for _, self := range live {
			if k := (keeper{self: self, live: live}); k.keeps(77, id) {
				return self
			}
		}
		return base.NoNode
	}
	share := map[base.NodeID]int{}
	for id := range uint64(things) {
		before, after := keeperOf(id, live()), keeperOf(id, live(3))
		if share[before]++; before != 3 && after != before || after == 3 {
			t.Fatalf("%d moved from %d to %d", id, before, after)
		}
	}
	for id, k := range share {
		if k < things/n/2 || k > things/n*2 || len(share) != n {
			t.Fatalf("node %d got %d of %d", id, k, things)
		}
	}
}

// One command that compacts 10,000 streams travels from a follower to the controller, into one slot, and back as an image.
func TestLargeCompactionOfAFollower(t *testing.T) {
	const n = 10_000
	store := mem.New()
	lead, p := join(t, store, time.Minute), join(t, store, time.Minute)
	leaders := slices.Repeat([]base.NodeID{p.self.ID}, n)
	topic := do[meta.TopicsCreated](t, p.m, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: "t", Partitions: n, Leaders: leaders, ID: base.NewUUID()}}}).Topics[0].ID
	open := &meta.OpenPartitions{Node: p.self}
	for i := range int32(n) {
		open.Partitions = append(open.Partitions, meta.OpenPartition{Partition: meta.PartitionID{Topic: topic, Index: i}, Expected: -1})
	}
	opened := do[meta.PartitionsOpened](t, p.m, open).Partitions
	const uploads = 3
	for k := range base.Offset(uploads) {
		o := meta.UploadObject{ID: do[meta.ObjectsPrepared](t, p.m, &meta.PrepareObjects{Node: p.self, Count: 1}).First, Size: 1}
		for _, d := range opened {
			o.Ranges = append(o.Ranges, meta.UploadRange{Stream: d.Data.ID, Epoch: d.Data.Epoch, Range: base.OffsetRange{Start: 10 * k, End: 10*k + 10}, Bytes: 10})
		}
		do[meta.UploadDone](t, p.m, &meta.CommitUpload{Node: p.self, Number: uint64(k) + 1, Objects: []meta.UploadObject{o}})
	}
	cat := NewCompactCatalog(p.m, stream.NodeRef(p.self))
	ids, err := cat.PrepareObjects(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	before := cat.Snapshot()
	if len(before.Objects) != uploads || len(before.Objects[0].Ranges) != n {
		t.Fatalf("%d objects, of %d ranges", len(before.Objects), len(before.Objects[0].Ranges))
	}
	m := compact.Commit{Node: stream.NodeRef(p.self), Objects: []compact.NewObject{{ID: ids[0], Size: 9}}}
	whole := base.OffsetRange{End: 10 * uploads}
	for _, r := range before.Objects[0].Ranges {
		m.Replacements = append(m.Replacements, compact.Replacement{Stream: r.Stream, Range: whole, New: []compact.NewRange{{Object: ids[0], Range: whole, Bytes: 30}},
			Sources: []base.ObjectID{before.Objects[0].ID, before.Objects[1].ID, before.Objects[2].ID}})
	}
	verdicts, err := cat.CommitCompaction(t.Context(), m)
	if err != nil || len(verdicts) != n || slices.ContainsFunc(verdicts, func(v compact.Verdict) bool { return v != compact.Replaced }) {
		t.Fatal(err)
	}
	if v := cat.Snapshot(); len(v.Objects) != 1 || v.Objects[0].ID != ids[0] || len(v.Objects[0].Ranges) != n {
		t.Fatalf("%d objects", len(v.Objects))
	}
	if v := lookAfter(lead.m.Image(), p.self.ID); len(v.Objects) != 1 {
		t.Fatalf("the controller sees %d objects", len(v.Objects))
	}
}
