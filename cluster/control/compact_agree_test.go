package control

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/compact"
	"sluice/storage/compact/compacttest"
	"sluice/storage/stream"
	"sluice/storage/stream/streamtest"
)

// direct is a client that decides commands by itself.
type direct struct{ img *meta.Image }

func (c *direct) Submit(_ context.Context, cmd meta.Command) (meta.Result, error) {
	d := c.img.Draft()
	_, res, err := d.Execute(meta.Fill(cmd, base.NewUUID), 1)
	if err != nil {
		return nil, err
	}
	c.img = d.Image()
	return res, nil
}
func (c *direct) Image() *meta.Image                          { return c.img }
func (c *direct) WaitFor(context.Context, base.MetaPos) error { return nil }
func (c *direct) Subscribe(func(old, new *meta.Image)) (cancel func()) {
	return func() {}
}

// twin drives the catalog that the engines are tested against, and the one of the cluster, with the same calls.
type twin struct {
	t       *rapid.T
	real    *direct
	catalog stream.Catalog
	compact compact.Catalog
	fake    compacttest.Catalog
	node    stream.NodeRef
	topics  map[base.StreamID]string
	epochs  map[base.StreamID]base.StreamEpoch
	ends    map[base.StreamID]base.Offset
	number  uint64
	plans   []compact.Commit
	seen    map[string]int
}

func newTwin(rt *rapid.T, seen map[string]int) *twin {
	img, err := meta.Empty().Apply(0, []meta.Record{meta.CreateCluster(base.UUID{1}, [32]byte{7}, 1)})
	if err != nil {
		rt.Fatal(err)
	}
	w := &twin{t: rt, real: &direct{img}, fake: compacttest.Catalog{Catalog: &streamtest.Catalog{}}, seen: seen,
		topics: map[base.StreamID]string{}, epochs: map[base.StreamID]base.StreamEpoch{}, ends: map[base.StreamID]base.Offset{}}
	ctx := context.Background()
	res, err := Do[meta.Registered](ctx, w.real, &meta.Register{Incarnation: base.UUID{2}, Reclaim: base.NoNode})
	if err != nil {
		rt.Fatal(err)
	}
	w.node = stream.NodeRef(res.Node)
	if ref := w.fake.Register(w.node.ID); ref != w.node {
		rt.Fatalf("the nodes are %v and %v", ref, w.node)
	}
	for i := range 3 {
		name := fmt.Sprint("t", i)
		topic, err := Do[meta.TopicsCreated](ctx, w.real, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: name, Partitions: 1}}})
		if err != nil {
			rt.Fatal(err)
		}
		opened, err := Do[meta.PartitionsOpened](ctx, w.real, &meta.OpenPartitions{Node: meta.NodeRef(w.node),
			Partitions: []meta.OpenPartition{{Partition: meta.PartitionID{Topic: topic.Topics[0].ID}, Expected: -1}}})
		if err != nil {
			rt.Fatal(err)
		}
		id := opened.Partitions[0].Data.ID
		w.topics[id], w.epochs[id] = name, w.fake.Open(w.node, id).Epoch
	}
	w.catalog, w.compact = NewCatalog(w.real, w.node), NewCompactCatalog(w.real, w.node)
	return w
}

func (w *twin) int(label string, low, high int) int {
	return rapid.IntRange(low, high).Draw(w.t, label)
}

