package metalog

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore/driver"
	"sluice/storage/slotlog"
)

// Reader walks along the log and holds the image after what it has read. It belongs to one goroutine. Everything it returns is
// durable: a slot that exists at the end of the contiguous row is below whatever end a successor can name.
type Reader struct {
	opt  Options
	log  slotlog.Log
	img  *meta.Image
	next Position // the slot to read
	bare bool     // the bucket lacks the mark that it should have
	// replayed counts what was read since the snapshot the reader started from.
	replayed struct {
		slots uint64
		bytes int64
	}
	loaded int64 // size of that snapshot in bytes; 0: none
}

// OpenReader loads the newest snapshot and reads to the tip. The error is NotFound when there is no cluster in the bucket,
// Invalid when bucket and place of the log do not belong together.
func OpenReader(ctx context.Context, opt Options) (*Reader, error) {
	ctx = driver.WithPurpose(ctx, driver.PurposeMetadata)
	opt = opt.withDefaults()
	cluster, err := slotlog.ClusterOf(ctx, opt.Store, opt.Name)
	if base.IsKind(err, base.NotFound) {
		if err := opt.checkVacant(ctx); err != nil {
			return nil, fmt.Errorf("metadata log: %w", err)
		}
	}
	marked := true
	if err == nil && opt.apart() {
		marked, err = opt.checkMark(ctx, cluster)
	}
	if err != nil {
		return nil, fmt.Errorf("metadata log: %w", err)
	}
	r := &Reader{opt: opt, log: slotlog.Log{Store: opt.Store, Cluster: cluster, Name: opt.Name}, bare: !marked}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	if _, err := r.poll(ctx, readAhead); err != nil {
		return nil, err
	}
	return r, nil
}

// Image returns the image after everything read so far.
func (r *Reader) Image() *meta.Image { return r.img }

// Next returns the position that will be read next.
func (r *Reader) Next() Position { return r.next }

// Poll reads what has been appended since the last call and reports whether that was anything. It asks the store once or twice when it
// was not. What was read before an error of the store is kept, and the next call goes on from there: who is far behind gets to the tip
// by several calls, however short the time of each is.
func (r *Reader) Poll(ctx context.Context) (bool, error) { return r.poll(ctx, 1) }

// attemptsMax bounds how often a reader starts over from a snapshot in one call: each time because slots before the tip were
// trimmed while it read, which takes a snapshot and a roll of the log.
const attemptsMax = 8

func (r *Reader) poll(ctx context.Context, ahead int) (bool, error) {
	ctx = driver.WithPurpose(ctx, driver.PurposeMetadata)
	from := r.img.Pos()
	for range attemptsMax {
		behind, err := r.walk(ctx, ahead)
		if err != nil {
			return r.img.Pos() != from, err
		}
		if !behind {
			return r.img.Pos() != from, nil
		}
		r.opt.Logger.Info("metadata log was trimmed under a reader, loading a snapshot", "position", r.next.String())
		before := r.next
		if err := r.load(ctx); err != nil {
			return false, err
		}
		if !before.Less(r.next) {
			return false, base.Errorf(base.Corrupt, "metadata log: slot %s is gone and no snapshot after it can be read", before)
		}
	}
	return false, base.Errorf(base.Unavailable, "metadata log: trimmed %d times while it was being read", attemptsMax)
}

// walk applies slots up to the tip. behind says that the next slot was trimmed.
func (r *Reader) walk(ctx context.Context, ahead int) (behind bool, err error) {
	d := r.img.Draft()
	next := r.next
	for {
		end, err := r.applyEpoch(ctx, d, next, ahead)
		if err != nil {
			return false, err
		}
		next = end
		step, err := r.successor(ctx, next)
		if err != nil {
			r.keep(d, next)
			return false, err
		}
		switch step {
		case atTip:
			r.keep(d, next)
			return false, nil
		case trimmed:
			return true, nil // the draft is lost, and with it nothing that the snapshot does not hold
		case endsHere:
			next = Position{Epoch: next.Epoch + 1}
		case goesOn: // the slot was put between the two looks
		}
	}
}

// keep takes over what was applied to the draft, whose slots up to next lie in one row. The draft is used up.
func (r *Reader) keep(d *meta.Draft, next Position) {
	if d.View().Pos() != r.img.Pos() {
		r.img = d.Image()
	}
	r.next = next
}

type step int

const (
	atTip    step = iota // no successor: more may come here
	endsHere             // the successor begins where the walk is
	goesOn               // the slot is there after all
	trimmed              // the successor begins later, but the slot is gone
)

