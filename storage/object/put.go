package object

import (
	"context"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// Put stores the body that [Writer.Finish] gave for the object id, if there is no such object. A key that is taken by these very bytes
// counts as stored: an earlier attempt of this put succeeded, and its answer was lost. The footer tells, for it holds the CRC of the index, which
// holds those of the blocks. IfAbsent of opt is implied. The error is Exists when the key is taken by something else; of the other kinds see [driver.Store].
func Put(ctx context.Context, s driver.Store, cluster base.UUID, id base.ObjectID, body [][]byte, size int64, opt driver.PutOptions) error {
	key := Key(cluster, id)
	opt.IfAbsent = true
	err := s.Put(ctx, key, body, opt)
	if !base.IsKind(err, base.Exists) {
		return err
	}
	footer := body[len(body)-1]
	got, err := s.Get(ctx, key, size-int64(len(footer)), -1, nil)
	switch {
	case base.IsKind(err, base.OutOfRange), err == nil && string(got) != string(footer):
		return base.Errorf(base.Exists, "object %s exists with other content", key)
	case base.IsKind(err, base.NotFound):
		return base.Wrap(base.Unavailable, err) // deleted meanwhile: the commit will tell
	}
	return err
}
