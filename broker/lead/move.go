package lead

import (
	"context"
	"math/rand/v2"
	"time"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/cluster/control"
	"sluice/cluster/meta"
)

// aheadRounds bounds the uploads ahead of a move, and aheadEnough is how long the last of them may have taken: what has come in meanwhile
// is what the pause has to upload.
const (
	aheadRounds = 4
	aheadEnough = 400 * time.Millisecond
)

// moved is what a step of a batch of moves has come to.
type moved struct {
	ids  []meta.PartitionID // what was uploaded ahead; nil after the pause
	jobs []*job             // what was paused
	errs []error            // of jobs: nil if HandOver was submitted, else why it serves again
	err  error              // of ids
	last bool               // the batch is done with
}

// pause is the pause of a partition that has left.
type pause struct {
	since time.Time
	epoch base.StreamEpoch // it had here
}

func (l *Leader) finishMoved(m moved) {
	l.takeImage(l.opt.Client.Image())
	l.inbox.Lock()
	l.inbox.moved = append(l.inbox.moved, m)
	l.inbox.Unlock()
	l.signal()
}

// beginMoves begins the next batch of moves, one at a time: the uploads are the engine's as a whole, and a pause that waits for another
// batch's upload would only be longer. It says when to ask again; zero: when something has happened.
func (l *Leader) beginMoves() time.Time {
	if l.moving {
		return time.Time{}
	}
	ids, next := l.m.movable(l.opt.Now(), l.opt.MoveBatch)
	if len(ids) == 0 {
		return next
	}
	l.moving = true
	var streams []partition.Log
	for _, id := range ids {
		streams = append(streams, l.attached[id].data, l.attached[id].meta)
	}
	l.wg.Go(func() { l.finishMoved(moved{ids: ids, err: l.uploadAhead(streams)}) })
	return time.Time{}
}

// uploadAhead uploads what the streams hold, while they are appended to, until little can be left.
func (l *Leader) uploadAhead(streams []partition.Log) error {
	ctx, cancel := context.WithTimeout(l.ctx, l.opt.MoveAhead)
	defer cancel()
	for range aheadRounds {
		began := time.Now()
		if err := l.opt.Engine.Flush(ctx, streams); err != nil {
			return err
		}
		if time.Since(began) < aheadEnough {
			break
		}
	}
	return l.opt.Engine.Reserve(ctx)
}

// takeMoved draws the conclusions from what jobs of moves have done.
func (l *Leader) takeMoved(results []moved, a *actions) {
	now := l.opt.Now()
	for _, r := range results {
		switch {
		case r.ids != nil && r.err != nil:
			l.opt.Logger.Warn("upload ahead of a move failed; will be tried again", "partitions", len(r.ids), "err", r.err)
			l.m.postpone(r.ids, now, rand.Float64())
			l.moving = false
		case r.ids != nil:
			l.pause(r.ids, a)
		default:
			l.settleMoves(r, now, a)
		}
	}
}

// pause stops the appends of those that are still to be moved, and starts the job that moves them.
func (l *Leader) pause(ids []meta.PartitionID, a *actions) {
	now := l.opt.Now()
	var batch []*job
	var drained []<-chan struct{}
	for _, id := range l.m.leave(ids) {
		j := l.attached[id]
		l.tell(j, false)
		j.pausedAt = now
		d, err := j.p.Pause()
		if err != nil {
			d = nil // an append has failed: its streams say whether it can be handed over
		}
		batch, drained = append(batch, j), append(drained, d)
	}
	if l.moving = len(batch) > 0; l.moving {
		l.wg.Go(func() { l.handOver(batch, drained) })
	}
}

// settleMoves takes back what could not be handed over, and ends the rest.
func (l *Leader) settleMoves(r moved, now time.Time, a *actions) {
	for i, j := range r.jobs {
		if r.errs[i] != nil {
			l.resume(j, now, r.errs[i], a)
			continue
		}
		l.m.over(j.id, j.epoch(), a)
	}
	if r.last {
		l.moving = false
	}
}

// resume lets a partition go on as if nothing had happened.
func (l *Leader) resume(j *job, now time.Time, why error, a *actions) {
	if !l.m.resumed(j.id, j.epoch(), now, rand.Float64(), a) {
		return
	}
	l.opt.Logger.Warn("partition not moved; it is served here until the next try", "topic", j.name, "partition", j.id.Index, "err", why)
	j.p.Resume()
	l.tell(j, true)
	l.dir.changed.wake()
	l.metrics.pause.WithLabelValues("resumed").Observe(now.Sub(j.pausedAt).Seconds())
}

