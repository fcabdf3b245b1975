package partition

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"sluice/base"
	"sluice/base/seeded"
	"sluice/broker/topicconfig"
	"sluice/storage/stream"
	"sluice/wire/kerr"
)

// Partition is one partition on its leader, under one leader epoch. All methods are safe for concurrent use.
//
// An append goes through these steps, and every batch through all of them in the same order:
//
//	prepared   off the lock: parsed, CRC and timestamps checked, leader epoch stamped (prepare)
//	assigned   under mu: checked against the producer state, offsets assigned, handed to the data stream, put on pending
//	durable    the stream's completion: taken off pending, HW raised to its end, answered, readers woken (durable)
//
// The stream completes appends in the order it got them, so pending is a plain queue and one completion function serves all appends.
type Partition struct {
	opt     Options
	config  atomic.Pointer[topicconfig.Config]
	durable func(error) // p.onDurable, made once
	held    atomic.Bool // refusal is errPaused; to look without the lock
	room    Room
	load    load
	closing chan struct{} // see Closing

	mu struct {
		sync.Mutex
		refusal   *kerr.Error // why appends are refused; nil while serving
		closing   bool        // the channel is closed
		ended     bool        // an append failed, or the partition was abandoned: reads are refused too
		next      base.Offset // LEO
		hw, lso   base.Offset
		producers *producers
		pending   queue
		dups      []waitingDuplicate
		waiters   []*Waiter
		drained   chan struct{} // closed when nothing is under way; nil unless someone waits

		sinceSnapshot int64       // bytes appended since the last snapshot
		batchesSince  int         // batches since then
		snapshotSize  int64       // bytes of the last snapshot
		snapshots     int         // snapshots that are not durable yet
		covered       base.Offset // end of the data that the last durable snapshot covers
		metaKeep      base.Offset // meta stream offset of the first part of the last durable snapshot
	}
	// wake is scratch of onDurable, which the stream never calls concurrently.
	wake []*Waiter
}

// pendingAppend is an append that is not durable yet.
type pendingAppend struct {
	res   AppendResult
	end   base.Offset
	bytes int
	done  func(AppendResult)
}

// waitingDuplicate is a retry whose original is not durable yet.
type waitingDuplicate struct {
	res  AppendResult
	last base.Offset // of the original
	done func(AppendResult)
}

// queue is a FIFO that keeps its memory.
type queue struct {
	items []pendingAppend
	head  int
}

func (q *queue) len() int { return len(q.items) - q.head }

func (q *queue) push(a pendingAppend) {
	if q.head > 32 && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, a)
}

func (q *queue) pop() pendingAppend {
	a := q.items[q.head]
	q.items[q.head] = pendingAppend{}
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return a
}

// ID names the partition.
func (p *Partition) ID() (topic base.UUID, name string, index int32) {
	return p.opt.Topic, p.opt.Name, p.opt.Index
}

// LeaderEpoch is the epoch this Partition was opened with; it never changes.
func (p *Partition) LeaderEpoch() base.StreamEpoch { return p.opt.Epoch }

// Config is the current topic configuration. It is not to be changed.
func (p *Partition) Config() *topicconfig.Config { return p.config.Load() }

// SetConfig replaces the topic configuration; appends that have begun still use the old one.
func (p *Partition) SetConfig(c *topicconfig.Config) { p.config.Store(c) }

// Data is the partition's data stream.
func (p *Partition) Data() Log { return p.opt.Data }

// Meta is the partition's meta stream.
func (p *Partition) Meta() Log { return p.opt.Meta }

// Bounds returns the watermarks: logStart ≤ lso ≤ hw ≤ leo.
func (p *Partition) Bounds() (logStart, hw, lso, leo base.Offset) {
	start := p.opt.Data.Start()
	p.mu.Lock()
	defer p.mu.Unlock()
	return start, p.mu.hw, max(start, p.mu.lso), p.mu.next
}

