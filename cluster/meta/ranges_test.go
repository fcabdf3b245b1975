package meta

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

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

// sound checks the shape of a list: what it says of itself, no gap, and compact but for what appends and trims leave at the two ends.
func sound(l rangeList) error {
	n, at := 0, base.Offset(-1)
	for k, c := range l.chunks {
		if len(c.refs) == 0 || len(c.refs) != len(c.starts) || len(c.refs) > rangeChunkMax {
			return fmt.Errorf("chunk %d has %d ranges and %d starts", k, len(c.refs), len(c.starts))
		}
		if k > 0 && c.starts[0] != at {
			return fmt.Errorf("chunk %d begins at %d, the one before it ends at %d", k, c.starts[0], at)
		}
		if k > 1 && len(l.chunks[k-1].refs)+len(c.refs) <= rangeChunkMax {
			return fmt.Errorf("chunks %d and %d have %d and %d ranges", k-1, k, len(l.chunks[k-1].refs), len(c.refs))
		}
		if !slices.IsSorted(c.starts) || c.starts[len(c.starts)-1] >= c.end {
			return fmt.Errorf("chunk %d: starts %v, end %d", k, c.starts, c.end)
		}
		n, at = n+len(c.refs), c.end
	}
	if n != l.len() || len(l.chunks) > 2*n/rangeChunkMax+2 {
		return fmt.Errorf("%d ranges in %d chunks, counted %d", l.len(), len(l.chunks), n)
	}
	return nil
}

func allOf(l rangeList) []Range {
	var out []Range
	l.walk(spot{}, func(r Range) bool { out = append(out, r); return true })
	return out
}

// A list does what a slice would, stays compact, and never changes once it was seen.
func TestRangeListIsASlice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var l rangeList
		var model []Range
		next, object := base.Offset(0), base.ObjectID(1)
		fresh := func(from, to base.Offset) Range {
			object++
			return Range{OffsetRange: base.OffsetRange{Start: from, End: to}, Object: object, Bytes: int64(object), MaxTimestamp: -int64(object)}
		}
		type seen struct {
			l    rangeList
			want []Range
		}
		var past []seen
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				for range rapid.IntRange(1, 40).Draw(rt, "n") {
					r := fresh(next, next+base.Offset(rapid.IntRange(1, 4).Draw(rt, "len")))
					l, model, next = l.append(r), append(model, r), r.End
				}
			},
			"trim": func(rt *rapid.T) {
				if len(model) == 0 {
					return
				}
				k := rapid.IntRange(0, len(model)/3).Draw(rt, "k")
				gone := []Range(nil)
				l = l.dropBelow(model[k].Start, func(r Range) { gone = append(gone, r) })
				if !slices.Equal(gone, model[:k]) {
					rt.Fatalf("dropped %v, want %v", gone, model[:k])
				}
				model = slices.Clone(model[k:])
			},
			"replace": func(rt *rapid.T) {
				if len(model) == 0 {
					return
				}
				i := rapid.IntRange(0, len(model)-1).Draw(rt, "i")
				n := rapid.IntRange(1, min(len(model)-i, 50)).Draw(rt, "n")
				at, end := model[i].Start, model[i+n-1].End
				if i == 0 {
					at -= base.Offset(rapid.IntRange(-1, 1).Draw(rt, "shift"))
					at = max(0, min(at, end-1))
				}
				var by []Range
				for at < end {
					r := fresh(at, min(end, at+base.Offset(rapid.IntRange(1, 200).Draw(rt, "len"))))
					by, at = append(by, r), r.End
				}
				s, ok := l.find(model[i].Start)
				if !ok {
					rt.Fatalf("no range at %d", model[i].Start)
				}
				gone := []Range(nil)
				l = l.replace(s, n, by, func(r Range) { gone = append(gone, r) })
				if !slices.Equal(gone, model[i:i+n]) {
					rt.Fatalf("dropped %v, want %v", gone, model[i:i+n])
				}
				model = slices.Concat(model[:i], by, model[i+n:])
			},
			"keep": func(*rapid.T) { past = append(past, seen{l, model}) },
			"": func(rt *rapid.T) {
				if err := sound(l); err != nil {
					rt.Fatal(err)
				}
				if got := allOf(l); !slices.Equal(got, model) {
					rt.Fatalf("%v, want %v", got, model)
				}
				for off := base.Offset(0); off < next; off++ {
					k := slices.IndexFunc(model, func(r Range) bool { return r.Start == off })
					if _, ok := l.find(off); ok != (k >= 0) {
						rt.Fatalf("find %d: %v", off, ok)
					}
				}
			},
		})
		for _, p := range past {
			if got := allOf(p.l); !slices.Equal(got, p.want) {
				rt.Fatalf("a list that was seen has changed: %v, want %v", got, p.want)
			}
		}
	})
}

// A list of a thousand ranges that is merged ten by ten, again and again, while it grows, has few chunks.
func TestReplacedListsStayCompact(t *testing.T) {
	var l rangeList
	off := base.Offset(0)
	for round := range 200 {
		for range 100 {
			l = l.append(Range{OffsetRange: base.OffsetRange{Start: off, End: off + 1}, Object: 1})
			off++
		}
		for i := 0; i+10 <= l.len(); i++ {
			rs := allOf(l)
			s, _ := l.find(rs[i].Start)
			l = l.replace(s, 10, []Range{{OffsetRange: base.OffsetRange{Start: rs[i].Start, End: rs[i+9].End}, Object: 2}}, func(Range) {})
		}
		if err := sound(l); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	if l.len() > 2000 || l.first() != 0 || l.end() != off {
		t.Fatalf("%d ranges, [%d, %d)", l.len(), l.first(), l.end())
	}
}
