package meta

import (
	"slices"
	"sort"

	"sluice/base"
)

// rangeList is the persistent, ordered list of the ranges of a stream. Chunks are never changed once they are in a list: an append
// copies the last chunk and the list of chunks, so its cost is a chunk plus a pointer per chunk, whatever the number of ranges.
// Ranges are dropped from the front only (trims); the first may begin below the stream's start.
type rangeList struct{ chunks []*rangeChunk }

const rangeChunkMax = 32

// rangeChunk holds consecutive ranges; the end of one is the start of the next.
type rangeChunk struct {
	starts []base.Offset
	refs   []rangeRef
	end    base.Offset
}

type rangeRef struct {
	object base.ObjectID
	bytes  int64
	maxTS  int64
}

// len counts the ranges, chunk by chunk: eight bytes more for their number in each of a hundred thousand streams cost more.
func (l rangeList) len() int {
	n := 0
	for _, c := range l.chunks {
		n += len(c.refs)
	}
	return n
}

func (l rangeList) empty() bool { return len(l.chunks) == 0 }

// end returns the end of the last range; the list must not be empty.
func (l rangeList) end() base.Offset { return l.chunks[len(l.chunks)-1].end }

// first returns the start of the first range; the list must not be empty.
func (l rangeList) first() base.Offset { return l.chunks[0].starts[0] }

// append returns the list with r at its end. r must follow the last range.
func (l rangeList) append(r Range) rangeList {
	if !l.empty() && l.end() != r.Start {
		panic("BUG: meta: appended range leaves a gap")
	}
	chunks := make([]*rangeChunk, len(l.chunks), len(l.chunks)+1)
	copy(chunks, l.chunks)
	last := len(chunks) - 1
	if last < 0 || len(chunks[last].refs) == rangeChunkMax {
		chunks = append(chunks, &rangeChunk{})
		last++
	}
	chunks[last] = chunks[last].with(r)
	return rangeList{chunks}
}

func (c *rangeChunk) with(r Range) *rangeChunk {
	n := len(c.refs)
	d := &rangeChunk{starts: make([]base.Offset, n+1), refs: make([]rangeRef, n+1), end: r.End}
	copy(d.starts, c.starts)
	copy(d.refs, c.refs)
	d.starts[n], d.refs[n] = r.Start, rangeRef{object: r.Object, bytes: r.Bytes, maxTS: r.MaxTimestamp}
	return d
}

func (c *rangeChunk) at(i int) Range {
	end := c.end
	if i+1 < len(c.starts) {
		end = c.starts[i+1]
	}
	f := c.refs[i]
	return Range{OffsetRange: base.OffsetRange{Start: c.starts[i], End: end}, Object: f.object, Bytes: f.bytes, MaxTimestamp: f.maxTS}
}

// dropBelow returns the list without the ranges that end at or below start, and calls dropped for each of those. What is left is copied, for a
// slice of it would keep the memory of what is not.
func (l rangeList) dropBelow(start base.Offset, dropped func(Range)) rangeList {
	before := len(l.chunks)
	for len(l.chunks) > 0 && l.chunks[0].end <= start {
		c := l.chunks[0]
		for i := range c.refs {
			dropped(c.at(i))
		}
		l.chunks = l.chunks[1:]
	}
	if len(l.chunks) == 0 {
		return rangeList{}
	}
	c := l.chunks[0]
	k := 0
	for ; c.at(k).End <= start; k++ {
		dropped(c.at(k))
	}
	if k == 0 && len(l.chunks) == before {
		return l
	}
	chunks := slices.Clone(l.chunks)
	if k > 0 {
		chunks[0] = &rangeChunk{starts: slices.Clone(c.starts[k:]), refs: slices.Clone(c.refs[k:]), end: c.end}
	}
	return rangeList{chunks}
}

// dropFront drops up to n ranges from the front.
func (l rangeList) dropFront(n int, dropped func(Range)) rangeList {
	if n == 0 || l.empty() {
		return l
	}
	for _, c := range l.chunks {
		if n <= len(c.refs) {
			return l.dropBelow(c.at(n-1).End, dropped)
		}
		n -= len(c.refs)
	}
	return l.dropBelow(l.end(), dropped)
}

// from calls yield for the ranges that end above off, in order, until it returns false.
func (l rangeList) from(off base.Offset, yield func(Range) bool) {
	k := sort.Search(len(l.chunks), func(i int) bool { return l.chunks[i].end > off })
	for ; k < len(l.chunks); k++ {
		c := l.chunks[k]
		i := sort.Search(len(c.refs), func(i int) bool { return c.at(i).End > off })
		for ; i < len(c.refs); i++ {
			if !yield(c.at(i)) {
				return
			}
		}
	}
}

// extend is append in place, for a list that nobody else has seen yet.
func (l *rangeList) extend(r Range) {
	last := len(l.chunks) - 1
	if last < 0 || len(l.chunks[last].refs) == rangeChunkMax {
		l.chunks = append(l.chunks, &rangeChunk{})
		last++
	}
	c := l.chunks[last]
	c.starts = append(c.starts, r.Start)
	c.refs = append(c.refs, rangeRef{object: r.Object, bytes: r.Bytes, maxTS: r.MaxTimestamp})
	c.end = r.End
}
