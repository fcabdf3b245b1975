package audit_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/base"
	"sluice/cluster/audit"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/storage/object"
	"sluice/storage/objstore/fault"
	"sluice/wire/batch"
)

func TestAllIsWell(t *testing.T) {
	w := filled(t, control.Options{})
	for _, deep := range []bool{false, true} {
		r := w.verify(audit.Options{Deep: deep})
		if !r.Well() || len(r.Findings) != 0 || r.Objects != 3 || r.Ranges != 6 || r.Streams != 6 || r.Slots < 6 {
			t.Errorf("deep %v: %+v", deep, r)
		}
		if deep != (r.Batches == 7) || deep != (r.Records == 60) || deep != (r.Blocks == 6) {
			t.Errorf("deep %v: %d blocks, %d batches, %d records", deep, r.Blocks, r.Batches, r.Records)
		}
	}
}

// TestFindings plants every kind of damage and wants exactly the finding that says so.
func TestFindings(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(w *world)
		deep  string // kinds found by a deep verification
		light string // and by one that is not
	}{
		{"object gone", func(w *world) { w.remove(w.key(1)) }, "missing object (error)", "missing object (error)"},
		{"object cut", func(w *world) { w.change(w.key(0), func(b []byte) []byte { return b[:len(b)-1] }) }, "size mismatch (error)", "size mismatch (error)"},
		{"footer", func(w *world) { w.change(w.key(0), flip(-20)) }, "damaged object (error)", "damaged object (error)"},
		{"index", func(w *world) { w.change(w.key(0), flip(-object.FooterBytes-10)) }, "damaged object (error)", "damaged object (error)"},
		{"header", func(w *world) { w.change(w.key(0), flip(40)) }, "damaged object (error)", ""},
		{"block", func(w *world) { w.change(w.key(0), flip(object.HeaderBytes+70)) }, "CRC error (error)", ""},
		{"another object's bytes", func(w *world) {
			b, _ := w.store.Get(w.t.Context(), w.key(2), 0, -1, nil)
			w.change(w.key(1), func(a []byte) []byte { return append(b, a...)[:len(a)] })
		}, "damaged object (error)", "damaged object (error)"},
		{"range larger than the object", func(w *world) {
			o := w.put(w.records(0, 10))
			o.Ranges[0].Range.End += 5
			w.commit(o)
		}, "range not covered (error)", "range not covered (error)"},
		{"gap between blocks", func(w *world) {
			a := w.records(0, 10)
			w.next[0] += 5
			b := w.records(0, 10)
			b.Flags, a.Data = 1, append(a.Data, make([]byte, object.BlockBytes-len(a.Data)-100)...) // two blocks
			o := w.put(a, b)
			o.Ranges = []meta.UploadRange{{Stream: a.Stream, Range: base.OffsetRange{Start: a.Base, End: b.End()}}}
			w.commit(o)
		}, "bad record (error), range not covered (error)", "range not covered (error)"},
		{"gap inside a block", func(w *world) {
			a := w.records(0, 10)
			w.next[0] += 5
			b := w.records(0, 10)
			o := w.put(a, b)
			o.Ranges = []meta.UploadRange{{Stream: a.Stream, Range: base.OffsetRange{Start: a.Base, End: b.End()}}}
			w.commit(o)
		}, "range not covered (error)", ""},
		{"range in another object", func(w *world) {
			a, b := w.put(w.records(0, 10)), w.put(w.records(1, 10))
			a.Ranges, b.Ranges = b.Ranges, a.Ranges
			w.commit(a, b)
		}, "range not covered (error), range not covered (error)", "range not covered (error), range not covered (error)"},
		{"record across a range's end", func(w *world) {
			r := w.records(0, 10)
			a, b := w.put(r), w.put(r)
			a.Ranges[0].Range.End, b.Ranges[0].Range.Start = r.Base+5, r.Base+5
			w.commit(a, b)
		}, "overlap (error), overlap (error)", ""},
		{"epoch", func(w *world) {
			r := w.records(0, 10)
			r.Epoch = 3
			o := w.put(r)
			o.Ranges[0].Epoch = 0
			w.commit(o)
		}, "wrong epoch (error)", "wrong epoch (error)"},
		{"batch of other offsets", func(w *world) {
			r := w.records(0, 10)
			b, _, _ := batch.Parse(r.Data)
			b.SetBaseOffset(1)
			w.commit(w.put(r))
		}, "bad record (error)", ""},
		{"batch CRC", func(w *world) {
			r := w.records(0, 10)
			r.Data = flip(-1)(r.Data)
			w.commit(w.put(r))
		}, "bad record (error)", ""},
		{"orphan object", func(w *world) { w.plant(object.Key(w.cluster(), w.expired()), []byte("late")) }, "orphan object (note)", "orphan object (note)"},
		{"object younger than the image", func(w *world) { w.plant(object.Key(w.cluster(), 1000), []byte("early")) }, "", ""},
		{"prepared object", func(w *world) { w.put(w.records(0, 1)) }, "", ""},
		{"foreign keys", func(w *world) {
			w.plant("README", nil)
			w.plant(object.Key(base.NewUUID(), 1), []byte("another cluster's"))
		}, "foreign key (note), foreign key (note)", "foreign key (note), foreign key (note)"},
		{"probe", func(w *world) { w.plant("probe/"+base.NewUUID().Hex()+"/a", []byte("first put")) }, "orphan object (note)", "orphan object (note)"},
		{"WAL slot gone", func(w *world) { w.remove(w.walKey(4)) }, "missing slot (error)", "missing slot (error)"},
		{"WAL slot 0 gone", func(w *world) { w.remove(w.walKey(0)) }, "missing slot (error)", "missing slot (error)"},
		{"WAL slot damaged", func(w *world) { w.change(w.walKey(5), flip(-3)) }, "damaged slot (error)", "damaged slot (error)"},
		{"WAL block damaged", func(w *world) { w.change(w.walKey(3), flip(90)) }, "damaged slot (error)", "damaged slot (error)"},
		{"WAL slot below the trim", func(w *world) { w.plant(w.walKey(1), []byte("resurrected")) }, "", ""},
		{"slots of a log that is over", func(w *world) {
			old := w.walKey(3)
			b, _ := w.store.Get(w.t.Context(), old, 0, -1, nil)
			w.rescued()
			w.plant(old, b)
		}, "orphan slot (note)", "orphan slot (note)"},
		{"seal of a log that is over", func(w *world) {
			seal := w.walKey(8)
			w.rescued()
			w.remove(seal)
		}, "missing slot (warning)", "missing slot (warning)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := filled(t, control.Options{})
			tc.spoil(w)
			for deep, want := range map[bool]string{true: tc.deep, false: tc.light} {
				if got := kinds(t, w.verify(audit.Options{Deep: deep})); got != want {
					t.Errorf("deep %v: found %q, want %q", deep, got, want)
				}
			}
		})
	}
}

