package cache_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"sluice/base"
	"sluice/storage/cache"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
)

// putSmall stores an object with a block of size bytes for each of the streams 1 to n.
func (r *rig) putSmall(id base.ObjectID, streams, size int) *object.Index {
	w := object.NewWriter(0, 0)
	for s := range streams {
		w.Add(&object.Record{Stream: base.StreamID(s + 1), Count: 1, Data: bytes.Repeat([]byte{byte(s), 0}, size/2)}, nil)
	}
	body, size64 := w.Finish(object.Meta{ID: id})
	if err := r.store.Put(context.Background(), object.Key(base.UUID{}, id), body, driver.PutOptions{}); err != nil {
		r.t.Fatal(err)
	}
	r.sizes[id] = size64
	return r.index(id)
}

// TestNeighbours: who reads all streams of objects needs as many GETs as their bytes are extents; who reads one stream of many brings along, and wastes, no more than the credit
// and a sixteenth of what he reads.
func TestNeighbours(t *testing.T) {
	const streams, size, objects, budget = 200, 100_000, 12, 64 << 20
	r := newRig(t, budget)
	r.store.gets.Store(0)
	for id := range base.ObjectID(objects) {
		x := r.putSmall(id+1, streams, size)
		for i := range x.Entries {
			r.get(x, i, 1<<20).Release()
		}
	}
	// 20 MB of each object lie in 5 extents of 4 MiB; its index takes one GET.
	if gets := r.store.gets.Load(); gets > objects*(1+6) {
		t.Errorf("%d GETs for %d objects of 20 MB, all of whose streams are read", gets, objects)
	}
	one := newRig(t, budget)
	gets, places := int32(0), []*object.Index{}
	for id := range base.ObjectID(200) {
		places = append(places, one.putSmall(id+1, 20, size))
	}
	one.store.gets.Store(0)
	one.store.read.Store(0)
	for _, x := range places {
		one.get(x, 10, 1<<20).Release()
		if n := one.store.gets.Load(); n != gets+1 {
			t.Fatalf("%d GETs for a block", n-gets)
		}
		gets = one.store.gets.Load()
	}
	if wasted := one.store.read.Load() - 200*size; wasted > budget+200*size/16+size || wasted < size {
		t.Errorf("%d bytes of neighbours were read in vain, of %d", wasted, 200*20*size)
	}
}

// TestPacks: streams that are small in an object take one GET for each of its packs, in whatever order they are wanted, and however many at a time.
func TestPacks(t *testing.T) {
	const streams, size = 200, 150_000 // 30 MB: five packs
	for _, at := range []int{1, 8, 64} {
		r := newRig(t, 128<<20)
		x := r.putSmall(1, streams, size)
		r.store.gets.Store(0)
		next, order := make(chan int, streams), rand.New(rand.NewPCG(1, uint64(at))).Perm(streams)
		for _, i := range order {
			next <- i
		}
		close(next)
		var readers sync.WaitGroup
		for range at {
			readers.Go(func() {
				for i := range next {
					b, err := r.Get(context.Background(), x, i, 1<<20)
					if err != nil {
						t.Error(err)
						return
					}
					b.Release()
				}
			})
		}
		readers.Wait()
		if gets := r.store.gets.Load(); gets > 5 {
			t.Errorf("%d GETs for five packs, %d streams wanted at a time", gets, at)
		}
	}
}

// TestPrefetchStaysInItsStream: what reading ahead brings of neighbours does not count as being ahead in the stream, whose reader would believe their offsets to be his.
func TestPrefetchStaysInItsStream(t *testing.T) {
	r := newRig(t, 64<<20)
	x := r.putSmall(1, 50, 100_000)
	var waste atomic.Int64
	if next, done := r.Prefetch(x, 20, 1<<20, 1<<20, &waste); next != 21 || !done {
		t.Errorf("it went on from block 20 to %d", next)
	}
	r.get(x, 30, 1).Release() // of the same pack
	if gets := r.store.gets.Load(); gets != 2 {
		t.Errorf("%d GETs, with one for the index", gets)
	}
}

// TestNothingTwice: a read of several extents leaves out those that are in memory.
func TestNothingTwice(t *testing.T) {
	r := newRig(t, 256<<20)
	r.put(1, 1, 30) // 15 MB
	x := r.index(1)
	for _, i := range []int{12, 0, 20} {
		r.get(x, i, 15<<20).Release()
	}
	if read := r.store.read.Load(); read > r.sizes[1]+64<<10 {
		t.Errorf("%d bytes were read of %d", read, r.sizes[1])
	}
}

// TestIndexWithBlocks: an object no larger than an extent comes by one GET with its index, where most of it is of him who wants it; of one of a few packs the last pack comes with it. Who says
// that he wants no blocks has the index alone. What is cached is not entered twice.
func TestIndexWithBlocks(t *testing.T) {
	for _, c := range []struct {
		name            string
		streams, blocks int
		wants           int64 // bytes of stream 1
		gets            int32 // for all blocks, index included
	}{{"whole", 1, 10, 5_000_000, 1}, {"index alone", 1, 10, 0, 2}, {"two packs", 20, 1, 500_000, 2}, {"many", 80, 1, 500_000, 7}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, 64<<20)
			r.put(1, c.streams, c.blocks)
			for range 2 {
				x, err := r.Index(context.Background(), 1, r.sizes[1], cache.Tail{Stream: 1, Bytes: c.wants})
				if err != nil {
					t.Fatal(err)
				}
				for i := range x.Entries {
					r.get(x, i, 8<<20).Release()
				}
			}
			if n := r.store.gets.Load(); n != c.gets {
				t.Errorf("%d GETs, want %d", n, c.gets)
			}
		})
	}
}

// TestPackOverCached: a block that is cached does not cut a pack in two.
func TestPackOverCached(t *testing.T) {
	r := newRig(t, 64<<20)
	x := r.putSmall(1, 50, 100_000)
	r.Warm(x, []int{20})
	r.get(x, 20, 1).Release()
	r.store.gets.Store(0)
	for i := range x.Entries {
		r.get(x, i, 1).Release()
	}
	if n := r.store.gets.Load(); n != 1 {
		t.Errorf("%d GETs for what is left of a pack", n)
	}
}
