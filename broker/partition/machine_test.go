package partition

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/wire/batch"
	"sluice/wire/kerr"
)

func TestSequencesWrap(t *testing.T) {
	for _, tc := range []struct {
		last, next int32
		want       bool
	}{{-1, 0, true}, {0, 1, true}, {0, 2, false}, {1<<31 - 1, 0, true}, {7, 0, false}, {7, 7, false}} {
		if follows(tc.last, tc.next) != tc.want {
			t.Errorf("%d after %d: want %v", tc.next, tc.last, tc.want)
		}
	}
}

func TestProducerStory(t *testing.T) {
	s := newProducers()
	next := base.Offset(0)
	send := func(epoch int16, first, count int32, transactional bool) (*keptBatch, *kerr.Error) {
		b := batchInfo{producerID: 7, epoch: epoch, firstSeq: first, lastSeq: batch.AddSequence(first, count-1), base: next, last: next + base.Offset(count) - 1, transactional: transactional}
		dup, err := s.check(&b)
		if dup == nil && err == nil {
			s.apply(&b, 1)
			next = b.last + 1
		}
		return dup, err
	}
	want := func(what string, epoch int16, first, count int32, code kerr.Code, dupBase base.Offset) {
		t.Helper()
		dup, err := send(epoch, first, count, false)
		got := base.Offset(-1)
		if dup != nil {
			got = dup.base
		}
		if err != nil && err.Code != code || err == nil && code != kerr.None || got != dupBase {
			t.Fatalf("%s: %v, duplicate of %d", what, err, got)
		}
	}
	want("an unknown producer may start anywhere", 0, 100, 10, kerr.None, -1)
	want("a gap", 0, 111, 1, kerr.OutOfOrderSequenceNumber, -1)
	want("a retry", 0, 100, 10, kerr.None, 0)
	want("half of a retry", 0, 100, 5, kerr.OutOfOrderSequenceNumber, -1)
	for i := range int32(5) {
		want("the next five", 0, 110+i, 1, kerr.None, -1)
	}
	want("the sixth-last", 0, 100, 10, kerr.OutOfOrderSequenceNumber, -1)
	want("the fifth-last", 0, 110, 1, kerr.None, 10)
	want("a new epoch that does not start at 0", 1, 115, 1, kerr.OutOfOrderSequenceNumber, -1)
	want("a new epoch", 1, 0, 1, kerr.None, -1)
	want("the old epoch", 0, 115, 1, kerr.InvalidProducerEpoch, -1)
	want("a retry under the new epoch", 1, 0, 1, kerr.None, 15)
	if n := s.expire(0); n != 0 {
		t.Fatal("expired too early")
	}
	if n := s.expire(1); n != 1 || len(s.byID) != 0 {
		t.Fatal("not expired")
	}
}

func TestOpenTransactionRefusesOthersAndDoesNotExpire(t *testing.T) {
	s := newProducers()
	b := batchInfo{producerID: 1, firstSeq: 0, lastSeq: 0, transactional: true}
	s.apply(&b, 1)
	s.stable(1)
	if _, err := s.check(&batchInfo{producerID: 1, firstSeq: 1, lastSeq: 1}); err == nil || err.Code != kerr.InvalidTxnState {
		t.Fatal(err)
	}
	if s.expire(100) != 0 || s.stable(1) != 0 {
		t.Fatal("open transaction was forgotten")
	}
}

// event is a random batch of a random producer, or a marker.
func drawLog(t *rapid.T) []batchInfo {
	n := rapid.IntRange(0, 60).Draw(t, "batches")
	s, next := newProducers(), base.Offset(rapid.IntRange(0, 1000).Draw(t, "start"))
	var log []batchInfo
	for range n {
		id := rapid.Int64Range(1, 4).Draw(t, "producer")
		b := batchInfo{producerID: id, base: next, maxTimestamp: rapid.Int64Range(-1, 100).Draw(t, "ts"), coordinator: rapid.Int32Range(3, 4).Draw(t, "coordinator")}
		p := s.byID[id]
		if p != nil {
			b.epoch, b.firstSeq = p.epoch, batch.AddSequence(p.lastSeq(), 1)
			if p.n == 0 {
				b.firstSeq = 0
			}
		} else {
			b.firstSeq = rapid.SampledFrom([]int32{0, 17, 1<<31 - 2}).Draw(t, "first")
		}
		count := rapid.Int32Range(1, 4).Draw(t, "count")
		switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
		case kind < 3 && p != nil && (p.txnFirst >= 0 || kind == 2):
			count = 1
			b.marker, b.commit, b.firstSeq, b.lastSeq, b.transactional = true, kind == 0, noSequence, noSequence, true
			b.v2 = rapid.Bool().Draw(t, "v2")
			if b.v2 {
				b.epoch++
			}
			b.coordinator = max(b.coordinator, p.coordinator)
			if err := s.checkCoordinator(&b); err != nil {
				t.Fatalf("own marker %+v refused: %v", b, err)
			}
		case kind == 3 && p != nil && p.txnFirst < 0:
			b.epoch, b.firstSeq = p.epoch+1, 0
		}
		b.last = next + base.Offset(count) - 1
		if !b.marker {
			b.lastSeq = batch.AddSequence(b.firstSeq, count-1)
			b.transactional = p != nil && p.txnFirst >= 0 || rapid.IntRange(0, 2).Draw(t, "txn") == 0
			if b.transactional {
				b.guard, _ = s.verify(id, b.epoch, b.firstSeq, false, 1)
			}
			if dup, err := s.check(&b); err != nil || dup != nil && b.firstSeq != 0 {
				t.Fatalf("own batch %+v refused: %v, %v", b, dup, err)
			} else if dup != nil {
				continue
			}
		}
		s.apply(&b, 1)
		log, next = append(log, b), b.last+1
	}
	return log
}

