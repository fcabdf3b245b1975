// Package lead follows the cluster's image: it opens the partitions whose leader is this node, announces them, applies their
// configuration, ends those this node no longer leads, and keeps the directory that finds an open partition.
//
// A partition goes through these steps, in this order:
//
//	wanted      the image names this node as leader, and no open of the present epoch is here
//	opened      OpenPartitions has raised the leader epoch and opened both streams; they are attached to the engine
//	loaded      the producer snapshot is read and the data behind it replayed
//	announced   ServePartitions has been applied (an empty partition is announced by the open itself)
//	serving     it is in the directory, and OnServing has run
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
//
// Goroutines: one loop owns the machine and takes images, results and timers; a bounded number of openers submit OpenPartitions and
// load; one announcer submits ServePartitions; a bounded number of closers close streams. Look-ups in the directory take no lock.
//
// machine.go decides, loop.go does.
package lead
