package cache_test

import (
	"bytes"
	"context"
	"testing"

	"sluice/base"
	"sluice/storage/cache"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
)

// TestExtentsFitTheStream: what a stream has in an object is read by as few GETs as its bytes are extents, wherever in the object it begins, and none brings a remnant.
func TestExtentsFitTheStream(t *testing.T) {
	const record = 250_000
	for _, c := range []struct {
		records int   // of the stream
		extent  int64 // bytes
		gets    int
		least   int // blocks of a GET, two records each
	}{
		{10, cache.ExtentMax, 1, 5},       // 2.4 MiB
		{40, cache.ExtentMax, 1, 20},      // 9.5 MiB: up to a quarter more than an extent is one
		{52, cache.ExtentMax, 2, 12},      // 12.4 MiB, not 8 and 4.4
		{52, 4 << 20, 3, 8},               // not 4, 4, 4 and 0.4
		{52, 6 << 20, 2, 12},              // not 6, 6 and 0.4
		{30, 2 << 20, 4, 3},               // 7.2 MiB
		{300, 2 << 20, 36, 4},             // 71.5 MiB: long enough that extents of a power of two do
		{300, cache.ExtentMax - 1, 18, 8}, // of 4 MiB: those of 8 do not fit
	} {
		r := newRig(t, 256<<20)
		w := object.NewWriter(0, 0)
		for stream, n := range []int{7, c.records, 5} {
			for k := range n {
				w.Add(&object.Record{Stream: base.StreamID(stream + 1), Base: base.Offset(k), Count: 1, Data: bytes.Repeat([]byte{byte(k)}, record)}, nil)
			}
		}
		body, size := w.Finish(object.Meta{ID: 1})
		if err := r.store.Put(context.Background(), object.Key(base.UUID{}, 1), body, driver.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		r.sizes[1] = size
		x := r.index(1)
		first, _ := x.Find(2, 0)
		gets, from := 0, first
		for i := first; x.Entries[i].Stream == 2; i++ {
			if !r.Has(x, i) {
				if i-from < c.least && gets > 0 {
					t.Errorf("%d records in extents of %d: one has %d blocks", c.records, c.extent, i-from)
				}
				gets, from = gets+1, i
			}
			b, err := r.GetExtent(context.Background(), x, i, c.extent, nil)
			if err != nil {
				t.Fatal(err)
			}
			b.Release()
		}
		if gets != c.gets {
			t.Errorf("%d records in extents of %d: %d GETs, %d would do", c.records, c.extent, gets, c.gets)
		}
		r.Close()
	}
}
