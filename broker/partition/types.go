package partition

import (
	"errors"

	"sluice/base"
	"sluice/storage/stream"
)

// Origin says who appends.
type Origin uint8

const (
	// Client is a producer: its batches are validated in full.
	Client Origin = iota
	// Coordinator is the broker itself, writing an internal topic or a transaction marker: no sequences, so no duplicate detection; control
	// batches allowed. Of a producer's batches and markers the epochs are checked.
	Coordinator
)

// AppendRequest is one record batch to append.
type AppendRequest struct {
	// Batch is exactly one record batch of format 2. It is rewritten in place, and is free for reuse when Append returns.
	Batch  []byte
	Origin Origin
	// Version is the version of the Produce request, 0 when there is none: old versions may not carry zstd.
	Version int16
	// Transactional says that the caller has checked the transaction that the batch belongs to. Without it a client's transactional batch
	// is refused: nobody would ever end its transaction.
	Transactional bool
	// Guard is what Verify gave out, if it said that verification is needed.
	Guard Guard
	// TransactionVersion says, of a marker, under which version of transactions it was sent: from 2 on it carries a higher epoch than the
	// transaction that it ends.
	TransactionVersion int8
}

// RecordError names a record of the batch that was refused.
type RecordError struct {
	Index   int32
	Message string
}

// AppendResult is the outcome of an Append.
type AppendResult struct {
	// Base is the offset of the first record; of a duplicate, the offset of the original. -1 on error.
	Base base.Offset
	// LogAppendTime is the time in milliseconds the broker stamped, -1 when the topic keeps the producer's.
	LogAppendTime int64
	// LogStart is the partition's first offset; -1 with errors that Kafka does not give it with.
	LogStart base.Offset
	// Err is nil, or a *kerr.Error.
	Err error
	// RecordErrors says which records were refused and why; only with INVALID_RECORD and INVALID_TIMESTAMP.
	RecordErrors []RecordError

	// Held comes with NOT_LEADER_OR_FOLLOWER, before Append returns: the partition is paused for a move. The same batch may be appended again,
	// here once the partition has resumed, or where it has moved to.
	Held bool

	unread bool // refused before the partition was looked at
}

// Isolation is the isolation level of a reader.
type Isolation int8

const (
	ReadUncommitted Isolation = 0
	ReadCommitted   Isolation = 1
)

// NoEpoch stands for "not known, do not check" where a client sends a leader epoch.
const NoEpoch int32 = -1

// ErrCold is Read's answer when CachedOnly is set and the bytes are not in memory.
var ErrCold = errors.New("partition: the bytes are not cached")

// ReadRequest asks for record batches.
type ReadRequest struct {
	From      base.Offset
	MaxBytes  int
	MinOne    bool // return the first batch even if it is larger than MaxBytes
	Isolation Isolation
	// LeaderEpoch is the leader epoch the client believes in, NoEpoch when it does not say.
	LeaderEpoch int32
	// LastEpoch is the epoch of the last batch the client has fetched, NoEpoch when it does not say.
	LastEpoch int32
	// CachedOnly makes Read fail with ErrCold rather than read from the bucket.
	CachedOnly bool
}

// ReadResult is what Read returns.
type ReadResult struct {
	// Chunk holds whole batches; nil when there is nothing to return. The caller releases it once its bytes are written.
	Chunk             *stream.Chunk
	HW, LSO, LogStart base.Offset
	// Aborted lists the aborted transactions that overlap Chunk, for readers of committed records only; nil for those too where the first batch is larger than what may be returned.
	Aborted []AbortedTxn
	// Diverging is set, and Chunk nil, when the client's log is not a prefix of this one.
	Diverging *EpochOffset
}

// Bytes returns how many bytes of records were read.
func (r *ReadResult) Bytes() int {
	if r.Chunk == nil {
		return 0
	}
	return r.Chunk.Bytes
}

// Limit returns the watermark that bounds a reader of the given isolation level.
func (r *ReadResult) Limit(i Isolation) base.Offset {
	if i == ReadCommitted {
		return r.LSO
	}
	return r.HW
}

// AbortedTxn is an aborted transaction that overlaps what was read.
type AbortedTxn struct {
	ProducerID  int64
	FirstOffset base.Offset
}

// AbortedSpan is an aborted transaction from its first record to its marker.
type AbortedSpan struct {
	ProducerID    int64
	First, Marker base.Offset
}

// EpochOffset is an epoch and where it ends; both are -1 when the epoch is not known.
type EpochOffset struct {
	Epoch int32
	End   base.Offset
}

// EpochStart is an epoch and where it starts.
type EpochStart struct {
	Epoch base.StreamEpoch
	Start base.Offset
}

// Markers that ListOffset takes in place of a time.
const (
	LatestOffset          int64 = -1
	EarliestOffset        int64 = -2
	MaxTimestampOffset    int64 = -3
	EarliestLocalOffset   int64 = -4
	LatestTieredOffset    int64 = -5
	EarliestPendingUpload int64 = -6
)

// Found is the answer to ListOffset; all three are -1 when no record matches.
type Found struct {
	Offset      base.Offset
	Timestamp   int64
	LeaderEpoch int32
}
