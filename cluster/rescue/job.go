package rescue

import (
	"context"
	"fmt"
	"iter"
	"time"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/storage/objstore/driver"
	"sluice/storage/stream"
	"sluice/storage/wal"
)

// do does a job, once.
func (w *Worker) do(ctx context.Context, at *attempt) error {
	began, j := time.Now(), at.job
	var err error
	switch j.kind {
	case askJob:
		err = w.submit(ctx, "grant", &meta.GrantRescue{Victim: j.rescue.Victim, Rescuer: w.opt.Self})
	case rescueJob:
		err = w.carryOut(ctx, at)
	case cleanJob:
		err = w.clean(ctx, j.rescue)
	}
	w.report(ctx, j, time.Since(began), err)
	return err
}

// report says once what came of a job.
func (w *Worker) report(ctx context.Context, j job, took time.Duration, err error) {
	log := w.opt.Logger.With("victim", j.rescue.Victim.ID, "epoch", j.rescue.Victim.Epoch, "wal", j.rescue.WAL, "grant", j.rescue.Grant, "took", took)
	outcome := "done"
	switch {
	case err == nil && j.kind == rescueJob:
		log.Info("rescued a WAL")
	case err == nil:
	case ctx.Err() != nil:
		outcome = "stopped"
		log.Info("a rescue was stopped: it was granted to another, or this node is", "doing", j.kind)
	case j.kind == cleanJob:
		outcome = "failed"
		log.Warn("a WAL that is not needed any more could not be removed; trying again", "error", err)
	case fateOf(err) == fateRetry:
		outcome = "failed"
		log.Warn("a rescue begins anew", "error", err)
	case fateOf(err) == fatePerson:
		outcome = "failed"
		log.Error("a WAL cannot be rescued; what was written to it last stays offline until somebody has looked at it", "open_streams", w.opt.Client.Image().OpenStreams(j.rescue.Victim), "error", err)
	default:
		outcome = "failed"
		log.Error("a WAL is out of reach; what was written to it last stays offline until it is back", "open_streams", w.opt.Client.Image().OpenStreams(j.rescue.Victim), "error", err)
	}
	w.metrics.jobs.WithLabelValues(j.kind.String(), outcome).Inc()
}

