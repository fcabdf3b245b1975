package stream

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/base"
	"sluice/base/seeded"
	"sluice/storage/cache"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
	"sluice/storage/wal"
)

// upload is a run of whole WAL blocks on its way to the bucket.
//
// Uploads are numbered, and prepared side by side; each commits only after the one before it has. All of an upload's requests are repeated
// until they succeed or the role ends: an outage of the bucket makes it late, never wrong. The record bytes stay where they are, in the
// blocks' slabs, and the blocks stay in the WAL cache because they lie above the trim.
type upload struct {
	number   uint64
	from, to base.WALPos
	charge   int64
	blocks   []*wal.Block
	parts    []part
	began    time.Time

	prev *upload       // commits before this one; nil for the first, and once it has
	done chan struct{} // closed when committed or given up
	err  error         // after done
}

// part is one object of an upload.
type part struct {
	kind   ObjectKind
	writer *object.Writer
	id     base.ObjectID
	size   int64
}

// uploader does the requests of uploads from one WAL; the engine and a rescue have one each.
type uploader struct {
	cluster base.UUID
	node    NodeRef // whose WAL
	grant   uint64
	store   driver.Store
	catalog Catalog
	soBytes int64
	pause   time.Duration // first pause before a retry
	logger  *slog.Logger
	metrics *metrics
	reserve *reserve // ids prepared ahead; nil: none
}

// plan sorts the records by (stream, offset) and assembles the objects: one for every stream with soBytes or more, one for the rest.
// Within a stream the WAL's order is the order of offsets, so grouping by stream sorts. skip, if not nil, leaves records out.
func (up *uploader) plan(u *upload, skip func(*wal.Record) bool) {
	groups, order := group(u.blocks, skip)
	var set *object.Writer
	streams, records, bytes := 0, 0, int64(0)
	for _, g := range groups {
		if g.bytes < up.soBytes {
			streams++
			records += g.count
			bytes += g.bytes
		}
	}
	kind := SSO
	if streams == 1 && bytes >= soMin {
		kind = SO
	}
	for _, g := range groups {
		w := set
		if g.bytes >= up.soBytes {
			w = object.NewWriter(g.count, g.bytes)
			u.parts = append(u.parts, part{kind: SO, writer: w})
		} else if set == nil {
			w = object.NewWriter(records, bytes)
			set = w
			u.parts = append(u.parts, part{kind: kind, writer: w})
		}
		for _, r := range order[g.first : g.first+g.count] {
			w.Add((*object.Record)(r.record), r.block.Buf.B)
		}
	}
}

// streamGroup is a stream's share of an upload: order[first:first+count].
type streamGroup struct {
	stream               base.StreamID
	first, count, placed int
	bytes                int64
}

// placed is a record and the block it lies in.
type placed struct {
	block  *wal.Block
	record *wal.Record
}

// group returns the streams of the blocks, ascending, and the records grouped by stream, each group in WAL order: a counting sort.
func group(blocks []*wal.Block, skip func(*wal.Record) bool) (groups []streamGroup, order []placed) {
	at := map[base.StreamID]int{}
	total := 0
	eachRecord(blocks, skip, func(_ *wal.Block, r *wal.Record) {
		i, ok := at[r.Stream]
		if !ok {
			i = len(groups)
			at[r.Stream] = i
			groups = append(groups, streamGroup{stream: r.Stream})
		}
		groups[i].count++
		groups[i].bytes += int64(len(r.Data))
		total++
	})
	slices.SortFunc(groups, func(a, b streamGroup) int { return cmp.Compare(a.stream, b.stream) })
	first := 0
	for i := range groups {
		at[groups[i].stream] = i
		groups[i].first = first
		first += groups[i].count
	}
	order = make([]placed, total)
	eachRecord(blocks, skip, func(b *wal.Block, r *wal.Record) {
		g := &groups[at[r.Stream]]
		order[g.first+g.placed] = placed{b, r}
		g.placed++
	})
	return groups, order
}

func eachRecord(blocks []*wal.Block, skip func(*wal.Record) bool, f func(*wal.Block, *wal.Record)) {
	for _, b := range blocks {
		for i := range b.Records {
			if r := &b.Records[i]; skip == nil || !skip(r) {
				f(b, r)
			}
		}
	}
}

// put prepares ids for the parts that have none and puts them.
func (up *uploader) put(ctx context.Context, u *upload) error {
	if err := up.prepare(ctx, u); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(putsPerUpload)
	for i := range u.parts {
		g.Go(func() error { return up.putPart(ctx, u, &u.parts[i]) })
	}
	return g.Wait()
}

