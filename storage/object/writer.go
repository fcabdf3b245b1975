package object

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"unsafe"

	"sluice/base"
)

// Range is a run of records of one stream under one epoch as it lies in an object.
type Range struct {
	Stream       base.StreamID
	Epoch        base.StreamEpoch
	Range        base.OffsetRange
	Bytes        int64 // record bytes
	MaxTimestamp int64 // -1 if none
}

// Writer makes the body of one object from sorted records. It is not safe for concurrent use.
//
// A block grows while records of one stream and epoch come in; the table of its records grows beside it. When the next record would
// not fit, the table and the trailer are put behind the record bytes, all of it goes through the CRC once, and an entry is
// added to the index. The body is a list of segments: runs of record memory that happens to be contiguous, and tables.
type Writer struct {
	body    [][]byte
	size    int64 // of body
	scratch []byte

	mem              []byte // buffer of the last segment, nil if it cannot grow;
	memStart, memEnd int    // the segment in it

	block    Entry // open block; Records 0: none
	crc      uint32
	table    []byte
	tableTS  int64
	tableEnd base.Offset

	last    Record // the last one added, without data
	added   bool
	entries []byte
	count   uint32
	ranges  []Range
}

// NewWriter returns a Writer; records and bytes are hints of how much will come.
func NewWriter(records int, bytes int64) *Writer {
	blocks := int(bytes/BlockBytes) + 8
	return &Writer{
		body:    append(make([][]byte, 0, records+2*blocks), nil), // [0] becomes the header
		size:    HeaderBytes,
		entries: make([]byte, 0, blocks*entryBytes),
	}
}

// Add appends a record. mem is the buffer that r.Data lies in, nil if it is not known: records that lie side by side in one buffer
// become one segment of the body. It panics when r does not lie behind the record before it: an object out of order is lost data.
func (w *Writer) Add(r *Record, mem []byte) {
	w.checkOrder(r)
	w.extendRange(r)
	if w.block.Records > 0 && (w.block.Stream != r.Stream || w.block.Epoch != r.Epoch || w.wouldOverflow(len(r.Data))) {
		w.endBlock()
	}
	if w.block.Records == 0 {
		w.beginBlock(r)
	}
	w.addData(r.Data, mem)
	w.addToTable(r)
	b := &w.block
	b.Range.End = r.End()
	b.Data += uint32(len(r.Data))
	b.Records++
	b.MaxTimestamp = max(b.MaxTimestamp, r.MaxTimestamp)
	b.Flags |= r.Flags
	w.last, w.added = *r, true
	w.last.Data = nil
}

func (w *Writer) checkOrder(r *Record) {
	if r.Count <= 0 || r.Base < 0 || r.End() <= r.Base || len(r.Data) == 0 || len(r.Data) > MaxRecordBytes {
		panic(fmt.Sprintf("BUG: object: record of stream %d at %d with count %d and %d bytes", r.Stream, r.Base, r.Count, len(r.Data)))
	}
	if w.added && (r.Stream < w.last.Stream || r.Stream == w.last.Stream && (r.Base < w.last.End() || r.Epoch < w.last.Epoch)) {
		panic(fmt.Sprintf("BUG: object: stream %d epoch %d offset %d after stream %d epoch %d, which ended at %d",
			r.Stream, r.Epoch, r.Base, w.last.Stream, w.last.Epoch, w.last.End()))
	}
}

func (w *Writer) extendRange(r *Record) {
	if n := len(w.ranges); n > 0 {
		if l := &w.ranges[n-1]; l.Stream == r.Stream && l.Epoch == r.Epoch && l.Range.End == r.Base {
			l.Range.End = r.End()
			l.Bytes += int64(len(r.Data))
			l.MaxTimestamp = max(l.MaxTimestamp, r.MaxTimestamp)
			return
		}
	}
	w.ranges = append(w.ranges, Range{r.Stream, r.Epoch, base.OffsetRange{Start: r.Base, End: r.End()}, int64(len(r.Data)), max(r.MaxTimestamp, -1)})
}

func (w *Writer) wouldOverflow(n int) bool {
	return int(w.block.Data)+n+len(w.table)+maxTableEntry+trailerBytes > BlockBytes
}

