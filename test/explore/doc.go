// Package explore walks through every state that a small world can get into: breadth first, each state once, so that the trace to
// what it finds wrong is a shortest one.
//
// A world is what a test makes of the code under test and its surroundings: the pure machines of the product, wired to a store, a
// network and clients of a few lines, with a bounded number of faults. Everything that could happen next is a step: a request arrives,
// its answer is lost, it arrives later, a process goes on. A pause of any length at any place needs no step of its own, for it is
// any other steps coming first; so is a crash, for a process that never goes on is one that crashed.
//
// Invariants:
//
//  1. A world is a value: a step changes a clone, and a clone shares nothing with its origin that a step changes.
//  2. Two worlds with the same key have the same future. What a world leaves out of its key, no step and no check may look at.
//  3. A result that is Complete covers every state within the world's own bounds (its counts of appends, faults and so on).
//  4. An explorer that finds nothing must be able to find something: every world has mistakes that can be planted, and a test demands
//     that each is found.
//
// The models of the cluster's metadata live in this package's tests; those of machines that are not exported live beside them and are
// called explore_test.go.
package explore
