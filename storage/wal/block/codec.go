package block

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"sluice/base"
)

// Sizes of the block format in bytes.
const (
	HeaderBytes = 128  // the header; data follows, then the record table
	EntryBytes  = 44   // one entry of the record table
	Align       = 4096 // file class: blocks start at multiples of it
)

const (
	magic   = "SLUICEWB"
	version = 1
	crcAt   = HeaderBytes - 4
)

// The kinds of blocks.
const (
	KindData = 0 // records
	KindEnd  = 1 // written by a clean close where block Pos would have been: the log ends at Pos. Not a block of the log
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// Sum is the checksum of record data, as AppendEntry wants it.
func Sum(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

// Header is the header of a block.
type Header struct {
	Kind       uint8
	Cluster    base.UUID
	Node       base.NodeID
	Epoch      base.NodeEpoch
	Pos        base.WALPos
	Durable    base.WALPos // all blocks below were durable when this one was sealed
	Segment    uint64      // file class: sequence number of the segment the block was placed in; s3 class: 0
	Prev       uint32      // CRC of the previous block's header; 0 in block 0
	Records    uint32
	DataBytes  uint32
	TableBytes uint32
	TableCRC   uint32
	CRC        uint32 // of the header before it; set by Put and Parse
}

// Size is the length of the block in bytes, without padding.
func (h *Header) Size() int { return HeaderBytes + int(h.DataBytes) + int(h.TableBytes) }

// Padded is the length of the block in a segment.
func (h *Header) Padded() int { return Pad(h.Size()) }

// Pad rounds n up to a multiple of Align.
func Pad(n int) int { return (n + Align - 1) &^ (Align - 1) }

// Put writes the header to the start of b and sets h.CRC.
func (h *Header) Put(b []byte) {
	b = b[:HeaderBytes]
	clear(b)
	copy(b, magic)
	le.PutUint16(b[8:], version)
	b[10] = h.Kind
	copy(b[12:], h.Cluster[:])
	le.PutUint32(b[28:], uint32(h.Node))
	le.PutUint64(b[32:], uint64(h.Epoch))
	le.PutUint64(b[40:], uint64(h.Pos))
	le.PutUint64(b[48:], uint64(h.Durable))
	le.PutUint64(b[56:], h.Segment)
	le.PutUint32(b[64:], h.Prev)
	le.PutUint32(b[68:], h.Records)
	le.PutUint32(b[72:], h.DataBytes)
	le.PutUint32(b[76:], h.TableBytes)
	le.PutUint32(b[80:], h.TableCRC)
	h.CRC = Sum(b[:crcAt])
	le.PutUint32(b[crcAt:], h.CRC)
}

// Parse reads the header at the start of b. The error has kind Corrupt and says what is wrong, Invalid when the version is one
// this program does not know. The sizes in a parsed header are consistent with each other.
func Parse(b []byte) (Header, error) {
	if len(b) < HeaderBytes {
		return Header{}, base.Errorf(base.Corrupt, "%d bytes are too few for a block header", len(b))
	}
	b = b[:HeaderBytes]
	if string(b[:8]) != magic {
		return Header{}, base.Errorf(base.Corrupt, "no block header")
	}
	h := Header{
		Kind: b[10], Cluster: base.UUID(b[12:28]), Node: base.NodeID(le.Uint32(b[28:])), Epoch: base.NodeEpoch(le.Uint64(b[32:])),
		Pos: base.WALPos(le.Uint64(b[40:])), Durable: base.WALPos(le.Uint64(b[48:])), Segment: le.Uint64(b[56:]), Prev: le.Uint32(b[64:]),
		Records: le.Uint32(b[68:]), DataBytes: le.Uint32(b[72:]), TableBytes: le.Uint32(b[76:]), TableCRC: le.Uint32(b[80:]), CRC: le.Uint32(b[crcAt:]),
	}
	if sum := Sum(b[:crcAt]); sum != h.CRC {
		return Header{}, base.Errorf(base.Corrupt, "block header with CRC %08x, computed %08x", h.CRC, sum)
	}
	if v := le.Uint16(b[8:]); v != version {
		return Header{}, base.Errorf(base.Invalid, "block of version %d; this program knows version %d", v, version)
	}
	if uint64(h.TableBytes) != uint64(h.Records)*EntryBytes || h.Kind > KindEnd || h.Durable > h.Pos {
		return Header{}, base.Errorf(base.Corrupt, "block header that contradicts itself: %+v", h)
	}
	return h, nil
}

// Of reports whether the header belongs to the WAL of that cluster and victim.
func (h *Header) Of(cluster base.UUID, v Victim) bool {
	return h.Cluster == cluster && h.Node == v.Node && h.Epoch == v.Epoch
}

// AppendEntry appends the table entry of r, whose data has the checksum sum.
func AppendEntry(dst []byte, r *Record, sum uint32) []byte {
	dst = le.AppendUint64(dst, uint64(r.Stream))
	dst = le.AppendUint64(dst, uint64(r.Base))
	dst = le.AppendUint64(dst, uint64(r.MaxTimestamp))
	dst = le.AppendUint32(dst, uint32(r.Epoch))
	dst = le.AppendUint32(dst, uint32(r.Count))
	dst = le.AppendUint32(dst, uint32(len(r.Data)))
	dst = le.AppendUint32(dst, sum)
	return append(dst, r.Flags, 0, 0, 0)
}

// Records verifies the block with header h that lies at the start of b, and returns its records, whose data aliases b. The error
// has kind Corrupt.
func Records(h *Header, b []byte) ([]Record, error) {
	if len(b) < h.Size() {
		return nil, base.Errorf(base.Corrupt, "block of %d bytes, only %d are there", h.Size(), len(b))
	}
	data, table := b[HeaderBytes:HeaderBytes+h.DataBytes], b[HeaderBytes+h.DataBytes:h.Size()]
	if sum := Sum(table); sum != h.TableCRC {
		return nil, base.Errorf(base.Corrupt, "record table with CRC %08x, want %08x", sum, h.TableCRC)
	}
	records := make([]Record, h.Records)
	for i := range records {
		e := table[i*EntryBytes:][:EntryBytes]
		r := &records[i]
		*r = Record{Stream: base.StreamID(le.Uint64(e)), Base: base.Offset(le.Uint64(e[8:])), MaxTimestamp: int64(le.Uint64(e[16:])),
			Epoch: base.StreamEpoch(le.Uint32(e[24:])), Count: int32(le.Uint32(e[28:])), Flags: e[40]}
		n := le.Uint32(e[32:])
		if uint64(n) > uint64(len(data)) || r.Count < 1 || r.Base < 0 {
			return nil, base.Errorf(base.Corrupt, "record %d: %d bytes of %d left, count %d, offset %d", i, n, len(data), r.Count, r.Base)
		}
		r.Data, data = data[:n:n], data[n:]
		if sum := Sum(r.Data); sum != le.Uint32(e[36:]) {
			return nil, base.Errorf(base.Corrupt, "data of record %d with CRC %08x, want %08x", i, sum, le.Uint32(e[36:]))
		}
	}
	if len(data) > 0 {
		return nil, base.Errorf(base.Corrupt, "%d bytes that belong to no record", len(data))
	}
	return records, nil
}

// At says where a block was expected, for errors.
type At struct {
	File   string // or object key
	Offset int64
}

func (a At) String() string { return fmt.Sprintf("%s, offset %d", a.File, a.Offset) }
