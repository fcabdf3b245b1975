package cost

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/ledger"
)

// catchUp writes bytes to a topic, waits, starts the broker anew, so that its caches are empty, and reads everything with one consumer. It returns what the reading
// made the broker ask for. The consumer takes up to so many bytes of a partition at a time.
func catchUp(t *testing.T, l load, bytes int, taken int32, rest time.Duration, settings []string) (p ledger.Period) {
	t.Helper()
	run(t, 1, settings, func(w *world) {
		cl := w.client(kgo.ProducerLinger(0), kgo.MaxBufferedRecords(1<<20))
		w.createTopic(cl, l.topic, l.partitions)
		records := w.produce(cl, l, 0, time.Duration(bytes/l.perSecond)*time.Second)
		cl.Close()
		time.Sleep(rest)
		w.restart()
		before, reads := w.counted(), w.store.(*bucket).watch()
		cl = w.client(kgo.ConsumeTopics(l.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxBytes(50<<20), kgo.FetchMaxPartitionBytes(taken))
		defer cl.Close()
		began := time.Now()
		for n := 0; n < records; {
			f := cl.PollFetches(w.t.Context())
			if err := f.Err(); err != nil {
				t.Fatal(err)
			}
			n += f.NumRecords()
		}
		p = w.counted().Since(before)
		t.Logf("read in %.1f s of the world's clock: %v", time.Since(began).Seconds(), reads)
	})
	return p
}

// getsPer4MiB is how many GETs reading took for every 4 MiB that were read.
func getsPer4MiB(p ledger.Period, bytes int) float64 {
	return p.Requests([]driver.Purpose{driver.PurposeRead, driver.PurposeReadAhead}) / (float64(bytes) / (4 << 20))
}

// atATime are the bytes that a consumer takes of a partition at a time: Java's default, and what one that has not much to do with others takes.
var atATime = []int32{1 << 20, 8 << 20}

// TestCatchUpReads: catching up with all partitions of a topic takes at most 1.1 GETs for every 4 MiB, indexes included, however many partitions the bytes are of: half a megabyte of each, or
// 50 kB, lie in an object as it was uploaded, or a record or two. In small it is a few objects, and what it takes to get going weighs more.
func TestCatchUpReads(t *testing.T) {
	sizes, bytes, takes, most := []int{1, 4, 16, 100}, 200*mb, atATime[1:], 1.5
	if full {
		sizes, bytes, takes, most = []int{1, 4, 8, 16, 30, 100, 1000, 10_000}, 1000*mb, atATime, 1.1
	}
	for _, taken := range takes {
		for _, n := range sizes {
			t.Run(fmt.Sprint(n, " ", taken>>20), func(t *testing.T) {
				p := catchUp(t, load{"t", n, 65536, 20 * mb}, bytes, taken, 0, settings(t, "file", "512MiB"))
				gets := getsPer4MiB(p, bytes)
				t.Logf("%d partitions, %d MiB at a time: %.3f GETs per 4 MiB; %v", n, taken>>20, gets, lines(p))
				if gets > most {
					t.Errorf("%.3f GETs per 4 MiB", gets)
				}
			})
		}
	}
}

// TestCatchUpAfterCompaction: the same of a node that has rewritten what it had, with 256 MiB, where uploads hold half as much of each partition.
func TestCatchUpAfterCompaction(t *testing.T) {
	sizes, bytes, takes, most := []int{100}, 200*mb, atATime, 1.1
	if full {
		sizes, bytes, takes, most = []int{1, 4, 16, 100, 1000}, 1000*mb, atATime, 1.1
	}
	for _, taken := range takes {
		for _, n := range sizes {
			for _, compacted := range []bool{false, true} {
				t.Run(fmt.Sprint(n, " ", taken>>20, " ", compacted), func(t *testing.T) {
					p := catchUp(t, load{"t", n, 65536, 20 * mb}, bytes, taken, 10*time.Minute,
						settings(t, "file", "256MiB", fmt.Sprint("compaction=", compacted), "compaction-interval=20s", "compaction-force-split=1m"))
					gets := getsPer4MiB(p, bytes)
					t.Logf("%d partitions, %d MiB at a time: %.3f GETs per 4 MiB; %v", n, taken>>20, gets, lines(p))
					if gets > most {
						t.Errorf("%d partitions: %.3f GETs per 4 MiB", n, gets)
					}
				})
			}
		}
	}
}
