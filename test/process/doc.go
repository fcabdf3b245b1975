// Package process starts the servers that tests need, and builds those that are Go programs.
//
// Invariants:
//
//  1. Every process that was started is ended by its process id, and awaited; on Linux it also ends with the test process.
//  2. Test processes that need the same binary or installation make it one after another; a half-made one is never used.
//
// One goroutine per process awaits it.
package process
