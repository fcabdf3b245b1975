package partition

import (
	"sort"

	"sluice/base"
	"sluice/wire/kerr"
)

// The producer state of a partition, and what follows from it: duplicates, sequence gaps, fenced epochs, the last stable offset and
// the index of aborted transactions.
//
// The rules, for a batch of producer P with epoch e and sequences [f, l]:
//
//   - P unknown: any f is right (its state may have expired, or its records been deleted), except under transactions v2, where
//     the state cannot have been lost and f must be 0.
//   - e below P's epoch: fenced. e above it: a new life of P, which starts at f = 0; what was kept of the old epoch is dropped.
//   - e equal: if one of P's last five batches was exactly [f, l], this is a retry and the answer is that batch's offset. Otherwise f
//     must follow the last sequence, where 0 follows 2^31-1.
//   - A producer inside a transaction sends only transactional batches until a marker ends it.
//
// Nothing here knows whether a batch is durable: the caller holds back the answer to a duplicate until HW has passed the original.
//
// A transaction is open from its first batch to its marker, and counts as unstable until HW has passed the marker. The last stable
// offset is HW, or the first offset of the oldest unstable transaction if that is lower.
//
// State that was applied is a function of the batches alone (times aside, which only decide expiry), so a snapshot and a replay of the
// batches behind it give the same state as having been there.

// batchesKept is how many of a producer's batches are remembered: as many as a client may have in flight.
const batchesKept = 5

// noSequence stands where a batch or a producer has no sequence.
const noSequence int32 = -1

// batchInfo is what the producer state needs to know of a batch.
type batchInfo struct {
	producerID    int64
	epoch         int16
	firstSeq      int32
	lastSeq       int32
	base, last    base.Offset // both inclusive
	maxTimestamp  int64
	transactional bool
	// strict is set under transactions v2: a producer nobody knows starts at sequence 0.
	strict bool
	// marker is set for a control batch that ends a transaction; commit says how.
	marker, commit bool
}

// keptBatch is a remembered batch.
type keptBatch struct {
	firstSeq, lastSeq int32
	base, last        base.Offset
	maxTimestamp      int64
}

// producer is the state of one producer id.
type producer struct {
	epoch    int16
	n        uint8 // batches[:n] are kept, oldest first
	batches  [batchesKept]keptBatch
	txnFirst base.Offset // first offset of the open transaction, -1 without one
	// usedMS is when the producer last appended here by this broker's clock (at a replay: when it was replayed).
	usedMS int64
}

func (p *producer) lastSeq() int32 {
	if p.n == 0 {
		return noSequence
	}
	return p.batches[p.n-1].lastSeq
}

func (p *producer) keep(b keptBatch) {
	if p.n == batchesKept {
		copy(p.batches[:], p.batches[1:])
		p.n--
	}
	p.batches[p.n] = b
	p.n++
}

// unstableTxn is a transaction that holds the last stable offset back.
type unstableTxn struct {
	producerID int64
	first      base.Offset
	marker     base.Offset // -1 while it is open
}

// abortedTxn is an entry of the index of aborted transactions.
type abortedTxn struct {
	producerID    int64
	first, marker base.Offset
}

// producers is the producer state of one partition. It has one owner, who serialises all calls.
type producers struct {
	byID     map[int64]*producer
	unstable []unstableTxn // by first offset
	aborted  []abortedTxn  // by marker offset
}

func newProducers() *producers { return &producers{byID: map[int64]*producer{}} }

// check decides about a client's batch, and changes nothing. dup is the original if the batch is a retry of one of the last five.
func (s *producers) check(b *batchInfo) (dup *keptBatch, err *kerr.Error) {
	p := s.byID[b.producerID]
	if p == nil {
		if b.strict && b.firstSeq != 0 {
			return nil, kerr.Errorf(kerr.OutOfOrderSequenceNumber, "producer %d is not known here and starts at sequence %d", b.producerID, b.firstSeq)
		}
		return nil, nil
	}
	switch {
	case b.epoch < p.epoch:
		return nil, kerr.Errorf(kerr.InvalidProducerEpoch, "producer %d has epoch %d, the batch %d", b.producerID, p.epoch, b.epoch)
	case b.epoch > p.epoch:
		if b.firstSeq != 0 {
			return nil, kerr.Errorf(kerr.OutOfOrderSequenceNumber, "producer %d starts epoch %d at sequence %d", b.producerID, b.epoch, b.firstSeq)
		}
	default:
		if dup := p.find(b.firstSeq, b.lastSeq); dup != nil {
			return dup, nil
		}
		if !follows(p.lastSeq(), b.firstSeq) {
			return nil, kerr.Errorf(kerr.OutOfOrderSequenceNumber, "producer %d sent sequence %d after %d", b.producerID, b.firstSeq, p.lastSeq())
		}
	}
	if p.txnFirst >= 0 && !b.transactional {
		return nil, kerr.Errorf(kerr.InvalidTxnState, "producer %d has a transaction open and sent a batch outside of it", b.producerID)
	}
	return nil, nil
}

