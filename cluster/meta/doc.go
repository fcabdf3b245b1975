// Package meta is the cluster's truth as a pure function: records, the immutable image that replaying them gives, and the
// commands that are validated against an image and turn into records or a typed rejection.
//
//	command --Decide(image, now)--> records + result      (nothing has changed yet)
//	records --metadata log--> acknowledged                (package metalog)
//	records --Draft.Apply--> next image                   (the only way state changes)
//
// A batch of commands shares one [Draft]: each command is decided against the image plus the records of the commands before it,
// and its records are applied to the draft at once. All records of one command travel in one slot of the metadata log, so a
// command is atomic although its records are bounded and split.
//
// Invariants:
//
//  1. Only records change state. [Decide] reads an image and returns; [Draft.Apply] knows nothing but the record and the image.
//     There is no clock, no randomness, no I/O and no goroutine here: time and new UUIDs are arguments.
//  2. replay(log) == load(snapshot): a snapshot holds every field of the image, and [Image.AppendSnapshot] is deterministic.
//  3. A record that contradicts the image is refused with kind Corrupt and changes nothing; [Image.Apply] refuses records that do
//     not start at its position, so none is ever applied twice.
//  4. Every command that acts for a node or a stream carries that node's or stream's epoch, and is rejected [StaleEpoch] if it has
//     been superseded.
//  5. Of every stream: 0 <= Start <= CommittedEnd; its ranges are ordered, do not overlap, leave no gap, cover
//     [Start, CommittedEnd), and each names a committed object. CommittedEnd and Start never go back.
//  6. A stream is owned by at most one node epoch. It is opened only when closed, and closed only at its committed end, by its
//     owner, by the completed rescue of its owner, or by nobody. A hand-over is both in one record: closed at the committed end for
//     one node epoch, opened for another.
//  7. The leader epoch of a partition is the epoch of both its streams; it rises by one with every open and hand-over, never
//     otherwise. While a stream is open, its owner is the partition's leader.
//  8. The uploads from one volume have consecutive numbers from 1 and take effect in that order, each once. The WAL trim position
//     moves only with them and never back. Fencing a node epoch moves both, with the WAL's address, into a [Rescue] for each of its
//     volumes; from then on only the newest grant can move them.
//  9. An object is prepared, committed or destroying, in that order, and leaves the image only from destroying. A committed object
//     counts the ranges that refer to it and becomes destroying with the record that removes the last one. A mark is never taken
//     back, so whoever deletes a marked object, however late, deletes garbage.
//  10. Ids (nodes, node epochs, topics' numbers, streams, objects, grants, producer ids) come from counters in the image and are
//     never handed out twice.
//  11. The size of the image does not depend on the number of batches: one range per stream and upload, dropped by trims and merged by
//     compaction; a list of n ranges takes at most 2n/32+2 chunks, whatever was replaced in it.
//  12. A partition with a Target can be handed over by somebody to somebody: both streams are open for a current node epoch, and
//     the target is registered, not fenced, and not the leader. Every change of leader, a close of a stream, and the fencing of either
//     node take the target away.
//  13. A leader is registered: unregistering a node takes it out of the partitions that name it, and a node whose WAL may hold
//     something that is not committed cannot be unregistered.
//  14. What a node leads and has open ([Image.Led], [Image.OpenStreams]) is what a count over all partitions of all topics gives.
//  15. A [Delta] names every node and partition that changed, but for uploads, trims, compactions and reported positions.
//  16. A replacement takes effect only on exactly the ranges that its sender has read, wholly or not at all. It moves neither Start nor
//     CommittedEnd, nor who owns a stream, and beside what it replaces no range changes. 0 <= CleanedTo <= CommittedEnd, and CleanedTo never
//     goes back.
//  17. Both streams of an open partition lie on one volume, which an upload must come from to commit anything to them. Streams are
//     opened on active volumes only, and a node that lives has one. A volume goes only when no stream is open on it.
//
// # Moving
//
// [MovePartitions] writes a wish: the Target. The leader sees it, uploads what is not committed, stops appending and sends [HandOver],
// which checks that everything is committed and then makes the target the owner, all in one slot. There is no moment in which the
// partition has no leader, and no order of messages in which it has two: before the record only the old node epoch may append
// under the old stream epoch, after it only the new one under the new epoch. A leader that sent a hand-over does not know which of the two
// holds until it sees its own image past the answer, so it must not append any more; where nobody takes the partition, it gets it
// back under a new epoch, as if it had opened it.
//
// # Volumes
//
// A WAL has one order of blocks, one trim and one numbering of uploads. A node that has several WALs has each of these several times, and
// nothing else: a [Volume] is a WAL with an epoch of its own, drawn from the counter of the node epochs, and {node id, epoch of the volume}
// takes the place of {node id, node epoch} wherever a WAL is meant. So a stream's owner names the volume that it is on, an upload
// from another volume finds the stream not owned, a fenced node leaves one rescue per volume, each granted, sealed, read and
// completed for itself (what lay in a bucket does not wait for a directory that is out of reach), and files, slots and objects
// that are named by an epoch never meet those of another volume. Commands about the node carry its own epoch, which is that of the
// volume it registered with.
//
// Where a partition goes is decided by the record that opens it or hands it over: an active volume of the class its topic asks for, the
// one with the fewest streams. A leader that sees an open partition on the wrong one ([Image.Misplaced]: the topic's class has changed, the
// volume drains) hands it over as in a move, to itself.
//
//	AddVolume -> preparing -> the node makes the WAL, SetVolume -> active <-> draining -> empty, RemoveVolume -> a rescue that finds nothing
//
// A volume whose WAL has failed while its node lives is drained by the node. Nothing here knows of the failure: what was acknowledged is committed by
// uploads from the node's memory, and the hand-over names the ends.
//
// # How images are shared
//
// An [Image] is immutable and may be read by any number of goroutines. Its maps are copy-on-write B-trees; a draft copies a node of
// a tree when it first changes it and leaves the image it started from alone. The values are pointers to structs which are never
// changed after they became visible: the apply functions copy, change and put back.
//
// # Deleting
//
// TopicDeleted takes a topic out of sight in one small record; its partitions, streams and ranges stay until the controller's
// life-cycle loop reaps them piece by piece ([ReapTopics]), so that deleting 5,000 topics is 5,000 small records and a background
// task with a rate, not a storm. Objects whose last range goes are queued in the order of their marks.
//
// The package starts no goroutine.
package meta