func (up *uploader) prepare(ctx context.Context, u *upload) error {
	if len(u.parts) == 0 {
		return nil
	}
	return up.retry(ctx, "prepare objects", func() (err error) {
		ids := up.reserve.take(len(u.parts))
		if ids == nil {
			n := len(u.parts)
			if ids, err = up.catalog.PrepareObjects(ctx, n+up.reserve.more()); err != nil {
				return err
			}
			up.reserve.put(ids[n:])
			ids = ids[:n]
		}
		for i := range u.parts {
			u.parts[i].id, u.parts[i].size = ids[i], 0
		}
		return nil
	})
}

// putPart puts one object. The id is ours alone, so a key that is taken was taken by an earlier attempt of this very put whose
// answer was lost; that is checked, and if it is not so, the part gets another id.
func (up *uploader) putPart(ctx context.Context, u *upload, p *part) error {
	ctx = driver.WithShares(ctx, p.shares())
	return up.retry(ctx, "put object", func() error {
		body, size := p.writer.Finish(object.Meta{Cluster: up.cluster, ID: p.id, Kind: object.Kind(p.kind), Node: up.node.ID, NodeEpoch: up.node.Epoch, Upload: u.number})
		err := object.Put(ctx, up.store, up.cluster, p.id, body, size, driver.PutOptions{})
		if base.IsKind(err, base.Exists) {
			return up.replaceID(ctx, p, err)
		}
		if err == nil {
			p.size = size
		}
		return err
	})
}

// shares returns how many bytes of which streams the object holds. It is called after the last record was added.
func (p *part) shares() []driver.Share {
	ranges := p.writer.Ranges()
	out := make([]driver.Share, len(ranges))
	for i := range ranges {
		out[i] = driver.Share{Stream: ranges[i].Stream, Bytes: ranges[i].Bytes}
	}
	return out
}

func (up *uploader) replaceID(ctx context.Context, p *part, why error) error {
	up.logger.Error("object id is taken; using another", "object", p.id, "err", why)
	ids, err := up.catalog.PrepareObjects(ctx, 1)
	if err != nil {
		return err
	}
	p.id = ids[0]
	return base.Wrap(base.Unavailable, why)
}

// commit commits the upload, putting its objects anew when they have expired: expiredTries times, for a NotFound that does not go away
// means something else.
func (up *uploader) commit(ctx context.Context, u *upload) (UploadCommit, UploadResult, error) {
	for tries := 1; ; tries++ {
		c := UploadCommit{Node: up.node, Grant: up.grant, Number: u.number, Trim: u.to}
		if seeded.Bug(seeded.TrimOneTooFar) {
			c.Trim++
		}
		for i := range u.parts {
			p := &u.parts[i]
			o := UploadedObject{ID: p.id, Size: p.size, Kind: p.kind}
			for _, r := range p.writer.Ranges() {
				o.Ranges = append(o.Ranges, StreamRange(r))
			}
			c.Objects = append(c.Objects, o)
		}
		var res UploadResult
		err := up.retry(ctx, "commit upload", func() (err error) {
			res, err = up.catalog.CommitUpload(ctx, c)
			return err
		})
		if !base.IsKind(err, base.NotFound) || tries == expiredTries {
			return c, res, err
		}
		up.logger.Warn("objects of an upload expired; putting them again", "upload", u.number, "err", err)
		up.reserve.drop()
		if err := up.put(ctx, u); err != nil {
			return c, res, err
		}
	}
}

// retry repeats op, with growing pauses, while its failure may pass: everything but what says that the role or the object is over. A
// wrong credential may be put right, so a refusal by the bucket is retried as well: the data is safe in the WAL meanwhile.
func (up *uploader) retry(ctx context.Context, what string, op func() error) error {
	pause := up.pause
	for attempt := 1; ; attempt++ {
		err := op()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return base.Errorf(base.Closed, "%s: %w", what, ctx.Err())
		}
		switch base.KindOf(err) {
		case base.Unavailable, base.Undetermined, base.Full:
		case base.Invalid, base.Corrupt, base.Unknown:
			if what != "put object" {
				return err
			}
		default:
			return err
		}
		up.metrics.uploadRetries.Inc()
		if attempt == 1 || pause == retryMax {
			up.logger.Warn("upload: "+what+" failed; retrying", "attempt", attempt, "pause", pause, "err", err)
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return base.Errorf(base.Closed, "%s: %w", what, ctx.Err())
		}
		pause = min(2*pause, retryMax)
	}
}

