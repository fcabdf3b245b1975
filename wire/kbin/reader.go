// Package kbin reads and writes the primitive types of the Kafka protocol.
//
// Invariants:
//
//  1. A Reader never allocates more than a small multiple of the bytes it was given, and its work is bounded by them: a length or
//     a count that the remaining bytes cannot hold is an error before anything is allocated for it.
//  2. The first error is kept; from then on every read returns zero values and loops end.
//  3. Byte slices that are read alias the input; strings are copies.
//
// The package starts no goroutine.
package kbin

import (
	"encoding/binary"
	"math"

	"sluice/base"
)

// Bounds of what is read, whatever the input claims.
const (
	ArrayLenMax = 1_000_000
	TagsMax     = 10_000
)

// Reader reads from a byte slice. The zero value is an empty input.
type Reader struct {
	b   []byte
	err error
}

// NewReader returns a reader of b, which must not change while what was read from it is in use.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Err returns the first error, of kind Invalid.
func (r *Reader) Err() error { return r.err }

// Len returns the number of bytes that are left.
func (r *Reader) Len() int { return len(r.b) }

// Rest returns the bytes that are left.
func (r *Reader) Rest() []byte { return r.b }

// Fail records an error if there is none yet; the input counts as used up.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = base.Errorf(base.Invalid, format, args...)
	}
	r.b = nil
}

func (r *Reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.Fail("message ends early: %d bytes wanted, %d left", n, len(r.b))
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

// Bool reads a byte as a truth value.
func (r *Reader) Bool() bool { return r.Int8() != 0 }

// Int8 reads an int8.
func (r *Reader) Int8() int8 {
	if b := r.take(1); b != nil {
		return int8(b[0])
	}
	return 0
}

// Int16 reads a big-endian int16.
func (r *Reader) Int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

// Uint16 reads a big-endian uint16.
func (r *Reader) Uint16() uint16 { return uint16(r.Int16()) }

// Int32 reads a big-endian int32.
func (r *Reader) Int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// Uint32 reads a big-endian uint32.
func (r *Reader) Uint32() uint32 { return uint32(r.Int32()) }

// Int64 reads a big-endian int64.
func (r *Reader) Int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// Float64 reads a big-endian IEEE 754 double.
func (r *Reader) Float64() float64 { return math.Float64frombits(uint64(r.Int64())) }

// UUID reads 16 bytes.
func (r *Reader) UUID() (u base.UUID) {
	copy(u[:], r.take(len(u)))
	return u
}

// Uvarint reads an unsigned varint of at most 32 bits.
func (r *Reader) Uvarint() uint32 {
	v, n := binary.Uvarint(r.b[:min(len(r.b), 5)])
	if n <= 0 || v > math.MaxUint32 {
		r.Fail("bad unsigned varint")
		return 0
	}
	r.b = r.b[n:]
	return uint32(v)
}

// Varint reads a zigzag varint of at most 32 bits.
func (r *Reader) Varint() int32 {
	v, n := binary.Varint(r.b[:min(len(r.b), 5)])
	if n <= 0 || v > math.MaxInt32 || v < math.MinInt32 {
		r.Fail("bad varint")
		return 0
	}
	r.b = r.b[n:]
	return int32(v)
}

// Varlong reads a zigzag varint of at most 64 bits.
func (r *Reader) Varlong() int64 {
	v, n := binary.Varint(r.b[:min(len(r.b), 10)])
	if n <= 0 {
		r.Fail("bad varlong")
		return 0
	}
	r.b = r.b[n:]
	return v
}

// length reads the length of a string or of bytes: -1 is null.
func (r *Reader) length(flexible, wide bool) int {
	switch {
	case flexible:
		return int(int64(r.Uvarint()) - 1)
	case wide:
		return int(r.Int32())
	default:
		return int(r.Int16())
	}
}

// String reads a string, compact in flexible versions; null is an error.
func (r *Reader) String(flexible bool) string {
	n := r.length(flexible, false)
	if n < 0 && r.err == nil {
		r.Fail("null for a string that must not be null")
	}
	return string(r.take(max(n, 0)))
}

// NullableString reads a string or null.
func (r *Reader) NullableString(flexible bool) *string {
	n := r.length(flexible, false)
	if n == -1 || r.err != nil {
		return nil
	}
	s := string(r.take(n))
	return &s
}

// Bytes reads a byte array; null is an error. The result aliases the input and is not nil.
func (r *Reader) Bytes(flexible bool) []byte {
	b := r.NullableBytes(flexible)
	if b == nil && r.err == nil {
		r.Fail("null for bytes that must not be null")
	}
	return b
}

// NullableBytes reads a byte array, or nil for null. The result aliases the input.
func (r *Reader) NullableBytes(flexible bool) []byte {
	n := r.length(flexible, true)
	if n == -1 || r.err != nil {
		return nil
	}
	if n == 0 {
		return []byte{}
	}
	return r.take(n)
}

// ArrayLen reads the length of an array whose elements take at least minElem bytes each; null is an error.
func (r *Reader) ArrayLen(flexible bool, minElem int) int {
	n := r.NullableArrayLen(flexible, minElem)
	if n < 0 && r.err == nil {
		r.Fail("null for an array that must not be null")
	}
	return max(n, 0)
}

// NullableArrayLen reads the length of an array, -1 for null.
func (r *Reader) NullableArrayLen(flexible bool, minElem int) int {
	n := r.length(flexible, true)
	if r.err != nil || n == -1 {
		return -1
	}
	if n < 0 || n > ArrayLenMax || n > len(r.b)/max(minElem, 1) {
		r.Fail("an array of %d elements does not fit into the %d bytes that are left", n, len(r.b))
		return -1
	}
	return n
}

// Tags reads a section of tagged fields and calls known for each with a reader of just its bytes; tags for which known returns
// false are skipped. Tags must ascend.
func (r *Reader) Tags(known func(tag uint32, r *Reader) bool) {
	n := r.Uvarint()
	if n > TagsMax || int(n) > len(r.b)/2 {
		r.Fail("%d tagged fields do not fit into the %d bytes that are left", n, len(r.b))
		return
	}
	last := int64(-1)
	for range n {
		tag := r.Uvarint()
		body := r.take(int(r.Uvarint()))
		if r.err != nil {
			return
		}
		if int64(tag) <= last {
			r.Fail("tagged field %d after %d", tag, last)
			return
		}
		last = int64(tag)
		if known == nil {
			continue
		}
		field := Reader{b: body}
		if known(tag, &field); field.err != nil {
			r.err, r.b = field.err, nil
			return
		}
	}
}
