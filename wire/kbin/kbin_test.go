package kbin

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"sluice/base"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// step is one primitive: it draws a value, and returns how to append it and how to read it back (false if it differs).
type step func(t *rapid.T) (appendTo func([]byte) []byte, same func(*Reader) bool)

func fixed[T comparable](gen *rapid.Generator[T], app func([]byte, T) []byte, read func(*Reader) T) step {
	return func(t *rapid.T) (func([]byte) []byte, func(*Reader) bool) {
		v := gen.Draw(t, "value")
		return func(b []byte) []byte { return app(b, v) }, func(r *Reader) bool { return read(r) == v }
	}
}

var uuids = rapid.Custom(func(t *rapid.T) base.UUID { return base.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid")) })

var steps = []step{
	fixed(rapid.Bool(), AppendBool, (*Reader).Bool),
	fixed(rapid.Int8(), AppendInt8, (*Reader).Int8),
	fixed(rapid.Int16(), AppendInt16, (*Reader).Int16),
	fixed(rapid.Uint16(), AppendUint16, (*Reader).Uint16),
	fixed(rapid.Int32(), AppendInt32, (*Reader).Int32),
	fixed(rapid.Uint32(), AppendUint32, (*Reader).Uint32),
	fixed(rapid.Int64(), AppendInt64, (*Reader).Int64),
	fixed(rapid.Float64(), AppendFloat64, (*Reader).Float64),
	fixed(uuids, AppendUUID, (*Reader).UUID),
	fixed(rapid.Uint32(), AppendUvarint, (*Reader).Uvarint),
	fixed(rapid.Int32(), AppendVarint, (*Reader).Varint),
	fixed(rapid.Int64(), AppendVarlong, (*Reader).Varlong),
	stringStep, bytesStep,
}

func stringStep(t *rapid.T) (func([]byte) []byte, func(*Reader) bool) {
	s, flexible, null := rapid.String().Draw(t, "string"), rapid.Bool().Draw(t, "flexible"), rapid.IntRange(0, 2).Draw(t, "null")
	if null == 0 {
		return func(b []byte) []byte { return AppendNullableString(b, flexible, nil) }, func(r *Reader) bool { return r.NullableString(flexible) == nil }
	}
	if null == 1 {
		return func(b []byte) []byte { return AppendNullableString(b, flexible, &s) }, func(r *Reader) bool {
			got := r.NullableString(flexible)
			return got != nil && *got == s
		}
	}
	return func(b []byte) []byte { return AppendString(b, flexible, s) }, func(r *Reader) bool { return r.String(flexible) == s }
}

func bytesStep(t *rapid.T) (func([]byte) []byte, func(*Reader) bool) {
	p, flexible, null := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"), rapid.Bool().Draw(t, "flexible"), rapid.IntRange(0, 2).Draw(t, "null")
	if null == 0 {
		return func(b []byte) []byte { return AppendNullableBytes(b, flexible, nil) }, func(r *Reader) bool { return r.NullableBytes(flexible) == nil }
	}
	return func(b []byte) []byte { return AppendBytes(b, flexible, p) }, func(r *Reader) bool {
		got := r.Bytes(flexible)
		return got != nil && bytes.Equal(got, p)
	}
}

// TestRoundTrip: what was appended is read back, one after the other, and every shorter input is an error.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		var reads []func(*Reader) bool
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			app, same := rapid.SampledFrom(steps).Draw(t, "step")(t)
			b = app(b)
			reads = append(reads, same)
		}
		all := func(b []byte) (*Reader, bool) {
			r := NewReader(b)
			ok := true
			for _, same := range reads {
				ok = same(&r) && ok
			}
			return &r, ok
		}
		if r, ok := all(b); !ok || r.Err() != nil || r.Len() != 0 {
			t.Fatalf("read back: same %v, %v, %d left", ok, r.Err(), r.Len())
		}
		if r, _ := all(b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")]); !base.IsKind(r.Err(), base.Invalid) || r.Len() != 0 {
			t.Fatalf("cut short: %v, %d left", r.Err(), r.Len())
		}
	})
}

