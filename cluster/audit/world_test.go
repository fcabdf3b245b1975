package audit_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"sluice/base"
	"sluice/base/slab"
	"sluice/cluster/audit"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/mem"
	"sluice/storage/slotlog"
	"sluice/storage/wal"
	"sluice/wire/batch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a cluster of which there is only what is stored: one node with a WAL of class s3, a topic, and objects that were made by hand.
type world struct {
	t       *testing.T
	store   *mem.Store
	ctl     *control.Controller
	self    meta.NodeRef
	wal     wal.Log
	pool    *slab.Pool
	topic   base.UUID
	data    []base.StreamID
	upload  uint64
	next    []base.Offset // of each partition
	objects []base.ObjectID
	trim    base.WALPos
}

func newWorld(t *testing.T, opt control.Options) *world {
	w := &world{t: t, store: mem.New(), pool: new(slab.Pool)}
	opt.Store = w.store
	ctl, err := control.Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	w.ctl = ctl
	w.join()
	topic := w.do(&meta.CreateTopics{Topics: []meta.NewTopic{{Name: "t", Partitions: 3}}}).(*meta.TopicsCreated).Topics[0].ID
	w.topic = topic
	open := &meta.OpenPartitions{Node: w.self, ServeEmpty: true}
	for i := range int32(3) {
		open.Partitions = append(open.Partitions, meta.OpenPartition{Partition: meta.PartitionID{Topic: topic, Index: i}, Expected: -1})
	}
	for _, p := range w.do(open).(*meta.PartitionsOpened).Partitions {
		w.data, w.next = append(w.data, p.Data.ID), append(w.next, 0)
	}
	t.Cleanup(func() {
		w.wal.Close(context.Background())
		ctl.Close()
	})
	return w
}

