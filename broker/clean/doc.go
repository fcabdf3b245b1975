// Package clean removes what is no longer wanted: data that retention.ms or retention.bytes says is due, producer snapshots that newer
// ones have replaced, and the state of producers that have gone silent.
//
// What is removed is decided from the image alone, which knows of every range of a stream in an object its bytes and its largest
// timestamp: a check reads nothing from the bucket, whatever the number of partitions [I10]. The unit is such a range, as a segment is
// Kafka's: it goes as a whole, when all of it is due.
//
// Invariants:
//
//  1. Only a prefix of what is committed is removed, and only whole ranges: the log start never passes a record that is not due [G9].
//  2. By time, a range is due when its newest timestamp is older than retention.ms. A range without a timestamp counts as old as its
//     object, by the clock of the controller.
//  3. By size, a range is due when what remains without it is still at least retention.bytes. Bytes that are not uploaded yet do not
//     count.
//  4. Partitions whose cleanup.policy does not have "delete" lose nothing.
//  5. A failure leaves things as they are until the next check.
//
// One goroutine runs the checks; within one, a bounded number of trims is under way, which the controller takes up together.
package clean
