package clean

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"sluice/wire/batch"
)

// BenchmarkCompactor compacts a log of which a tenth, half or all of the records stay: records of about 1 kB in batches of a hundred, in objects of 16 MB in memory. What it reports
// is bytes of log that a pass goes through per second: it reads every record twice, for its key and to copy it, and writes what stays.
func BenchmarkCompactor(b *testing.B) {
	const records, perBatch, perObject = 64_000, 100, 16_000
	value := strings.Repeat("0123456789abcdef", 60)
	for _, codec := range []batch.Codec{batch.None, batch.Zstd} {
		for _, stays := range []int{10, 50, 100} {
			b.Run(fmt.Sprintf("%v/%d %% stay", codec, stays), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 2))
				b.ReportAllocs()
				bytes, left := int64(0), 0
				for range b.N {
					b.StopTimer()
					w := newWorld(b, always)
					for i := 0; i < records; i += perBatch {
						var kv []string
						for k := range perBatch {
							key := fmt.Sprint("key-", i+k)
							if stays < 100 {
								key = fmt.Sprint("key-", rng.IntN(records*stays/100))
							}
							kv = append(kv, key, value)
						}
						w.write(-1, codec, kv...)
						if (i+perBatch)%perObject == 0 {
							w.flush()
						}
					}
					bytes = 0
					for r := range w.img.RangesOf(w.open.Data.ID, 0) {
						bytes += r.Bytes
					}
					w.now += 10
					b.StartTimer()
					w.c.Round(ctx)
					b.StopTimer()
					if w.cleanedTo() != records {
						b.Fatal("not compacted to its end")
					}
					left = 0
					for _, seen := range w.read() {
						left += len(seen)
					}
					w.close()
					b.StartTimer()
				}
				b.SetBytes(bytes)
				b.ReportMetric(float64(left)/records, "left")
				b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}
