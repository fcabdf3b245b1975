package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Options say what a [Builder] writes into the header. The zero value is a plain batch without a producer.
type Options struct {
	BaseOffset  int64
	LeaderEpoch int32
	Codec       Codec
	// Level of gzip, lz4 or zstd as in Kafka's configs; 0 is the default.
	Level int
	// Idempotent says that the producer fields count; without it they are written as -1.
	Idempotent    bool
	ProducerID    int64
	ProducerEpoch int16
	BaseSequence  int32
	Transactional bool
	Control       bool
	// LogAppendTime writes the timestamp type; the max timestamp is then that of the records.
	LogAppendTime bool
	// HasDeleteHorizon makes DeleteHorizon, in ms, the batch's delete horizon (KIP-534): it stands where the first timestamp does otherwise.
	HasDeleteHorizon bool
	DeleteHorizon    int64
}

// Builder makes a batch out of records. A builder belongs to one goroutine.
type Builder struct {
	opt     Options
	records []byte
	scratch []byte
	count   int32
	last    int32 // offset delta
	first   int64 // timestamp
	max     int64
}

// NewBuilder returns an empty builder.
func NewBuilder(opt Options) *Builder {
	b := &Builder{}
	b.Reset(opt)
	return b
}

// Reset empties the builder and keeps its memory.
func (b *Builder) Reset(opt Options) {
	*b = Builder{opt: opt, records: b.records[:0], scratch: b.scratch[:0], last: -1, first: NoTimestamp, max: NoTimestamp}
	if opt.HasDeleteHorizon {
		b.first = opt.DeleteHorizon
	}
}

// NumRecords returns how many records were added.
func (b *Builder) NumRecords() int { return int(b.count) }

// Size returns the size in bytes of the batch, if it is not compressed.
func (b *Builder) Size() int { return HeaderBytes + len(b.records) }

// Add adds a record behind those added before. Its offset delta is the next one; r.OffsetDelta is not looked at. The bytes are copied.
func (b *Builder) Add(r Record) {
	r.OffsetDelta = b.last + 1
	b.AddAt(r)
}

// AddAt adds a record at r.OffsetDelta, which must be larger than that of the record before, leaving a gap as key compaction does.
func (b *Builder) AddAt(r Record) {
	if r.OffsetDelta <= b.last {
		panic("BUG: batch: offset deltas must ascend")
	}
	if b.count == 0 {
		b.max = r.Timestamp
		if !b.opt.HasDeleteHorizon {
			b.first = r.Timestamp
		}
	}
	b.scratch = b.appendBody(b.scratch[:0], r)
	b.records = binary.AppendVarint(b.records, int64(len(b.scratch)))
	b.records = append(b.records, b.scratch...)
	b.count++
	b.last, b.max = r.OffsetDelta, max(b.max, r.Timestamp)
}

func (b *Builder) appendBody(dst []byte, r Record) []byte {
	dst = append(dst, 0)
	dst = binary.AppendVarint(dst, r.Timestamp-b.first)
	dst = binary.AppendVarint(dst, int64(r.OffsetDelta))
	dst = appendBytes(dst, r.Key)
	dst = appendBytes(dst, r.Value)
	dst = binary.AppendVarint(dst, int64(len(r.Headers)))
	for _, h := range r.Headers {
		dst = binary.AppendVarint(dst, int64(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendBytes(dst, h.Value)
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 1) // -1
	}
	return append(binary.AppendVarint(dst, int64(len(b))), b...)
}

// ExtendTo makes delta the last offset delta, beyond the last record, as compaction does to keep a batch's range.
func (b *Builder) ExtendTo(delta int32) { b.last = max(b.last, delta) }

// Bytes returns the batch in memory of its own.
func (b *Builder) Bytes() []byte { return b.AppendTo(nil) }

// AppendTo appends the batch to dst. The builder must have records, or a range by ExtendTo.
func (b *Builder) AppendTo(dst []byte) []byte {
	if b.last < 0 {
		panic("BUG: batch: a batch without records")
	}
	start := len(dst)
	dst = append(dst, make([]byte, HeaderBytes)...)
	dst = compress(dst, b.records, b.opt.Codec, b.opt.Level)
	b.writeHeader(Batch{dst[start:]})
	return dst
}

// Batch returns the batch as a view of memory of its own.
func (b *Builder) Batch() Batch { return Batch{b.Bytes()} }

func (b *Builder) writeHeader(out Batch) {
	if len(out.b) > math.MaxInt32 {
		panic("BUG: batch: larger than 2 GiB")
	}
	opt := &b.opt
	attributes := uint16(opt.Codec)
	if opt.LogAppendTime {
		attributes |= attrLogAppendTime
	}
	if opt.Transactional {
		attributes |= attrTransactional
	}
	if opt.Control {
		attributes |= attrControl
	}
	if opt.HasDeleteHorizon {
		attributes |= attrDeleteHorizon
	}
	id, epoch, sequence := NoProducerID, NoEpoch, NoSequence
	if opt.Idempotent {
		id, epoch, sequence = opt.ProducerID, opt.ProducerEpoch, opt.BaseSequence
	}
	h := out.b[:0]
	h = binary.BigEndian.AppendUint64(h, uint64(opt.BaseOffset))
	h = binary.BigEndian.AppendUint32(h, uint32(len(out.b)-lengthOverhead))
	h = binary.BigEndian.AppendUint32(h, uint32(opt.LeaderEpoch))
	h = append(h, 2, 0, 0, 0, 0)
	h = binary.BigEndian.AppendUint16(h, attributes)
	h = binary.BigEndian.AppendUint32(h, uint32(b.last))
	h = binary.BigEndian.AppendUint64(h, uint64(b.first))
	h = binary.BigEndian.AppendUint64(h, uint64(b.max))
	h = binary.BigEndian.AppendUint64(h, uint64(id))
	h = binary.BigEndian.AppendUint16(h, uint16(epoch))
	h = binary.BigEndian.AppendUint32(h, uint32(sequence))
	binary.BigEndian.AppendUint32(h, uint32(b.count))
	out.sealCRC()
}

// ErrTooLarge says that a batch would be larger than allowed.
var ErrTooLarge = errors.New("the record batch is too large in the codec of its topic")

// Recompress returns a batch with the same records, deltas, timestamps, producer and sequences in another codec, in memory of its
// own. Level is as in [Options]. The input is decompressed as far as lim allows; errors are of kind Invalid. A batch of more than lim.Result bytes is not made
// where that is known beforehand: the error is ErrTooLarge then.
func Recompress(b Batch, codec Codec, level int, lim Limits) (Batch, error) {
	raw, release, err := b.decompressed(lim)
	if err != nil {
		return Batch{}, err
	}
	defer release()
	most := lim.Result
	if most <= 0 {
		most = HeaderBytes + len(raw)
	}
	if n := HeaderBytes + len(raw); codec == None && n > most {
		return Batch{}, fmt.Errorf("%w: it has %d bytes", ErrTooLarge, n)
	}
	out := append(make([]byte, 0, min(HeaderBytes+len(raw), max(most, HeaderBytes))), b.b[:HeaderBytes]...)
	out = compress(out, raw, codec, level)
	nb := Batch{out}
	binary.BigEndian.PutUint32(out[atLength:], uint32(len(out)-lengthOverhead))
	binary.BigEndian.PutUint16(out[atAttributes:], uint16(b.Attributes())&^attrCodec|uint16(codec))
	nb.sealCRC()
	return nb, nil
}
