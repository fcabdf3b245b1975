package block

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/objstore/driver"
	"sluice/storage/wal/disk"
)

// Record is one record of a WAL: a run of Count consecutive offsets of a stream.
type Record struct {
	Stream       base.StreamID
	Epoch        base.StreamEpoch
	Base         base.Offset // first offset
	Count        int32       // offsets covered; at least 1
	MaxTimestamp int64       // milliseconds; opaque to the WAL
	Flags        uint8       // opaque to storage; kept
	Data         []byte      // in a Block: aliases the block's memory
}

// End returns the offset behind the record.
func (r *Record) End() base.Offset { return r.Base + base.Offset(r.Count) }

// Block is one group commit: what became durable with one write. Its content never changes.
type Block struct {
	Pos     base.WALPos
	Records []Record  // in the order of the appends; Data aliases Buf
	Buf     *slab.Buf // holds the bytes; the block owns one reference. Several blocks may share one buffer
	Bytes   int       // size of the block in the log: header, data, record table
	Mem     int       // bytes of Buf that this block takes up: what a cache should charge. The sum over the blocks of a Buf is its size
}

// Release gives the block's reference on its memory back. Nothing of the block's data may be used afterwards.
func (b *Block) Release() {
	buf := b.Buf
	b.Buf, b.Records = nil, nil
	buf.Release()
}

// Victim names the writer of one WAL: a node epoch.
type Victim struct {
	Node  base.NodeID
	Epoch base.NodeEpoch
}

func (v Victim) String() string { return fmt.Sprintf("%d-%d", v.Node, v.Epoch) }

// Identity is what the header of a file WAL's directory says: whose directory it is. A node that finds its identity there may
// claim its node id back.
type Identity struct {
	Cluster     base.UUID
	Node        base.NodeID // base.NoNode in a shared directory, which belongs to no node
	Incarnation base.UUID   // of the process that used the directory last; zero in a shared directory
}

// Options set up a WAL or name what is to be read.
type Options struct {
	Cluster base.UUID
	Node    base.NodeID    // Create only
	Epoch   base.NodeEpoch // Create only
	Pool    *slab.Pool     // required by Create and Read

	// OnBlock takes each durable block, in order, before the done calls of its records; it takes over the block's reference. It is
	// called on the completion goroutine with no lock held and must not call Close. nil: blocks are released.
	OnBlock func(*Block)
	// OnFailed is called once, on a goroutine of its own, when the log has failed for good (kinds Fenced, Failed). It may call
	// anything. The done calls of what was pending may come before or after.
	OnFailed func(error)
	// OnRoom is called after Used went down, on any goroutine, with no lock held; it must not block. nil: none.
	OnRoom func()
	// OnFull is called when a block has begun to wait for room that only Trim can give, on a writer's goroutine with no lock held;
	// it must not block or call Close. nil: none.
	OnFull func()

	// OnProgress is called by Seal each time it has read something, on any goroutine; it must not block. nil: none.
	OnProgress func()

	FS disk.FS // class file: nil is the operating system's
	// StallTimeout: a disk operation of a log that has been under way for so long counts as failed. Class file; 0: never.
	StallTimeout time.Duration

	Store driver.Store // class s3 without a URL of its own: the bucket that holds the log
	// OpenStore returns the store at the URL of a class s3 WAL that is not in the bucket, the same one each time; the WAL does not close it. It
	// does not contact the store. nil: such URLs are refused.
	OpenStore     func(ctx context.Context, url string) (driver.Store, error)
	PutsPerSecond float64 // class s3: request budget for small blocks; 0: 4

	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: no metrics
	Volume     int                   // label of the metrics: which of this process's WALs it is
}

// Log is a WAL that is being written: the one of this process's node epoch. All methods are safe for concurrent use.
type Log interface {
	// Append adds r to the log. r.Data is copied before it returns; the order of the calls is the order in the log. It never blocks
	// on I/O, and never fails because the log is full: a record that finds no room waits for Trim (see Capacity and Used; the
	// caller admits before it appends). done is called exactly once, in the order of the appends, with no lock held, after OnBlock of
	// the record's block; never from inside Append. It must not call Close. An error has kind Fenced, Failed or Closed and is
	// sticky; the record may yet be found in the log.
	Append(r Record, done func(error))
	// Durable returns the position of the first block that has not been handed to OnBlock: all below are durable.
	Durable() base.WALPos
	// Trim gives the room of the blocks below to back. The caller has committed that trim. Positions that were trimmed before
	// change nothing; a position above Durable is refused with OutOfRange.
	Trim(ctx context.Context, to base.WALPos) error
	// Close makes what was appended durable, then stops all goroutines. Later appends fail with Closed. When ctx ends first, the
	// pending appends fail with Closed, and the error is Unavailable; so it is when the disk hangs: then goroutines, files and the lock are left until its
	// calls return. Further calls return the first one's result.
	Close(ctx context.Context) error
	// Capacity returns the bytes of blocks the log can hold. As long as Used plus the bytes to append, with 4 KiB added for each
	// append, stays below it, appends do not wait for Trim.
	Capacity() int64
	// Used returns the bytes the log holds that are not trimmed, pending appends included.
	Used() int64
	// String names the place, without credentials.
	String() string
}
