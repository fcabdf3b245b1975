package partition

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/broker/partition/memlog"
	"sluice/storage/stream"
	"sluice/wire/batch"
)

// kept is a record that a compaction has left.
type kept struct {
	offset base.Offset
	ts     int64
}

// compactAtRandom removes batches, empties them, or removes some of their records, all but the last batch, and returns what is left.
func compactAtRandom(t *rapid.T, l *memlog.Log, batches int) (left []kept) {
	n := 0
	l.Compact(func(r stream.AppendRecord) *stream.AppendRecord {
		n++
		old, _, err := batch.Parse(r.Data)
		if err != nil {
			t.Fatal(err)
		}
		what := rapid.SampledFrom([]string{"keep", "keep", "remove", "remove", "remove", "empty", "some"}).Draw(t, "what becomes of the batch")
		if what == "remove" && n < batches {
			return nil
		}
		b := batch.NewBuilder(batch.Options{BaseOffset: old.BaseOffset(), LeaderEpoch: old.LeaderEpoch(), Idempotent: old.ProducerID() >= 0, ProducerID: old.ProducerID(), ProducerEpoch: old.ProducerEpoch(),
			BaseSequence: old.BaseSequence()})
		r.MaxTimestamp = -1
		for rec, err := range old.Records(batch.Limits{}) {
			if err != nil {
				t.Fatal(err)
			}
			if what == "empty" || what == "some" && rapid.Bool().Draw(t, "remove the record") {
				continue
			}
			b.AddAt(rec)
			r.MaxTimestamp = max(r.MaxTimestamp, rec.Timestamp)
			left = append(left, kept{base.Offset(old.BaseOffset()) + base.Offset(rec.OffsetDelta), rec.Timestamp})
		}
		b.ExtendTo(old.LastOffsetDelta())
		r.Data = b.Bytes()
		return &r
	})
	return left
}

// TestGaps: a partition whose log has gaps of offsets, batches that were emptied and batches that lost records opens with the same producer
// state, and is read, searched by time and trimmed at every offset as if the missing records had never been.
func TestGaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFixture(t, map[string]string{"cleanup.policy": "compact,delete"})
		n := rapid.IntRange(1, 12).Draw(t, "batches")
		for i := range n {
			b := batch.NewBuilder(idempotent(1, 0, int32(100*i)))
			for k := range rapid.IntRange(1, 3).Draw(t, "records") {
				b.Add(batch.Record{Timestamp: testNow + int64(rapid.IntRange(0, 9).Draw(t, "ts")), Key: fmt.Append(nil, k)})
			}
			if res := f.sendReq(AppendRequest{Batch: b.Bytes(), Origin: Coordinator}); res.Err != nil {
				t.Fatal(res.Err)
			}
		}
		f.wal.Complete(1 << 20)
		defer f.wal.Auto()()
		left := compactAtRandom(t, f.data, n)
		f.epoch++
		f.open(t)
		if p := f.p.mu.producers.byID[1]; p == nil || p.batches[p.n-1].last != f.p.mu.next-1 {
			t.Fatalf("the producer's last batch is not known: %+v", p)
		}
		checkGaps(t, f, left, 0)
		start := base.Offset(rapid.Int64Range(0, int64(f.p.mu.hw)).Draw(t, "start"))
		if got, err := f.p.DeleteRecords(ctx, start); err != nil || got != start {
			t.Fatal(got, err)
		}
		checkGaps(t, f, left, start)
	})
}

func checkGaps(t *rapid.T, f *fixture, left []kept, start base.Offset) {
	recs := f.data.Records()
	for at := start; at < f.p.mu.hw; at++ {
		res, err := f.p.Read(ctx, ReadRequest{From: at, MaxBytes: 1, MinOne: true, LeaderEpoch: NoEpoch, LastEpoch: NoEpoch})
		if err != nil || res.Chunk == nil {
			t.Fatalf("read at %d: %v %v", at, res.Chunk, err)
		}
		want := recs[0]
		for _, r := range recs {
			if want = r; r.Base+base.Offset(r.Count) > at {
				break
			}
		}
		if res.Chunk.Start != want.Base || res.Chunk.Bytes != len(want.Data) {
			t.Fatalf("read at %d gives [%d, %d), want %d", at, res.Chunk.Start, res.Chunk.End, want.Base)
		}
		res.Chunk.Release()
	}
	best := Found{-1, -1, NoEpoch}
	for _, k := range left {
		if k.offset >= start && k.ts > best.Timestamp {
			best = Found{k.offset, k.ts, 2}
		}
	}
	if got, err := f.p.ListOffset(ctx, MaxTimestampOffset, ReadUncommitted, NoEpoch); err != nil || got != best {
		t.Fatalf("largest timestamp: %+v %v, want %+v", got, err, best)
	}
	for ts := testNow; ts < testNow+11; ts++ {
		want := Found{-1, -1, NoEpoch}
		for _, k := range left {
			if k.offset >= start && k.ts >= ts {
				want = Found{k.offset, k.ts, 2}
				break
			}
		}
		if got, err := f.p.ListOffset(ctx, ts, ReadUncommitted, NoEpoch); err != nil || got != want {
			t.Fatalf("time %d: %+v %v, want %+v", ts, got, err, want)
		}
	}
	if got, err := f.p.ListOffset(ctx, EarliestOffset, ReadUncommitted, NoEpoch); err != nil || got.Offset != start {
		t.Fatal(got, err)
	}
	if got, err := f.p.EpochEnd(NoEpoch, 2); err != nil || got != (EpochOffset{2, f.p.mu.hw}) {
		t.Fatal(got, err)
	}
}

func TestMaxTimestampOfARemovedRecord(t *testing.T) {
	// The index still names a record that a compaction has removed meanwhile: what lies on both sides of it counts.
	for _, largest := range []int{1, 3} {
		f := newFixture(t, map[string]string{"cleanup.policy": "compact"})
		for i := range 5 {
			b := batch.NewBuilder(batch.Options{})
			ts := map[int]int64{2: 100, largest: 50}[i]
			b.Add(batch.Record{Timestamp: testNow + ts, Key: []byte("k")})
			f.send(b.Bytes())
		}
		f.wal.Complete(5)
		f.data.Compact(func(r stream.AppendRecord) *stream.AppendRecord {
			if r.Base == 2 {
				b := batch.NewBuilder(batch.Options{BaseOffset: 2, LeaderEpoch: 2})
				b.ExtendTo(0)
				r.Data = b.Bytes() // emptied, but MaxTimestamp stays
			}
			return &r
		})
		if got, err := f.p.ListOffset(ctx, MaxTimestampOffset, ReadUncommitted, NoEpoch); err != nil || got.Offset != base.Offset(largest) {
			t.Fatal(got, err)
		}
	}
}