func (w *world) walKey(slot uint64) string {
	return fmt.Sprintf("wal/%08x/%016x/%016x", uint32(w.self.ID), uint64(w.self.Epoch), slot)
}

// expired returns the id of an object that was prepared and then removed from the metadata.
func (w *world) expired() base.ObjectID {
	id := w.do(&meta.PrepareObjects{Node: w.self, Count: 1}).(*meta.ObjectsPrepared).First
	w.do(&meta.ExpireObjects{AgeMS: -1 << 40, Limit: 10})
	w.do(&meta.RemoveObjects{Objects: []base.ObjectID{id}})
	if _, ok := w.ctl.Image().Object(id); ok {
		w.t.Fatal("the object is still there")
	}
	return id
}

// rescued has the node's epoch end: fenced, sealed, rescued, its WAL removed.
func (w *world) rescued() {
	w.t.Helper()
	old := w.self
	w.wal.Close(w.t.Context())
	w.join()
	g := w.do(&meta.GrantRescue{Victim: old, Rescuer: w.self}).(*meta.Granted)
	opt := walOptions(w)
	victim := walVictim(old)
	if _, err := walSeal(w.t.Context(), opt, victim, g.Rescue.WALTrim); err != nil {
		w.t.Fatal(err)
	}
	w.do(&meta.CompleteRescue{Victim: old, Grant: g.Rescue.Grant})
	if err := walRemove(w.t.Context(), opt, victim); err != nil {
		w.t.Fatal(err)
	}
	w.do(&meta.ForgetRescue{Victim: old})
}

