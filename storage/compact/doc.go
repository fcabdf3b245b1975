// Package compact rewrites committed objects in the background, so that the number of objects, the size of the metadata and the
// requests of a reader follow from the bytes that are kept, not from how they came in: stream-set objects are merged and split into
// stream objects, small stream objects are merged, objects that are mostly dead are rewritten.
//
// It knows streams, offsets and objects; nothing of Kafka, and of the cluster only the [Catalog] it declares.
//
// Invariants:
//
//  1. I6: what a read returns never changes. A replacement covers exactly the offsets it replaces, with the same records under the same
//     stream epochs, and the metadata takes it only while the sources are still what the stream consists of there.
//  2. Objects are immutable and ids are never used twice: a job writes new objects under ids prepared for it; what it gives up expires by itself.
//  3. Nothing is read into an output that its CRC does not prove. [TestSourceFindsDamage]
//
// [Env], [Source] and [Output] are the parts that any rewriting of objects is made of.
//
// The package starts no goroutine yet.
package compact
