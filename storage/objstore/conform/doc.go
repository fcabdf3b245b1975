// Package conform is the suite that every store passes: it turns the promises of package driver into tests. A new store, or a
// store around a store, calls [Run] from its tests and adds only what is its own.
//
// The suite starts goroutines for its races and waits for all of them within each test.
package conform
