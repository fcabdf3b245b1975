package lead

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/base"
	"sluice/storage/objstore/fault"
)

// BenchmarkMove moves partitions under load to and fro, with a bucket, for data and metadata, that takes 50 ms for every put and get. pause-ms is
// what the nodes measured; gap-ms the longest time between two acknowledgements of a producer, of which 50 ms are its pace; stall-max-ms how
// late a goroutine woke up that did nothing but sleep: where it is large, the machine had no time for us.
func BenchmarkMove(b *testing.B) {
	for _, parts := range []int32{1, 100, 1000} {
		b.Run(fmt.Sprint(parts), func(b *testing.B) {
			p := newPair(b, nil)
			topic, ws := p.loadSlowly(parts)
			slow := fault.Rule{Op: fault.Put | fault.Get, Delay: 50 * time.Millisecond}
			p.bucket.SetRules(slow)
			p.slots.SetRules(slow)
			var gaps []time.Duration
			stalled := watchStalls()
			for i := 0; b.Loop(); i++ {
				to := p.sides[(i+1)%2].node.ID
				g := watchGaps(ws)
				p.move(topic, to)
				p.servedBy(topic, to)
				progress(b, ws, 1)
				gaps = append(gaps, g()...)
			}
			b.ReportMetric(float64(stalled().Milliseconds()), "stall-max-ms")
			slices.Sort(gaps)
			b.ReportMetric(float64(gaps[len(gaps)/2].Milliseconds()), "gap-p50-ms")
			b.ReportMetric(float64(gaps[len(gaps)*99/100].Milliseconds()), "gap-p99-ms")
			b.ReportMetric(float64(gaps[len(gaps)-1].Milliseconds()), "gap-max-ms")
			n, mean := p.sides[0].pauses(b, "moved")
			m, more := p.sides[1].pauses(b, "moved")
			b.ReportMetric(float64(((mean*time.Duration(n) + more*time.Duration(m)) / time.Duration(n+m)).Milliseconds()), "pause-mean-ms")
			p.bucket.SetRules()
			p.slots.SetRules()
			p.stopProducers(ws)
			p.end()
		})
	}
}

// loadSlowly is load with producers that write at most some twenty batches per second.
func (p *pair) loadSlowly(partitions int32) (base.UUID, []*producer) {
	topic := p.create("orders", partitions, p.sides[0].node.ID)
	var ws []*producer
	for i := range partitions {
		w := &producer{p: p, topic: topic, index: i, flow: make(chan struct{}, 4), pace: 50 * time.Millisecond}
		p.wg.Go(w.run)
		ws = append(ws, w)
	}
	progress(p.t, ws, 1)
	return topic, ws
}

// watchGaps begins to note the longest time between two acknowledgements of every producer, and returns how to end that.
func watchGaps(ws []*producer) (end func() []time.Duration) {
	for _, w := range ws {
		w.gap.begin()
	}
	return func() (gaps []time.Duration) {
		for _, w := range ws {
			gaps = append(gaps, w.gap.end())
		}
		return gaps
	}
}

// gap is the longest time between two acknowledgements.
type gap struct {
	mu      sync.Mutex
	last    time.Time
	longest time.Duration
}

func (g *gap) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last, g.longest = time.Now(), 0
}

func (g *gap) acked() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.longest, g.last = max(g.longest, now.Sub(g.last)), now
}

func (g *gap) end() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.longest
}

// watchStalls notes how late a sleeper wakes, until the function it returns is called.
func watchStalls() (end func() time.Duration) {
	stop, worst := make(chan struct{}), make(chan time.Duration)
	go func() {
		longest := time.Duration(0)
		for {
			began := time.Now()
			select {
			case <-time.After(5 * time.Millisecond):
				longest = max(longest, time.Since(began)-5*time.Millisecond)
			case <-stop:
				worst <- longest
				return
			}
		}
	}()
	return func() time.Duration {
		close(stop)
		return <-worst
	}
}
