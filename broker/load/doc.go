// Package load measures what this node has to do, for its heartbeats: bytes and requests of its partitions, the busiest of them by name,
// and the CPU of the process.
//
// Invariants:
//
//  1. Measuring costs the data path four uncontended atomic additions per batch and nothing else; everything else happens when a sample is
//     taken, once per heartbeat.
//  2. A sample is bounded: balance.MaxPartitions partitions at most, whatever the node leads.
//
// The package starts no goroutine. A [Meter] belongs to whoever takes its samples.
package load
