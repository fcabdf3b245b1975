package clean

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/cluster/meta"
	"sluice/wire/batch"
	"sluice/wire/kerr"
)

var always = map[string]string{"min.cleanable.dirty.ratio": "0", "segment.ms": "1", "delete.retention.ms": "100"}

func TestCompacts(t *testing.T) {
	w := newWorld(t, always)
	defer w.close()
	w.write(1, batch.Zstd, "a", "1", "b", "1")
	w.write(1, batch.None, "a", "2", "c", "1")
	w.flush()
	w.write(2, batch.Gzip, "b", "deleted", "d", "1")
	w.write(1, batch.None, "c", "2")
	w.flush()
	w.now += 10
	w.c.Round(ctx)
	if got := w.check(); fmt.Sprint(got) != "map[a:[{2 2}] b:[{4 deleted}] c:[{6 2}] d:[{5 1}]]" || w.cleanedTo() != 7 {
		t.Fatal(got, w.cleanedTo())
	}
	// Nothing is new, nothing is done; a tombstone alone is no reason.
	before := w.img.Pos()
	w.now += 1000
	w.c.Round(ctx)
	if w.img.Pos() != before {
		t.Fatal("an idle log was compacted")
	}
	w.now -= 950 // the tombstone's time is not over
	w.write(1, batch.None, "e", "0")
	w.flush()
	w.now += 10
	w.c.Round(ctx)
	if got := w.check(); fmt.Sprint(got) != "map[a:[{2 2}] b:[{4 deleted}] c:[{6 2}] d:[{5 1}] e:[{7 0}]]" || w.cleanedTo() != 8 {
		t.Fatal(got, w.cleanedTo())
	}
	w.now += 1000
	w.write(1, batch.None, "e", "1")
	w.flush()
	w.now += 10
	w.c.Round(ctx)
	if got := w.check(); fmt.Sprint(got) != "map[a:[{2 2}] c:[{6 2}] d:[{5 1}] e:[{8 1}]]" || w.cleanedTo() != 9 {
		t.Fatal(got, w.cleanedTo())
	}
}

// TestModel: whatever is written, and however small the key map and the objects are, through restarts, moves, trims, and with ranges being merged
// under the compactor's hands: readers see the newest value of every key where it was written, in the end once, and producers go on.
func TestCompactorModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, always)
		defer func() { w.close() }()
		w.opt.MapBytes, w.opt.ObjectBytes, w.opt.ReadBytes = 1, rapid.Int64Range(1, 4000).Draw(t, "object bytes"), rapid.Int64Range(1, 4000).Draw(t, "read bytes")
		w.c.Close()
		w.c = StartCompactor(w.opt)
		left := -1 // commits until the pass is interrupted; negative: it is not
		interrupt := func() {}
		w.between = func(context.Context) {
			for range rapid.IntRange(0, 1).Draw(t, "merges between") {
				w.merge(rapid.IntRange(0, 3).Draw(t, "first"), rapid.IntRange(1, 3).Draw(t, "ranges"))
			}
			if left--; left == -1 {
				interrupt()
			}
		}
		serial := 0
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				var values []string
				for range rapid.IntRange(1, 30).Draw(t, "records") {
					serial++
					v := strconv.Itoa(serial)
					if rapid.IntRange(0, 4).Draw(t, "tombstone") == 0 {
						v = "deleted"
					}
					values = append(values, fmt.Sprint("k", rapid.IntRange(0, 150).Draw(t, "key")), v)
				}
				w.write(rapid.SampledFrom([]int64{-1, 1, 2, transactional, transactional + 1}).Draw(t, "producer"), batch.Codec(rapid.IntRange(0, 4).Draw(t, "codec")), values...)
			},
			"flush": func(*rapid.T) { w.flush() },
			"end": func(t *rapid.T) {
				w.end(rapid.Int64Range(transactional, transactional+1).Draw(t, "producer"), rapid.Bool().Draw(t, "commit"))
			},
			"merge": func(t *rapid.T) {
				w.merge(rapid.IntRange(0, 5).Draw(t, "first"), rapid.IntRange(1, 5).Draw(t, "ranges"))
			},
			"clean": func(t *rapid.T) {
				w.now += rapid.Int64Range(2, 90).Draw(t, "ms")
				var ctx context.Context
				ctx, interrupt = context.WithCancel(context.Background())
				defer interrupt()
				left = rapid.IntRange(-2, 4).Draw(t, "commits")
				w.c.Round(ctx)
				left = -2
				w.check()
			},
			"reopen": func(t *rapid.T) {
				w.c.Close()
				if err := w.p.Stop(ctx); err != nil {
					t.Fatal(err)
				}
				w.flush()
				w.must(&meta.CloseStreams{Node: w.node, Closes: []meta.StreamClose{{Stream: w.open.Data.ID, Epoch: w.open.Data.Epoch, End: w.committed}, {Stream: w.open.Meta.ID, Epoch: w.open.Meta.Epoch}}})
				w.openPartition(w.open.Partition.LeaderEpoch)
			},
		})
		w.between = func(context.Context) {}
		w.end(transactional, true)
		w.end(transactional+1, false)
		w.flush()
		w.now += 1000
		w.c.Round(ctx)
		got := w.check()
		for k, all := range got {
			if len(all) > 1 {
				t.Fatalf("key %s is there %d times: %v", k, len(all), all)
			}
		}
		if w.committed > 0 && w.cleanedTo() != w.committed {
			t.Fatalf("clean up to %d, the end is %d", w.cleanedTo(), w.committed)
		}
	})
}

