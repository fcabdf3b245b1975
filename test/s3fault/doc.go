// Package s3fault stands between a broker and an S3 server and misbehaves: it answers 503 for a while, lets a put succeed and then
// loses the answer, is slow, hangs, resets connections, breaks answers off, or does a put after it was given up.
//
// Invariants:
//
//  1. What is forwarded is forwarded unchanged, host name included, so that signatures hold.
//  2. A lost answer is lost after the server has answered: the put has happened.
//  3. Every fault that fired is counted; a test that needs one checks the count.
//
// net/http owns the goroutines; Close ends them.
package s3fault
