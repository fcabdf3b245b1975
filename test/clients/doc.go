// Package clients runs Kafka clients that never give up and writes down what they did and saw, for package history to check: idempotent
// producers with several requests in flight, consumers that read everything from the start, members of a group, one that commits
// offsets and reads them back, and copiers of a topic in transactions, which are checked by what is in the copy.
//
// Invariants:
//
//  1. A send ends in the history exactly once: acknowledged, or unclear.
//  2. What retries can mend is no complaint; an error that a producer gives up on is one.
//
// Non-obvious:
//
//   - franz-go remembers the leader epoch of the last record that it kept. A client that has passed nothing but a marker, or aborted records, of a newer epoch asks
//     with the older one whether its position is still there, is told where that epoch ended, and complains of data loss. That is none: it had got nothing from
//     beyond. So with any broker (kgo 1.22).
//
// Every client has a goroutine of its own, and those of its kgo.Client, until it is halted.
package clients
