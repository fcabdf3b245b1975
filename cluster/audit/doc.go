// Package audit compares what the metadata says with what is stored: every committed object, every range of every stream, the write-ahead
// logs, the metadata log itself. It reads and never writes, with or without a cluster running beside it. `sluice verify` and `sluice
// inspect` are its users; the controller's sweeper shares its reading of keys ([ParseKey]).
//
// How a verification goes. The metadata log is read to its tip; that is the image. Its epochs are walked and its snapshots compared with a
// replay. The image is arranged by object ([newCatalogue]), which already shows ranges that leave gaps, overlap or name no committed object.
// Then the bucket is listed, which gives the sizes and what nobody refers to; every committed object is looked at, its index compared with
// the ranges that name it, and with Options.Deep every block of it read and decoded; the logs are walked from their trims to their ends.
// What looks wrong is looked at again against a newer image, see 3.
//
// Rules:
//
//  1. Truth is the metadata log. A listing finds sizes and candidates; that an object is missing is believed only from a read of it.
//  2. Nothing is written, deleted or sealed: [Verify] and [Inspect] use Get, Stat and List alone.
//  3. A cluster may be running. So whatever is found wrong about an object, a stream or a log is checked a second time, against an image that
//     is newer than the first check, and dropped if a third image, newer than the second check, does not need it any more. Objects are
//     deleted only after the record that lets go of them, and WALs trimmed only after the record that moves the trim, so what survives
//     this is wrong, and not merely late.
//  4. An object of this cluster is an orphan if its id is below the image's next one and the image has no such object: ids are never handed
//     out twice and states go one way, so nothing will ever refer to it. Ids at or above the next one are younger than the image, and
//     nobody's business. It does not matter whether the image is older or newer than the listing.
//  5. A slot of a node epoch's log is an orphan if the epoch is over (its number was handed out, and the image has neither a node nor a rescue
//     with it) and it is neither slot 0 nor a seal. A slot of the metadata log is an orphan below the second-newest snapshot, in an epoch
//     with a successor, under the same exceptions. Everything else in a log may be needed.
//  6. A key that is none of the forms in docs/formats.md, or carries another cluster's id, is foreign: it is mentioned and left alone.
//  7. Gaps inside a range are allowed only below the stream's cleaned end (key compaction makes them); overlaps never are; and no range is
//     without a record.
//  8. Objects are immutable: one that was found in order needs no second look, so a verification that was interrupted goes on where it was
//     ([State]). Its existence and its size are checked again all the same, for the listing is.
//  9. Memory is bounded by the image, a catalogue of 40 bytes a range, 24 bytes a listed object, and per worker one object's index and
//     readBytes of its blocks.
//
// Goroutines: [Verify] starts Options.Parallel workers and ends them before it returns.
package audit
