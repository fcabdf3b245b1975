// Package lead follows the cluster's image: it opens the partitions whose leader is this node, announces them, applies their
// configuration, ends those this node no longer leads, and keeps the directory that finds an open partition.
//
// A partition goes through these steps, in this order:
//
//	wanted      the image names this node as leader, and no open of the present epoch is here
//	opened      OpenPartitions has raised the leader epoch and opened both streams, or the former leader's HandOver has done both for
//	            this node; they are attached to the engine
//	loaded      the producer snapshot is read and the data behind it replayed
//	announced   ServePartitions has been applied (an empty partition is announced by the open itself)
//	serving     it is in the directory, and OnServing has run
//	leaving     the image names another node as its target, or it belongs on another volume of this node: OnClosed has run and appends are paused, while the rest is uploaded and handed
//	            over; or, if that cannot be done in time, back to serving (machine_move.go has the steps of a move)
//	ended       it is out of the directory, OnClosed has run, and everybody who waited at it has been woken
//
// Invariants:
//
//  1. A partition is in the directory only while it is announced and its producer state is complete (open, then announce).
//  2. At most one job works on a partition at a time; its result is judged against the newest image, not the one it began with.
//  3. OnServing and OnClosed are called in turns for a partition, in the order in which it served and ended.
//  4. Opens and closes have separate workers: an open that waits for a close cannot keep the close from running.
//  5. Every failure is retried with jittered back-off, or waits for the next image where only that can help; nothing is retried under
//     an epoch that is over.
//  6. After CloseAll has begun nothing is opened.
//  7. Streams are attached at most once under an epoch, whatever opened them and whatever was answered [I2, I3].
//  8. A move is undone only before its HandOver was submitted. From then on nothing is appended under that epoch, whatever the answer; both
//     streams refuse by themselves. [I3]
//  9. A move ends in a partition that is served: by its target, or by this node, under the same epoch if nothing was submitted and under the
//     next one if the target was gone, or if it was to change the volume. Nothing is waited for without a bound but the answer to a HandOver that was submitted.
//
// Goroutines: one loop owns the machine and takes images, results and timers; a bounded number of openers submit OpenPartitions and
// load; one announcer submits ServePartitions; a bounded number of closers close streams; one mover uploads and hands over, a batch at a
// time; one goroutine per hand-over taken begins its loads. Look-ups in the directory take no lock.
//
// machine.go decides, loop.go does.
package lead
