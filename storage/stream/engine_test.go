package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/mem"
	"sluice/storage/stream"
	"sluice/storage/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an engine with everything around it.
type rig struct {
	t       testing.TB
	pool    *slab.Pool
	store   *faultStore
	catalog *streamtest.Catalog
	opt     stream.Options
	node    stream.NodeRef
	log     *streamtest.Log
	*stream.Engine
	failed chan error
}

func newRig(t testing.TB, change func(*stream.Options)) *rig {
	r := &rig{t: t, pool: &slab.Pool{}, catalog: &streamtest.Catalog{}, failed: make(chan error, 1)}
	r.store = &faultStore{Store: mem.New(), rnd: rand.New(rand.NewPCG(1, 1))}
	r.node = r.catalog.Register(1)
	r.opt = stream.Options{Cluster: base.NewUUID(), Node: r.node, Store: r.store, Catalog: r.catalog, Pool: r.pool, OnFailed: func(err error) { r.failed <- err }}
	r.opt.SetPause(time.Microsecond)
	if change != nil {
		change(&r.opt)
	}
	r.Engine = stream.New(r.opt)
	r.log = &streamtest.Log{Pool: r.pool, OnBlock: r.OnBlock, OnRoom: r.OnRoom}
	r.log.OnTrim = func(to base.WALPos) { // whoever comes after a crash reads from what the catalog has
		if committed := r.catalog.Trim(r.node.ID); to > committed {
			t.Errorf("the WAL is trimmed to %d, up to %d is committed", to, committed)
		}
	}
	r.Start(r.log)
	t.Cleanup(func() {
		r.Abandon()
		if n := r.pool.InUse(); n != 0 {
			t.Errorf("%d bytes of buffers are still in use", n)
		}
	})
	return r
}

func (r *rig) open(id base.StreamID) *stream.Stream { return r.Attach(r.catalog.Open(r.node, id)) }

// write appends n records of the given size, in blocks of perBlock records, and makes them durable.
func (r *rig) write(s *stream.Stream, n, size, perBlock int) {
	r.t.Helper()
	for i := range n {
		s.Append(record(s, size), func(err error) {
			if err != nil {
				r.t.Error(err)
			}
		})
		if (i+1)%perBlock == 0 {
			r.log.Commit()
		}
	}
	r.log.Commit()
}

func record(s *stream.Stream, size int) stream.AppendRecord {
	return stream.AppendRecord{Base: s.Next(), Count: 1, MaxTimestamp: int64(s.Next()), Data: content(s.Next(), size)}
}

func content(at base.Offset, size int) []byte {
	b := bytes.Repeat([]byte{byte(at), byte(at >> 8), byte(at >> 16), 1}, size/4+1)
	return b[:size]
}

// check reads [from, to) of records that write wrote and compares.
func (r *rig) check(s *stream.Stream, from, to base.Offset, size int) {
	r.t.Helper()
	for from < to {
		c, err := s.Read(context.Background(), from, to, 1<<20, true)
		if err != nil {
			r.t.Fatalf("read at %d: %v", from, err)
		}
		var want []byte
		for at := c.Start; at < c.End; at++ {
			want = append(want, content(at, size)...)
		}
		if c.Start != from || c.End == from || !bytes.Equal(bytes.Join(c.Segments, nil), want) {
			r.t.Fatalf("read at %d gives [%d, %d) with %d bytes, not what was written", from, c.Start, c.End, c.Bytes)
		}
		from = c.End
		c.Release()
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestOutage: while the bucket is down appends go on until the cache is full, then Admit blocks; when it is back, everything goes on by
// itself and nothing is missing.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *stream.Options) { o.WALCacheBytes = 1 << 20 })
		s, ctx := r.open(1), context.Background()
		r.store.set(true)
		n := 0
		for ; ; n++ {
			short, cancel := context.WithTimeout(ctx, time.Millisecond)
			err := r.Admit(short, 10_000)
			cancel()
			if err != nil {
				if !base.IsKind(err, base.Full) {
					t.Fatal(err)
				}
				break
			}
			r.write(s, 1, 10_000, 1)
		}
		if n < 10 || n > 110 {
			t.Fatalf("%d records of 10 kB admitted with a cache of 1 MiB", n)
		}
		blocked := make(chan error)
		go func() { blocked <- r.Admit(ctx, 10_000) }()
		time.Sleep(time.Minute)
		select {
		case err := <-blocked:
			t.Fatalf("admitted during the outage: %v", err)
		default:
		}
		r.check(s, 0, base.Offset(n), 10_000)
		r.store.set(false)
		must(t, <-blocked)
		must(t, r.Flush(ctx))
		r.check(s, 0, base.Offset(n), 10_000)
		r.Abandon()
	})
}

