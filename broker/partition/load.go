package partition

import "sync/atomic"

// Load is what a partition has had to do since it was opened. It only grows.
type Load struct {
	BytesIn, BytesOut int64 // record bytes appended, and read; duplicates and refused batches do not count
	Appends, Reads    int64 // batches appended, and reads that found something
}

// load counts Load. The counters are read without a lock, one by one: sums over a second are all that is wanted of them.
type load struct {
	bytesIn, appends atomic.Int64
	bytesOut, reads  atomic.Int64
}

func (l *load) appended(bytes int) {
	l.bytesIn.Add(int64(bytes))
	l.appends.Add(1)
}

func (l *load) read(bytes int) {
	l.bytesOut.Add(int64(bytes))
	l.reads.Add(1)
}

// Load returns what the partition has had to do so far. Cheap.
func (p *Partition) Load() Load {
	return Load{BytesIn: p.load.bytesIn.Load(), BytesOut: p.load.bytesOut.Load(), Appends: p.load.appends.Load(), Reads: p.load.reads.Load()}
}
