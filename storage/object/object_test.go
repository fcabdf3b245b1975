package object_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/mem"
)

// records draws sorted records, some of them side by side in one buffer, with gaps between offsets, several streams and epochs.
func records(t *rapid.T) (recs []object.Record, buf []byte) {
	n := rapid.IntRange(1, 200).Draw(t, "records")
	big := rapid.SampledFrom([]int{10, 3000, 40_000, 700_000}).Draw(t, "largest")
	stream, epoch, at := base.StreamID(0), base.StreamEpoch(0), base.Offset(0)
	total := 0
	for range n {
		switch rapid.IntRange(0, 19).Draw(t, "next") {
		case 0:
			stream, epoch, at = stream+base.StreamID(rapid.IntRange(1, 3).Draw(t, "skip")), 0, 0
		case 1:
			epoch++
		case 2:
			at += base.Offset(rapid.Int64Range(0, 1<<40).Draw(t, "gap"))
		}
		if total > 4<<20 {
			big = 100
		}
		size := rapid.IntRange(1, big).Draw(t, "size")
		r := object.Record{Stream: stream, Epoch: epoch, Base: at, Count: int32(rapid.IntRange(1, 1<<31-1).Draw(t, "count")),
			MaxTimestamp: rapid.Int64().Draw(t, "ts"), Flags: uint8(rapid.IntRange(0, 255).Draw(t, "flags")), Data: make([]byte, size)}
		at = r.End()
		total += size
		recs = append(recs, r)
	}
	buf = make([]byte, total)
	rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	pos := 0
	for i := range recs {
		d := buf[pos : pos+len(recs[i].Data) : pos+len(recs[i].Data)]
		for k := range d {
			d[k] = byte(rnd.Uint32())
		}
		recs[i].Data = d
		pos += len(d)
	}
	return recs, buf
}

var meta = object.Meta{Cluster: base.NewUUID(), ID: 77, Kind: object.SSO, Node: 3, NodeEpoch: 9, Upload: 12}

func write(recs []object.Record, mem []byte) (body []byte, w *object.Writer) {
	w = object.NewWriter(len(recs), 0)
	for i := range recs {
		w.Add(&recs[i], mem)
	}
	segments, size := w.Finish(meta)
	body = bytes.Join(segments, nil)
	if int64(len(body)) != size {
		panic("size")
	}
	return body, w
}

// TestRoundTrip: what is written is read back, through index and tables, whatever the records; and a second Finish under another id
// differs in the ends only.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		recs, buf := records(t)
		var mm []byte
		if rapid.Bool().Draw(t, "known memory") {
			mm = buf
		}
		body, w := write(recs, mm)
		store := mem.New()
		if err := store.Put(context.Background(), object.Key(meta.Cluster, meta.ID), [][]byte{body}, driver.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		x, err := object.ReadIndex(context.Background(), store, meta.Cluster, meta.ID, int64(len(body)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := object.ParseHeader(body); err != nil || got != meta {
			t.Fatal(got, err)
		}
		compare(t, x, body, recs)
		checkRanges(t, w.Ranges(), recs)
		again, _ := w.Finish(object.Meta{ID: 5})
		if b := bytes.Join(again, nil); !bytes.Equal(b[object.HeaderBytes:len(b)-object.FooterBytes], body[object.HeaderBytes:len(body)-object.FooterBytes]) {
			t.Fatal("a second Finish gives other content")
		}
	})
}

