// Command scale measures what the metadata of a large cluster cost, by driving the real code: the machine of cluster/meta, the log of
// cluster/metalog, the controller of cluster/control and the planners of cluster/balance. `make scale` prints the table of
// docs/performance.md: 100 brokers, 100,000 partitions.
//
// There are no brokers in it. Each of them is a node that registered, opened and serves its partitions, and commits uploads which touch a
// thousand streams each, with the commands that a broker sends. Everything runs in one process; what a follower has to do is done
// once, and what it receives is counted.
//
// The tests of the package do the same at a tenth of the size and look at what must hold, not at times: replaying the log gives the image
// that the controller has, so does every way through a snapshot, and neither records nor images depend on how commands were batched.
//
// The package's goroutines end with the measurement that started them.
package main
