package stream

import (
	"context"
	"fmt"

	"sluice/base"
)

// NodeRef names one incarnation of a broker, and by that one WAL.
type NodeRef struct {
	ID    base.NodeID
	Epoch base.NodeEpoch
}

func (n NodeRef) String() string { return fmt.Sprintf("%d@%d", n.ID, n.Epoch) }

// ObjectKind says what an uploaded object holds.
type ObjectKind uint8

const (
	// SSO is a stream-set object: many streams, sorted by (stream, offset).
	SSO ObjectKind = iota
	// SO is a stream object: one stream.
	SO
)

func (k ObjectKind) String() string { return [...]string{"SSO", "SO"}[min(k, SO)] }

// Catalog is what the engine needs of the cluster's metadata. All methods are safe for concurrent use; errors have base kinds:
//
//	Fenced       the node epoch, grant or stream epoch is over: give up that role, never retry under it
//	Unavailable  no controller just now, or no answer: the same call may be repeated (commits are numbered, the rest idempotent)
//	NotFound     see the methods
type Catalog interface {
	// PrepareObjects hands out n new object ids. An id that is not committed expires after a while.
	PrepareObjects(ctx context.Context, n int) ([]base.ObjectID, error)
	// CommitUpload commits an upload, atomically and in the order of the numbers; a number that was committed before is answered as
	// it was then. NotFound means that one of the objects is not prepared any more: nothing was committed, and the bytes have to be
	// uploaded under new ids.
	CommitUpload(ctx context.Context, c UploadCommit) (UploadResult, error)
	// TrimStreams moves starts forward, each stream for itself. Deleted streams are accepted. OutOfRange: beyond the committed end.
	// When only some items were refused the error is an *ItemErrors.
	TrimStreams(ctx context.Context, node NodeRef, trims []StreamTrim) error
	// CloseStreams closes streams, each for itself, at an end that must be the committed end (else OutOfRange). Deleted streams, and
	// such that were closed before at that end, are accepted. When only some items were refused the error is an *ItemErrors.
	CloseStreams(ctx context.Context, node NodeRef, closes []StreamClose) error
	// Locate returns up to limit ranges of committed objects in ascending order, from the one that contains from (or the first one
	// behind it). It reads the local image and does no I/O. After a CommitUpload of this node returned, Locate shows its effect.
	// NotFound: the stream does not exist or was deleted.
	Locate(ctx context.Context, id base.StreamID, from base.Offset, limit int) (Location, error)
}

// Location is what the metadata knows about where a stream lies.
type Location struct {
	Start        base.Offset // first offset that may be read
	CommittedEnd base.Offset // first offset that is in no committed object
	Bytes        int64       // record bytes of all ranges the stream still holds; 0: not known
	Objects      []ObjectRange
}

// ObjectRange is a range of a stream that lies in one object. The first one may begin below the stream's start.
type ObjectRange struct {
	ID           base.ObjectID
	Size         int64 // of the whole object, in bytes
	Range        base.OffsetRange
	Bytes        int64 // record bytes of the range
	MaxTimestamp int64 // largest record timestamp in the range, milliseconds; -1 if none of the records has one
}

// UploadCommit commits the objects of one upload from the WAL of Node.
type UploadCommit struct {
	Node    NodeRef     // whose WAL
	Grant   uint64      // number of the rescue grant; 0: the node itself
	Number  uint64      // consecutive per node epoch, from 1
	Trim    base.WALPos // WAL blocks below are covered by uploads up to this one
	Objects []UploadedObject
}

// UploadedObject is an object of an upload.
type UploadedObject struct {
	ID     base.ObjectID
	Size   int64 // bytes
	Kind   ObjectKind
	Ranges []StreamRange // ascending by (stream, offset)
}

// StreamRange is a contiguous range of one stream, written under one stream epoch.
type StreamRange struct {
	Stream       base.StreamID
	Epoch        base.StreamEpoch
	Range        base.OffsetRange
	Bytes        int64 // record bytes
	MaxTimestamp int64 // largest record timestamp in milliseconds; -1 if none of the records has one
}

// Verdict is what became of one range of an upload.
type Verdict uint8

const (
	// Committed: the range, or the part of it above the committed end, is committed.
	Committed Verdict = iota
	// SkippedBelow: all of it was committed before.
	SkippedBelow
	// SkippedNotOwned: the stream is no longer owned under that node and stream epoch.
	SkippedNotOwned
	// SkippedDeleted: the stream has been deleted.
	SkippedDeleted
)

func (v Verdict) String() string {
	return [...]string{"committed", "below", "not owned", "deleted"}[min(v, SkippedDeleted)]
}

// UploadResult is the answer to an UploadCommit.
type UploadResult struct {
	Verdicts []Verdict // one per range, object by object
}

// StreamTrim moves the start of a stream. A start below the present one changes nothing.
type StreamTrim struct {
	Stream base.StreamID
	Epoch  base.StreamEpoch
	Start  base.Offset
}

// StreamClose closes a stream at End.
type StreamClose struct {
	Stream base.StreamID
	Epoch  base.StreamEpoch
	End    base.Offset
}

// ItemErrors says which items of a batched call were refused.
type ItemErrors struct {
	Errs []error // one per item, nil for those that were accepted
}

func (e *ItemErrors) Error() string {
	n, first := 0, error(nil)
	for _, err := range e.Errs {
		if err != nil {
			if n++; first == nil {
				first = err
			}
		}
	}
	return fmt.Sprintf("%d of %d items refused, the first: %v", n, len(e.Errs), first)
}

// Unwrap lets callers see the kinds of the items' errors.
func (e *ItemErrors) Unwrap() []error { return e.Errs }

// itemErrors spreads the error of a batched call over its n items.
func itemErrors(err error, n int) []error {
	if items, ok := err.(*ItemErrors); ok && len(items.Errs) == n {
		return items.Errs
	}
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
