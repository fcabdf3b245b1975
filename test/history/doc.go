// Package history records what clients of a broker did and saw, and checks afterwards that the broker kept its promises, as Jepsen's
// Kafka workload does.
//
// A test appends to a [Recorder] while it runs: every send when it is invoked and when it ends, every poll with all it returned, every
// assignment, crash and fault. [Check] then looks for anomalies:
//
//	inconsistent offsets   two values at one offset of a partition
//	duplicate              one value at two offsets
//	phantom                a value that nobody sent
//	aborted read           a read of a value whose send had definitely failed, or whose transaction was aborted
//	precommitted read      a transaction that reads its own write
//	lost write             an acknowledged value below what has been read that nobody has read
//	skip, regress          a poll that leaves out or goes back over values, between two polls or within one
//	out of order           two acknowledged sends of a process to a partition, the later one at the lower offset
//	vanished               a value that was read once and is gone in the final read
//	unseen                 an acknowledged value that the final read does not find
//
// Invariants:
//
//  1. Values are unique: the recorder makes them up. So every read can be traced to its send.
//  2. A send is recorded as failed only if it definitely had no effect. Whatever may have happened is indeterminate (Info), and so is a
//     send that never ended.
//  3. The verdict is fail if there is an anomaly, unknown if the run proves nothing (a fault that was asked for never fired, a kind of
//     operation never succeeded, nothing was read in the end), else pass. Safety is checked over the whole run, faults included.
//  4. Time and memory of the check are linear in the history, but for sorting.
//
// Offsets may be sparse: control records and compaction leave holes. Order and skips are judged by the offsets at which values are known
// to be, not by counting.
//
// The recorder is safe for concurrent use; the package starts no goroutine.
package history
