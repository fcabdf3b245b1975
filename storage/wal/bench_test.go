//go:build linux

package wal_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/wal"
)

// benchLog starts a WAL in a fresh directory of the disk that holds the working directory (tmp may be memory), whose blocks are
// released, and which is trimmed, as an engine would.
func benchLog(b *testing.B, query string) wal.Log {
	url := "file://" + b.TempDir() + "/wal" + query
	ctx := context.Background()
	id := wal.Identity{Cluster: base.NewUUID(), Node: 1, Incarnation: base.NewUUID()}
	if err := wal.Format(ctx, url, wal.Options{}, id); err != nil {
		b.Fatal(err)
	}
	var l wal.Log
	blocks := make(chan base.WALPos, 1<<16)
	l, err := wal.Create(ctx, url, wal.Options{Cluster: id.Cluster, Node: 1, Epoch: 1, Pool: new(slab.Pool),
		OnBlock: func(blk *wal.Block) {
			pos := blk.Pos
			blk.Release()
			if pos%64 == 63 {
				blocks <- pos
			}
		}})
	if err != nil {
		b.Fatal(err)
	}
	trimmed := make(chan struct{})
	go func() {
		defer close(trimmed)
		for pos := range blocks {
			l.Trim(ctx, pos)
		}
	}()
	b.Cleanup(func() {
		l.Close(ctx)
		close(blocks)
		<-trimmed
	})
	return l
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkAppend appends records as fast as they become durable, with at most 32 MiB on their way.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 64 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			l := benchLog(b, "")
			data := make([]byte, size)
			for i := range data {
				data[i] = byte(i * 7)
			}
			room := make(chan struct{}, max(1, (32<<20)/size))
			var all sync.WaitGroup
			done := func(err error) {
				if err != nil {
					b.Error(err)
				}
				<-room
				all.Done()
			}
			var next base.Offset
			run := func(n int) {
				for range n {
					room <- struct{}{}
					all.Add(1)
					l.Append(wal.Record{Stream: 1, Epoch: 1, Base: next, Count: 1, Data: data}, done)
					next++
				}
				all.Wait()
			}
			run((512 << 20) / size) // the first segments are made while they are used: measure the steady state
			b.SetBytes(int64(size))
			b.ResetTimer()
			began := cpuTime()
			run(b.N)
			b.StopTimer()
			cpu := cpuTime() - began
			b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
			b.ReportMetric(cpu.Seconds()/(float64(b.N)*float64(size)/1e9), "cpu-s/GB")
		})
	}
}

// BenchmarkLone appends one record at a time and waits for it.
func BenchmarkLone(b *testing.B) {
	for _, query := range []string{"", "?shared=true"} {
		b.Run("1KiB"+query, func(b *testing.B) {
			l := benchLog(b, query)
			data := make([]byte, 1<<10)
			durable := make(chan error, 1)
			done := func(err error) { durable <- err }
			took := make([]time.Duration, 0, b.N)
			b.ResetTimer()
			began := cpuTime()
			for i := range b.N {
				t := time.Now()
				l.Append(wal.Record{Stream: 1, Epoch: 1, Base: base.Offset(i), Count: 1, Data: data}, done)
				if err := <-durable; err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(t))
			}
			b.StopTimer()
			cpu := cpuTime() - began
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N), "cpu-ns/op")
			runtime.KeepAlive(l)
		})
	}
}

// BenchmarkPaced appends 1 KiB records at a fixed rate, and reports the latency counted from the intended time.
func BenchmarkPaced(b *testing.B) {
	for _, rate := range []int{5000, 50000} {
		b.Run(fmt.Sprintf("%dps", rate), func(b *testing.B) {
			l := benchLog(b, "")
			data := make([]byte, 1<<10)
			took := make([]time.Duration, b.N)
			var all sync.WaitGroup
			all.Add(b.N)
			b.ResetTimer()
			cpu := cpuTime()
			start := time.Now()
			for i := 0; i < b.N; {
				due := min(b.N, int(time.Since(start).Seconds()*float64(rate)))
				for ; i < due; i++ {
					at := start.Add(time.Duration(float64(i) / float64(rate) * 1e9))
					n := i
					l.Append(wal.Record{Stream: 1, Epoch: 1, Base: base.Offset(i), Count: 1, Data: data}, func(error) {
						took[n] = time.Since(at)
						all.Done()
					})
				}
				nap(20 * time.Microsecond)
			}
			all.Wait()
			b.StopTimer()
			cpu = cpuTime() - cpu
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(100*cpu.Seconds()/time.Since(start).Seconds(), "cpu-%")
		})
	}
}

// nap is a precise short sleep, which Go's timers are not.
func nap(d time.Duration) {
	ts := syscall.NsecToTimespec(d.Nanoseconds())
	syscall.Nanosleep(&ts, nil)
}

// BenchmarkStart makes the WAL of a new node epoch: directory, token, lock and first segment, all synced.
func BenchmarkStart(b *testing.B) {
	url := "file://" + b.TempDir() + "/wal"
	ctx := context.Background()
	id := wal.Identity{Cluster: base.NewUUID(), Node: 1, Incarnation: base.NewUUID()}
	if err := wal.Format(ctx, url, wal.Options{}, id); err != nil {
		b.Fatal(err)
	}
	for i := range b.N {
		l, err := wal.Create(ctx, url, wal.Options{Cluster: id.Cluster, Node: 1, Epoch: base.NodeEpoch(i + 1), Pool: new(slab.Pool)})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		l.Close(ctx)
		b.StartTimer()
	}
}
