package memdisk

import "bytes"

const (
	pageBytes   = 64 << 10
	sectorBytes = 512
)

var zeros [pageBytes]byte

// pages is sparse content: a missing page reads as zeros.
type pages struct {
	size int64
	page map[int64][]byte
}

func (c *pages) write(p []byte, off int64) {
	for len(p) > 0 {
		at := off % pageBytes
		n := min(int64(len(p)), pageBytes-at)
		page := c.page[off/pageBytes]
		if page == nil && !bytes.Equal(p[:n], zeros[:n]) {
			page = make([]byte, pageBytes)
			c.page[off/pageBytes] = page
		}
		if page != nil {
			copy(page[at:], p[:n])
		}
		p, off = p[n:], off+n
	}
}

func (c *pages) read(p []byte, off int64) int {
	n := int(min(int64(len(p)), max(0, c.size-off)))
	for p = p[:n]; len(p) > 0; {
		at := off % pageBytes
		k := min(int64(len(p)), pageBytes-at)
		if page := c.page[off/pageBytes]; page != nil {
			copy(p[:k], page[at:])
		} else {
			clear(p[:k])
		}
		p, off = p[k:], off+k
	}
	return n
}

func (c *pages) clone() *pages {
	d := &pages{size: c.size, page: make(map[int64][]byte, len(c.page))}
	for i, p := range c.page {
		d.page[i] = bytes.Clone(p)
	}
	return d
}