// join registers the node under a new epoch, with a new WAL.
func (w *world) join() {
	reclaim := base.NoNode
	if w.self.ID != 0 {
		reclaim = w.self.ID
	}
	w.self = w.do(&meta.Register{Incarnation: base.NewUUID(), Reclaim: reclaim, Name: "n", WAL: "s3"}).(*meta.Registered).Node
	log, err := wal.Create(w.t.Context(), "s3", wal.Options{Cluster: w.cluster(), Node: w.self.ID, Epoch: w.self.Epoch, Pool: w.pool, Store: w.store, PutsPerSecond: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	w.wal, w.upload, w.trim = log, 0, 0
}

func (w *world) cluster() base.UUID { return w.ctl.Image().ClusterID() }

func (w *world) do(cmd meta.Command) meta.Result {
	w.t.Helper()
	res, err := w.ctl.Submit(w.t.Context(), cmd)
	if err != nil {
		w.t.Fatalf("%T: %v", cmd, err)
	}
	return res
}

// records is a batch of n records for a partition from its next offset on.
func (w *world) records(p, n int) object.Record {
	b := batch.NewBuilder(batch.Options{BaseOffset: int64(w.next[p])})
	for i := range n {
		b.Add(batch.Record{Key: []byte("k"), Value: fmt.Appendf(nil, "%d/%d", p, int(w.next[p])+i), Timestamp: 1000})
	}
	r := object.Record{Stream: w.data[p], Base: w.next[p], Count: int32(n), MaxTimestamp: 1000, Data: b.Bytes()}
	w.next[p] += base.Offset(n)
	return r
}

// put makes an object of the records and stores it; the object is returned as its commit is to name it.
func (w *world) put(records ...object.Record) meta.UploadObject {
	w.t.Helper()
	ow := object.NewWriter(len(records), 0)
	for i := range records {
		ow.Add(&records[i], nil)
	}
	id := w.do(&meta.PrepareObjects{Node: w.self, Count: 1}).(*meta.ObjectsPrepared).First
	body, size := ow.Finish(object.Meta{Cluster: w.cluster(), ID: id, Node: w.self.ID, NodeEpoch: w.self.Epoch, Upload: w.upload + 1})
	if err := w.store.Put(w.t.Context(), object.Key(w.cluster(), id), body, driver.PutOptions{IfAbsent: true}); err != nil {
		w.t.Fatal(err)
	}
	out := meta.UploadObject{ID: id, Size: size}
	for _, r := range ow.Ranges() {
		out.Ranges = append(out.Ranges, meta.UploadRange(r))
	}
	return out
}

// commit commits objects as one upload.
func (w *world) commit(objects ...meta.UploadObject) {
	w.t.Helper()
	w.upload++
	w.do(&meta.CommitUpload{Node: w.self, Number: w.upload, Trim: w.trim, Objects: objects})
	for _, o := range objects {
		w.objects = append(w.objects, o.ID)
	}
}

// write appends n blocks to the WAL, each of a record of partition 0 that is never committed.
func (w *world) write(n int) {
	w.t.Helper()
	for range n {
		done := make(chan error, 1)
		w.wal.Append(wal.Record{Stream: w.data[0], Base: 1000, Count: 1, Data: []byte("bytes")}, func(err error) { done <- err })
		if err := <-done; err != nil {
			w.t.Fatal(err)
		}
	}
}

// filled is a world with three objects in two uploads, of 60 records, and a WAL of eight blocks trimmed to 2.
func filled(t *testing.T, opt control.Options) *world {
	w := newWorld(t, opt)
	w.write(8)
	w.commit(w.put(w.records(0, 10), w.records(1, 10), w.records(2, 10)))
	w.trim = 2
	w.commit(w.put(w.records(0, 5), w.records(0, 5)), w.put(w.records(1, 10), w.records(2, 10)))
	if err := w.wal.Trim(t.Context(), w.trim); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) key(i int) string { return object.Key(w.cluster(), w.objects[i]) }

// change replaces the bytes of an object by what f makes of them.
func (w *world) change(key string, f func([]byte) []byte) {
	w.t.Helper()
	b, err := w.store.Get(w.t.Context(), key, 0, -1, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.plant(key, f(slices.Clone(b)))
}

func (w *world) plant(key string, b []byte) {
	w.t.Helper()
	if err := w.store.Put(w.t.Context(), key, [][]byte{b}, driver.PutOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(keys ...string) {
	w.t.Helper()
	for _, k := range keys {
		if _, err := w.store.Stat(w.t.Context(), k); err != nil {
			w.t.Fatalf("what is to be removed is not there: %v", err)
		}
	}
	if err := w.store.Delete(w.t.Context(), keys...); err != nil {
		w.t.Fatal(err)
	}
}

// flip changes one bit of the byte at i, from the end if i is negative.
func flip(i int) func([]byte) []byte {
	return func(b []byte) []byte {
		if i < 0 {
			b[len(b)+i] ^= 1
		} else {
			b[i] ^= 1
		}
		return b
	}
}

func (w *world) verify(opt audit.Options) *audit.Report {
	w.t.Helper()
	if opt.Bucket == nil {
		opt.Bucket = w.store
	}
	r, err := audit.Verify(w.t.Context(), opt)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// kinds returns the kinds of the findings, ascending, and fails on one without advice.
func kinds(t *testing.T, r *audit.Report) string {
	t.Helper()
	var out []string
	for _, f := range r.Findings {
		if f.Advice == "" || f.Detail == "" || f.Severity == "" {
			t.Errorf("a finding with nothing to say: %+v", f)
		}
		out = append(out, fmt.Sprintf("%s (%s)", f.Kind, f.Severity))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func walOptions(w *world) wal.Options {
	return wal.Options{Cluster: w.cluster(), Pool: w.pool, Store: w.store}
}

func walVictim(ref meta.NodeRef) wal.Victim { return wal.Victim{Node: ref.ID, Epoch: ref.Epoch} }

func walSeal(ctx context.Context, opt wal.Options, v wal.Victim, from base.WALPos) (base.WALPos, error) {
	return wal.Seal(ctx, "s3", opt, v, from, "test")
}

func walRemove(ctx context.Context, opt wal.Options, v wal.Victim) error {
	return wal.Remove(ctx, "s3", opt, v)
}

func emptyStore() *mem.Store { return mem.New() }

// resign makes of slot 0 of epoch 0 of the metadata log a data slot 1 with the right checksum.
func resign(w *world, b []byte) []byte {
	store := mem.New()
	log := slotlog.Log{Store: store, Cluster: w.cluster(), Name: "meta"}
	wr := log.NewWriter(0, 1, slotlog.WriterOptions{})
	done := make(chan error, 1)
	wr.Append([][]byte{b}, 1, func(_ uint64, err error) { done <- err })
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
	wr.Close()
	out, err := store.Get(w.t.Context(), log.Key(0, 1), 0, -1, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}
