package compact

import (
	"context"

	"sluice/base"
	"sluice/storage/stream"
)

// Catalog is what compaction needs of the cluster's metadata. All methods are safe for concurrent use; errors have base kinds:
//
//	NotFound     an object of the commit is not prepared any more: nothing was committed, the work has to be done anew
//	Fenced       the node epoch is over: give up the role
//	Unavailable  no controller just now, or no answer: the same call may be repeated
type Catalog interface {
	// PrepareObjects hands out n new object ids. An id that is not committed expires after a while.
	PrepareObjects(ctx context.Context, n int) ([]base.ObjectID, error)
	// CommitCompaction replaces ranges of streams by ranges of new objects: one verdict per replacement, in order. Replacements are independent
	// of each other, each takes effect wholly or not at all. It may be repeated: what took effect before is answered Replaced. After it
	// returned, Snapshot and the stream engine's Locate show its effect.
	CommitCompaction(ctx context.Context, c Commit) ([]Verdict, error)
	// Snapshot returns what this node is to look after, of the newest image it knows. It does no I/O. Who looks after what is a matter of
	// not doing work twice, never of correctness: a commit is checked.
	Snapshot() View
}

// Commit replaces ranges by ranges of new objects.
type Commit struct {
	Node         stream.NodeRef // who prepared the objects
	Objects      []NewObject    // an object that no replacement which took effect names is marked for deletion at once
	Replacements []Replacement  // of one stream in ascending order; they do not overlap
}

// NewObject is an object that was put.
type NewObject struct {
	ID   base.ObjectID
	Size int64 // bytes
	Kind stream.ObjectKind
}

// Replacement replaces what holds Range of a stream.
type Replacement struct {
	Stream base.StreamID
	Range  base.OffsetRange
	// Sources are the objects of the ranges that the metadata has of the stream from the one that starts at Range.Start to the one that
	// ends at Range.End: one entry per such range, in order, so an object with two of them is named twice. Leading ones that a trim has
	// dropped meanwhile do no harm.
	Sources []base.ObjectID
	// New covers Range exactly: ascending, each beginning where the one before ends.
	New []NewRange
	// Cleaned says that Range and all below has been through key compaction. With it New may be empty: nothing was to be removed, the
	// ranges stay, and only the mark moves.
	Cleaned bool
}

// NewRange is a part of a stream in a new object. Not every offset of it needs to have a record (key compaction), but at least one has.
type NewRange struct {
	Object       base.ObjectID
	Range        base.OffsetRange
	Bytes        int64 // record bytes
	MaxTimestamp int64 // largest record timestamp, milliseconds; -1 if none of the records has one
}

// Verdict is what became of a replacement.
type Verdict uint8

const (
	// Replaced: the stream now consists of the new ranges there, but for those wholly below its start.
	Replaced Verdict = iota
	// Trimmed: all of the range lies below the stream's start by now.
	Trimmed
	// Deleted: the stream has been deleted.
	Deleted
	// Changed: the stream does not consist of the sources there any more; somebody else was faster.
	Changed
)

func (v Verdict) String() string {
	return [...]string{"replaced", "trimmed", "deleted", "changed"}[min(v, Changed)]
}

// View is what one node looks after: the stream-set objects that it prepared, or whose preparer is gone and that fall to it, and
// the stream objects of the streams it owns, or whose owner is gone and that fall to it. All objects are committed. A View is not changed once it
// was handed out.
type View struct {
	Objects []Object // ascending by id
}

// Object is a committed object with what is still referred to.
type Object struct {
	ID         base.ObjectID
	Kind       stream.ObjectKind
	Size       int64 // bytes, dead ones included
	PreparedMS int64 // Unix time in milliseconds
	Ranges     []LiveRange
}

// LiveRange is a range that the metadata has of a stream, in one object. The ranges of a stream leave no gaps and do not overlap, so two of them are
// neighbours exactly if one ends where the other starts.
type LiveRange struct {
	Stream base.StreamID
	base.OffsetRange
	Bytes        int64 // record bytes
	MaxTimestamp int64 // milliseconds; -1 or 0 if not known
}
