package driver

import (
	"context"

	"sluice/base"
)

// Purpose says what a request to a bucket is made for. Whoever makes requests says so by [WithPurpose]; package ledger counts them
// by it. It changes nothing about what the request does.
type Purpose uint8

// The purposes. Other is the zero value: what nobody tagged.
const (
	PurposeOther      Purpose = iota // nobody said; a request of a running broker with it is an omission
	PurposeWAL                       // slots of write-ahead logs: appends, reading them back, sealing
	PurposeUpload                    // objects made of the WAL cache
	PurposeRead                      // what a fetch waits for: blocks and indexes of objects
	PurposeReadAhead                 // what a sequential reader is expected to want next
	PurposeMetadata                  // slots of the metadata log, the controller's liveness among them
	PurposeSnapshot                  // snapshots of the metadata
	PurposeCompaction                // merging and splitting of objects
	PurposeClean                     // key compaction
	PurposeRescue                    // reading the WAL of a dead node epoch and uploading what it holds
	PurposeDelete                    // removing objects and slots that nothing needs any more
	PurposeVerify                    // sluice verify and sluice inspect
	PurposeProbe                     // asking at start whether the store does what it must
	PurposeSweep                     // looking for orphans
	PurposeEnd                       // how many purposes there are; not one
)

var purposeNames = [PurposeEnd]string{
	"other", "wal", "upload", "read", "readahead", "metadata", "snapshot", "compaction", "clean", "rescue", "delete", "verify", "probe", "sweep",
}

// String returns the name of the purpose, as metrics and reports have it.
func (p Purpose) String() string {
	if p >= PurposeEnd {
		return "invalid"
	}
	return purposeNames[p]
}

// Share is the part of a request's payload that belongs to one stream, in bytes as they are stored. What a request costs is divided
// by the bytes of its shares, headers and indexes going with them.
type Share struct {
	Stream base.StreamID
	Bytes  int64
}

// tag is a context with a purpose, with shares, or both. One allocation each; finding it allocates nothing.
type tag struct {
	context.Context
	purpose Purpose
	shares  []Share
}

type tagKey struct{}

func (t *tag) Value(key any) any {
	if _, ok := key.(tagKey); ok {
		return t
	}
	return t.Context.Value(key)
}

func tagOf(ctx context.Context) *tag {
	t, _ := ctx.Value(tagKey{}).(*tag)
	return t
}

// WithPurpose returns a context whose requests are made for p. The innermost one counts: who knows better than the caller says so
// by another. Where the context lives long (a loop's), tag it once outside of the loop.
func WithPurpose(ctx context.Context, p Purpose) context.Context {
	t := tagOf(ctx)
	if t == nil {
		return &tag{Context: ctx, purpose: p}
	}
	if t.purpose == p {
		return ctx
	}
	return &tag{Context: ctx, purpose: p, shares: t.shares}
}

// PurposeOf returns what the requests of ctx are made for.
func PurposeOf(ctx context.Context) Purpose {
	if t := tagOf(ctx); t != nil {
		return t.purpose
	}
	return PurposeOther
}

// WithShares returns a context whose requests carry the bytes of these streams. The slice belongs to the context from now on: it
// must not be changed, for a request may outlive the call that made it. A stream may occur several times.
func WithShares(ctx context.Context, shares []Share) context.Context {
	return &tag{Context: ctx, purpose: PurposeOf(ctx), shares: shares}
}

// SharesOf returns the streams that the requests of ctx serve, to be read only; nil when nobody said.
func SharesOf(ctx context.Context) []Share {
	if t := tagOf(ctx); t != nil {
		return t.shares
	}
	return nil
}
