package metalog

import (
	"context"
	"crypto/rand"
	"fmt"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore/driver"
	"sluice/storage/slotlog"
)

// Log is the metadata log in the hands of its controller. It belongs to one goroutine, but for Snapshot (see there). The caller keeps
// the image; the log knows positions only.
type Log struct {
	opt    Options
	log    slotlog.Log
	writer *slotlog.Writer
	next   Position     // of the next slot
	pos    base.MetaPos // of the next record
	flying bool         // an append is in flight
	bare   bool         // the bucket has to be marked, see mark.go

	begun         Entry
	bytes         int64  // of log since the last snapshot
	slots         uint64 // since the last snapshot
	snapshotBytes int64  // size of the last snapshot
}

// Open creates the cluster in an empty bucket or takes the metadata log over, and returns the log and the image at its end. It tries
// until it is the controller or ctx ends; then the error is Unavailable. Corrupt means that somebody has to look at the bucket.
func Open(ctx context.Context, opt Options) (*Log, *meta.Image, error) {
	opt = opt.withDefaults()
	for {
		r, err := OpenReader(ctx, opt)
		switch {
		case base.IsKind(err, base.NotFound):
			r = newCluster(opt)
		case err != nil:
			return nil, nil, err
		}
		l, img, err := takeOver(ctx, opt, r)
		if base.IsKind(err, base.Fenced) {
			opt.Logger.Info("another controller was faster, trying again", "error", err)
			continue
		}
		return l, img, err
	}
}

// newCluster returns a reader before the first slot of a cluster yet to be created.
func newCluster(opt Options) *Reader {
	id := opt.NewCluster
	if id.IsZero() {
		id = base.NewUUID()
	}
	return &Reader{opt: opt, log: slotlog.Log{Store: opt.Store, Cluster: id, Name: opt.Name}, img: meta.Empty(), bare: opt.apart()}
}

// takeOver begins the epoch after the reader's tip. The error is Fenced when somebody else has begun it.
func takeOver(ctx context.Context, opt Options, r *Reader) (*Log, *meta.Image, error) {
	ctx = driver.WithPurpose(ctx, driver.PurposeMetadata)
	l := &Log{opt: opt, log: r.log, bare: r.bare}
	if r.img.Pos() == 0 && r.next == (Position{}) { // nothing to seal: this is epoch 0
		img, err := l.begin(ctx, r.img, 0, 0)
		return l, img, err
	}
	at := r.next
	end, err := l.log.Seal(ctx, at.Epoch, at.Slot, slotlog.Seal{Who: opt.Who, Why: "take-over", NewEpoch: at.Epoch + 1})
	if err != nil {
		return nil, nil, fmt.Errorf("take the metadata log over: %w", err)
	}
	d := r.img.Draft()
	tip, err := r.applyEpoch(ctx, d, at, readAhead)
	if err != nil {
		return nil, nil, err
	}
	if tip.Slot != end {
		// Slots between are gone: the epoch has a successor that trimmed it, and slot 0 of that will tell.
		return nil, nil, base.Errorf(base.Fenced, "metadata log: epoch %d was sealed at slot %d but ends for a reader at %d", at.Epoch, end, tip.Slot)
	}
	img := d.Image()
	l.bytes, l.slots, l.snapshotBytes = r.replayed.bytes, r.replayed.slots, r.loaded
	img, err = l.begin(ctx, img, at.Epoch+1, end)
	if err != nil {
		return nil, nil, err
	}
	return l, img, nil
}

