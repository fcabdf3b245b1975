// Package twin starts Sluice and a real Apache Kafka 4.3 side by side, talks to both in raw requests, and writes what they answer in lines
// that can be compared: what each broker makes up for itself (ids of topics, members and producers, epochs, addresses, times) gets
// the same names on both sides.
//
// Invariants:
//
//  1. What was started is gone when the test is over.
//  2. A connection reads answers in the order of its requests, and an answer that does not parse to its last byte is an error.
//  3. Two values of a kind have the same name in a [Names] if and only if they are equal.
//
// The package starts no goroutine that outlives a call, the waiters of its processes aside.
package twin