// TestOldOrphansAreWarnings: what should have been removed long ago is worth an exit code.
func TestOldOrphansAreWarnings(t *testing.T) {
	w := filled(t, control.Options{})
	w.plant(object.Key(w.cluster(), w.expired()), []byte("late"))
	later := func() time.Time { return time.Now().Add(2 * time.Hour) }
	if got := kinds(t, w.verify(audit.Options{Now: later})); got != "orphan object (warning)" {
		t.Errorf("found %q", got)
	}
}

// TestMetadataFindings: damage of the metadata log itself.
func TestMetadataFindings(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(w *world)
		want  string
	}{
		{"nothing", func(*world) {}, ""},
		{"newest snapshot", func(w *world) { w.change(w.snapshots()[1], flip(200)) }, "unreadable metadata (error)"},
		{"older snapshot", func(w *world) { w.change(w.snapshots()[0], flip(200)) }, "unreadable metadata (error)"},
		{"seal of an epoch", func(w *world) { w.remove(w.lastOf(0)) }, "missing slot (error)"},
		{"slot 0 of an epoch", func(w *world) { w.remove("meta/0000000000000001/0000000000000000") }, "missing slot (error)"},
		{"the last but one slot", func(w *world) { keys := w.epoch(w.ctl.Image().Controller().Epoch); w.remove(keys[len(keys)-2]) }, "missing slot (error)"},
		{"slot 0 of the last epoch", func(w *world) {
			w.remove(w.epoch(w.ctl.Image().Controller().Epoch)[0])
		}, "missing slot (error)"},
		{"damaged slot 0", func(w *world) { w.change("meta/0000000000000001/0000000000000000", flip(80)) }, "damaged slot (error)"},
		{"resurrected slot", func(w *world) {
			w.change("meta/0000000000000000/0000000000000000", func(b []byte) []byte {
				w.plant("meta/0000000000000000/0000000000000001", resign(w, b))
				return b
			})
		}, "orphan slot (note)"},
		{"everything but slot 0 of epoch 0", func(w *world) {
			for info, err := range w.store.List(w.t.Context(), "meta/", "meta/0000000000000000/0000000000000000") {
				if err != nil {
					w.t.Fatal(err)
				}
				w.change(info.Key, flip(-1))
			}
		}, "unreadable metadata (error)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := filled(t, control.Options{RollSlots: 8, SnapshotBytes: 512})
			for i := 0; ; i++ {
				epoch := w.ctl.Image().Controller().Epoch
				if len(w.snapshots()) < 2 || epoch < 4 || len(w.epoch(epoch)) < 4 {
					w.do(&meta.CreateTopics{Topics: []meta.NewTopic{{Name: fmt.Sprintf("more-%d", i), Partitions: 3}}})
					continue
				}
				if kinds(t, w.verify(audit.Options{})) == "" && w.ctl.Image().Controller().Epoch == epoch {
					break
				}
				time.Sleep(time.Millisecond) // the last snapshot still trims the log, or it rolls into another epoch
			}
			w.ctl.Close()
			tc.spoil(w)
			if got := kinds(t, w.verify(audit.Options{})); got != tc.want {
				t.Errorf("found %q, want %q", got, tc.want)
			}
		})
	}
}

