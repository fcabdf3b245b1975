package clean

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

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

	txns map[int64]bool // producers in a transaction

	// between is called before each commit of the compactor.
	between func(context.Context)
	lost    map[base.ObjectID]bool // removed from the bucket
}

func newWorld(t fataler, overrides map[string]string) *world {
	img, err := meta.Empty().Apply(0, []meta.Record{meta.CreateCluster(base.NewUUID(), [32]byte{}, 1)})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, img: img, store: mem.New(), wal: &memlog.WAL{}, now: 1000, sequence: map[int64]int32{}, between: func(context.Context) {}, txns: map[int64]bool{}, lost: map[base.ObjectID]bool{}}
	w.data, w.meta = w.wal.New(0), w.wal.New(0)
	w.stop = w.wal.Auto()
	w.node = w.must(&meta.Register{Incarnation: base.NewUUID(), Reclaim: base.NoNode, Name: "n", WAL: "mem://"}).(*meta.Registered).Node
	w.topic = w.must(&meta.CreateTopics{Topics: []meta.NewTopic{{Name: "t", Partitions: 1}}}).(*meta.TopicsCreated).Topics[0].ID
	overrides = maps.Clone(overrides)
	if overrides["cleanup.policy"] == "" {
		overrides["cleanup.policy"] = "compact"
	}
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

func (w *world) CommitCompaction(ctx context.Context, c compact.Commit) (out []compact.Verdict, err error) {
	w.between(ctx)
	if ctx.Err() != nil {
		return nil, base.Wrap(base.Unavailable, ctx.Err())
	}
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
	txn := producer >= transactional
	w.txns[producer] = w.txns[producer] || txn
	b := batch.NewBuilder(batch.Options{Idempotent: producer >= 0, ProducerID: producer, BaseSequence: w.sequence[producer], Codec: codec, Transactional: txn})
	for i := 0; i < len(values); i += 2 {
		r := batch.Record{Timestamp: w.now, Key: []byte(values[i]), Value: []byte(values[i+1])}
		if values[i+1] == "deleted" {
			r.Value = nil
		}
		b.Add(r)
		w.all = append(w.all, &written{key: values[i], value: values[i+1], producer: producer, open: txn})
	}
	w.sequence[producer] += int32(len(values) / 2)
	req := partition.AppendRequest{Batch: b.Bytes(), Transactional: true}
	if txn {
		req.Guard, _ = w.p.Verify(producer, 0, w.sequence[producer]-int32(len(values)/2), false)
	}
	w.append(req)
}

func (w *world) append(req partition.AppendRequest) {
	done := make(chan error, 1)
	w.p.Append(req, func(r partition.AppendResult) { done <- r.Err })
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
}

// transactional is the first producer that writes in transactions.
const transactional = 10

// end ends the transaction of a producer, if it is in one.
func (w *world) end(producer int64, commit bool) {
	if !w.txns[producer] {
		return
	}
	delete(w.txns, producer)
	w.append(partition.AppendRequest{Batch: batch.AppendMarker(nil, batch.Marker{Commit: commit}, producer, 0, w.now), Origin: partition.Coordinator})
	for _, x := range w.all {
		if x.open && x.producer == producer {
			x.open, x.aborted = false, !commit
		}
	}
	w.all = append(w.all, &written{key: "a marker", aborted: true})
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
			if b.IsControl() {
				continue
			}
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
		if !x.aborted {
			want[x.key] = seen{int64(i), x.value}
		}
	}
	got := w.read()
	clean := int64(w.cleanedTo())
	for k := range got {
		got[k] = slices.DeleteFunc(got[k], func(s seen) bool {
			if w.all[s.offset].aborted && s.offset < clean {
				w.t.Fatalf("offset %d is of an aborted transaction, and the log is clean up to %d", s.offset, clean)
			}
			return w.all[s.offset].aborted
		})
	}
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
