package clean

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/base/slab"
	"sluice/broker/partition"
	"sluice/broker/partition/memlog"
	"sluice/broker/topicconfig"
	"sluice/cluster/meta"
	"sluice/storage/compact"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/mem"
	"sluice/storage/stream"
	"sluice/wire/batch"
)

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// world is a compacted partition with its objects in a bucket, an image that only commands change, and what was written to it.
type world struct {
	t         fataler
	img       *meta.Image
	node      meta.NodeRef
	topic     base.UUID
	open      meta.OpenedPartition
	store     driver.Store
	env       *compact.Env
	wal       *memlog.WAL
	data      *memlog.Log
	meta      *memlog.Log
	stop      func()
	p         *partition.Partition
	c         *Compactor
	opt       CompactorOptions
	cfg       topicconfig.Config
	now       int64
	upload    uint64
	committed base.Offset
	sequence  map[int64]int32
	all       []*written

	// between is called before each commit of the compactor.
	between func()
	lost    map[base.ObjectID]bool // removed from the bucket
}

func newWorld(t fataler, overrides map[string]string) *world {
	img, err := meta.Empty().Apply(0, []meta.Record{meta.CreateCluster(base.NewUUID(), [32]byte{}, 1)})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, img: img, store: mem.New(), wal: &memlog.WAL{}, now: 1000, sequence: map[int64]int32{}, between: func() {}, lost: map[base.ObjectID]bool{}}
	w.data, w.meta = w.wal.New(0), w.wal.New(0)
	w.stop = w.wal.Auto()
	w.node = w.must(&meta.Register{Incarnation: base.NewUUID(), Reclaim: base.NoNode, Name: "n", WAL: "mem://"}).(*meta.Registered).Node
	w.topic = w.must(&meta.CreateTopics{Topics: []meta.NewTopic{{Name: "t", Partitions: 1}}}).(*meta.TopicsCreated).Topics[0].ID
	overrides = maps.Clone(overrides)
	overrides["cleanup.policy"] = "compact"
	if w.cfg, err = topicconfig.Parse(overrides, nil); err != nil {
		t.Fatal(err)
	}
	w.env = &compact.Env{Cluster: w.img.ClusterID(), Node: stream.NodeRef(w.node), Store: w.store, Catalog: w, Pool: &slab.Pool{}}
	w.opt = CompactorOptions{
		Partitions: func() iter.Seq[*partition.Partition] { return slices.Values([]*partition.Partition{w.p}) },
		Image:      func() *meta.Image { return w.img }, Env: w.env, Interval: time.Hour, Now: func() time.Time { return time.UnixMilli(w.now) },
	}
	w.openPartition(-1)
	return w
}

