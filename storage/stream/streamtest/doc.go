// Package streamtest has what the storage engine needs around it, in memory, for tests: a [Catalog] that checks commits as strictly as
// the controller does, and a [Log], a WAL whose group commits the test triggers.
//
// The package starts no goroutine but that of a Log in automatic mode, which Close ends.
package streamtest