// TestAdmitOrder: who waits longer is admitted first, and one that gives up does not hold up the others.
func TestAdmitOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *stream.Options) { o.WALCacheBytes = 1 << 20 })
		s := r.open(1)
		r.store.set(true)
		r.write(s, 90, 10_000, 1)
		var order []int
		var mu sync.Mutex
		for i := range 5 {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if i == 0 {
				time.AfterFunc(time.Second, cancel)
			}
			go func() {
				if r.Admit(ctx, 600_000) == nil {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, i)
					r.write(s, 1, 600_000, 1)
				}
			}()
			synctest.Wait()
		}
		time.Sleep(2 * time.Second)
		r.store.set(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if fmt.Sprint(order) != "[1 2 3 4]" {
			t.Fatalf("admitted in the order %v", order)
		}
		r.Abandon()
	})
}

// TestIdle: what was written is uploaded after UploadEvery, once; an idle engine does no requests (rule 42).
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *stream.Options) { o.UploadEvery = 10 * time.Second })
		s := r.open(1)
		time.Sleep(time.Hour)
		if r.catalog.Commits() != 0 {
			t.Fatal("an upload of nothing")
		}
		r.write(s, 3, 100, 1)
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if r.catalog.Commits() != 0 {
			t.Fatal("uploaded too early")
		}
		time.Sleep(time.Hour)
		if r.catalog.Commits() != 1 || r.store.puts != 1 || r.catalog.End(1) != 3 {
			t.Fatalf("%d commits, %d puts, end %d", r.catalog.Commits(), r.store.puts, r.catalog.End(1))
		}
		r.Abandon()
	})
}

// TestManyStreams: 10,000 streams cost one put per upload and no goroutine each (I10).
func TestManyStreams(t *testing.T) {
	r := newRig(t, nil)
	const n = 10_000
	ss := make([]*stream.Stream, n)
	for i := range ss {
		ss[i] = r.open(base.StreamID(i + 1))
	}
	for range 2 {
		for _, s := range ss {
			s.Append(record(s, 50), func(error) {})
		}
		r.log.Commit()
		must(t, r.Flush(context.Background()))
	}
	if r.store.puts != 2 {
		t.Fatalf("%d puts for two uploads", r.store.puts)
	}
	must(t, r.CloseAll(context.Background()))
	if r.catalog.End(n) != 2 {
		t.Fatal("stream is not committed")
	}
}

// TestStreamObject: a stream with much data gets an object of its own.
func TestStreamObject(t *testing.T) {
	r := newRig(t, func(o *stream.Options) { o.SOBytes = 100_000 })
	a, b, c := r.open(1), r.open(2), r.open(3)
	r.write(a, 3, 1000, 3)
	r.write(b, 30, 10_000, 3)
	r.write(c, 3, 1000, 3)
	must(t, r.Flush(context.Background()))
	if r.store.puts != 2 {
		t.Fatalf("%d puts, want one SSO and one SO", r.store.puts)
	}
	r.check(b, 0, 30, 10_000)
}

