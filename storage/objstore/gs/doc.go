// Package gs is a bucket in Google Cloud Storage, by its JSON API: one request, one attempt, and an error whose kind says what is known.
//
// Invariants:
//
//  1. The condition of IfAbsent is ifGenerationMatch=0, checked by the store in the request that makes the object visible. 412 is
//     Exists: the key is taken, possibly by an earlier attempt of the same put.
//  2. A put is one request, whatever its size, and carries a CRC32C that the store checks and repeats in its answer.
//  3. Errors, bodies and deadlines: as in package request. 429 did nothing and is Unavailable; 5xx says nothing about a put.
//  4. Credentials are the Application Default Credentials; the token is renewed before it is over. 401 is Unavailable: a token that was
//     revoked is a matter of the operator, and the broker waits for it.
//
// The package starts goroutines only within a Delete of several keys, at most deletesInFlight, and they end before it returns.
package gs
