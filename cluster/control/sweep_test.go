package control

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/base"
	"sluice/base/slab"
	"sluice/cluster/meta"
	"sluice/storage/object"
	"sluice/storage/objstore"
	"sluice/storage/objstore/fault"
	"sluice/storage/objstore/file"
	"sluice/storage/objstore/mem"
	"sluice/storage/slotlog"
	"sluice/storage/wal"
	"sluice/storage/wal/s3"
)

// litter is a cluster with everything that a bucket may hold, orphans of every kind among it.
type litter struct {
	t       *testing.T
	store   objstore.Store
	c       *Controller
	self    meta.NodeRef
	orphans []string     // keys that a sweep is to remove
	ahead   atomic.Int64 // of the controller's clock, nanoseconds
}

const day = 24 * time.Hour

// newLitter makes the cluster on a store. Its clock is a day ahead, so that everything is old.
func newLitter(t *testing.T, store objstore.Store) *litter {
	l := &litter{t: t, store: store}
	l.ahead.Store(int64(day))
	l.c = start(t, l.options(8, 256))
	l.self = l.register(base.NoNode)
	return l
}

func (l *litter) options(rollSlots uint64, snapshotBytes int64) Options {
	return Options{Store: l.store, Now: l.now, RollSlots: rollSlots, SnapshotBytes: snapshotBytes, PreparedMaxAge: 10 * day, SweepPagesPerSecond: 1e6}
}

func (l *litter) now() time.Time { return time.Now().Add(time.Duration(l.ahead.Load())) }

func (l *litter) register(reclaim base.NodeID) meta.NodeRef {
	return do[meta.Registered](l.t, l.c, &meta.Register{Incarnation: base.NewUUID(), Reclaim: reclaim, WAL: "s3"}).Node
}

func (l *litter) plant(key string, b []byte) {
	l.t.Helper()
	if err := l.store.Put(l.t.Context(), key, [][]byte{b}, objstore.PutOptions{}); err != nil {
		l.t.Fatal(err)
	}
}