// TestLostAnswers: numbers are consecutive and a commit whose answer was lost is answered as before; nothing is committed twice.
func TestLostAnswers(t *testing.T) {
	r := newRig(t, nil)
	var calls atomic.Int32
	r.catalog.Fail = func(method string) (error, bool) {
		if method == "CommitUpload" && calls.Add(1)%3 != 0 {
			return base.Errorf(base.Unavailable, "answer lost"), true
		}
		return nil, false
	}
	s := r.open(1)
	for i := range 5 {
		r.write(s, 2, 100, 1)
		must(t, r.Flush(context.Background()))
		if got := r.catalog.Commits(); got != i+1 {
			t.Fatalf("%d commits after %d uploads", got, i+1)
		}
	}
	must(t, s.Close(context.Background()))
}

// TestExpired: objects that expired before their commit are put again under new ids.
func TestExpired(t *testing.T) {
	r := newRig(t, nil)
	first := true
	r.catalog.Fail = func(method string) (error, bool) {
		if method == "CommitUpload" && first {
			first = false
			r.catalog.Expire()
		}
		return nil, false
	}
	s := r.open(1)
	r.write(s, 3, 5000, 2)
	must(t, r.Flush(context.Background()))
	if ids := r.catalog.Committed(); len(ids) != 1 || ids[0] != 2 || r.store.puts != 2 {
		t.Fatalf("committed %v after %d puts", ids, r.store.puts)
	}
	r.check(s, 0, 3, 5000)
}

// TestExpiredReserve: the ids that were prepared ahead have expired with those of the upload; they are not tried one after the other.
func TestExpiredReserve(t *testing.T) {
	r := newRig(t, nil)
	s := r.open(1)
	const before = 22 // the more uploads follow each other closely, the more ids are prepared ahead: now more than an upload has tries
	for range before {
		r.write(s, 1, 100, 1)
		must(t, r.Flush(context.Background()))
	}
	r.catalog.Expire()
	r.write(s, 1, 100, 1)
	must(t, r.Flush(context.Background()))
	r.check(s, 0, before+1, 100)
}

// TestTakenKey: an object that exists under our id with other content is not mistaken for our own put.
func TestTakenKey(t *testing.T) {
	r := newRig(t, nil)
	must(t, r.store.Store.Put(context.Background(), object.Key(r.opt.Cluster, 1), [][]byte{bytes.Repeat([]byte("x"), 1<<20)}, driver.PutOptions{}))
	must(t, r.store.Store.Put(context.Background(), object.Key(r.opt.Cluster, 2), [][]byte{[]byte("x")}, driver.PutOptions{}))
	s := r.open(1)
	r.write(s, 3, 5000, 2)
	must(t, r.Flush(context.Background()))
	if ids := r.catalog.Committed(); len(ids) != 1 || ids[0] != 3 {
		t.Fatalf("committed %v", ids)
	}
	r.check(s, 0, 3, 5000)
}

// TestFenced: a fenced commit ends the role: OnFailed is told once, nothing more is admitted or appended, and reads go on.
func TestFenced(t *testing.T) {
	r := newRig(t, nil)
	s := r.open(1)
	r.write(s, 3, 100, 1)
	r.catalog.Fence(r.node)
	if err := r.Flush(context.Background()); !base.IsKind(err, base.Fenced) {
		t.Fatal(err)
	}
	if err := <-r.failed; !base.IsKind(err, base.Fenced) {
		t.Fatal(err)
	}
	if err := r.Admit(context.Background(), 1); !base.IsKind(err, base.Fenced) {
		t.Fatal(err)
	}
	done := make(chan error)
	s.Append(record(s, 100), func(err error) { done <- err })
	if err := <-done; !base.IsKind(err, base.Fenced) {
		t.Fatal(err)
	}
	if err := s.Close(context.Background()); !base.IsKind(err, base.Fenced) {
		t.Fatal(err)
	}
	r.check(s, 0, 3, 100)
}

