// Package cluster runs several real broker processes on one bucket, does to them what happens to machines, and checks with package
// history that nothing acknowledged is lost, duplicated or reordered, and that everything is served again.
//
// A [world] is brokers that are killed, paused, stopped and started again on the same ports, and the clients of package clients. After each
// round every partition must take a record within servedWithin; in the end the producers must come to an end, everything is read from the
// start, the history is checked, and every broker must describe the same healthy cluster: all nodes live, no rescue open, nothing
// unavailable.
//
// Parameters, from the environment:
//
//	SLUICE_CHAOS_ROUNDS  rounds of faults per WAL class; default 4
//	SLUICE_CHAOS_BROKERS brokers of a world, 3 to 6; default 3
//	SLUICE_CHAOS_SEED    seed of all random choices; printed, default from the clock
//	SLUICE_CHAOS_KEEP    directory for the history, and logs, goroutines and metrics of the brokers when a test fails, or by the clock ends; default: none
//
// TestTimed is the form by the clock (make chaos MINUTES=n): more clients, more faults, a verdict for each guarantee and a page, see package timeline.
// It does nothing without
//
//	SLUICE_CHAOS_MINUTES how long faults go on in each WAL class
//	SLUICE_CHAOS_OUT     directory for the pages; default: a new one
//	SLUICE_CHAOS_WAL     file or s3: only the run that has this class first
//
// Partitions of the network are made with Linux network namespaces: the test runs itself again in one of its own, where it is root, so that
// nothing outside is touched and nothing is left behind; rules of the routing policy drop what comes in. Where namespaces are not permitted those
// tests are skipped.
//
// What the seed fixes is what the test does, not the order in which processes run; a failure is repeated by repeating rounds.
package cluster
