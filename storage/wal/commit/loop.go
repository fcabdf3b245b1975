package commit

import (
	"time"

	"sluice/base"
	"sluice/storage/wal/block"
)

// Next waits until a block is to be written, closes it, has it placed, seals it and returns it; false means that there will be
// no more: the log has failed, or was closed and has nothing left. place is called with the padded size, for one block at a
// time, in log order, with no lock held; it may wait. What it returns is written into the block. Its error fails the log.
func (q *Queue) Next(place func(pos base.WALPos, size int) (segment uint64, err error)) (*Batch, bool) {
	b := q.take()
	if b == nil {
		return nil, false
	}
	segment, err := place(b.pos, block.Pad(b.size))
	b.awaitCopies()
	if err == nil {
		h := block.Header{Cluster: q.opt.Cluster, Node: q.opt.Node, Epoch: q.opt.Epoch, Segment: segment, Prev: q.prev, Durable: q.Durable()}
		b.seal(h)
		q.prev = b.crc
	}
	q.prepareArena()
	if err != nil {
		q.Finish(b, err)
	}
	q.endTurn()
	return b, err == nil
}

// take waits for the turn and for a block that the pace lets go, and takes both.
func (q *Queue) take() *Batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if q.mu.err != nil {
			return nil
		}
		if !q.mu.turn {
			v := q.askLocked()
			if v.Take {
				q.mu.granted = false
				break
			}
			if q.mu.closing && q.mu.bytes == 0 {
				q.writers.Broadcast()
				return nil
			}
			q.waitForLocked(v)
		}
		q.mu.idle++
		q.writers.Wait()
		q.mu.idle--
		q.mu.called = false
	}
	q.mu.turn = true
	if len(q.mu.full) == 0 {
		q.closeOpenLocked()
	}
	b := q.mu.full[0]
	q.mu.full[0] = nil
	if q.mu.full = q.mu.full[1:]; len(q.mu.full) == 0 {
		q.mu.full = nil
	}
	q.mu.flight = append(q.mu.flight, b)
	q.mu.active++
	q.mu.bytes -= b.size
	b.taken = now()
	return b
}

// askLocked asks the pace, which counts a block that it lets go: having said so to whoever woke a writer, it is not asked again by the
// writer, or an s3 WAL would pay twice for a block and wait for ever for the second payment.
func (q *Queue) askLocked() Verdict {
	if q.mu.granted {
		return Verdict{Take: true}
	}
	if q.mu.bytes == 0 && q.mu.closing {
		return Verdict{WakeBytes: Never}
	}
	return q.opt.Pace.Next(now, Demand{Bytes: q.mu.bytes, Full: len(q.mu.full) > 0, InFlight: q.mu.active, Closing: q.mu.closing})
}

// waitForLocked arranges that a waiting writer is woken when v says.
func (q *Queue) waitForLocked(v Verdict) {
	q.mu.wakeBytes = v.WakeBytes
	if v.Wait <= 0 {
		return
	}
	at := now().Add(v.Wait)
	if !q.mu.due.IsZero() && !at.Before(q.mu.due) {
		return
	}
	q.mu.due = at
	if q.mu.timer == nil {
		q.mu.timer = time.AfterFunc(v.Wait, q.Kick)
	} else {
		q.mu.timer.Reset(v.Wait)
	}
}

// Kick has a waiting writer look again. Classes call it after Finish unless the caller goes on to Next itself.
func (q *Queue) Kick() {
	q.mu.Lock()
	q.mu.due = time.Time{}
	q.kickLocked()
	q.mu.Unlock()
}

func (q *Queue) kickLocked() {
	if q.mu.idle == 0 || q.mu.turn {
		return
	}
	if q.mu.err != nil || q.mu.closing && q.mu.bytes == 0 {
		q.writers.Broadcast()
		return
	}
	if v := q.askLocked(); v.Take {
		q.mu.granted, q.mu.called = true, true
		q.mu.wakeBytes = Never
		q.writers.Signal()
	} else {
		q.waitForLocked(v)
	}
}

func (q *Queue) endTurn() {
	q.mu.Lock()
	q.mu.turn = false
	q.kickLocked()
	if q.mu.err != nil {
		q.ready.Signal()
	}
	q.mu.Unlock()
}

// prepareArena gets the arena that will be needed next, so that no append has to.
func (q *Queue) prepareArena() {
	q.mu.Lock()
	have := q.mu.nextArena != nil || q.mu.arena == nil || len(q.mu.arena.B)-q.mu.arenaAt > q.opt.ArenaBytes/2
	q.mu.Unlock()
	if have {
		return
	}
	buf := q.opt.Pool.Get(q.opt.ArenaBytes)
	q.mu.Lock()
	if q.mu.nextArena == nil && !q.mu.exited {
		q.mu.nextArena, buf = buf, nil
	}
	q.mu.Unlock()
	if buf != nil {
		buf.Release()
	}
}

// Finish reports the end of a block's write. Blocks may finish in any order. The caller does not use b afterwards. An error
// fails the log.
func (q *Queue) Finish(b *Batch, err error) {
	ended := now()
	q.mu.Lock()
	if b.lost {
		q.mu.Unlock()
		b.buf.Release()
		return
	}
	if b.finished {
		panic("BUG: wal: a block finished twice")
	}
	b.finished, b.err, b.ended = true, err, ended
	q.mu.active--
	first := false
	if err != nil {
		first = q.failLocked(err)
	}
	if q.mu.flight[0] == b || q.mu.err != nil {
		q.ready.Signal()
	}
	q.mu.Unlock()
	q.announce(first, err)
}