func compare(t *rapid.T, x *object.Index, body []byte, recs []object.Record) {
	n := 0
	for i := range x.Entries {
		e := &x.Entries[i]
		if e.Size > object.BlockBytes && e.Records > 1 {
			t.Fatalf("block of %d bytes with %d records", e.Size, e.Records)
		}
		b := body[e.Pos : e.Pos+int64(e.Size)]
		items, err := object.ParseBlock(e, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range items {
			r := &recs[n]
			if e.Stream != r.Stream || e.Epoch != r.Epoch || it.Range.Start != r.Base || it.Range.End != r.End() || it.MaxTimestamp != r.MaxTimestamp ||
				it.Flags != r.Flags || !bytes.Equal(b[it.Pos:it.Pos+it.Len], r.Data) {
				t.Fatalf("record %d is not what was written", n)
			}
			if at, ok := x.Find(r.Stream, r.Base); !ok || at != i {
				t.Fatalf("Find(%d, %d) gives %d %v, want %d", r.Stream, r.Base, at, ok, i)
			}
			if at, ok := x.Find(r.Stream, r.End()-1); !ok || at != i {
				t.Fatalf("Find(%d, %d) gives %d %v, want %d", r.Stream, r.End()-1, at, ok, i)
			}
			n++
		}
	}
	if n != len(recs) {
		t.Fatalf("%d records, want %d", n, len(recs))
	}
	if _, ok := x.Find(recs[n-1].Stream, recs[n-1].End()); ok {
		t.Fatal("found something behind the end")
	}
}

func checkRanges(t *rapid.T, ranges []object.Range, recs []object.Record) {
	i := 0
	for _, r := range ranges {
		at, sum := r.Range.Start, int64(0)
		for ; i < len(recs) && recs[i].Stream == r.Stream && recs[i].Epoch == r.Epoch && recs[i].Base == at; i++ {
			at = recs[i].End()
			sum += int64(len(recs[i].Data))
		}
		if at != r.Range.End || sum != r.Bytes {
			t.Fatalf("range %+v ends at %d with %d bytes", r, at, sum)
		}
	}
	if i != len(recs) {
		t.Fatal("ranges do not cover the records")
	}
}

// TestFlippedBits: every single flipped bit of a small object is noticed by whoever reads the part it is in.
func TestFlippedBits(t *testing.T) {
	recs := []object.Record{
		{Stream: 1, Base: 0, Count: 3, Data: []byte("first")}, {Stream: 1, Base: 3, Count: 1, MaxTimestamp: 7, Data: []byte("second")},
		{Stream: 2, Epoch: 4, Base: 10, Count: 1, Data: []byte("third")},
	}
	body, _ := write(recs, nil)
	if err := verify(body); err != nil {
		t.Fatal(err)
	}
	for i := range body {
		for bit := range 8 {
			body[i] ^= 1 << bit
			if err := verify(body); !base.IsKind(err, base.Corrupt) {
				t.Fatalf("bit %d of byte %d flipped: %v", bit, i, err)
			}
			body[i] ^= 1 << bit
		}
	}
	for n := range body {
		if err := verify(body[:n]); !base.IsKind(err, base.Corrupt) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func verify(body []byte) error {
	if len(body) < object.HeaderBytes+object.FooterBytes {
		return base.Errorf(base.Corrupt, "short")
	}
	if _, err := object.ParseHeader(body); err != nil {
		return err
	}
	f, err := object.ParseFooter(body[len(body)-object.FooterBytes:], int64(len(body)))
	if err != nil {
		return err
	}
	x, err := object.ParseIndex(f, body[f.IndexPos:f.IndexPos+f.IndexBytes()])
	if err != nil {
		return err
	}
	for i := range x.Entries {
		e := &x.Entries[i]
		if _, err := object.ParseBlock(e, body[e.Pos:e.Pos+int64(e.Size)], nil); err != nil {
			return err
		}
	}
	return nil
}

// TestOrder: the writer panics on records out of order, overlapping or senseless (rule 37).
func TestOrder(t *testing.T) {
	first := object.Record{Stream: 5, Epoch: 2, Base: 10, Count: 5, Data: []byte("x")}
	for name, bad := range map[string]object.Record{
		"stream":     {Stream: 4, Epoch: 2, Base: 20, Count: 1, Data: []byte("x")},
		"overlap":    {Stream: 5, Epoch: 2, Base: 14, Count: 1, Data: []byte("x")},
		"epoch":      {Stream: 5, Epoch: 1, Base: 15, Count: 1, Data: []byte("x")},
		"no offsets": {Stream: 5, Epoch: 2, Base: 15, Count: 0, Data: []byte("x")},
		"no data":    {Stream: 5, Epoch: 2, Base: 15, Count: 1},
		"overflow":   {Stream: 5, Epoch: 2, Base: 1<<63 - 1, Count: 2, Data: []byte("x")},
	} {
		w := object.NewWriter(2, 10)
		w.Add(&first, nil)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			w.Add(&bad, nil)
		}()
	}
}

// TestSegments: records side by side in known memory become one segment, so that a block of thousands of tiny records is a few.
func TestSegments(t *testing.T) {
	buf := make([]byte, 100_000)
	w := object.NewWriter(1000, int64(len(buf)))
	for i := range 1000 {
		w.Add(&object.Record{Stream: 1, Base: base.Offset(i), Count: 1, Data: buf[i*100 : i*100+100 : i*100+100]}, buf)
	}
	body, _ := w.Finish(meta)
	if len(body) != 5 { // header, records, table, index, footer
		t.Fatalf("%d segments", len(body))
	}
}

// TestKey is a golden: keys are for ever.
func TestKey(t *testing.T) {
	var c base.UUID
	c[0] = 0xab
	got := fmt.Sprint(object.Key(c, 1), " ", object.Key(c, 2))
	if want := "9e/ab000000000000000000000000000000/0000000000000001 3c/ab000000000000000000000000000000/0000000000000002"; got != want {
		t.Fatal(got)
	}
}

// BenchmarkWrite makes the body of an object from 64 MiB of records: CRC and tables.
func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{100, 1000, 16 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			buf := make([]byte, 64<<20)
			n := len(buf) / size
			b.SetBytes(int64(n * size))
			b.ReportAllocs()
			for b.Loop() {
				w := object.NewWriter(n/64, int64(len(buf)))
				r := object.Record{Stream: 1, Count: 1, MaxTimestamp: 1_700_000_000_000}
				for i := range n {
					r.Data = buf[i*size : i*size+size : i*size+size]
					w.Add(&r, buf)
					r.Base++
				}
				w.Finish(meta)
			}
		})
	}
}

// BenchmarkRead verifies blocks and parses their tables.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{100, 16 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			buf := make([]byte, 8<<20)
			recs := make([]object.Record, len(buf)/size)
			for i := range recs {
				recs[i] = object.Record{Stream: 1, Base: base.Offset(i), Count: 1, Data: buf[i*size : (i+1)*size]}
			}
			body, _ := write(recs, buf)
			f, _ := object.ParseFooter(body[len(body)-object.FooterBytes:], int64(len(body)))
			x, _ := object.ParseIndex(f, body[f.IndexPos:f.IndexPos+f.IndexBytes()])
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				for i := range x.Entries {
					e := &x.Entries[i]
					if _, err := object.ParseBlock(e, body[e.Pos:e.Pos+int64(e.Size)], nil); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
