// Package s3 is a bucket in an S3-compatible store: one request, one attempt (parts of a multipart upload aside), and an error
// whose kind says what is known. Repeating is the affair of package retry and of the callers.
//
// Invariants:
//
//  1. A put is answered nil only after the store's own success. Exists means 412: the key is taken, possibly by an earlier attempt
//     of the same put. Unavailable means that no byte of the request can have reached the store, or that the store said it did
//     nothing (SlowDown). All else that is not a refusal is Undetermined: a timeout, a reset, 409, any other 5xx.
//  2. The body of a put is read through a source that is emptied before Put returns, because net/http may still read after the
//     call: see [source].
//  3. Every put carries a CRC32C that the store checks; the payload is not hashed for the signature.
//  4. A large body goes up in parts ([driver.Parts]), which may be repeated freely: nothing is visible before the one completing request,
//     which carries the condition.
//  5. A read is checked against the range and the length that the answer names; what is short or elsewhere is an error.
//  6. Every request has a deadline, so a hung connection ends: requestTimeout plus the time for its bytes at minBytesPerSecond.
//  7. Every request is told to the recorder of its context as the store bills it: parts, pages and batches, not calls.
//
// The package starts goroutines only within a multipart Put, at most partsInFlight, and they end before it returns.
package s3