// successor says how to go on from a position whose slot was empty or a seal.
func (r *Reader) successor(ctx context.Context, at Position) (step, error) {
	end, found, err := r.endOf(ctx, at.Epoch)
	switch {
	case err != nil:
		return 0, err
	case !found:
		return atTip, nil
	case end == at.Slot:
		return endsHere, nil
	case end < at.Slot:
		return 0, base.Errorf(base.Corrupt, "metadata log: epoch %d ends at slot %d, but slot %d was read", at.Epoch, end, at.Slot-1)
	}
	s, err := r.log.Read(ctx, at.Epoch, at.Slot)
	switch {
	case base.IsKind(err, base.NotFound) || err == nil && s.Seal != nil:
		return trimmed, nil
	case err != nil:
		return 0, err
	}
	return goesOn, nil
}

// endOf returns the number of slots of an epoch, which its successor's slot 0 names, if there is one.
func (r *Reader) endOf(ctx context.Context, epoch uint64) (end uint64, found bool, err error) {
	s, err := r.log.Read(ctx, epoch+1, 0)
	if base.IsKind(err, base.NotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	h, _, err := parseSlot(s)
	return h.prevEnd, err == nil, err
}

// applyEpoch applies slots of one epoch from a position on and returns where it found an empty slot or a seal.
func (r *Reader) applyEpoch(ctx context.Context, d *meta.Draft, from Position, ahead int) (Position, error) {
	for s, err := range r.log.ReadRange(ctx, from.Epoch, from.Slot, 1<<62, ahead) {
		switch {
		case base.IsKind(err, base.NotFound), err == nil && s.Seal != nil:
			return from, nil
		case err != nil:
			r.keep(d, from)
			return from, err
		}
		if err := r.applySlot(d, s); err != nil {
			return from, err
		}
		from.Slot++
	}
	return from, nil
}

func (r *Reader) applySlot(d *meta.Draft, s slotlog.Slot) error {
	h, b, err := parseSlot(s)
	if err != nil {
		return err
	}
	if h.pos != d.View().Pos() {
		return base.Errorf(base.Corrupt, "metadata slot %x/%x: begins at record %d, the image is at %d", s.Epoch, s.Slot, h.pos, d.View().Pos())
	}
	recs, err := meta.DecodeRecords(b, int(s.Records))
	if err != nil {
		return fmt.Errorf("metadata slot %x/%x: %w", s.Epoch, s.Slot, err)
	}
	for _, rec := range recs {
		if err := d.Apply(rec); err != nil {
			return fmt.Errorf("slot %x/%x: %w", s.Epoch, s.Slot, err)
		}
	}
	r.replayed.slots++
	r.replayed.bytes += int64(len(s.Payload))
	return nil
}

// load starts the reader from the newest snapshot that verifies, or from the beginning.
func (r *Reader) load(ctx context.Context) error {
	ctx = driver.WithPurpose(ctx, driver.PurposeSnapshot)
	found, err := r.snapshots(ctx)
	if err != nil {
		return err
	}
	r.replayed.slots, r.replayed.bytes = 0, 0
	for _, at := range slices.Backward(found) {
		b, err := r.opt.Snapshots.Get(ctx, r.snapshotKey(at), 0, -1, nil)
		if base.IsKind(err, base.NotFound) {
			continue // superseded and deleted meanwhile
		}
		if err != nil {
			return fmt.Errorf("read metadata snapshot: %w", err)
		}
		img, err := decodeSnapshot(b, at, r.log.Cluster)
		if err != nil {
			r.opt.Logger.Error("metadata snapshot cannot be used, trying an older one", "snapshot", at.String(), "error", err)
			continue
		}
		r.img, r.next, r.loaded = img, Position{at.Epoch, at.Slot + 1}, int64(len(b))
		return nil
	}
	r.img, r.next, r.loaded = meta.Empty(), Position{}, 0
	return nil
}

func (r *Reader) snapshotPrefix() string { return r.opt.Name + "/snapshot/" }

func (r *Reader) snapshotKey(at Position) string { return r.snapshotPrefix() + at.String() }

// snapshots lists the snapshots, oldest first.
func (r *Reader) snapshots(ctx context.Context) ([]Position, error) {
	var found []Position
	for info, err := range r.opt.Snapshots.List(ctx, r.snapshotPrefix(), "") {
		if err != nil {
			return nil, fmt.Errorf("list metadata snapshots: %w", err)
		}
		if at, ok := parsePosition(strings.TrimPrefix(info.Key, r.snapshotPrefix())); ok {
			found = append(found, at)
		}
	}
	return found, nil
}
