// Package msg holds the requests and responses of the Kafka protocol, generated from schema.json, which the generator (gen)
// distils from the message definitions that Apache Kafka 4.3 publishes.
//
// Invariants:
//
//  1. Decode is bounded in time and memory by the bytes it is given (see [kbin.Reader]); byte slices alias the input.
//  2. Append of what Decode gave is the same bytes, tagged fields that are not known aside, for every version.
//  3. Null strings and nullable structs are nil pointers, null arrays and bytes nil slices; where a version does not allow null
//     an empty value is written.
//  4. Decode starts from the defaults of the schema. A message that is built by hand starts with SetDefaults where a default
//     other than the zero value matters.
//
// The package starts no goroutine.
package msg

//go:generate go run ./gen
