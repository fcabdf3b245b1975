// Package cost proves what a cluster asks its bucket for. Its tests run whole brokers with real clients in one process, on a bucket in memory, a network in memory
// and a clock of their own (testing/synctest): a minute of load, or an hour of idling, takes as long as its work does, and requests per minute are counts, not
// measurements.
//
// What is shown: with the same byte rate the requests do not depend on how many partitions the bytes go to; an idle cluster makes no request but those by which
// the controller proves its role; what a GiB costs by list prices, for each WAL class; how many requests catching up takes.
//
// `go test ./test/cost` looks at it in small; `make cost` prints the tables of docs/cost.md at full rates.
//
// The package's goroutines end with the test that started them.
package cost