// deliver is the deliverer's loop.
func (q *Queue) deliver() {
	defer close(q.done)
	var batches []*Batch
	for {
		var rejected []rejection
		var end bool
		batches, rejected, end = q.collect(batches[:0])
		if len(batches) > 0 {
			q.deliverAll(batches)
		}
		for _, r := range rejected {
			r.done(r.err)
		}
		if end {
			q.exit()
			return
		}
		clear(batches)
	}
}

// collect waits for finished blocks at the head of flight. After a failure it also gives the blocks that were never taken, and
// then the appends that were refused.
func (q *Queue) collect(batches []*Batch) (_ []*Batch, rejected []rejection, end bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		n := 0
		for n < len(q.mu.flight) && q.mu.flight[n].finished {
			n++
		}
		batches = append(batches, q.mu.flight[:n]...)
		q.mu.flight = q.mu.flight[:copy(q.mu.flight, q.mu.flight[n:])]
		clear(q.mu.flight[len(q.mu.flight):cap(q.mu.flight)])
		if q.mu.err != nil && len(q.mu.flight) == 0 && !q.mu.turn {
			batches = q.abandonLocked(batches)
		}
		empty := len(q.mu.flight) == 0 && q.mu.bytes == 0 && !q.mu.turn
		if empty || q.mu.err == nil && !q.mu.closing {
			rejected, q.mu.rejected = q.mu.rejected, nil
		}
		end = empty && q.mu.closing && len(batches) == 0 && len(rejected) == 0
		if len(batches) > 0 || len(rejected) > 0 || end {
			return batches, rejected, end
		}
		q.ready.Wait()
	}
}

// abandonLocked takes the blocks that will not be written any more, because the log has failed.
func (q *Queue) abandonLocked(batches []*Batch) []*Batch {
	if q.mu.open != nil {
		q.closeOpenLocked()
	}
	for _, b := range q.mu.full {
		b.err = q.mu.err
		b.pos = notWritten
		batches = append(batches, b)
	}
	q.mu.full, q.mu.bytes = nil, 0
	return batches
}

// notWritten marks a batch whose copies nobody has awaited yet.
const notWritten = ^base.WALPos(0)

// deliverAll hands out finished blocks, in order, with no lock held. From the first one that failed on, all fail.
func (q *Queue) deliverAll(batches []*Batch) {
	if batches[0].err == nil && q.gap == nil && q.opt.Confirm != nil {
		if err := q.confirm(); err != nil {
			q.Fail(err)
			batches[0].err = err
		}
	}
	for _, b := range batches {
		if b.err != nil && q.gap == nil {
			q.gap = q.Err()
		}
		q.pending.Add(-int64(block.Pad(b.size)))
		if q.gap != nil {
			q.failBatch(b, q.gap)
		} else {
			q.deliverBatch(b)
		}
		if !b.lost { // else its write may still be under way
			q.keep(b)
		}
	}
}

// confirm asks whether this writer still holds the log. Whoever is asked may hang; GiveUp ends the waiting.
func (q *Queue) confirm() error {
	answer := make(chan error, 1)
	go func() { answer <- q.opt.Confirm() }()
	select {
	case err := <-answer:
		return err
	case <-q.givenUp:
		return q.Err()
	}
}

func (q *Queue) deliverBatch(b *Batch) {
	q.opt.Metrics.delivered(b)
	blk := b.block()
	if q.opt.OnBlock != nil {
		q.opt.OnBlock(blk)
	} else {
		blk.Release()
	}
	q.durable.Store(uint64(b.pos) + 1)
	for _, done := range b.dones {
		done(nil)
	}
}

func (q *Queue) failBatch(b *Batch, err error) {
	if b.pos == notWritten {
		b.awaitCopies()
	}
	b.buf.Release()
	for _, done := range b.dones {
		done(err)
	}
}

func (q *Queue) keep(b *Batch) {
	b.recycle()
	q.mu.Lock()
	if len(q.mu.spare) < spareBatches {
		q.mu.spare = append(q.mu.spare, b)
	}
	q.mu.Unlock()
}

// rejectLocked arranges for done(err), after everything appended before.
func (q *Queue) rejectLocked(done func(error), err error) {
	if q.mu.exited {
		go done(err)
		return
	}
	q.mu.rejected = append(q.mu.rejected, rejection{done, err})
	q.ready.Signal()
}

// exit ends the queue: memory goes back, and appends are refused without a deliverer.
func (q *Queue) exit() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.exited = true
	if q.mu.timer != nil {
		q.mu.timer.Stop()
	}
	if q.mu.arena != nil {
		q.mu.arena.Release()
		q.mu.arena = nil
	}
	if q.mu.nextArena != nil {
		q.mu.nextArena.Release()
		q.mu.nextArena = nil
	}
	for _, r := range q.mu.rejected {
		go r.done(r.err)
	}
	q.mu.rejected = nil
}

// PutEnd writes the mark of an ordered end to b. It may be called when the queue has ended without an error and no writer runs.
func (q *Queue) PutEnd(b []byte, segment uint64) {
	h := block.Header{Kind: block.KindEnd, Cluster: q.opt.Cluster, Node: q.opt.Node, Epoch: q.opt.Epoch,
		Pos: q.Durable(), Durable: q.Durable(), Segment: segment, Prev: q.prev, TableCRC: block.Sum(nil)}
	h.Put(b)
}
