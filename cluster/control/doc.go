// Package control runs the cluster's controller, and is the client through which the rest of a broker reaches it.
//
// The loop collects the commands that came in while the last slot of the metadata log was in flight, decides them one after the other
// against one draft of the image, and appends all their records as one slot. When that is acknowledged the draft becomes the image,
// subscribers hear of it, and the commands are answered.
//
// Invariants:
//
//  1. The image that others see holds acknowledged records only, and nothing is answered before the records it rests on are
//     acknowledged: its own, those of the commands before it, and also rejections and answers that needed no record, if they were
//     decided after a command of their batch that did.
//  2. One slot is in flight. Commands take effect in the order in which they came.
//  3. Every submitted command is answered exactly once: with its result, its rejection, or an error that says whether it may yet take
//     effect.
//  4. A controller that finds the log sealed under it never acts again: every command fails Fenced, its life-cycle loop ends,
//     OnFenced is called. Fencing is decided by the log; there is no lease and no clock in it.
//  5. What is queued is bounded by the callers: queueMax commands, then Submit waits. A batch is bounded in bytes.
//  6. An object is physically deleted only when it is marked in the image, the grace time is over, and every unfenced node has reported
//     a position at or past the mark. Marks are final, so a deletion by a controller that has been fenced meanwhile, or is done
//     twice, is harmless. Deletions are bounded in number per second.
//  7. Timers hold no state: what is due follows from the image.
//  8. An idle cluster writes nothing and asks the store nothing.
//
// Taking over: starting a controller takes the role from whoever has it; see package metalog. Two that start at once go on until the
// one that was slower has the role, and the other's OnFenced is called.
//
// Goroutines: the loop (owns the log and the draft), the notifier (calls subscribers), the life cycle (timers, deletes), and for the
// time of one snapshot its writer. Close ends them all.
package control
