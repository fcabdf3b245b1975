package rescue

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore"
	"sluice/storage/wal"
)

// distant is a bucket whose requests take 20 ms and the time that one connection of a usual object store needs for the bytes.
type distant struct {
	objstore.Store
	perSecond int64 // bytes; 0: no limit
}

const roundTrip = 20 * time.Millisecond

func (d distant) wait(n int64) {
	t := roundTrip
	if d.perSecond > 0 {
		t += time.Duration(float64(n) / float64(d.perSecond) * 1e9)
	}
	time.Sleep(t)
}

func (d distant) Put(ctx context.Context, key string, body [][]byte, opt objstore.PutOptions) error {
	n := int64(0)
	for _, b := range body {
		n += int64(len(b))
	}
	d.wait(n)
	return d.Store.Put(ctx, key, body, opt)
}

func (d distant) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	b, err := d.Store.Get(ctx, key, off, n, dst)
	d.wait(int64(len(b) - len(dst)))
	return b, err
}

// BenchmarkFailover measures a rescue of 100 MB in 500 partitions, from the grant to the moment when all streams are closed, with a bucket
// that answers in 20 ms, without a limit and with 80 MB/s for each connection, and 20 ms for each command.
func BenchmarkFailover(b *testing.B) {
	for _, class := range classes {
		for _, perSecond := range []int64{0, 80e6} {
			b.Run(fmt.Sprintf("%s/%dMBps", class, perSecond/1e6), func(b *testing.B) { benchFailover(b, class, perSecond) })
		}
	}
}

func benchFailover(b *testing.B, class string, perSecond int64) {
	const partitions, records, size = 500, 50, 4000
	registry := prometheus.NewRegistry()
	var spent time.Duration
	var peak uint64
	for range b.N {
		b.StopTimer()
		w := newWorld(b)
		url := w.formatted(class)
		if class == "file" { // tmp may be memory
			dir, err := os.MkdirTemp(".", "bench")
			must(b, err)
			b.Cleanup(func() { os.RemoveAll(dir) })
			cwd, err := os.Getwd()
			must(b, err)
			url = "file://" + cwd + "/" + dir + "/wal?shared=true&capacity=1GiB"
			must(b, wal.Format(context.Background(), url, wal.Options{}, wal.Identity{Cluster: w.Image().ClusterID(), Node: base.NoNode}))
		}
		v := newBroker(w, url, base.NoNode, partitions, 1<<30)
		v.produce(records, size)
		v.crash()
		self := w.register("s3", base.NoNode)
		v.fence()
		w.setAround(func(_ context.Context, _ meta.Command, decide func() (meta.Result, error)) (meta.Result, error) {
			time.Sleep(roundTrip)
			return decide()
		})
		far := distant{w.inner, perSecond}
		opt := Options{Self: self, Client: w, Store: far, SOBytes: 8 << 20, WAL: func() wal.Options {
			o := w.walOptions()
			o.Store = far
			return o
		}}
		if b.N == 1 {
			opt.Registerer = registry
		}
		r := Start(opt)
		runtime.GC()
		stop := watchMemory(&peak)
		b.StartTimer()
		began := time.Now()
		w.grant(v.ref, self)
		w.until("rescue", func(img *meta.Image) bool { got, ok := img.Rescue(v.ref); return !ok || got.State == meta.RescueDone })
		spent += time.Since(began)
		b.StopTimer()
		stop()
		r.Close()
	}
	total := float64(partitions * records * size)
	b.ReportMetric(total*float64(b.N)/spent.Seconds()/1e6, "MB/s")
	b.ReportMetric(float64(peak)/1e6, "heap-MB")
	b.ReportMetric(0, "ns/op")
	if families, _ := registry.Gather(); b.N == 1 {
		for _, f := range families {
			if f.GetName() == "sluice_rescue_phase_seconds" {
				for _, m := range f.GetMetric() {
					b.ReportMetric(1000*m.GetHistogram().GetSampleSum(), m.GetLabel()[0].GetValue()+"-ms")
				}
			}
		}
	}
}

// watchMemory notes how much the heap grows beyond what it is now.
func watchMemory(peak *uint64) (stop func()) {
	heap := func() uint64 {
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapInuse
	}
	before, over := heap(), make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			if now := heap(); now > before {
				*peak = max(*peak, now-before)
			}
			select {
			case <-over:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return func() { close(over); done.Wait() }
}