// TestTakenStream: ranges of streams that were taken away or deleted are skipped; the others commit, the trim moves on (rule 32).
func TestTakenStream(t *testing.T) {
	r := newRig(t, nil)
	a, b, c := r.open(1), r.open(2), r.open(3)
	for _, s := range []*stream.Stream{a, b, c} {
		r.write(s, 2, 100, 1)
	}
	r.catalog.Take(1)
	r.catalog.Delete(2)
	must(t, r.Flush(context.Background()))
	if r.catalog.Trim(1) != 6 || r.catalog.End(1) != 0 || r.catalog.End(3) != 2 {
		t.Fatalf("trim %d, ends %d %d", r.catalog.Trim(1), r.catalog.End(1), r.catalog.End(3))
	}
	for s, kind := range map[*stream.Stream]base.Kind{a: base.Fenced, b: base.NotFound} {
		done := make(chan error)
		s.Append(record(s, 100), func(err error) { done <- err })
		if err := <-done; !base.IsKind(err, kind) {
			t.Fatal(err)
		}
		if err := s.Close(context.Background()); err == nil {
			t.Fatal("closed a stream that holds uncommitted data")
		}
		r.Detach(s)
	}
	must(t, c.Close(context.Background()))
}

// TestRefusedInOrder: appends that come after a close complete after those before it, with Closed.
func TestRefusedInOrder(t *testing.T) {
	r := newRig(t, nil)
	s := r.open(1)
	var mu sync.Mutex
	var order []string
	note := func(i int) func(error) {
		return func(err error) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, fmt.Sprint(i, err == nil))
		}
	}
	for i := range 3 {
		s.Append(record(s, 10), note(i))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); !base.IsKind(err, base.Unavailable) {
		t.Fatal(err)
	}
	s.Append(record(s, 10), note(3))
	s.Append(record(s, 10), note(4))
	r.log.Commit()
	must(t, s.Close(context.Background()))
	if got := fmt.Sprint(order); got != "[0 true 1 true 2 true 3 false 4 false]" {
		t.Fatal(got)
	}
	last := make(chan error)
	s.Append(record(s, 10), func(err error) { last <- err })
	if err := <-last; !base.IsKind(err, base.Closed) {
		t.Fatal(err)
	}
	if r.catalog.End(1) != 3 {
		t.Fatal("not all that was acknowledged is committed")
	}
}

// TestCloseRetries: a close that found no controller is finished by the next one.
func TestCloseRetries(t *testing.T) {
	r := newRig(t, nil)
	s := r.open(1)
	r.write(s, 3, 100, 1)
	var down atomic.Bool
	down.Store(true)
	r.catalog.Fail = func(method string) (error, bool) {
		if down.Load() && method == "CloseStreams" {
			return base.Errorf(base.Unavailable, "no controller"), true
		}
		return nil, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); !base.IsKind(err, base.Unavailable) {
		t.Fatal(err)
	}
	down.Store(false)
	must(t, s.Close(context.Background()))
	if again := r.open(1); again.Next() != 3 || again.Epoch() != 1 {
		t.Fatalf("opens at %d under epoch %d", again.Next(), again.Epoch())
	}
}

// TestRetire: streams are retired together or not at all, and a completion that is still running is waited for.
func TestRetire(t *testing.T) {
	r := newRig(t, nil)
	a, b := r.open(1), r.open(2)
	r.write(a, 1, 100, 1)
	durable, running := make(chan struct{}), make(chan struct{})
	b.Append(record(b, 100), func(error) { close(durable); <-running })
	var wg sync.WaitGroup
	wg.Go(func() { r.log.Commit() })
	<-durable
	must(t, r.Flush(context.Background()))
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := stream.Retire(ended, a, b); !base.IsKind(err, base.Unavailable) {
		t.Fatal(err)
	}
	var ends []base.Offset
	var err error
	wg.Go(func() { ends, err = stream.Retire(context.Background(), a, b) })
	close(running)
	wg.Wait()
	if must(t, err); len(ends) != 2 || ends[0] != 1 || ends[1] != 1 {
		t.Fatal(ends)
	}

	a, b = r.open(3), r.open(4)
	r.write(b, 1, 100, 1)
	if _, err := stream.Retire(context.Background(), a, b); !base.IsKind(err, base.Unavailable) {
		t.Fatal("retired what is not committed: ", err)
	}
	r.write(a, 1, 100, 1) // which was not retired either
}

