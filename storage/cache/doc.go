// Package cache holds the two memories of the storage engine: [WAL], a FIFO of the blocks that a broker's write-ahead log made
// durable, with an [Index] per stream; and [Blocks], an LRU of blocks read from objects, which reads ahead.
//
// Invariants:
//
//  1. Whoever is handed a block holds a reference to its memory until he releases it; eviction gives back only the cache's own
//     reference, so nothing that is being read is recycled.
//
//  2. WAL: blocks are contiguous by position. They enter at the end and leave at the front; the owner decides which may leave
//     (only what is uploaded and trimmed). The entries of an Index name blocks by position and are dropped before their block.
//
//  3. Blocks: keyed by object id, which is never reused, so nothing in it can be stale. One GET per block at a time, whoever wants it;
//     its result, good or bad, goes to everybody who waits for it. A failure is not remembered.
//
//  4. Every entry is charged with the memory it really pins (whole slabs) plus a fixed overhead per record, so tiny records cannot
//     grow memory past the budget. Bounds: Blocks holds at most its budget plus what is being read right now for somebody who waits,
//     which is at most half the budget or 8 MiB. [TestBudget, TestTinyBudget] What it is lent beyond its budget it gives back by
//     eviction when told to Shrink. [stream: TestOneBudget, TestLentToBlocks]
//
//  5. Reading ahead has a lane of its own (GETs and bytes), never waits for it, and tells its owner when what it read was evicted unread.
//     What was read to its end is evicted before what was not. [TestPrefetch]
//
//  6. Extents end at multiples of their size from where their stream begins in the object, and are made equal where there are few: so readers of one stretch share
//     them, whoever came first, the number of GETs depends on bytes, not on readers, and no GET brings a remnant. [TestExtentsFitTheStream, stream: TestCatchUpRequests]
//
//  7. What is small in an object is read in packs of neighbours, which follow from the index alone: one GET for each, in whatever order and however many at a time its streams are wanted.
//     What is brought and not read is bounded, by a part of the memory and by a credit that only neighbours that are read renew: who reads all partitions of a topic
//     needs GETs by bytes, whoever reads one of them wastes a bounded number. [TestNeighbours, TestPacks, cost: TestCatchUpReads]
//
// Goroutines: one per GET that is under way, ended by Blocks.Close. One mutex per cache, never held across I/O.
package cache
