package partition

import (
	"testing"

	"sluice/base"
	"sluice/wire/batch"
	"sluice/wire/kerr"
)

func inTxn(id int64, epoch int16, seq int32) batch.Options {
	o := idempotent(id, epoch, seq)
	o.Transactional = true
	return o
}

func TestFirstBatchOfATransactionNeedsItsGuard(t *testing.T) {
	f := newFixture(t, nil)
	send := func(seq int32, g Guard) *AppendResult {
		res := f.sendReq(AppendRequest{Batch: records(1, inTxn(1, 0, seq)), Version: 11, Transactional: true, Guard: g})
		f.wal.Complete(1)
		return res
	}
	wantCode(t, "nobody was asked", send(0, 0).Err, kerr.InvalidTxnState)
	old, needed := f.p.Verify(1, 0, 0, false)
	if again, _ := f.p.Verify(1, 0, 0, false); !needed || again != old {
		t.Fatal("two batches that are verified at once have one guard", old, again)
	}
	f.sendReq(marker(1, 0, 3, false)) // the coordinator was asked, then the transaction ended, then the batch comes
	f.wal.Complete(1)
	wantCode(t, "a marker came in between", send(0, old).Err, kerr.InvalidTxnState)
	g, _ := f.p.Verify(1, 0, 0, false)
	wantCode(t, "the guard of a verification before", send(0, old).Err, kerr.InvalidTxnState)
	wantCode(t, "no guard", send(0, 0).Err, kerr.InvalidTxnState)
	wantCode(t, "verified", send(0, g).Err, kerr.None)
	if _, needed := f.p.Verify(1, 0, 1, false); needed {
		t.Fatal("the transaction is open here")
	}
	wantCode(t, "the second batch", send(1, 0).Err, kerr.None)
	f.sendReq(marker(1, 0, 3, true))
	f.wal.Complete(1)
	wantCode(t, "the next transaction", send(2, g).Err, kerr.InvalidTxnState)
	wantCode(t, "a retry of what was committed", send(1, 0).Err, kerr.None)
}

func TestVerificationHoldsBackLaterSequences(t *testing.T) {
	f := newFixture(t, nil)
	send := func(epoch int16, seq int32, g Guard) *AppendResult {
		return f.sendReq(AppendRequest{Batch: records(1, inTxn(1, epoch, seq)), Version: 11, Transactional: true, Guard: g})
	}
	g, _ := f.p.Verify(1, 0, 5, false)
	wantCode(t, "the second of two, the first of which could not be verified", send(0, 6, g).Err, kerr.OutOfOrderSequenceNumber)
	if again, _ := f.p.Verify(1, 0, 4, false); again != g {
		t.Fatal("another guard")
	}
	wantCode(t, "a lower one was seen since", send(0, 5, g).Err, kerr.OutOfOrderSequenceNumber)
	f.p.Verify(1, 1, 0, false)
	wantCode(t, "a new epoch begins anew", send(1, 0, g).Err, kerr.None)

	g, _ = f.p.Verify(2, 0, 3, true)
	res := f.sendReq(AppendRequest{Batch: records(1, inTxn(2, 0, 3)), Version: 12, Transactional: true, Guard: g})
	wantCode(t, "transactions v2 must start at 0", res.Err, kerr.OutOfOrderSequenceNumber)
	g, _ = f.p.Verify(2, 0, 0, true)
	res = f.sendReq(AppendRequest{Batch: records(1, inTxn(2, 0, 0)), Version: 12, Transactional: true, Guard: g})
	wantCode(t, "so it does", res.Err, kerr.None)
}

func TestMarkersAreFenced(t *testing.T) {
	f := newFixture(t, nil)
	f.sendReq(f.verified(records(1, inTxn(1, 5, 0))))
	for _, tc := range []struct {
		what string
		req  AppendRequest
		v    int8
		code kerr.Code
	}{
		{"an older producer epoch", marker(1, 4, 3, true), 0, kerr.InvalidProducerEpoch},
		{"v2: the epoch of the open transaction", marker(1, 5, 3, true), 2, kerr.InvalidProducerEpoch},
		{"v2: the next epoch", marker(1, 6, 3, true), 2, kerr.None},
		{"v2: the same once more", marker(1, 6, 3, true), 2, kerr.None},
		{"an older coordinator", marker(1, 6, 2, true), 0, kerr.TransactionCoordinatorFenced},
		{"a newer coordinator", marker(1, 6, 4, false), 0, kerr.None},
		{"the old one again", marker(1, 6, 3, true), 0, kerr.TransactionCoordinatorFenced},
		{"a coordinator's epoch that none has", marker(2, 0, -2, true), 0, kerr.TransactionCoordinatorFenced},
		{"a producer that is not known here", marker(2, 0, 1, true), 2, kerr.None},
	} {
		tc.req.TransactionVersion = tc.v
		res := f.sendReq(tc.req)
		f.wal.Complete(9)
		wantCode(t, tc.what, res.Err, tc.code)
	}
	wantCode(t, "a batch from before the marker", f.sendReq(f.verified(records(1, inTxn(1, 5, 1)))).Err, kerr.InvalidProducerEpoch)
	got := f.p.Producers()
	want := []ProducerState{{1, 6, -1, testNow, 4, -1}, {2, 0, -1, testNow, 1, -1}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Fatal(got)
	}
	_, hw, lso, _ := f.p.Bounds()
	if lso != hw || len(f.p.Aborted(0, hw)) != 0 {
		t.Fatal(hw, lso, f.p.Aborted(0, hw))
	}
}

