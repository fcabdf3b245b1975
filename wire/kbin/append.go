package kbin

import (
	"encoding/binary"
	"math"

	"sluice/base"
)

// AppendBool appends a truth value as a byte.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// AppendInt8 appends an int8.
func AppendInt8(dst []byte, v int8) []byte { return append(dst, byte(v)) }

// AppendInt16 appends a big-endian int16.
func AppendInt16(dst []byte, v int16) []byte { return binary.BigEndian.AppendUint16(dst, uint16(v)) }

// AppendUint16 appends a big-endian uint16.
func AppendUint16(dst []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(dst, v) }

// AppendInt32 appends a big-endian int32.
func AppendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }

// AppendUint32 appends a big-endian uint32.
func AppendUint32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }

// AppendInt64 appends a big-endian int64.
func AppendInt64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

// AppendFloat64 appends a big-endian IEEE 754 double.
func AppendFloat64(dst []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(v))
}

// AppendUUID appends 16 bytes.
func AppendUUID(dst []byte, u base.UUID) []byte { return append(dst, u[:]...) }

// AppendUvarint appends an unsigned varint.
func AppendUvarint(dst []byte, v uint32) []byte { return binary.AppendUvarint(dst, uint64(v)) }

// AppendVarint appends a zigzag varint.
func AppendVarint(dst []byte, v int32) []byte { return binary.AppendVarint(dst, int64(v)) }

// AppendVarlong appends a zigzag varint of up to 64 bits.
func AppendVarlong(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }

// UvarintLen returns how many bytes AppendUvarint appends.
func UvarintLen(v uint32) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

func appendLen(dst []byte, flexible, wide bool, n int) []byte {
	switch {
	case flexible:
		return AppendUvarint(dst, uint32(n+1))
	case wide:
		return AppendInt32(dst, int32(n))
	default:
		return AppendInt16(dst, int16(n))
	}
}

// AppendString appends a string, compact in flexible versions.
func AppendString(dst []byte, flexible bool, s string) []byte {
	return append(appendLen(dst, flexible, false, len(s)), s...)
}

// AppendNullableString appends a string, or null for nil.
func AppendNullableString(dst []byte, flexible bool, s *string) []byte {
	if s == nil {
		return appendLen(dst, flexible, false, -1)
	}
	return AppendString(dst, flexible, *s)
}

// AppendBytes appends a byte array; nil is an empty one.
func AppendBytes(dst []byte, flexible bool, b []byte) []byte {
	return append(appendLen(dst, flexible, true, len(b)), b...)
}

// AppendNullableBytes appends a byte array, or null for nil.
func AppendNullableBytes(dst []byte, flexible bool, b []byte) []byte {
	if b == nil {
		return appendLen(dst, flexible, true, -1)
	}
	return AppendBytes(dst, flexible, b)
}

// AppendArrayLen appends the length of an array; -1 is null.
func AppendArrayLen(dst []byte, flexible bool, n int) []byte {
	return appendLen(dst, flexible, true, n)
}

// Gather collects an encoded message as segments: what is appended is copied into scratch memory, what is referenced stays where
// it is. The zero value is ready to use.
type Gather struct {
	segments [][]byte
	scratch  []byte // the open segment
	size     int
}

// Append lets fn append to the open segment.
func (g *Gather) Append(fn func(dst []byte) []byte) {
	before := len(g.scratch)
	g.scratch = fn(g.scratch)
	g.size += len(g.scratch) - before
}

// Scratch returns the open segment for direct appending; give the result back with SetScratch.
func (g *Gather) Scratch() []byte { return g.scratch }

// SetScratch takes the extended open segment back.
func (g *Gather) SetScratch(b []byte) {
	g.size += len(b) - len(g.scratch)
	g.scratch = b
}

// Ref adds b as a segment of its own, without copying it. It must not change until the message has been written.
func (g *Gather) Ref(b []byte) {
	if len(b) == 0 {
		return
	}
	g.seal()
	g.segments = append(g.segments, b)
	g.size += len(b)
}

func (g *Gather) seal() {
	if len(g.scratch) > 0 {
		g.segments = append(g.segments, g.scratch)
		// What is left of the array serves the next segment.
		g.scratch = g.scratch[len(g.scratch):]
	}
}

// Segments returns the message. The Gather must not be appended to afterwards.
func (g *Gather) Segments() [][]byte {
	g.seal()
	return g.segments
}

// Len returns the bytes of the message so far.
func (g *Gather) Len() int { return g.size }

// Reset forgets the message and keeps the memory.
func (g *Gather) Reset(scratch []byte) {
	clear(g.segments)
	g.segments, g.scratch, g.size = g.segments[:0], scratch[:0], 0
}