func (up *uploader) observe(u *upload) {
	up.metrics.uploads.Inc()
	up.metrics.uploadSeconds.Observe(time.Since(u.began).Seconds())
	for i := range u.parts {
		up.metrics.uploadBytes.Add(float64(u.parts[i].size))
		up.metrics.uploaded.Add(u.parts[i].size)
		up.metrics.objects.WithLabelValues(u.parts[i].kind.String()).Inc()
	}
}

// uploadLoop freezes uploads when they are due; each then runs on a goroutine of its own, Options.Uploads at a time.
func (e *Engine) uploadLoop() {
	defer e.tasks.Done()
	up := &uploader{e.opt.Cluster, e.opt.Node, 0, e.opt.Store, e.opt.Catalog, e.opt.SOBytes, e.opt.pauseMin, e.opt.Logger, e.metrics, &e.share.reserve}
	slots := make(chan struct{}, e.opt.Uploads)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		due, wait := e.up.due(time.Now(), e.opt.UploadEvery)
		if due {
			select {
			case slots <- struct{}{}:
			case <-e.ctx.Done():
				return
			}
			u := e.freeze()
			go func() {
				e.run(up, u)
				<-slots
				e.up.mu.running.Done()
			}()
			continue
		}
		if wait > 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-e.up.wakeup:
		case <-timer.C:
		case <-e.ctx.Done():
			return
		}
	}
}

// freeze makes an upload of the oldest waiting blocks: at least one, up to about UploadBytes.
func (e *Engine) freeze() *upload {
	u := &upload{began: time.Now(), done: make(chan struct{})}
	next, durable := e.up.waitingRange()
	log := int64(0)
	for pos := next; pos < durable; pos++ {
		b := e.wal.Block(pos)
		if charge := cache.Charge(b); len(u.blocks) == 0 || u.charge+charge <= e.opt.UploadBytes*5/4 {
			u.charge += charge
			log += logBytes(b)
			u.blocks = append(u.blocks, b)
			continue
		}
		break
	}
	e.up.freeze(u, len(u.blocks), log, time.Now())
	return u
}

// logBytes is what a block takes up in the WAL, whose unit is 4 KiB.
func logBytes(b *wal.Block) int64 { return int64(b.Bytes+4095) &^ 4095 }

// run takes an upload through put and commit.
func (e *Engine) run(up *uploader, u *upload) {
	defer close(u.done)
	ctx := driver.WithPurpose(e.ctx, driver.PurposeUpload)
	up.plan(u, nil)
	if seeded.Bug(seeded.TrimBeforeCommit) {
		e.log.Trim(ctx, u.to)
	}
	if u.err = up.put(ctx, u); u.err == nil {
		u.err = e.previous(u)
	}
	if u.err == nil {
		var c UploadCommit
		var res UploadResult
		if c, res, u.err = up.commit(ctx, u); u.err == nil {
			e.committed(u, c, res)
			up.observe(u)
		}
	}
	u.parts = nil
	if u.err != nil && e.ctx.Err() == nil {
		e.fail(u.err)
	}
}

// previous waits until the upload before u has been committed.
func (e *Engine) previous(u *upload) error {
	if u.prev == nil {
		return nil
	}
	select {
	case <-u.prev.done:
	case <-e.ctx.Done():
		return base.Errorf(base.Closed, "the engine is closed")
	}
	err := u.prev.err
	u.prev = nil
	return err
}

// committed draws the conclusions from a commit: stream watermarks first, then the trim that lets blocks go.
func (e *Engine) committed(u *upload, c UploadCommit, res UploadResult) {
	i := 0
	for _, o := range c.Objects {
		for _, r := range o.Ranges {
			v := Committed
			if i < len(res.Verdicts) {
				v = res.Verdicts[i]
			}
			i++
			e.settle(r, v)
		}
	}
	u.blocks = nil
	e.up.committed(u)
	e.unuploaded.Add(-u.charge)
	e.evict()
	e.OnRoom()
}

func (e *Engine) settle(r StreamRange, v Verdict) {
	s := e.Stream(r.Stream)
	if s == nil || s.epoch != r.Epoch {
		return
	}
	s.unuploaded.Add(-r.Bytes)
	switch v {
	case Committed, SkippedBelow:
		raise(&s.committed, r.Range.End)
	case SkippedNotOwned:
		s.refuse(base.Errorf(base.Fenced, "stream %d epoch %d is no longer owned by node %s", s.id, s.epoch, e.opt.Node))
	case SkippedDeleted:
		s.refuse(base.Errorf(base.NotFound, "stream %d was deleted", s.id))
	}
}
