package compact_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/compact"
	"sluice/storage/compact/compacttest"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/fault"
	"sluice/storage/objstore/mem"
	"sluice/storage/stream"
	"sluice/storage/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an engine that writes and reads, and a worker, on one bucket.
type rig struct {
	t       *testing.T
	rng     *rand.Rand
	pool    *slab.Pool
	store   *fault.Store
	catalog compacttest.Catalog
	cluster base.UUID
	node    stream.NodeRef
	engine  *stream.Engine
	log     *streamtest.Log
	worker  *compact.Worker
	streams []*stream.Stream
	read    sync.WaitGroup
	stop    chan struct{}

	mu       sync.Mutex
	prepared map[base.ObjectID]int64
}

func newRig(t *testing.T, seed uint64, streams int) *rig {
	r := &rig{t: t, rng: rand.New(rand.NewPCG(seed, 1)), pool: &slab.Pool{}, store: fault.New(mem.New(), seed), cluster: base.UUID{9}, stop: make(chan struct{}),
		prepared: map[base.ObjectID]int64{}}
	r.catalog = compacttest.Catalog{Catalog: &streamtest.Catalog{}, Prepared: r.preparedMS}
	r.node = r.catalog.Register(1)
	node := r.node
	r.engine = stream.New(stream.Options{Cluster: r.cluster, Node: node, Store: r.store, Catalog: r.catalog, Pool: r.pool, WALCacheBytes: 256 << 10, BlockCacheBytes: 64 << 10,
		SOBytes: 100 << 10, OnFailed: func(err error) { t.Error("the engine failed:", err) }})
	r.log = (&streamtest.Log{Pool: r.pool, OnBlock: r.engine.OnBlock, OnRoom: r.engine.OnRoom})
	r.engine.Start(r.log)
	for id := range streams {
		r.streams = append(r.streams, r.engine.Attach(r.catalog.Open(node, base.StreamID(id+1))))
	}
	r.worker = r.newWorker()
	return r
}

func (r *rig) newWorker() *compact.Worker { return compact.Start(r.options()) }

func (r *rig) options() compact.Options {
	return compact.Options{Cluster: r.cluster, Node: r.node, Store: r.store, Catalog: r.catalog, Pool: r.pool, Interval: -1, SplitAge: 20 * time.Minute,
		SplitBytes: 20 << 10, SOBytes: 60 << 10, ObjectBytes: 200 << 10, MemoryBytes: 400 << 10, Registerer: prometheus.NewRegistry()}
}

// preparedMS takes the first time that an object is seen for the time it was prepared.
func (r *rig) preparedMS(id base.ObjectID) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.prepared[id] == 0 {
		r.prepared[id] = time.Now().UnixMilli()
	}
	return r.prepared[id]
}

// data is what every record holds, by stream and offset.
func data(id base.StreamID, at base.Offset) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%d/%d ", id, at), 1+int(uint64(at)*7919%97)*int(id%4+1))
}

// write appends a few records to some streams and uploads them.
func (r *rig) write() {
	for _, s := range r.streams {
		if r.rng.IntN(3) == 0 {
			continue
		}
		for range r.rng.IntN(30) {
			at := s.Next()
			s.Append(stream.AppendRecord{Base: at, Count: 1, MaxTimestamp: int64(at), Data: data(s.ID(), at)}, func(err error) {
				if err != nil {
					r.t.Error(err)
				}
			})
		}
	}
	r.log.Commit()
	if err := r.engine.Flush(r.t.Context()); err != nil {
		r.t.Error(err)
	}
}

