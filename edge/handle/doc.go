// Package handle gives Kafka requests their meaning: one file per API key (or pair of keys that belong together), whose header
// lists versions and known deviations. handler.go has the table of what is offered; nothing is offered that is not in it.
//
// A handler runs on the reader goroutine of its connection. It may block (the connection is not read meanwhile), and it may
// return before it has answered; it answers exactly once.
//
// Invariants:
//
//  1. ApiVersions offers exactly the keys of the table, in the versions that package msg decodes.
//  2. A request that cannot be decoded, or whose key or version is not offered, closes its connection and no other; ApiVersions
//     alone is answered in any version.
//  3. Every topic and partition that a request names is answered, with an error in place where there is one.
//  4. A leader hint and the endpoint next to it belong to the same node, and to the listener that the client came in by.
//  5. Nothing of the broker's own errors reaches a client unmapped: every error is a Kafka code a client knows how to treat.
//
// Goroutines: none of its own. Answers of Produce are encoded on the goroutine that completes the last append, so they are short.
package handle
