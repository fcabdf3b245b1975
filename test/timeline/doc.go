// Package timeline collects what a run under faults did, second by second, and writes it as a page and as JSON: throughput, latency, faults as
// bands, counts of operations by client stack, and a verdict for each guarantee.
//
// Invariants:
//
//  1. A guarantee passes only if nothing spoke against it and everything it needs has happened: a fault that never fired, or an operation that
//     never succeeded, leaves it unknown.
//  2. What speaks against a guarantee stays: nothing that comes later takes it back.
//  3. The page needs nothing from elsewhere: no script, no font, no image.
//
// A [Recorder] is safe for concurrent use; the package starts no goroutine.
package timeline
