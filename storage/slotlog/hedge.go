package slotlog

import (
	"math/bits"
	"slices"
	"time"
)

const (
	hedgeSamples   = 64 // puts that are remembered of each size
	hedgeSure      = 16 // so many must be known before any is called slow
	hedgeFactor    = 2  // slow is this many times the 95th percentile
	hedgeLeast     = 5 * time.Millisecond
	hedgeShare     = 0.05 // hedges for each put
	hedgeCreditMax = 3    // hedges that may come at once
	sizeClasses    = 6    // up to 64 KiB, 256 KiB, 1 MiB, 4 MiB, 16 MiB, above
)

// hedger says when a put takes so much longer than usual that a second one is worth its price. It has no clock. Puts are
// compared with recent ones of about their size. However slow the store gets, hedges are at most hedgeShare of the puts, plus
// hedgeCreditMax: a store that is slow because it has too much to do is not given twice as much.
type hedger struct {
	credit float64 // hedges that may be made now
	recent [sizeClasses]struct {
		seconds [hedgeSamples]float64 // a ring
		count   int
		slow    time.Duration // hedgeFactor times the 95th percentile; 0: not known
	}
}

func sizeClass(size int) int {
	return min(max(bits.Len(uint(size-1))-15, 0)/2, sizeClasses-1)
}

// begin counts a put of that size and returns after how long it is to be hedged; 0: never.
func (h *hedger) begin(size int) time.Duration {
	h.credit = min(h.credit+hedgeShare, hedgeCreditMax)
	return h.recent[sizeClass(size)].slow
}

// take asks for one hedge.
func (h *hedger) take() bool {
	if h.credit < 1 {
		return false
	}
	h.credit--
	return true
}

// ended tells how long it took from the first attempt until the put was known to be stored.
func (h *hedger) ended(size int, took time.Duration) {
	r := &h.recent[sizeClass(size)]
	r.seconds[r.count%hedgeSamples] = took.Seconds()
	if r.count++; r.count < hedgeSure {
		return
	}
	known := r.seconds
	s := known[:min(r.count, hedgeSamples)]
	slices.Sort(s)
	p95 := s[len(s)*95/100]
	r.slow = max(time.Duration(hedgeFactor*p95*float64(time.Second)), hedgeLeast)
}
