// Package stream is the storage engine of one broker: streams of record batches that are durable once the WAL has them, and that
// are read from the WAL cache, the block cache or the bucket. DESIGN.md says why it is as it is.
//
// It knows streams, offsets and epochs; nothing of Kafka, nothing of the cluster but the [Catalog] it declares.
//
// Invariants (names as in the architecture page; the test that proves each is in brackets):
//
//  1. I1: what was acknowledged is in the WAL from its trim on, or in committed objects. Nothing but a commit moves the trim, and nothing
//     but the trim lets the WAL or the cache forget a block. [TestModel]
//  2. I2: the offsets of a stream are dense at append, and durable in order; a stream opens exactly where its commits end. Append,
//     the index and the object writer each assert it. [TestModel]
//  3. I4: a read never returns what is not durable, nor anything at or above the offset it was bounded by. [TestModel]
//  4. I5: blocks are frozen in order, uploads are numbered and commit in order, so the trim is always the end of a contiguous,
//     committed prefix. [TestModel, TestLostAnswers]
//  5. I6: a read at any offset from start to durable finds the record: committed offsets through the catalog, the others in the WAL cache, which
//     evicts committed blocks only. An object that is missing is located again; one that stays missing is an error, never an end
//     of data. [TestModel, TestReplaced, TestMissing]
//  6. I9: every append is completed once, in order, also when it is refused; every buffer goes back. [TestModel, TestRefusedInOrder]
//  7. I10: the puts of an upload depend on bytes, not on streams; an idle engine does none. [TestManyStreams, TestIdle]
//  8. A store that is down makes uploads late. It fills the WAL cache to its budget, then Admit waits; when it is back, everything
//     goes on by itself. [TestOutage, TestWALFull]
//  9. A stream epoch that was closed is never appended to again, whatever became of the close. [TestCloseRetries]
//  10. Committed offsets may be without a record: a key compaction leaves gaps, anywhere but at the end of what it rewrote. A read at such an
//     offset gives the next record, wherever that lies. [TestModel]
//  11. The engine of a WAL that has failed loses nothing that was acknowledged, and needs nothing of that WAL: its streams end at what is
//     durable, all of which is in the WAL cache or committed (halt.go). [TestHalt, TestModel]
//
// Goroutines: one that freezes uploads (uploadLoop), one that trims the WAL (trimLoop), one per upload under way (at most Options.Uploads, each
// with putsPerUpload puts), those of the block cache; all end with the engine. OnBlock runs on the WAL's. Streams have none, and no timer.
//
// Locks, in the order they are taken: Engine.blockMu or Engine.evictMu → Engine.streams → Stream.mu → the caches' own. gate.mu, uploadQueue.mu
// and readAhead.mu are leaves, except that gate.mu is held over reading counters. No lock is held across I/O or a callback.
package stream
