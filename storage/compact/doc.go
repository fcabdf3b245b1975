// Package compact rewrites committed objects in the background, so that the number of objects, the size of the metadata and the
// requests of a reader follow from the bytes that are kept, not from how they came in: stream-set objects are merged and split into
// stream objects, small stream objects are merged, objects that are mostly dead are rewritten. DESIGN.md says why it is as it is.
//
// It knows streams, offsets and objects; nothing of Kafka, and of the cluster only the [Catalog] it declares.
//
// Invariants (the test that proves each is in brackets):
//
//  1. I6: what a read returns never changes. A replacement covers exactly the offsets it replaces, with the same records under the same
//     stream epochs, and the metadata takes it only while the sources are still what the stream consists of there. [TestReadersSeeNoChange, TestTwoWorkers,
//     TestPlan]
//  2. Objects are immutable and ids are never used twice: a job writes new objects under ids prepared for it; what it gives up expires by itself.
//  3. Nothing is read into an output that its CRC does not prove, and no range is committed in whose place there is no record. [TestSourceFindsDamage]
//  4. No object is read by two jobs of a plan. [TestPlan]
//  5. Planned and done again and again, it ends, and what remains is bounded (below). [TestPlan, TestCrowded, TestOursIsNotDead]
//  6. Every rewrite pays: it takes bytes out of stream-set objects for good, or leaves a quarter of the ranges or fewer, or makes one of eight objects,
//     or halves an object; so a byte is written a few times in its life. [TestScenarios]
//  7. Memory is one object that is written, the windows on those that are read, one long stretch of a stream and their indexes; requests depend on bytes, not on streams. With nothing to do
//     there are none. [TestFewGETs, TestIndexesAreReadOnce, TestRequestsDependOnBytes, TestPriceOfRewriting, TestReadersSeeNoChange]
//  8. A job that fails is given up and the next one goes on; a damaged object holds up nothing but itself. [TestDamage]
//  9. It keeps up: its bandwidth follows what is uploaded. [TestKeepsUp, TestIngest]
//  10. Close ends a request under way at once. [TestStopsAtOnce]
//
// # Rules
//
// [Plan] looks at what the metadata has and applies these in order; an object that a rule takes is out of reach of those behind it until the next plan.
//
//	        Stream-set objects of at least a quarter of MaxObject that hold Enough bytes per range are left alone by all rules but dead: as many requests read
//	        them as would read stream objects.
//	split   Parts of a stream in stream-set objects older than SplitAge become stream objects if they have SplitBytes. Neighbouring stream
//	        objects, with what lies between them in old stream-set objects, become one of MaxObject at most, if that is four times the
//	        largest of them or if they are sixteen.
//	dead    Objects with less than half of their bytes alive are rewritten.
//	merge   Eight stream-set objects of a size tier (each tier is eight times the one below, up to a quarter of MaxObject
//	        or 12,500 ranges) become one.
//	dense   Larger ones with about as many bytes per range become such with a quarter of the ranges, where neighbouring ranges of streams allow it.
//	gather  Thirty-two neighbouring ranges of a stream in stream-set objects become one, unless they have Enough bytes each.
//
// Whatever is rewritten, a part of a stream with SOBytes gets stream objects of its own.
//
// # What remains
//
// Of what one node looks after, B bytes, when everything is old and no rule applies any more: at most 7 small stream-set objects per
// tier, of which there are log8(MaxObject/16 KiB); 4 B/MaxObject larger ones, and one more for every 12,500 ranges; and of each stream with b bytes at most 16 (b/MaxObject + 1) stream
// objects between two parts that somebody else looks after, with at most 31 ranges of stream-set objects, and one more for each Enough bytes, between two of
// those.
//
// Why it ends: order states by bytes in stream-set objects, then ranges, then dead bytes, then objects. Every job makes the first of these that it changes smaller.
//
// [Env], [Source] and [Output] are the parts that any rewriting of objects is made of; key compaction uses them too.
//
// Goroutines: one per [Worker], which plans, reads, writes and commits, one thing at a time. It owns all state but the counters.
package compact
