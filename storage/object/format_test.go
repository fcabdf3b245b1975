package object

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"sluice/base"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/mem"
	"sluice/test/fixture"
)

// formatRecords is what the fixture holds: two streams, a gap, several epochs, so three blocks.
func formatRecords() []Record {
	return []Record{
		{Stream: 1, Epoch: 0, Base: 10, Count: 5, MaxTimestamp: 1000, Data: []byte("first")},
		{Stream: 1, Epoch: 0, Base: 17, Count: 1, MaxTimestamp: 900, Flags: 3, Data: []byte("behind a gap")},
		{Stream: 1, Epoch: 2, Base: 18, Count: 2, MaxTimestamp: -1, Data: []byte("another epoch")},
		{Stream: 7, Epoch: 1, Base: 1 << 40, Count: 1, MaxTimestamp: 5, Data: []byte("another stream")},
	}
}

func formatObject(id base.ObjectID) []byte {
	w := NewWriter(4, 100)
	for _, r := range formatRecords() {
		w.Add(&r, nil)
	}
	body, _ := w.Finish(Meta{Cluster: base.UUID{9}, ID: id, Kind: SSO, Node: 4, NodeEpoch: 5, Upload: 6})
	return slices.Concat(body...)
}

// An object as version 1 wrote it is read for ever.
func TestOldFormats(t *testing.T) {
	b := fixture.Bytes(t, "object-v1", func() []byte { return formatObject(42) })
	m, err := ParseHeader(b)
	if err != nil || m != (Meta{base.UUID{9}, 42, SSO, 4, 5, 6}) {
		t.Fatalf("%+v, %v", m, err)
	}
	store := mem.New()
	if err := store.Put(t.Context(), Key(base.UUID{9}, 42), [][]byte{b}, driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	x, err := ReadIndex(context.Background(), store, base.UUID{9}, 42, int64(len(b)))
	if err != nil || len(x.Entries) != 3 {
		t.Fatalf("%+v, %v", x, err)
	}
	want, n := formatRecords(), 0
	for i := range x.Entries {
		e := &x.Entries[i]
		items, err := ParseBlock(e, b[e.Pos:e.Pos+int64(e.Size)], nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range items {
			w := want[n]
			n++
			data := b[e.Pos+int64(it.Pos):][:it.Len]
			if e.Stream != w.Stream || e.Epoch != w.Epoch || it.Range != (base.OffsetRange{Start: w.Base, End: w.End()}) || it.MaxTimestamp != w.MaxTimestamp || it.Flags != w.Flags || !bytes.Equal(data, w.Data) {
				t.Errorf("record %d: %+v %q", n, it, data)
			}
		}
	}
	if n != len(want) {
		t.Errorf("%d records", n)
	}
}

// Without index and footer, and with a block damaged, Scan finds the other blocks as the index has them.
func TestScan(t *testing.T) {
	b := formatObject(42)
	f, err := ParseFooter(b[len(b)-FooterBytes:], int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	x, err := ParseIndex(f, b[f.IndexPos:f.IndexPos+f.IndexBytes()])
	if err != nil {
		t.Fatal(err)
	}
	if got := Scan(b[:f.IndexPos]); !slices.Equal(got, x.Entries) {
		t.Errorf("%+v, want %+v", got, x.Entries)
	}
	b[x.Entries[1].Pos] ^= 1
	if got := Scan(b); !slices.Equal(got, []Entry{x.Entries[0], x.Entries[2]}) {
		t.Errorf("%+v", got)
	}
}

// FuzzObject: whatever a header, a footer or a searched body holds, it is read or Corrupt.
func FuzzObject(f *testing.F) {
	f.Add(formatObject(42))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		if _, err := ParseHeader(b); err != nil && !base.IsKind(err, base.Corrupt) {
			t.Fatal(err)
		}
		if len(b) >= FooterBytes {
			if fo, err := ParseFooter(b[len(b)-FooterBytes:], int64(len(b))); err == nil && fo.IndexPos >= 0 && fo.Size() == int64(len(b)) {
				if _, err := ParseIndex(fo, b[fo.IndexPos:fo.IndexPos+fo.IndexBytes()]); err != nil && !base.IsKind(err, base.Corrupt) {
					t.Fatal(err)
				}
			}
		}
		at := int64(0)
		for _, e := range Scan(b) {
			if e.Pos < at || e.Pos+int64(e.Size) > int64(len(b)) {
				t.Fatalf("block at %d behind %d", e.Pos, at)
			}
			at = e.Pos + int64(e.Size)
		}
	})
}
