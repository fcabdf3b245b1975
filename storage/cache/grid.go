package cache

import (
	"math/bits"

	"sluice/storage/object"
)

// shortExtents is up to how many extents of a stream in an object are made equal.
const shortExtents = 4

// runLocked decides which blocks [from, to) one GET reads for block i: those of its stream from there on that end in the same extent, until want bytes are
// reached, up to the first that is cached, and what is left of the stream behind the extent, if it is little. If that is all that is left of the stream, its pack, with room bytes of
// others at most.
func (c *Blocks) runLocked(x *object.Index, i int, want, extent, room int64) (from, to int) {
	first, total, last := &x.Entries[i], int64(0), int64(0)
	g := gridOf(x, i, extent)
	to = i
	for k := i; k < len(x.Entries) && x.Entries[k].Stream == first.Stream; k++ {
		e := &x.Entries[k]
		switch {
		case c.mu.blocks[blockKey{x.Footer.ID, e.Pos}] != nil:
			return i, max(to, i+1)
		case k > i && total >= want:
			return i, to
		case g.cell(e) == g.cell(first):
			to = k + 1
		default:
			if last += int64(e.Size); last > extent/4 {
				return i, to
			}
		}
		total += int64(e.Size)
	}
	return c.packLocked(x, i, streamEnd(x, i), room)
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

// sizeOf is how many bytes the blocks [from, to) have.
func sizeOf(x *object.Index, from, to int) (bytes int64) {
	for k := from; k < to; k++ {
		bytes += int64(x.Entries[k].Size)
	}
	return bytes
}
