package batch

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"sluice/base"
)

// HeaderBytes is the size of a batch's header, and the size of the smallest batch.
const HeaderBytes = 61

// lengthOverhead is how many bytes stand before what the length field counts.
const lengthOverhead = 12

// Positions of the header's fields.
const (
	atBaseOffset      = 0
	atLength          = 8
	atLeaderEpoch     = 12
	atMagic           = 16
	atCRC             = 17
	atAttributes      = 21
	atLastOffsetDelta = 23
	atFirstTimestamp  = 27
	atMaxTimestamp    = 35
	atProducerID      = 43
	atProducerEpoch   = 51
	atBaseSequence    = 53
	atNumRecords      = 57
)

// Attribute bits.
const (
	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
	attrDeleteHorizon = 0x40
)

// Values that stand for none.
const (
	NoTimestamp  int64 = -1
	NoProducerID int64 = -1
	NoEpoch      int16 = -1
	NoSequence   int32 = -1
)

// Codec is a compression codec.
type Codec uint8

// The codecs of the Kafka protocol.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// String returns the name Kafka's configs use.
func (c Codec) String() string {
	if int(c) < len(codecNames) {
		return codecNames[c]
	}
	return "unknown codec"
}

// TimestampType says who set the timestamps of a batch.
type TimestampType uint8

