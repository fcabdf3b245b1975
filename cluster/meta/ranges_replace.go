package meta

import (
	"slices"
	"sort"

	"sluice/base"
)

// Replacing keeps a list compact: no two neighbouring chunks could be one, but for the first, which trims cut. So a list of n ranges has at
// most 2n/rangeChunkMax+2 chunks, whatever was replaced by whatever, and a replacement costs the chunks it touches plus a pointer per
// chunk, as an append does.

// spot is the place of a range in a list: which chunk, which range of it.
type spot struct{ chunk, at int }

// find returns the place of the range that starts at off, or for the list's first range also that of one which starts below; ok is false
// where none does.
func (l rangeList) find(off base.Offset) (spot, bool) {
	k := sort.Search(len(l.chunks), func(i int) bool { return l.chunks[i].end > off })
	if k == len(l.chunks) {
		return spot{}, false
	}
	i, ok := slices.BinarySearch(l.chunks[k].starts, off)
	return spot{k, i}, ok
}

// walk calls yield for the ranges from the one at s on, in order, until it returns false.
func (l rangeList) walk(s spot, yield func(Range) bool) {
	for k, i := s.chunk, s.at; k < len(l.chunks); k, i = k+1, 0 {
		for ; i < len(l.chunks[k].refs); i++ {
			if !yield(l.chunks[k].at(i)) {
				return
			}
		}
	}
}

// replace returns the list with the n ranges from the one at s on replaced by others, and calls dropped for each of those that go. The others
// must be contiguous, at least one, and leave no gap to what remains on either side; the list's first range may begin elsewhere.
func (l rangeList) replace(s spot, n int, by []Range, dropped func(Range)) rangeList {
	first, last := s.chunk, s.chunk
	head := l.chunks[first].ranges(0, s.at)
	i := s.at
	for left := n; ; last, i = last+1, 0 {
		c := l.chunks[last]
		for ; left > 0 && i < len(c.refs); i++ {
			dropped(c.at(i))
			left--
		}
		if left == 0 {
			break
		}
	}
	mid := slices.Concat(head, by, l.chunks[last].ranges(i, len(l.chunks[last].refs)))
	for { // take in neighbours that could be one chunk with what is at the edge
		low, high := chunkSizes(len(mid))
		if first > 0 && len(l.chunks[first-1].refs)+high <= rangeChunkMax {
			first--
			mid = append(l.chunks[first].ranges(0, len(l.chunks[first].refs)), mid...)
			continue
		}
		if last+1 < len(l.chunks) && len(l.chunks[last+1].refs)+low <= rangeChunkMax {
			last++
			mid = append(mid, l.chunks[last].ranges(0, len(l.chunks[last].refs))...)
			continue
		}
		break
	}
	return rangeList{slices.Concat(l.chunks[:first], chunked(mid), l.chunks[last+1:])}
}

// chunkSizes returns the sizes of the last and of the first chunk that n ranges are cut into.
func chunkSizes(n int) (low, high int) {
	k := (n + rangeChunkMax - 1) / rangeChunkMax
	return n / k, (n + k - 1) / k
}

// chunked cuts ranges into chunks of about the same size, as few as possible.
func chunked(rs []Range) []*rangeChunk {
	k := (len(rs) + rangeChunkMax - 1) / rangeChunkMax
	out := make([]*rangeChunk, 0, k)
	for ; k > 0; k-- {
		n := (len(rs) + k - 1) / k
		out = append(out, newRangeChunk(rs[:n]))
		rs = rs[n:]
	}
	return out
}

func newRangeChunk(rs []Range) *rangeChunk {
	c := &rangeChunk{starts: make([]base.Offset, len(rs)), refs: make([]rangeRef, len(rs)), end: rs[len(rs)-1].End}
	for i, r := range rs {
		if i > 0 && rs[i-1].End != r.Start {
			panic("BUG: meta: replaced ranges leave a gap")
		}
		c.starts[i], c.refs[i] = r.Start, rangeRef{object: r.Object, bytes: r.Bytes, maxTS: r.MaxTimestamp}
	}
	return c
}

// ranges returns the ranges [from, to) of a chunk.
func (c *rangeChunk) ranges(from, to int) []Range {
	out := make([]Range, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, c.at(i))
	}
	return out
}
