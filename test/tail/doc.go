// Command tail measures whether consumers that catch up disturb those that keep up, and how fast they catch up. `make tail` runs it.
//
// The processes, all on this machine, each with its CPU time reported, because they share the cores:
//
//	broker    the broker, with a file WAL and a bucket that is a directory, every request to which takes 20 ms until its first byte. A
//	          bucket in the process costs next to no CPU, as one at the other end of a network would; an S3 server beside it would take
//	          more of the cores than the broker. What a network bucket costs besides, HTTP and TLS, is missing from this and from what it is
//	          compared with. -bucket s3://… measures any other bucket, without delay.
//	          The WAL lies in memory (/dev/shm): a machine with one disk has it stand for the bucket here, and a WAL beside that would
//	          measure the disk. -wal names another place; -bandwidth bounds what the bucket gives, as a network would.
//	tail      producers and consumers of 20 MB/s by a client as applications use it, at a fixed rate, latency counted from when a record was
//	          due (package bench)
//	catch-up  eight consumers, a partition each, that read what is cold from its beginning, as fast as they can, and again from the
//	          beginning when they are through. They drop what they get. They stand for machines of their own, so they get only the time of
//	          the cores that nobody else wants (SCHED_IDLE): what they need is not to be taken for what the broker does to the tail.
//	bystander reads the bucket by plain GETs, in a process of its own and with the time that is left over, as fast as it can: what the device alone does to the
//	          tail, without the broker
//	plain     goroutines that do range GETs against the same store, in order, and drop what they get: as many as the broker has GETs at
//	          a time, and several sizes, the best of which counts. Nothing else runs meanwhile.
//
// The cold bytes are produced first, then the broker is started again, so that nothing of them is in memory; files are read around the page
// cache where the file system allows it. Then: plain; catch-up alone; and in rounds tail alone, tail beside the bystander, tail beside catch-up. The median of
// the rounds counts.
//
// Each process has one goroutine that ends it when its standard input is closed, which is when the parent has gone.
package main
