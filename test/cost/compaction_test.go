package cost

import (
	"fmt"
	"testing"
	"time"

	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/ledger"
)

// compacted sums up what compaction asked for: requests, and MiB read and written.
func compacted(p ledger.Period) (requests, read, written float64) {
	for _, r := range p.Rows {
		if r.Purpose == driver.PurposeCompaction.String() {
			requests += r.Requests
			read += float64(r.Received) / (1 << 20)
			written += float64(r.Sent) / (1 << 20)
		}
	}
	return requests, read, written
}

// TestCompactionFollowsBytes: compaction makes less than a request for each MiB that it reads or writes, with the 32 MiB that it has here, whether they belong to
// 200 partitions or to 1,000, and writes a byte a few times at most. A round every 20 s and a split after two minutes stand for five minutes and two hours.
func TestCompactionFollowsBytes(t *testing.T) {
	for _, n := range []int{200, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p := measure(t, load{"t", n, 16384, 5 * mb}, 3*time.Minute, 2*time.Minute,
				settings(t, "file", "512MiB", "compaction-interval=20s", "compaction-force-split=2m", "upload-interval=10m"))
			requests, read, written := compacted(p)
			in := float64(p.Ingested["t"]) / (1 << 20)
			t.Logf("%d partitions: %.0f MiB in; compaction: %.0f requests, %.0f MiB read, %.0f written", n, in, requests, read, written)
			if written == 0 || written > 4*in {
				t.Errorf("%.0f MiB came in and compaction wrote %.0f", in, written)
			}
			if requests > read+written {
				t.Errorf("%.0f requests for %.0f MiB", requests, read+written)
			}
		})
	}
	if full {
		compactionInFull(t)
	}
}

// compactionInFull prints what a GiB costs at 50 MB/s with compaction, and looks at the aims with the memory that they are promised for. Rounds are a
// minute apart and objects are old after three, instead of five and 120: less comes together at a time, so it costs rather more here than it does.
func compactionInFull(t *testing.T) {
	for _, c := range []struct {
		class, memory string
		most          float64 // dollars; 0: no promise
	}{{"file", "1GiB", 0}, {"file", "4GiB", 0.0003}, {"s3", "1GiB", 0}, {"s3", "2GiB", 0.0015}} {
		for _, n := range []int{10, 1000, 10_000} {
			t.Run(fmt.Sprint(c.class, " ", c.memory, " ", n), func(t *testing.T) {
				p := measure(t, load{"t", n, 65536, 50 * mb}, 2*time.Minute, 4*time.Minute,
					settings(t, c.class, c.memory, "compaction-interval=1m", "compaction-force-split=3m", "compaction-bandwidth=0"))
				requests, read, written := compacted(p)
				price := dollars(p)
				t.Logf("%s, memory %s, %d partitions: $%.6f per GiB; %.0f MiB in, compaction: %.0f requests, %.0f MiB read, %.0f written; %v", c.class, c.memory, n,
					price, float64(p.Ingested["t"])/(1<<20), requests, read, written, lines(p))
				if c.most > 0 && price > c.most {
					t.Errorf("a GiB costs $%.6f with compaction, more than $%v", price, c.most)
				}
			})
		}
	}
}
