// Package file is the WAL in a directory: on a local disk or a block volume, or on a file system that several nodes share.
//
//	DIR/wal.header           whose directory it is (identity.go)
//	DIR/<node>-<epoch>/      one node epoch's WAL; made whole under another name, never used by a later epoch
//	    token                who may write: its maker, until a rescuer adds its own mark (token.go)
//	    lock                 flock of the writing process, where DIR is local
//	    00000000.seg …       segments (segment.go): preallocated, already written, filled one after the other
//	    sealed               the end of the log, once it was sealed
//	DIR/<node>-<epoch>.over  WALs of the node up to that epoch were rescued and removed, and none is made any more (over.go)
//
// Invariants:
//
//  1. A block is acknowledged only after its durable write, and where DIR is shared only after the token was read again by a fresh
//     open, later than that write, and was still free of a rescuer's mark.
//
//  2. A rescuer marks the token and syncs it before it reads the log. With 1: what it does not find was never acknowledged.
//     Where DIR is local the lock takes the token's place: it is free only when the writing process is gone.
//
//  3. Segments are used in the order of their sequence numbers, and these are contiguous. A block carries its segment's number, so
//     what an earlier use of the same file left behind is not mistaken for a block of this one.
//
//  4. A segment is stamped with its next number, durably, before a block goes into it, and only after all its blocks were trimmed.
//     The stamp alternates between two slots: a torn one leaves the old one.
//
//  5. A bad block is the torn end of the log only if nothing proves that it was durable: no valid block behind it that was sealed
//     when the durable position was past it, and no trim past it. Else the log is refused with file and offset (recover.go).
//
//  6. A node epoch's WAL is never made twice, not even after it was removed or when a rescuer found none: a writer that wakes
//     up late finds its place taken, or a higher epoch over.
//
//  7. The write path does not extend files. Segments are made in the background; when writing catches up with that, the next
//     segment is used as soon as it is allocated, its rest not yet written, and when the capacity is used up writing waits for Trim.
//
//  8. An operation of the disk that is under way for longer than it may be fails the log as an error does, once and for good (stall.go). Its block is
//     undetermined: refused here, never acknowledged late, and read by nobody who has not sealed the log.
//
//  9. Nothing is removed before its writer is fenced: by whoever sealed the log, or, where that failed and nobody needs its end, by the removal.
//
// Goroutines: two writers and the preparer, and the commit.Queue's deliverer, all owned by the Log and ended by Close; those that hang in a call of the disk
// stay until it returns, and with them the files and the lock.
//
// Locks: space.mu, watch.mu, and the queue's; none is taken with another held.
package file
