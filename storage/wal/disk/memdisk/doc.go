// Package memdisk is a file system in memory, for WALs of class mem and for tests: it can fail, hang and crash.
//
// Invariants:
//
//  1. What a crash keeps is what a disk may keep: durable writes that had returned, any sectors of those that had not, and of the
//     changes of a directory that were not synced any subset.
//  2. After a crash the old file system refuses everything, as if the process were gone; its successor has no locks.
//
// The package starts no goroutine. A Disk is safe for concurrent use.
package memdisk
