// Package base holds the words every layer shares: ids, epochs and offsets as distinct types, and the kinds of error that
// callers branch on.
//
// Invariants:
//
//  1. An id, an epoch and an offset are never mixed up: each is a type of its own, so the compiler refuses it.
//  2. Ranges are half-open, [start, end), everywhere in the project; all positions have 64 bits.
//  3. Every error that crosses a package boundary has a [Kind] (Unknown when nobody gave one), and the kind alone decides what
//     a caller does: retry, exit the role, refuse the request, or fail loudly. See [KindOf].
//
// The package starts no goroutine.
package base
