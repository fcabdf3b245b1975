// Package clean removes what is no longer wanted: data that retention.ms or retention.bytes says is due, records of compacted topics that newer
// ones have replaced, producer snapshots that newer ones have replaced, and the state of producers that have gone silent.
//
// # Retention ([Cleaner])
//
// What is removed is decided from the image alone, which knows of every range of a stream in an object its bytes and its largest
// timestamp: a check reads nothing from the bucket, whatever the number of partitions [I10]. The unit is such a range, as a segment is
// Kafka's: it goes as a whole, when all of it is due.
//
//  1. Only a prefix of what is committed is removed, and only whole ranges: the log start never passes a record that is not due [G9].
//  2. By time, a range is due when its newest timestamp is older than retention.ms. A range without a timestamp counts as old as its
//     object, by the clock of the controller.
//  3. By size, a range is due when what remains without it is still at least retention.bytes. Bytes that are not uploaded yet do not
//     count.
//  4. Partitions whose cleanup.policy does not have "delete" lose nothing by retention.
//  5. A failure leaves things as they are until the next check.
//
// # Key compaction ([Compactor])
//
// Kafka's log cleaner on objects. A log has a clean part, [start, CleanedTo) in the image, and a dirty one behind it. A pass reads the dirty part into a map
// from keys to their newest offsets, as far as the map has room, then reads the whole log up to there and leaves out what the map says is
// replaced. It works on groups of neighbouring ranges: each is written to new objects, which a commit puts in place of the old ones if nobody was faster;
// where nothing goes, nothing is written. When a pass is due, and how far it may go, is decided from the image alone (due.go); what stays is decided
// batch by batch (filter.go, txns.go); pass.go does it.
//
//  6. A record goes only if a newer one of its key is there, in [dirty, end), or if it is a tombstone whose time is over, of an aborted transaction,
//     or without a key. So whatever part of a pass takes effect, by how many nodes at once, the newest value of every key stays.
//     [TestPasses, TestCompactorModel]
//  7. A tombstone goes only after delete.retention.ms have passed since the pass that cleaned what is before it (KIP-534: the batch says when), and never before what it
//     deletes: groups are replaced in ascending order, and one that cannot be replaced ends the pass.
//  8. Offsets and timestamps of what stays do not change, nor does a batch's range of offsets, producer, sequence or codec. A group keeps its
//     last batch, emptied if need be: every range has a record, and the log ends with a batch.
//  9. Nothing is cleaned at or above the last stable offset, above what is committed, or younger than min.compaction.lag.ms; nor before a
//     snapshot of the producers' state covers it.
//  10. Memory is bounded whatever the number of keys and the size of the log: a key map, one object being written, one GET being read per thread.
//     A map that is full ends the dirty part there, and the next pass goes on from there.
//  11. A log in which nothing is new costs no request. [TestCompacts]
//  12. A pass ends at once when the partition is given up here or the node stops. What it has put and not committed expires by itself.
//
// Goroutines: one runs the checks; within one, a bounded number of trims is under way, which the controller takes up together. One looks for partitions to
// compact; within a round, log.cleaner.threads passes are under way, each with a goroutine that waits for the end of the partition.
package clean
