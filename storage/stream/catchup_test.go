package stream_test

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/objstore/driver"
	"sluice/storage/stream"
	"sluice/storage/stream/streamtest"
)

// slowStore answers every GET after 20 ms and counts what it was asked for.
type slowStore struct {
	driver.Store
	gets, bytes atomic.Int64
	flying, top atomic.Int64 // bytes of GETs under way, now and at most
}

func (s *slowStore) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	s.gets.Add(1)
	s.bytes.Add(n)
	now := s.flying.Add(n)
	defer s.flying.Add(-n)
	for top := s.top.Load(); now > top && !s.top.CompareAndSwap(top, now); top = s.top.Load() {
	}
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
		return dst, base.Wrap(base.Unavailable, ctx.Err())
	}
	return s.Store.Get(ctx, key, off, n, dst)
}

// Streams to catch up with are of records of 64 KiB in objects of 64 MiB.
const (
	catchUpRecord = 64 << 10
	catchUpObject = 1024 // records
)

// writeLarge writes streams 1 to n of so many objects each, closes them and ends the engine.
func writeLarge(t *testing.T, streams, objects int) *rig {
	r := newRig(t, func(o *stream.Options) { o.WALCacheBytes = 1 << 30 })
	var ss []*stream.Stream
	for id := range streams {
		ss = append(ss, r.open(base.StreamID(id+1)))
	}
	for range objects {
		for _, s := range ss {
			r.write(s, catchUpObject, catchUpRecord, 64)
			must(t, r.Flush(context.Background()))
		}
	}
	must(t, r.CloseAll(context.Background()))
	r.Abandon()
	return r
}

// reopen opens the first streams of a rig in an engine with nothing in memory and a slow store.
func (r *rig) reopen(t *testing.T, streams int, cacheBytes int64) (*slowStore, []*stream.Stream) {
	slow := &slowStore{Store: r.store.Store}
	opt := r.opt
	opt.Node, opt.Store, opt.BlockCacheBytes, opt.Pool = r.catalog.Register(1), slow, cacheBytes, &slab.Pool{}
	e := stream.New(opt)
	e.Start(&streamtest.Log{Pool: opt.Pool, OnBlock: e.OnBlock})
	t.Cleanup(func() {
		must(t, e.CloseAll(context.Background()))
		e.Abandon()
		if n := opt.Pool.InUse(); n != 0 {
			t.Errorf("%d bytes of buffers are still in use", n)
		}
	})
	var ss []*stream.Stream
	for i := range streams {
		ss = append(ss, e.Attach(r.catalog.Open(opt.Node, base.StreamID(i+1))))
	}
	return slow, ss
}

// follow reads a stream to its end, a megabyte at a time, and takes some time for each.
func follow(t *testing.T, s *stream.Stream, pause time.Duration) {
	for at := base.Offset(0); at < s.Durable(); {
		c, err := s.Read(context.Background(), at, math.MaxInt64, 1<<20, true)
		if err != nil || c.Start != at || c.End == at {
			t.Errorf("read at %d: %v", at, err)
			return
		}
		at = c.End
		c.Release()
		time.Sleep(pause)
	}
}

// perExtent is how many GETs there were for every 4 MiB of so many bytes.
func (s *slowStore) perExtent(bytes int64) float64 {
	return float64(s.gets.Load()) / (float64(bytes) / (4 << 20))
}

// TestCatchUpRequests: readers of a long stretch, alone or many, together or one behind the other, make at most 1.1 GETs for every 4 MiB that
// have to come from the bucket, indexes included; and read nothing twice that they can share. Where memory allows extents of 4 MiB only,
// what it takes to get going is counted apart: a long stream does not notice it.
func TestCatchUpRequests(t *testing.T) {
	const objects = 3
	r := writeLarge(t, 2, objects)
	for _, c := range []struct {
		name    string
		streams int
		readers int           // of each stream
		cache   int64         // bytes
		pause   time.Duration // of a reader after each megabyte
		stagger time.Duration // between the starts of two readers
		copies  float64       // how often the data is read from the bucket at most
		starts  float64       // GETs more, for windows that grow
	}{
		{"one reader", 1, 1, 64 << 20, time.Millisecond, 0, 1, 0},
		{"one reader, much memory", 1, 1, 256 << 20, time.Millisecond, 0, 1, 0},
		{"one slow reader", 1, 1, 64 << 20, 50 * time.Millisecond, 0, 1, 0},
		{"eight together", 1, 8, 64 << 20, time.Millisecond, 0, 1, 0},
		{"eight, each some megabytes behind", 1, 8, 64 << 20, 2 * time.Millisecond, 5 * time.Millisecond, 1, 0},
		{"eight, too far behind each other to share", 1, 8, 128 << 20, 5 * time.Millisecond, 500 * time.Millisecond, 8, 0},
		{"two streams", 2, 1, 32 << 20, 5 * time.Millisecond, 3 * time.Millisecond, 1, 2 * 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slow, ss := r.reopen(t, c.streams, c.cache)
				began := time.Now()
				var wg sync.WaitGroup
				for i := range c.readers * c.streams {
					wg.Go(func() { follow(t, ss[i%c.streams], c.pause) })
					time.Sleep(c.stagger)
				}
				wg.Wait()
				each := int64(objects * catchUpObject * catchUpRecord)
				once := each * int64(c.streams)
				t.Logf("%d GETs, %.3f per 4 MiB, the data %.2f times, %d MiB under way at most, %.0f MB/s each", slow.gets.Load(), slow.perExtent(slow.bytes.Load()),
					float64(slow.bytes.Load())/float64(once), slow.top.Load()>>20, float64(each)/1e6/time.Since(began).Seconds())
				if n := float64(slow.gets.Load()); n > 1.1*float64(slow.bytes.Load())/(4<<20)+c.starts {
					t.Errorf("%.3f GETs per 4 MiB", slow.perExtent(slow.bytes.Load()))
				}
				if n := float64(slow.bytes.Load()) / float64(once); n > c.copies*1.02 {
					t.Errorf("the data was read %.2f times", n)
				}
				if slow.top.Load() > c.cache {
					t.Errorf("%d bytes under way at a time with a cache of %d", slow.top.Load(), c.cache)
				}
			})
		})
	}
}
