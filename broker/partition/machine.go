package partition

import (
	"cmp"
	"slices"
	"sort"

	"sluice/base"
	"sluice/base/seeded"
	"sluice/wire/batch"
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
//   - A transactional batch that begins a transaction here needs a guard: the transaction's coordinator has been asked, after the guard was
//     given out, whether the partition belongs to the transaction. A marker that arrives meanwhile takes the guard away, so that no batch
//     comes behind the end of its transaction (KIP-890). See verify.go.
//   - A marker of an older producer epoch, or of an older epoch of the coordinator, is refused. Under transactions v2 a marker carries the
//     epoch after that of the transaction it ends: one that carries the epoch of the open transaction ended an earlier one, and is refused.
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
	// marker is set for a control batch that ends a transaction; commit says how, coordinator which epoch of the coordinator sent it, and v2
	// that it must carry a higher epoch than what it ends.
	marker, commit, v2 bool
	coordinator        int32
	// guard is what verification gave out; 0 is none.
	guard Guard
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
	// coordinator is the epoch of the transaction coordinator that sent the last marker, noCoordinator before there was one.
	coordinator int32
	// lastTimestamp is the largest timestamp of the last batch, or that of the last marker.
	lastTimestamp int64
	// usedMS is when the producer last appended here by this broker's clock (at a replay: when it was replayed).
	usedMS int64
}

// noCoordinator stands where no transaction has ended yet.
const noCoordinator int32 = -1

func newProducer(epoch int16) *producer {
	return &producer{epoch: epoch, txnFirst: -1, coordinator: noCoordinator, lastTimestamp: batch.NoTimestamp}
}

// inTxn reports whether a transaction of the producer's epoch is open here.
func (p *producer) inTxn(epoch int16) bool { return p != nil && p.txnFirst >= 0 && p.epoch == epoch }

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
	// below is at most the first offset of every transaction whose marker comes later: where a search may end. It is not stored.
	below base.Offset
}

// producers is the producer state of one partition. It has one owner, who serialises all calls.
type producers struct {
	byID     map[int64]*producer
	unstable []unstableTxn // by first offset; of those that have ended some are still listed, behind one that is open
	aborted  []abortedTxn  // by marker offset
	// pruned counts how often something was taken out of aborted.
	pruned uint64

	verifying map[int64]*verification // by producer; see verify.go
	lastGuard Guard
}

func newProducers() *producers {
	return &producers{byID: map[int64]*producer{}, verifying: map[int64]*verification{}}
}

// check decides about a client's batch, and changes nothing. dup is the original if the batch is a retry of one of the last five.
func (s *producers) check(b *batchInfo) (dup *keptBatch, err *kerr.Error) {
	p := s.byID[b.producerID]
	if p != nil && b.epoch == p.epoch {
		if dup := p.find(b.firstSeq, b.lastSeq); dup != nil {
			return dup, nil
		}
	}
	if err := s.checkOrigin(b, p); err != nil {
		return nil, err
	}
	if err := s.checkVerifiedSequence(b, p); err != nil {
		return nil, err
	}
	switch {
	case p == nil:
		return nil, nil
	case b.epoch > p.epoch:
		if b.firstSeq != 0 {
			return nil, kerr.Errorf(kerr.OutOfOrderSequenceNumber, "producer %d starts epoch %d at sequence %d", b.producerID, b.epoch, b.firstSeq)
		}
	case !follows(p.lastSeq(), b.firstSeq) && !seeded.Bug(seeded.GapAccepted):
		return nil, kerr.Errorf(kerr.OutOfOrderSequenceNumber, "producer %d sent sequence %d after %d", b.producerID, b.firstSeq, p.lastSeq())
	}
	if p.txnFirst >= 0 && !b.transactional {
		return nil, kerr.Errorf(kerr.InvalidTxnState, "producer %d has a transaction open and sent a batch outside of it", b.producerID)
	}
	return nil, nil
}

// checkOrigin refuses batches of an older epoch, and those that belong to no transaction that is known to be open.
func (s *producers) checkOrigin(b *batchInfo, p *producer) *kerr.Error {
	switch {
	case p != nil && b.epoch < p.epoch && !seeded.Bug(seeded.EpochUnchecked):
		return kerr.Errorf(kerr.InvalidProducerEpoch, "producer %d has epoch %d, the batch %d", b.producerID, p.epoch, b.epoch)
	case b.transactional && !p.inTxn(b.epoch) && !s.guarded(b):
		return kerr.Errorf(kerr.InvalidTxnState, "the batch of producer %d is not part of an open transaction", b.producerID)
	}
	return nil
}

// checkCoordinator decides about what a coordinator appends for a producer: markers, and records without sequences.
func (s *producers) checkCoordinator(b *batchInfo) *kerr.Error {
	p := s.byID[b.producerID]
	if !b.marker {
		return s.checkOrigin(b, p)
	}
	last := noCoordinator
	if p != nil {
		if b.epoch < p.epoch || b.v2 && p.inTxn(b.epoch) {
			return kerr.Errorf(kerr.InvalidProducerEpoch, "producer %d has epoch %d, the marker %d", b.producerID, p.epoch, b.epoch)
		}
		last = p.coordinator
	}
	if b.coordinator < last {
		return kerr.Errorf(kerr.TransactionCoordinatorFenced, "the last marker of producer %d was from coordinator epoch %d, this one from %d", b.producerID, last, b.coordinator)
	}
	return nil
}

