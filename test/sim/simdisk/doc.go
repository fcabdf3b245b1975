// Package simdisk is file systems for simulations: disks of machines and one that machines share, each seen through a [Mount] by one life of a process, with
// what goes wrong with them. What is stored is in package memdisk.
//
// Invariants:
//
//  1. An operation takes time, happens at one instant in between, and its caller is told later. A process that dies meanwhile leaves it done, not done or, if it is
//     a write, torn: any sectors of it.
//  2. A power failure keeps what memdisk keeps: all that was reported durable, and of the rest by chance.
//  3. An effect of a rule is one that a real file system can have: an error before anything happened; after it has happened, for rename and mkdir also the error
//     that a request which is repeated gets; a write that was torn; on the shared file system an error now, and the operation happens later.
//  4. A lock goes with the process that holds it.
//  5. After Down a mount does nothing any more, whoever still holds its files.
//  6. All chances of a disk are drawn from one source; what rules did is counted.
//
// A late operation is carried out by a goroutine of its own, which ends by itself. Locks: Disk.mu and Mount.mu, and memdisk's inside of Mount.mu for the locks of
// files. No point is told with one held.
package simdisk
