package cache

import (
	"fmt"
	"sync"

	"sluice/base"
	"sluice/storage/wal"
)

// What a cached block and a record of it are charged with besides their slab: the block's descriptor, the record's descriptor
// and index entry, and its share of an upload.
const (
	BlockOverheadBytes  = 256
	RecordOverheadBytes = 128
)

// Charge is what a WAL block costs in memory, in bytes.
func Charge(b *wal.Block) int64 {
	mem := b.Mem
	if mem == 0 {
		mem = len(b.Buf.B)
	}
	return int64(mem) + BlockOverheadBytes + int64(len(b.Records))*RecordOverheadBytes
}

// WAL is the FIFO of durable blocks of one WAL.
type WAL struct {
	mu struct {
		sync.RWMutex
		items []*wal.Block // [head:] are the blocks from position first on
		head  int
		first base.WALPos
		bytes int64
	}
}

// NewWAL returns a cache whose first block will be the one at position first.
func NewWAL(first base.WALPos) *WAL {
	w := &WAL{}
	w.mu.first = first
	return w
}

// Push takes over the reference to b, which must be the next block.
func (w *WAL) Push(b *wal.Block) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if next := w.mu.first + base.WALPos(len(w.mu.items)-w.mu.head); b.Pos != next {
		panic(fmt.Sprintf("BUG: cache: WAL block %d, want %d", b.Pos, next))
	}
	if w.mu.head > keepCap && w.mu.head > len(w.mu.items)/2 {
		n := copy(w.mu.items, w.mu.items[w.mu.head:])
		clear(w.mu.items[n:])
		w.mu.items, w.mu.head = w.mu.items[:n], 0
	}
	w.mu.items = append(w.mu.items, b)
	w.mu.bytes += Charge(b)
}

// Block returns the block at pos, without a reference: the caller makes sure that it is not popped meanwhile.
func (w *WAL) Block(pos base.WALPos) *wal.Block {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if pos < w.mu.first || pos >= w.mu.first+base.WALPos(len(w.mu.items)-w.mu.head) {
		panic(fmt.Sprintf("BUG: cache: WAL block %d is not cached", pos))
	}
	return w.mu.items[w.mu.head+int(pos-w.mu.first)]
}

// Front returns the oldest block, nil if there is none.
func (w *WAL) Front() *wal.Block {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.mu.head == len(w.mu.items) {
		return nil
	}
	return w.mu.items[w.mu.head]
}

// PopFront removes the oldest block, which must be b, and releases it. The index entries that name it are gone already.
func (w *WAL) PopFront(b *wal.Block) {
	w.mu.Lock()
	if w.mu.head == len(w.mu.items) || w.mu.items[w.mu.head] != b {
		panic("BUG: cache: WAL block popped out of order")
	}
	w.mu.items[w.mu.head] = nil
	w.mu.head++
	w.mu.first++
	w.mu.bytes -= Charge(b)
	if w.mu.head == len(w.mu.items) {
		w.mu.items, w.mu.head = w.mu.items[:0], 0
	}
	w.mu.Unlock()
	b.Release()
}

// Bytes is what all blocks are charged with.
func (w *WAL) Bytes() int64 {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.mu.bytes
}

// Range returns the positions held, as [first, next).
func (w *WAL) Range() (first, next base.WALPos) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.mu.first, w.mu.first + base.WALPos(len(w.mu.items)-w.mu.head)
}
