package audit

import (
	"bytes"
	"context"
	"fmt"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/cluster/metalog"
)

// chain checks the metadata log around what the reader has read: that every epoch begins with a slot 0 and that the epoch before is sealed
// where that says, and that the snapshots are what a replay gives.
func (v *verifier) chain(ctx context.Context) error {
	if v.reader.Bare() {
		f := finding(NotChecked, "the bucket lacks the mark that says where its metadata log is; the next controller puts it")
		f.Advice = "nothing"
		v.found(f.at(v.opt.Name+"/place", ""))
	}
	tip := v.reader.Next().Epoch
	wrong := make([][]Finding, tip+1)
	err := each(ctx, int(tip)+1, v.opt.Parallel, func(ctx context.Context, i int) (err error) {
		wrong[i], err = v.epoch(ctx, uint64(i))
		return err
	})
	if err != nil {
		return err
	}
	for _, fs := range wrong {
		for _, f := range fs {
			v.found(f) // slot 0 and seals are never deleted, so no newer image could explain it
		}
	}
	v.report.Slots += 2*int64(tip) + 1
	return v.snapshots(ctx)
}

// epoch checks slot 0 of an epoch of the metadata log and the seal of the one before.
func (v *verifier) epoch(ctx context.Context, epoch uint64) ([]Finding, error) {
	log := v.reader.Slots()
	s, err := log.Read(ctx, epoch, 0)
	where := fmt.Sprintf("metadata log, epoch %d", epoch)
	switch {
	case base.IsKind(err, base.NotFound):
		return []Finding{finding(MissingSlot, "slot 0 of an epoch is never deleted, and is not there").at(log.Key(epoch, 0), where)}, nil
	case base.IsKind(err, base.Corrupt):
		return []Finding{finding(DamagedSlot, "%v", err).at(log.Key(epoch, 0), where)}, nil
	case err != nil:
		return nil, err
	}
	info, _, err := metalog.DecodeSlot(s)
	if err != nil {
		return []Finding{finding(DamagedSlot, "%v", err).at(log.Key(epoch, 0), where)}, nil
	}
	if epoch == 0 {
		return nil, nil
	}
	end, err := log.Read(ctx, epoch-1, info.PrevEnd)
	key := log.Key(epoch-1, info.PrevEnd)
	switch {
	case base.IsKind(err, base.NotFound):
		f := finding(MissingSlot, "epoch %d ends at slot %d, and the seal there is gone: a controller of that epoch that wakes up would not be fenced", epoch-1, info.PrevEnd)
		return []Finding{f.at(key, where)}, nil
	case base.IsKind(err, base.Corrupt):
		return []Finding{finding(DamagedSlot, "%v", err).at(key, where)}, nil
	case err != nil:
		return nil, err
	case end.Seal == nil:
		return []Finding{finding(Unreadable, "epoch %d ends at slot %d, as its successor says, and there is data and no seal", epoch-1, info.PrevEnd).at(key, where)}, nil
	}
	return nil, nil
}

// snapshots checks that every snapshot can be loaded, and that each is what the log makes of the one before it. A snapshot that is gone was
// replaced by a newer one meanwhile; so were slots that are gone.
func (v *verifier) snapshots(ctx context.Context) error {
	found, err := v.reader.Snapshots(ctx)
	if err != nil {
		return err
	}
	var before *meta.Image
	var next metalog.Position
	if len(found) < 2 {
		before = meta.Empty()
	}
	for _, at := range found {
		img, _, err := v.reader.Snapshot(ctx, at)
		key := v.reader.SnapshotKey(at)
		switch {
		case base.IsKind(err, base.NotFound):
			before = nil
			continue
		case base.IsKind(err, base.Corrupt):
			v.found(finding(Unreadable, "%v", err).at(key, ""))
			before = nil
			continue
		case err != nil:
			return err
		}
		v.report.Snapshots++
		if before != nil {
			if err := v.replays(ctx, before, next, at, img, key); err != nil {
				return err
			}
		}
		before, next = img, metalog.Position{Epoch: at.Epoch, Slot: at.Slot + 1}
	}
	return nil
}

// replays checks that the log leads from one image to another.
func (v *verifier) replays(ctx context.Context, from *meta.Image, next, at metalog.Position, want *meta.Image, key string) error {
	got, err := v.reader.Replay(ctx, from, next, at)
	switch {
	case base.IsKind(err, base.NotFound):
		return nil
	case base.IsKind(err, base.Corrupt):
		v.found(finding(DamagedSlot, "%v", err).at("", fmt.Sprintf("metadata log between %s and %s", next, at)))
		return nil
	case err != nil:
		return err
	}
	if !bytes.Equal(got.AppendSnapshot(nil), want.AppendSnapshot(nil)) {
		v.found(finding(SnapshotDiffers, "the snapshot is not what the log gives from %s on", next).at(key, ""))
	}
	return nil
}

// tail checks that the metadata log ends where the reader ended. A slot that is lost there looks like the end: no object, no topic that came after it is in the image, and
// nothing about the rest seems wrong. But the log is written one slot at a time, so a slot that was listed before its predecessor is found missing is behind a hole.
func (v *verifier) tail(ctx context.Context) error {
	if v.listed.meta.Less(v.reader.Next()) {
		return nil
	}
	if _, err := v.reader.Poll(ctx); err != nil { // the cluster may have gone on
		return err
	}
	last, next := v.listed.meta, v.reader.Next()
	if last.Less(next) {
		return nil
	}
	log, at := v.reader.Slots(), next
	_, err := log.Read(ctx, at.Epoch, at.Slot)
	if !base.IsKind(err, base.NotFound) && at.Epoch < last.Epoch { // a seal, with which an epoch ends
		at = metalog.Position{Epoch: at.Epoch + 1}
		_, err = log.Read(ctx, at.Epoch, at.Slot)
	}
	switch {
	case base.IsKind(err, base.NotFound):
		f := finding(MissingSlot, "it is not there, but slot %d of epoch %d is: the log was read up to here, and everything later is missing from what is checked", last.Slot, last.Epoch)
		v.found(f.at(log.Key(at.Epoch, at.Slot), "metadata log"))
		return nil
	case base.IsKind(err, base.Corrupt): // is what the reader says when it gets there
		v.found(finding(DamagedSlot, "%v", err).at(log.Key(at.Epoch, at.Slot), "metadata log"))
		return nil
	}
	return err
}