// streams returns the ids of all streams, deleted ones too, ascending.
func (w *twin) streams() (ids []base.StreamID) {
	for id := range w.topics {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (w *twin) prepare(n int) []base.ObjectID {
	a, err := w.compact.PrepareObjects(context.Background(), n)
	b, err2 := w.fake.PrepareObjects(context.Background(), n)
	if err != nil || err2 != nil || !slices.Equal(a, b) {
		w.t.Fatalf("prepared are %v, %v and %v, %v", a, err, b, err2)
	}
	return a
}

func (w *twin) upload() {
	w.number++
	u := stream.UploadCommit{Node: w.node, Number: w.number, Objects: []stream.UploadedObject{{ID: w.prepare(1)[0], Size: 10}}}
	for _, id := range w.streams() {
		if n := w.int("records", 0, 3); n > 0 {
			u.Objects[0].Ranges = append(u.Objects[0].Ranges, stream.StreamRange{Stream: id, Epoch: w.epochs[id],
				Range: base.OffsetRange{Start: w.ends[id], End: w.ends[id] + base.Offset(n)}, Bytes: int64(n), MaxTimestamp: 5})
			w.ends[id] += base.Offset(n)
		}
	}
	a, err := w.catalog.CommitUpload(context.Background(), u)
	b, err2 := w.fake.CommitUpload(context.Background(), u)
	if err != nil || err2 != nil || !slices.Equal(a.Verdicts, b.Verdicts) {
		w.t.Fatalf("upload %+v: %v, %v and %v, %v", u, a, err, b, err2)
	}
}

func (w *twin) trim() {
	id := rapid.SampledFrom(w.streams()).Draw(w.t, "stream")
	trims := []stream.StreamTrim{{Stream: id, Epoch: w.epochs[id], Start: base.Offset(w.int("to", 0, int(w.ends[id])))}}
	if err, err2 := w.catalog.TrimStreams(context.Background(), w.node, trims), w.fake.TrimStreams(context.Background(), w.node, trims); err != nil || err2 != nil {
		w.t.Fatal(err, err2)
	}
}

func (w *twin) delete() {
	id := rapid.SampledFrom(w.streams()).Draw(w.t, "stream")
	if w.int("really", 1, 4) == 1 {
		w.fake.Delete(id)
		if _, err := w.real.Submit(context.Background(), &meta.DeleteTopics{Topics: []meta.TopicRef{{Name: w.topics[id]}}}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// plan makes a compaction of runs of ranges of some streams, cut anew.
func (w *twin) plan() {
	m := compact.Commit{Node: w.node}
	for _, id := range w.prepare(w.int("objects", 1, 2)) {
		m.Objects = append(m.Objects, compact.NewObject{ID: id, Size: 10})
	}
	held := map[base.StreamID][]compact.LiveRange{}
	sources := map[base.Offset]base.ObjectID{} // by stream and start, in one number
	at := func(r compact.LiveRange) base.Offset { return base.Offset(r.Stream)<<32 + r.Start }
	for _, o := range w.compact.Snapshot().Objects {
		for _, r := range o.Ranges {
			held[r.Stream] = append(held[r.Stream], r)
			sources[at(r)] = o.ID
		}
	}
	for _, id := range w.streams() {
		rs := held[id]
		if len(rs) == 0 || w.int("take", 0, 2) == 0 {
			continue
		}
		slices.SortFunc(rs, func(a, b compact.LiveRange) int { return int(a.Start - b.Start) })
		rs = rs[w.int("from", 0, len(rs)-1):]
		rs = rs[:w.int("count", 1, len(rs))]
		r := compact.Replacement{Stream: id, Range: base.OffsetRange{Start: rs[0].Start, End: rs[len(rs)-1].End}}
		for _, g := range rs {
			r.Sources = append(r.Sources, sources[at(g)])
		}
		for from := r.Range.Start; from < r.Range.End; {
			end := min(r.Range.End, from+base.Offset(w.int("cut", 1, 8)))
			o := m.Objects[w.int("object", 0, len(m.Objects)-1)]
			r.New = append(r.New, compact.NewRange{Object: o.ID, Range: base.OffsetRange{Start: from, End: end}, Bytes: 1, MaxTimestamp: 5})
			from = end
		}
		m.Replacements = append(m.Replacements, r)
	}
	w.plans = append(w.plans, m)
	if w.int("at once", 0, 1) == 1 {
		w.commit()
	}
}

// commit commits a plan, then the same again if it had an effect.
func (w *twin) commit() {
	if len(w.plans) == 0 {
		return
	}
	i := len(w.plans) - 1 - w.int("plan", 0, min(2, len(w.plans)-1))
	m := w.plans[i]
	w.plans = slices.Delete(w.plans, i, i+1)
	for range 2 {
		a, err := w.compact.CommitCompaction(context.Background(), m)
		b, err2 := w.fake.CommitCompaction(context.Background(), m)
		if err != nil || err2 != nil || !slices.Equal(a, b) {
			w.t.Fatalf("commit %+v: %v, %v and %v, %v", m, a, err, b, err2)
		}
		for _, v := range a {
			w.seen[v.String()]++
		}
		if !slices.Contains(a, compact.Replaced) {
			return // its objects are of no use, which the real one remembers
		}
	}
}

func (w *twin) same() {
	a, b := w.compact.Snapshot(), w.fake.Snapshot()
	for i := range b.Objects {
		b.Objects[i].PreparedMS = 1
	}
	if got, want := fmt.Sprintf("%+v", a), fmt.Sprintf("%+v", b); got != want {
		w.t.Fatalf("the views are\n%s and\n%s", got, want)
	}
	for _, id := range w.streams() {
		a, err := w.catalog.Locate(context.Background(), id, 0, 100)
		b, err2 := w.fake.Locate(context.Background(), id, 0, 100)
		if base.KindOf(err) != base.KindOf(err2) || fmt.Sprint(a) != fmt.Sprint(b) {
			w.t.Fatalf("stream %d lies at\n%+v, %v and\n%+v, %v", id, a, err, b, err2)
		}
	}
}

// The catalog in memory, against which compaction and the stream engine are tested, decides compactions as the cluster's metadata do.
func TestCompactCatalogsAgree(t *testing.T) {
	seen := map[string]int{}
	for round := 0; round < 20 && len(seen) < 4; round++ { // a short run may miss a verdict by chance
		rapid.Check(t, func(rt *rapid.T) {
			w := newTwin(rt, seen)
			step := func(f func()) func(*rapid.T) { return func(*rapid.T) { f() } }
			rt.Repeat(map[string]func(*rapid.T){"upload": step(w.upload), "upload too": step(w.upload), "trim": step(w.trim), "delete": step(w.delete),
				"plan": step(w.plan), "plan too": step(w.plan), "commit": step(w.commit), "": step(w.same)})
		})
	}
	if len(seen) < 4 {
		t.Fatalf("verdicts seen: %v", seen)
	}
}
