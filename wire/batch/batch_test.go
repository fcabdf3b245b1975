package batch

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"sluice/base"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

var codecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

// clone copies a yielded record out of recycled memory.
func clone(r Record) Record {
	r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	r.Headers = slices.Clone(r.Headers)
	for i, h := range r.Headers {
		r.Headers[i].Value = bytes.Clone(h.Value)
	}
	return r
}

func collect(t require, b Batch, lim Limits) []Record {
	var out []Record
	for r, err := range b.Records(lim) {
		if err != nil {
			t.Fatalf("record %d: %v", len(out), err)
		}
		out = append(out, clone(r))
	}
	return out
}

// require is what tests and property checks have in common.
type require interface {
	Helper()
	Fatalf(string, ...any)
}

func drawBytes(t *rapid.T, label string) []byte {
	switch rapid.IntRange(0, 3).Draw(t, label+" kind") {
	case 0:
		return nil
	case 1:
		return bytes.Repeat([]byte{'x'}, rapid.IntRange(0, 5000).Draw(t, label+" repeated"))
	default:
		return rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, label)
	}
}

func drawRecords(t *rapid.T) []Record {
	n := rapid.IntRange(1, 20).Draw(t, "records")
	out := make([]Record, n)
	delta := int32(-1)
	for i := range out {
		delta += rapid.Int32Range(1, 3).Draw(t, "gap")
		r := Record{OffsetDelta: delta, Timestamp: rapid.Int64Range(0, 1<<42).Draw(t, "timestamp"), Key: drawBytes(t, "key"), Value: drawBytes(t, "value")}
		for range rapid.IntRange(0, 2).Draw(t, "headers") {
			r.Headers = append(r.Headers, Header{rapid.StringN(0, 8, -1).Draw(t, "header"), drawBytes(t, "header value")})
		}
		out[i] = r
	}
	return out
}

func drawOptions(t *rapid.T) Options {
	return Options{
		BaseOffset:    rapid.Int64Range(0, math.MaxInt64-1000).Draw(t, "base"),
		LeaderEpoch:   rapid.Int32().Draw(t, "leader epoch"),
		Codec:         rapid.SampledFrom(codecs).Draw(t, "codec"),
		Idempotent:    rapid.Bool().Draw(t, "idempotent"),
		ProducerID:    rapid.Int64Range(0, math.MaxInt64).Draw(t, "producer"),
		ProducerEpoch: rapid.Int16Range(0, math.MaxInt16).Draw(t, "epoch"),
		BaseSequence:  rapid.Int32Range(0, math.MaxInt32).Draw(t, "sequence"),
		Transactional: rapid.Bool().Draw(t, "transactional"),
	}
}

// TestRoundTrip: what a builder wrote is what a view reads, for every codec; kmsg reads the same header.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records, opt := drawRecords(t), drawOptions(t)
		builder := NewBuilder(opt)
		for _, r := range records {
			builder.AddAt(r)
		}
		raw := builder.AppendTo([]byte("before"))[len("before"):]
		b, rest, err := Parse(append(slices.Clip(raw), "after"...))
		if err != nil || string(rest) != "after" || b.Len() != len(raw) {
			t.Fatalf("parse: %v, rest %q", err, rest)
		}
		if err := b.Check(); err != nil {
			t.Fatalf("%v", err)
		}
		compareRecords(t, records, collect(t, b, Limits{}))
		compareHeader(t, b)
		if maxTS := slices.MaxFunc(records, func(a, b Record) int { return int(a.Timestamp - b.Timestamp) }).Timestamp; b.MaxTimestamp() != maxTS {
			t.Fatalf("max timestamp %d, want %d", b.MaxTimestamp(), maxTS)
		}
		if opt.Idempotent != (b.ProducerID() == opt.ProducerID) || opt.Idempotent != (b.LastSequence() != NoSequence) || b.IsTransactional() != opt.Transactional {
			t.Fatalf("producer fields")
		}
	})
}

func compareRecords(t require, want, got []Record) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range want {
		if w, g := fmt.Sprintf("%#v", want[i]), fmt.Sprintf("%#v", got[i]); w != g {
			t.Fatalf("record %d\nwant %s\ngot  %s", i, w, g)
		}
	}
}

// compareHeader reads the header with kmsg.
func compareHeader(t require, b Batch) {
	t.Helper()
	var k kmsg.RecordBatch
	if err := k.ReadFrom(b.Bytes()); err != nil {
		t.Fatalf("kmsg: %v", err)
	}
	got := kmsg.RecordBatch{
		FirstOffset: b.BaseOffset(), Length: b.Length(), PartitionLeaderEpoch: b.LeaderEpoch(), Magic: b.Magic(), CRC: int32(b.CRC()),
		Attributes: b.Attributes(), LastOffsetDelta: b.LastOffsetDelta(), FirstTimestamp: b.FirstTimestamp(), MaxTimestamp: b.MaxTimestamp(),
		ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(), FirstSequence: b.BaseSequence(), NumRecords: b.NumRecords(), Records: b.Payload(),
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", k) {
		t.Fatalf("kmsg reads %+v", k)
	}
}

