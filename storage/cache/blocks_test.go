package cache_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/cache"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// countingStore counts GETs, and holds them back while gate is set.
type countingStore struct {
	driver.Store
	gets atomic.Int32
	read atomic.Int64 // bytes
	gate chan struct{}
	fail atomic.Int32 // this many GETs fail
	kind base.Kind
}

func (s *countingStore) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	s.gets.Add(1)
	s.read.Add(max(n, 0))
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return dst, base.Wrap(base.Unavailable, ctx.Err())
		}
	}
	if s.fail.Add(-1) >= 0 {
		return dst, base.Errorf(s.kind, "injected")
	}
	return s.Store.Get(ctx, key, off, n, dst)
}

type rig struct {
	t     testing.TB
	store *countingStore
	pool  *slab.Pool
	*cache.Blocks
	sizes map[base.ObjectID]int64
}

func newRig(t testing.TB, budget int64) *rig {
	r := &rig{t: t, store: &countingStore{Store: mem.New()}, pool: &slab.Pool{}, sizes: map[base.ObjectID]int64{}}
	r.Blocks = cache.NewBlocks(cache.Options{Store: r.store, Pool: r.pool, Bytes: budget, Pause: time.Microsecond})
	t.Cleanup(func() {
		r.Close()
		if n := r.pool.InUse(); n != 0 {
			t.Errorf("%d bytes of buffers are still in use", n)
		}
	})
	return r
}

// put stores an object with so many blocks of about 500 kB for each of the streams 1 to n.
func (r *rig) put(id base.ObjectID, streams, blocks int) {
	w := object.NewWriter(0, 0)
	for s := range streams {
		for i := range blocks {
			w.Add(&object.Record{Stream: base.StreamID(s + 1), Base: base.Offset(i), Count: 1, Data: bytes.Repeat([]byte{byte(s), byte(i)}, 250_000)}, nil)
		}
	}
	body, size := w.Finish(object.Meta{ID: id})
	if err := r.store.Put(context.Background(), object.Key(base.UUID{}, id), body, driver.PutOptions{}); err != nil {
		r.t.Fatal(err)
	}
	r.sizes[id] = size
}

func (r *rig) index(id base.ObjectID) *object.Index {
	x, err := r.Index(context.Background(), id, r.sizes[id], cache.Tail{})
	if err != nil {
		r.t.Fatal(err)
	}
	return x
}

func (r *rig) get(x *object.Index, i int, want int64) *cache.Block {
	b, err := r.Get(context.Background(), x, i, want)
	if err != nil {
		r.t.Fatal(err)
	}
	if e := x.Entries[i]; b.Entry != e || !bytes.Equal(b.Data[:2], []byte{byte(e.Stream - 1), byte(e.Range.Start)}) {
		r.t.Fatalf("block %d is not what was written", i)
	}
	return b
}

// TestSingleFlight: however many want a block, it is read once; and a failure goes to all of them, and is not remembered.
func TestSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 64<<20)
		r.put(1, 1, 4)
		x := r.index(1)
		for _, fail := range []bool{true, false} {
			r.store.gate = make(chan struct{})
			r.store.gets.Store(0)
			if r.store.kind = base.NotFound; fail {
				r.store.fail.Store(1)
			} else {
				r.store.fail.Store(0)
			}
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					b, err := r.Get(context.Background(), x, 0, 0)
					if fail != base.IsKind(err, base.NotFound) {
						t.Errorf("got %v", err)
					}
					if b != nil {
						b.Release()
					}
				})
			}
			synctest.Wait()
			close(r.store.gate)
			wg.Wait()
			r.store.gate = nil
		}
		if n := r.store.gets.Load(); n != 1 {
			t.Fatalf("%d GETs for one block", n)
		}
	})
}

// TestRetry: a bucket that is unavailable for a moment is asked again; one that stays so is not asked for ever.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 64<<20)
		r.put(1, 1, 1)
		x := r.index(1)
		r.store.kind = base.Unavailable
		r.store.fail.Store(3)
		r.get(x, 0, 0).Release()
		r.put(2, 1, 1)
		r.store.fail.Store(1 << 30)
		if _, err := r.Index(context.Background(), 2, r.sizes[2], cache.Tail{}); !base.IsKind(err, base.Unavailable) {
			t.Fatal(err)
		}
	})
}

// TestTinyBudget: a block that was waited for is handed out even when the cache cannot keep it.
func TestTinyBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put(1, 2, 3)
		x := r.index(1)
		var held []*cache.Block
		for i := range x.Entries {
			held = append(held, r.get(x, i, 4<<20))
		}
		for i, b := range held {
			if b.Data[1] != byte(x.Entries[i].Range.Start) {
				t.Fatal("evicted while in use")
			}
			b.Release()
		}
	})
}

