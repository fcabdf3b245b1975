package cost

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/ledger"
)

// catchUp writes bytes to a topic, starts the broker anew, so that its caches are empty, and reads everything with one consumer. It returns what the reading
// made the broker ask for.
func catchUp(t *testing.T, l load, bytes int, settings []string) (p ledger.Period) {
	t.Helper()
	run(t, 1, settings, func(w *world) {
		cl := w.client(kgo.ProducerLinger(0), kgo.MaxBufferedRecords(1<<20))
		w.createTopic(cl, l.topic, l.partitions)
		records := w.produce(cl, l, 0, time.Duration(bytes/l.perSecond)*time.Second)
		cl.Close()
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

// TestCatchUpReads: catching up takes at most 1.1 GETs for every 4 MiB, indexes included, where a partition has more than that in a row; where sixteen have 3 MiB each, little more than one for
// each such piece; where a hundred have half a MiB each, a GET brings those of several (alone they would take 8).
func TestCatchUpReads(t *testing.T) {
	sizes := []int{1, 4, 100}
	bytes := 200 * mb
	if full {
		sizes, bytes = []int{1, 4, 16, 100, 1000}, 1000*mb
	}
	for _, n := range sizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p := catchUp(t, load{"t", n, 65536, 20 * mb}, bytes, settings(t, "file", "512MiB"))
			reads := []driver.Purpose{driver.PurposeRead, driver.PurposeReadAhead}
			gets := p.Requests(reads) / (float64(bytes) / (4 << 20))
			t.Logf("%d partitions: %.3f GETs per 4 MiB; %v", n, gets, lines(p))
			most := map[int]float64{1: 1.1, 4: 1.1, 16: 1.75, 100: 4, 1000: 6}[n]
			if !full && n == 4 {
				most = 1.25 // a few objects: what it takes to get going weighs more
			}
			if gets > most {
				t.Errorf("%.3f GETs per 4 MiB", gets)
			}
		})
	}
}