// readAll reads a stream from where it starts to what is durable. Errors of the bucket are tried again; what is read must be what was written.
func (r *rig) readAll(s *stream.Stream) {
	at := s.Start()
	for end := s.Durable(); at < end; {
		c, err := s.Read(context.Background(), at, end, 1<<16, true)
		switch {
		case base.IsKind(err, base.OutOfRange) && s.Start() > at:
			at = s.Start()
			continue
		case base.IsKind(err, base.Unavailable):
			time.Sleep(time.Second)
			continue
		case err != nil:
			r.t.Errorf("stream %d at %d: %v", s.ID(), at, err)
			return
		}
		var want []byte
		for o := c.Start; o < c.End; o++ {
			want = append(want, data(s.ID(), o)...)
		}
		if c.Start != at || c.End <= at || !bytes.Equal(bytes.Join(c.Segments, nil), want) {
			r.t.Errorf("stream %d: a read at %d gives %d bytes of [%d, %d), not what was written", s.ID(), at, c.Bytes, c.Start, c.End)
		}
		at = c.End
		c.Release()
	}
}

// readers read everything, again and again, until finish.
func (r *rig) readers() {
	for _, s := range r.streams {
		r.read.Go(func() {
			for {
				r.readAll(s)
				select {
				case <-r.stop:
					return
				case <-time.After(20 * time.Second):
				}
			}
		})
	}
}

// sweep deletes the objects that nothing refers to any more, as the controller does after their grace.
func (r *rig) sweep(grace bool) {
	used := map[base.ObjectID]bool{}
	r.catalog.EachRange(func(_ base.StreamID, o stream.ObjectRange, _ stream.ObjectKind) { used[o.ID] = true })
	for _, id := range r.catalog.Committed() {
		if !used[id] && (!grace || r.rng.IntN(2) == 0) {
			if err := r.store.Delete(context.Background(), object.Key(r.cluster, id)); err != nil && !base.IsKind(err, base.Unavailable) {
				r.t.Error(err)
			}
		}
	}
}

func (r *rig) stopReaders() {
	select {
	case <-r.stop:
	default:
		close(r.stop)
	}
	r.read.Wait()
}

func (r *rig) round() compact.Report {
	rep, err := r.worker.Round(r.t.Context())
	if err != nil {
		r.t.Error(err)
	}
	return rep
}

func (r *rig) finish() {
	r.stopReaders()
	r.worker.Close()
	if err := r.engine.Close(r.t.Context()); err != nil {
		r.t.Error(err)
	}
	_ = r.log.Close(r.t.Context())
	if n := r.pool.InUse(); n != 0 {
		r.t.Errorf("%d bytes of buffers are in use", n)
	}
}

// shape returns how many objects and ranges there are.
func (r *rig) shape() (objects, ranges int) {
	seen := map[base.ObjectID]bool{}
	r.catalog.EachRange(func(_ base.StreamID, o stream.ObjectRange, _ stream.ObjectKind) {
		seen[o.ID] = true
		ranges++
	})
	return len(seen), ranges
}

// TestReadersSeeNoChange: while ranges are replaced and their objects deleted under them, readers read what was written (I6); so they do while the
// bucket fails, loses answers and stores late, and while the metadata loses answers. In the end everything is where it should be.
func TestReadersSeeNoChange(t *testing.T) {
	seeds := []uint64{0, 1, 2, 3, 4, 5}
	if testing.Short() {
		seeds = []uint64{0, 3, 5} // 15 s each under the race detector
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { noChange(t, seed) }) })
	}
}

