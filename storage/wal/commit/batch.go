package commit

import (
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/objstore/driver"
	"sluice/storage/wal/block"
)

// copyLockedBytes is the largest record that is copied with the lock held: copying so little takes no longer than the two atomic
// operations that copying outside costs.
const copyLockedBytes = 4096

// Batch is a block on its way: filled by appends, then sealed, written by a class, and delivered. A class uses it between Next
// and Done only.
type Batch struct {
	pos     base.WALPos
	records []block.Record
	sums    []uint32
	dones   []func(error)

	buf   *slab.Buf
	mem   []byte // from the block's start to the end of what it may use of buf
	data  int    // bytes of data so far
	limit int    // the block may not grow beyond
	waste int    // bytes of the arena before that nobody can use

	copying atomic.Int32  // appends that still copy, plus one until the block is closed
	copied  chan struct{} // gets one token when copying has reached zero after the close, if somebody waits

	size         int // set by the close
	taken, ended time.Time
	crc          uint32
	finished     bool // the write has ended, or nobody waits for that any more; guarded by Queue.mu
	lost         bool // the latter: Finish has only to release buf; guarded by Queue.mu
	err          error
}

// Pos returns the block's position.
func (b *Batch) Pos() base.WALPos { return b.pos }

// Bytes returns the sealed block without padding.
func (b *Batch) Bytes() []byte { return b.mem[:b.size] }

// Padded returns the sealed block with zeros up to a multiple of block.Align, at an address that is one too.
func (b *Batch) Padded() []byte { return b.mem[:block.Pad(b.size)] }

// Count returns the number of records.
func (b *Batch) Count() int { return len(b.records) }

// Shares returns how many bytes of which streams the block holds, neighbours of one stream summed up.
func (b *Batch) Shares() []driver.Share {
	var out []driver.Share
	for i := range b.records {
		r := &b.records[i]
		if n := len(out); n > 0 && out[n-1].Stream == r.Stream {
			out[n-1].Bytes += int64(len(r.Data))
		} else {
			out = append(out, driver.Share{Stream: r.Stream, Bytes: int64(len(r.Data))})
		}
	}
	return out
}

func sizeOf(data, records int) int { return block.HeaderBytes + data + records*block.EntryBytes }

// fits reports whether a record of n bytes has room. An empty block takes whatever its memory holds.
func (b *Batch) fits(n int) bool {
	size := sizeOf(b.data+n, len(b.records)+1)
	return size <= b.limit || len(b.records) == 0 && size <= len(b.mem)
}

// reserve adds the record and returns where its data belongs.
func (b *Batch) reserve(r *block.Record, sum uint32, done func(error)) []byte {
	at := block.HeaderBytes + b.data
	dst := b.mem[at : at+len(r.Data) : at+len(r.Data)]
	b.data += len(r.Data)
	b.records = append(b.records, *r)
	b.records[len(b.records)-1].Data = dst
	b.sums = append(b.sums, sum)
	b.dones = append(b.dones, done)
	return dst
}

func (b *Batch) full() bool { return sizeOf(b.data, len(b.records)) >= b.limit }

// endCopy is called by each append that copied outside the lock.
func (b *Batch) endCopy() {
	if b.copying.Add(-1) == 0 {
		b.copied <- struct{}{}
	}
}

// awaitCopies returns when all data is in place. It is called once, after the block was closed.
func (b *Batch) awaitCopies() {
	if b.copying.Add(-1) != 0 {
		<-b.copied
	}
}

// seal writes table and header.
func (b *Batch) seal(h block.Header) {
	table := b.mem[block.HeaderBytes+b.data:][:0]
	for i := range b.records {
		table = block.AppendEntry(table, &b.records[i], b.sums[i])
	}
	h.Pos, h.Records, h.DataBytes, h.TableBytes = b.pos, uint32(len(b.records)), uint32(b.data), uint32(len(table))
	h.TableCRC = block.Sum(table)
	h.Put(b.mem)
	clear(b.mem[b.size:block.Pad(b.size)])
	b.crc = h.CRC
}

// block turns a delivered batch into what the receiver gets.
func (b *Batch) block() *block.Block {
	return &block.Block{Pos: b.pos, Records: b.records, Buf: b.buf, Bytes: b.size, Mem: block.Pad(b.size) + b.waste}
}

// recycle makes the batch ready for another block. The records have gone to the receiver.
func (b *Batch) recycle() {
	clear(b.dones)
	*b = Batch{sums: b.sums[:0], dones: b.dones[:0], copied: b.copied}
}
