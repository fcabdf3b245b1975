package group

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"sluice/broker/coord"
	"sluice/broker/txn"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// asking is a client of transaction coordinators that answers what the test says.
type asking struct {
	answers []func() kerr.Code
	asked   []txn.AddPartitions
}

func (a *asking) AddPartitions(_ context.Context, r txn.AddPartitions, done func([]kerr.Code)) {
	a.asked = append(a.asked, r)
	answer := a.answers[0]
	a.answers = a.answers[1:]
	done(slices.Repeat([]kerr.Code{answer()}, len(r.Partitions)))
}

func TestTxnOffsetCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		a := &asking{}
		s.c.opt.Txns = a
		commit := func(version int16, epoch int16, answers ...func() kerr.Code) kerr.Code {
			t.Helper()
			a.answers, a.asked = answers, nil
			var r reply[msg.TxnOffsetCommitResponse]
			s.c.TxnOffsetCommit(t.Context(), CallInfo{Version: version}, &msg.TxnOffsetCommitRequest{
				TransactionalId: "x", GroupId: "g", ProducerId: 7, ProducerEpoch: epoch, GenerationId: -1,
				Topics: []msg.TxnOffsetCommitRequestTxnOffsetCommitRequestTopic{{Name: "t", Partitions: []msg.TxnOffsetCommitRequestTxnOffsetCommitRequestPartition{{CommittedOffset: 5}}}},
			}, r.take)
			for range 5 {
				synctest.Wait()
				s.wal.Complete(9)
			}
			return kerr.Code(r.response(t).Topics[0].Partitions[0].ErrorCode)
		}
		end := func(epoch int16, commit bool) kerr.Code {
			got := make(chan kerr.Code, 1)
			s.c.EndTransaction(0, coord.Marker{ProducerID: 7, Epoch: epoch, Commit: commit}, func(c kerr.Code) { got <- c })
			synctest.Wait()
			s.wal.Complete(9)
			return <-got
		}
		say := func(c kerr.Code) func() kerr.Code { return func() kerr.Code { return c } }
		for _, tc := range []struct {
			version      int16
			answer, want kerr.Code
		}{
			{3, kerr.TransactionAbortable, kerr.InvalidTxnState}, {4, kerr.TransactionAbortable, kerr.TransactionAbortable},
			{1, kerr.NetworkException, kerr.CoordinatorNotAvailable}, {5, kerr.NetworkException, kerr.CoordinatorLoadInProgress},
			{5, kerr.ConcurrentTransactions, kerr.ConcurrentTransactions},
		} {
			if got := commit(tc.version, 0, say(tc.answer)); got != tc.want || a.asked[0].VerifyOnly != (tc.version < 5) {
				t.Fatalf("version %d, %v: %v, asked %+v", tc.version, tc.answer, got, a.asked)
			}
		}
		if got := commit(4, 0, say(kerr.None)); got != kerr.None {
			t.Fatal(got)
		}
		if got := commit(4, 0); got != kerr.None || len(a.asked) != 0 {
			t.Fatal("the transaction is open: nobody has to be asked", got, a.asked)
		}
		s.crash()
		if got := end(0, true); got != kerr.None {
			t.Fatal(got)
		}
		r := make(chan any, 1)
		s.c.host.Submit("g", coord.Call{Command: &fetchCommand{group: "g", all: true}, Reply: func(v any) { r <- v }, Fail: func(c kerr.Code) { r <- c }})
		if f := (<-r).(fetchResult); len(f.offsets) != 1 || f.offsets[0].offset != 5 {
			t.Fatalf("%+v", f)
		}
		took := func() kerr.Code { // the marker of the transaction before comes while the coordinator is asked
			end(0, false)
			return kerr.None
		}
		if got := commit(5, 0, took, say(kerr.None)); got != kerr.None || len(a.asked) != 2 {
			t.Fatal("a marker took the guard away", got, len(a.asked))
		}
	})
}

// TestTxnOffsetCommitWithoutAGroup: each partition is refused, and no transaction is asked for.
func TestTxnOffsetCommitWithoutAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		a := &asking{}
		s.c.opt.Txns = a
		var r reply[msg.TxnOffsetCommitResponse]
		type part = msg.TxnOffsetCommitRequestTxnOffsetCommitRequestPartition
		s.c.TxnOffsetCommit(t.Context(), CallInfo{Version: 5}, &msg.TxnOffsetCommitRequest{
			TransactionalId: "x", ProducerId: 7, GenerationId: -1,
			Topics: []msg.TxnOffsetCommitRequestTxnOffsetCommitRequestTopic{{Name: "t", Partitions: []part{{CommittedOffset: 5}, {PartitionIndex: 1}}}},
		}, r.take)
		for _, p := range r.response(t).Topics[0].Partitions {
			if code := kerr.Code(p.ErrorCode); code != kerr.InvalidGroupID {
				t.Errorf("partition %d: %v", p.PartitionIndex, code)
			}
		}
		if len(a.asked) != 0 {
			t.Error(a.asked)
		}
	})
}