// openPartition opens the partition under the next epoch, with a new compactor, as a restart or a move does.
func (w *world) openPartition(expected base.StreamEpoch) {
	w.open = w.must(&meta.OpenPartitions{Node: w.node, Partitions: []meta.OpenPartition{{Partition: meta.PartitionID{Topic: w.topic}, Expected: expected}}}).(*meta.PartitionsOpened).Partitions[0]
	var err error
	w.p, err = partition.Open(ctx, partition.Options{Topic: w.topic, Name: "t", Epoch: w.open.Partition.LeaderEpoch, Config: &w.cfg, Data: w.data, Meta: w.meta,
		Now: func() time.Time { return time.UnixMilli(w.now) }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.c = StartCompactor(w.opt)
}

func (w *world) close() {
	w.c.Close()
	w.stop()
}

func (w *world) execute(cmd meta.Command) (meta.Result, error) {
	d := w.img.Draft()
	_, res, err := d.Execute(meta.Fill(cmd, base.NewUUID), w.now)
	if err == nil {
		w.img = d.Image()
	}
	return res, err
}

func (w *world) must(cmd meta.Command) meta.Result {
	w.t.Helper()
	res, err := w.execute(cmd)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

func (w *world) PrepareObjects(_ context.Context, n int) (ids []base.ObjectID, err error) {
	p := w.must(&meta.PrepareObjects{Node: w.node, Count: int32(n)}).(*meta.ObjectsPrepared)
	for i := range n {
		ids = append(ids, p.First+base.ObjectID(i))
	}
	return ids, nil
}

func (w *world) CommitCompaction(_ context.Context, c compact.Commit) (out []compact.Verdict, err error) {
	w.between()
	return w.commit(c), nil
}

func (w *world) commit(c compact.Commit) (out []compact.Verdict) {
	cmd := &meta.CommitCompaction{Node: w.node}
	for _, o := range c.Objects {
		cmd.Objects = append(cmd.Objects, meta.CompactedObject{ID: o.ID, Size: o.Size, Kind: meta.ObjectKind(o.Kind)})
	}
	for _, r := range c.Replacements {
		to := meta.Replacement{Stream: r.Stream, Range: r.Range, Sources: r.Sources, Cleaned: r.Cleaned}
		for _, n := range r.New {
			to.New = append(to.New, meta.NewRange(n))
		}
		cmd.Replacements = append(cmd.Replacements, to)
	}
	for _, v := range w.must(cmd).(*meta.CompactionDone).Verdicts {
		out = append(out, compact.Verdict(v))
	}
	w.sweep()
	return out
}

// sweep removes what nothing refers to from the bucket at once: whoever still reads it has to look again.
func (w *world) sweep() {
	for o := range w.img.Objects() {
		if o.State == meta.Destroying && !w.lost[o.ID] {
			w.lost[o.ID] = true
			if err := w.store.Delete(ctx, object.Key(w.img.ClusterID(), o.ID)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func (w *world) Snapshot() compact.View { panic("not asked for") }

// write appends a batch. values are key, value, key, value, …; "deleted" stands for a tombstone.
func (w *world) write(producer int64, codec batch.Codec, values ...string) {
	b := batch.NewBuilder(batch.Options{Idempotent: producer >= 0, ProducerID: producer, BaseSequence: w.sequence[producer], Codec: codec})
	for i := 0; i < len(values); i += 2 {
		r := batch.Record{Timestamp: w.now, Key: []byte(values[i]), Value: []byte(values[i+1])}
		if values[i+1] == "deleted" {
			r.Value = nil
		}
		b.Add(r)
		w.all = append(w.all, &written{key: values[i], value: values[i+1], producer: producer})
	}
	w.sequence[producer] += int32(len(values) / 2)
	done := make(chan error, 1)
	w.p.Append(partition.AppendRequest{Batch: b.Bytes()}, func(r partition.AppendResult) { done <- r.Err })
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
}

// flush uploads what is not, as one object.
func (w *world) flush() {
	out := object.NewWriter(0, 0)
	bytes, maxTS, end := int64(0), int64(-1), w.committed
	for _, r := range w.data.Records() {
		if r.Base >= w.committed {
			out.Add(&object.Record{Stream: w.open.Data.ID, Epoch: w.open.Data.Epoch, Base: r.Base, Count: r.Count, MaxTimestamp: r.MaxTimestamp, Flags: r.Flags, Data: r.Data}, nil)
			bytes, maxTS, end = bytes+int64(len(r.Data)), max(maxTS, r.MaxTimestamp), r.Base+base.Offset(r.Count)
		}
	}
	if end == w.committed {
		return
	}
	ids, _ := w.PrepareObjects(ctx, 1)
	body, size := out.Finish(object.Meta{Cluster: w.img.ClusterID(), ID: ids[0]})
	if err := w.store.Put(ctx, object.Key(w.img.ClusterID(), ids[0]), body, driver.PutOptions{}); err != nil {
		w.t.Fatal(err)
	}
	w.upload++
	w.must(&meta.CommitUpload{Node: w.node, Number: w.upload, Trim: base.WALPos(w.upload), Objects: []meta.UploadObject{{ID: ids[0], Size: size, Ranges: []meta.UploadRange{
		{Stream: w.open.Data.ID, Epoch: w.open.Data.Epoch, Range: base.OffsetRange{Start: w.committed, End: end}, Bytes: bytes, MaxTimestamp: maxTS}}}}})
	w.committed = end
}

// merge replaces n neighbouring ranges from the first one on by one, as the compaction of objects does.
func (w *world) merge(first, n int) {
	ranges := slices.Collect(w.img.RangesOf(w.open.Data.ID, 0))
	if first+n > len(ranges) || n < 1 {
		return
	}
	ranges = ranges[first : first+n]
	out := w.env.NewOutput(1 << 30)
	r := compact.Replacement{Stream: w.open.Data.ID, Range: base.OffsetRange{Start: ranges[0].Start, End: ranges[n-1].End}}
	if err := out.Begin(ctx, stream.SO, r.Stream, r.Range, 0); err != nil {
		w.t.Fatal(err)
	}
	for _, old := range ranges {
		r.Sources = append(r.Sources, old.Object)
		for rec := range w.records(old) {
			if err := out.Add(ctx, &rec); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	if err := out.End(); err != nil {
		w.t.Fatal(err)
	}
	if err := out.Flush(ctx); err != nil {
		w.t.Fatal(err)
	}
	objects, runs := out.Take()
	out.Close()
	r.New = runs[0].New
	if v := w.commit(compact.Commit{Objects: objects, Replacements: []compact.Replacement{r}}); v[0] != compact.Replaced {
		w.t.Fatal(v)
	}
}

// records reads a range.
func (w *world) records(r meta.Range) iter.Seq[object.Record] {
	return func(yield func(object.Record) bool) {
		o, _ := w.img.Object(r.Object)
		src, err := w.env.Open(ctx, r.Object, o.Size, 1<<20)
		if err != nil {
			w.t.Fatal(err)
		}
		defer src.Close()
		for rec, err := range src.Records(ctx, w.open.Data.ID, r.OffsetRange) {
			if err != nil {
				w.t.Fatal(err)
			}
			if !yield(rec) {
				return
			}
		}
	}
}

// seen is a record in the bucket.
type seen struct {
	offset int64
	value  string
}

// read reads all that is in the bucket: the records of every key.
func (w *world) read() map[string][]seen {
	got, end := map[string][]seen{}, base.Offset(-1)
	for r := range w.img.RangesOf(w.open.Data.ID, 0) {
		n := 0
		for rec := range w.records(r) {
			b, _, err := batch.Parse(rec.Data)
			if err == nil {
				err = b.Check()
			}
			if err != nil || rec.Base != base.Offset(b.BaseOffset()) || rec.End() != base.Offset(b.NextOffset()) || rec.Base <= end {
				w.t.Fatalf("batch at %d, %d offsets: %v", rec.Base, rec.Count, err)
			}
			end = rec.Base
			n++
			maxTS := int64(-1)
			for k, err := range b.Records(batch.Limits{}) {
				if err != nil {
					w.t.Fatal(err)
				}
				maxTS = max(maxTS, k.Timestamp)
				got[string(k.Key)] = append(got[string(k.Key)], seen{b.BaseOffset() + int64(k.OffsetDelta), value(k.Value)})
			}
			if maxTS != rec.MaxTimestamp {
				w.t.Fatalf("batch at %d: largest timestamp %d, the index says %d", rec.Base, maxTS, rec.MaxTimestamp)
			}
		}
		if n == 0 {
			w.t.Fatalf("a range without a record: %v", r)
		}
	}
	return got
}

// check compares the newest values with what was written below the committed end, and the offsets.
func (w *world) check() map[string][]seen {
	w.t.Helper()
	want := map[string]seen{}
	for i, x := range w.all[:w.committed] {
		want[x.key] = seen{int64(i), x.value}
	}
	got := w.read()
	for k, v := range want {
		if g := got[k]; len(g) == 0 && v.value != "deleted" || len(g) > 0 && g[len(g)-1] != v {
			w.t.Fatalf("key %s: %v, want %v", k, g, v)
		}
	}
	for _, all := range got {
		for _, g := range all {
			if x := w.all[g.offset]; x.value != g.value {
				w.t.Fatalf("offset %d has %q, %q was written", g.offset, g.value, x.value)
			}
		}
	}
	return got
}

func (w *world) cleanedTo() base.Offset {
	s, _ := w.img.Stream(w.open.Data.ID)
	return s.CleanedTo
}

var always = map[string]string{"min.cleanable.dirty.ratio": "0", "segment.ms": "1", "delete.retention.ms": "100"}

func TestCompacts(t *testing.T) {
	w := newWorld(t, always)
	defer w.close()
	w.write(1, batch.Zstd, "a", "1", "b", "1")
	w.write(1, batch.None, "a", "2", "c", "1")
	w.flush()
	w.write(2, batch.Gzip, "b", "deleted", "d", "1")
	w.write(1, batch.None, "c", "2")
	w.flush()
	w.now += 10
	w.c.Round(ctx)
	if got := w.check(); fmt.Sprint(got) != "map[a:[{2 2}] b:[{4 deleted}] c:[{6 2}] d:[{5 1}]]" || w.cleanedTo() != 7 {
		t.Fatal(got, w.cleanedTo())
	}
	// Nothing is new, nothing is done; a tombstone alone is no reason.
	before := w.img.Pos()
	w.now += 1000
	w.c.Round(ctx)
	if w.img.Pos() != before {
		t.Fatal("an idle log was compacted")
	}
	w.write(1, batch.None, "e", "1")
	w.flush()
	w.now += 10
	w.c.Round(ctx)
	if got := w.check(); fmt.Sprint(got) != "map[a:[{2 2}] c:[{6 2}] d:[{5 1}] e:[{7 1}]]" || w.cleanedTo() != 8 {
		t.Fatal(got, w.cleanedTo())
	}
}

// TestModel: whatever is written, and however small the key map and the objects are, through restarts, moves, trims, and with ranges being merged
// under the compactor's hands: readers see the newest value of every key where it was written, in the end once, and producers go on.
func TestCompactorModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, always)
		defer func() { w.close() }()
		w.opt.MapBytes, w.opt.ObjectBytes, w.opt.ReadBytes = 1, rapid.Int64Range(1, 4000).Draw(t, "object bytes"), rapid.Int64Range(1, 4000).Draw(t, "read bytes")
		w.c.Close()
		w.c = StartCompactor(w.opt)
		w.between = func() {
			for range rapid.IntRange(0, 1).Draw(t, "merges between") {
				w.merge(rapid.IntRange(0, 3).Draw(t, "first"), rapid.IntRange(1, 3).Draw(t, "ranges"))
			}
		}
		serial := 0
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				var values []string
				for range rapid.IntRange(1, 30).Draw(t, "records") {
					serial++
					v := strconv.Itoa(serial)
					if rapid.IntRange(0, 4).Draw(t, "tombstone") == 0 {
						v = "deleted"
					}
					values = append(values, fmt.Sprint("k", rapid.IntRange(0, 150).Draw(t, "key")), v)
				}
				w.write(rapid.Int64Range(-1, 2).Draw(t, "producer"), batch.Codec(rapid.IntRange(0, 4).Draw(t, "codec")), values...)
			},
			"flush": func(*rapid.T) { w.flush() },
			"merge": func(t *rapid.T) {
				w.merge(rapid.IntRange(0, 5).Draw(t, "first"), rapid.IntRange(1, 5).Draw(t, "ranges"))
			},
			"clean": func(t *rapid.T) {
				w.now += rapid.Int64Range(2, 90).Draw(t, "ms")
				w.c.Round(ctx)
				w.check()
			},
			"reopen": func(t *rapid.T) {
				w.c.Close()
				if err := w.p.Stop(ctx); err != nil {
					t.Fatal(err)
				}
				w.flush()
				w.must(&meta.CloseStreams{Node: w.node, Closes: []meta.StreamClose{{Stream: w.open.Data.ID, Epoch: w.open.Data.Epoch, End: w.committed}, {Stream: w.open.Meta.ID, Epoch: w.open.Meta.Epoch}}})
				w.openPartition(w.open.Partition.LeaderEpoch)
			},
		})
		w.between = func() {}
		w.flush()
		w.now += 1000
		w.c.Round(ctx)
		got := w.check()
		for k, all := range got {
			if len(all) > 1 {
				t.Fatalf("key %s is there %d times: %v", k, len(all), all)
			}
		}
		if w.committed > 0 && w.cleanedTo() != w.committed {
			t.Fatalf("clean up to %d, the end is %d", w.cleanedTo(), w.committed)
		}
	})
}