func (p *producer) find(firstSeq, lastSeq int32) *keptBatch {
	for i := range p.batches[:p.n] {
		if i == 0 && p.n == batchesKept && seeded.Bug(seeded.WindowOfFour) {
			continue
		}
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
		p = newProducer(b.epoch)
		s.byID[b.producerID] = p
	}
	p.usedMS, p.lastTimestamp = nowMS, b.maxTimestamp
	if p.epoch != b.epoch {
		p.epoch, p.n, p.batches = b.epoch, 0, [batchesKept]keptBatch{}
	}
	if b.marker || b.transactional {
		delete(s.verifying, b.producerID)
	}
	if b.marker {
		p.coordinator = b.coordinator
		s.end(b, p)
		return
	}
	if b.firstSeq != noSequence { // coordinators have none
		p.keep(keptBatch{firstSeq: b.firstSeq, lastSeq: b.lastSeq, base: b.base, last: b.last, maxTimestamp: b.maxTimestamp})
	}
	if b.transactional && p.txnFirst < 0 {
		p.txnFirst = b.base
		s.unstable = append(s.unstable, unstableTxn{producerID: b.producerID, first: b.base, marker: -1})
	}
}

// end closes the transaction of p with the marker b. A marker without a transaction (nothing was written here) only carries the epochs.
func (s *producers) end(b *batchInfo, p *producer) {
	if p.txnFirst < 0 {
		return
	}
	i, found := slices.BinarySearchFunc(s.unstable, p.txnFirst, func(t unstableTxn, first base.Offset) int { return cmp.Compare(t.first, first) })
	if !found {
		panic("BUG: partition: an open transaction is not listed")
	}
	s.unstable[i].marker = b.base
	if !b.commit {
		s.aborted = append(s.aborted, abortedTxn{producerID: b.producerID, first: p.txnFirst, marker: b.base, below: s.oldestOpen(b.last + 1)})
	}
	p.txnFirst = -1
}

// oldestOpen is the first offset of the oldest transaction without a marker, next if there is none: no transaction that ends from now on
// begins below it.
func (s *producers) oldestOpen(next base.Offset) base.Offset {
	for _, t := range s.unstable {
		if t.marker < 0 {
			return t.first
		}
	}
	return next
}

// stable forgets transactions whose marker lies below hw, up to the oldest that is unstable, and returns the last stable offset.
func (s *producers) stable(hw base.Offset) base.Offset {
	n := 0
	for n < len(s.unstable) && s.unstable[n].marker >= 0 && s.unstable[n].marker < hw {
		n++
	}
	s.unstable = s.unstable[n:]
	if len(s.unstable) == 0 {
		s.unstable = nil
		return hw
	}
	if seeded.Bug(seeded.LSOPlusOne) {
		return min(hw, s.unstable[0].first+1)
	}
	return min(hw, s.unstable[0].first)
}

// abortedIn lists the aborted transactions that overlap [from, to), by first offset; nil when there is none.
func (s *producers) abortedIn(from, to base.Offset) (out []AbortedTxn) {
	for _, t := range s.abortedSpans(from, to) {
		out = append(out, AbortedTxn{ProducerID: t.ProducerID, FirstOffset: t.First})
	}
	return out
}

// abortedSpans finds the first entry by its marker, and goes on until no later entry can begin below to.
func (s *producers) abortedSpans(from, to base.Offset) (out []AbortedSpan) {
	i := sort.Search(len(s.aborted), func(i int) bool { return s.aborted[i].marker >= from })
	for _, t := range s.aborted[i:] {
		if t.first < to {
			out = append(out, AbortedSpan{t.producerID, t.first, t.marker})
		}
		if t.below >= to {
			break
		}
	}
	slices.SortFunc(out, func(a, b AbortedSpan) int { return cmp.Compare(a.First, b.First) })
	return out
}

// trim forgets aborted transactions that end below start.
func (s *producers) trim(start base.Offset) {
	i := sort.Search(len(s.aborted), func(i int) bool { return s.aborted[i].marker >= start })
	if i > 0 {
		s.aborted = slices.Clone(s.aborted[i:])
		s.pruned++
	}
}

// forget takes the given spans out of the index of aborted transactions.
func (s *producers) forget(gone []AbortedSpan) (n int) {
	markers := make(map[base.Offset]struct{}, len(gone))
	for _, t := range gone {
		markers[t.Marker] = struct{}{}
	}
	keep := make([]abortedTxn, 0, max(0, len(s.aborted)-len(gone)))
	for _, t := range s.aborted {
		if _, ok := markers[t.marker]; !ok {
			keep = append(keep, t)
		}
	}
	if n = len(s.aborted) - len(keep); n > 0 {
		s.aborted = keep
		s.pruned++
	}
	return n
}

// bound fills in where searches of the index may end, after it was loaded.
func (s *producers) bound(next base.Offset) {
	below := s.oldestOpen(next)
	for i := len(s.aborted) - 1; i >= 0; i-- {
		s.aborted[i].below = below
		below = min(below, s.aborted[i].first)
	}
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
	for id, v := range s.verifying {
		if v.sinceMS <= beforeMS {
			delete(s.verifying, id)
		}
	}
	return n
}
