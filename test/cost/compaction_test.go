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
// 10 partitions or to 1,000, and writes a byte a few times at most. A round every 20 s and a split after two minutes stand for five minutes and two hours.
func TestCompactionFollowsBytes(t *testing.T) {
	for _, n := range []int{10, 1000} {
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

// compactionInFull prints what a GiB costs with compaction as it comes, in its fourth hour. The rate makes an upload of every minute's bytes.
func compactionInFull(t *testing.T) {
	for _, memory := range []string{"512MiB", "1GiB", "4GiB"} {
		for _, n := range []int{10, 1000} {
			t.Run(fmt.Sprint(memory, " ", n), func(t *testing.T) {
				p := measure(t, load{"t", n, 65536, mb}, 3*time.Hour, time.Hour, settings(t, "file", memory))
				requests, read, written := compacted(p)
				t.Logf("memory %s, %d partitions: $%.6f per GiB; %.0f MiB in, compaction: %.0f requests, %.0f MiB read, %.0f written; %v", memory, n,
					dollars(p), float64(p.Ingested["t"])/(1<<20), requests, read, written, lines(p))
			})
		}
	}
}
