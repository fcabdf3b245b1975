// Package world runs a whole cluster and its clients in one process, on a network, a bucket and a clock that are not real: the production
// code of the broker, from the sockets down to the log, and franz-go. A [Run] is a function of its seed where the process itself is:
// in test/sim's WebAssembly guest, where time, randomness and the order of goroutines are.
//
// A run has these parts:
//
//  1. The seed decides what the world is like (swarm.go): how many brokers and partitions, which clients, how small the limits are, how
//     slow network and bucket are, and which faults there are. What a seed leaves out cannot hide what it has.
//     Worlds are dense, long (an hour) or take days; see [Kind].
//  2. Brokers start, a topic is made, clients begin. A round is one fault, drawn from those of the seed: begun, left for a while, and ended or
//     followed by the next one.
//  3. Everything is made whole. Each partition must take a record within a bound, producers must get rid of what they have, and the topic is
//     read from its beginning.
//  4. test/history judges. A run whose faults never happened, or in which nothing was acknowledged, is unknown and counts as failed.
//
// A broker dies by losing its ports: its host goes down, and the bucket does not answer it. A request to the bucket that is under way then has
// happened or not, by chance. What the dead code does afterwards reaches nobody; it is told to give up, so that it costs nothing.
//
// A pause stops what goes in and out, but not the timers inside: the broker finds out by its own clock. All brokers of a world are in one Go runtime, which has one
// clock. (SIGSTOP is for test/cluster.) The wall clock by which the controller counts ages is a port, and jumps.
//
// WALs are in the bucket, in a directory of each machine's disk, in one that all share, or in two of these, and then topics change from one class to the other
// (disk.go). Disks do wrong by rules (package simdisk). A broker that ends because its disk did wrong is started again; one that ends without that is a failure.
//
// There are no fault points in the product. Everything that becomes durable does so through the file system or the bucket, which are ports; so a process is killed, loses
// its power or is paused right before such an operation or right after (boundary.go). That covers each boundary there is, those too that nobody thought of when a
// list of points was written, with whatever the other goroutines have under way; and errors and slowness are the ports' in any case. What it cannot do is stop between
// two steps that no port sees, but what happens between these nobody else sees either.
//
// What brokers say to each other is such a boundary too (peers.go): a call or its answer is picked out of the bytes on the network, and right before it is delivered or right
// after, who has asked or who answers dies or is paused, one direction is cut, or the connection is reset.
//
// A kind of storage fault that was asked for has to happen: its rule hits, its boundary is reached. So has one of what brokers say. Otherwise the run is unknown.
//
// Everything that happens at a port, and each fault, is an event of the [Trace]; its hash is what two runs of a seed are compared by.
package world
