// Package kerr holds the error codes of the Kafka protocol, and the errors that carry one through the broker to a response.
//
// Invariants:
//
//  1. Every code of Kafka 4.3 has a constant and Kafka's own name; a code never changes its number.
//  2. [CodeOf] has an answer for every error: an [Error] in the chain gives its code; else the error's [base.Kind] does; an error
//     nobody classified is UNKNOWN_SERVER_ERROR, which clients do not retry.
//  3. No text of an internal error reaches a client unless it was written for one: see [MessageOf].
//
// The package starts no goroutine.
package kerr