// TestConcurrent runs writers, tail readers, cold readers, trims and uploads at once, for the race detector.
func TestConcurrent(t *testing.T) {
	r := newRig(t, func(o *stream.Options) {
		o.WALCacheBytes, o.BlockCacheBytes, o.UploadBytes = 1<<20, 1<<20, 100_000
	})
	r.log.Auto()
	ctx := context.Background()
	const records = 1500
	var wg sync.WaitGroup
	var done [3]atomic.Bool
	for id := range 3 {
		s := r.open(base.StreamID(id + 1))
		wg.Add(3)
		go func() {
			defer wg.Done()
			for range records {
				if err := r.Admit(ctx, 1500); err != nil {
					t.Error(err)
					return
				}
				s.Append(record(s, 1500), func(err error) {
					if err != nil {
						t.Error(err)
					}
				})
			}
		}()
		for range 2 {
			go func() {
				defer wg.Done()
				for at := base.Offset(0); at < records; {
					end := s.Durable()
					r.check(s, at, end, 1500)
					if at = end; at == 1000 {
						done[id].Store(true)
					}
				}
			}()
		}
	}
	wg.Wait()
	must(t, r.CloseAll(ctx))
	must(t, r.log.Close(ctx))
	must(t, r.Close(ctx))
	if err := r.Admit(ctx, 1); !base.IsKind(err, base.Closed) {
		t.Fatal(err)
	}
}

// TestWALFull: a WAL without room blocks admission, and has what it holds uploaded.
func TestWALFull(t *testing.T) {
	r := newRig(t, nil)
	r.log.Limit = 200_000
	s, ctx := r.open(1), context.Background()
	for range 50 {
		must(t, r.Admit(ctx, 10_000))
		r.write(s, 1, 10_000, 1)
		if used := r.log.Used(); used > r.log.Limit {
			t.Fatalf("%d bytes in a WAL of %d", used, r.log.Limit)
		}
	}
	if r.catalog.Commits() == 0 {
		t.Fatal("nothing was uploaded")
	}
}

// TestRescueFenced: a rescuer whose grant is void stops.
func TestRescueFenced(t *testing.T) {
	r := newRig(t, nil)
	r.write(r.open(1), 3, 100, 1)
	r.Abandon()
	grant, trim, next := r.catalog.Fence(r.node)
	r.catalog.Fence(r.node)
	opt := stream.RescueOptions{Cluster: r.opt.Cluster, Store: r.store, Catalog: r.catalog}
	if err := stream.Rescue(context.Background(), opt, r.node, grant, next, r.log.Blocks(r.pool, trim)); !base.IsKind(err, base.Fenced) {
		t.Fatal(err)
	}
}

// TestItemErrors: the error of a batched call is spread over its items, and keeps their kinds.
func TestItemErrors(t *testing.T) {
	r := newRig(t, nil)
	a, b := r.open(1), r.open(2)
	r.write(a, 3, 100, 1)
	r.write(b, 3, 100, 1)
	r.catalog.Take(2)
	errs := r.TrimStreams(context.Background(), []stream.Trim{{Stream: a, Start: 2}, {Stream: b, Start: 2}, {Stream: a, Start: 9}})
	if errs[0] != nil || errs[1] == nil || !base.IsKind(errs[2], base.OutOfRange) || a.Start() != 2 || b.Start() != 0 {
		t.Fatal(errs)
	}
	if !base.IsKind(&stream.ItemErrors{Errs: []error{nil, base.Errorf(base.Fenced, "x")}}, base.Fenced) || !errors.As(errs[1], new(*base.Error)) {
		t.Fatal("kind is lost")
	}
}