// Append assigns offsets to req.Batch and appends it. done is called exactly once, in offset order, when HW covers the batch or when it
// failed; it may run before Append returns (a refused batch, a duplicate) and must not block. Appending waits for no room: the caller
// has been admitted by the engine.
func (p *Partition) Append(req AppendRequest, done func(AppendResult)) {
	now := p.opt.Now().UnixMilli()
	if p.held.Load() { // before the batch is touched, for it comes again
		p.hold(done)
		return
	}
	b, refusal := p.prepare(&req, now)
	if refusal != nil {
		p.refuse(*refusal, done)
		return
	}
	p.mu.Lock()
	if err := p.mu.refusal; err != nil {
		p.mu.Unlock()
		if err == errPaused {
			p.hold(done)
			return
		}
		p.refuse(failure(err), done)
		return
	}
	if b.info.producerID >= 0 {
		var dup *keptBatch
		var err *kerr.Error
		if req.Origin == Client {
			dup, err = p.mu.producers.check(&b.info)
		} else {
			err = p.mu.producers.checkCoordinator(&b.info)
		}
		if err != nil {
			p.mu.Unlock()
			p.refuse(failure(err), done)
			return
		}
		if dup != nil {
			p.answerDuplicateLocked(dup, done) // unlocks
			return
		}
	}
	p.assignLocked(&b, now, done)
	p.mu.Unlock()
	p.opt.Metrics.appendedBatches.Inc()
	p.opt.Metrics.appendedRecords.Add(float64(b.count))
	p.opt.Metrics.appendedBytes.Add(float64(len(b.batch.Bytes())))
	p.load.appended(len(b.batch.Bytes()))
}

// hold refuses an append that may succeed in a moment.
func (p *Partition) hold(done func(AppendResult)) {
	res := failure(errPaused)
	res.Held = true
	done(res)
}

// failure is the result of an append that did not happen.
func failure(err *kerr.Error) AppendResult {
	return AppendResult{Base: -1, LogAppendTime: -1, LogStart: -1, Err: err}
}

// startUntold are the refusals that do not tell the log's start, as in Kafka.
var startUntold = []kerr.Code{kerr.NotLeaderOrFollower, kerr.CorruptMessage, kerr.MessageTooLarge, kerr.RecordListTooLarge,
	kerr.UnsupportedCompressionType, kerr.TransactionalIDAuthorizationFailed}

func (p *Partition) refuse(res AppendResult, done func(AppendResult)) {
	if code := kerr.CodeOf(res.Err); !res.unread && !slices.Contains(startUntold, code) {
		res.LogStart = p.opt.Data.Start()
	}
	p.opt.Metrics.refused.WithLabelValues(kerr.CodeOf(res.Err).String()).Inc()
	done(res)
}

// assignLocked gives the batch its offsets and hands it to the stream.
func (p *Partition) assignLocked(b *prepared, nowMS int64, done func(AppendResult)) {
	first := p.mu.next
	end := first + base.Offset(b.count)
	b.batch.SetBaseOffset(int64(first))
	b.info.base, b.info.last = first, end-1
	data := b.batch.Bytes()
	p.mu.next = end
	p.mu.pending.push(pendingAppend{
		res:   AppendResult{Base: first, LogAppendTime: b.logAppendTime},
		end:   end,
		bytes: len(data),
		done:  done,
	})
	p.opt.Data.Append(stream.AppendRecord{Base: first, Count: b.count, MaxTimestamp: b.info.maxTimestamp, Flags: b.flags, Data: data}, p.durable)
	if b.info.producerID >= 0 {
		p.mu.producers.apply(&b.info, nowMS)
	}
	p.mu.sinceSnapshot += int64(len(data))
	if p.mu.batchesSince++; p.snapshotDueLocked() {
		p.snapshotLocked(nowMS, nil)
	}
}

// snapshotDueLocked reports whether so much was appended since the last snapshot of the producer state that the next open shall not have to replay it: many
// bytes, or many batches. Small batches lie in many uploads, a few in each, so it is their count that costs requests. A snapshot is small beside what it covers.
func (p *Partition) snapshotDueLocked() bool {
	return p.mu.sinceSnapshot >= 8*p.mu.snapshotSize && (p.mu.sinceSnapshot >= p.opt.SnapshotBytes || p.mu.batchesSince >= snapshotBatches)
}

// answerDuplicateLocked answers a retry with its original's offset, once HW covers that. It unlocks mu.
func (p *Partition) answerDuplicateLocked(dup *keptBatch, done func(AppendResult)) {
	// Kafka too gives the largest timestamp here, whatever the topic's timestamp type.
	res := AppendResult{Base: dup.base, LogAppendTime: dup.maxTimestamp, LogStart: p.opt.Data.Start()}
	ready := dup.last < p.mu.hw
	if !ready {
		p.mu.dups = append(p.mu.dups, waitingDuplicate{res: res, last: dup.last, done: done})
	}
	p.mu.Unlock()
	p.opt.Metrics.duplicates.Inc()
	if ready {
		done(res)
	}
}

