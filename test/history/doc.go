// Package history records what clients of a broker did and saw, and checks afterwards that the broker kept its promises, as Jepsen's
// Kafka workload does. The command sluice-check does the same with a file.
//
// A test appends to a [Recorder] while it runs: every send when it is invoked and when it ends, every poll with all it returned, every
// assignment, crash and fault, and what else it has: transactions, commits of offsets, what groups assign, watermarks. [Check] then looks for anomalies:
//
//	inconsistent offsets   two values at one offset of a partition
//	duplicate              one value at two offsets
//	phantom                a value that nobody sent
//	aborted read           a read of a value whose send had definitely failed, or whose transaction was aborted
//	precommitted read      a transaction that reads its own write
//	uncommitted read       a read of what a transaction wrote, before its end was asked for
//	read before send       a read of a value that was sent only then
//	lost write             an acknowledged value below what has been read that nobody has read
//	skip, regress          a poll that leaves out or goes back over values, between two polls or within one
//	out of order           two acknowledged sends of a process to a partition, the later one at the lower offset
//	real-time order        a send that began after another one was acknowledged, of another process, and lies before it
//	G1c                    a cycle of transactions of which each has read what the next one wrote, or ended before it began
//	vanished               a value that was read once and is gone in the final read
//	unseen                 an acknowledged value that the final read does not find
//	lost commit            a fetch that is told an offset of a group that another one had replaced by then
//	commit goes back       a fetch that is told an older offset than one before it
//	phantom commit         a fetch that is told an offset that nobody has committed
//	two owners             a partition that has two owners in one generation of a group
//	open too long          a transaction that was open, or could be committed, when its time was over
//	watermark goes back    a high watermark, last stable offset or log start that is lower than before
//	beyond watermark       records at or above the high watermark (or, for who reads what is committed, the last stable offset) of the same answer, or of
//	                       one that was asked for after they had been acknowledged or read
//	trimmed too much       a log that begins above what might have been removed
//
// Invariants:
//
//  1. Values are unique: the recorder makes them up. So every read can be traced to its send.
//  2. A send is recorded as failed only if it definitely had no effect. Whatever may have happened is indeterminate (Info), and so is a
//     send that never ended. So it is with transactions and commits.
//  3. The verdict is fail if there is an anomaly, unknown if the run proves nothing (a fault that was asked for never fired, a kind of
//     operation never succeeded, nothing was read in the end, the file is cut off), else pass. Safety is checked over the whole run, faults included.
//  4. Time and memory of the check are linear in the history, but for sorting, and for the search for a shortest cycle where there is one.
//  5. What was recorded in memory and what is read from a file are checked in one way: a Recorder holds nothing but the encoded history.
//  6. No check concludes from times what it could not from the order of true moments: an operation that has not ended may take effect at any time.
//
// Offsets may be sparse: control records and compaction leave holes. Order and skips are judged by the offsets at which values are known
// to be, not by counting. What lies below an offset that was trimmed need not be there.
//
// # Format
//
// A history is lines of JSON, UTF-8, in a file that may be compressed with gzip or zstd as a whole (written so by a name that ends in .gz or .zst; read by its first
// bytes). docs/formats.md has it field by field. A file whose end is missing, as one of a process that was killed, is read up to there.
//
// The recorder is safe for concurrent use; the package starts no goroutine but those that decompress zstd while a file is read.
package history
