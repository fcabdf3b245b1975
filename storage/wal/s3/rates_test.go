package s3

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/mem"
	"sluice/storage/wal/block"
)

// distant takes a put's time and forgets what was put.
type distant struct {
	driver.Store
	takes time.Duration
	puts  atomic.Int64
	bytes atomic.Int64
}

func (d *distant) Put(ctx context.Context, _ string, body [][]byte, _ driver.PutOptions) error {
	d.puts.Add(1)
	d.bytes.Add(driver.BodySize(body))
	t := time.NewTimer(d.takes)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return base.Wrap(base.Undetermined, ctx.Err())
	}
}

// load is appends that come at a rate, whatever becomes of those before.
type load struct {
	perSecond int
	bytes     int // of each
	seconds   int
}

// outcome is how long appends took, and what they cost.
type outcome struct {
	p50, p99      time.Duration
	puts, bytes   float64 // per second
	latencies     []time.Duration
	afterThatPuts int64
}

func (o outcome) String() string {
	return fmt.Sprintf("p50 %v, p99 %v, %.1f puts/s", o.p50.Round(time.Millisecond), o.p99.Round(time.Millisecond), o.puts)
}

// run puts the load on a WAL with a budget of 4 puts per second in a store whose puts take 50 ms. The first second does not count: the budget
// is full then.
func (l load) run(t testing.TB) (o outcome) {
	store := &distant{Store: mem.New(), takes: 50 * time.Millisecond}
	log, err := Class{}.create(context.Background(), block.Options{Cluster: base.UUID{1}, Node: 1, Epoch: 1, Pool: &slab.Pool{}, Store: store, PutsPerSecond: 4})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	data := make([]byte, l.bytes)
	began := time.Now()
	for n := range l.perSecond * (l.seconds + 1) {
		at := time.Duration(n) * time.Second / time.Duration(l.perSecond)
		time.Sleep(at - time.Since(began))
		if n == l.perSecond {
			o.afterThatPuts = store.puts.Load()
		}
		all.Add(1)
		sent := time.Now()
		log.Append(block.Record{Stream: 1, Base: base.Offset(n), Count: 1, Data: data}, func(err error) {
			if err != nil {
				t.Error(err)
			}
			if n >= l.perSecond {
				mu.Lock()
				o.latencies = append(o.latencies, time.Since(sent))
				mu.Unlock()
			}
			all.Done()
		})
	}
	puts := store.puts.Load() - o.afterThatPuts
	all.Wait()
	if err := log.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	slices.Sort(o.latencies)
	o.p50, o.p99 = o.latencies[len(o.latencies)/2], o.latencies[len(o.latencies)*99/100]
	o.puts = float64(puts) / float64(l.seconds)
	return o
}

// rates are the loads of the table in docs/stores.md.
var rates = []load{{1, 100, 20}, {10, 100, 20}, {100, 100, 20}, {1000, 100, 20}, {763, 64 << 10, 4}}

func (l load) String() string {
	if l.bytes > 1000 {
		return fmt.Sprintf("%dMBps", l.perSecond*l.bytes/1e6)
	}
	return fmt.Sprintf("%dps", l.perSecond)
}

// TestRates: a lone record is acknowledged after one put; small records wait for the budget and no longer; large ones are not held up by it. The
// clock is that of the test, so only the rules count.
func TestRates(t *testing.T) {
	for _, l := range rates {
		synctest.Test(t, func(t *testing.T) {
			o := l.run(t)
			t.Logf("%v: %v", l, o)
			switch {
			case l.perSecond == 1 && (o.p50 != 50*time.Millisecond || o.p99 != o.p50 || o.puts > 1):
				t.Errorf("one record a second: %v; want one put each, at once", o)
			case l.bytes < 1000 && (o.puts > 4.2 || o.p99 > 360*time.Millisecond):
				t.Errorf("%v: %v; want 4 puts/s, and no longer than the wait for one, a put under way and one's own", l, o)
			case l.bytes > 1000 && (o.puts > 50e6/blockBytes+0.5 || o.p99 > 300*time.Millisecond):
				t.Errorf("%v: %v; want a put for each full block", l, o)
			}
		})
	}
}

