// Package bulk keeps work on many bytes from taking all processors: checking what came from a bucket, copying, handing large answers to the kernel.
//
// The Go scheduler looks at the network only when a processor finds nothing else to do, or every 10 ms. So as long as there is as much bulk work ready as there
// are processors, a small request that has just come waits for up to 10 ms, on a broker that is half idle. Bulk work therefore waits its turn outside of the
// scheduler's queues: at most all processors but one do it at a time, and that one is there for whatever comes.
//
// Invariant: at most max(1, GOMAXPROCS-1) calls of [Do] run their function at one time, in the order in which they came.
//
// The package starts no goroutine.
package bulk

import "runtime"

// Bytes is how much is worth taking a turn for, and about how much should be done in one: a tenth of a millisecond of copying or sending.
const Bytes = 128 << 10

var turns = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1))

// Do calls f when its turn has come. f does not block but for the time that its work on bytes takes, and does not call Do.
func Do(f func()) {
	turns <- struct{}{}
	defer func() { <-turns }()
	f()
}

// Copy copies src to dst, as copy does; much of it in a turn.
func Copy(dst, src []byte) (n int) {
	if min(len(dst), len(src)) < Bytes {
		return copy(dst, src)
	}
	Do(func() { n = copy(dst, src) })
	return n
}
