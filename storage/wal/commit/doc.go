// Package commit is the group commit that all WAL classes share: appends are gathered into blocks, the class writes the blocks,
// and what became durable is reported in log order.
//
//	Append → open block → full blocks → in flight (written by the class) → delivered: OnBlock, then the done calls
//
// Invariants:
//
//  1. Blocks are numbered in the order in which they leave the queue, records keep the order of the calls to Append, and both
//     are delivered in that order, whatever order the writes end in.
//  2. A block is delivered only when it and all blocks before it are durable and, where the class asks for it, Confirm has said
//     after that that this writer still holds the log. The durable position written into later blocks is that of delivery.
//  3. Every append gets exactly one done call, also after a failure: a failure is sticky, and the records of a block share its fate.
//  4. No lock is held while a class writes or places a block, or while OnBlock, OnFailed, Confirm or a done call runs.
//  5. A block's memory is not touched after it was sealed, and not released before its write has ended, failed or not.
//  6. A write that hangs holds up nobody once the queue has been given up: its block is refused like all that are pending, and is never delivered, however
//     the write ends. Of it nothing is known, so who reads the log must have sealed it.
//
// Goroutines: one that delivers, owned by the Queue and ended by Close. Writers belong to the class; they call Next and Done.
// OnFailed runs on a goroutine of its own, so that it may close the log, and so does each Confirm, so that it may hang.
//
// Memory: blocks are cut one after the other out of arenas (slab buffers), each block with a reference of its own, so a block
// with one small record costs 4 KiB and not a whole buffer. What the queue holds is bounded by what its caller admits.
//
// Locks: Queue.mu is the only one. It is held for the time of a few dozen instructions and, for records up to copyLockedBytes, of the copy.
package commit
