// Package mem is a bucket in the memory of this process, for tests, the simulation and benchmarks. It does what S3 does and
// nothing by chance: no goroutine, no randomness, no I/O.
//
// Invariants:
//
//  1. Stored bytes are never changed; an object is replaced whole. Get copies.
//  2. One mutex guards the map of objects and is held for map operations only, never while bytes are copied or the caller's loop
//     body runs.
//  3. Stores opened under the same non-empty name are the same store, so that a node that restarts within the process finds its
//     bucket again. This registry is the package's only global state, and only Named touches it.
package mem