const (
	// CreateTime: the producer did.
	CreateTime TimestampType = iota
	// LogAppendTime: the broker did; the max timestamp holds for every record.
	LogAppendTime
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is a view of one record batch.
type Batch struct{ b []byte }

// Parse returns the batch at the start of b, and what follows it. Only length and magic are checked; see [Batch.Check].
func Parse(b []byte) (batch Batch, rest []byte, err error) {
	if len(b) <= atMagic {
		return Batch{}, b, base.Errorf(base.Corrupt, "record batch: %d bytes are no header", len(b))
	}
	if magic := b[atMagic]; magic != 2 {
		return Batch{}, b, base.Errorf(base.Invalid, "record batch: message format v%d is not supported, only v2 is", magic)
	}
	size := int64(int32(binary.BigEndian.Uint32(b[atLength:]))) + lengthOverhead
	if size < HeaderBytes || size > int64(len(b)) {
		return Batch{}, b, base.Errorf(base.Corrupt, "record batch: length %d in %d bytes", size, len(b))
	}
	return Batch{b[:size:size]}, b[size:], nil
}

// PeekSize returns the size in bytes that the batch at the start of b says it has, which may be more than is there; ok is false if b is too short to
// tell or the size makes no sense. A reader of a cut-short fetch response uses it to know whether the last batch is whole.
func PeekSize(b []byte) (size int, ok bool) {
	if len(b) < lengthOverhead {
		return 0, false
	}
	n := int64(int32(binary.BigEndian.Uint32(b[atLength:]))) + lengthOverhead
	return int(n), n >= HeaderBytes
}

// Bytes returns the whole batch.
func (b Batch) Bytes() []byte { return b.b }

// Len returns the size of the batch in bytes.
func (b Batch) Len() int { return len(b.b) }

func (b Batch) int16(at int) int16 { return int16(binary.BigEndian.Uint16(b.b[at:])) }
func (b Batch) int32(at int) int32 { return int32(binary.BigEndian.Uint32(b.b[at:])) }
func (b Batch) int64(at int) int64 { return int64(binary.BigEndian.Uint64(b.b[at:])) }

// BaseOffset returns the offset of the first record (or of the one that stood first before compaction).
func (b Batch) BaseOffset() int64 { return b.int64(atBaseOffset) }

// LastOffset returns the offset of the last record (or of the one that stood last before compaction).
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset returns the offset after the batch.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// Length returns the length field: the size in bytes of what follows it.
func (b Batch) Length() int32 { return b.int32(atLength) }

// LeaderEpoch returns the leader epoch the batch was appended in.
func (b Batch) LeaderEpoch() int32 { return b.int32(atLeaderEpoch) }

// Magic returns 2.
func (b Batch) Magic() int8 { return int8(b.b[atMagic]) }

// CRC returns the checksum the batch carries.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b.b[atCRC:]) }

// Attributes returns the attribute bits.
func (b Batch) Attributes() int16 { return b.int16(atAttributes) }

// Codec returns the codec of the records; it may be unknown before Check.
func (b Batch) Codec() Codec { return Codec(b.Attributes() & attrCodec) }

// TimestampType returns who set the timestamps.
func (b Batch) TimestampType() TimestampType {
	if b.Attributes()&attrLogAppendTime != 0 {
		return LogAppendTime
	}
	return CreateTime
}

// IsTransactional reports whether the batch belongs to a transaction.
func (b Batch) IsTransactional() bool { return b.Attributes()&attrTransactional != 0 }

// IsControl reports whether the batch holds control records, which clients do not see.
func (b Batch) IsControl() bool { return b.Attributes()&attrControl != 0 }

// HasDeleteHorizon reports whether the first timestamp is a time from which tombstones may go.
func (b Batch) HasDeleteHorizon() bool { return b.Attributes()&attrDeleteHorizon != 0 }

// LastOffsetDelta returns last offset - base offset.
func (b Batch) LastOffsetDelta() int32 { return b.int32(atLastOffsetDelta) }

// FirstTimestamp returns the base of the records' timestamps, in ms.
func (b Batch) FirstTimestamp() int64 { return b.int64(atFirstTimestamp) }

// MaxTimestamp returns the largest timestamp, in ms, as the header has it.
func (b Batch) MaxTimestamp() int64 { return b.int64(atMaxTimestamp) }

// ProducerID returns the producer id, -1 for none.
func (b Batch) ProducerID() int64 { return b.int64(atProducerID) }

// ProducerEpoch returns the producer epoch, -1 for none.
func (b Batch) ProducerEpoch() int16 { return b.int16(atProducerEpoch) }

// BaseSequence returns the sequence number of the first record, -1 for none.
func (b Batch) BaseSequence() int32 { return b.int32(atBaseSequence) }

// LastSequence returns the sequence number of the last record; numbers wrap from 2^31-1 to 0. -1 for none.
func (b Batch) LastSequence() int32 {
	if b.BaseSequence() == NoSequence {
		return NoSequence
	}
	return AddSequence(b.BaseSequence(), b.LastOffsetDelta())
}

// AddSequence returns the sequence number n after seq; numbers wrap from 2^31-1 to 0.
func AddSequence(seq, n int32) int32 { return int32((uint32(seq) + uint32(n)) & math.MaxInt32) }

// NumRecords returns the number of records as the header has it.
func (b Batch) NumRecords() int32 { return b.int32(atNumRecords) }

// Payload returns the records as they are stored: compressed as a whole, or not.
func (b Batch) Payload() []byte { return b.b[HeaderBytes:] }

// Check verifies what the header says: the CRC first, then that it makes sense. It does not look at the records.
func (b Batch) Check() error {
	if got := b.computeCRC(); got != b.CRC() {
		return base.Errorf(base.Corrupt, "record batch: CRC32C is %08x, the header says %08x", got, b.CRC())
	}
	n, delta := b.NumRecords(), b.LastOffsetDelta()
	switch {
	case b.Codec() > Zstd:
		return base.Errorf(base.Invalid, "record batch: codec %d does not exist", b.Codec())
	case delta < 0 || n < 0 || int64(n) > int64(delta)+1:
		return base.Errorf(base.Invalid, "record batch: %d records in offsets 0 to %d", n, delta)
	case b.BaseOffset() > math.MaxInt64-1-int64(delta):
		return base.Errorf(base.Invalid, "record batch: base offset %d", b.BaseOffset())
	case b.Codec() == None && int64(n)*recordBytesMin > int64(len(b.b)-HeaderBytes):
		return base.Errorf(base.Invalid, "record batch: %d records in %d bytes", n, len(b.b)-HeaderBytes)
	case b.BaseSequence() < NoSequence || b.ProducerID() < NoProducerID || b.ProducerEpoch() < NoEpoch:
		return base.Errorf(base.Invalid, "record batch: producer %d epoch %d sequence %d", b.ProducerID(), b.ProducerEpoch(), b.BaseSequence())
	}
	return nil
}

func (b Batch) computeCRC() uint32 { return crc32.Checksum(b.b[atAttributes:], castagnoli) }

func (b Batch) sealCRC() { binary.BigEndian.PutUint32(b.b[atCRC:], b.computeCRC()) }

// SetBaseOffset writes the base offset, in place.
func (b Batch) SetBaseOffset(offset int64) {
	binary.BigEndian.PutUint64(b.b[atBaseOffset:], uint64(offset))
}

// SetLeaderEpoch writes the leader epoch, in place.
func (b Batch) SetLeaderEpoch(epoch int32) {
	binary.BigEndian.PutUint32(b.b[atLeaderEpoch:], uint32(epoch))
}

// SetLogAppendTime makes ms the timestamp of every record: it sets the timestamp type, the max timestamp and the CRC, in place.
func (b Batch) SetLogAppendTime(ms int64) {
	binary.BigEndian.PutUint16(b.b[atAttributes:], uint16(b.Attributes())|attrLogAppendTime)
	b.SetMaxTimestamp(ms)
}

// SetCreateTime makes the records' own timestamps count: it takes the timestamp type away and writes the CRC, in place.
func (b Batch) SetCreateTime() {
	binary.BigEndian.PutUint16(b.b[atAttributes:], uint16(b.Attributes())&^attrLogAppendTime)
	b.sealCRC()
}

// SetMaxTimestamp writes the max timestamp and the CRC, in place.
func (b Batch) SetMaxTimestamp(ms int64) {
	binary.BigEndian.PutUint64(b.b[atMaxTimestamp:], uint64(ms))
	b.sealCRC()
}
