package handle

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	stdsync "sync"
	"sync/atomic"
	"testing"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/broker/partition/memlog"
	"sluice/broker/txn"
	"sluice/wire/batch"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// onePartition is the directory of a node that serves one partition, whatever it is asked for.
type onePartition struct{ p *partition.Partition }

func (d onePartition) Get(base.UUID, int32) (*partition.Partition, error)    { return d.p, nil }
func (d onePartition) GetByName(string, int32) (*partition.Partition, error) { return d.p, nil }
func (d onePartition) Serves(base.UUID, int32) bool                          { return true }
func (d onePartition) Coming(base.UUID, int32) bool                          { return false }
func (d onePartition) ComingByName(string, int32) bool                       { return false }
func (d onePartition) Changed() <-chan struct{}                              { return nil }
func (d onePartition) Applied() base.MetaPos                                 { return math.MaxUint64 }
func (d onePartition) All() iter.Seq[*partition.Partition] {
	return slices.Values([]*partition.Partition{d.p})
}

// verifier answers what the test says, one question after the other.
type verifier struct {
	mu      stdsync.Mutex
	answers []func() kerr.Code
	asked   []txn.AddPartitions
}

func (v *verifier) AddPartitions(_ context.Context, r txn.AddPartitions, done func([]kerr.Code)) {
	v.mu.Lock()
	v.asked = append(v.asked, r)
	answer := v.answers[0]
	v.answers = v.answers[1:]
	v.mu.Unlock()
	done(slices.Repeat([]kerr.Code{answer()}, len(r.Partitions)))
}

func (v *verifier) set(answers []func() kerr.Code) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answers, v.asked = answers, nil
}

func (v *verifier) questions() []txn.AddPartitions {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.asked)
}

func TestTransactionalProduce(t *testing.T) {
	wal := &memlog.WAL{}
	defer wal.Auto()()
	p, err := partition.Open(t.Context(), partition.Options{Name: "t", Epoch: 1, EpochStarts: []partition.EpochStart{{Epoch: 1}}, Data: wal.New(0), Meta: wal.New(0)})
	if err != nil {
		t.Fatal(err)
	}
	v := &verifier{}
	b := newBroker(t, 1, func(o *Options) { o.Directory, o.TxnClient = onePartition{p}, v })
	say := func(codes ...kerr.Code) (answers []func() kerr.Code) {
		for _, c := range codes {
			answers = append(answers, func() kerr.Code { return c })
		}
		return answers
	}
	var last atomic.Int64        // producer id; the marker is asked for by the broker
	marker := func() kerr.Code { // arrives while the coordinator is asked
		done := make(chan error, 1)
		p.Append(partition.AppendRequest{Batch: batch.AppendMarker(nil, batch.Marker{}, last.Load(), 0, 1), Origin: partition.Coordinator}, func(r partition.AppendResult) { done <- r.Err })
		if err := <-done; err != nil {
			t.Error(err)
		}
		return kerr.None
	}
	for _, tc := range []struct {
		what    string
		version int16
		answers []func() kerr.Code
		want    kerr.Code
		asked   int
	}{
		{"verified", 11, say(kerr.None), kerr.None, 1},
		{"added", 12, say(kerr.None), kerr.None, 1},
		{"not added", 11, say(kerr.TransactionAbortable), kerr.TransactionAbortable, 1},
		{"not added, of old", 10, say(kerr.TransactionAbortable), kerr.InvalidTxnState, 1},
		{"fenced", 12, say(kerr.InvalidProducerEpoch), kerr.InvalidProducerEpoch, 1},
		{"nobody to ask", 12, say(kerr.CoordinatorNotAvailable), kerr.NotEnoughReplicas, 1},
		{"the transaction before is not complete, v1", 11, say(kerr.ConcurrentTransactions), kerr.NotEnoughReplicas, 1},
		{"the transaction before is not complete, v2", 12, say(kerr.ConcurrentTransactions, kerr.ConcurrentTransactions, kerr.None), kerr.None, 3},
		{"a marker took the guard away", 12, append([]func() kerr.Code{marker}, say(kerr.None)...), kerr.None, 2},
		{"a marker took the guard away, v1", 11, append([]func() kerr.Code{marker}, say(kerr.None)...), kerr.None, 2},
		{"again and again", 12, []func() kerr.Code{marker, marker, marker, marker, marker}, kerr.InvalidTxnState, 5},
		{"a codec that the version has not", 6, nil, kerr.UnsupportedCompressionType, 0},
	} {
		id := last.Add(1)
		v.set(tc.answers)
		options := batch.Options{Idempotent: true, Transactional: true, ProducerID: id}
		if tc.want == kerr.UnsupportedCompressionType {
			options.Codec = batch.Zstd
		}
		raw := batch.NewBuilder(options)
		raw.Add(batch.Record{Value: []byte("x")})
		name := fmt.Sprint("id", id)
		req := &msg.ProduceRequest{TransactionalId: &name, Acks: -1, TimeoutMs: 1000, TopicData: []msg.ProduceRequestTopicProduceData{{
			Name: "t", PartitionData: []msg.ProduceRequestPartitionProduceData{{Records: raw.Bytes()}},
		}}}
		var resp msg.ProduceResponse
		b.ask(tc.version, req, &resp)
		asked := v.questions()
		if got := kerr.Code(resp.Responses[0].PartitionResponses[0].ErrorCode); got != tc.want || len(asked) != tc.asked {
			t.Errorf("%s: %v after %d questions, want %v after %d", tc.what, got, len(asked), tc.want, tc.asked)
			continue
		}
		if tc.asked == 0 {
			continue
		}
		q := asked[0]
		if q.TransactionalID != name || q.ProducerID != id || q.VerifyOnly != (tc.version < 12) || len(q.Partitions) != 1 || q.Partitions[0].Topic != "t" {
			t.Errorf("%s: asked %+v", tc.what, q)
		}
	}
}

