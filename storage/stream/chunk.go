package stream

import (
	"unsafe"

	"sluice/base"
	"sluice/base/slab"
)

// Chunk is a run of whole records, as segments of memory that lives until Release. The bytes must not be changed.
type Chunk struct {
	Segments   [][]byte
	Start, End base.Offset // from the first record's start to the last one's end; equal when there is no record
	Bytes      int

	bufs    []*slab.Buf // one reference each
	last    *slab.Buf   // also in bufs; the one referred to last
	scratch *slab.Buf   // also in bufs; where small records are copied to
	used    int         // bytes of scratch

	segmentArray [4][]byte // so that most chunks are one allocation
	bufArray     [4]*slab.Buf
}

func newChunk(from base.Offset) *Chunk {
	c := &Chunk{Start: from, End: from}
	c.Segments, c.bufs = c.segmentArray[:0], c.bufArray[:0]
	return c
}

// Release gives the memory back. It must be called exactly once, after the last use of Segments; a nil chunk is allowed.
func (c *Chunk) Release() {
	if c == nil {
		return
	}
	if c.bufs == nil {
		panic("BUG: stream: chunk released twice")
	}
	for _, b := range c.bufs {
		b.Release()
	}
	*c = Chunk{}
}

// fits reports whether a record of n bytes may be added under the rules of Read.
func (c *Chunk) fits(n, maxBytes int, minOne bool) bool {
	return c.Bytes+n <= maxBytes || minOne && c.Bytes == 0
}

// extend notes that the record r with n bytes was added.
func (c *Chunk) extend(r base.OffsetRange, n int) {
	if c.Bytes == 0 {
		c.Start = r.Start
	}
	c.End = r.End
	c.Bytes += n
}

// refer adds data, which lies in buf, and takes a reference to buf of its own.
func (c *Chunk) refer(data []byte, buf *slab.Buf) {
	if c.last != buf {
		buf.Retain(1)
		c.bufs = append(c.bufs, buf)
		c.last = buf
	}
	c.addSegment(data)
}

// copyIn adds a copy of data.
func (c *Chunk) copyIn(data []byte, pool *slab.Pool) {
	if c.scratch == nil || len(c.scratch.B)-c.used < len(data) {
		size := scratchMinBytes
		if c.scratch != nil {
			size = min(4*len(c.scratch.B), scratchMaxBytes)
		}
		c.scratch, c.used = pool.Get(max(size, len(data))), 0
		c.bufs = append(c.bufs, c.scratch)
	}
	dst := c.scratch.B[c.used : c.used+len(data)]
	copy(dst, data)
	c.used += len(data)
	c.addSegment(dst)
}

// addSegment adds data, joined with the segment before it where that ends where data begins in one buffer (the capacity tells).
func (c *Chunk) addSegment(data []byte) {
	if n := len(c.Segments); n > 0 {
		if last := c.Segments[n-1]; cap(last)-len(last) >= len(data) && unsafe.SliceData(last[len(last):len(last)+1]) == unsafe.SliceData(data) {
			c.Segments[n-1] = last[:len(last)+len(data)]
			return
		}
	}
	c.Segments = append(c.Segments, data)
}

// offsetIn returns where data, which aliases buf, begins in it.
func offsetIn(buf *slab.Buf, data []byte) int {
	return int(uintptr(unsafe.Pointer(unsafe.SliceData(data))) - uintptr(unsafe.Pointer(unsafe.SliceData(buf.B))))
}
