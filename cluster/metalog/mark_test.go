package metalog

import (
	"context"
	"strings"
	"testing"

	"sluice/base"
	"sluice/storage/objstore"
	"sluice/storage/objstore/fault"
	"sluice/storage/objstore/mem"
)

func countKeys(t *testing.T, store objstore.Store, prefix string) (n int) {
	t.Helper()
	for _, err := range store.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// The slots have a store of their own: snapshots and the mark go to the bucket, nothing else does, and the log behind them goes away.
func TestSlotsApart(t *testing.T) {
	slots, bucket := mem.New(), mem.New()
	h := open(t, slots, Options{Snapshots: bucket, SnapshotBytes: 1, RollSlots: 20})
	for i := range 100 {
		h.mustSubmit(t, config(i))
		if h.log.Full() {
			img, err := h.log.Roll(t.Context(), h.img)
			if err != nil {
				t.Fatal(err)
			}
			h.img = img
		}
		if i%25 == 24 {
			j := h.log.Snapshot(h.img)
			size, err := j.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			h.log.Finished(j, size, nil)
		}
	}
	if in, beside := countKeys(t, bucket, "meta/snapshot/"), countKeys(t, slots, "meta/snapshot/"); in != 2 || beside != 0 {
		t.Errorf("%d snapshots in the bucket, want 2; %d beside the slots, want 0", in, beside)
	}
	if n := countKeys(t, bucket, "meta/"); n != 3 {
		t.Errorf("%d objects in the bucket, want two snapshots and the mark", n)
	}
	if n := countKeys(t, slots, ""); n > 50 {
		t.Errorf("%d slots of 100 commands: nothing was trimmed", n)
	}
	again := open(t, slots, Options{Snapshots: bucket})
	if again.img.Pos() != h.img.Pos()+1 || again.img.ClusterID() != h.img.ClusterID() {
		t.Errorf("found position %d of cluster %s, want %d of %s", again.img.Pos(), again.img.ClusterID(), h.img.Pos()+1, h.img.ClusterID())
	}
}

// A bucket and a place of slots that do not belong together are refused, and nothing is created in either.
func TestPlacesThatDoNotBelongTogether(t *testing.T) {
	together, slots, bucket, otherSlots, otherBucket := mem.New(), mem.New(), mem.New(), mem.New(), mem.New()
	open(t, together, Options{})
	open(t, slots, Options{Snapshots: bucket})
	open(t, otherSlots, Options{Snapshots: otherBucket})
	for name, opt := range map[string]Options{
		"the log was in the bucket": {Store: mem.New(), Snapshots: together},
		"the log is elsewhere":      {Store: bucket},
		"the place is empty":        {Store: mem.New(), Snapshots: bucket},
		"another cluster's bucket":  {Store: slots, Snapshots: otherBucket},
		"another cluster's slots":   {Store: otherSlots, Snapshots: bucket},
	} {
		before := countKeys(t, opt.Store, "")
		if _, _, err := Open(t.Context(), opt); !base.IsKind(err, base.Invalid) || !strings.Contains(err.Error(), "meta") {
			t.Errorf("%s: %v; want an Invalid error", name, err)
		}
		if _, err := OpenReader(t.Context(), opt); !base.IsKind(err, base.Invalid) {
			t.Errorf("%s, a reader: %v; want an Invalid error", name, err)
		}
		if after := countKeys(t, opt.Store, ""); after != before {
			t.Errorf("%s: %d objects became %d", name, before, after)
		}
	}
}

// Two clusters are created at once with the same bucket and different places: one gets it, the other is refused.
func TestOneBucketOneCluster(t *testing.T) {
	a, b, inner := mem.New(), mem.New(), mem.New()
	var second *Log
	var failed error
	var bucket *fault.Store
	bucket = fault.New(inner, 1, fault.Rule{Name: "mark", Op: fault.Put, Prefix: "meta/place", Times: 1, Before: func(fault.Op, string) {
		second, _, failed = Open(t.Context(), Options{Store: b, Snapshots: inner})
	}})
	if _, _, err := Open(t.Context(), Options{Store: a, Snapshots: bucket}); !base.IsKind(err, base.Invalid) || bucket.Fired("mark") != 1 {
		t.Errorf("the slower one: %v", err)
	}
	if failed != nil {
		t.Fatalf("the faster one: %v", failed)
	}
	second.Close()
}

// A crash between slot 0 and the mark, or a lost answer to its put, leaves a cluster that goes on and marks the bucket.
func TestTheMarkIsMadeGood(t *testing.T) {
	slots, inner := mem.New(), mem.New()
	ctx, cancel := context.WithCancel(t.Context())
	bucket := fault.New(inner, 1, fault.Rule{Name: "crash", Op: fault.Put, Prefix: "meta/place", Effect: fault.Refuse, Before: func(fault.Op, string) { cancel() }})
	if _, _, err := Open(ctx, Options{Store: slots, Snapshots: bucket}); err == nil {
		t.Fatal("the mark was not put, and the log was handed out")
	}
	if n := countKeys(t, inner, ""); n != 0 {
		t.Fatalf("%d objects in the bucket", n)
	}
	bucket.SetRules(fault.Rule{Name: "lost", Op: fault.Put, Prefix: "meta/place", Times: 1, Effect: fault.LoseAnswer})
	h := open(t, slots, Options{Snapshots: bucket})
	m, found, err := Options{Store: slots, Snapshots: inner}.withDefaults().readMark(t.Context())
	if err != nil || !found || m.cluster != h.img.ClusterID() || m.place != slots.String() {
		t.Fatalf("mark %+v, %v, %v", m, found, err)
	}
	// From now on the bucket is asked, but not written to.
	bucket.SetRules(fault.Rule{Name: "put", Op: fault.Put, Effect: fault.Nothing})
	open(t, slots, Options{Snapshots: bucket})
	if n := bucket.Fired("put"); n != 0 {
		t.Errorf("%d puts into a marked bucket", n)
	}
}

func TestMarkCodec(t *testing.T) {
	want := mark{base.NewUUID(), "etcd://a:1,b:2/c"}
	got, err := decodeMark(want.encode())
	if err != nil || got != want {
		t.Fatalf("%+v became %+v, %v", want, got, err)
	}
	for _, bad := range []string{"", "x", string(want.encode()[1:]), string(want.encode()[:30]), markHead + "cluster x\nplace y\n"} {
		if _, err := decodeMark([]byte(bad)); !base.IsKind(err, base.Corrupt) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
