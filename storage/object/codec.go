package object

import (
	"encoding/binary"
	"hash/crc32"

	"sluice/base"
)

// Kind says what an object holds.
type Kind uint8

const (
	// SSO is a stream-set object: many streams.
	SSO Kind = iota
	// SO is a stream object: one stream.
	SO
)

const (
	version = 1

	// HeaderBytes and FooterBytes are the sizes of an object's two ends, trailerBytes of a block's end, entryBytes of an index entry.
	HeaderBytes  = 64
	FooterBytes  = 64
	trailerBytes = 40
	entryBytes   = 64

	// BlockBytes bounds a block, table and trailer included, unless a single record is larger. Runs of full blocks fit the
	// buffer classes of package slab.
	BlockBytes = 512 << 10
	// MaxRecordBytes bounds one record: what a request may be (100 MiB), rounded up.
	MaxRecordBytes = 128 << 20

	maxTableEntry = 10 + 5 + 5 + 10 + 1 // bytes of one record's table entry at most
	minTableEntry = 5
)

var (
	headerMagic  = [8]byte{'S', 'L', 'U', 'I', 'C', 'E', 'O', 'H'}
	footerMagic  = [8]byte{'S', 'L', 'U', 'I', 'C', 'E', 'O', 'F'}
	trailerMagic = uint32('S') | 'B'<<8 | 'L'<<16 | 'K'<<24
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
	le           = binary.LittleEndian
)

// Record is one record of a stream: a batch of Count offsets. It has the same fields as a WAL record, so that one converts to the
// other without a copy.
type Record struct {
	Stream       base.StreamID
	Epoch        base.StreamEpoch
	Base         base.Offset
	Count        int32
	MaxTimestamp int64 // milliseconds; -1 if none
	Flags        uint8 // opaque
	Data         []byte
}

// End is the offset behind the record.
func (r *Record) End() base.Offset { return r.Base + base.Offset(r.Count) }

// Meta says what an object is and who wrote it.
type Meta struct {
	Cluster   base.UUID
	ID        base.ObjectID
	Kind      Kind
	Node      base.NodeID    // whose WAL the records come from
	NodeEpoch base.NodeEpoch // of that WAL
	Upload    uint64         // number of the upload; 0: not made by an upload
}

// Entry describes one block in the index.
type Entry struct {
	Stream       base.StreamID
	Epoch        base.StreamEpoch
	Range        base.OffsetRange
	Pos          int64  // of the block in the object
	Size         uint32 // of the block with table and trailer
	Data         uint32 // record bytes, at the block's start
	Records      uint32
	MaxTimestamp int64 // largest of the records'; -1 if none has one
	Flags        uint8 // of all records, or-ed
	CRC          uint32
}

func (e *Entry) append(dst []byte) []byte {
	dst = le.AppendUint64(dst, uint64(e.Stream))
	dst = le.AppendUint64(dst, uint64(e.Range.Start))
	dst = le.AppendUint64(dst, uint64(e.Range.End))
	dst = le.AppendUint64(dst, uint64(e.Pos))
	dst = le.AppendUint64(dst, uint64(e.MaxTimestamp))
	dst = le.AppendUint32(dst, uint32(e.Epoch))
	dst = le.AppendUint32(dst, e.Size)
	dst = le.AppendUint32(dst, e.Data)
	dst = le.AppendUint32(dst, e.Records)
	dst = le.AppendUint32(dst, e.CRC)
	return append(dst, e.Flags, 0, 0, 0)
}

func decodeEntry(b []byte) Entry {
	_ = b[entryBytes-1]
	return Entry{
		Stream:       base.StreamID(le.Uint64(b)),
		Range:        base.OffsetRange{Start: base.Offset(le.Uint64(b[8:])), End: base.Offset(le.Uint64(b[16:]))},
		Pos:          int64(le.Uint64(b[24:])),
		MaxTimestamp: int64(le.Uint64(b[32:])),
		Epoch:        base.StreamEpoch(le.Uint32(b[40:])),
		Size:         le.Uint32(b[44:]),
		Data:         le.Uint32(b[48:]),
		Records:      le.Uint32(b[52:]),
		CRC:          le.Uint32(b[56:]),
		Flags:        b[60],
	}
}

