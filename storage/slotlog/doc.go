// Package slotlog is the fenced log on put-if-absent: an ordered log with one writer at a time, which a successor seals so that the
// old writer can never have another append acknowledged. The metadata log and the s3 class of the WAL are made of it.
//
// An epoch of a log is a row of slots, contiguous from 0, each an object `<log>/<epoch>/<slot>` that is put with put-if-absent.
// Every slot is empty, or holds data, or holds a seal; the store decides which, once.
//
// How an append works. It gets the next slot, and its bytes are fixed. Up to K slots are being put at a time; whatever their order,
// appends are acknowledged in the order of their slots, each when its slot and all before it are stored. A put that reports
// that the slot is taken is read back: the same header (nonce and CRC included) means that an earlier try of ours succeeded;
// anything else means that the epoch is sealed or belongs to somebody else, and the writer is done for. A put whose fate is
// unknown (timeout, conflict, server error, failed read-back) is repeated with the same bytes until it is known; it is never
// skipped and never given up while the writer lives.
//
// How a put is hedged (WriterOptions.Hedge). A put that takes twice the 95th percentile of recent ones of its size is made again beside
// the first one: the same bytes, the same key, the same condition. The first decisive answer counts, a taken slot being read back as
// ever; then the other attempt is called off, and the append is acknowledged when it has returned too. At most one put in twenty is
// hedged, so a store that is slow because it has too much to do does not get twice as much. A put that was called off may come late, into a
// slot that has been trimmed meanwhile: it does no harm there, for nobody reads below the trim, but somebody has to delete it (Writer.Doubtful).
//
// How a seal works. The sealer walks from a slot that is known not to be trimmed to the first empty slot and puts a seal there; if
// the slot got filled meanwhile it goes on from there. The seal's position is the number of the epoch's data slots. What lies
// behind it is garbage that nobody ever acknowledged, because the writer could not get past the slot of the seal.
//
// Invariants (machine.go and seal_machine.go hold the rules; the explorer in the tests walks through every interleaving of a
// small instance and checks the first seven):
//
//  1. An append is acknowledged only when its slot and every slot since the writer's first hold the bytes of that writer.
//  2. Acknowledgements come in the order of the appends, exactly once each; after the first failure there are only failures.
//  3. Every acknowledged slot lies before the epoch's seal.
//  4. At most one writer of an epoch is ever acknowledged.
//  5. What lies before the seal does not change once Seal has returned, trimming aside.
//  6. All sealers of an epoch find the same end.
//  7. When the store answers again, every append comes to an end.
//  8. A body is left alone until every attempt to put it has returned, and done is called only then.
//  9. Slot 0 and seals are never deleted: a writer that wakes up after a year must still run into one. Trim is the caller's
//     affair: slots may be deleted only below a position that every sealer starts from or after.
//  10. Listing is used only to find slots to delete. It never decides what is true.
//
// Goroutines: a Writer has one per slot being put (at most K), another one for each that is hedged, and one that calls done, while there are appends to complete; none
// when idle. One mutex guards a writer's state; it is never held during I/O or a callback. Seal and ReadRange start goroutines
// that end before they return.
package slotlog
