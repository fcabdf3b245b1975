package object

import (
	"hash/crc32"
	"testing"

	"sluice/base"
)

// FuzzTable feeds record tables with everything around them consistent: they parse into records that fill the block exactly, or are
// Corrupt.
func FuzzTable(f *testing.F) {
	f.Add([]byte{0, 1, 3, 2, 0, 0, 2, 2, 4, 1}, uint32(2), uint32(5), uint64(3))
	f.Add([]byte{0, 1, 0xff, 0xff, 3, 2, 0}, uint32(1), uint32(5), uint64(1<<63-1))
	f.Fuzz(func(t *testing.T, table []byte, records, data uint32, span uint64) {
		if data > 1<<16 || len(table) > 1<<16 {
			return
		}
		e := &Entry{Range: base.OffsetRange{Start: 5, End: 5 + base.Offset(span)}, Data: data, Records: records}
		items, err := parseTable(e, table, nil)
		if err != nil {
			if !base.IsKind(err, base.Corrupt) || len(items) != 0 {
				t.Fatal(err)
			}
			return
		}
		at, pos := e.Range.Start, uint32(0)
		for _, it := range items {
			if it.Range.Start < at || it.Range.Empty() || it.Pos != pos || it.Len == 0 {
				t.Fatalf("%+v after offset %d, byte %d", it, at, pos)
			}
			at, pos = it.Range.End, pos+it.Len
		}
		if at != e.Range.End || pos != data {
			t.Fatalf("records end at offset %d, byte %d", at, pos)
		}
	})
}

// FuzzIndex feeds indexes with a right CRC.
func FuzzIndex(f *testing.F) {
	e := Entry{Stream: 1, Range: base.OffsetRange{Start: 0, End: 3}, Pos: HeaderBytes, Size: 100, Data: 20, Records: 1}
	f.Add(e.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:len(b)/entryBytes*entryBytes]
		fo := Footer{Entries: uint32(len(b) / entryBytes), IndexCRC: crc32.Checksum(b, castagnoli), IndexPos: HeaderBytes + 100}
		if _, err := ParseIndex(fo, b); err != nil && !base.IsKind(err, base.Corrupt) {
			t.Fatal(err)
		}
	})
}
