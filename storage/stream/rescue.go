package stream

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"sluice/base"
	"sluice/storage/cache"
	"sluice/storage/objstore/driver"
	"sluice/storage/wal"
)

// RescueOptions say what a rescue works with. Zero sizes mean the defaults.
type RescueOptions struct {
	Cluster base.UUID
	Store   driver.Store
	Catalog Catalog

	UploadBytes int64 // memory of one piece; 64 MiB
	SOBytes     int64 // 8 MiB
	// Skip reports that a record need not be uploaded: its stream is committed beyond it, or deleted. nil: upload all; the commit sorts
	// it out. It must be read from an image at or after the fence.
	Skip func(id base.StreamID, epoch base.StreamEpoch, r base.OffsetRange) bool

	// Done is called for each piece that was committed, in order. nil: not.
	Done func(RescuedPiece)

	pauseMin time.Duration // tests

	Logger *slog.Logger
}

// RescuedPiece is a part of a WAL that was brought to the bucket, and how long that took.
type RescuedPiece struct {
	From, To             base.WALPos // its blocks
	Bytes                int64       // of the blocks in the WAL
	Read, Upload, Commit time.Duration
}

// Rescue uploads the uncommitted part of a sealed WAL and commits it with a grant. blocks are the WAL's from the trim in the metadata to
// its seal, as wal.Read gives them; Rescue owns and releases them. next is the number after the victim's last committed upload. It
// goes piece by piece in bounded memory, and each commit moves the trim, so a rescue that was interrupted anywhere is repeated from what the
// metadata says then. An error of kind Fenced means that somebody else was granted the rescue.
func Rescue(ctx context.Context, opt RescueOptions, victim NodeRef, grant, next uint64, blocks iter.Seq2[*wal.Block, error]) error {
	if opt.UploadBytes <= 0 {
		opt.UploadBytes = 64 << 20
	}
	if opt.SOBytes <= 0 {
		opt.SOBytes = 8 << 20
	}
	if opt.pauseMin <= 0 {
		opt.pauseMin = retryMin
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Done == nil {
		opt.Done = func(RescuedPiece) {}
	}
	r := &rescue{opt: opt, up: &uploader{opt.Cluster, victim, grant, opt.Store, opt.Catalog, opt.SOBytes, opt.pauseMin, opt.Logger, newMetrics(nil)}, next: next}
	if opt.Skip != nil {
		r.skip = func(rec *wal.Record) bool {
			return opt.Skip(rec.Stream, rec.Epoch, base.OffsetRange{Start: rec.Base, End: rec.End()})
		}
	}
	return r.run(ctx, blocks)
}

type rescue struct {
	opt   RescueOptions
	up    *uploader
	next  uint64
	skip  func(*wal.Record) bool
	piece upload    // being collected
	began time.Time // of the collecting
}

func (r *rescue) run(ctx context.Context, blocks iter.Seq2[*wal.Block, error]) error {
	defer r.release()
	r.began = time.Now()
	for b, err := range blocks {
		if err != nil {
			return err
		}
		if n := len(r.piece.blocks); n > 0 && r.piece.blocks[n-1].Pos+1 != b.Pos {
			b.Release()
			return base.Errorf(base.Corrupt, "rescue of %s: WAL block %d follows %d", r.up.node, b.Pos, r.piece.blocks[n-1].Pos)
		}
		r.piece.blocks = append(r.piece.blocks, b)
		r.piece.charge += cache.Charge(b)
		if r.piece.charge >= r.opt.UploadBytes {
			if err := r.upload(ctx); err != nil {
				return err
			}
		}
	}
	return r.upload(ctx)
}

// upload puts and commits the piece that was collected.
func (r *rescue) upload(ctx context.Context) error {
	u := &r.piece
	if len(u.blocks) == 0 {
		return nil
	}
	u.number, u.began = r.next, time.Now()
	done := RescuedPiece{Read: u.began.Sub(r.began)}
	u.from, u.to = u.blocks[0].Pos, u.blocks[len(u.blocks)-1].Pos+1
	r.up.plan(u, r.skip)
	if err := r.up.put(ctx, u); err != nil {
		return err
	}
	put := time.Now()
	if _, _, err := r.up.commit(ctx, u); err != nil {
		return err
	}
	r.up.observe(u)
	done.From, done.To, done.Upload, done.Commit = u.from, u.to, put.Sub(u.began), time.Since(put)
	for _, b := range u.blocks {
		done.Bytes += int64(b.Bytes)
	}
	r.opt.Done(done)
	r.opt.Logger.Info("rescued a part of a WAL", "victim", r.up.node, "from", u.from, "to", u.to, "upload", u.number)
	r.next++
	r.release()
	r.began = time.Now()
	return nil
}

func (r *rescue) release() {
	for _, b := range r.piece.blocks {
		b.Release()
	}
	r.piece = upload{}
}
