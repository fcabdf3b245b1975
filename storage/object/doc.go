// Package object is the format of the immutable objects that hold streams: data blocks, an index with one entry per block, and a
// footer of fixed size. A stream-set object (SSO) holds many streams, a stream object (SO) one; the format is the same. The byte
// tables are in docs/formats.md, section "Objects".
//
// Invariants:
//
//  1. Records are written in ascending order of (stream, offset), and the ranges of one stream do not overlap. The writer panics
//     on anything else; the reader answers Corrupt.
//  2. A block holds records of one stream under one epoch, whole. It ends before BlockBytes, unless a single record is larger.
//  3. Every byte is covered by a CRC32C, and the index repeats the CRC of every block, so that a block that is intact but not the
//     one that was meant does not pass.
//  4. An object says what it is: cluster, object id, kind, who wrote it, streams, epochs, offsets. Nothing outside of it is needed
//     to read it.
//  5. Offsets have 64 bits everywhere and may have gaps (key compaction makes them); a table entry that makes no sense is
//     Corrupt, never skipped.
//  6. The writer does not copy record bytes: its output refers to the memory of the records, which must not change until the put
//     is over.
//
// The package starts no goroutine.
package object
