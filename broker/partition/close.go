package partition

import (
	"context"
	"math"

	"sluice/base"
	"sluice/storage/stream"
	"sluice/wire/kerr"
)

// snapshotLocked appends a snapshot of the producer state, as of next, to the meta stream. durable, if not nil, is called off all locks
// once it is durable or has failed.
func (p *Partition) snapshotLocked(nowMS int64, durable func(error)) {
	parts := appendSnapshot(p.mu.producers, p.mu.next, nowMS)
	first, end := p.opt.Meta.Next(), p.mu.next
	p.mu.sinceSnapshot, p.mu.batchesSince, p.mu.snapshotSize = 0, 0, 0
	p.mu.snapshots++
	for i, b := range parts {
		p.mu.snapshotSize += int64(len(b))
		done := func(error) {}
		if i == len(parts)-1 {
			done = func(err error) {
				p.snapshotDurable(first, end, err)
				if durable != nil {
					durable(err)
				}
			}
		}
		p.opt.Meta.Append(stream.AppendRecord{Base: first + base.Offset(i), Count: 1, MaxTimestamp: nowMS, Data: b}, done)
	}
}

// snapshotDurable notes that the meta stream is not needed below first any more, nor the data below end for the producer state.
func (p *Partition) snapshotDurable(first, end base.Offset, err error) {
	p.mu.Lock()
	p.mu.snapshots--
	if err == nil {
		p.mu.metaKeep = max(p.mu.metaKeep, first)
		p.mu.covered = max(p.mu.covered, end)
	} else {
		p.endLocked(&kerr.Error{Code: kerr.CodeOf(err), Message: err.Error()})
	}
	drained := p.takeDrainedLocked()
	p.mu.Unlock()
	if err == nil {
		p.opt.Metrics.snapshots.Inc()
	}
	if drained != nil {
		close(drained)
	}
}

// MetaNeeded returns the first offset of the meta stream that the next open needs; below it the stream may be trimmed.
func (p *Partition) MetaNeeded() base.Offset {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.metaKeep
}

// Cover makes durable a snapshot of the producer state that covers the data below end, if there is none: from then on nobody needs that data to
// know the producers.
func (p *Partition) Cover(ctx context.Context, end base.Offset) error {
	p.mu.Lock()
	if p.mu.refusal != nil { // nothing is appended to either stream any more
		defer p.mu.Unlock()
		return p.mu.refusal
	}
	durable := make(chan error, 1)
	if p.mu.covered < end && !p.mu.producers.empty() {
		p.snapshotLocked(p.opt.Now().UnixMilli(), func(err error) { durable <- err })
	} else {
		durable <- nil
	}
	p.mu.Unlock()
	select {
	case err := <-durable:
		return err
	case <-ctx.Done():
		return base.Wrap(base.Unavailable, ctx.Err())
	}
}

// trim moves the start of the data stream. The producer state that only the data below start could give is made durable first, so that a
// retry is known as one also after its original has been deleted.
func (p *Partition) trim(ctx context.Context, start base.Offset) error {
	if err := p.Cover(ctx, start); err != nil {
		return err
	}
	if err := p.opt.Data.Trim(ctx, start); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.producers.trim(p.opt.Data.Start())
	return nil
}

// TrimData moves the log start to start, which lies at or below the end of what is committed. It is for retention; see DeleteRecords for
// clients.
func (p *Partition) TrimData(ctx context.Context, start base.Offset) error {
	if start <= p.opt.Data.Start() {
		return nil
	}
	return p.trim(ctx, start)
}

// TrimMeta lets go of what newer snapshots have replaced in the meta stream, as far as it is committed.
func (p *Partition) TrimMeta(ctx context.Context, committed base.Offset) error {
	if start := min(p.MetaNeeded(), committed); start > p.opt.Meta.Start() {
		return p.opt.Meta.Trim(ctx, start)
	}
	return nil
}

// ExpireProducers forgets producers that have written nothing for idleMS, and returns how many.
func (p *Partition) ExpireProducers(idleMS int64) int {
	now := p.opt.Now().UnixMilli()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.producers.expire(now - idleMS)
}

// Stop refuses appends from now on with NOT_LEADER_OR_FOLLOWER, waits until those under way are durable, and makes a producer snapshot
// durable. Reads go on until Abandon. When it returns nil, both streams may be closed. It is for a partition that is given up in an
// orderly way; it may be called again after an error, and after Pause.
func (p *Partition) Stop(ctx context.Context) error {
	drained, err := p.beginStop(errClosing)
	if err != nil {
		return err
	}
	return p.Drained(ctx, drained)
}

// beginStop starts what Stop waits for. It returns without waiting, so that many partitions stop at once.
func (p *Partition) beginStop(why *kerr.Error) (drained <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.ended {
		return nil, p.mu.refusal
	}
	p.refuseLocked(why)
	if p.mu.sinceSnapshot > 0 {
		p.snapshotLocked(p.opt.Now().UnixMilli(), nil)
	}
	if p.mu.drained == nil {
		p.mu.drained = make(chan struct{})
	}
	c := p.mu.drained
	if ready := p.takeDrainedLocked(); ready != nil {
		close(ready)
	}
	return c, nil
}

// Abandon ends the partition: appends, reads and parked readers get code from now on. Appends that the stream has are still completed by
// it. It may be called in any state, several times; the first code stays.
func (p *Partition) Abandon(code kerr.Code, why string) {
	p.mu.Lock()
	first := p.endLocked(&kerr.Error{Code: code, Message: why})
	waiters := append([]*Waiter(nil), p.mu.waiters...)
	p.mu.Unlock()
	if !first {
		return
	}
	for _, w := range waiters {
		w.Wake(math.MaxInt)
	}
}

// endLocked refuses appends and reads from now on. It returns false if that was so already.
func (p *Partition) endLocked(why *kerr.Error) bool {
	if p.mu.ended {
		return false
	}
	p.mu.ended = true
	p.refuseLocked(why)
	return true
}

// StopAll is Stop for many partitions at once. It returns the first error, after all of them have been told to stop.
func StopAll(ctx context.Context, parts []*Partition) error {
	var first error
	for _, p := range parts {
		if _, err := p.beginStop(errClosing); err != nil && first == nil {
			first = err
		}
	}
	for _, p := range parts {
		if err := p.Stop(ctx); err != nil && first == nil {
			first = err
		}
	}
	return first
}