// TestPassEndsWithThePartition: a pass under way ends at once when the partition is given up, and takes no further effect.
func TestPassEndsWithThePartition(t *testing.T) {
	w := newWorld(t, always)
	defer w.close()
	w.c.Close()
	w.opt.ObjectBytes = 1 // every range is on its own
	w.c = StartCompactor(w.opt)
	for i := range 5 {
		w.write(1, batch.None, "a", strconv.Itoa(i), "b", strconv.Itoa(i))
		w.flush()
	}
	w.now += 10
	commits := 0
	w.between = func(ctx context.Context) {
		commits++
		w.p.Abandon(kerr.NotLeaderOrFollower, "moved")
		<-ctx.Done()
	}
	before := w.img.Pos()
	w.c.Round(ctx)
	w.check()
	if commits != 1 || w.cleanedTo() != 0 {
		t.Fatalf("%d commits, cleaned up to %d, image %d after %d", commits, w.cleanedTo(), w.img.Pos(), before)
	}
	w.c.Round(ctx)
	if commits != 1 {
		t.Fatal("a partition that is not served is compacted")
	}
}

// TestCompactAndDelete: with both policies, what retention says goes from the start, whatever its keys, and what remains is compacted.
func TestCompactAndDelete(t *testing.T) {
	w := newWorld(t, map[string]string{"cleanup.policy": "compact,delete", "min.cleanable.dirty.ratio": "0", "segment.ms": "1", "retention.ms": "5000"})
	defer w.close()
	w.c.Close()
	w.opt.ObjectBytes = 1 // ranges stay apart
	w.c = StartCompactor(w.opt)
	w.write(1, batch.None, "a", "1", "b", "1")
	w.write(1, batch.None, "a", "2")
	w.flush()
	w.now += 4000
	w.write(1, batch.None, "c", "1", "c", "2")
	w.flush()
	w.c.Round(ctx)
	if got := w.check(); fmt.Sprint(got) != "map[a:[{2 2}] b:[{1 1}] c:[{4 2}]]" {
		t.Fatal(got)
	}
	r := Start(Options{Partitions: w.opt.Partitions, Image: w.opt.Image, Interval: time.Hour, Now: w.opt.Now})
	defer r.Close()
	r.Check(ctx)
	if start, _, _, _ := w.p.Bounds(); start != 0 {
		t.Fatalf("retention moved the start to %d", start)
	}
	w.now += 2000
	r.Check(ctx)
	if start, _, _, _ := w.p.Bounds(); start != 3 {
		t.Fatalf("the start is %d", start)
	}
}

// TestManyKeys: a log with far more keys than the map has room for is clean in the end, with memory for the map's keys only.
func TestManyKeys(t *testing.T) {
	w := newWorld(t, always)
	defer w.close()
	w.c.Close()
	w.opt.MapBytes = 200 * keySlotBytes
	w.c = StartCompactor(w.opt)
	const keys = 3000
	for round := range 2 {
		for first := 0; first < keys; first += 100 {
			var values []string
			for k := first; k < first+100; k++ {
				values = append(values, fmt.Sprint("k", k), strconv.Itoa(round))
			}
			w.write(1, batch.LZ4, values...)
		}
		w.flush()
	}
	w.now += 10
	w.c.Round(ctx)
	got := w.check()
	for k, all := range got {
		if len(all) != 1 {
			t.Fatalf("key %s is there %d times", k, len(all))
		}
	}
	if len(got) != keys || w.cleanedTo() != 2*keys {
		t.Fatalf("%d keys, cleaned up to %d", len(got), w.cleanedTo())
	}
}

// TestMergedRangesBecomeOverdue: max.compaction.lag.ms holds also where the ranges are merged again and again, so that the object is always young.
func TestMergedRangesBecomeOverdue(t *testing.T) {
	w := newWorld(t, map[string]string{"max.compaction.lag.ms": "1000", "min.cleanable.dirty.ratio": "1"})
	defer w.close()
	for i := range 5 {
		w.write(1, batch.None, "a", strconv.Itoa(i))
		w.flush()
		w.merge(0, 2)
		w.c.Round(ctx)
		if at := w.cleanedTo(); at != 0 {
			t.Fatalf("compacted up to %d after %d ms", at, w.now-1000)
		}
		w.now += 250
	}
	w.c.Round(ctx)
	if got := w.check(); fmt.Sprint(got) != "map[a:[{4 4}]]" {
		t.Fatal(got)
	}
}