// TestStamping: the stamps outside the CRC leave it right, and those inside renew it; nothing else changes.
func TestStamping(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		builder := NewBuilder(drawOptions(t))
		records := drawRecords(t)
		for _, r := range records {
			builder.AddAt(r)
		}
		b := builder.Batch()
		crc := b.CRC()
		b.SetBaseOffset(7)
		b.SetLeaderEpoch(9)
		if b.BaseOffset() != 7 || b.LeaderEpoch() != 9 || b.CRC() != crc || b.Check() != nil {
			t.Fatalf("stamps outside the CRC: %v", b.Check())
		}
		b.SetLogAppendTime(1234)
		if err := b.Check(); err != nil || b.MaxTimestamp() != 1234 || b.TimestampType() != LogAppendTime {
			t.Fatalf("log append time: %v", err)
		}
		for i := range records {
			records[i].Timestamp = 1234
		}
		compareRecords(t, records, collect(t, b, Limits{}))
	})
}

func TestRecompress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		builder := NewBuilder(drawOptions(t))
		records := drawRecords(t)
		for _, r := range records {
			builder.AddAt(r)
		}
		b := builder.Batch()
		to := rapid.SampledFrom(codecs).Draw(t, "to")
		nb, err := Recompress(b, to, rapid.IntRange(0, 9).Draw(t, "level"), Limits{})
		if err != nil || nb.Check() != nil || nb.Codec() != to {
			t.Fatalf("%v, %v, codec %v", err, nb.Check(), nb.Codec())
		}
		compareRecords(t, records, collect(t, nb, Limits{}))
		same := func(b Batch) string {
			return fmt.Sprint(b.BaseOffset(), b.LeaderEpoch(), b.Attributes()&^attrCodec, b.LastOffsetDelta(), b.FirstTimestamp(), b.MaxTimestamp(), b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), b.NumRecords())
		}
		if same(b) != same(nb) {
			t.Fatalf("header changed from %s to %s", same(b), same(nb))
		}
	})
}

// TestTimestampSearch compares with a scan of the records.
func TestTimestampSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opt := drawOptions(t)
		builder := NewBuilder(opt)
		records := drawRecords(t)
		for i := range records {
			records[i].Timestamp %= 10
			builder.AddAt(records[i])
		}
		b := builder.Batch()
		ts, from := rapid.Int64Range(-1, 11).Draw(t, "ts"), opt.BaseOffset+rapid.Int64Range(-1, 40).Draw(t, "from")
		want, wantOK := Stamp{}, false
		best := Stamp{Timestamp: -1}
		for _, r := range records {
			s := Stamp{opt.BaseOffset + int64(r.OffsetDelta), r.Timestamp}
			if !wantOK && s.Timestamp >= ts && s.Offset >= from {
				want, wantOK = s, true
			}
			if s.Timestamp > best.Timestamp {
				best = s
			}
		}
		if got, ok, err := b.FindTimestamp(ts, from, Limits{}); err != nil || got != want || ok != wantOK {
			t.Fatalf("find %d from %d: %v %v %v, want %v %v", ts, from, got, ok, err, want, wantOK)
		}
		if got, ok, err := b.MaxTimestampRecord(Limits{}); err != nil || !ok || got != best {
			t.Fatalf("max: %v %v %v, want %v", got, ok, err, best)
		}
	})
}

func TestEmptyBatchOfACompactedRange(t *testing.T) {
	builder := NewBuilder(Options{BaseOffset: 10, Idempotent: true, ProducerID: 1, BaseSequence: math.MaxInt32})
	builder.ExtendTo(4)
	b := builder.Batch()
	if err := b.Check(); err != nil || b.NumRecords() != 0 || b.LastOffset() != 14 || b.NextOffset() != 15 || b.LastSequence() != 3 {
		t.Fatalf("%v, last %d, last sequence %d", err, b.LastOffset(), b.LastSequence())
	}
	if n := len(collect(t, b, Limits{})); n != 0 {
		t.Fatalf("%d records", n)
	}
	if _, ok, err := b.MaxTimestampRecord(Limits{}); ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, ok, err := b.FindTimestamp(-1, 0, Limits{}); ok || err != nil {
		t.Fatal(ok, err)
	}
}

