// Package fault is a store around a store that misbehaves the way object stores do: for tests.
//
// What it does is said by rules, tried in order; the first that matches a request and has not run out decides. With the same seed,
// rules and sequence of requests it does the same. What rules did is counted, because a test whose fault never happened has
// shown nothing.
//
// Invariants:
//
//  1. An effect is one that a real store can have: a request fails before anything happened; or happens and its answer is lost; or
//     happens after its caller was told that it is unknown, and possibly long after.
//  2. A late put keeps a copy of its bytes, so the promise that Put does not look at its body after it returned is kept.
//  3. Late puts happen in [Store.Deliver] only, so the test decides when; the package starts no goroutine.
package fault
