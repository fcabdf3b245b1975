// Package bench is the load tool behind `sluice bench`. It speaks the Kafka protocol only, so that it measures any broker.
//
// How it measures:
//
//  1. Open loop. A record has an intended send time, fixed by the rate alone; its latency counts from that time, so a broker that
//     stalls is charged for every record that should have been sent meanwhile (no coordinated omission). Without a rate the
//     intended time is the moment the client takes the record.
//  2. The warm-up is produced and consumed like the rest, and counted nowhere.
//  3. Produce latency ends when the acknowledgement reaches the client; end-to-end latency ends when a consumer holds the record.
//  4. Both latencies use the monotonic clock of this one process: producers put the intended time into the record.
//  5. Latencies are kept in HdrHistograms with three significant digits from 1 µs to 5 min.
//
// Two clients: `kgo` is franz-go as applications use it; `raw` sends the same prepared batches again and again and drops what it
// fetches, so that it costs next to nothing and the broker is what limits. Raw numbers say what a broker can do, kgo numbers what
// an application gets on the same machine.
//
// Each producer and each consumer has one goroutine of its own (plus those inside the client library); the recorder is shared
// behind one short lock per second-sized slice of samples.
package bench
