package bulk

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestOneProcessorIsLeft: however many want to, no more work at a time than there are processors but one; and all get their turn.
func TestOneProcessorIsLeft(t *testing.T) {
	var now, most, done atomic.Int64
	var wg sync.WaitGroup
	for range 8 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for range 100 {
				Do(func() {
					n := now.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					runtime.Gosched()
					done.Add(1)
					now.Add(-1)
				})
			}
		})
	}
	wg.Wait()
	if want := int64(cap(turns)); most.Load() > want || want > max(1, int64(runtime.GOMAXPROCS(0))-1) {
		t.Errorf("%d worked at a time, want at most %d", most.Load(), want)
	}
	if want := int64(800 * runtime.GOMAXPROCS(0)); done.Load() != want {
		t.Errorf("%d of %d were done", done.Load(), want)
	}
}

func BenchmarkDo(b *testing.B) {
	for b.Loop() {
		Do(func() {})
	}
}
