package main

import (
	"bytes"
	"testing"

	"sluice/base"
	"sluice/cluster/balance"
	"sluice/cluster/meta"
	"sluice/cluster/metalog"
	"sluice/storage/objstore/mem"
)

// tenth is a tenth of the brokers and partitions that `make scale` has: a broker has as much to do as there.
var tenth = size{brokers: 10, topics: 100, partitions: 100, ranges: 1000}

// grown returns a world in which topics were created so many at a time, and brokers uploaded three times, so many together.
func grown(t *testing.T, batch, together int) *world {
	t.Helper()
	w, err := newWorld(t.Context(), mem.New(), tenth)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.log.Close)
	w.keep = true
	for _, step := range []func() error{func() error { return w.create(batch) }, w.serve, func() error { return w.round(together) },
		func() error { return w.round(together) }, func() error { return w.round(together) }, func() error { return w.trim(2) }, w.compact} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func read(t *testing.T, w *world) *meta.Image {
	t.Helper()
	r, err := metalog.OpenReader(t.Context(), w.options())
	if err != nil {
		t.Fatal(err)
	}
	return r.Image()
}

// Every way to the image gives the same one: deciding, replaying the whole log, loading a snapshot, a snapshot and the log after it, and
// following slot by slot.
func TestReplayIsSnapshot(t *testing.T) {
	w := grown(t, 7, 3)
	want := w.img.AppendSnapshot(nil)
	same := func(how string, img *meta.Image) {
		t.Helper()
		if !bytes.Equal(img.AppendSnapshot(nil), want) {
			t.Errorf("%s gives another image", how)
		}
		for _, ref := range w.nodes {
			if img.Led(ref.ID) != w.img.Led(ref.ID) || img.OpenStreams(ref) != w.img.OpenStreams(ref) || img.Led(ref.ID) == 0 {
				t.Errorf("%s: node %d leads %d and has %d open, want %d and %d", how, ref.ID, img.Led(ref.ID), img.OpenStreams(ref), w.img.Led(ref.ID), w.img.OpenStreams(ref))
			}
		}
	}
	same("replaying the log", read(t, w))
	loaded, err := meta.LoadSnapshot(want)
	if err != nil {
		t.Fatal(err)
	}
	same("loading a snapshot", loaded)
	if _, err := w.snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	behind := len(w.entries)
	if err := w.round(1); err != nil {
		t.Fatal(err)
	}
	want = w.img.AppendSnapshot(want[:0])
	same("a snapshot and the log after it", read(t, w))
	for _, e := range w.entries[behind:] {
		if loaded, err = e.Apply(loaded); err != nil {
			t.Fatal(err)
		}
	}
	same("following", loaded)
}

// How commands were batched changes neither what they write nor what comes of it.
func TestSizesDoNotDependOnBatches(t *testing.T) {
	one, many := grown(t, 1, 1), grown(t, 50, 1)
	if one.bytes != many.bytes || one.img.Pos() != many.img.Pos() {
		t.Errorf("%d bytes, %d records one by one; %d bytes, %d records in batches", one.bytes, one.img.Pos(), many.bytes, many.img.Pos())
	}
	if one.slots <= many.slots {
		t.Errorf("%d and %d slots: nothing was batched", one.slots, many.slots)
	}
	if a, b := secretless(one.img), secretless(many.img); !bytes.Equal(a, b) {
		t.Errorf("snapshots of %d and %d bytes differ", len(a), len(b))
	}
	// Ids of objects are handed out in another order when prepares share a slot; nothing else may change.
	together := grown(t, 1, 10)
	if a, b := len(one.img.AppendSnapshot(nil)), len(together.img.AppendSnapshot(nil)); one.bytes != together.bytes || a != b {
		t.Errorf("%d bytes of log and %d of snapshot one by one, %d and %d together", one.bytes, a, together.bytes, b)
	}
}

// secretless returns the snapshot of an image with the drawn secret blanked.
func secretless(img *meta.Image) []byte {
	b := img.AppendSnapshot(nil)
	secret := img.Secret()
	return bytes.Replace(b, secret[:], make([]byte, len(secret)), 1)
}

// A node that dies loses all it leads, and everything finds a place, evenly.
func TestFailover(t *testing.T) {
	w := grown(t, 50, 10)
	f, err := w.failover(3)
	if err != nil {
		t.Fatal(err)
	}
	if f.orphans != tenth.total()/tenth.brokers {
		t.Errorf("%d orphans", f.orphans)
	}
	if left := balance.Orphans(w.img); left != nil {
		t.Errorf("%d partitions are left", len(left))
	}
	low, high := tenth.total(), 0
	for i, ref := range w.nodes {
		if n := w.img.Led(ref.ID); i == 3 && n != 0 {
			t.Errorf("the dead node leads %d", n)
		} else if i != 3 {
			low, high = min(low, n), max(high, n)
		}
	}
	if high-low > 10 { // a hundredth; the placement lets topics and zones decide where loads are about equal
		t.Errorf("from %d to %d partitions per node", low, high)
	}
	for n := range w.img.Nodes() {
		if n.ID == base.NoNode || n.Fenced != (n.ID == w.nodes[3].ID) {
			t.Errorf("node %d, fenced %v", n.ID, n.Fenced)
		}
	}
}
