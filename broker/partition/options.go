package partition

import (
	"context"
	"log/slog"
	"time"

	"sluice/base"
	"sluice/broker/topicconfig"
	"sluice/storage/stream"
)

// Log is what a partition needs of a stream. *stream.Stream implements it.
type Log interface {
	// Append appends at the stream's end. The caller serialises calls; r.Data is copied before Append returns. done is called exactly
	// once, in the order of the calls, off the caller's locks.
	Append(r stream.AppendRecord, done func(error))
	// Read returns whole durable records from the one that contains from, below to.
	Read(ctx context.Context, from, to base.Offset, maxBytes int, minOne bool) (*stream.Chunk, error)
	// TryReadCached is Read, but reports false rather than do I/O.
	TryReadCached(from, to base.Offset, maxBytes int, minOne bool) (*stream.Chunk, bool, error)
	// FindTimestamp finds the first indexed range within [from, to) whose max timestamp is at least ts.
	FindTimestamp(ctx context.Context, ts int64, from, to base.Offset) (base.OffsetRange, bool, error)
	// MaxTimestamp finds the first indexed range within [from, to) that has the largest max timestamp.
	MaxTimestamp(ctx context.Context, from, to base.Offset) (base.OffsetRange, int64, bool, error)
	// Uncache has reads below an offset no longer find what a key compaction has removed.
	Uncache(below base.Offset)
	// Trim moves the start.
	Trim(ctx context.Context, start base.Offset) error
	// Start and Next are the first offset and the offset of the next append.
	Start() base.Offset
	Next() base.Offset
}

// Options say what a partition is and what it works with.
type Options struct {
	Topic base.UUID
	Name  string
	Index int32
	// Epoch is the leader epoch under which both streams were opened, and EpochStarts all epochs up to it, ascending.
	Epoch       base.StreamEpoch
	EpochStarts []EpochStart
	Config      *topicconfig.Config
	Data, Meta  Log
	// SnapshotBytes is how many bytes are appended between two snapshots of the producer state, if it is not a thousand batches before, which bounds
	// the replay at the next open; 0 means 16 MiB.
	SnapshotBytes int64
	// ReplayBytes bounds one read of the replay at open; 0 means 1 MiB.
	ReplayBytes int
	Now         func() time.Time // nil means time.Now
	Logger      *slog.Logger     // nil means none
	Metrics     *Metrics         // nil means none; shared by all partitions of a node
}

// snapshotBatches is how many batches are appended between two snapshots of the producer state, whatever their size.
const snapshotBatches = 1000

func (o Options) withDefaults() Options {
	if o.SnapshotBytes == 0 {
		o.SnapshotBytes = 16 << 20
	}
	if o.ReplayBytes == 0 {
		o.ReplayBytes = 1 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Config == nil {
		c := topicconfig.Default()
		o.Config = &c
	}
	return o
}
