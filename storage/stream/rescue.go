package stream

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

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

	UploadBytes int64 // memory of one piece; 16 MiB
	InFlight    int   // pieces at a time: one that is being read, the others on their way to the bucket; 4
	SOBytes     int64 // 64 MiB
	// Skip reports that a record need not be uploaded: its stream is committed beyond it, or deleted. nil: upload all; the commit sorts
	// it out. It must be read from an image at or after the fence.
	Skip func(id base.StreamID, epoch base.StreamEpoch, r base.OffsetRange) bool
	// Room is called before a piece is collected and waits for its memory; free is called when it is given back. nil: there is room.
	Room func(ctx context.Context) (free func(), err error)
	// Done is called for each piece that was committed, in order. nil: not.
	Done func(RescuedPiece)

	pauseMin time.Duration // tests

	Logger *slog.Logger
}

func (o RescueOptions) withDefaults() RescueOptions {
	if o.UploadBytes <= 0 {
		o.UploadBytes = 16 << 20
	}
	if o.InFlight <= 0 {
		o.InFlight = 4
	}
	if o.SOBytes <= 0 {
		o.SOBytes = soBytes
	}
	if o.pauseMin <= 0 {
		o.pauseMin = retryMin
	}
	if o.Room == nil {
		o.Room = func(context.Context) (func(), error) { return func() {}, nil }
	}
	if o.Done == nil {
		o.Done = func(RescuedPiece) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// RescuedPiece is a part of a WAL that was brought to the bucket, and how long that took.
type RescuedPiece struct {
	From, To base.WALPos   // its blocks
	Bytes    int64         // of the blocks in the WAL
	Read     time.Duration // from the first block asked for to the last one there
	Upload   time.Duration // preparing and putting its objects
	Commit   time.Duration // the command; not the wait for the piece before
}

// Rescue uploads the uncommitted part of a sealed WAL and commits it with a grant. blocks are the WAL's from the trim in the metadata to
// its seal, as wal.Read gives them; Rescue owns and releases them. next is the number after the victim's last committed upload.
//
// It goes piece by piece in bounded memory: pieces are cut at the same places whenever a rescue begins at the same trim, several are read and put
// side by side, and they commit in order. Each commit moves the trim, so a rescue that was interrupted anywhere is repeated from what
// the metadata says then. An error of kind Fenced means that somebody else was granted the rescue.
func Rescue(ctx context.Context, opt RescueOptions, victim NodeRef, grant, next uint64, blocks iter.Seq2[*wal.Block, error]) error {
	opt = opt.withDefaults()
	r := &rescue{opt: opt, up: &uploader{opt.Cluster, victim, grant, opt.Store, opt.Catalog, opt.SOBytes, opt.pauseMin, opt.Logger, newMetrics(nil), nil}, next: next,
		places: make(chan struct{}, opt.InFlight)}
	if opt.Skip != nil {
		r.skip = func(rec *wal.Record) bool {
			return opt.Skip(rec.Stream, rec.Epoch, base.OffsetRange{Start: rec.Base, End: rec.End()})
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.collect(ctx, g, blocks) })
	return g.Wait()
}

// rescue is the state of Rescue. All of it but the pieces belongs to collect.
type rescue struct {
	opt    RescueOptions
	up     *uploader
	next   uint64
	skip   func(*wal.Record) bool
	places chan struct{} // one for each piece
	last   *piece        // the one begun last, before which nothing commits
}

// piece is an upload with what it holds.
type piece struct {
	upload
	free func()
	read time.Duration
	done chan struct{} // closed when it was committed or given up
	ok   bool          // after done
	prev *piece        // commits before this one; nil for the first
}

// collect cuts the blocks into pieces, each of which goes on on a goroutine of its own.
func (r *rescue) collect(ctx context.Context, g *errgroup.Group, blocks iter.Seq2[*wal.Block, error]) error {
	var p *piece
	began, next := time.Now(), base.WALPos(0)
	launch := func() {
		if p != nil {
			u := p
			u.read, p = time.Since(began), nil
			g.Go(func() error { return r.run(ctx, u) })
		}
		began = time.Now()
	}
	for b, err := range blocks {
		if err == nil && p == nil {
			p, err = r.begin(ctx)
		}
		if err == nil && next != 0 && next != b.Pos {
			err = base.Errorf(base.Corrupt, "rescue of %s: WAL block %d where %d was due", r.up.node, b.Pos, next)
		}
		if err == nil && ctx.Err() != nil {
			err = base.Wrap(base.Closed, context.Cause(ctx))
		}
		if err != nil {
			if b != nil {
				b.Release()
			}
			if p != nil {
				r.end(p)
			}
			return err
		}
		next = b.Pos + 1
		p.blocks = append(p.blocks, b)
		if p.charge += cache.Charge(b); p.charge >= r.opt.UploadBytes {
			launch()
		}
	}
	launch()
	return nil
}

// begin waits for a place and for memory.
func (r *rescue) begin(ctx context.Context) (*piece, error) {
	select {
	case r.places <- struct{}{}:
	case <-ctx.Done():
		return nil, base.Wrap(base.Closed, context.Cause(ctx))
	}
	free, err := r.opt.Room(ctx)
	if err != nil {
		<-r.places
		return nil, err
	}
	p := &piece{free: free, done: make(chan struct{}), prev: r.last}
	p.number = r.next
	r.last = p
	r.next++
	return p, nil
}

// end gives back what the piece holds and lets the next one know.
func (r *rescue) end(p *piece) {
	for _, b := range p.blocks {
		b.Release()
	}
	p.upload = upload{}
	p.free()
	close(p.done)
	<-r.places
}

// run puts a piece, and commits it when the one before it has been committed.
func (r *rescue) run(ctx context.Context, p *piece) error {
	defer r.end(p)
	u := &p.upload
	u.began = time.Now()
	u.from, u.to = u.blocks[0].Pos, u.blocks[len(u.blocks)-1].Pos+1
	done := RescuedPiece{From: u.from, To: u.to, Read: p.read}
	for _, b := range u.blocks {
		done.Bytes += int64(b.Bytes)
	}
	r.up.plan(u, r.skip)
	if err := r.up.put(ctx, u); err != nil {
		return err
	}
	done.Upload = time.Since(u.began)
	if p.prev != nil {
		<-p.prev.done // it ends when ctx does
		if !p.prev.ok {
			return base.Errorf(base.Closed, "the piece before was given up")
		}
		p.prev = nil
	}
	began := time.Now()
	if _, _, err := r.up.commit(ctx, u); err != nil {
		return err
	}
	done.Commit = time.Since(began)
	r.opt.Logger.Info("rescued a part of a WAL", "victim", r.up.node, "from", u.from, "to", u.to, "upload", u.number)
	r.opt.Done(done)
	p.ok = true
	return nil
}
