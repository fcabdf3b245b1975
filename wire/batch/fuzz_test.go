package batch

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzBatch: no input makes Parse, Check or Records panic, allocate beyond the cap or run on; and a batch whose records parse
// keeps them when it is recompressed.
func FuzzBatch(f *testing.F) {
	names, err := filepath.Glob("testdata/*.batch")
	if err != nil || len(names) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	for _, codec := range codecs {
		b := NewBuilder(Options{Codec: codec})
		b.Add(Record{Key: []byte("k"), Value: bytes.Repeat([]byte("v"), 50), Headers: []Header{{"h", nil}}})
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		b, rest, err := Parse(in)
		if err != nil {
			return
		}
		if b.Len()+len(rest) != len(in) {
			t.Fatal("bytes lost")
		}
		b = Batch{bytes.Clone(b.b)}
		_ = b.Check()
		b.sealCRC() // so that the fuzzer gets past the CRC
		if b.Check() != nil {
			return
		}
		lim := Limits{Bytes: 1 << 20}
		var before []Record
		for r, err := range b.Records(lim) {
			if err != nil {
				return
			}
			before = append(before, clone(r))
		}
		if len(before) != int(b.NumRecords()) {
			t.Fatalf("%d records, header says %d", len(before), b.NumRecords())
		}
		_, _ = b.Marker()
		nb, err := Recompress(b, LZ4, 0, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		compareRecords(t, before, collect(t, nb, lim))
	})
}