func (w *world) snapshots() (keys []string) {
	for info, err := range w.store.List(w.t.Context(), "meta/snapshot/", "") {
		if err != nil {
			w.t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// lastOf returns the last slot of an epoch of the metadata log: its seal.
func (w *world) lastOf(epoch uint64) (key string) {
	keys := w.epoch(epoch)
	return keys[len(keys)-1]
}

// epoch returns the keys of an epoch of the metadata log.
func (w *world) epoch(epoch uint64) (keys []string) {
	for info, err := range w.store.List(w.t.Context(), fmt.Sprintf("meta/%016x/", epoch), "") {
		if err != nil {
			w.t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// TestBesideARunningCluster: objects that are replaced, trimmed and deleted while they are being looked at are no findings.
func TestBesideARunningCluster(t *testing.T) {
	for request := range 3 { // of those for that object: its index, its header, its blocks
		t.Run(fmt.Sprint(request), func(t *testing.T) {
			w := filled(t, control.Options{DeleteGrace: time.Millisecond, Tick: time.Millisecond})
			first, hit := w.key(0), atomic.Int32{}
			s := fault.New(w.store, 1, fault.Rule{Name: "trim", Op: fault.Get, Match: func(key string) bool { return key == first }, Skip: request, Times: 1, Before: func(fault.Op, string) {
				hit.Add(1)
				var trims []meta.StreamTrim
				for _, id := range w.data {
					trims = append(trims, meta.StreamTrim{Stream: id, Epoch: 0, Start: 10})
				}
				w.do(&meta.TrimStreams{Node: w.self, Trims: trims})
				for w.ctl.Image().DestroyingCount() > 0 {
					w.do(&meta.ReportApplied{Node: w.self, Pos: w.ctl.Image().Pos()})
					time.Sleep(time.Millisecond)
				}
			}})
			r := w.verify(audit.Options{Bucket: s, Deep: true})
			if hit.Load() != 1 {
				t.Fatal("the object was not looked at")
			}
			if !r.Well() || len(r.Findings) > 0 {
				t.Errorf("%+v", r.Findings)
			}
			if _, err := w.store.Stat(t.Context(), first); !base.IsKind(err, base.NotFound) {
				t.Errorf("the object is still there: %v", err)
			}
		})
	}
}

// TestResume: a verification that was interrupted goes on with what it has not seen, and still finds an object that went missing meanwhile.
func TestResume(t *testing.T) {
	w := filled(t, control.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	state := new(audit.State)
	_, err := audit.Verify(ctx, audit.Options{Bucket: w.store, Deep: true, Parallel: 1, State: state, Progress: func(p audit.Progress) {
		if p.Phase == "objects" && p.Objects == 2 {
			cancel()
		}
	}})
	if err == nil {
		t.Fatal("an interrupted verification has no error")
	}
	state, err = audit.ParseState(state.Encode())
	if err != nil {
		t.Fatal(err)
	}
	r := w.verify(audit.Options{Deep: true, State: state})
	if r.Skipped < 2 || r.Objects != 3 || r.Blocks == 0 && r.Skipped != 3 || !r.Well() {
		t.Errorf("%+v", r)
	}
	w.remove(w.key(0))
	if got := kinds(t, w.verify(audit.Options{Deep: true, State: state})); got != "missing object (error)" {
		t.Errorf("found %q", got)
	}
	if r := w.verify(audit.Options{State: &audit.State{Version: 1, Cluster: state.Cluster, Done: state.Done}, Deep: true}); r.Skipped != 0 {
		t.Error("what a run that was not deep saw counts for a deep one")
	}
	if _, err := audit.Verify(t.Context(), audit.Options{Bucket: w.store, State: &audit.State{Version: 1, Cluster: "another"}}); !base.IsKind(err, base.Invalid) {
		t.Errorf("the state of another cluster: %v", err)
	}
}

func TestNoCluster(t *testing.T) {
	if _, err := audit.Verify(t.Context(), audit.Options{Bucket: fault.New(emptyStore(), 1)}); !base.IsKind(err, base.NotFound) || !strings.Contains(err.Error(), "there is no cluster") {
		t.Errorf("%v", err)
	}
}
