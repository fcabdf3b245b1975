// Package marker writes transaction markers into the partitions that this node leads: what a transaction coordinator, of this node or of
// another, asks of it when a transaction has ended (WriteTxnMarkers).
//
// Invariants:
//
//  1. Every marker of a request is answered for each of its partitions, in the request's order, and the request exactly once.
//  2. NONE means that the marker is durable. For a partition of __consumer_offsets it means besides that the group coordinator has
//     replayed it: whoever asks for the groups' offsets from then on gets those of the transaction.
//  3. Nothing is written where the partition's fences say no; every other failure has a code by which the coordinator tries again. A marker that was
//     written and whose answer was lost may be written again.
//
// Partitions of __consumer_offsets are written by the group coordinator alone, for the place of a marker among its records is part of its
// state; so it is asked to.
//
// Goroutines: none. Markers are appended on the caller's goroutine, which may have to wait for room; answers come on that of the last
// append to end.
package marker