// submit has a command decided, after the fault point of that name.
func (w *Worker) submit(ctx context.Context, what string, c meta.Command) error {
	if err := w.opt.at(ctx, what); err != nil {
		return err
	}
	if _, err := w.opt.Client.Submit(ctx, c); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// carryOut seals the WAL, brings what is not committed to the bucket, and says so.
func (w *Worker) carryOut(ctx context.Context, at *attempt) error {
	r := at.job.rescue
	if err := w.records(ctx, at, r); err != nil {
		err = fmt.Errorf("rescue the WAL of node %v, epoch %v, at %s: %w", r.Victim.ID, r.Victim.Epoch, r.WAL, err)
		if fateOf(err) == fatePerson {
			err = w.confirm(ctx, r, err)
		}
		return err
	}
	defer w.metrics.phase("complete", time.Now())
	return w.submit(ctx, "complete", &meta.CompleteRescue{Victim: r.Victim, Grant: r.Grant})
}

// confirm returns what a failure that needs a person is worth. The image may be late, and the WAL gone because another has rescued it meanwhile, so
// the controller is asked which grant holds. Should another have it yet, the grant comes back here, and the next attempt begins from what the image says then.
func (w *Worker) confirm(ctx context.Context, r meta.Rescue, failure error) error {
	now, err := control.Do[meta.Granted](ctx, w.opt.Client, &meta.GrantRescue{Victim: r.Victim, Rescuer: w.opt.Self})
	switch {
	case err != nil:
		return base.Errorf(base.Failed, "grant %d cannot be confirmed: %w; it has failed: %w", r.Grant, err, failure)
	case now.Rescue.State != meta.RescueGranted || now.Rescue.Grant != r.Grant:
		return base.Errorf(base.Failed, "the rescue is %s with grant %d by now; with grant %d: %w", now.Rescue.State, now.Rescue.Grant, r.Grant, failure)
	}
	return failure
}

// records seals the WAL and uploads what is not committed. With no stream open everything is, and it does not matter if the WAL is
// damaged or gone; it is sealed as far as it can be.
func (w *Worker) records(ctx context.Context, at *attempt, r meta.Rescue) error {
	if err := w.opt.at(ctx, "seal"); err != nil {
		return err
	}
	ctx = driver.WithPurpose(ctx, driver.PurposeRescue)
	victim := wal.Victim{Node: r.Victim.ID, Epoch: r.Victim.Epoch}
	opt := w.opt.WAL()
	opt.OnProgress = func() { w.progress(at) }
	began := time.Now()
	end, err := wal.Seal(ctx, r.WAL, opt, victim, r.WALTrim, fmt.Sprintf("node %v, epoch %v", w.opt.Self.ID, w.opt.Self.Epoch))
	w.metrics.phase("seal", began)
	w.progress(at)
	img := w.opt.Client.Image()
	open := img.OpenStreams(r.Victim)
	switch {
	case open == 0:
		if err != nil {
			w.opt.Logger.Info("a WAL cannot be sealed; nothing is open on it", "victim", r.Victim.ID, "epoch", r.Victim.Epoch, "wal", r.WAL, "error", err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("seal: %w", err)
	}
	w.opt.Logger.Info("rescuing a WAL", "victim", r.Victim.ID, "epoch", r.Victim.Epoch, "wal", r.WAL, "from", r.WALTrim, "end", end, "open_streams", open)
	return stream.Rescue(ctx, stream.RescueOptions{
		Cluster: img.ClusterID(), Store: w.opt.Store, SOBytes: w.opt.SOBytes, Logger: w.opt.Logger,
		Catalog: &catalog{Catalog: control.NewCatalog(w.opt.Client, stream.NodeRef(w.opt.Self)), w: w, at: at},
		Skip: func(id base.StreamID, epoch base.StreamEpoch, o base.OffsetRange) bool {
			return committed(img, r.Victim, id, epoch, o)
		},
		Done: w.metrics.piece,
	}, stream.NodeRef(r.Victim), r.Grant, r.LastUpload+1, w.noting(at, wal.Read(ctx, r.WAL, opt, victim, r.WALTrim, end)))
}

// progress notes that the attempt gets on.
func (w *Worker) progress(at *attempt) { at.beat.Store(w.opt.Now().UnixNano()) }

// noting yields the blocks, and notes that they come.
func (w *Worker) noting(at *attempt, blocks iter.Seq2[*wal.Block, error]) iter.Seq2[*wal.Block, error] {
	return func(yield func(*wal.Block, error) bool) {
		for b, err := range blocks {
			w.progress(at)
			if !yield(b, err) {
				return
			}
		}
	}
}

// takeRoom waits for the memory of a piece. The pieces that have theirs need nothing more to end, so nobody waits for ever.
func (w *Worker) takeRoom(ctx context.Context) (free func(), err error) {
	select {
	case w.room <- struct{}{}:
		return func() { <-w.room }, nil
	case <-ctx.Done():
		return nil, base.Wrap(base.Closed, context.Cause(ctx))
	}
}

// committed reports whether a record of the victim need not be uploaded: its stream is committed beyond it, was closed by the victim
// or is deleted. That is final, for the image shows the grant, so the fence.
func committed(img *meta.Image, victim meta.NodeRef, id base.StreamID, epoch base.StreamEpoch, r base.OffsetRange) bool {
	s, ok := img.Stream(id)
	return !ok || r.End <= s.CommittedEnd || s.State != meta.Open || s.Owner != victim.ID || s.OwnerEpoch != victim.Epoch || s.Epoch != epoch
}

// clean removes the WAL and forgets the rescue.
func (w *Worker) clean(ctx context.Context, r meta.Rescue) error {
	if err := w.opt.at(ctx, "remove"); err != nil {
		return err
	}
	defer w.metrics.phase("remove", time.Now())
	if err := wal.Remove(ctx, r.WAL, w.opt.WAL(), wal.Victim{Node: r.Victim.ID, Epoch: r.Victim.Epoch}); err != nil {
		return err
	}
	return w.submit(ctx, "forget", &meta.ForgetRescue{Victim: r.Victim})
}

// catalog is the cluster as a rescue sees it.
type catalog struct {
	stream.Catalog
	w  *Worker
	at *attempt
}

// PrepareObjects implements stream.Catalog.
func (c *catalog) PrepareObjects(ctx context.Context, n int) ([]base.ObjectID, error) {
	if err := c.w.opt.at(ctx, "prepare"); err != nil {
		return nil, err
	}
	c.w.progress(c.at)
	return c.Catalog.PrepareObjects(ctx, n)
}

// CommitUpload commits a piece. The number of a piece says nothing of its end: where a commit of an attempt that was given up has taken
// effect late, ours is answered as a duplicate of it. So it counts only if the trim is where this piece ends; else the attempt is over.
func (c *catalog) CommitUpload(ctx context.Context, u stream.UploadCommit) (stream.UploadResult, error) {
	if err := c.w.opt.at(ctx, "commit"); err != nil {
		return stream.UploadResult{}, err
	}
	res, err := c.Catalog.CommitUpload(ctx, u)
	if err != nil {
		return res, err
	}
	if r, ok := c.w.opt.Client.Image().Rescue(c.at.job.rescue.Victim); !ok || r.Grant != u.Grant || r.LastUpload != u.Number || r.WALTrim != u.Trim {
		return res, base.Errorf(base.Failed, "upload %d up to %d was answered, but the rescue stands at upload %d, trim %d, grant %d: another attempt has gone on meanwhile", u.Number, u.Trim, r.LastUpload, r.WALTrim, r.Grant)
	}
	c.w.progress(c.at)
	return res, nil
}