// onDurable completes the oldest pending append.
func (p *Partition) onDurable(err error) {
	p.mu.Lock()
	a := p.mu.pending.pop()
	if err != nil {
		p.failLocked(a, err) // unlocks
		return
	}
	if a.end <= p.mu.hw {
		panic("BUG: partition: HW would not grow")
	}
	p.mu.hw = a.end
	stableBytes := p.raiseStableLocked(a)
	dups := p.takeDuplicatesLocked()
	p.wake = append(p.wake[:0], p.mu.waiters...)
	drained := p.takeDrainedLocked()
	p.mu.Unlock()

	a.res.LogStart = p.opt.Data.Start()
	a.done(a.res)
	for _, d := range dups {
		d.done(d.res)
	}
	for i, w := range p.wake {
		p.wake[i] = nil
		if n := w.bytes(a.bytes, stableBytes); n > 0 {
			w.Wake(n)
		}
	}
	if drained != nil {
		close(drained)
	}
}

// raiseStableLocked follows HW with the last stable offset and returns how many bytes that made readable.
func (p *Partition) raiseStableLocked(a pendingAppend) int {
	old, lso := p.mu.lso, p.mu.producers.stable(a.end)
	p.mu.lso = lso
	switch {
	case lso == old:
		return 0
	case lso == a.end && old == a.res.Base:
		return a.bytes
	default:
		return math.MaxInt // a transaction ended: how many bytes that freed is not kept
	}
}

// takeDuplicatesLocked takes out the duplicates whose originals HW covers.
func (p *Partition) takeDuplicatesLocked() (ready []waitingDuplicate) {
	if len(p.mu.dups) == 0 {
		return nil
	}
	rest := p.mu.dups[:0]
	for _, d := range p.mu.dups {
		if d.last < p.mu.hw && !seeded.Bug(seeded.LostWakeUp) {
			ready = append(ready, d)
		} else {
			rest = append(rest, d)
		}
	}
	clear(p.mu.dups[len(rest):])
	p.mu.dups = rest
	return ready
}

func (p *Partition) takeDrainedLocked() (drained chan struct{}) {
	if p.mu.pending.len() == 0 && p.mu.snapshots == 0 {
		drained, p.mu.drained = p.mu.drained, nil
	}
	return drained
}

// failLocked answers a with err, and refuses everything from now on. It unlocks mu. The duplicates wait for originals that will never be
// durable here, so they fail as well.
func (p *Partition) failLocked(a pendingAppend, err error) {
	ke := &kerr.Error{Code: kerr.CodeOf(err), Message: err.Error()}
	first := p.endLocked(ke)
	dups := p.mu.dups
	p.mu.dups = nil
	waiters := append([]*Waiter(nil), p.mu.waiters...)
	drained := p.takeDrainedLocked()
	p.mu.Unlock()
	if first {
		p.opt.Logger.Error("append failed; the partition serves no more", "topic", p.opt.Name, "partition", p.opt.Index, "epoch", p.opt.Epoch, "err", err)
	}
	p.refuse(failure(ke), a.done)
	for _, d := range dups {
		p.refuse(failure(ke), d.done)
	}
	for _, w := range waiters {
		w.Wake(math.MaxInt)
	}
	if drained != nil {
		close(drained)
	}
}

// Waiter is a parked reader at one partition. The fields are not changed while it is registered.
type Waiter struct {
	// Wake is called with the number of bytes that became readable (math.MaxInt: look yourself), off all locks. It must not block. It may
	// still be called once Unwatch has returned.
	Wake func(bytes int)
	// Isolation says whether HW or the last stable offset counts.
	Isolation Isolation

	index int
}

func (w *Waiter) bytes(visible, stable int) int {
	if w.Isolation == ReadCommitted {
		return stable
	}
	return visible
}

// Watch registers w until Unwatch. It returns false, and registers nothing, if the watermark is not seen any more (there may be
// something new to read) or the partition serves no more: the caller reads again.
func (p *Partition) Watch(w *Waiter, seen base.Offset) bool {
	start := p.opt.Data.Start()
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.mu.hw
	if w.Isolation == ReadCommitted {
		limit = max(start, p.mu.lso) // records of an open transaction may have been deleted
	}
	if p.mu.ended || limit != seen {
		return false
	}
	w.index = len(p.mu.waiters)
	p.mu.waiters = append(p.mu.waiters, w)
	return true
}

// Unwatch takes w, which Watch has registered, away.
func (p *Partition) Unwatch(w *Waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.waiters[w.index] != w {
		panic("BUG: partition: waiter is not registered")
	}
	last := len(p.mu.waiters) - 1
	p.mu.waiters[w.index] = p.mu.waiters[last]
	p.mu.waiters[w.index].index = w.index
	p.mu.waiters[last] = nil
	p.mu.waiters = p.mu.waiters[:last]
}
