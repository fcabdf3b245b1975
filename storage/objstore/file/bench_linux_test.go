//go:build linux && (amd64 || arm64)

package file

import (
	"context"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/base/slab"
	"sluice/storage/objstore/driver"
)

// BenchmarkBesideReads has sixteen goroutines read objects around the page cache, 8 MiB at a time, on two processors, and measures how long another goroutine that
// sleeps for a millisecond each time oversleeps, and how long goroutines waited for a processor: with the kernel's queue, and with system calls that block.
func BenchmarkBesideReads(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	ctx := context.Background()
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	const readers, size, each = 16, 64 << 20, 8 << 20
	keys := []string{"a", "b", "c", "d", "e", "f"}
	for _, key := range keys {
		if err := s.Put(ctx, key, [][]byte{make([]byte, size)}, driver.PutOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	for _, queue := range []bool{true, false} {
		name := map[bool]string{true: "queue", false: "blocking"}[queue]
		b.Run(name, func(b *testing.B) {
			if kernel := kernelQueue; !queue {
				kernelQueue = func() *async { return nil }
				defer func() { kernelQueue = kernel }()
			}
			var stop atomic.Bool
			var next atomic.Int64
			var wg sync.WaitGroup
			var pool slab.Pool
			b.SetBytes(each)
			before := waits()
			b.ResetTimer()
			for range readers {
				wg.Go(func() {
					buf := pool.Get(each)
					defer buf.Release()
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						at := n * each % (size * int64(len(keys)))
						if _, err := s.Get(ctx, keys[at/size], at%size, each, buf.B[:0]); err != nil {
							b.Error(err)
						}
					}
				})
			}
			var late []time.Duration
			done := make(chan struct{})
			go func() {
				for !stop.Load() {
					began := time.Now()
					time.Sleep(time.Millisecond)
					late = append(late, time.Since(began)-time.Millisecond)
				}
				close(done)
			}()
			wg.Wait()
			b.StopTimer()
			stop.Store(true)
			<-done
			slices.Sort(late)
			b.ReportMetric(late[len(late)*99/100].Seconds()*1e3, "late-p99-ms")
			b.ReportMetric(late[len(late)*999/1000].Seconds()*1e3, "late-p99.9-ms")
			b.ReportMetric(quantile(before, waits(), 0.999)*1e3, "wait-p99.9-ms")
		})
	}
}

func waits() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(s)
	h := s[0].Value.Float64Histogram()
	return &metrics.Float64Histogram{Counts: slices.Clone(h.Counts), Buckets: slices.Clone(h.Buckets)}
}

func quantile(before, after *metrics.Float64Histogram, q float64) float64 {
	all, sum := uint64(0), uint64(0)
	for i := range after.Counts {
		all += after.Counts[i] - before.Counts[i]
	}
	for i := range after.Counts {
		if sum += after.Counts[i] - before.Counts[i]; float64(sum) >= q*float64(all) {
			return after.Buckets[i+1]
		}
	}
	return 0
}
