package stream_test

import (
	"bytes"
	"context"
	"math"
	"testing"
	"testing/synctest"

	"sluice/base"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
	"sluice/storage/stream"
	"sluice/storage/stream/streamtest"
)

// cold writes a stream, uploads it, and returns a second engine that opened the stream, with nothing in memory.
func cold(t *testing.T, records, size, perBlock int, change func(*stream.Options)) (*rig, *stream.Stream) {
	r := newRig(t, nil)
	s := r.open(1)
	for range 4 {
		r.write(s, records/4, size, perBlock)
		must(t, r.Flush(context.Background()))
	}
	must(t, s.Close(context.Background()))
	r.Abandon()
	r2 := &rig{t: t, pool: r.pool, store: r.store, catalog: r.catalog, opt: r.opt}
	r2.node = r.catalog.Register(1)
	r2.opt.Node = r2.node
	if change != nil {
		change(&r2.opt)
	}
	r2.Engine = stream.New(r2.opt)
	r2.log = &streamtest.Log{Pool: r.pool, OnBlock: r2.OnBlock}
	r2.Start(r2.log)
	t.Cleanup(r2.Abandon)
	return r2, r2.open(1)
}

// TestColdRead reads a stream from objects, from every tenth offset and in sequence.
func TestColdRead(t *testing.T) {
	r, s := cold(t, 400, 3000, 7, nil)
	if _, ok, err := s.TryReadCached(0, 400, 1<<20, true); ok || err != nil {
		t.Fatal("read without I/O from an empty cache", ok, err)
	}
	for at := base.Offset(0); at < 400; at += 10 {
		r.check(s, at, min(at+20, 400), 3000)
	}
	r.check(s, 0, 400, 3000)
	if c, ok, err := s.TryReadCached(0, 400, 1<<20, true); !ok || err != nil {
		t.Fatal("not cached after reading", err)
	} else {
		c.Release()
	}
	r.write(s, 10, 3000, 5)
	r.check(s, 0, 410, 3000)
}

// TestReplaced: an object that a compaction replaced, and that is gone, is found under its new id by locating again (rules 31, 45).
func TestReplaced(t *testing.T) {
	r, s := cold(t, 40, 3000, 7, nil)
	ctx := context.Background()
	old := r.catalog.Committed()[0]
	body, err := r.store.Store.Get(ctx, object.Key(r.opt.Cluster, old), 0, -1, nil)
	must(t, err)
	must(t, r.store.Store.Delete(ctx, object.Key(r.opt.Cluster, old)))
	r.catalog.Fail = nil
	go func() {
		// The same records under another id: rewritten, because an object says who it is.
		f, _ := object.ParseFooter(body[len(body)-object.FooterBytes:], int64(len(body)))
		x, _ := object.ParseIndex(f, body[f.IndexPos:f.IndexPos+f.IndexBytes()])
		w := object.NewWriter(10, 1<<20)
		for i := range x.Entries {
			e := &x.Entries[i]
			blk := body[e.Pos:][:e.Size]
			items, _ := object.ParseBlock(e, blk, nil)
			for _, it := range items {
				w.Add(&object.Record{Stream: e.Stream, Epoch: e.Epoch, Base: it.Range.Start, Count: int32(it.Range.End - it.Range.Start), MaxTimestamp: it.MaxTimestamp, Data: blk[it.Pos:][:it.Len]}, nil)
			}
		}
		ids, _ := r.catalog.PrepareObjects(ctx, 1)
		out, size := w.Finish(object.Meta{Cluster: r.opt.Cluster, ID: ids[0]})
		if err := r.store.Store.Put(ctx, object.Key(r.opt.Cluster, ids[0]), out, driver.PutOptions{}); err != nil {
			t.Error(err)
		}
		r.catalog.Replace(old, ids[0], size)
	}()
	r.check(s, 0, 40, 3000)
}

// TestMissing: an object that the metadata goes on naming and that does not exist is an error, not a loop and not the end of data.
func TestMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := cold(t, 40, 3000, 7, nil)
		must(t, r.store.Store.Delete(context.Background(), object.Key(r.opt.Cluster, r.catalog.Committed()[1])))
		r.check(s, 0, 10, 3000)
		if _, err := s.Read(context.Background(), 10, 40, 1<<20, true); !base.IsKind(err, base.Corrupt) {
			t.Fatal(err)
		}
		if _, _, err := s.FindTimestamp(context.Background(), 15, 0, 40); !base.IsKind(err, base.Corrupt) {
			t.Fatal(err)
		}
		r.Abandon()
	})
}

