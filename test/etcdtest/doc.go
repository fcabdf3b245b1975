// Package etcdtest runs real etcd servers for tests: Debian's, which test/deps unpacks into .cache/etcd, or else the one in the path. A proxy in
// front of one loses answers.
//
// Invariants:
//
//  1. A server listens on loopback ports only, and its data are in a temporary directory of its own.
//  2. Every server that was started is ended by its process id, and awaited; on Linux it also ends with the test process.
//  3. A server that is stopped and started again has the ports and the data that it had.
//  4. An answer that a proxy loses is lost after etcd has given it: the transaction has happened. Every one is counted.
//
// One goroutine per running server awaits its process; net/http owns those of a proxy.
package etcdtest
