// Package coord runs a pure state machine over one partition of an internal topic. Groups are such a machine; transactions and
// share groups will be.
//
// A coordinator's partition is its only durable memory. A command goes into the machine, records and answers come out; the
// records are appended to the partition; once they are durable they are replayed into the machine, and only then do the answers
// that depend on them leave. Loading a partition is replaying it from its start, by the same function.
//
// Invariants:
//
//  1. Durable state changes by replay alone: [Machine.Replay] sees exactly the records of the partition below its high watermark,
//     in offset order, each once in an incarnation of the machine.
//  2. Nothing is served before replay has reached the high watermark that was read after the partition had opened and after every
//     append of the incarnation before had ended. Until then callers get COORDINATOR_LOAD_IN_PROGRESS, or, when the log cannot be
//     read, NOT_COORDINATOR.
//  3. An answer that depends on records leaves after those records are durable and replayed, never before.
//     Records of a producer's transaction and the markers that end it are replayed like others, each with its producer; what they mean is
//     the machine's affair ([TxnMachine]).
//  4. A failed append ends the incarnation, for it may be in the log or not, and only the log can tell: every waiting caller gets
//     NOT_COORDINATOR, the machine is thrown away with all it had assumed, and a new one is loaded from the log. An append that the
//     partition's fences have refused is none of these: nothing was written, the machine is told and goes on.
//  5. Every submitted call is answered exactly once: by the machine, or with an error when it is refused, when the incarnation
//     ends, or when the shard stops. Answers are given without any lock held, never on the goroutine of the WAL.
//  6. Whether this node may still answer at all is asked once more when the answer is given ([Options.Gate]): a process that was
//     paused beyond its session hands out nothing it remembers.
//  7. Bounds: calls that wait per shard ([Options.CallsMax]), bytes in appends under way per shard ([Options.PendingBytesMax]),
//     records per append (one batch of at most [Log.BatchBytesMax] bytes each).
//
// Goroutines: a [Shard] has a worker that exists only while there are events; it alone touches the machine. Loading has a goroutine
// of its own that owns the new machine until it hands it over. [PartitionLog] has a worker that exists only while appends wait for
// admission. Whoever calls Submit, or completes an append, only puts an event into the inbox.
package coord
