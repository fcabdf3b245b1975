// Package partition is one Kafka partition on its leader: it validates and stamps record batches, gives them offsets, appends them to
// the partition's data stream, and answers readers up to the high watermark.
//
// A [Partition] lives for exactly one leader epoch. package lead makes one when this node opens the partition and drops it when it
// closes; nothing survives from one to the next but the two streams and the image.
//
// Invariants (the numbers of the architecture page in brackets):
//
//  1. Offsets are dense: a batch gets the offsets [next, next+count), in the order in which the stream gets the batches [I2]. Assigning
//     and appending happen under one lock, which is never held across I/O or a callback.
//  2. HW is the end of the durable prefix. It only grows [I4]; nothing at or above it is ever returned to a reader, and nothing at or
//     above the last stable offset to one that reads committed.
//  3. Every Append is answered exactly once, in offset order, and successfully only when HW covers the batch [I9]. A duplicate is
//     answered with the offset of its original, and only when HW covers the original.
//  4. The producer state equals the replay of all batches below next (times aside). A snapshot in the meta stream covers a prefix of the
//     data stream, and is appended under the same lock right after that prefix, to the same WAL: wherever the snapshot survives, the
//     prefix does.
//  5. The producer state is complete before the partition serves: [Open] returns only after it has replayed to the end.
//  6. Once an append has failed, or closing has begun, no later append succeeds. A pause for a move can be undone; a batch that was held
//     meanwhile left no trace.
//  7. A parked reader is woken by every advance of HW that it has not seen, and by the close; none polls.
//  8. A transaction begins here only with a batch of which the transaction's coordinator was asked after the last marker of the producer
//     (verify.go), so that a marker will end it. A marker is appended whether or not a transaction is open, and ends it; one of an older
//     producer epoch or of an older epoch of the coordinator is refused. A producer with an open transaction is never forgotten.
//  9. A reader of committed records is told every aborted transaction whose records it is given: entries of the index go only with
//     the records, and a read that such a change overtakes is done again.
//
// Goroutines: the package starts none. Appends run on the caller's goroutine, completions on the WAL's (in log order), reads on the
// reader's. machine.go has the rules of the producer state, codec.go the bytes of its snapshots.
package partition
