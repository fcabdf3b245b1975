// Package az is a container of Azure Blob Storage: one request, one attempt, and an error whose kind says what is known.
//
// Invariants:
//
//  1. The condition of IfAbsent is If-None-Match: *, checked by the store in the request that makes the blob visible. It answers 409
//     BlobAlreadyExists, or 412: Exists, the key is taken, possibly by an earlier attempt of the same put.
//  2. A put is one request (Put Blob, up to 5000 MiB) and carries an MD5 that the store checks.
//  3. Errors, bodies and deadlines: as in package request. ServerBusy and 429 did nothing and are Unavailable; other 5xx say nothing about a put.
//  4. The store has no listing from a key on: List reads from the prefix's beginning and leaves out what comes before.
//  5. Tokens are asked for anew before they are over; one goroutine at a time asks, the others wait for it.
//
// The package starts goroutines only within a Delete of several keys, at most deletesInFlight, and they end before it returns.
package az