func noChange(t *testing.T, seed uint64) {
	r := newRig(t, seed, 8)
	slow := fault.Rule{Name: "slow", Delay: 300 * time.Millisecond} // so that readers and the worker meet
	r.store.SetRules(slow)
	if seed > 0 {
		p := []float64{0, 0.02, 0.05, 0.1, 0.02, 0.2}[seed]
		r.store.SetRules(
			fault.Rule{Name: "lost", Op: fault.Put, Effect: fault.LoseAnswer, Prob: p}, fault.Rule{Name: "late", Op: fault.Put, Effect: fault.Late, Prob: p},
			fault.Rule{Name: "refused", Effect: fault.Refuse, Prob: p}, slow)
		rng := rand.New(rand.NewPCG(seed, 7))
		var mu sync.Mutex
		r.catalog.Fail = func(string) (error, bool) {
			mu.Lock()
			defer mu.Unlock()
			if rng.Float64() < p {
				return base.Errorf(base.Unavailable, "no answer"), rng.IntN(2) == 0
			}
			return nil, false
		}
	}
	r.readers()
	var sum compact.Report
	for i := range 60 {
		r.write()
		time.Sleep(time.Minute)
		if i%3 == 0 {
			rep := r.round()
			sum.Jobs, sum.Replaced, sum.Failed = sum.Jobs+rep.Jobs, sum.Replaced+rep.Replaced, sum.Failed+rep.Failed
		}
		r.store.Deliver(t.Context(), r.rng.IntN(3))
		r.sweep(true)
		if s := r.streams[r.rng.IntN(len(r.streams))]; i%7 == 0 && s.Durable() > s.Start() {
			if err := s.Trim(t.Context(), s.Start()+base.Offset(r.rng.Int64N(int64(s.Durable()-s.Start())))); err != nil && !base.IsKind(err, base.Unavailable) {
				t.Error(err)
			}
		}
	}
	r.store.SetRules()
	r.stopReaders()
	r.catalog.Fail = nil
	for range 3 { // objects that were thought gone or damaged are left alone for an hour
		time.Sleep(2 * time.Hour)
		rep := r.round()
		if rep.Failed > 0 {
			t.Errorf("in a bucket that behaves: %+v", rep)
		}
		sum.Jobs, sum.Replaced = sum.Jobs+rep.Jobs, sum.Replaced+rep.Replaced
	}
	r.sweep(false)
	objects, ranges := r.shape()
	t.Logf("%+v; in the end %d objects and %d ranges", sum, objects, ranges)
	if rep := r.round(); rep.Plans > 1 || rep.Left != 0 || rep.BytesRead+rep.BytesWritten != 0 {
		t.Errorf("with nothing to do: %+v", rep)
	}
	if sum.Jobs == 0 || ranges > 16*len(r.streams) {
		t.Errorf("%+v; in the end %d objects and %d ranges", sum, objects, ranges)
	}
	for _, s := range r.streams {
		r.readAll(s)
	}
	r.finish()
}

// TestTwoWorkers: two nodes that do the same work at the same time, while what they read is deleted behind them, waste bytes and nothing else.
func TestTwoWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, 8)
		other := r.newWorker()
		r.store.SetRules(fault.Rule{Name: "slow", Delay: 300 * time.Millisecond})
		r.readers()
		var sum compact.Report
		for range 6 {
			for range 8 {
				r.write()
			}
			reports := make(chan compact.Report, 2)
			for i, w := range []*compact.Worker{r.worker, other} {
				go func() {
					time.Sleep(time.Duration(i) * 2 * time.Second)
					rep, err := w.Round(t.Context())
					if err != nil {
						t.Error(err)
					}
					reports <- rep
				}()
			}
			for done := 0; done < 2; {
				select {
				case rep := <-reports:
					sum.Replaced, sum.Skipped, sum.Failed, done = sum.Replaced+rep.Replaced, sum.Skipped+rep.Skipped, sum.Failed+rep.Failed, done+1
				case <-time.After(time.Second):
					r.sweep(true)
				}
			}
			time.Sleep(21 * time.Minute)
		}
		r.stopReaders()
		r.sweep(false)
		for _, s := range r.streams {
			r.readAll(s)
		}
		objects, ranges := r.shape()
		t.Logf("%+v; in the end %d objects and %d ranges", sum, objects, ranges)
		if sum.Replaced == 0 || sum.Skipped+sum.Failed == 0 || ranges > 16*len(r.streams) {
			t.Errorf("%+v; in the end %d objects and %d ranges", sum, objects, ranges)
		}
		other.Close()
		r.finish()
	})
}