func (l *litter) read(key string) []byte {
	l.t.Helper()
	b, err := l.store.Get(l.t.Context(), key, 0, -1, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return b
}

func (l *litter) cluster() base.UUID { return l.c.Image().ClusterID() }

// prepared returns a prepared object that is stored.
func (l *litter) prepared() (base.ObjectID, string) {
	id := do[meta.ObjectsPrepared](l.t, l.c, &meta.PrepareObjects{Node: l.self, Count: 1}).First
	l.plant(object.Key(l.cluster(), id), []byte("object"))
	return id, object.Key(l.cluster(), id)
}

// object leaves an object that came back after it was deleted.
func (l *litter) object() {
	id := do[meta.ObjectsPrepared](l.t, l.c, &meta.PrepareObjects{Node: l.self, Count: 1}).First
	do[meta.Worked](l.t, l.c, &meta.ExpireObjects{AgeMS: -1, Limit: 100})
	do[meta.Done](l.t, l.c, &meta.RemoveObjects{Objects: []base.ObjectID{id}})
	l.plant(object.Key(l.cluster(), id), []byte("late"))
	l.orphans = append(l.orphans, object.Key(l.cluster(), id))
}

// log leaves the log of a node epoch that is over, which got the slots from from to to last: slot 0 and the seal, and a slot that came back.
func (l *litter) log(from, to uint64) {
	victim := l.self
	log := s3.Slots(l.store, l.cluster(), victim.ID)
	l.slots(log, uint64(victim.Epoch), from, to)
	back := log.Key(uint64(victim.Epoch), to-1)
	b := l.read(back)
	l.self = l.register(l.self.ID)
	g := do[meta.Granted](l.t, l.c, &meta.GrantRescue{Victim: victim, Rescuer: l.self})
	opt, v := wal.Options{Cluster: l.cluster(), Pool: new(slab.Pool), Store: l.store}, wal.Victim{Node: victim.ID, Epoch: victim.Epoch}
	if _, err := wal.Seal(l.t.Context(), "s3", opt, v, g.Rescue.WALTrim, "test"); err != nil {
		l.t.Fatal(err)
	}
	do[meta.Done](l.t, l.c, &meta.CompleteRescue{Victim: victim, Grant: g.Rescue.Grant})
	if err := wal.Remove(l.t.Context(), "s3", opt, v); err != nil {
		l.t.Fatal(err)
	}
	do[meta.Done](l.t, l.c, &meta.ForgetRescue{Victim: victim})
	l.plant(back, b)
	l.orphans = append(l.orphans, back)
}

// trimmed leaves slot 3 of a log of six that is being written, trimmed up to 4 and deleted up to there.
func (l *litter) trimmed() {
	log, epoch := s3.Slots(l.store, l.cluster(), l.self.ID), uint64(l.self.Epoch)
	l.slots(log, epoch, 0, 6)
	do[meta.UploadDone](l.t, l.c, &meta.CommitUpload{Node: l.self, Number: 1, Trim: 4})
	if err := l.store.Delete(l.t.Context(), log.Key(epoch, 1), log.Key(epoch, 2)); err != nil {
		l.t.Fatal(err)
	}
	l.orphans = append(l.orphans, log.Key(epoch, 3))
}

// slots puts data slots [from, to).
func (l *litter) slots(log slotlog.Log, epoch, from, to uint64) {
	w := log.NewWriter(epoch, from, slotlog.WriterOptions{})
	defer w.Close()
	for range to - from {
		done := make(chan error, 1)
		w.Append([][]byte{[]byte("body")}, 1, func(_ uint64, err error) { done <- err })
		if err := <-done; err != nil {
			l.t.Fatal(err)
		}
	}
}

// meta lets the metadata log grow over several epochs and snapshots, and returns what brings a slot and a snapshot back that were trimmed.
func (l *litter) meta() (bringBack func()) {
	slot, old := "", ""
	var slotBytes, oldBytes []byte
	for i := 0; ; i++ {
		do[meta.TopicsCreated](l.t, l.c, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: fmt.Sprintf("t-%d", i), Partitions: 1}}})
		keys := l.list("meta/")
		if slot == "" && slices.Contains(keys, "meta/0000000000000000/0000000000000003") {
			slot = "meta/0000000000000000/0000000000000003"
			slotBytes = l.read(slot)
		}
		if i := slices.IndexFunc(keys, func(k string) bool { return strings.HasPrefix(k, "meta/snapshot/") }); old == "" && i >= 0 {
			old = keys[i]
			oldBytes = l.read(old)
		}
		if slot != "" && old != "" && !slices.Contains(keys, slot) && !slices.Contains(keys, old) {
			break
		}
	}
	return func() {
		l.plant(slot, slotBytes)
		l.plant(old, oldBytes)
		l.orphans = append(l.orphans, slot, old)
	}
}

