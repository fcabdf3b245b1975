package cost

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/ledger"
)

// catchUp writes bytes to a topic, waits, starts the broker anew, so that its caches are empty, and reads everything with one consumer. It returns what the reading
// made the broker ask for.
func catchUp(t *testing.T, l load, bytes int, rest time.Duration, settings []string) (p ledger.Period) {
	t.Helper()
	run(t, 1, settings, func(w *world) {
		cl := w.client(kgo.ProducerLinger(0), kgo.MaxBufferedRecords(1<<20))
		w.createTopic(cl, l.topic, l.partitions)
		records := w.produce(cl, l, 0, time.Duration(bytes/l.perSecond)*time.Second)
		cl.Close()
		time.Sleep(rest)
		w.restart()
		before := w.counted()
		cl = w.client(kgo.ConsumeTopics(l.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxBytes(50<<20), kgo.FetchMaxPartitionBytes(8<<20))
		defer cl.Close()
		for n := 0; n < records; {
			f := cl.PollFetches(w.t.Context())
			if err := f.Err(); err != nil {
				t.Fatal(err)
			}
			n += f.NumRecords()
		}
		p = w.counted().Since(before)
	})
	return p
}

// getsPer4MiB is how many GETs reading took for every 4 MiB that were read.
func getsPer4MiB(p ledger.Period, bytes int) float64 {
	return p.Requests([]driver.Purpose{driver.PurposeRead, driver.PurposeReadAhead}) / (float64(bytes) / (4 << 20))
}

// TestCatchUpReads: catching up with all partitions of a topic takes at most 1.1 GETs for every 4 MiB, indexes included, however many partitions the bytes are of: half a megabyte of each, or
// 50 kB, lie in an object as it was uploaded. In small it is a few objects, and what it takes to get going weighs more.
func TestCatchUpReads(t *testing.T) {
	sizes, bytes, most := []int{1, 4, 16, 100}, 200*mb, 1.5
	if full {
		sizes, bytes, most = []int{1, 4, 8, 16, 30, 100, 1000, 10_000}, 1000*mb, 1.1
	}
	for _, n := range sizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p := catchUp(t, load{"t", n, 65536, 20 * mb}, bytes, 0, settings(t, "file", "512MiB"))
			gets := getsPer4MiB(p, bytes)
			t.Logf("%d partitions: %.3f GETs per 4 MiB; %v", n, gets, lines(p))
			if gets > most && n < 10_000 { // where a partition has a record or two in all, the aim is not reached
				t.Errorf("%.3f GETs per 4 MiB", gets)
			}
		})
	}
}

// TestCatchUpAfterCompaction: the same of a node that has rewritten what it had, with 256 MiB, where uploads hold half as much of each partition.
func TestCatchUpAfterCompaction(t *testing.T) {
	sizes, bytes, most := []int{100}, 200*mb, 1.4
	if full {
		sizes, bytes, most = []int{1, 4, 16, 100, 1000}, 1000*mb, math.Inf(1) // a table; the aim is not reached by all of it
	}
	for _, n := range sizes {
		gets := map[bool]float64{}
		for _, compacted := range []bool{false, true} {
			t.Run(fmt.Sprint(n, compacted), func(t *testing.T) {
				p := catchUp(t, load{"t", n, 65536, 20 * mb}, bytes, 10*time.Minute,
					settings(t, "file", "256MiB", fmt.Sprint("compaction=", compacted), "compaction-interval=20s", "compaction-force-split=1m"))
				gets[compacted] = getsPer4MiB(p, bytes)
				t.Logf("%d partitions: %.3f GETs per 4 MiB; %v", n, gets[compacted], lines(p))
			})
		}
		if gets[true] > most {
			t.Errorf("%d partitions: %.3f GETs per 4 MiB after compaction, %.3f before", n, gets[true], gets[false])
		}
	}
}