// TestDamage: a damaged object is left alone, the others go on; it is not read again in every round.
func TestDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, 4)
		for range 40 {
			r.write()
		}
		bad := r.catalog.Snapshot().Objects[3]
		key := object.Key(r.cluster, bad.ID)
		whole, err := r.store.Get(t.Context(), key, 0, -1, nil)
		if err != nil {
			t.Fatal(err)
		}
		whole[object.HeaderBytes+10] ^= 1
		if err := r.store.Put(t.Context(), key, [][]byte{whole}, driver.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		first := r.round()
		if first.Failed != 1 || first.Error == "" {
			t.Errorf("the round that meets the damage: %+v", first)
		}
		if rep := r.round(); rep.Failed != 0 || rep.Left != 0 {
			t.Errorf("the next one: %+v", rep)
		}
		if objects, _ := r.shape(); objects > 30 {
			t.Errorf("%d objects are left of 40: the damaged one keeps the others from being merged", objects)
		}
		left := false
		for _, o := range r.catalog.Snapshot().Objects {
			left = left || o.ID == bad.ID && len(o.Ranges) == len(bad.Ranges)
		}
		if !left {
			t.Error("the damaged object is not what it was in the metadata")
		}
		r.finish()
	})
}

// TestStopsAtOnce: a worker that hangs in a request, or waits for its bandwidth, ends when it is closed.
func TestStopsAtOnce(t *testing.T) {
	for _, hang := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 2, 4)
			for range 12 {
				r.write()
			}
			r.worker.Close()
			opt := compact.Options{Cluster: r.cluster, Node: stream.NodeRef{ID: 1, Epoch: 1}, Store: r.store, Catalog: r.catalog, Pool: r.pool, Interval: time.Minute}
			if hang {
				r.store.SetRules(fault.Rule{Name: "hang", Effect: fault.Hang})
			} else {
				opt.Bandwidth = compact.NewBandwidth(1, func() bool { return true })
			}
			r.worker = compact.Start(opt)
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if hang && r.store.Fired("hang") == 0 {
				t.Error("the worker does nothing")
			}
			began := time.Now()
			r.worker.Close()
			if took := time.Since(began); took != 0 {
				t.Errorf("it took %v", took)
			}
			if _, err := r.worker.Round(t.Context()); !base.IsKind(err, base.Closed) {
				t.Errorf("a round of a closed worker: %v", err)
			}
			r.store.SetRules()
			r.finish()
		})
	}
}

// TestRequestsDependOnBytes: merging the same bytes takes the same requests, whether they are of ten streams or of two thousand, but for larger indexes.
func TestRequestsDependOnBytes(t *testing.T) {
	const uploads, perUpload = 16, 200 << 10
	requests := map[int]int{}
	for _, streams := range []int{10, 200, 2000} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1, streams)
			for range uploads {
				for _, s := range r.streams {
					data := make([]byte, perUpload/streams)
					s.Append(stream.AppendRecord{Base: s.Next(), Count: 1, MaxTimestamp: 1, Data: data}, func(err error) {
						if err != nil {
							t.Error(err)
						}
					})
				}
				r.log.Commit()
				if err := r.engine.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			r.worker.Close()
			opt := r.options()
			opt.SOBytes, opt.ObjectBytes, opt.MemoryBytes = 1<<30, 4<<20, 8<<20
			r.worker = compact.Start(opt)
			r.store.SetRules(fault.Rule{Name: "request"})
			if rep := r.round(); rep.ObjectsRead < uploads || rep.Failed != 0 {
				t.Errorf("%d streams: %+v", streams, rep)
			}
			requests[streams] = r.store.Fired("request")
			r.finish()
		})
	}
	t.Log(requests)
	if most := requests[10] + uploads; requests[200] > most || requests[2000] > most {
		t.Errorf("requests by number of streams: %v", requests)
	}
}
