package file

import (
	"bytes"
	"encoding/binary"

	"sluice/base"
	"sluice/storage/wal/block"
)

// The small records of a file WAL, all alike: 8 bytes magic, uint16 version, fields, CRC32C of what stands before it. Each has a
// fixed length (docs/formats.md).
const (
	magicHeader  = "SLUICEWD"
	magicSegment = "SLUICEWS"
	magicToken   = "SLUICEWT"
	magicMark    = "SLUICEWM"
	magicSeal    = "SLUICEWL"

	formatVersion = 1
	whoBytes      = 64 // texts are cut to that
)

var le = binary.LittleEndian

// writer builds a small record.
type writer struct{ b []byte }

func record(magic string) *writer {
	return &writer{b: le.AppendUint16([]byte(magic), formatVersion)}
}

func (w *writer) u64(v uint64) *writer     { w.b = le.AppendUint64(w.b, v); return w }
func (w *writer) uuid(u base.UUID) *writer { w.b = append(w.b, u[:]...); return w }
func (w *writer) text(s string) *writer {
	var t [whoBytes]byte
	copy(t[:], s)
	w.b = append(w.b, t[:]...)
	return w
}

func (w *writer) end() []byte { return le.AppendUint32(w.b, block.Sum(w.b)) }

// reader takes a small record apart. The first error sticks.
type reader struct {
	b   []byte
	err error
}

// open checks magic, length, CRC and version of the record at the start of b, which has size bytes in all. Errors have kind
// Corrupt, or Invalid for a version that this program does not know.
func open(b []byte, magic string, size int) *reader {
	switch {
	case len(b) < size || string(b[:8]) != magic:
		return &reader{err: base.Errorf(base.Corrupt, "no %s record", magic)}
	case block.Sum(b[:size-4]) != le.Uint32(b[size-4:]):
		return &reader{err: base.Errorf(base.Corrupt, "%s record with a wrong CRC", magic)}
	case le.Uint16(b[8:]) != formatVersion:
		return &reader{err: base.Errorf(base.Invalid, "%s record of version %d; this program knows version %d", magic, le.Uint16(b[8:]), formatVersion)}
	}
	return &reader{b: b[10 : size-4]}
}

func (r *reader) take(n int) []byte {
	if r.err != nil {
		return make([]byte, n)
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u64() uint64     { return le.Uint64(r.take(8)) }
func (r *reader) uuid() base.UUID { return base.UUID(r.take(16)) }
func (r *reader) text() string    { return string(bytes.TrimRight(r.take(whoBytes), "\x00")) }
