// Package driver holds what a bucket promises: the interface that every store implements and every user of a bucket needs. Users
// import it under the names of package objstore, which also opens stores by URL; the stores import it here.
//
// Invariants every [Store] keeps (package conform checks them):
//
//  1. A put is atomic: a reader sees all bytes of one put or none, never a mixture.
//  2. Once Put has returned nil the object survives a crash of everything but the store's medium, and every later Get, Stat and
//     List, by anybody, sees it (strong consistency).
//  3. Of all puts with IfAbsent to one key, between two deletes of it, at most one returns nil, and that one's bytes are stored.
//  4. Put does not look at its body once it has returned; the caller may reuse the memory.
//  5. Get returns exactly the bytes that were asked for, or an error; never fewer, never others.
//  6. List is ascending by the bytes of the key and complete, however many objects there are.
//
// What a request is made for ([Purpose]), which streams it serves ([Share]) and who counts it ([Recorder]) travel in its context.
//
// The package starts no goroutine.
package driver
