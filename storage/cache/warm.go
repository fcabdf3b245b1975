package cache

import "sluice/storage/object"

// warmGap is how many bytes of blocks nobody asked for are read to save a GET.
const warmGap = 256 << 10

// Warm starts to read the blocks of an object at the given places of its index, ascending, of whatever streams, with few GETs: places near
// to one another are read together with what lies between them. It waits for nothing; whoever wants one of the blocks then waits for that.
func (c *Blocks) Warm(x *object.Index, places []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(places) > 0 && !c.mu.closed {
		i := places[0]
		if c.cachedLocked(x, i) {
			places = places[1:]
			continue
		}
		end, size := i+1, int64(x.Entries[i].Size)
		taken := 1
		for _, next := range places[1:] {
			gap, ok := c.gapLocked(x, end, next)
			if !ok || gap > warmGap || size+gap+int64(x.Entries[next].Size) > extentBytes {
				break
			}
			size += gap + int64(x.Entries[next].Size)
			end = next + 1
			taken++
		}
		c.loads.Add(1)
		go c.load(c.newExtentLocked(x, i, end, x.Entries[i].Stream, nil), c.foreground, false)
		places = places[taken:]
	}
}

func (c *Blocks) cachedLocked(x *object.Index, i int) bool {
	return c.mu.blocks[blockKey{x.Footer.ID, x.Entries[i].Pos}] != nil
}

// gapLocked returns the bytes of the blocks from i up to k, and false if one of them, or k, is cached: an extent holds no block twice.
func (c *Blocks) gapLocked(x *object.Index, i, k int) (bytes int64, ok bool) {
	for ; i < k; i++ {
		if c.cachedLocked(x, i) {
			return 0, false
		}
		bytes += int64(x.Entries[i].Size)
	}
	return bytes, !c.cachedLocked(x, k)
}
