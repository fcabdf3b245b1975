package clean

import (
	"maps"
	"slices"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/wire/batch"
)

// txns follows the transactions of a log from one batch to the next, from the log start on, to tell which batches are of aborted ones and which
// markers nobody needs any more (Kafka's CleanedTransactionMetadata). A marker is needed as long as a batch of its transaction is in the log: a reader
// who meets the batch must find the end of the transaction.
type txns struct {
	ahead     []partition.AbortedSpan // aborted transactions that begin further on, by first offset
	aborted   map[int64]openTxn       // of producers in an aborted transaction
	committed map[int64]bool          // producers in another one, of which a batch was met
	gone      []partition.AbortedSpan // aborted transactions that have ended, of which no batch was met
}

// openTxn is an aborted transaction that has begun. Its span says where it ends, for the marker itself may be gone.
type openTxn struct {
	span partition.AbortedSpan
	met  bool // one of its batches was
}

// newTxns takes the aborted transactions that overlap the log, by first offset.
func newTxns(aborted []partition.AbortedSpan) *txns {
	return &txns{ahead: aborted, aborted: map[int64]openTxn{}, committed: map[int64]bool{}}
}

// clone returns a copy from which to begin again.
func (x *txns) clone() *txns {
	return &txns{x.ahead, maps.Clone(x.aborted), maps.Clone(x.committed), slices.Clone(x.gone)}
}

// next takes in the next batch and reports whether its records may go: they are of an aborted transaction, or a marker whose transaction has no
// batch left.
func (x *txns) next(b batch.Batch) (discard bool) {
	id, at := b.ProducerID(), base.Offset(b.BaseOffset())
	for len(x.ahead) > 0 && x.ahead[0].First <= at {
		t := x.ahead[0]
		x.leave(t.ProducerID)
		x.aborted[t.ProducerID] = openTxn{span: t}
		x.ahead = x.ahead[1:]
	}
	t, aborted := x.aborted[id]
	if aborted && t.span.Marker < at {
		x.leave(id)
		aborted = false
	}
	switch {
	case b.IsControl():
		return x.end(b, id)
	case !b.IsTransactional():
		return false
	case aborted:
		x.aborted[id] = openTxn{t.span, true}
		return true
	}
	x.committed[id] = true
	return false
}

// end takes in a control batch. One that has been emptied may go.
func (x *txns) end(b batch.Batch, id int64) (discard bool) {
	m, ok := b.Marker()
	switch {
	case !ok:
		return b.NumRecords() == 0
	case m.Commit:
		met := x.committed[id]
		delete(x.committed, id)
		return !met
	default:
		met := x.aborted[id].met
		x.leave(id)
		return !met
	}
}

// leave ends the aborted transaction of a producer, if there is one.
func (x *txns) leave(id int64) {
	if t, ok := x.aborted[id]; ok && !t.met {
		x.gone = append(x.gone, t.span)
	}
	delete(x.aborted, id)
}

// goneBelow returns, when the log has been read up to end, the aborted transactions that end below it and of which nothing is left.
func (x *txns) goneBelow(end base.Offset) []partition.AbortedSpan {
	gone := slices.Clone(x.gone)
	for _, t := range x.aborted {
		if !t.met {
			gone = append(gone, t.span)
		}
	}
	gone = append(gone, x.ahead...)
	return slices.DeleteFunc(gone, func(t partition.AbortedSpan) bool { return t.Marker >= end })
}