// measurePauses looks which of the partitions that have left are served again, by whomever.
func (l *Leader) measurePauses() {
	for id, z := range l.pauses {
		p, ok := l.m.img.Partition(id.Topic, id.Index)
		if ok && p.LeaderEpoch > z.epoch && p.State == meta.Serving {
			l.metrics.pause.WithLabelValues("moved").Observe(l.opt.Now().Sub(z.since).Seconds())
		} else if ok {
			continue
		}
		delete(l.pauses, id)
	}
}

// handOver takes paused partitions from the pause to the end of their move.
func (l *Leader) handOver(batch []*job, drained []<-chan struct{}) {
	began := time.Now()
	errs := l.uploadRest(batch, drained)
	uploaded := time.Now()
	var back, sent moved
	var cmd []meta.HandedOver
	for i, j := range batch {
		var ends []base.Offset
		if errs[i] == nil {
			ends, errs[i] = l.retire(j)
		}
		if errs[i] != nil {
			back.jobs, back.errs = append(back.jobs, j), append(back.errs, errs[i])
			continue
		}
		sent.jobs, sent.errs = append(sent.jobs, j), append(sent.errs, nil)
		cmd = append(cmd, meta.HandedOver{Partition: j.id, Epoch: j.epoch(), DataEnd: ends[0], MetaEnd: ends[1]})
	}
	if back.last = len(sent.jobs) == 0; len(back.jobs) > 0 {
		l.finishMoved(back)
	}
	if len(sent.jobs) == 0 {
		return
	}
	l.submit(cmd)
	sent.last = true
	l.finishMoved(sent)
	l.opt.Logger.Info("partitions handed over", "partitions", len(cmd), "upload", uploaded.Sub(began), "handover", time.Since(uploaded))
}

// uploadRest waits until everything that the partitions hold is committed. A partition that serves no more, because its WAL has failed, is not waited
// for: whether everything that was acknowledged is committed is for its streams to say (see Retire).
func (l *Leader) uploadRest(batch []*job, drained []<-chan struct{}) []error {
	ctx, cancel := context.WithTimeout(l.ctx, l.opt.MoveTimeout)
	defer cancel()
	errs := make([]error, len(batch))
	var streams []partition.Log
	for i, j := range batch {
		if drained[i] != nil {
			errs[i] = j.p.Drained(ctx, drained[i])
		}
		if errs[i] == nil || j.p.Ended() {
			errs[i] = nil
			streams = append(streams, j.data, j.meta)
		}
	}
	if err := l.opt.Engine.Flush(ctx, streams); err != nil {
		for i := range errs {
			if errs[i] == nil {
				errs[i] = err
			}
		}
	}
	return errs
}

// retire makes sure that nothing is appended to the partition any more, and returns the ends of its data and meta streams.
func (l *Leader) retire(j *job) (ends []base.Offset, err error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.opt.MoveTimeout)
	defer cancel()
	return l.opt.Engine.Retire(ctx, []partition.Log{j.data, j.meta})
}

// submit submits HandOver until its answer or the image says what became of it. It gives up only when the leader closes.
func (l *Leader) submit(left []meta.HandedOver) {
	for attempt := 1; len(left) > 0; attempt++ {
		ctx, cancel := context.WithTimeout(l.handCtx, l.opt.HandOverRetry)
		res, err := control.Do[meta.Outcomes](ctx, l.opt.Client, &meta.HandOver{Node: l.opt.Node, Partitions: left})
		cancel()
		if err == nil {
			for i, refused := range res.Errs {
				if refused != nil {
					l.opt.Logger.Warn("hand-over of a partition was refused", "partition", left[i].Partition.Index, "topic", left[i].Partition.Topic.String(), "err", refused)
				}
			}
			return
		}
		l.opt.Logger.Warn("hand-over failed", "partitions", len(left), "attempt", attempt, "err", err)
		if !base.IsKind(err, base.Unavailable) && !base.IsKind(err, base.Undetermined) {
			return
		}
		select {
		case <-time.After(backoff(l.opt.RetryMin, l.opt.RetryMax, attempt, rand.Float64())):
		case <-l.handCtx.Done():
			return
		}
		left = l.unresolved(left)
	}
}

// unresolved leaves out the partitions of which the image says that they are not this node's any more under the epoch they had.
func (l *Leader) unresolved(all []meta.HandedOver) (left []meta.HandedOver) {
	img := l.opt.Client.Image()
	for _, h := range all {
		if p, ok := img.Partition(h.Partition.Topic, h.Partition.Index); ok && p.LeaderEpoch == h.Epoch {
			left = append(left, h)
		}
	}
	return left
}
