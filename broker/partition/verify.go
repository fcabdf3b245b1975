package partition

import "sluice/wire/kerr"

// Verification (KIP-890). A transaction begins in a partition with its first batch, and that batch may come late: after the coordinator has
// ended the transaction, and then nobody would ever end what it begins. So before the first batch, whoever appends asks the coordinator
// whether the partition is part of the transaction (or, under transactions v2, has it added).
//
//	guard, needed := p.Verify(…)   the partition remembers that the producer is being verified
//	ask the coordinator            a marker that is appended meanwhile takes the guard away
//	p.Append(… Guard: guard)       succeeds only if the guard is still the one that the partition remembers
//
// Nothing of this is durable: a partition that is opened elsewhere meanwhile knows no guard, and the batch is refused with an error that has the
// producer send it again.

// Guard is what Verify gives out; 0 is none.
type Guard uint64

// verification is a producer that is being verified.
type verification struct {
	guard   Guard
	sinceMS int64
	epoch   int16
	// lowest is the lowest sequence that was seen under the epoch: if the first of several batches fails to be verified, those behind it must
	// not go in before it.
	lowest int32
	strict bool
}

// verify begins to verify a producer, or goes on; false if its transaction is open here already.
func (s *producers) verify(id int64, epoch int16, firstSeq int32, strict bool, nowMS int64) (Guard, bool) {
	if s.byID[id].inTxn(epoch) {
		return 0, false
	}
	v := s.verifying[id]
	if v == nil {
		s.lastGuard++
		v = &verification{guard: s.lastGuard, sinceMS: nowMS, epoch: epoch, lowest: firstSeq}
		s.verifying[id] = v
	}
	v.strict = strict
	switch {
	case epoch > v.epoch:
		v.epoch, v.lowest = epoch, firstSeq
	case epoch == v.epoch:
		v.lowest = min(v.lowest, firstSeq)
	}
	return v.guard, true
}

// guarded reports whether a batch comes with the guard that its producer got.
func (s *producers) guarded(b *batchInfo) bool {
	v := s.verifying[b.producerID]
	return v != nil && b.guard != 0 && v.guard == b.guard
}

// checkVerifiedSequence refuses sequences that a producer which is being verified may not begin with.
func (s *producers) checkVerifiedSequence(b *batchInfo, p *producer) *kerr.Error {
	v := s.verifying[b.producerID]
	if v == nil {
		return nil
	}
	if v.strict && b.firstSeq != 0 && (p == nil || p.n == 0) {
		return kerr.Errorf(kerr.OutOfOrderSequenceNumber, "producer %d is not known here and starts at sequence %d", b.producerID, b.firstSeq)
	}
	if b.firstSeq > v.lowest {
		return kerr.Errorf(kerr.OutOfOrderSequenceNumber, "producer %d sent sequence %d, and before it %d, which is not there yet", b.producerID, b.firstSeq, v.lowest)
	}
	return nil
}

// Verify says whether the coordinator has to be asked before a transactional batch may be appended; then the batch comes with the guard.
// firstSeq is the batch's first sequence, -1 for coordinators; strict is set under transactions v2.
func (p *Partition) Verify(producerID int64, epoch int16, firstSeq int32, strict bool) (guard Guard, needed bool) {
	now := p.opt.Now().UnixMilli()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.producers.verify(producerID, epoch, firstSeq, strict, now)
}