func TestCoordinatorAppendsForProducers(t *testing.T) {
	f := newFixture(t, nil)
	opt := inTxn(1, 5, -1)
	send := func(g Guard) *AppendResult {
		res := f.sendReq(AppendRequest{Batch: records(2, opt), Origin: Coordinator, Guard: g})
		f.wal.Complete(1)
		return res
	}
	wantCode(t, "nobody was asked", send(0).Err, kerr.InvalidTxnState)
	g, needed := f.p.Verify(1, 5, -1, true)
	if !needed {
		t.Fatal("not needed")
	}
	wantCode(t, "verified", send(g).Err, kerr.None)
	wantCode(t, "without a sequence nothing is a retry", send(0).Err, kerr.None)
	opt.ProducerEpoch = 4
	wantCode(t, "an older epoch", send(0).Err, kerr.InvalidProducerEpoch)
	if got := f.p.Producers(); got[0] != (ProducerState{1, 5, -1, testNow + 1, -1, 0}) {
		t.Fatal(got)
	}
	if f.p.LateTransaction(1000) {
		t.Fatal("late already")
	}
	f.p.opt.Now = later(1000 + lateTransactionSlackMS + 2)
	if !f.p.LateTransaction(1000) {
		t.Fatal("not late")
	}
	if f.p.ExpireProducers(1) != 0 {
		t.Fatal("the open transaction is forgotten")
	}
	f.sendReq(marker(1, 5, 0, true))
	f.wal.Complete(1)
	if f.p.LateTransaction(1000) {
		t.Fatal("late, and over")
	}
	f.p.Verify(9, 0, 0, false)
	f.p.opt.Now = later(1 << 40)
	if f.p.ExpireProducers(1) != 1 || len(f.p.mu.producers.verifying) != 0 {
		t.Fatal("not expired")
	}
}

// A search of the index of aborted transactions ends where no later one can begin below, also when the index was loaded.
func TestAbortedSearchEnds(t *testing.T) {
	s, next := newProducers(), base.Offset(0)
	add := func(b batchInfo) {
		b.base, b.last = next, next
		next++
		s.apply(&b, 1)
	}
	add(batchInfo{producerID: 1, transactional: true})
	for i := range int64(1000) {
		add(batchInfo{producerID: 2 + i, transactional: true})
		add(batchInfo{producerID: 2 + i, marker: true, firstSeq: -1})
		if i == 500 {
			add(batchInfo{producerID: 1, marker: true, firstSeq: -1})
		}
	}
	check := func(s *producers) {
		t.Helper()
		for i, a := range s.aborted {
			for _, later := range s.aborted[i+1:] {
				if later.first < a.below {
					t.Fatalf("%+v comes after %+v", later, a)
				}
			}
		}
		if last := s.aborted[900]; last.below != last.marker+1 {
			t.Fatalf("a search ends late: %+v", last)
		}
		if got := s.abortedIn(0, 1); len(got) != 1 || got[0].ProducerID != 1 {
			t.Fatal(got)
		}
	}
	check(s)
	var r snapshotReader
	for _, p := range appendSnapshot(s, next, 1) {
		if err := r.add(p); err != nil {
			t.Fatal(err)
		}
	}
	check(r.state)
	if n := s.forget(s.abortedSpans(0, 3)); n != 2 || s.pruned != 1 || len(s.aborted) != 999 {
		t.Fatal(n, s.pruned, len(s.aborted))
	}
}

// What a reader of committed records was given was read under an index that knew every aborted transaction in it.
func TestReadAgainWhenTheAbortedIndexWasPruned(t *testing.T) {
	f := newFixture(t, nil)
	f.sendReq(f.verified(records(1, inTxn(1, 0, 0))))
	f.sendReq(marker(1, 0, 0, false))
	f.wal.Complete(9)
	pruning := &pruningLog{Log: f.data, f: f}
	f.p.opt.Data = pruning
	res, err := f.p.Read(ctx, ReadRequest{MaxBytes: 1 << 20, Isolation: ReadCommitted, LeaderEpoch: NoEpoch, LastEpoch: NoEpoch})
	if err != nil || pruning.reads != 2 || res.Chunk == nil {
		t.Fatal(res, err, pruning.reads)
	}
}
