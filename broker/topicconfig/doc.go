// Package topicconfig knows every topic configuration of Apache Kafka 4.3, and the broker configurations behind them: name, type,
// default, doc, which broker setting a topic inherits from, and what values are right; and the same of groups and of telemetry subscriptions.
//
// Invariants:
//
//  1. Every topic config Kafka 4.3 knows is accepted, also where Sluice has no use for it; any other name is refused.
//  2. A map that [Validate] accepts always parses; a map is parsed once, when a partition learns of it, never per request.
//  3. A value nobody set is never shown as a topic's own: the source of a value is known (topic, broker, default).
//
// The package starts no goroutine and keeps no mutable state.
package topicconfig
