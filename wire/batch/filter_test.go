package batch

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestFilter: what is kept keeps offset, timestamp, key, value and headers, through all codecs and both kinds of timestamps; the batch keeps its
// range and its producer; a tombstone gives it a delete horizon once.
func TestFilter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opt := Options{
			BaseOffset: rapid.Int64Range(0, 1000).Draw(t, "base"), LeaderEpoch: 3, Codec: Codec(rapid.IntRange(0, 4).Draw(t, "codec")),
			Idempotent: rapid.Bool().Draw(t, "idempotent"), ProducerID: 5, ProducerEpoch: 1, BaseSequence: 9,
			Transactional: rapid.Bool().Draw(t, "transactional"), HasDeleteHorizon: rapid.Bool().Draw(t, "horizon"), DeleteHorizon: 77,
		}
		b := NewBuilder(opt)
		var want []string
		keep := map[int32]bool{}
		delta, maxTS, tombstone, n := int32(-1), NoTimestamp, false, rapid.IntRange(0, 8).Draw(t, "records")
		for range n {
			delta += int32(rapid.IntRange(1, 3).Draw(t, "gap"))
			r := Record{OffsetDelta: delta, Timestamp: rapid.Int64Range(0, 1<<40).Draw(t, "ts"), Key: []byte("k"), Headers: []Header{{"h", nil}}}
			if rapid.Bool().Draw(t, "value") {
				r.Value = bytes.Repeat([]byte("v"), rapid.IntRange(0, 40).Draw(t, "size"))
			}
			b.AddAt(r)
			if keep[delta] = rapid.Bool().Draw(t, "keep"); keep[delta] {
				want = append(want, fmt.Sprint(r))
				maxTS, tombstone = max(maxTS, r.Timestamp), tombstone || r.Value == nil
			}
		}
		b.ExtendTo(delta + int32(rapid.IntRange(0, 2).Draw(t, "tail")))
		if b.last < 0 {
			b.ExtendTo(0)
		}
		in := b.Batch()
		logAppend := rapid.Bool().Draw(t, "log append time")
		if logAppend {
			in.SetLogAppendTime(1234)
		}
		always, horizon := rapid.Bool().Draw(t, "always"), rapid.SampledFrom([]int64{99, NoTimestamp}).Draw(t, "new horizon")
		before := bytes.Clone(in.Bytes())
		f, err := in.Filter(func(r *Record) bool { return keep[r.OffsetDelta] }, horizon, always)
		if err != nil || f.Kept != len(want) || f.Kept+f.Dropped != n || !bytes.Equal(before, in.Bytes()) {
			t.Fatal(f, err)
		}
		if f.Kept == 0 {
			if f.Batch.b != nil || !f.Changed {
				t.Fatal("a batch without records")
			}
			checkRange(t, in, in.Emptied())
			if e := in.Emptied(); e.NumRecords() != 0 || e.Len() != HeaderBytes || e.MaxTimestamp() != in.MaxTimestamp() || e.FirstTimestamp() != NoTimestamp || e.HasDeleteHorizon() {
				t.Fatalf("%+v", e)
			}
			return
		}
		out := f.Batch
		checkRange(t, in, out)
		wantHorizon := in.HasDeleteHorizon() || horizon == 99 && (tombstone || always)
		if out.HasDeleteHorizon() != wantHorizon || out.Codec() != in.Codec() {
			t.Fatal("horizon or codec")
		}
		if at := out.FirstTimestamp(); in.HasDeleteHorizon() && at != 77 || !in.HasDeleteHorizon() && wantHorizon && at != 99 {
			t.Fatalf("horizon at %d", at)
		}
		if f.Changed != (f.Dropped > 0 || wantHorizon && !in.HasDeleteHorizon()) || !f.Changed && &out.b[0] != &in.b[0] {
			t.Fatal("changed", f.Changed)
		}
		if logAppend {
			maxTS = 1234
		}
		if f.Dropped > 0 && out.MaxTimestamp() != maxTS {
			t.Fatalf("max timestamp %d, want %d", out.MaxTimestamp(), maxTS)
		}
		var got []string
		for r, err := range out.Records(Limits{}) {
			if err != nil {
				t.Fatal(err)
			}
			if logAppend && r.Timestamp != 1234 {
				t.Fatal(r.Timestamp)
			}
			got = append(got, fmt.Sprint(r))
		}
		if !logAppend && fmt.Sprint(got) != fmt.Sprint(want) || len(got) != len(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func checkRange(t *rapid.T, in, out Batch) {
	if err := out.Check(); err != nil {
		t.Fatal(err)
	}
	if out.BaseOffset() != in.BaseOffset() || out.LastOffset() != in.LastOffset() || out.ProducerID() != in.ProducerID() || out.ProducerEpoch() != in.ProducerEpoch() ||
		out.BaseSequence() != in.BaseSequence() || out.LastSequence() != in.LastSequence() || out.LeaderEpoch() != in.LeaderEpoch() || out.IsTransactional() != in.IsTransactional() ||
		out.IsControl() != in.IsControl() || out.TimestampType() != in.TimestampType() {
		t.Fatalf("header changed: %v, was %v", out.Bytes()[:HeaderBytes], in.Bytes()[:HeaderBytes])
	}
}
