// Package node wires one broker process from its configuration and its ports: bucket, WAL and network. It holds no rules of its
// own; it decides in which order things begin and end.
//
// Start, in this order:
//
//	listen       the ports are bound, so a second start on the same machine ends here and harms nobody; connections wait
//	claim        the data directory is locked, the WAL directory says who this node was
//	bucket       opened and probed; a bucket that ignores put-if-absent is refused
//	controller   creates the cluster or takes the metadata log over
//	register     a new epoch for this node; its former one is fenced by that
//	rescue       what is left in the WALs of fenced epochs goes to the bucket, their streams close, the WALs are removed
//	WAL          a new one for the new epoch
//	engine, partitions, coordinators
//	serve        connections are accepted once all partitions are served
//
// Shutdown is the reverse, with everything uploaded and all streams closed if time allows; what it does not allow is done by the
// rescue of the next start.
//
// Invariants:
//
//  1. A crash at any instruction of Start or Shutdown is followed by a Start that works: every step finds what it did before.
//  2. The new epoch's WAL exists before the first stream is opened under it; so a fenced epoch without a WAL has nothing to rescue
//     if no stream is open under it, and must not be given up if one is.
//  3. A block that was durable and cannot be read stops the start; nothing is skipped.
//  4. What fails for good (fenced, a failed sync) ends the process: [Node.Failed] is closed, nothing is retried under the old epoch. Of several
//     WALs one that fails is given up for good, and the node goes on with the others (failure.go).
//
// Goroutines: one for each listener, one for each failure report; all end with Shutdown.
package node
