// Package etcdtest runs real etcd servers for tests: Debian's, which test/deps unpacks into .cache/etcd, or else the one in the path.
//
// Invariants:
//
//  1. A server listens on loopback ports only, and its data are in a temporary directory of its own.
//  2. Every server that was started is ended by its process id, and awaited; on Linux it also ends with the test process.
//  3. A server that is stopped and started again has the ports and the data that it had.
//
// One goroutine per running server awaits its process.
package etcdtest
