package block

import (
	"bytes"
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"

	"sluice/base"
)

// encode builds a block the way the group commit does.
func encode(h Header, records []Record) []byte {
	b := make([]byte, HeaderBytes)
	for _, r := range records {
		b = append(b, r.Data...)
	}
	h.DataBytes = uint32(len(b) - HeaderBytes)
	table := len(b)
	for _, r := range records {
		b = AppendEntry(b, &r, Sum(r.Data))
	}
	h.Records, h.TableBytes, h.TableCRC = uint32(len(records)), uint32(len(b)-table), Sum(b[table:])
	h.Put(b)
	return b
}

func drawRecords(t *rapid.T) []Record {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Record {
		return Record{Stream: base.StreamID(rapid.Uint64().Draw(t, "stream")), Epoch: base.StreamEpoch(rapid.Int32().Draw(t, "epoch")),
			Base: base.Offset(rapid.Int64Min(0).Draw(t, "base")), Count: rapid.Int32Min(1).Draw(t, "count"),
			MaxTimestamp: rapid.Int64().Draw(t, "timestamp"), Flags: rapid.Uint8().Draw(t, "flags"), Data: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data")}
	}), 0, 20).Draw(t, "records")
}

func TestRoundTripAndDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := drawRecords(t)
		want := Header{Cluster: base.UUID{1}, Node: -1, Epoch: 1 << 40, Pos: 9, Durable: 9, Segment: 3, Prev: 77}
		b := encode(want, records)
		h, err := Parse(b)
		if err != nil || h.Cluster != want.Cluster || h.Node != -1 || h.Epoch != want.Epoch || h.Pos != 9 || h.Durable != 9 || h.Segment != 3 || h.Prev != 77 || h.Size() != len(b) {
			t.Fatalf("got %+v, %v", h, err)
		}
		back, err := Records(&h, b)
		if err != nil || len(back) != len(records) {
			t.Fatal(err)
		}
		for i, r := range back {
			if w := records[i]; !bytes.Equal(r.Data, w.Data) || r.Stream != w.Stream || r.Epoch != w.Epoch || r.Base != w.Base || r.Count != w.Count || r.MaxTimestamp != w.MaxTimestamp || r.Flags != w.Flags {
				t.Fatalf("got %+v, want %+v", r, w)
			}
		}
		at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		b[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if h, err := Parse(b); err == nil {
			_, err = Records(&h, b)
			if !base.IsKind(err, base.Corrupt) {
				t.Fatalf("a changed bit in byte %d: %v", at, err)
			}
		} else if !base.IsKind(err, base.Corrupt) {
			t.Fatalf("a changed bit in byte %d: %v", at, err)
		}
	})
}

func TestVersions(t *testing.T) {
	b := encode(Header{}, nil)
	b[8] = 2
	le.PutUint32(b[crcAt:], Sum(b[:crcAt]))
	if _, err := Parse(b); !base.IsKind(err, base.Invalid) {
		t.Fatalf("a later version: %v", err)
	}
}

// TestFormat: the bytes stay what docs/formats.md says.
func TestFormat(t *testing.T) {
	b := encode(Header{Cluster: base.UUID{0xc1, 15: 0xc2}, Node: 5, Epoch: 6, Pos: 7, Durable: 4, Segment: 2, Prev: 0xa1a2a3a4},
		[]Record{{Stream: 8, Epoch: 9, Base: 10, Count: 11, MaxTimestamp: 12, Flags: 13, Data: []byte("sluice")}})
	const want = "534c5549434557420100" + "00" + "00" + "c10000000000000000000000000000c2" + "05000000" + "0600000000000000" + "0700000000000000" + "0400000000000000" +
		"0200000000000000" + "a4a3a2a1" + "01000000" + "06000000" + "2c000000" + "269c7929"
	if got := hex.EncodeToString(b[:84]); got != want {
		t.Errorf("header\n%s, want\n%s", got, want)
	}
	const entry = "0800000000000000" + "0a00000000000000" + "0c00000000000000" + "09000000" + "0b000000" + "06000000" + "00000000" + "0d000000"
	if got := hex.EncodeToString(b[HeaderBytes+6:]); got[:72] != entry[:72] || got[80:] != entry[80:] {
		t.Errorf("entry\n%s, want\n%s", got, entry)
	}
}

func FuzzBlock(f *testing.F) {
	f.Add(encode(Header{}, nil))
	f.Add(encode(Header{Pos: 3, Durable: 1}, []Record{{Count: 1, Data: []byte("one")}, {Count: 2, Data: []byte("two")}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= HeaderBytes { // let it past the CRC of the header
			le.PutUint32(b[crcAt:], Sum(b[:crcAt]))
		}
		h, err := Parse(b)
		if err != nil {
			return
		}
		if h.Padded() < h.Size() {
			t.Fatal("sizes wrap")
		}
		if len(b) >= h.Size() { // and past the table's
			h.TableCRC = Sum(b[h.Size()-int(h.TableBytes) : h.Size()])
		}
		Records(&h, b)
	})
}
