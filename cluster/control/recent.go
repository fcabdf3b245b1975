package control

import (
	"cmp"
	"slices"
	"sync"

	"sluice/base"
	"sluice/cluster/metalog"
)

// recent keeps the newest acknowledged slots for followers. Whoever is further behind reads the log in the store.
type recent struct {
	mu      sync.Mutex
	entries []metalog.Entry // ascending, without gaps
	bytes   int
}

const (
	recentBytesMax = 16 << 20
	recentMax      = 8192
)

func (r *recent) add(e metalog.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, e)
	r.bytes += len(e.Body)
	drop := 0
	for r.bytes > recentBytesMax && drop < len(r.entries)-1 || len(r.entries)-drop > recentMax {
		r.bytes -= len(r.entries[drop].Body)
		drop++
	}
	if drop > 0 {
		clear(r.entries[:drop])
		r.entries = r.entries[drop:]
	}
}

// from returns entries that begin at pos, at most about max bytes of them. ok is false when they are not here any more.
func (r *recent) from(pos base.MetaPos, max int) (out []metalog.Entry, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := slices.BinarySearchFunc(r.entries, pos, func(e metalog.Entry, pos base.MetaPos) int { return cmp.Compare(e.From, pos) })
	if ok {
		n, bytes := 0, 0
		for _, e := range r.entries[i:] {
			if n > 0 && bytes+len(e.Body) > max {
				break
			}
			n, bytes = n+1, bytes+len(e.Body)
		}
		return r.entries[i : i+n : i+n], true
	}
	if i < len(r.entries) {
		return nil, false
	}
	if k := len(r.entries); k > 0 {
		last := r.entries[k-1]
		return nil, last.From+base.MetaPos(last.Records) == pos // nothing new
	}
	return nil, false
}
