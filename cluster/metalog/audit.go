package metalog

import (
	"context"
	"fmt"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/slotlog"
)

// What tools need that look at a log from outside: its pieces, one by one. Nothing here writes.

// SlotInfo is what a slot says before its records.
type SlotInfo struct {
	Pos     base.MetaPos // number of records before the slot
	Starts  bool         // it is slot 0 of its epoch
	PrevEnd uint64       // of slot 0: the number of data slots of the epoch before
}

// DecodeSlot takes the payload of a data slot apart. After an error of kind Corrupt the records that could be read come with it.
func DecodeSlot(s slotlog.Slot) (SlotInfo, []meta.Record, error) {
	h, b, err := parseSlot(s)
	if err != nil {
		return SlotInfo{}, nil, err
	}
	info := SlotInfo{Pos: h.pos, Starts: h.starts, PrevEnd: h.prevEnd}
	recs, err := meta.DecodeRecords(b, int(s.Records))
	if err != nil {
		err = fmt.Errorf("metadata slot %x/%x: %w", s.Epoch, s.Slot, err)
	}
	return info, recs, err
}

// DecodeSnapshot verifies and loads the bytes of a snapshot, whatever cluster it is of, and returns which state it says it is. Corrupt: it
// cannot be used.
func DecodeSnapshot(b []byte) (*meta.Image, Position, error) {
	if len(b) < snapshotHeader {
		return nil, Position{}, base.Errorf(base.Corrupt, "%d bytes are too few for a metadata snapshot", len(b))
	}
	at := snapshotPlace(b)
	img, err := decodeSnapshot(b, at, base.UUID(b[8:24]))
	return img, at, err
}

// IsSnapshot reports whether b begins as a snapshot does.
func IsSnapshot(b []byte) bool { return len(b) >= 4 && string(b[:4]) == snapshotMagic }

// Slots returns the log that the reader reads.
func (r *Reader) Slots() slotlog.Log { return r.log }

// Bare reports that the bucket of the snapshots lacks the mark that says where its metadata log is.
func (r *Reader) Bare() bool { return r.bare }

// EndOf returns the number of data slots of an epoch, which slot 0 of its successor names; found is false if it has none.
func (r *Reader) EndOf(ctx context.Context, epoch uint64) (end uint64, found bool, err error) {
	return r.endOf(ctx, epoch)
}

// Snapshots lists the snapshots, oldest first.
func (r *Reader) Snapshots(ctx context.Context) ([]Position, error) { return r.snapshots(ctx) }

// SnapshotKey returns the key of the snapshot at a position.
func (r *Reader) SnapshotKey(at Position) string { return r.snapshotKey(at) }

// Snapshot reads, verifies and loads a snapshot, and returns its size in bytes.
func (r *Reader) Snapshot(ctx context.Context, at Position) (*meta.Image, int64, error) {
	b, err := r.opt.Snapshots.Get(ctx, r.snapshotKey(at), 0, -1, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("read metadata snapshot: %w", err)
	}
	img, err := decodeSnapshot(b, at, r.log.Cluster)
	return img, int64(len(b)), err
}

// Replay returns the image after the slot at to, from img, the image before the slot at from. The error is NotFound when a slot between them
// was trimmed.
func (r *Reader) Replay(ctx context.Context, img *meta.Image, from, to Position) (*meta.Image, error) {
	d := img.Draft()
	for at := from; !to.Less(at); at.Slot++ {
		s, err := r.log.Read(ctx, at.Epoch, at.Slot)
		if base.IsKind(err, base.NotFound) || err == nil && s.Seal != nil {
			end, found, endErr := r.endOf(ctx, at.Epoch)
			if endErr != nil {
				return nil, endErr
			}
			if !found || end != at.Slot {
				return nil, base.Errorf(base.NotFound, "metadata slot %s is not there", at)
			}
			if s, err = r.log.Read(ctx, at.Epoch+1, 0); err == nil {
				at = Position{Epoch: at.Epoch + 1}
			}
		}
		if err != nil {
			return nil, err
		}
		if err := r.applySlot(d, s); err != nil {
			return nil, err
		}
	}
	return d.Image(), nil
}

// Needless says which slots of the log nothing needs: those below the second-newest snapshot, and those behind an end, in epochs that have
// a successor. It is cheap to make and asks the store when it has to. It belongs to one goroutine.
type Needless struct {
	r    *Reader
	keep Position // the second-newest snapshot that verifies
	have bool
	ends map[uint64]uint64 // of epochs that have a successor
}

// Needless looks for the second-newest snapshot, by a listing and one read of it.
func (r *Reader) Needless(ctx context.Context) (*Needless, error) {
	n := &Needless{r: r, ends: map[uint64]uint64{}}
	found, err := r.snapshots(ctx)
	if err != nil || len(found) < 2 {
		return n, err
	}
	job := SnapshotJob{at: found[len(found)-1], reader: Reader{opt: r.opt, log: r.log}}
	newest, err := r.opt.Snapshots.Get(ctx, r.snapshotKey(job.at), 0, -1, nil)
	if err != nil || checkSnapshot(newest, job.at, r.log.Cluster) != nil {
		return n, nil // the older one is what everything hangs on
	}
	n.keep, n.have, err = job.second(ctx, found)
	return n, err
}

// Keep returns the position of the oldest snapshot that is needed; ok is false if all are.
func (n *Needless) Keep() (at Position, ok bool) { return n.keep, n.have }

// Slot reports whether the data slot at a position is needless. Slot 0 never is; whether the slot is a seal is the caller's to see.
func (n *Needless) Slot(ctx context.Context, at Position) (bool, error) {
	if at.Slot == 0 {
		return false, nil
	}
	end, known := n.ends[at.Epoch]
	if !known {
		e, found, err := n.r.endOf(ctx, at.Epoch)
		if err != nil {
			return false, err
		}
		if !found {
			return false, nil
		}
		n.ends[at.Epoch], end = e, e
	}
	return at.Slot >= end || n.have && !n.keep.Less(at), nil
}
