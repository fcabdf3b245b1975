// Package kafkasuite runs Apache Kafka's own published tests against Sluice: those of its clients, its command-line
// tools, Kafka Streams, Kafka Connect and MirrorMaker, and those of its core that talk to a broker, from Maven, as they are.
//
// The tests get their cluster from a JUnit extension. The one of Kafka starts brokers in the JVM of the test; the classes in java/ stand in for it and start
// `sluice` processes, as many as the test asks for, with the settings it asks for, on a bucket of their own. Stopping and starting a broker are a
// signal to the process and a new one. What a test asks for and what there is none of (an object of a JVM broker, a setting) aborts
// it with the reason.
//
// Security is set up as a test asks for it: the authorizer, super users and ACLs are Sluice's; logins by PLAIN and SCRAM are known from the test's JAAS configuration; keys and
// certificates become PEM files. A class of a test that says who clients of a listener are cannot run in the broker: it is asked, and clients that do not log in are logged in as
// that user by a doorman before the listener (Doorman), or, where that is no user, ACLs are kept for those who do not log in (Acls).
//
// What stands in for an object of a JVM broker (Standin, Inside) answers what can be asked of a process: by the protocol, by its state and metrics, and its stop and start.
//
// The outcome of each test is compared with expected.txt: every test that is not run, that aborts or that fails is named there, with the reason. A test
// that does otherwise than the file says fails this one, and so does a line that is not needed any more. Each class of tests runs in a JVM of its own,
// one after the other.
//
// SLUICE_KAFKASUITE=all runs all classes (`make kafka-tests`), other texts, with commas between, those whose names contain one of them (CLASS,
// CLASS#METHOD or CLASS#METHOD+METHOD); "reports" judges the last report of each class and runs nothing; without it a few run. SLUICE_KAFKASUITE_WRITE=1 writes what was seen to expected.txt, a part of a class into the report of the class, and to
// docs/compatibility.md the counts from the last report of each class, once there are reports of all.
package kafkasuite
