// Package telemetry takes in the metrics that clients push to brokers (KIP-714), and shows them in /metrics, or sends them on to an
// OpenTelemetry collector.
//
// A client asks a broker what it is to send, and how often ([Receiver.Subscribe]); the answer is the union of the subscriptions that match it, which
// are configurations of kind [meta.ClientMetricsConfig]. Then it pushes ([Receiver.Push]): OTLP metrics, compressed. It may go on with another broker at any time,
// so the id of what it was told is computed from that alone and is the same everywhere.
//
// Invariants:
//
//  1. What a client pushes is bounded before it is looked at: compressed by telemetry.max.bytes, decompressed by [plainMax]; and so are the clients
//     ([clientsMax]), the series of one ([seriesMax]), and the length of names. What goes beyond is dropped and counted, never refused: a client
//     would stop to push at all.
//  2. A client that asks or pushes before its time is told so and nothing else happens, but for the last push of one that ends.
//  3. The rules (machine.go) and the decoder (otlp.go) have no clock and no I/O.
//  4. Sending on never makes a client wait: there is a queue of [queueMax] pushes, and what does not fit is dropped and counted.
//
// One mutex guards the clients. The only goroutine is the one that sends on, if there is a collector; Close ends it.
package telemetry
