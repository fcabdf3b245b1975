// Package s3 is the WAL in a bucket: a slot log whose slot n holds block n.
//
// Invariants:
//
//  1. The slot log fences: a put that finds its slot taken by anything but itself ends this writer for good.
//  2. Puts of blocks that are not full keep to the request budget, whatever the number of clients or partitions; with nothing in
//     flight a block goes out as soon as the budget has a put, and what arrives meanwhile goes with the next one.
//  3. At most inFlight blocks are on their way. While the bucket does not answer nothing is lost and nothing fails: appends wait,
//     bounded by what the caller admits.
//  4. Trimmed slots are deleted below the committed trim only; slot 0 and seals stay. A slot into which a put that was given up may have
//     come after that is deleted once more, by a Trim that comes lateAfter later, or by whoever looks for slots below the trim, or with the whole WAL.
//  5. A put that takes much longer than usual is hedged, see package slotlog: at most one put in twenty on top of the budget.
//
// Goroutines: one that hands blocks to the slot log, and those of commit.Queue and slotlog.Writer; Close ends them.
package s3
