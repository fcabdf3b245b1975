package cost

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/storage/objstore/ledger"
)

// full says that the tables of docs/cost.md are wanted.
var full = os.Getenv("SLUICE_COST") == "full"

// mb is a megabyte, as rates are given.
const mb = 1_000_000

// settings puts a WAL class of its own into a test's settings. Class file stands on a directory in memory: what counts is that it asks no bucket.
func settings(t *testing.T, class, memory string, more ...string) []string {
	wal := class
	if class == "file" {
		wal = "mem://" + strings.NewReplacer("/", "-", ",", "").Replace(t.Name())
	}
	return append([]string{"wal=" + wal, "memory=" + memory}, more...)
}

// measure returns what a load makes one broker ask for in a time, once it is under way.
func measure(t *testing.T, l load, warm, d time.Duration, settings []string) (p ledger.Period) {
	t.Helper()
	run(t, 1, settings, func(w *world) {
		cl := w.client(kgo.ProducerLinger(0), kgo.MaxBufferedRecords(1<<20), kgo.MaxBufferedBytes(1<<30))
		defer cl.Close()
		w.createTopic(cl, l.topic, l.partitions)
		next := w.produce(cl, l, 0, warm)
		before := w.counted()
		w.produce(cl, l, next, d)
		p = w.counted().Since(before)
	})
	return p
}

// lines sums up a period by purpose and kind.
func lines(p ledger.Period) map[string]float64 {
	m := map[string]float64{}
	for _, r := range p.Rows {
		m[r.Purpose+" "+r.Kind] += r.Requests
		m["total"] += r.Requests
	}
	return m
}

// TestRequestsDoNotDependOnPartitions: the same bytes to 10, 1,000 and 10,000 partitions make as many requests, each kind for each purpose: they differ by less than
// a tenth, or by less than five where there are so few that the beginning and the end count.
func TestRequestsDoNotDependOnPartitions(t *testing.T) {
	rate, memory, record, warm, d := 2*mb, "64MiB", 4096, 30*time.Second, 2*time.Minute
	if full {
		rate, memory, record = 50*mb, "1GiB", 16384
	}
	for _, class := range []string{"s3", "file"} {
		t.Run(class, func(t *testing.T) {
			var counted []map[string]float64
			counts := []int{10, 1000, 10_000}
			for _, n := range counts {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					p := measure(t, load{"t", n, record, rate}, warm, d, settings(t, class, memory))
					counted = append(counted, lines(p))
					if want := float64(rate) * d.Seconds(); math.Abs(float64(p.Ingested["t"])-want) > 0.15*want {
						t.Errorf("%d bytes came in where %.0f were to", p.Ingested["t"], want)
					}
					t.Logf("%d partitions, requests in %.0f s: %v", n, p.Seconds, counted[len(counted)-1])
				})
			}
			names := map[string]bool{}
			for _, c := range counted {
				for name := range c {
					names[name] = true
				}
			}
			for name := range names {
				var all []float64
				for _, c := range counted {
					all = append(all, c[name])
				}
				if low, high := slices.Min(all), slices.Max(all); high-low >= 0.1*high && high-low >= 5 {
					t.Errorf("%s: %v requests for %v partitions", name, all, counts)
				}
			}
		})
	}
}
