package history

import (
	"maps"
	"slices"
)

// column holds the values of a partition by offset. Offsets may be sparse: it is made of pages.
type column struct {
	pages map[int64]*page
	key   int64 // of the page that was used last
	last  *page
	keys  []int64 // ascending; made by sort
}

const pageBits = 9

type page [1 << pageBits]int32

// A slot is 0 for none, an index of a send plus 1, or a value that nobody sent, below 0.
func slotOf(i int32) int32 {
	if i < 0 {
		return i
	}
	return i + 1
}

func fromSlot(s int32) int32 {
	if s < 0 {
		return s
	}
	return s - 1
}

// slot is the place for what lies at an offset.
func (c *column) slot(offset int64) *int32 {
	key := offset >> pageBits
	if c.last == nil || c.key != key {
		if c.pages == nil {
			c.pages = map[int64]*page{}
		}
		p := c.pages[key]
		if p == nil {
			p = new(page)
			c.pages[key] = p
		}
		c.key, c.last = key, p
	}
	return &c.last[offset&(1<<pageBits-1)]
}

func (c *column) sort() { c.keys = slices.Sorted(maps.Keys(c.pages)) }

// each calls fn with what lies in [from, to), ascending, until it returns false. i is a send, or below 0.
func (c *column) each(from, to int64, fn func(offset int64, i int32) bool) {
	at, _ := slices.BinarySearch(c.keys, from>>pageBits)
	for ; at < len(c.keys) && c.keys[at]<<pageBits < to; at++ {
		key := c.keys[at]
		p := c.pages[key]
		for j := range p {
			offset := key<<pageBits + int64(j)
			if p[j] == 0 || offset < from {
				continue
			}
			if offset >= to || !fn(offset, fromSlot(p[j])) {
				return
			}
		}
	}
}
