// Package aztest runs an Azure Blob server for tests: Azurite, in the versions that package-lock.json pins, with its blobs in memory. It checks
// conditions, checksums, shared keys and shared access signatures. Its files are installed once into .cache/azurite, by `test/deps` or by the first test.
//
// Invariants: a server listens on a free loopback port only; see package process. The package starts no goroutine of its own.
package aztest