func TestMarkers(t *testing.T) {
	for _, commit := range []bool{true, false} {
		raw := AppendMarker(nil, Marker{commit, 12}, 5, 6, 7)
		b, rest, err := Parse(raw)
		if err != nil || len(rest) != 0 || b.Check() != nil || !b.IsControl() || !b.IsTransactional() || b.ProducerID() != 5 || b.ProducerEpoch() != 6 || b.BaseSequence() != -1 || b.MaxTimestamp() != 7 {
			t.Fatal(err, b.Check())
		}
		if m, ok := b.Marker(); !ok || m != (Marker{commit, 12}) {
			t.Fatal(m, ok)
		}
	}
	plain := NewBuilder(Options{})
	plain.Add(Record{Key: []byte{0, 0, 0, 1}})
	if _, ok := plain.Batch().Marker(); ok {
		t.Fatal("a client's record taken for a marker")
	}
}

func TestParseRefusals(t *testing.T) {
	builder := NewBuilder(Options{})
	builder.Add(Record{Value: []byte("v")})
	good := builder.Bytes()
	with := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], v)
		return b
	}
	for name, c := range map[string]struct {
		b    []byte
		kind base.Kind
	}{
		"empty":       {nil, base.Corrupt},
		"half header": {good[:30], base.Corrupt},
		"cut short":   {good[:len(good)-1], base.Corrupt},
		"magic 1":     {with(atMagic, 1), base.Invalid},
		"magic 0":     {with(atMagic, 0), base.Invalid},
		"length < 0":  {with(atLength, 0xff, 0xff, 0xff, 0xff), base.Corrupt},
		"length 0":    {with(atLength, 0, 0, 0, 0), base.Corrupt},
		"length max":  {with(atLength, 0x7f, 0xff, 0xff, 0xff), base.Corrupt},
	} {
		if _, _, err := Parse(c.b); base.KindOf(err) != c.kind || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, ok := PeekSize(good[:12]); !ok || n != len(good) {
		t.Error("peek", n, ok)
	}
	if _, ok := PeekSize(good[:11]); ok {
		t.Error("peek of too few bytes")
	}
}

func TestCheckRefusals(t *testing.T) {
	build := func(change func(Batch)) Batch {
		builder := NewBuilder(Options{Idempotent: true, ProducerID: 1, BaseSequence: 1})
		builder.Add(Record{Value: []byte("v")})
		b := builder.Batch()
		change(b)
		return b
	}
	for name, c := range map[string]struct {
		kind   base.Kind
		change func(Batch)
	}{
		"flipped bit":        {base.Corrupt, func(b Batch) { b.b[len(b.b)-1] ^= 4 }},
		"codec 5":            {base.Invalid, func(b Batch) { b.b[atAttributes+1] = 5; b.sealCRC() }},
		"negative delta":     {base.Invalid, func(b Batch) { b.b[atLastOffsetDelta] = 0x80; b.sealCRC() }},
		"negative count":     {base.Invalid, func(b Batch) { b.b[atNumRecords] = 0x80; b.sealCRC() }},
		"count above delta":  {base.Invalid, func(b Batch) { b.b[atNumRecords+3] = 2; b.sealCRC() }},
		"count above bytes":  {base.Invalid, func(b Batch) { b.b[atNumRecords+3], b.b[atLastOffsetDelta+3] = 9, 9; b.sealCRC() }},
		"offset overflow":    {base.Invalid, func(b Batch) { b.SetBaseOffset(math.MaxInt64) }},
		"negative producer":  {base.Invalid, func(b Batch) { b.b[atProducerID] = 0x80; b.sealCRC() }},
		"negative sequence":  {base.Invalid, func(b Batch) { b.b[atBaseSequence] = 0x80; b.sealCRC() }},
		"untouched (passes)": {base.Unknown, func(Batch) {}},
	} {
		if err := build(c.change).Check(); (err == nil) != (c.kind == base.Unknown) || err != nil && base.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRecordRefusals: damage under a right CRC is found by Records, and everything it says is Invalid.
func TestRecordRefusals(t *testing.T) {
	for name, payload := range map[string][]byte{
		"no record":          {},
		"size beyond end":    {100, 0, 0, 0, 1, 1, 0},
		"size too small":     {2, 0},
		"negative size":      {1},
		"size too large":     {14, 0, 0, 0, 1, 1, 0, 0},
		"bytes behind":       {12, 0, 0, 0, 1, 1, 0, 9},
		"key beyond end":     {12, 0, 0, 0, 100, 1, 0},
		"key of length -2":   {12, 0, 0, 0, 3, 1, 0},
		"delta beyond last":  {12, 0, 0, 8, 1, 1, 0},
		"negative delta":     {12, 0, 0, 1, 1, 1, 0},
		"headers beyond end": {12, 0, 0, 0, 1, 1, 100},
		"negative headers":   {12, 0, 0, 0, 1, 1, 1},
		"header cut short":   {16, 0, 0, 0, 1, 1, 2, 100, 0},
	} {
		builder := NewBuilder(Options{})
		builder.Add(Record{})
		b := Batch{append(builder.Bytes()[:HeaderBytes:HeaderBytes], payload...)}
		var err error
		for _, e := range b.Records(Limits{}) {
			err = e
		}
		if !base.IsKind(err, base.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