func replayed(log []batchInfo) *producers {
	s := newProducers()
	for i := range log {
		s.apply(&log[i], 1)
	}
	return s
}

// TestSnapshotAndReplayEqualReplay is invariant 4: a snapshot anywhere, read back, and the batches behind it give the same state.
func TestSnapshotAndReplayEqualReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		cut := rapid.IntRange(0, len(log)).Draw(t, "cut")
		end := base.Offset(7)
		if cut > 0 {
			end = log[cut-1].last + 1
		}
		var r snapshotReader
		if rapid.Bool().Draw(t, "torn one before") {
			parts := appendSnapshot(replayed(log[:cut/2]), 3, 1)
			parts = append(parts, appendSnapshot(newProducers(), 1, 1)...)
			for _, b := range parts[:rapid.IntRange(0, len(parts)).Draw(t, "torn")] {
				if err := r.add(b); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, b := range appendSnapshot(replayed(log[:cut]), end, 5) {
			part, rest, err := cutSnapshotPart(append(b, 1, 2, 3))
			if err != nil || len(rest) != 3 {
				t.Fatal(err)
			}
			if err := r.add(part); err != nil {
				t.Fatal(err)
			}
		}
		if !r.ended || r.end != end {
			t.Fatalf("not complete: %+v", r)
		}
		got := r.state
		for i := range log[cut:] {
			got.apply(&log[cut+i], 1)
		}
		want := replayed(log)
		if len(log) > 0 {
			hw := log[len(log)-1].last + 1
			got.stable(hw)
			want.stable(hw)
		}
		if !reflect.DeepEqual(got.byID, want.byID) || !equalTxns(got, want) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	})
}

func equalTxns(a, b *producers) bool {
	return slices.Equal(a.unstable, b.unstable) && slices.EqualFunc(a.aborted, b.aborted, func(a, b abortedTxn) bool {
		a.below, b.below = 0, 0 // two right bounds need not be equal
		return a == b
	})
}

// TestStableOffsetAgainstModel recomputes LSO and the aborted transactions from the whole history.
func TestStableOffsetAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		if len(log) == 0 {
			return
		}
		s := replayed(log)
		end := log[len(log)-1].last + 1
		hw := log[0].base
		for _, b := range log {
			if rapid.Bool().Draw(t, "advance") && b.last+1 > hw {
				hw = b.last + 1
				if got, want := s.stable(hw), modelStable(log, hw); got != want {
					t.Fatalf("hw %d: LSO %d, want %d", hw, got, want)
				}
			}
		}
		from := rapid.Int64Range(int64(log[0].base), int64(end)).Draw(t, "from")
		to := rapid.Int64Range(from, int64(end)).Draw(t, "to")
		got := s.abortedIn(base.Offset(from), base.Offset(to))
		if want := modelAborted(log, base.Offset(from), base.Offset(to)); !reflect.DeepEqual(got, want) {
			t.Fatalf("aborted in [%d, %d): %v, want %v", from, to, got, want)
		}
		s.trim(base.Offset(from))
		if again := s.abortedIn(base.Offset(from), base.Offset(to)); !reflect.DeepEqual(got, again) {
			t.Fatalf("after the trim: %v, want %v", again, got)
		}
	})
}

// txns lists the transactions of a log as (first, marker or -1, aborted).
func txns(log []batchInfo) (out []struct {
	id            int64
	first, marker base.Offset
	aborted       bool
}) {
	for _, b := range log {
		open := -1
		for i, x := range out {
			if x.id == b.producerID && x.marker < 0 {
				open = i
			}
		}
		switch {
		case b.marker && open >= 0:
			out[open].marker, out[open].aborted = b.base, !b.commit
		case !b.marker && b.transactional && open < 0:
			out = append(out, struct {
				id            int64
				first, marker base.Offset
				aborted       bool
			}{b.producerID, b.base, -1, false})
		}
	}
	return out
}

func modelStable(log []batchInfo, hw base.Offset) base.Offset {
	lso := hw
	for _, x := range txns(log) {
		if x.marker < 0 || x.marker >= hw {
			lso = min(lso, x.first)
		}
	}
	return lso
}

func modelAborted(log []batchInfo, from, to base.Offset) (out []AbortedTxn) {
	for _, x := range txns(log) {
		if x.aborted && x.marker >= from && x.first < to {
			out = append(out, AbortedTxn{x.id, x.first})
		}
	}
	return out
}

func TestSnapshotIsSplit(t *testing.T) {
	s := newProducers()
	for i := range int64(20000) {
		s.apply(&batchInfo{producerID: i, firstSeq: 0, lastSeq: 0, base: base.Offset(i), last: base.Offset(i)}, i)
	}
	parts := appendSnapshot(s, 20000, 1)
	if len(parts) < 3 {
		t.Fatal(len(parts))
	}
	var r snapshotReader
	for _, b := range parts {
		if len(b) > snapshotPartMax+1024 {
			t.Fatal(len(b))
		}
		if err := r.add(b); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(r.state.byID, s.byID) {
		t.Fatal("not the same")
	}
}

func FuzzSnapshot(f *testing.F) {
	s := newProducers()
	s.apply(&batchInfo{producerID: 1, firstSeq: 0, lastSeq: 2, base: 5, last: 7, transactional: true}, 9)
	f.Add(appendSnapshot(s, 8, 1)[0])
	f.Fuzz(func(t *testing.T, b []byte) {
		part, _, err := cutSnapshotPart(b)
		if err != nil {
			return
		}
		var r snapshotReader
		if err := r.add(part); err != nil && base.KindOf(err) != base.Corrupt {
			t.Fatal(err)
		}
	})
}