// TestWrongAcks: of a request with acks that are none, transactional batches without a transaction are told before, and records that no request may hold.
func TestWrongAcks(t *testing.T) {
	wal := &memlog.WAL{}
	defer wal.Auto()()
	p, err := partition.Open(t.Context(), partition.Options{Name: "t", Epoch: 1, EpochStarts: []partition.EpochStart{{Epoch: 1}}, Data: wal.New(0), Meta: wal.New(0)})
	if err != nil {
		t.Fatal(err)
	}
	b := newBroker(t, 1, func(o *Options) { o.Directory, o.TxnClient = onePartition{p}, &verifier{} })
	batchOf := func(o batch.Options) []byte {
		raw := batch.NewBuilder(o)
		raw.Add(batch.Record{Value: []byte("x")})
		return raw.Bytes()
	}
	plain := batchOf(batch.Options{})
	for _, tc := range []struct {
		what    string
		records []byte
		want    kerr.Code
	}{
		{"good", plain, kerr.InvalidRequiredAcks},
		{"two batches", slices.Concat(plain, plain), kerr.InvalidRecord},
		{"no batch", nil, kerr.InvalidRecord},
		{"a codec that the version has not", batchOf(batch.Options{Codec: batch.Zstd}), kerr.UnsupportedCompressionType},
		{"of a transaction", batchOf(batch.Options{Idempotent: true, Transactional: true, ProducerID: 7}), kerr.TransactionalIDAuthorizationFailed},
	} {
		var resp msg.ProduceResponse
		b.ask(6, &msg.ProduceRequest{Acks: 7, TimeoutMs: 1000, TopicData: []msg.ProduceRequestTopicProduceData{{
			Name: "t", PartitionData: []msg.ProduceRequestPartitionProduceData{{Records: tc.records}},
		}}}, &resp)
		if got := kerr.Code(resp.Responses[0].PartitionResponses[0].ErrorCode); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.what, got, tc.want)
		}
	}
	// Two producers in a request of a transaction refuse all of it, but for what is wrong by itself.
	id := "x"
	of := func(producer int64) []byte {
		return batchOf(batch.Options{Idempotent: true, Transactional: true, ProducerID: producer})
	}
	for _, tc := range []struct {
		acks    int16
		batches [][]byte
		want    []kerr.Code
	}{
		{-1, [][]byte{of(7), slices.Concat(of(8), of(8)), of(8)}, []kerr.Code{kerr.InvalidProducerIDMapping, kerr.InvalidRecord, kerr.InvalidProducerIDMapping}},
		{-1, [][]byte{of(7), nil, plain, of(8)}, []kerr.Code{kerr.InvalidProducerIDMapping, kerr.InvalidRecord, kerr.InvalidProducerIDMapping, kerr.InvalidProducerIDMapping}},
		{7, [][]byte{of(7), of(8)}, []kerr.Code{kerr.InvalidProducerIDMapping, kerr.InvalidProducerIDMapping}},
		{7, [][]byte{of(7), slices.Concat(of(8), of(8))}, []kerr.Code{kerr.InvalidRequiredAcks, kerr.InvalidRecord}}, // one producer is wrong by itself
	} {
		req := &msg.ProduceRequest{TransactionalId: &id, Acks: tc.acks, TimeoutMs: 1000, TopicData: []msg.ProduceRequestTopicProduceData{{Name: "t"}}}
		for i, records := range tc.batches {
			req.TopicData[0].PartitionData = append(req.TopicData[0].PartitionData, msg.ProduceRequestPartitionProduceData{Index: int32(i), Records: records})
		}
		var resp msg.ProduceResponse
		b.ask(8, req, &resp)
		for i, want := range tc.want {
			if got := kerr.Code(resp.Responses[0].PartitionResponses[i].ErrorCode); got != want {
				t.Errorf("acks %d, partition %d: %v, want %v", tc.acks, i, got, want)
			}
		}
	}
}
