package cache

import (
	"math/bits"

	"sluice/storage/object"
)

// shortExtents is up to how many extents of a stream in an object are made equal.
const shortExtents = 4

// runLocked decides how many blocks from i on one GET reads: those of one stream that end in the same extent, until want bytes are
// reached, up to the first that is cached; what is left of the stream behind the extent, if it is little; and behind the end of the stream its neighbours.
func (c *Blocks) runLocked(x *object.Index, i int, want, extent int64) (n int) {
	first, total, last := &x.Entries[i], int64(0), int64(0)
	g := gridOf(x, i, extent)
	for k := i; ; k++ {
		if k == len(x.Entries) || x.Entries[k].Stream != first.Stream {
			return c.neighboursLocked(x, i, k)
		}
		e := &x.Entries[k]
		if c.mu.blocks[blockKey{x.Footer.ID, e.Pos}] != nil {
			return max(n, 1)
		}
		switch {
		case k > i && total >= want:
			return n
		case g.cell(e) == g.cell(first):
			n++
		default:
			if last += int64(e.Size); last > extent/4 {
				return n
			}
		}
		total += int64(e.Size)
	}
}

// grid says where the extents of a stream in an object begin and end.
type grid struct{ zero, size int64 }

// gridOf lays extents of about the given size over what the object has of the stream of block i: a few equal ones where it is short, so that none of them is
// a remnant, otherwise a power of two, so that those of different sizes end together.
func gridOf(x *object.Index, i int, extent int64) grid {
	id := x.Entries[i].Stream
	from, _ := x.Find(id, 0)
	to, _ := x.Find(id+1, 0)
	last := &x.Entries[to-1]
	zero := x.Entries[from].Pos
	if all := last.Pos + int64(last.Size) - zero; all <= shortExtents*extent {
		n := max(1, (all-extent/4+extent-1)/extent)
		return grid{zero, (all + n - 1) / n}
	}
	return grid{zero, 1 << (bits.Len64(uint64(extent)) - 1)}
}

// cell is the number of the extent that a block ends in.
func (g grid) cell(e *object.Entry) int64 { return (e.Pos + int64(e.Size) - 1 - g.zero) / g.size }

// sizeOf is how many bytes the n blocks from i on have.
func sizeOf(x *object.Index, i, n int) (bytes int64) {
	for k := i; k < i+n; k++ {
		bytes += int64(x.Entries[k].Size)
	}
	return bytes
}
