package partition

import (
	"slices"

	"sluice/base"
)

// ProducerState is what DescribeProducers tells of a producer.
type ProducerState struct {
	ID               int64
	Epoch            int16
	LastSequence     int32 // -1: none
	LastTimestamp    int64 // milliseconds; -1: none
	CoordinatorEpoch int32 // of its last transaction marker; -1: none
	// TxnStart is the first offset of its open transaction, -1 without one.
	TxnStart base.Offset
}

// Producers lists the producers whose state is kept, by id.
func (p *Partition) Producers() []ProducerState {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]ProducerState, 0, len(p.mu.producers.byID))
	for id, s := range p.mu.producers.byID {
		out = append(out, ProducerState{id, s.epoch, s.lastSeq(), s.lastTimestamp, s.coordinator, s.txnFirst})
	}
	slices.SortFunc(out, func(a, b ProducerState) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
}

// ProducerCount returns how many producers' state is kept.
func (p *Partition) ProducerCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mu.producers.byID)
}

// lateTransactionSlackMS is how long after its timeout a transaction may still be open without being late, as in Kafka.
const lateTransactionSlackMS = 5 * 60 * 1000

// LateTransaction reports whether the oldest open transaction should have ended long ago, if none may last longer than maxMS: nobody knows
// of it any more, and readers of committed records wait for it.
func (p *Partition) LateTransaction(maxMS int64) bool {
	now := p.opt.Now().UnixMilli()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.mu.producers.unstable {
		if t.marker < 0 {
			last := p.mu.producers.byID[t.producerID].lastTimestamp
			return last > 0 && now-last > maxMS+lateTransactionSlackMS
		}
	}
	return false
}

// Aborted lists the aborted transactions that overlap [from, to), by first offset.
func (p *Partition) Aborted(from, to base.Offset) []AbortedSpan {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.producers.abortedSpans(from, to)
}

// ForgetAborted takes aborted transactions out of the index, of which no record is left in the log.
func (p *Partition) ForgetAborted(gone []AbortedSpan) {
	if len(gone) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.producers.forget(gone)
}