func (l *litter) list(prefix string) (keys []string) {
	l.t.Helper()
	for info, err := range l.store.List(context.Background(), prefix, "") {
		if err != nil {
			l.t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// all leaves everything there is, and returns the keys that must stay. The controller is another one afterwards, which makes no snapshots: one
// that was under way would make more of the log needless while the keys are looked at. What the first one did not come to trim is swept.
func (l *litter) all() (stay []string) {
	bringBack := l.meta()
	l.c.Close()
	l.c = start(l.t, l.options(0, 0))
	if _, err := l.c.Sweep(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	l.log(0, 5)
	for range 3 {
		l.object()
	}
	probe := "probe/" + base.NewUUID().Hex() + "/b"
	l.plant(probe, []byte("second put"))
	l.orphans = append(l.orphans, probe)
	l.prepared()
	l.trimmed()
	l.plant(object.Key(l.cluster(), l.c.Image().NextObject()+5), []byte("younger than the image"))
	l.plant(object.Key(base.NewUUID(), 1), []byte("another cluster's"))
	l.plant("README", []byte("somebody else's"))
	bringBack()
	for _, k := range l.list("") {
		if !slices.Contains(l.orphans, k) {
			stay = append(stay, k)
		}
	}
	return stay
}

// A sweep removes orphans of every kind, and nothing else; a second one finds nothing.
func TestSweep(t *testing.T) {
	l := newLitter(t, mem.New())
	stay := l.all()
	s, err := l.c.Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Objects != 3 || s.Slots != 3 || s.Snapshots != 1 || s.Probes != 1 || s.Removed() != len(l.orphans) || s.Keys != len(stay)+len(l.orphans) {
		t.Errorf("%+v", s)
	}
	left := l.list("")
	for _, k := range l.orphans {
		if slices.Contains(left, k) {
			t.Errorf("orphan %s is still there", k)
		}
	}
	for _, k := range stay {
		if !slices.Contains(left, k) {
			t.Errorf("%s is gone", k)
		}
	}
	if s, err = l.c.Sweep(t.Context()); err != nil || s.Removed() != 0 {
		t.Errorf("the second sweep: %+v, %v", s, err)
	}
}

// What is younger than the grace stays, and so does everything of an epoch whose rescue is not over, also what lies below its trim.
func TestSweepGrace(t *testing.T) {
	l := newLitter(t, mem.New())
	l.all()
	l.ahead.Store(0)
	if s, err := l.c.Sweep(t.Context()); err != nil || s.Removed() != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	l.ahead.Store(int64(day))
	victim := l.self
	before := l.list(s3.Slots(l.store, l.cluster(), victim.ID).EpochPrefix(uint64(victim.Epoch)))
	do[meta.Done](t, l.c, &meta.FenceNode{Node: victim, Why: "test"})
	if s, err := l.c.Sweep(t.Context()); err != nil || s.Removed() != len(l.orphans)-1 {
		t.Errorf("%+v, %v", s, err)
	}
	if after := l.list(s3.Slots(l.store, l.cluster(), victim.ID).EpochPrefix(uint64(victim.Epoch))); !slices.Equal(before, after) || len(after) != 4 {
		t.Errorf("of the log of a node epoch that waits for its rescue %v is left, before it was %v", after, before)
	}
}

// TestSweepLatePuts: puts whose answer was lost happen after what they put was deleted, while a sweep runs and between sweeps. In the end
// nothing is left.
func TestSweepLatePuts(t *testing.T) {
	store := fault.New(mem.New(), 1)
	l := newLitter(t, store)
	for i := range 5 {
		id := do[meta.ObjectsPrepared](t, l.c, &meta.PrepareObjects{Node: l.self, Count: 1}).First
		store.SetRules(fault.Rule{Name: "late", Op: fault.Put, Prefix: object.Key(l.cluster(), id), Effect: fault.Late})
		if err := store.Put(t.Context(), object.Key(l.cluster(), id), [][]byte{[]byte("late")}, objstore.PutOptions{IfAbsent: true}); !base.IsKind(err, base.Undetermined) {
			t.Fatal(err)
		}
		store.SetRules()
		do[meta.Worked](t, l.c, &meta.ExpireObjects{AgeMS: -1, Limit: 100})
		if err := l.c.remove(t.Context(), []base.ObjectID{id}); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 { // this one comes between listing and deleting
			store.SetRules(fault.Rule{Name: "between", Op: fault.List, Times: 1, Before: func(fault.Op, string) { store.Deliver(context.Background(), 1) }})
		} else if store.Deliver(t.Context(), 1) != 1 {
			t.Fatal("nothing to deliver")
		}
		if _, err := l.c.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if store.Fired("late") != 5 || store.Pending() != 0 {
		t.Fatalf("late puts: %d fired, %d pending", store.Fired("late"), store.Pending())
	}
	if _, err := l.c.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, k := range l.list("") {
		if !strings.HasPrefix(k, "meta/") {
			t.Errorf("%s is left", k)
		}
	}
}

// TestSweepPauses: a sweeper that sleeps before any of its requests, while the cluster goes on under another controller: nodes die and are
// rescued, logs end, objects come and go, the metadata log is rolled and trimmed. It removes nothing that is needed then.
func TestSweepPauses(t *testing.T) {
	for at := 0; ; at++ {
		store := fault.New(mem.New(), 1)
		l := newLitter(t, store)
		l.all()
		must := make(chan map[string]int, 1)
		n := 0
		hit := fault.Rule{Name: "pause", Match: func(string) bool { n++; return n > at }, Times: 1, Before: func(fault.Op, string) {
			must <- l.goOn(t)
		}}
		store.SetRules(hit)
		_, err := l.c.Sweep(t.Context())
		store.SetRules()
		if store.Fired("pause") == 0 {
			if at < 20 {
				t.Fatalf("only %d requests were paused", at)
			}
			return
		}
		if err != nil && !base.IsKind(err, base.NotFound) {
			t.Fatalf("pause %d: %v", at, err)
		}
		needed := <-must // the request may have been one of the controller's own, beside the sweep: the others may be at it still
		left := l.list("")
		for k := range needed {
			if !slices.Contains(left, k) {
				t.Fatalf("a sweeper that slept before request %d removed %s", at, k)
			}
		}
		l.c.Close()
	}
}

// goOn has another controller take over and the cluster live on, and returns the keys that are needed afterwards.
func (l *litter) goOn(t *testing.T) map[string]int {
	other := &litter{t: t, store: l.store.(*fault.Store).Unwrap()}
	ctl, err := Start(context.Background(), Options{Store: other.store, Now: l.now, RollSlots: 8, SnapshotBytes: 256, PreparedMaxAge: 10 * day})
	if err != nil {
		t.Error(err)
		return nil
	}
	defer ctl.Close()
	other.c, other.self = ctl, l.self
	other.log(6, 8)
	other.meta2()
	other.object()
	_, prepared := other.prepared()
	other.slots(s3.Slots(other.store, other.cluster(), other.self.ID), uint64(other.self.Epoch), 0, 3)
	must := map[string]int{prepared: 1}
	snapshots := other.list("meta/snapshot/")
	for _, k := range snapshots[max(0, len(snapshots)-2):] {
		must[k] = 1
	}
	for _, k := range other.list("wal/") {
		if !slices.Contains(other.orphans, k) && !slices.Contains(l.orphans, k) {
			must[k] = 1
		}
	}
	for epoch := range ctl.epoch.Load() + 1 {
		must[slotlog.Log{Name: "meta"}.Key(epoch, 0)] = 1
	}
	return must
}

// meta2 lets the metadata log grow by two snapshots.
func (l *litter) meta2() {
	before := l.list("meta/snapshot/")
	for i := 0; ; i++ {
		do[meta.TopicsCreated](l.t, l.c, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: fmt.Sprintf("u-%d", i), Partitions: 1}}})
		fresh := slices.DeleteFunc(l.list("meta/snapshot/"), func(k string) bool { return slices.Contains(before, k) })
		if len(fresh) >= 2 {
			return
		}
	}
}

// Temporary files of puts that were cut off go too.
func TestSweepTidiesFiles(t *testing.T) {
	dir := t.TempDir()
	store, err := file.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	l := newLitter(t, store)
	for name, age := range map[string]time.Duration{"old": 2 * time.Hour, "new": 0} {
		path := filepath.Join(dir, ".tmp", name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := l.c.Sweep(t.Context()); err != nil || s.Temporary != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".tmp", "new")); err != nil {
		t.Errorf("the file of a put in progress is gone: %v", err)
	}
}

// A controller sweeps by itself, and stops at once.
func TestSweepsByItself(t *testing.T) {
	store := mem.New()
	l := newLitter(t, store)
	l.object()
	l.c.Close()
	c := start(t, Options{Store: store, Now: l.now, SweepEvery: time.Millisecond})
	for len(l.list(l.orphans[0])) > 0 {
		time.Sleep(time.Millisecond)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestSweepsRest: when the metadata stay as they are, two sweeps that find nothing are the last; a change begins anew.
func TestSweepsRest(t *testing.T) {
	var r restful
	for i, step := range []struct {
		pos   base.MetaPos
		clean bool
		sweep bool // it does
	}{{1, true, true}, {2, true, true}, {2, false, true}, {2, true, true}, {2, true, true}, {2, true, false}, {3, true, true}, {3, true, true}, {3, false, false}} {
		if rests := r.rests(step.pos); rests == step.sweep {
			t.Fatalf("step %d: rests %v", i, rests)
		}
		if step.sweep {
			r.swept(step.pos, step.clean)
		}
	}
}