func (w *Writer) beginBlock(r *Record) {
	w.block = Entry{Stream: r.Stream, Epoch: r.Epoch, Range: base.OffsetRange{Start: r.Base, End: r.Base}, Pos: w.size, MaxTimestamp: -1}
	w.crc, w.table = 0, w.table[:0]
	w.tableTS, w.tableEnd = 0, r.Base
}

// addData refers to b, together with the segment before it where both lie side by side in mem.
func (w *Writer) addData(b, mem []byte) {
	w.crc = crc32.Update(w.crc, castagnoli, b)
	w.size += int64(len(b))
	if mem == nil {
		w.body, w.mem = append(w.body, b), nil
		return
	}
	at := int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) - uintptr(unsafe.Pointer(unsafe.SliceData(mem))))
	if w.block.Records > 0 && w.memEnd == at && unsafe.SliceData(w.mem) == unsafe.SliceData(mem) {
		w.memEnd += len(b)
		w.body[len(w.body)-1] = mem[w.memStart:w.memEnd:w.memEnd]
		return
	}
	w.mem, w.memStart, w.memEnd = mem, at, at+len(b)
	w.body = append(w.body, mem[at:at+len(b):at+len(b)])
}

func (w *Writer) addToTable(r *Record) {
	w.table = binary.AppendUvarint(w.table, uint64(r.Base-w.tableEnd))
	w.table = binary.AppendUvarint(w.table, uint64(r.Count))
	w.table = binary.AppendUvarint(w.table, uint64(len(r.Data)))
	w.table = binary.AppendVarint(w.table, r.MaxTimestamp-w.tableTS)
	w.table = append(w.table, r.Flags)
	w.tableEnd, w.tableTS = r.End(), r.MaxTimestamp
}

func (w *Writer) endBlock() {
	e := &w.block
	tail := w.alloc(len(w.table) + trailerBytes)
	tail = append(tail, w.table...)
	tail = le.AppendUint32(tail, trailerMagic)
	tail = le.AppendUint32(tail, e.Records)
	tail = le.AppendUint64(tail, uint64(e.Stream))
	tail = le.AppendUint64(tail, uint64(e.Range.Start))
	tail = le.AppendUint32(tail, uint32(e.Epoch))
	tail = le.AppendUint32(tail, e.Data)
	tail = le.AppendUint32(tail, uint32(len(w.table)))
	e.CRC = crc32.Update(w.crc, castagnoli, tail)
	tail = le.AppendUint32(tail, e.CRC)
	w.body = append(w.body, tail)
	w.size += int64(len(tail))
	e.Size = uint32(w.size - e.Pos)
	w.entries = e.append(w.entries)
	w.count++
	w.block = Entry{}
}

// alloc cuts tables from larger pieces, so that thousands of small blocks cost few allocations.
func (w *Writer) alloc(n int) []byte {
	if cap(w.scratch)-len(w.scratch) < n {
		w.scratch = make([]byte, 0, max(n, 16<<10))
	}
	b := w.scratch[len(w.scratch) : len(w.scratch) : len(w.scratch)+n]
	w.scratch = w.scratch[:len(w.scratch)+n]
	return b
}

// Ranges returns what was added, ascending; adjacent records of one stream and epoch are one range.
func (w *Writer) Ranges() []Range { return w.ranges }

// Finish ends the object and returns its body and size. It may be called again with another id, when the first one was refused;
// the bodies share everything but the ends. No record may be added afterwards.
func (w *Writer) Finish(m Meta) (body [][]byte, size int64) {
	if !w.added {
		panic("BUG: object: an empty object")
	}
	if w.block.Records > 0 {
		w.endBlock()
	}
	if n := len(w.ranges); m.Kind == SO && w.ranges[0].Stream != w.ranges[n-1].Stream {
		panic("BUG: object: a stream object with two streams")
	}
	f := Footer{Cluster: m.Cluster, ID: m.ID, Kind: m.Kind, Entries: w.count, IndexPos: w.size, IndexCRC: crc32.Checksum(w.entries, castagnoli)}
	body = append(make([][]byte, 0, len(w.body)+2), w.body...)
	body[0] = m.header()
	body = append(body, w.entries, f.append(nil))
	return body, f.Size()
}