// TestArraysAreBoundedByTheInput: a count is believed only if the bytes that are left could hold so many elements.
func TestArraysAreBoundedByTheInput(t *testing.T) {
	for _, flexible := range []bool{false, true} {
		for _, c := range []struct {
			n, left, elem int
			ok            bool
		}{
			{0, 0, 1, true}, {3, 12, 4, true}, {3, 11, 4, false}, {1, 0, 1, false}, {ArrayLenMax, ArrayLenMax, 1, true},
			{ArrayLenMax + 1, ArrayLenMax + 1, 1, false}, {math.MaxInt32 - 1, 100, 1, false}, {5, 5, 0, true}, {6, 5, 0, false},
		} {
			r := NewReader(append(AppendArrayLen(nil, flexible, c.n), make([]byte, c.left)...))
			n := r.ArrayLen(flexible, c.elem)
			if ok := r.Err() == nil; ok != c.ok || ok && n != c.n || !ok && n != 0 {
				t.Errorf("flexible %v, %+v: %d, %v", flexible, c, n, r.Err())
			}
		}
		r := NewReader(AppendArrayLen(nil, flexible, -1))
		if n := r.NullableArrayLen(flexible, 1); n != -1 || r.Err() != nil {
			t.Error(n, r.Err())
		}
		r = NewReader(AppendArrayLen(nil, flexible, -1))
		if n := r.ArrayLen(flexible, 1); n != 0 || r.Err() == nil {
			t.Error("null array where none is allowed", n)
		}
	}
	for _, negative := range []int32{-2, math.MinInt32} {
		r := NewReader(append(AppendInt32(nil, negative), make([]byte, 64)...))
		if n := r.NullableArrayLen(false, 1); r.Err() == nil || n > 0 {
			t.Error(negative, n)
		}
		r = NewReader(append(AppendInt32(nil, negative), make([]byte, 64)...))
		if b := r.NullableBytes(false); r.Err() == nil || b != nil {
			t.Error(negative, b)
		}
	}
}

func TestBadVarints(t *testing.T) {
	long := bytes.Repeat([]byte{0x80}, 20)
	for name, b := range map[string][]byte{"empty": {}, "cut short": {0x80}, "too long": long, "33 bits": {0xff, 0xff, 0xff, 0xff, 0x1f}} {
		for kind, read := range map[string]func(*Reader){
			"uvarint": func(r *Reader) { r.Uvarint() },
			"varint":  func(r *Reader) { r.Varint() },
		} {
			if r := NewReader(b); func() error { read(&r); return r.Err() }() == nil {
				t.Errorf("%s %s", name, kind)
			}
		}
	}
	if r := NewReader(long); r.Varlong() != 0 || r.Err() == nil {
		t.Error("a varlong without an end")
	}
}

