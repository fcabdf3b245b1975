package cache

import (
	"sort"

	"sluice/base"
)

// Entry says where a record of a stream is in the WAL cache. It has no pointers, so millions of them cost the garbage collector
// nothing.
type Entry struct {
	Base         base.Offset
	MaxTimestamp int64
	Pos          base.WALPos // of the block
	Record       int32       // in the block
	Count        int32       // offsets
}

// End is the offset behind the record.
func (e *Entry) End() base.Offset { return e.Base + base.Offset(e.Count) }

// Index lists the records of one stream that are in the WAL cache: dense by offset, ascending by block. The zero value is empty. Its owner
// serialises access.
type Index struct {
	items []Entry
	head  int
}

// keepCap is how many entries an index that became empty may keep memory for.
const keepCap = 64

// Len is the number of records.
func (x *Index) Len() int { return len(x.items) - x.head }

// At returns the i-th record.
func (x *Index) At(i int) *Entry { return &x.items[x.head+i] }

// Append adds the next record.
func (x *Index) Append(e Entry) {
	if n := len(x.items); n > x.head && x.items[n-1].End() != e.Base {
		panic("BUG: cache: WAL index has a gap")
	}
	if x.head > keepCap && x.head > len(x.items)/2 {
		n := copy(x.items, x.items[x.head:])
		x.items, x.head = x.items[:n], 0
	}
	x.items = append(x.items, e)
}

// DropThrough removes the records of all blocks up to and including pos.
func (x *Index) DropThrough(pos base.WALPos) {
	for x.head < len(x.items) && x.items[x.head].Pos <= pos {
		x.head++
	}
	x.shrink()
}

// shrink gives back the memory of an index that became empty.
func (x *Index) shrink() {
	switch {
	case x.head < len(x.items):
	case cap(x.items) > keepCap:
		x.items, x.head = nil, 0
	default:
		x.items, x.head = x.items[:0], 0
	}
}

// DropBelow removes the records that end at or below an offset.
func (x *Index) DropBelow(at base.Offset) {
	x.head += x.Search(at)
	x.shrink()
}

// Search returns the position of the first record that ends above from, Len if there is none.
func (x *Index) Search(from base.Offset) int {
	n := x.Len()
	if n > 0 && x.At(n-1).Base <= from { // tail reads
		if x.At(n-1).End() > from {
			return n - 1
		}
		return n
	}
	return sort.Search(n, func(i int) bool { return x.At(i).End() > from })
}
