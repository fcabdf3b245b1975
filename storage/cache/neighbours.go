package cache

import (
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
)

// What a stream has in a stream-set object may be a few kilobytes. Who reads many partitions, as consumers of a topic do, soon wants what lies behind it, and a GET costs the same
// whatever it brings. So a GET that comes to the end of its stream goes on with the next ones, to the end of the extent. Who reads one partition wants none of it:
// so such bytes are taken out of a credit, and come back twofold when they are read.
const (
	neighbourEarns   = 2        // bytes of credit for a neighbour's byte that is read, one of which was paid for it
	ownEarns         = 16       // so many bytes of its own that a GET reads are one of credit: to try again now and then
	neighbourParts   = 4        // a neighbour is small if that many of it make an extent
	neighbourExtents = 16       // at least so many such extents fit the budget: readers of partitions that are not in step go through several objects at a time
	creditMost       = 64 << 20 // or half the budget, if that is less
)

func (c *Blocks) creditMax() int64 { return min(creditMost, c.opt.Bytes/2) }

func (c *Blocks) earnLocked(bytes int64) { c.mu.credit = min(c.mu.credit+bytes, c.creditMax()) }

// neighboursLocked returns how many blocks a GET reads which comes, at k, to the end of the stream of block i: with all of the next stream, and of the one behind that, as long as they
// are small, none of them is cached, they begin in the same extent, and the credit reaches. A large one is left to who reads it: his extents would be cut up.
func (c *Blocks) neighboursLocked(x *object.Index, i, k int) (n int) {
	first, most, left := &x.Entries[i], min(extentBytes, c.opt.Bytes/neighbourExtents), c.mu.credit
	for k < len(x.Entries) {
		next := &x.Entries[k]
		if next.Pos/extentBytes != first.Pos/extentBytes || next.Pos-first.Pos >= most {
			break
		}
		end, bytes := c.wholeLocked(x, k)
		if end == k || bytes > left || bytes > most/neighbourParts {
			break
		}
		k, left = end, left-bytes
	}
	return k - i
}

// wholeLocked returns the end and the size of what the object has of the stream of block k, or k if that does not follow the block before it, or not all of it is to be had by one GET.
func (c *Blocks) wholeLocked(x *object.Index, k int) (end int, bytes int64) {
	for end = k; end < len(x.Entries) && x.Entries[end].Stream == x.Entries[k].Stream; end++ {
		e, before := &x.Entries[end], &x.Entries[end-1]
		if e.Pos != before.Pos+int64(before.Size) || c.cachedLocked(x, end) {
			return k, 0
		}
		bytes += int64(e.Size)
	}
	return end, bytes
}

// ownBytes is how many bytes of the extent belong to the stream that it was read for.
func (ext *extent) ownBytes() (n int64) {
	for k := range ext.blocks {
		if ext.blocks[k].Entry.Stream == ext.blocks[0].Entry.Stream {
			n += int64(ext.blocks[k].Entry.Size)
		}
	}
	return n
}

// ownUnread is how many of those nobody has asked for.
func (ext *extent) ownUnread() (n int64) {
	for k := range ext.blocks {
		if b := &ext.blocks[k]; !b.read && b.Entry.Stream == ext.blocks[0].Entry.Stream {
			n += int64(b.Entry.Size)
		}
	}
	return n
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