func (p *producer) find(firstSeq, lastSeq int32) *keptBatch {
	for i := range p.batches[:p.n] {
		if b := &p.batches[i]; b.firstSeq == firstSeq && b.lastSeq == lastSeq {
			return b
		}
	}
	return nil
}

// follows reports whether a batch may start at next after a batch that ended at last.
func follows(last, next int32) bool {
	return int64(next) == int64(last)+1 || next == 0 && last == 1<<31-1
}

// apply takes in a batch that has been appended, at nowMS. It is used for accepted batches and for replayed ones alike: what is in the
// log is true. Batches come in offset order.
func (s *producers) apply(b *batchInfo, nowMS int64) {
	p := s.byID[b.producerID]
	if p == nil {
		p = &producer{epoch: b.epoch, txnFirst: -1}
		s.byID[b.producerID] = p
	}
	p.usedMS = nowMS
	if p.epoch != b.epoch {
		p.epoch, p.n, p.batches = b.epoch, 0, [batchesKept]keptBatch{}
	}
	if b.marker {
		s.end(b, p)
		return
	}
	p.keep(keptBatch{firstSeq: b.firstSeq, lastSeq: b.lastSeq, base: b.base, last: b.last, maxTimestamp: b.maxTimestamp})
	if b.transactional && p.txnFirst < 0 {
		p.txnFirst = b.base
		s.unstable = append(s.unstable, unstableTxn{producerID: b.producerID, first: b.base, marker: -1})
	}
}

// end closes the transaction of p with the marker b. A marker without a transaction (nothing was written here) only carries the epoch.
func (s *producers) end(b *batchInfo, p *producer) {
	if p.txnFirst < 0 {
		return
	}
	for i := range s.unstable {
		if t := &s.unstable[i]; t.producerID == b.producerID && t.marker < 0 {
			t.marker = b.base
		}
	}
	if !b.commit {
		s.aborted = append(s.aborted, abortedTxn{producerID: b.producerID, first: p.txnFirst, marker: b.base})
	}
	p.txnFirst = -1
}

// stable forgets transactions whose marker lies below hw, and returns the last stable offset.
func (s *producers) stable(hw base.Offset) base.Offset {
	if len(s.unstable) == 0 {
		return hw
	}
	keep := s.unstable[:0]
	for _, t := range s.unstable {
		if t.marker < 0 || t.marker >= hw {
			keep = append(keep, t)
		}
	}
	s.unstable = keep
	if len(keep) > 0 && keep[0].first < hw {
		return keep[0].first
	}
	return hw
}

// abortedIn lists the aborted transactions that overlap [from, to), by first offset; nil when there is none.
func (s *producers) abortedIn(from, to base.Offset) (out []AbortedTxn) {
	for _, t := range s.abortedSpans(from, to) {
		out = append(out, AbortedTxn{ProducerID: t.ProducerID, FirstOffset: t.First})
	}
	return out
}

func (s *producers) abortedSpans(from, to base.Offset) (out []AbortedSpan) {
	i := sort.Search(len(s.aborted), func(i int) bool { return s.aborted[i].marker >= from })
	for _, t := range s.aborted[i:] {
		if t.first < to {
			out = append(out, AbortedSpan{t.producerID, t.first, t.marker})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].First < out[j].First })
	return out
}

// trim forgets aborted transactions that end below start.
func (s *producers) trim(start base.Offset) {
	i := sort.Search(len(s.aborted), func(i int) bool { return s.aborted[i].marker >= start })
	s.aborted = append([]abortedTxn(nil), s.aborted[i:]...)
}

// empty reports whether there is nothing a snapshot would hold.
func (s *producers) empty() bool {
	return len(s.byID) == 0 && len(s.unstable) == 0 && len(s.aborted) == 0
}

// expire forgets producers that have not appended since beforeMS and have no transaction open, and returns how many.
func (s *producers) expire(beforeMS int64) (n int) {
	for id, p := range s.byID {
		if p.txnFirst < 0 && p.usedMS <= beforeMS {
			delete(s.byID, id)
			n++
		}
	}
	return n
}
