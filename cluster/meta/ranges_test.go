package meta

import (
	"testing"

	"sluice/base"
)

// What is dropped from the front of a list is not kept in memory by what is left, wherever the cut is; the list that it was cut from stays whole.
func TestDroppedRangesAreFreed(t *testing.T) {
	const n = 3 * rangeChunkMax
	var whole rangeList
	for i := range base.Offset(n) {
		whole = whole.append(Range{OffsetRange: base.OffsetRange{Start: i, End: i + 1}, Object: base.ObjectID(i + 1)})
	}
	for cut := range n {
		gone := 0
		l := whole.dropBelow(base.Offset(cut), func(Range) { gone++ })
		if gone != cut || l.len() != n-cut || l.first() != base.Offset(cut) || whole.len() != n || whole.first() != 0 {
			t.Fatalf("cut at %d: %d gone, %d left from %d", cut, gone, l.len(), l.first())
		}
		if cut > 0 && &l.chunks[len(l.chunks)-1] == &whole.chunks[len(whole.chunks)-1] {
			t.Fatalf("cut at %d: shares the list of chunks", cut)
		}
		first, old := l.chunks[0], whole.chunks[cut/rangeChunkMax]
		if len(first.refs) < len(old.refs) && &first.refs[len(first.refs)-1] == &old.refs[len(old.refs)-1] {
			t.Fatalf("cut at %d: shares a chunk that was cut", cut)
		}
	}
}
