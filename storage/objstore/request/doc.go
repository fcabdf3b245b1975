// Package request has what the stores that are reached by HTTP share: the body of a request that is made of scattered memory, the
// deadline of an attempt, and what is known when it failed.
//
// Invariants:
//
//  1. Once [Source.Detach] has returned nobody reads the body's memory any more, whatever the transport still does.
//  2. Every attempt has a deadline: Timeout plus the time for its bytes at MinBytesPerSecond. A hung connection ends.
//  3. An attempt that got no connection cannot have reached the store.
//
// The package starts no goroutine.
package request