// TestDeletedStream: reading a stream that was deleted says so.
func TestDeletedStream(t *testing.T) {
	r, s := cold(t, 40, 3000, 7, nil)
	r.catalog.Delete(1)
	if _, err := s.Read(context.Background(), 0, 40, 1<<20, true); !base.IsKind(err, base.NotFound) {
		t.Fatal(err)
	}
}

// TestCorruptObject: flipped bits are an error, never data.
func TestCorruptObject(t *testing.T) {
	r, s := cold(t, 4, 30_000, 1, nil)
	ctx := context.Background()
	key := object.Key(r.opt.Cluster, r.catalog.Committed()[0])
	body, err := r.store.Store.Get(ctx, key, 0, -1, nil)
	must(t, err)
	body[20_000]++
	must(t, r.store.Store.Put(ctx, key, [][]byte{body}, driver.PutOptions{}))
	if _, err := s.Read(ctx, 0, 4, 1<<20, true); !base.IsKind(err, base.Corrupt) {
		t.Fatal(err)
	}
}

// TestReadAhead: a sequential reader finds what it wants next in memory.
func TestReadAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := cold(t, 4000, 8192, 50, nil)
		at, waits := base.Offset(0), 0
		for at < 4000 {
			c, ok, err := s.TryReadCached(at, math.MaxInt64, 256<<10, true)
			must(t, err)
			if !ok {
				waits++
				c, err = s.Read(context.Background(), at, math.MaxInt64, 256<<10, true)
				must(t, err)
			}
			at = c.End
			c.Release()
			synctest.Wait()
		}
		if waits > 4 {
			t.Fatalf("a sequential reader of 32 MB waited %d times", waits)
		}
	})
}

// TestClipped: of an object only the range that the metadata names is read; the rest of what it holds of the stream is another object's.
func TestClipped(t *testing.T) {
	r := newRig(t, nil)
	s := r.open(1)
	r.write(s, 10, 3000, 10)
	must(t, r.Flush(context.Background()))
	must(t, s.Close(context.Background()))
	r.Abandon()
	w := object.NewWriter(10, 1<<20)
	for at := range base.Offset(10) {
		w.Add(&object.Record{Stream: 1, Base: at, Count: 1, Data: content(at+100, 3000)}, nil)
	}
	ids, err := r.catalog.PrepareObjects(context.Background(), 1)
	must(t, err)
	body, size := w.Finish(object.Meta{Cluster: r.opt.Cluster, ID: ids[0]})
	must(t, r.store.Put(context.Background(), object.Key(r.opt.Cluster, ids[0]), body, driver.PutOptions{}))

	node := r.catalog.Register(1)
	opt := r.opt
	opt.Node, opt.Catalog = node, &splitCatalog{r.catalog, 6, ids[0], size}
	e := stream.New(opt)
	defer e.Abandon()
	e.Start(&streamtest.Log{Pool: r.pool, OnBlock: e.OnBlock})
	s = e.Attach(r.catalog.Open(node, 1))
	r.check(s, 0, 6, 3000)
	for at := base.Offset(4); at < 10; {
		c, err := s.Read(context.Background(), at, 10, 1<<20, true)
		must(t, err)
		got := bytes.Join(c.Segments, nil)
		for ; at < c.End; at++ {
			want := content(at, 3000)
			if at >= 6 {
				want = content(at+100, 3000)
			}
			if !bytes.HasPrefix(got, want) {
				t.Fatalf("offset %d is read from the wrong object", at)
			}
			got = got[3000:]
		}
		c.Release()
	}
}

// splitCatalog says that from an offset on the stream lies in another object.
type splitCatalog struct {
	*streamtest.Catalog
	at   base.Offset
	id   base.ObjectID
	size int64
}

func (c *splitCatalog) Locate(ctx context.Context, id base.StreamID, from base.Offset, limit int) (stream.Location, error) {
	loc, err := c.Catalog.Locate(ctx, id, from, limit)
	if err != nil || len(loc.Objects) != 1 {
		return loc, err
	}
	first := loc.Objects[0]
	second := stream.ObjectRange{ID: c.id, Size: c.size, Range: base.OffsetRange{Start: c.at, End: first.Range.End}}
	first.Range.End = c.at
	loc.Objects = []stream.ObjectRange{first, second}
	if from >= c.at {
		loc.Objects = loc.Objects[1:]
	}
	return loc, nil
}