// begin puts slot 0 of an epoch and makes the writer for the rest of it. prevEnd is the end of the epoch before.
func (l *Log) begin(ctx context.Context, img *meta.Image, epoch, prevEnd uint64) (*meta.Image, error) {
	var recs []meta.Record
	if img.Pos() == 0 {
		recs = append(recs, meta.CreateCluster(l.log.Cluster, newSecret(), l.opt.Now().UnixMilli()))
	} else if img.Secret() == [32]byte{} { // created by a program that knew no peers
		recs = append(recs, meta.DrawSecret(newSecret()))
	}
	recs = append(recs, meta.ChangeController(epoch, l.opt.Who, l.opt.Node))
	after, err := img.Apply(img.Pos(), recs)
	if err != nil {
		return nil, err
	}
	w := l.log.NewWriter(epoch, 0, slotlog.WriterOptions{InFlight: 1, Purpose: driver.PurposeMetadata, Logger: l.opt.Logger, Registerer: l.opt.Registerer})
	head := slotHead{pos: img.Pos(), starts: true, prevEnd: prevEnd}.append(nil)
	body := head
	for _, r := range recs {
		body = meta.AppendRecord(body, r)
	}
	done := make(chan error, 1)
	w.Append([][]byte{body}, uint32(len(recs)), func(_ uint64, err error) { done <- err })
	select {
	case err = <-done:
	case <-ctx.Done():
		w.Close()
		if err = <-done; err != nil { // it may have happened, and then the next walk finds it
			err = base.Errorf(base.Unavailable, "begin epoch %d of the metadata log: %w", epoch, ctx.Err())
		}
	}
	if err == nil && l.bare {
		err = l.opt.putMark(ctx, l.log.Cluster)
	}
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("begin epoch %d of the metadata log: %w", epoch, err)
	}
	l.bare = false
	l.writer, l.next, l.pos = w, Position{epoch, 1}, after.Pos()
	l.begun = Entry{From: img.Pos(), Records: len(recs), Body: body[len(head):], Next: l.next}
	l.bytes += int64(len(body))
	l.slots++
	return after, nil
}

func newSecret() (secret [32]byte) {
	if _, err := rand.Read(secret[:]); err != nil {
		panic("BUG: no randomness: " + err.Error())
	}
	return secret
}

// Epoch returns the epoch of the log that this controller holds.
func (l *Log) Epoch() uint64 { return l.next.Epoch }

// Last returns the position of the last acknowledged slot.
func (l *Log) Last() Position { return Position{l.next.Epoch, l.next.Slot - 1} }

// Append appends count encoded records (meta.AppendRecord) as one slot and leaves body alone. Only one may be in flight. done is called exactly once, on another goroutine, when they are
// durable; the caller then calls Acknowledged on the goroutine that owns the log. An error of kind Fenced says that another
// controller has taken over, others that this log is of no use any more; in each case the records may yet be in the log.
func (l *Log) Append(body []byte, count int, done func(error)) {
	if l.flying {
		panic("BUG: metalog: second append in flight")
	}
	l.flying = true
	head := slotHead{pos: l.pos}.append(nil)
	l.bytes += int64(len(head) + len(body))
	l.pos += base.MetaPos(count)
	want := l.next.Slot
	l.writer.Append([][]byte{head, body}, uint32(count), func(slot uint64, err error) {
		if err == nil && slot != want {
			panic(fmt.Sprintf("BUG: metalog: slot %d was acknowledged, want %d", slot, want))
		}
		done(err)
	})
}

// Acknowledged takes note that the append in flight succeeded.
func (l *Log) Acknowledged() {
	l.flying = false
	l.next.Slot++
	l.slots++
}

// Full says that the epoch has so many slots that Roll should be called.
func (l *Log) Full() bool { return l.next.Slot >= l.opt.RollSlots }

// Roll ends the epoch and begins the next one, so that the slots of the old one can be trimmed. Nothing may be in flight; img is the
// image at the end. It returns the image with the records of the new epoch's slot 0. Errors as Append.
func (l *Log) Roll(ctx context.Context, img *meta.Image) (*meta.Image, error) {
	ctx = driver.WithPurpose(ctx, driver.PurposeMetadata)
	if l.flying || img.Pos() != l.pos {
		panic("BUG: metalog: roll with an append in flight or another image")
	}
	end, err := l.log.Seal(ctx, l.next.Epoch, l.next.Slot, slotlog.Seal{Who: l.opt.Who, Why: "roll", NewEpoch: l.next.Epoch + 1})
	if err != nil {
		return nil, fmt.Errorf("roll the metadata log: %w", err)
	}
	if end != l.next.Slot {
		return nil, base.Errorf(base.Corrupt, "metadata log: epoch %d ends at slot %d, but this controller wrote up to %d", l.next.Epoch, end, l.next.Slot)
	}
	old := l.writer
	l.opt.Node = img.Controller().Node // it may have become a node since the epoch began
	after, err := l.begin(ctx, img, l.next.Epoch+1, end)
	if err != nil {
		return nil, err
	}
	old.Close()
	return after, nil
}

// Close stops the writer; an append in flight fails with kind Closed.
func (l *Log) Close() { l.writer.Close() }