// TestSaturation: producers that wait for their records and send the next get all that the store takes with inFlight puts under way, many times
// what the budget would let through.
func TestSaturation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &distant{Store: mem.New(), takes: 50 * time.Millisecond}
		log, err := Class{}.create(context.Background(), block.Options{Cluster: base.UUID{1}, Node: 1, Epoch: 1, Pool: &slab.Pool{}, Store: store, PutsPerSecond: 1})
		if err != nil {
			t.Fatal(err)
		}
		const seconds = 1
		began := time.Now()
		data := make([]byte, 1<<20)
		var producers sync.WaitGroup
		for range 2 * inFlight * blockBytes / len(data) {
			producers.Go(func() {
				for time.Since(began) < seconds*time.Second {
					done := make(chan error)
					log.Append(block.Record{Stream: 1, Count: 1, Data: data}, func(err error) { done <- err })
					if err := <-done; err != nil {
						t.Error(err)
					}
				}
			})
		}
		time.Sleep(seconds * time.Second)
		rate := float64(store.bytes.Load()) / seconds
		producers.Wait()
		most := float64(inFlight*blockBytes) / 0.05
		if t.Logf("%.0f MB/s", rate/1e6); rate < 0.8*most {
			t.Errorf("%.0f MB/s of the %.0f MB/s that fit into %d puts at a time", rate/1e6, most/1e6, inFlight)
		}
		if err := log.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestLateSlotsGo: a put that is hedged and comes after its slot was trimmed fills it again; that is seen to.
func TestLateSlotsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &hesitant{Store: mem.New()}
		log, err := Class{}.create(context.Background(), block.Options{Cluster: base.UUID{1}, Node: 1, Epoch: 1, Pool: &slab.Pool{}, Store: store, PutsPerSecond: 1000})
		if err != nil {
			t.Fatal(err)
		}
		appendOne := func() {
			done := make(chan error)
			log.Append(block.Record{Stream: 1, Count: 1, Data: []byte("x")}, func(err error) { done <- err })
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		for range 50 {
			appendOne()
		}
		store.hold.Store(true)
		appendOne()
		trim := func() {
			t.Helper()
			if err := log.Trim(t.Context(), log.Durable()); err != nil {
				t.Fatal(err)
			}
		}
		trim()
		if store.held == nil {
			t.Fatal("no put was hedged")
		}
		store.held() // long given up
		left := func() (keys []string) {
			for info, err := range store.List(t.Context(), "wal/", "") {
				if err != nil {
					t.Fatal(err)
				}
				keys = append(keys, info.Key)
			}
			return keys
		}
		if n := len(left()); n != 2 {
			t.Fatalf("%d slots, want the first one and the one that came late", n)
		}
		time.Sleep(2 * lateAfter)
		appendOne()
		trim()
		if keys := left(); len(keys) != 1 {
			t.Fatalf("left: %q", keys)
		}
		if err := log.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

// hesitant holds one put until it is given up, and then has it happen when held is called.
type hesitant struct {
	driver.Store
	hold atomic.Bool
	held func()
}

func (h *hesitant) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	time.Sleep(20 * time.Millisecond)
	if h.hold.CompareAndSwap(true, false) {
		sent := slices.Concat(body...)
		<-ctx.Done()
		h.held = func() { _ = h.Store.Put(context.Background(), key, [][]byte{sent}, opt) }
		return base.Wrap(base.Undetermined, ctx.Err())
	}
	return h.Store.Put(ctx, key, body, opt)
}

// BenchmarkRates is TestRates in real time: `go test -bench Rates -benchtime 1x ./storage/wal/s3`.
func BenchmarkRates(b *testing.B) {
	for _, l := range rates {
		b.Run(l.String(), func(b *testing.B) {
			for b.Loop() {
				o := l.run(b)
				b.ReportMetric(float64(o.p50.Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(o.p99.Microseconds())/1000, "p99-ms")
				b.ReportMetric(o.puts, "puts/s")
			}
		})
	}
}