func TestTags(t *testing.T) {
	build := func(tags ...uint32) []byte {
		b := AppendUvarint(nil, uint32(len(tags)))
		for _, tag := range tags {
			b = AppendUvarint(AppendUvarint(b, tag), 4)
			b = AppendInt32(b, int32(tag))
		}
		return b
	}
	var seen []int32
	r := NewReader(build(0, 3, 9))
	r.Tags(func(tag uint32, r *Reader) bool {
		if tag == 3 {
			return false
		}
		seen = append(seen, r.Int32())
		return true
	})
	if r.Err() != nil || !slices.Equal(seen, []int32{0, 9}) {
		t.Fatal(seen, r.Err())
	}
	for name, b := range map[string][]byte{
		"descending": build(3, 2), "twice": build(1, 1), "more than there are": append([]byte{2}, build(1)[1:]...),
		"too many": append(AppendUvarint(nil, TagsMax+1), make([]byte, 4*TagsMax)...), "count of 2^32-1": {0xff, 0xff, 0xff, 0xff, 0x0f},
		"size of 2^32-1": {1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f},
	} {
		r := NewReader(b)
		if r.Tags(nil); r.Err() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	inner := NewReader([]byte{1, 0, 1, 7})
	if inner.Tags(func(_ uint32, r *Reader) bool { r.Int32(); return true }); inner.Err() == nil {
		t.Error("a tag's body that is too short")
	}
}

// TestErrorIsSticky: after an error everything is zero and the first error stays.
func TestErrorIsSticky(t *testing.T) {
	r := NewReader(bytes.Repeat([]byte{1}, 64))
	r.Fail("first")
	first := r.Err()
	if r.Int64() != 0 || r.String(true) != "" || r.NullableString(false) != nil || r.Bytes(true) != nil || r.ArrayLen(true, 1) != 0 || !r.UUID().IsZero() || r.Uvarint() != 0 || r.Varlong() != 0 {
		t.Error("a value after an error")
	}
	r.Tags(func(uint32, *Reader) bool { t.Error("a tag after an error"); return true })
	if r.Err() != first {
		t.Error(r.Err())
	}
}

// TestGather: segments, in order, are what was added, whatever the order of appends and references and however scratch grows.
func TestGather(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var g Gather
		for range rapid.IntRange(1, 3).Draw(t, "messages") {
			g.Reset(make([]byte, 0, rapid.IntRange(0, 16).Draw(t, "scratch")))
			var want []byte
			refs := 0
			for range rapid.IntRange(0, 12).Draw(t, "pieces") {
				p := rapid.SliceOfN(rapid.Byte(), 0, 30).Draw(t, "piece")
				want = append(want, p...)
				switch rapid.IntRange(0, 2).Draw(t, "how") {
				case 0:
					g.Ref(p)
					refs++
				case 1:
					g.Append(func(dst []byte) []byte { return append(dst, p...) })
				default:
					g.SetScratch(append(g.Scratch(), p...))
				}
			}
			if g.Len() != len(want) {
				t.Fatalf("length %d, want %d", g.Len(), len(want))
			}
			segments := g.Segments()
			if got := bytes.Join(segments, nil); !bytes.Equal(got, want) {
				t.Fatalf("got %x, want %x", got, want)
			}
			if len(segments) > 2*refs+1 {
				t.Fatalf("%d segments for %d references", len(segments), refs)
			}
		}
	})
}

// TestVarintsAgainstKmsg compares the encodings with an independent codec's.
func TestVarintsAgainstKmsg(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rec := kmsg.Record{TimestampDelta64: rapid.Int64().Draw(t, "varlong"), OffsetDelta: rapid.Int32().Draw(t, "varint"), Length: rapid.Int32().Draw(t, "length")}
		theirs := rec.AppendTo(nil)
		b := AppendVarint(nil, rec.Length)
		b = AppendVarlong(AppendInt8(b, 0), rec.TimestampDelta64)
		b = AppendVarint(b, rec.OffsetDelta)
		if !bytes.HasPrefix(theirs, b) {
			t.Fatalf("%x is not the start of %x", b, theirs)
		}
		u := rapid.Uint32().Draw(t, "uvarint")
		if want := binary.AppendUvarint(nil, uint64(u)); UvarintLen(u) != len(want) || !bytes.Equal(AppendUvarint(nil, u), want) {
			t.Fatalf("uvarint %d", u)
		}
	})
}

// FuzzReader interprets the first half of the input as a program of reads over the second half: nothing panics, and what is read
// never exceeds what was there.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	f.Add([]byte{14, 14, 15, 15, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{12, 13, 0xff, 0xff, 0xff, 0xff, 0x0f, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		program, data := in[:len(in)/2], in[len(in)/2:]
		r := NewReader(data)
		for _, op := range program {
			flexible := op&0x80 != 0
			got := 0
			switch op & 0x0f {
			case 0:
				r.Int8()
			case 1:
				r.Int16()
			case 2:
				r.Int32()
			case 3:
				r.Int64()
			case 4:
				r.UUID()
			case 5:
				r.Uvarint()
			case 6:
				r.Varint()
			case 7:
				r.Varlong()
			case 8:
				got = len(r.String(flexible))
			case 9:
				if s := r.NullableString(flexible); s != nil {
					got = len(*s)
				}
			case 10:
				got = len(r.Bytes(flexible))
			case 11:
				got = len(r.NullableBytes(flexible))
			case 12:
				got = r.ArrayLen(flexible, int(op>>4&7))
			case 13:
				got = r.NullableArrayLen(flexible, int(op>>4&7))
			default:
				r.Tags(func(_ uint32, r *Reader) bool { got += r.Len(); return op&1 == 0 })
			}
			if got > len(data) {
				t.Fatalf("op %d: %d out of %d bytes", op, got, len(data))
			}
		}
		if r.Err() != nil && r.Len() != 0 {
			t.Fatal("bytes left after an error")
		}
	})
}
