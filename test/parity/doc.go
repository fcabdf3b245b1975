// Package parity says the same to Sluice and to a real Apache Kafka 4.3 and compares what they answer: scripts of raw requests, every
// offered API in every offered version, right ones and wrong ones.
//
// A script is a function that is run once for each broker, with topics and groups of its own. Each step it takes has a name and an answer,
// which is flattened to lines `path = value`. What must differ is given names first: topic ids, member ids, producer ids, session
// ids, node ids, addresses and times become the same on both sides (see render_test.go). Elements of arrays are told apart by what
// they are about, not by their place.
//
// Differences that are meant stand in deviations_test.go with their reason; one that does not occur any more fails the test, so the table
// is never longer than the truth. docs/kafka-parity.md is its short form.
//
// `make deps` fetches Apache Kafka; it is started anew for the test, which takes it some seconds.
package parity
