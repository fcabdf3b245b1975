// Package ledger counts what the stores are asked for: requests and bytes by store, kind, purpose and topic, and puts prices on them.
//
// It wraps a store below the one that repeats requests, so every attempt is counted, failed ones too: stores bill them. What is counted are
// requests as they go over the wire, not calls: a store that makes several requests for one call, or none, reports them through the
// context's recorder (package s3 does). For one that does not (a directory, memory, etcd) the ledger counts what S3 would have been asked: parts of large bodies,
// pages of listings, batches of deletes.
//
// Invariants:
//
//  1. Every request is counted in exactly one place: one store, kind, purpose and, by the bytes it carries for each, the topics it serves. So sums
//     over any of them are the same.
//  2. A request that serves several topics is divided in millionths; the parts add up to one.
//  3. Counting changes nothing about a request, and costs a few atomic additions and one allocation, those of its shares aside.
//  4. Memory is bounded: Options.Topics topics have rows of their own, the rest share one, and at most marksMax earlier states are kept.
//  5. A number never goes down; a process begins at 0.
//
// The package starts no goroutine. Rates need an earlier state: the first request of a minute leaves one behind.
package ledger
