package cost

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// reads says what GETs were for.
type reads struct {
	byObject map[string]*objectReads
}

// objectReads are the GETs of one object; an index is what is read up to the object's end.
type objectReads struct {
	size, bytes   int64
	index, blocks int
	parts         map[[2]int64]int // [from, to) of what was read, and how often
}

// watch begins to note GETs, of objects of partitions.
func (b *bucket) watch() *reads {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads = &reads{byObject: map[string]*objectReads{}}
	return b.reads
}

func (b *bucket) note(key string, off, n, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reads == nil || strings.Contains(key, "meta") {
		return
	}
	o := b.reads.byObject[key]
	if o == nil {
		o = &objectReads{size: size, parts: map[[2]int64]int{}}
		b.reads.byObject[key] = o
	}
	if off+n == size {
		o.index++
		return
	}
	o.blocks++
	o.bytes += n
	o.parts[[2]int64{off, off + n}]++
}

// again is how many bytes were read that had been read before.
func (o *objectReads) again() (bytes int64) {
	end := int64(0)
	bytes = o.bytes
	for _, p := range slices.SortedFunc(maps.Keys(o.parts), func(a, b [2]int64) int { return int(a[0] - b[0]) }) {
		bytes -= max(0, p[1]-max(end, p[0]))
		end = max(end, p[1])
	}
	return bytes
}

func (r *reads) String() string {
	index, blocks, bytes, again := 0, 0, int64(0), int64(0)
	var sizes []int64
	for _, o := range r.byObject {
		index, blocks, bytes, again = index+o.index, blocks+o.blocks, bytes+o.bytes, again+o.again()
		sizes = append(sizes, o.size)
	}
	if blocks == 0 {
		return "nothing"
	}
	slices.Sort(sizes)
	return fmt.Sprintf("%d objects of %.1f, %.1f, %.1f MiB (least, median, most), %d GETs of indexes, %d of blocks with %.2f MiB on the average, %.0f MiB in all, %.0f of them again", len(sizes),
		mib(sizes[0]), mib(sizes[len(sizes)/2]), mib(sizes[len(sizes)-1]), index, blocks, mib(bytes)/float64(blocks), mib(bytes), mib(again))
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
