package batch

import (
	"encoding/binary"
	"iter"
	"math"

	"sluice/base"
)

// Record is one record of a batch.
type Record struct {
	// OffsetDelta is the record's offset minus the batch's base offset.
	OffsetDelta int32
	// Timestamp in ms. In a batch with LogAppendTime it is the batch's.
	Timestamp int64
	// Key and Value are nil for null.
	Key, Value []byte
	Headers    []Header
}

// Header is a record header. Value is nil for null.
type Header struct {
	Key   string
	Value []byte
}

const (
	// recordBytesMin is the size of the smallest record: length, attributes, two deltas, null key, null value, no headers.
	recordBytesMin = 7
	// headersMax bounds the headers of one record, as arrays are bounded elsewhere.
	headersMax = 1_000_000
)

// Records yields the records in order, decompressing as far as lim allows. After an error, of kind Invalid, nothing follows. What
// a Record refers to is valid until the loop's next step.
func (b Batch) Records(lim Limits) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		raw, release, err := b.decompressed(lim)
		if err != nil {
			yield(Record{}, err)
			return
		}
		defer release()
		w := walker{batch: b, rest: raw, last: -1}
		for range b.NumRecords() {
			if err := w.next(); err != nil {
				yield(Record{}, err)
				return
			}
			if !yield(w.record, nil) {
				return
			}
		}
		if len(w.rest) > 0 {
			yield(Record{}, base.Errorf(base.Invalid, "record batch: %d bytes after the last of %d records", len(w.rest), b.NumRecords()))
		}
	}
}

// walker reads records one after the other.
type walker struct {
	batch   Batch
	rest    []byte
	last    int32 // offset delta of the record before
	record  Record
	headers []Header
}

// next reads the next record into w.record.
func (w *walker) next() error {
	f := fields{b: w.rest}
	size := f.varint()
	if f.bad || size < 0 || size > int64(len(f.b)) {
		return base.Errorf(base.Invalid, "record batch: record after offset delta %d: size %d, %d bytes left", w.last, size, len(f.b))
	}
	w.rest = f.b[size:]
	f.b = f.b[:size]
	f.skip(1) // attributes, unused
	timestamp := w.batch.FirstTimestamp() + f.varint()
	delta := f.varint()
	w.record.Key = f.bytes()
	w.record.Value = f.bytes()
	w.readHeaders(&f)
	switch {
	case f.bad:
		return base.Errorf(base.Invalid, "record batch: record after offset delta %d does not parse", w.last)
	case len(f.b) != 0:
		return base.Errorf(base.Invalid, "record batch: record at offset delta %d has %d bytes too many", delta, len(f.b))
	case delta <= int64(w.last) || delta > int64(w.batch.LastOffsetDelta()):
		return base.Errorf(base.Invalid, "record batch: offset delta %d after %d, last is %d", delta, w.last, w.batch.LastOffsetDelta())
	}
	if w.batch.TimestampType() == LogAppendTime {
		timestamp = w.batch.MaxTimestamp()
	}
	w.record.OffsetDelta, w.record.Timestamp, w.last = int32(delta), timestamp, int32(delta)
	return nil
}

func (w *walker) readHeaders(f *fields) {
	w.record.Headers = nil
	n := f.varint()
	if n < 0 || n > headersMax || n > int64(len(f.b)/2) {
		f.bad = true
		return
	}
	w.headers = w.headers[:0]
	for ; n > 0 && !f.bad; n-- {
		size := f.varint()
		if size < 0 {
			f.bad = true
			return
		}
		key := f.skip(size)
		w.headers = append(w.headers, Header{string(key), f.bytes()})
	}
	if len(w.headers) > 0 {
		w.record.Headers = w.headers
	}
}

// fields reads the fields of a record. After bad is set, values are meaningless.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) varint() int64 {
	if len(f.b) > 0 && f.b[0] < 0x80 {
		v := int64(f.b[0]>>1) ^ -int64(f.b[0]&1)
		f.b = f.b[1:]
		return v
	}
	v, n := binary.Varint(f.b)
	if n <= 0 {
		f.bad = true
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) skip(n int64) []byte {
	if n < 0 || n > int64(len(f.b)) {
		f.bad = true
		return nil
	}
	b := f.b[:n:n]
	f.b = f.b[n:]
	return b
}

// bytes reads a length and so many bytes; -1 is null.
func (f *fields) bytes() []byte {
	n := f.varint()
	if n == -1 {
		return nil
	}
	if b := f.skip(n); len(b) > 0 {
		return b
	}
	return []byte{}
}

// All yields the batches that stand one after the other in b. After an error nothing follows.
func All(b []byte) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		for len(b) > 0 {
			one, rest, err := Parse(b)
			if !yield(one, err) || err != nil {
				return
			}
			b = rest
		}
	}
}

// Stamp is a record's place in a log and its time.
type Stamp struct {
	Offset    int64
	Timestamp int64 // ms
}

// FindTimestamp returns the first record with an offset of at least from and a timestamp of at least ts; false if there is none.
// The header spares decompression where it can: a max timestamp below ts is an answer.
func (b Batch) FindTimestamp(ts, from int64, lim Limits) (Stamp, bool, error) {
	if b.MaxTimestamp() < ts || b.LastOffset() < from || b.NumRecords() == 0 {
		return Stamp{}, false, nil
	}
	for r, err := range b.Records(lim) {
		if err != nil {
			return Stamp{}, false, err
		}
		if offset := b.BaseOffset() + int64(r.OffsetDelta); r.Timestamp >= ts && offset >= from {
			return Stamp{offset, r.Timestamp}, true, nil
		}
	}
	return Stamp{}, false, nil
}

// MaxTimestampRecord returns the first record that has the largest timestamp of all records (not of the header, which may lie in a
// batch nobody checked); false if there are no records.
func (b Batch) MaxTimestampRecord(lim Limits) (Stamp, bool, error) {
	found, at := false, Stamp{Timestamp: math.MinInt64}
	for r, err := range b.Records(lim) {
		if err != nil {
			return Stamp{}, false, err
		}
		if r.Timestamp > at.Timestamp || !found {
			found, at = true, Stamp{b.BaseOffset() + int64(r.OffsetDelta), r.Timestamp}
		}
		if b.TimestampType() == LogAppendTime {
			break
		}
	}
	return at, found, nil
}
