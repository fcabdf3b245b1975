// Package s3test runs a real S3 server for tests: versitygw, in the version that test/s3server/go.mod pins, on a directory. The
// server is built once into .cache/bin and found there afterwards.
//
// Invariants:
//
//  1. A server listens on a free loopback port only, and its objects are in a temporary directory of its own.
//  2. Every server that was started is ended by its process id, and awaited; on Linux it also ends with the test process.
//  3. Test processes that need the binary at the same time build it one after another; a half-built one is never run.
//
// One goroutine per server awaits its process.
package s3test
