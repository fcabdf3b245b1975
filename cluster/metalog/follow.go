package metalog

import (
	"context"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore/driver"
	"sluice/storage/slotlog"
)

// Entry is one acknowledged slot of the log, as a controller hands it to followers.
type Entry struct {
	From    base.MetaPos // position of the first record
	Records int
	Body    []byte   // the records, encoded; read-only
	Next    Position // the slot that follows
}

// Apply returns the image after the entry, which must begin at the image's position.
func (e Entry) Apply(img *meta.Image) (*meta.Image, error) {
	recs, err := meta.DecodeRecords(e.Body, e.Records)
	if err != nil {
		return nil, err
	}
	return img.Apply(e.From, recs)
}

// ReaderAt returns a reader that has read up to next, img being the image there. It asks the store nothing.
func ReaderAt(opt Options, img *meta.Image, next Position) *Reader {
	opt = opt.withDefaults()
	return &Reader{opt: opt, log: slotlog.Log{Store: opt.Store, Cluster: img.ClusterID(), Name: opt.Name}, img: img, next: next}
}

// Take has the reader go past an entry that came from the controller instead of from the store. An error has kind Corrupt and leaves the
// reader as it was.
func (r *Reader) Take(e Entry) error {
	img, err := e.Apply(r.img)
	if err != nil {
		return err
	}
	r.img, r.next = img, e.Next
	r.replayed.slots++
	r.replayed.bytes += int64(len(e.Body))
	return nil
}

// Create creates the cluster in an empty store. The error is Fenced when somebody else has.
func Create(ctx context.Context, opt Options) (*Log, *meta.Image, error) {
	opt = opt.withDefaults()
	return takeOver(ctx, opt, newCluster(opt))
}

// TakeOver begins the epoch after what r has read, as the controller. The error is Fenced when somebody else has begun it, or when r
// is behind; then r should be polled. r must not be used after a success.
func TakeOver(ctx context.Context, opt Options, r *Reader) (*Log, *meta.Image, error) {
	return takeOver(ctx, opt.withDefaults(), r)
}

// Superseded reports whether the log has an epoch after this one: whether somebody else is the controller. It costs one request.
func (l *Log) Superseded(ctx context.Context, epoch uint64) (bool, error) {
	ctx = driver.WithPurpose(ctx, driver.PurposeMetadata)
	r := Reader{opt: l.opt, log: l.log}
	_, found, err := r.endOf(ctx, epoch)
	return found, err
}

// Next returns the position of the slot that will be appended next.
func (l *Log) Next() Position { return l.next }

// Begun returns the entry of the slot that began the present epoch.
func (l *Log) Begun() Entry { return l.begun }
