package metalog

import (
	"bytes"
	"context"
	"fmt"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore"
	"sluice/storage/objstore/driver"
	"sluice/storage/slotlog"
)

// A snapshot is due after so many slots even if they are small, because a start reads them one by one: one slot for every 4 KiB of
// the last snapshot, and at least 512.
const (
	snapshotSlotsMin     = 512
	snapshotBytesPerSlot = 4096
)

// Due says that enough log has come together since the last snapshot for another one: in bytes, or the size of the last one if that
// is more, so that snapshots at most double what is written; or in slots.
func (l *Log) Due() bool {
	return l.slots > 0 && (l.bytes >= max(l.opt.SnapshotBytes, l.snapshotBytes) ||
		l.slots >= max(snapshotSlotsMin, uint64(l.snapshotBytes)/snapshotBytesPerSlot))
}

// SnapshotJob is a snapshot to be written. It shares nothing with the log and may run on another goroutine.
type SnapshotJob struct {
	img    *meta.Image
	at     Position
	reader Reader // for its helpers
	bytes  int64  // of log that the snapshot makes needless
	slots  uint64
}

// Snapshot begins a snapshot of img, which must be the image after the last acknowledged slot, and counts log from here on.
func (l *Log) Snapshot(img *meta.Image) *SnapshotJob {
	if l.flying || img.Pos() != l.pos {
		panic("BUG: metalog: snapshot with an append in flight or of another image")
	}
	j := &SnapshotJob{img: img, at: l.Last(), reader: Reader{opt: l.opt, log: l.log}, bytes: l.bytes, slots: l.slots}
	l.bytes, l.slots = 0, 0
	return j
}

// Finished takes note of what came of a job: the size that Run returned, or that it failed; then a snapshot is soon due again.
func (l *Log) Finished(j *SnapshotJob, size int64, err error) {
	if err != nil {
		l.bytes, l.slots = l.bytes+j.bytes, l.slots+j.slots
		return
	}
	l.snapshotBytes = size
}

// Run writes the snapshot, reads it back, and trims the log to the second-newest. It returns the snapshot's size in bytes. After an
// error there is no harm done: the log since the one before is still there.
func (j *SnapshotJob) Run(ctx context.Context) (size int64, err error) {
	ctx = driver.WithPurpose(ctx, driver.PurposeSnapshot)
	b := encodeSnapshot(j.img, j.at)
	store, key := j.reader.opt.Snapshots, j.reader.snapshotKey(j.at)
	if err := store.Put(ctx, key, [][]byte{b}, objstore.PutOptions{}); err != nil { // the bytes follow from the key, whoever puts them
		return 0, fmt.Errorf("write metadata snapshot: %w", err)
	}
	back, err := store.Get(ctx, key, 0, -1, nil)
	if err != nil {
		return 0, fmt.Errorf("read metadata snapshot back: %w", err)
	}
	if !bytes.Equal(back, b) {
		return 0, base.Errorf(base.Corrupt, "metadata snapshot %s: what was read back is not what was written", j.at)
	}
	return int64(len(b)), j.trim(ctx)
}

// trim deletes what the two newest snapshots make needless: older snapshots, and slots below the second-newest in epochs that have
// a successor.
func (j *SnapshotJob) trim(ctx context.Context) error {
	r := &j.reader
	found, err := r.snapshots(ctx)
	if err != nil {
		return err
	}
	keep, ok, err := j.second(ctx, found)
	if err != nil || !ok {
		return err
	}
	ctx = driver.WithPurpose(ctx, driver.PurposeDelete)
	var old []string
	for _, at := range found {
		if at.Less(keep) {
			old = append(old, r.snapshotKey(at))
		}
	}
	for epoch, err := range j.epochsBelow(ctx, keep) {
		if err != nil {
			return err
		}
		end, found, err := r.endOf(ctx, epoch)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		if epoch == keep.Epoch {
			end = min(end, keep.Slot+1)
		}
		if err := r.log.DeleteBelow(ctx, epoch, 1, end); err != nil {
			return err
		}
	}
	if len(old) == 0 {
		return nil
	}
	if err := r.opt.Snapshots.Delete(ctx, old...); err != nil {
		return fmt.Errorf("delete metadata snapshots: %w", err)
	}
	return nil
}

// second returns the newest snapshot before this job's that verifies.
func (j *SnapshotJob) second(ctx context.Context, found []Position) (at Position, ok bool, err error) {
	for i := len(found) - 1; i >= 0; i-- {
		if !found[i].Less(j.at) {
			continue
		}
		b, err := j.reader.opt.Snapshots.Get(ctx, j.reader.snapshotKey(found[i]), 0, -1, nil)
		if base.IsKind(err, base.NotFound) {
			continue
		}
		if err != nil {
			return at, false, fmt.Errorf("verify metadata snapshot: %w", err)
		}
		if checkSnapshot(b, found[i], j.reader.log.Cluster) == nil {
			return found[i], true, nil
		}
	}
	return at, false, nil
}

// epochsBelow yields the epochs up to that of keep which a listing shows to have more than a slot 0 and a seal.
func (j *SnapshotJob) epochsBelow(ctx context.Context, keep Position) func(yield func(uint64, error) bool) {
	return func(yield func(uint64, error) bool) {
		l, after := j.reader.log, ""
		epoch, slots := uint64(0), 0
		for info, err := range l.Store.List(ctx, l.Name+"/", after) {
			if err != nil {
				yield(0, fmt.Errorf("list metadata slots: %w", err))
				return
			}
			at, ok := slotOf(l, info.Key)
			if !ok || at.Epoch > keep.Epoch {
				break // snapshots sort behind the epochs
			}
			if at.Epoch != epoch {
				epoch, slots = at.Epoch, 0
			}
			if slots++; slots == 3 && !yield(epoch, nil) {
				return
			}
		}
	}
}

func slotOf(l slotlog.Log, key string) (Position, bool) {
	rest := key[min(len(key), len(l.Name)+1):]
	if len(rest) != 33 || rest[16] != '/' {
		return Position{}, false
	}
	return parsePosition(rest[:16] + "-" + rest[17:])
}
