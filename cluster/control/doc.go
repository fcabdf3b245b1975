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
//  8. An idle controller writes nothing and asks the store nothing, but for the look at the log that proves its role (Options.VerifyEvery).
//
// # Members
//
// Every process is a [Member]. It reads the metadata log, or creates it; follows the controller by RPC, each answer bringing whole
// acknowledged slots, and the log in the store when there is no controller to ask; sends heartbeats; takes commands to the controller;
// and becomes the controller when the one there was does not answer.
//
//  9. Who is the controller is decided by the log alone. Clocks, heartbeats and what members tell each other decide only when somebody
//     tries, so two that both think they are cost a command its slot, never its meaning.
//  10. A follower's image is that of a prefix of acknowledged slots, whoever it was told by: a controller that was replaced long ago can only
//     be behind.
//  11. A member that has contact with the controller does not help another to replace it: who misses the controller asks the others first, and
//     waits if one of them reaches it.
//  12. Contact is a proof: a follower has it for a session from the time at which the controller that answered its heartbeat began to prove (by an
//     append, or by a look at the log) that nobody had replaced it. A new controller gives every node a whole session before it fences
//     it, from the take-over on, so a node without contact has stopped answering reads before anybody else answers them.
//  13. Only silence is a reason to fence a node, and the controller's own pauses do not count as silence. When more than half of the nodes fall
//     silent together they get a session more. A process that is certainly gone (its address refuses, or another answers there) gets
//     a third of a session.
//  14. Placement (grants of rescues, orphaned partitions, drains, balancing) follows from the image and from what heartbeats told; a controller
//     that has just taken over needs nothing from the one before.
//  15. A command is repeated only if that has the effect of once; for others an answer that was lost is an Undetermined error. A creation of topics is
//     repeated if it has happened and they are there, or if no topic was deleted since, so that none can be that was created (repeat.go).
//  16. Of every committed object exactly one live node looks after compacting it, as far as nodes know the same image ([NewCompactCatalog]):
//     who that is follows from the image, without a lease. Two at work on the same waste the work of one, for a commit is checked.
//
// # Orphans
//
//  16. The sweeper (sweep.go) removes only what may be removed at any later time too: never slot 0 or a seal, and nothing of a node epoch that is
//     not known to be over. It decides by the image and by reads; a listing only gives it candidates. Its rate is bounded.
//
// Goroutines of a controller: the loop (owns the log and the draft), the life cycle (timers, deletes), the sweeper, and for the time of one snapshot its writer.
// Of a member: run (owns the reader and the election; waits while this process leads), the notifier (calls subscribers), the heartbeats,
// and while it leads the watch (sessions, with a probe for each silent node), the placement and the announcement. Close ends them all.
package control