func (m *Meta) header() []byte {
	b := make([]byte, 0, HeaderBytes)
	b = append(b, headerMagic[:]...)
	b = le.AppendUint16(b, version)
	b = append(b, byte(m.Kind), 0, 0, 0, 0, 0)
	b = append(b, m.Cluster[:]...)
	b = le.AppendUint64(b, uint64(m.ID))
	b = le.AppendUint64(b, uint64(m.NodeEpoch))
	b = le.AppendUint64(b, m.Upload)
	b = le.AppendUint32(b, uint32(m.Node))
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// ParseHeader reads the first HeaderBytes of an object.
func ParseHeader(b []byte) (Meta, error) {
	switch {
	case len(b) < HeaderBytes || [8]byte(b) != headerMagic:
		return Meta{}, base.Errorf(base.Corrupt, "object header: not an object")
	case le.Uint16(b[8:]) != version:
		return Meta{}, base.Errorf(base.Corrupt, "object header: version %d, this program reads %d", le.Uint16(b[8:]), version)
	case crc32.Checksum(b[:60], castagnoli) != le.Uint32(b[60:]):
		return Meta{}, base.Errorf(base.Corrupt, "object header: wrong CRC")
	}
	return Meta{
		Kind:      Kind(b[10]),
		Cluster:   base.UUID(b[16:32]),
		ID:        base.ObjectID(le.Uint64(b[32:])),
		NodeEpoch: base.NodeEpoch(le.Uint64(b[40:])),
		Upload:    le.Uint64(b[48:]),
		Node:      base.NodeID(le.Uint32(b[56:])),
	}, nil
}

// Footer is the fixed end of an object: what it is and where its index lies.
type Footer struct {
	Cluster  base.UUID
	ID       base.ObjectID
	Kind     Kind
	Entries  uint32 // blocks
	IndexPos int64
	IndexCRC uint32
}

// IndexBytes is the size of the index.
func (f *Footer) IndexBytes() int64 { return int64(f.Entries) * entryBytes }

// Size is the size of the object.
func (f *Footer) Size() int64 { return f.IndexPos + f.IndexBytes() + FooterBytes }

func (f *Footer) append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, footerMagic[:]...)
	dst = le.AppendUint16(dst, version)
	dst = append(dst, byte(f.Kind), 0)
	dst = le.AppendUint32(dst, f.Entries)
	dst = append(dst, f.Cluster[:]...)
	dst = le.AppendUint64(dst, uint64(f.ID))
	dst = le.AppendUint64(dst, uint64(f.IndexPos))
	dst = le.AppendUint64(dst, uint64(f.Size()))
	dst = le.AppendUint32(dst, f.IndexCRC)
	return le.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// ParseFooter reads the last FooterBytes of an object of the given size.
func ParseFooter(b []byte, size int64) (Footer, error) {
	switch {
	case len(b) != FooterBytes || [8]byte(b) != footerMagic:
		return Footer{}, base.Errorf(base.Corrupt, "object footer: not an object")
	case le.Uint16(b[8:]) != version:
		return Footer{}, base.Errorf(base.Corrupt, "object footer: version %d, this program reads %d", le.Uint16(b[8:]), version)
	case crc32.Checksum(b[:60], castagnoli) != le.Uint32(b[60:]):
		return Footer{}, base.Errorf(base.Corrupt, "object footer: wrong CRC")
	}
	f := Footer{
		Kind:     Kind(b[10]),
		Entries:  le.Uint32(b[12:]),
		Cluster:  base.UUID(b[16:32]),
		ID:       base.ObjectID(le.Uint64(b[32:])),
		IndexPos: int64(le.Uint64(b[40:])),
		IndexCRC: le.Uint32(b[56:]),
	}
	if f.IndexPos < HeaderBytes || f.Size() != size || int64(le.Uint64(b[48:])) != size {
		return Footer{}, base.Errorf(base.Corrupt, "object %s: footer describes %d bytes, the object has %d", f.ID, f.Size(), size)
	}
	return f, nil
}
