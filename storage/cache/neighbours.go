package cache

import (
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
)

// What a stream has in a stream-set object may be a few kilobytes. Who reads many partitions, as consumers of a topic do, soon wants what lies beside it, and a GET costs the same
// whatever it brings. So streams that are small in an object are read in packs: the object is laid out in cells of equal size, and those that begin in one cell are a pack. Where a pack
// begins and ends follows from the index alone, so it is one GET, whichever of its streams is wanted first and however many are wanted at a time.
//
// Who reads one partition wants none of his neighbours. So a part of the memory is for neighbours nobody has asked for yet, and those that are evicted unread are taken out of
// a credit, which only neighbours that are read fill up again.
const (
	packBytes  = 6 << 20  // a cell, at most: what a GET reads on the average
	packParts  = 8        // at least so many packs fit the budget: readers of partitions that are not in step go through several objects at a time
	gapParts   = 8        // a pack spans cached blocks of so much of a cell at most one after the other
	ownEarns   = 16       // so many bytes of its own that a GET reads are one of credit: to try again now and then
	creditMost = 64 << 20 // or half the budget, if that is less
)

func (c *Blocks) creditMax() int64 { return min(creditMost, c.opt.Bytes/2) }

func (c *Blocks) earnLocked(bytes int64) { c.mu.credit = min(c.mu.credit+bytes, c.creditMax()) }

// roomLocked is how many bytes of neighbours a GET may bring: for one who waits until half the memory is full of such that are unread, for reading ahead until a quarter is.
func (c *Blocks) roomLocked(ahead bool) int64 {
	most := c.budget() / 2
	if ahead {
		most /= 2
	}
	return min(c.mu.credit, most-c.mu.strange)
}

// makeRoomLocked is roomLocked for one who waits, and has a use for so many bytes: what has waited for its readers for longest makes place, if the credit reaches. It will be read again by one GET, while
// without room the streams of a pack take one each.
func (c *Blocks) makeRoomLocked(bytes int64) int64 {
	for n := c.mu.fresh.back(); n != nil && c.mu.credit >= bytes && c.roomLocked(false) < bytes; {
		next := n.prev
		if n.ext != nil {
			if _, strange := n.ext.unreadOf(); strange > 0 {
				c.evictLocked(n)
			}
		}
		if n = next; n == &c.mu.fresh.root {
			break
		}
	}
	return c.roomLocked(false)
}

// crowdedLocked reports whether block i is to be left to one who waits for it: he could have its whole pack, but reading ahead may not bring that now.
func (c *Blocks) crowdedLocked(x *object.Index, i int) bool {
	first, _ := x.Find(x.Entries[i].Stream, 0)
	end, cell := streamEnd(x, i), c.cellOf(x)
	return sizeOf(x, first, end) <= cell/4 && c.mu.credit >= cell && c.roomLocked(true) < cell
}

// cellOf is the size of the cells of an object: equal, so that none is a remnant.
func (c *Blocks) cellOf(x *object.Index) int64 {
	last := &x.Entries[len(x.Entries)-1]
	return c.cellSize(last.Pos + int64(last.Size) - x.Entries[0].Pos)
}

// cellSize is that of an object with so many bytes.
func (c *Blocks) cellSize(all int64) int64 {
	most := max(1, min(packBytes, c.opt.Bytes/packParts))
	cells := max(1, (all+most/2)/most)
	return (all + cells - 1) / cells
}

// smallLocked reports whether the stream of block i is read in packs.
func (c *Blocks) smallLocked(x *object.Index, i int) bool {
	first, _ := x.Find(x.Entries[i].Stream, 0)
	return sizeOf(x, first, streamEnd(x, i)) <= c.cellOf(x)/4*3
}

// packLocked returns the blocks [from, to) that one GET reads for those of a stream from block i up to its end: if it is small in the object, with the streams beside it that are of the
// same pack, as far as the credit reaches, those behind it first; over what is cached already, if it is little.
func (c *Blocks) packLocked(x *object.Index, i, end int, left int64) (from, to int) {
	cell, zero := c.cellOf(x), x.Entries[0].Pos
	first, _ := x.Find(x.Entries[i].Stream, 0)
	number := (x.Entries[first].Pos - zero) / cell
	if sizeOf(x, first, end) > cell/4*3 {
		return i, end
	}
	small := func(bytes int64) bool { return bytes <= left && bytes <= cell/4*3 }
	to, from = end, i
	for at, gap := end, int64(0); at < len(x.Entries) && (x.Entries[at].Pos-zero)/cell == number; {
		next := streamEnd(x, at)
		switch cached, bytes := c.cachedOfLocked(x, at, next); {
		case cached == bytes && gap+bytes <= cell/gapParts: // read again rather than by two GETs
			gap += bytes
		case cached > 0 || !small(bytes):
			next = len(x.Entries)
		default:
			to, left, gap = next, left-bytes-gap, 0
		}
		at = next
	}
	for at, gap := i, int64(0); at > 0 && i == first; {
		before := streamBegin(x, at-1)
		switch cached, bytes := c.cachedOfLocked(x, before, at); {
		case (x.Entries[before].Pos-zero)/cell != number:
			before = 0
		case cached == bytes && gap+bytes <= cell/gapParts:
			gap += bytes
		case cached > 0 || !small(bytes):
			before = 0
		default:
			from, left, gap = before, left-bytes-gap, 0
		}
		at = before
	}
	return from, to
}

// streamEnd is where the stream of block i ends in the index.
func streamEnd(x *object.Index, i int) int {
	for id := x.Entries[i].Stream; i < len(x.Entries) && x.Entries[i].Stream == id; {
		i++
	}
	return i
}

// streamBegin is where it begins.
func streamBegin(x *object.Index, i int) int {
	for id := x.Entries[i].Stream; i > 0 && x.Entries[i-1].Stream == id; {
		i--
	}
	return i
}

// cachedOfLocked returns how many bytes the blocks [k, end) have, and how many of them are cached or on their way.
func (c *Blocks) cachedOfLocked(x *object.Index, k, end int) (cached, bytes int64) {
	for ; k < end; k++ {
		size := int64(x.Entries[k].Size)
		if bytes += size; c.cachedLocked(x, k) {
			cached += size
		}
	}
	return cached, bytes
}

// ownBytes is how many bytes of the extent belong to the stream that it was read for.
func (ext *extent) ownBytes() (n int64) {
	for k := range ext.blocks {
		if ext.blocks[k].Entry.Stream == ext.own {
			n += int64(ext.blocks[k].Entry.Size)
		}
	}
	return n
}

// unreadOf is how many bytes nobody has asked for: of those that the extent was read for, and of neighbours.
func (ext *extent) unreadOf() (own, strange int64) {
	for k := range ext.blocks {
		switch b := &ext.blocks[k]; {
		case b.read:
		case b.Entry.Stream == ext.own:
			own += int64(b.Entry.Size)
		default:
			strange += int64(b.Entry.Size)
		}
	}
	return own, strange
}

// shares divides a GET among the streams it brings.
func (ext *extent) shares() (shares []driver.Share) {
	for k := range ext.blocks {
		e := &ext.blocks[k].Entry
		if n := len(shares); n > 0 && shares[n-1].Stream == e.Stream {
			shares[n-1].Bytes += int64(e.Size)
		} else {
			shares = append(shares, driver.Share{Stream: e.Stream, Bytes: int64(e.Size)})
		}
	}
	return shares
}
