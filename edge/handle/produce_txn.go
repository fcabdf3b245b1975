package handle

import (
	"context"
	"time"

	"sluice/broker/partition"
	"sluice/broker/txn"
	"sluice/wire/batch"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// Transactional batches (KIP-890). Before the first batch of a transaction is appended to a partition, the transaction's coordinator is
// asked: whether the partition belongs to the transaction, up to version 11, or to add it, from version 12 on. Meanwhile the connection is not
// read on, so that a producer's batches stay in order; batches of the request that wait for nobody have been appended by then.
//
// What the coordinator cannot say just now is NOT_ENOUGH_REPLICAS, which every client tries again without looking for another leader. Clients
// below version 11 do not know TRANSACTION_ABORTABLE and get INVALID_TXN_STATE.

// TxnVerifier asks transaction coordinators. *txn.Client implements it.
type TxnVerifier interface {
	// AddPartitions calls done exactly once, maybe before it returns, with a code for each partition.
	AddPartitions(ctx context.Context, r txn.AddPartitions, done func([]kerr.Code))
}

const (
	firstTransactionsV2 = 12 // versions of Produce
	firstAbortable      = 11
	// While the transaction before is being completed the coordinator is asked again, as in Kafka: so often, and for so long.
	concurrentPause = 20 * time.Millisecond
	concurrentMax   = 100 * time.Millisecond
	// staleMax bounds how often the guard of one batch may be taken away: each time a transaction has ended here.
	staleMax = 4
)

// attributesAt is where a batch has the low byte of its attributes, of which a bit says that it is transactional.
const (
	attributesAt     = 22
	transactionalBit = 0x10
)

// isTransactional looks whether a batch claims to be part of a transaction. What else is wrong with it the partition finds out.
func isTransactional(records []byte) bool {
	return len(records) >= batch.HeaderBytes && records[attributesAt]&transactionalBit != 0
}

// sameProducer reports whether all transactional batches are of one producer. What is wrong by itself does not count.
func (p *produceCall) sameProducer(req *msg.ProduceRequest) bool {
	var first batch.Batch
	found := false
	for i := range req.TopicData {
		for j := range req.TopicData[i].PartitionData {
			b, ok := transactional(req.TopicData[i].PartitionData[j].Records)
			switch {
			case !ok || found && b.ProducerID() == first.ProducerID() && b.ProducerEpoch() == first.ProducerEpoch():
			case p.wrong(&req.TopicData[i], j) != kerr.None:
			case found:
				return false
			default:
				first, found = b, true
			}
		}
	}
	return true
}

// transactional returns the header of a transactional batch with a producer.
func transactional(records []byte) (batch.Batch, bool) {
	if !isTransactional(records) {
		return batch.Batch{}, false
	}
	b, _, err := batch.Parse(records)
	return b, err == nil && b.ProducerID() >= 0
}

// unverified reports whether the coordinator has to be asked before a batch is appended to a partition. If so, the batch has its guard.
func (p *produceCall) unverified(b *producedBatch, part *partition.Partition) bool {
	b.guard, b.verified = 0, nil
	view, ok := transactional(b.records())
	if !ok || partition.CheckRequest(b.records(), p.call.Version) != nil { // the partition will refuse it
		return false
	}
	guard, needed := part.Verify(view.ProducerID(), view.ProducerEpoch(), view.BaseSequence(), p.call.Version >= firstTransactionsV2)
	if needed {
		b.verified, b.guard = part, guard
	}
	return needed
}

// appendVerified asks the coordinator about batches of which it has to be asked, and appends those to which it says yes. It returns those
// that are held.
//
// A producer may begin a transaction while the markers of the one before are still on their way. Then the coordinator says so, and is asked again; or a
// marker takes the guard of a batch away that the coordinator has said yes to, and it is asked again with a new guard.
func (p *produceCall) appendVerified(req *msg.ProduceRequest, batches []producedBatch, mayHold bool) (held []producedBatch) {
	for began := time.Now(); len(batches) > 0; {
		mayAsk := p.call.Version >= firstTransactionsV2 && time.Since(began) < concurrentMax
		codes := p.verify(req, batches)
		var again []producedBatch
		pause := false
		for i, b := range batches {
			switch {
			case b.verified == nil: // a marker took its guard away before anybody was asked
				again = append(again, b)
			case codes[i] == kerr.ConcurrentTransactions && mayAsk:
				b.verified, pause = nil, true
				again = append(again, b)
			case codes[i] != kerr.None:
				p.fill(b.out, partition.AppendResult{Base: -1, LogAppendTime: -1, LogStart: -1, Err: p.verificationError(codes[i])})
			default:
				held, again = p.sort(b, mayHold, held, again)
			}
		}
		if pause {
			p.pause()
		}
		batches = nil
		for _, b := range again {
			held, batches = p.sort(b, mayHold, held, batches)
		}
	}
	return held
}

// sort tries to append a batch and puts it where it belongs if that has to wait.
func (p *produceCall) sort(b producedBatch, mayHold bool, held, unverified []producedBatch) (_, _ []producedBatch) {
	switch p.appendOne(&b, mayHold) {
	case isHeld:
		held = append(held, b)
	case isUnverified:
		unverified = append(unverified, b)
	}
	return held, unverified
}

func (p *produceCall) pause() {
	select {
	case <-time.After(concurrentPause):
	case <-p.call.Context().Done():
	}
}

// verify asks the coordinator about those batches that have a guard, and waits. It returns a code for each batch.
func (p *produceCall) verify(req *msg.ProduceRequest, batches []producedBatch) []kerr.Code {
	view, _ := transactional(batches[0].records())
	q := txn.AddPartitions{TransactionalID: *req.TransactionalId, ProducerID: view.ProducerID(), Epoch: view.ProducerEpoch(), VerifyOnly: p.call.Version < firstTransactionsV2}
	codes := make([]kerr.Code, len(batches))
	var asked []int
	for i, b := range batches {
		if b.verified != nil {
			_, name, index := b.verified.ID()
			q.Partitions = append(q.Partitions, txn.TopicPartition{Topic: name, Index: index})
			asked = append(asked, i)
		}
	}
	if len(asked) == 0 {
		return codes
	}
	answered := make(chan []kerr.Code, 1)
	p.h.opt.TxnClient.AddPartitions(p.call.Context(), q, func(codes []kerr.Code) { answered <- codes })
	for i, code := range <-answered {
		codes[asked[i]] = code
	}
	return codes
}

// verificationError is how a producer is told what the coordinator has said.
func (p *produceCall) verificationError(code kerr.Code) error {
	switch code {
	case kerr.InvalidTxnState:
		return errNotAdded
	case kerr.TransactionAbortable:
		if p.call.Version < firstAbortable {
			return errNotAdded
		}
	case kerr.ConcurrentTransactions:
		if p.call.Version < firstTransactionsV2 {
			return unable(code)
		}
	case kerr.NetworkException, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator:
		return unable(code)
	}
	return code.Err()
}

var errNotAdded = kerr.Errorf(kerr.InvalidTxnState, "the partition was not added to the transaction")

func unable(code kerr.Code) error {
	return kerr.Errorf(kerr.NotEnoughReplicas, "the transaction's coordinator cannot say whether the partition is part of it: %v", code)
}
