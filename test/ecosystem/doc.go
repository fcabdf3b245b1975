// Package ecosystem runs the programs that people put beside a Kafka, unchanged, against a real sluice process, and checks the data they leave behind:
// Kafka Streams, Kafka Connect, MirrorMaker 2 and others. Each is one test; docs/ecosystem.md says what is run, in which version, and what was seen.
//
// Invariants:
//
//  1. A program is ready-made and pinned: a pom.xml beside its test, or a requirements file, names the versions. What was fetched stays in .cache/ecosystem.
//  2. A test says what data must be there at the end, record by record, and reads it itself, with another client than the program used.
//  3. Processes are ended by their id, and when the test is over.
//
// `make ecosystem` runs them, ONLY=Streams,Connect some of them, BROKERS=3 against a cluster of three with its WAL in the bucket. Without SLUICE_ECOSYSTEM the package has nothing to do.
package ecosystem
