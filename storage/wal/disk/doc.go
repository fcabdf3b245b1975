// Package disk is the port through which the file WAL reaches a file system, and its implementation on the operating system. A
// simulated disk that tears writes, loses what was not synced and reports errors is in package faultdisk.
//
// Invariants:
//
//  1. WriteDurable returns nil only when the bytes are on stable storage: with direct I/O the file is open with O_DSYNC, else each
//     write is followed by fdatasync. There is no path without a sync.
//  2. What changes a directory (Create with SyncDir, Rename, Put, Mkdir) says whether it is durable when it returns.
//  3. Reads go through a fresh open wherever another host may have written: see ReadFile.
//
// The package starts no goroutine. Files and file systems are safe for concurrent use.
package disk