// TestBudget: the cache keeps to its budget, by least recent use, and does not read over the end of a stream.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const budget = 5 << 20
		r := newRig(t, budget)
		r.put(1, 3, 8)
		x := r.index(1)
		for i := range x.Entries {
			r.get(x, i, 0).Release()
			r.get(x, 0, 0).Release()
			if n := r.Bytes(); n > budget {
				t.Fatalf("%d bytes cached, the budget is %d", n, budget)
			}
		}
		if _, ok := r.TryGet(x, 1); ok {
			t.Fatal("the least recently used block is still there")
		}
		r.store.gets.Store(0)
		r.get(x, 6, 100<<20).Release() // blocks 6 and 7 belong to stream 1, block 8 to stream 2
		synctest.Wait()
		if _, ok := r.TryGet(x, 8); ok {
			t.Fatal("read into another stream")
		}
	})
}

// TestPrefetch: what is read ahead is there without waiting, and what is evicted unread is reported (rule 48).
func TestPrefetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 12<<20)
		r.put(1, 1, 16)
		r.put(2, 1, 20)
		x, y := r.index(1), r.index(2)
		var waste atomic.Int64
		next, done := 0, false
		for tries := 0; !done && tries < 3; tries++ { // half the budget may be under way at a time
			next, done = r.Prefetch(x, next, int64(16-next)*500_000, cache.ExtentMin<<3, &waste)
			synctest.Wait()
		}
		if next < 15 || !done {
			t.Fatalf("stopped at block %d of 16: %v", next, done)
		}
		for i := range 4 {
			b, ok := r.TryGet(x, i)
			if !ok {
				t.Fatalf("block %d is not in memory", i)
			}
			b.Release()
		}
		if waste.Load() != 0 {
			t.Fatal("waste")
		}
		for i := range y.Entries { // read once, in sequence: these make room for each other
			r.get(y, i, 0).Release()
		}
		if n := waste.Load(); n > 4_000_000 {
			t.Fatalf("%d bytes read ahead were evicted while there were blocks that had been read", n)
		}
		r.put(3, 1, 20)
		var other atomic.Int64
		for z, next, done := r.index(3), 0, false; !done; { // read ahead and never read, as x is
			next, done = r.Prefetch(z, next, int64(20-next)*500_000, 1<<20, &other)
			synctest.Wait()
		}
		if n := waste.Load(); n < 5_000_000 || n > 7_000_000 {
			t.Fatalf("%d bytes reported as read in vain, 12 blocks of 500 kB were", n)
		}
	})
}

// TestCancel: who waits no longer leaves nothing behind.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 64<<20)
		r.put(1, 1, 2)
		x := r.index(1)
		r.store.gate = make(chan struct{})
		ctx, cancel := context.WithCancel(context.Background())
		result := make(chan error)
		go func() {
			_, err := r.Get(ctx, x, 0, 0)
			result <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-result; !base.IsKind(err, base.Unavailable) {
			t.Fatal(err)
		}
		close(r.store.gate)
		synctest.Wait()
		r.get(x, 0, 0).Release()
	})
}

// TestClose interrupts what is being read.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 64<<20)
		r.put(1, 1, 2)
		x := r.index(1)
		r.store.gate = make(chan struct{})
		result := make(chan error)
		go func() {
			_, err := r.Get(context.Background(), x, 0, 0)
			result <- err
		}()
		synctest.Wait()
		r.Close()
		if err := <-result; !base.IsKind(err, base.Closed) {
			t.Fatal(err)
		}
		if _, err := r.Get(context.Background(), x, 0, 0); !base.IsKind(err, base.Closed) {
			t.Fatal(err)
		}
	})
}

// TestIndex is the WAL index against a slice.
func TestIndex(t *testing.T) {
	var x cache.Index
	next, first := base.Offset(0), base.Offset(0)
	for pos := base.WALPos(0); pos < 500; pos++ {
		for i := range int32(pos % 3) {
			x.Append(cache.Entry{Base: next, Count: 2, Pos: pos, Record: i})
			next += 2
		}
		if pos%5 == 4 {
			x.DropThrough(pos - 3)
			first = next
			if x.Len() > 0 {
				first = x.At(0).Base
			}
		}
		for at := first; at < next; at++ {
			if e := x.At(x.Search(at)); at < e.Base || at >= e.End() {
				t.Fatalf("Search(%d) gives [%d, %d)", at, e.Base, e.End())
			}
		}
		if x.Search(next) != x.Len() {
			t.Fatal("found something behind the end")
		}
	}
	if x.DropThrough(1000); x.Len() != 0 {
		t.Fatal(fmt.Sprint("left: ", x.Len()))
	}
}
