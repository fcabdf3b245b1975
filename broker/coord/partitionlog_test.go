package coord

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/broker/partition/memlog"
	"sluice/broker/topicconfig"
	"sluice/storage/stream"
	"sluice/wire/batch"
)

func openPartition(t *testing.T, data, meta *memlog.Log) *partition.Partition {
	t.Helper()
	cfg := topicconfig.Default()
	p, err := partition.Open(t.Context(), partition.Options{
		Name: "__consumer_offsets", Epoch: 1, EpochStarts: []partition.EpochStart{{Epoch: 1}}, Config: &cfg, Data: data, Meta: meta,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func replayed(t *testing.T, l *PartitionLog) (got []string) {
	t.Helper()
	err := l.Replay(t.Context(), func(r Record) error {
		value := "tombstone"
		switch {
		case r.Marker != nil:
			value = fmt.Sprint("marker ", r.Marker.Commit, " ", r.Marker.CoordinatorEpoch)
		case r.Value != nil:
			value = string(r.Value)
		}
		got = append(got, fmt.Sprintf("%d %s=%s by %d", r.Offset, r.Key, value, r.ProducerID))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestPartitionLog(t *testing.T) {
	var w memlog.WAL
	data, meta := w.New(0), w.New(0)
	p := openPartition(t, data, meta)
	l := NewPartitionLog(p, PartitionLogOptions{})
	var ends []string
	done := func(first base.Offset, err error) { ends = append(ends, fmt.Sprint(first, err)) }
	l.Append([]Record{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("b")}}, done)
	l.Append([]Record{{Key: []byte("a"), Value: []byte{}}}, done)
	if got := replayed(t, l); got != nil {
		t.Fatalf("read what is not durable: %q", got)
	}
	w.Complete(1)
	if got, want := replayed(t, l), []string{"0 a=1 by -1", "1 b=tombstone by -1"}; !slices.Equal(got, want) {
		t.Fatalf("got %q", got)
	}
	w.Complete(1)
	// A transaction's record tells its producer; its marker comes in its place. Records below the log start are gone.
	txn := batch.NewBuilder(batch.Options{Idempotent: true, ProducerID: 7, Transactional: true, Codec: batch.Zstd})
	txn.Add(batch.Record{Key: []byte("t"), Value: []byte("2")})
	marker := batch.NewBuilder(batch.Options{Idempotent: true, ProducerID: 7, Transactional: true, Control: true})
	marker.Add(batch.Record{Key: []byte{0, 0, 0, 1}, Value: []byte{0, 0, 0, 0, 0, 0}})
	guard, _ := p.Verify(7, 0, -1, false)
	for _, b := range [][]byte{txn.Bytes(), marker.Bytes()} {
		p.Append(partition.AppendRequest{Batch: b, Origin: partition.Coordinator, Guard: guard}, func(r partition.AppendResult) { done(r.Base, r.Err) })
	}
	w.Complete(2)
	if got, want := replayed(t, l)[2:], []string{"2 a= by -1", "3 t=2 by 7", "4 =marker true 0 by 7"}; !slices.Equal(got, want) {
		t.Fatalf("got %q", got)
	}
	if err := data.Trim(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if got := replayed(t, l)[0]; got != "1 b=tombstone by -1" {
		t.Fatalf("got %q", got)
	}
	w.Fail(base.Errorf(base.Failed, "disk"))
	l.Append([]Record{{Key: []byte("x")}}, done)
	w.Complete(1)
	if len(ends) != 5 || ends[0] != "0 <nil>" || ends[1] != "2 <nil>" || ends[2] != "3 <nil>" || ends[4][:2] != "-1" {
		t.Fatalf("appends ended %q", ends)
	}
}

// What the partition's fences refuse is told as refused, and was not written; what it takes is replayed with its producer.
func TestPartitionLogOfTransactions(t *testing.T) {
	w := &memlog.WAL{}
	p := openPartition(t, w.New(0), w.New(0))
	l := NewPartitionLog(p, PartitionLogOptions{})
	var ends []string
	add := func(a Append) {
		l.AppendTxn(a, func(first base.Offset, err error) { ends = append(ends, fmt.Sprint(first, " ", err)) })
	}
	one := []Record{{Key: []byte("a"), Value: []byte("1")}}
	add(Append{Records: one, Producer: &Producer{ID: 7, Epoch: 1}})
	guard, _ := p.Verify(7, 1, -1, true)
	add(Append{Records: one, Producer: &Producer{ID: 7, Epoch: 1, Guard: guard}})
	add(Append{Records: one, Producer: &Producer{ID: 7, Epoch: 0}})
	add(Append{Marker: &Marker{ProducerID: 7, Epoch: 1, CoordinatorEpoch: 3, TransactionVersion: 2}})
	add(Append{Marker: &Marker{ProducerID: 7, Epoch: 2, CoordinatorEpoch: 3, TransactionVersion: 2, Commit: true}})
	add(Append{Marker: &Marker{ProducerID: 7, Epoch: 2, CoordinatorEpoch: 2}})
	w.Complete(9)
	want := []string{"-1 refused: INVALID_TXN_STATE", "-1 refused: INVALID_PRODUCER_EPOCH", "-1 refused: INVALID_PRODUCER_EPOCH", "-1 refused: TRANSACTION_COORDINATOR_FENCED", "0 <nil>", "1 <nil>"}
	if !slices.Equal(ends, want) {
		t.Fatalf("appends ended %q", ends)
	}
	if got, want := replayed(t, l), []string{"0 a=1 by 7", "1 =marker true 3 by 7"}; !slices.Equal(got, want) {
		t.Fatalf("got %q", got)
	}
	w.Fail(base.Errorf(base.Failed, "disk"))
	add(Append{Marker: &Marker{ProducerID: 7, Epoch: 2, CoordinatorEpoch: 3}})
	w.Complete(1)
	if strings.Contains(ends[6], "refused") {
		t.Fatalf("a failed append may have been written: %q", ends[6])
	}
}

// TestReplayOverGaps: what a compaction has removed is stepped over, at the start too, and an emptied batch is no end.
func TestReplayOverGaps(t *testing.T) {
	var w memlog.WAL
	data, meta := w.New(0), w.New(0)
	l := NewPartitionLog(openPartition(t, data, meta), PartitionLogOptions{})
	for _, k := range []string{"a", "a", "b", "a", "c", "c"} {
		l.Append([]Record{{Key: []byte(k), Value: []byte(k)}}, func(base.Offset, error) {})
	}
	w.Complete(6)
	data.Compact(func(r stream.AppendRecord) *stream.AppendRecord {
		switch r.Base {
		case 0, 1, 4:
			return nil
		case 5:
			b := batch.NewBuilder(batch.Options{BaseOffset: 5})
			b.ExtendTo(0)
			r.Data = b.Bytes()
		}
		return &r
	})
	if got, want := replayed(t, l), []string{"2 b=b by -1", "3 a=a by -1"}; !slices.Equal(got, want) {
		t.Fatalf("got %q", got)
	}
}

func TestAppendsWaitForAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w memlog.WAL
		p := openPartition(t, w.New(0), w.New(0))
		room := make(chan struct{})
		l := NewPartitionLog(p, PartitionLogOptions{Admit: func(ctx context.Context, bytes int) error {
			select {
			case <-room:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}})
		var ends []error
		for i := range 3 {
			l.Append([]Record{{Key: []byte{byte(i)}}}, func(_ base.Offset, err error) { ends = append(ends, err) })
		}
		room <- struct{}{}
		synctest.Wait()
		if n := w.Pending(); n != 1 {
			t.Fatalf("%d appended, one was admitted", n)
		}
		w.Complete(1)
		l.Stop()
		l.Wait()
		if len(ends) != 3 || ends[0] != nil || !errors.Is(ends[1], context.Canceled) || !errors.Is(ends[2], context.Canceled) {
			t.Fatalf("appends ended %v", ends)
		}
	})
}
