package stream_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/mem"
	"sluice/storage/stream"
	"sluice/storage/stream/streamtest"
	"sluice/storage/wal"
)

// faultStore makes puts and gets fail, or succeed and report otherwise, with the given chance in percent.
type faultStore struct {
	driver.Store
	mu     sync.Mutex
	rnd    *rand.Rand
	chance int
	down   bool
	puts   int
}

func (s *faultStore) roll() (fail, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return true, false
	}
	n := s.rnd.IntN(100)
	return n < s.chance, n < s.chance/2
}

func (s *faultStore) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *faultStore) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	s.mu.Lock()
	s.puts++
	s.mu.Unlock()
	fail, lost := s.roll()
	if fail && !lost {
		return base.Errorf(base.Unavailable, "injected")
	}
	err := s.Store.Put(ctx, key, body, opt)
	if err == nil && lost {
		return base.Errorf(base.Undetermined, "injected: answer lost")
	}
	return err
}

func (s *faultStore) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	if fail, _ := s.roll(); fail {
		return dst, base.Errorf(base.Unavailable, "injected")
	}
	return s.Store.Get(ctx, key, off, n, dst)
}

// world is an engine, what surrounds it, and the slow model: for every stream, the list of its records.
type world struct {
	t       *rapid.T
	ctx     context.Context
	cluster base.UUID
	pool    *slab.Pool
	store   *faultStore
	catalog *streamtest.Catalog
	opt     stream.Options

	node    stream.NodeRef
	log     *streamtest.Log
	engine  *stream.Engine
	streams map[base.StreamID]*modelStream
	serial  uint64
}

type modelRecord struct {
	base  base.Offset
	count int32
	ts    int64
	data  []byte
	acked int  // completions, nil error
	err   int  // completions, with an error
	gone  bool // a compaction removed it from the objects; the WAL cache may still have it
}

func (r *modelRecord) end() base.Offset { return r.base + base.Offset(r.count) }

type modelStream struct {
	id      base.StreamID
	s       *stream.Stream // nil: closed
	start   base.Offset
	records []*modelRecord
	durable int // records
	done    int // completions seen
}

func (m *modelStream) end() base.Offset { return m.endOf(len(m.records)) }

func (m *modelStream) endOf(n int) base.Offset {
	if n == 0 {
		return 0
	}
	return m.records[n-1].end()
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, ctx: context.Background(), cluster: base.NewUUID(), pool: &slab.Pool{}, catalog: &streamtest.Catalog{}, streams: map[base.StreamID]*modelStream{}}
	seed := rapid.Uint64().Draw(t, "seed")
	w.store = &faultStore{Store: mem.New(), rnd: rand.New(rand.NewPCG(seed, 1)), chance: rapid.SampledFrom([]int{0, 0, 10, 30}).Draw(t, "store faults")}
	chance := rapid.SampledFrom([]int{0, 0, 20}).Draw(t, "catalog faults")
	var mu sync.Mutex
	rnd := rand.New(rand.NewPCG(seed, 2))
	w.catalog.Fail = func(string) (error, bool) {
		mu.Lock()
		defer mu.Unlock()
		if n := rnd.IntN(100); n < chance {
			return base.Errorf(base.Unavailable, "injected"), n%2 == 0
		}
		return nil, false
	}
	w.opt = stream.Options{
		Cluster: w.cluster, Store: w.store, Catalog: w.catalog, Pool: w.pool,
		WALCacheBytes:   int64(rapid.SampledFrom([]int{1, 64 << 10, 1 << 20}).Draw(t, "WAL cache")),
		BlockCacheBytes: int64(rapid.SampledFrom([]int{1, 64 << 10, 8 << 20}).Draw(t, "block cache")),
		SOBytes:         int64(rapid.SampledFrom([]int{1, 20 << 10, 8 << 20}).Draw(t, "SO bytes")),
		UploadBytes:     int64(rapid.SampledFrom([]int{1, 32 << 10, 64 << 20}).Draw(t, "upload bytes")),
	}
	w.opt.SetPause(time.Microsecond)
	for id := range base.StreamID(rapid.IntRange(1, 4).Draw(t, "streams")) {
		w.streams[id+1] = &modelStream{id: id + 1}
	}
	w.begin()
	return w
}

// begin starts a new node epoch and opens all streams.
func (w *world) begin() {
	w.node = w.catalog.Register(7)
	w.opt.Node = w.node
	w.engine = stream.New(w.opt)
	w.log = &streamtest.Log{Pool: w.pool, OnBlock: w.engine.OnBlock, OnRoom: w.engine.OnRoom}
	w.log.OnTrim = func(to base.WALPos) {
		if committed := w.catalog.Trim(w.node.ID); to > committed {
			panic(fmt.Sprintf("the WAL is trimmed to %d, up to %d is committed", to, committed))
		}
	}
	w.engine.Start(w.log)
	for _, m := range w.streams {
		w.open(m)
	}
}

// open opens a stream and checks that it goes on exactly where it ended (I1, I2).
func (w *world) open(m *modelStream) {
	st := w.catalog.Open(w.node, m.id)
	if st.End != m.end() || st.Start != m.start {
		w.t.Fatalf("stream %d opens at [%d, %d), want [%d, %d)", m.id, st.Start, st.End, m.start, m.end())
	}
	m.s = w.engine.Attach(st)
	m.done = len(m.records)
}

func (w *world) pick() *modelStream {
	return w.streams[base.StreamID(rapid.IntRange(1, len(w.streams)).Draw(w.t, "stream"))]
}

func (w *world) append() {
	m := w.pick()
	w.serial++
	size := rapid.SampledFrom([]int{1, 100, 3000, 20_000}).Draw(w.t, "size")
	r := &modelRecord{base: m.end(), count: int32(rapid.IntRange(1, 5).Draw(w.t, "count")), ts: int64(rapid.IntRange(-1, 50).Draw(w.t, "ts")),
		data: binary.LittleEndian.AppendUint64(bytes.Repeat([]byte{byte(m.id)}, size), w.serial)}
	m.records = append(m.records, r)
	i, s := len(m.records)-1, m.s
	s.Append(stream.AppendRecord{Base: r.base, Count: r.count, MaxTimestamp: r.ts, Data: r.data}, func(err error) {
		if m.done != i {
			panic(fmt.Sprintf("completion of record %d, want %d", i, m.done))
		}
		m.done++
		if err != nil {
			r.err++
			return
		}
		r.acked++
		if s.Durable() < r.end() {
			panic("acknowledged before durable")
		}
	})
}

// commit makes the WAL's open block durable.
func (w *world) commit() {
	w.log.Commit()
	for _, m := range w.streams {
		for m.durable < len(m.records) && m.records[m.durable].acked == 1 {
			m.durable++
		}
		if m.durable != len(m.records) {
			w.t.Fatalf("stream %d: %d of %d appends acknowledged", m.id, m.durable, len(m.records))
		}
	}
}

func (w *world) flush() {
	if err := w.engine.Flush(w.ctx); err != nil {
		w.t.Fatal(err)
	}
}

// read reads at a random place and compares with the model (I4, I6).
func (w *world) read() {
	m := w.pick()
	end := m.endOf(m.durable)
	from := base.Offset(rapid.Int64Range(int64(m.start), int64(end)).Draw(w.t, "from"))
	to := base.Offset(rapid.Int64Range(int64(from), int64(m.end())+3).Draw(w.t, "to"))
	w.readAt(m, from, to, rapid.SampledFrom([]int{0, 1, 5000, 50_000, 1 << 20}).Draw(w.t, "max"), rapid.Bool().Draw(w.t, "min one"), rapid.Bool().Draw(w.t, "cached"))
}

func (w *world) readAt(m *modelStream, from, to base.Offset, maxBytes int, minOne, cached bool) base.Offset {
	var c *stream.Chunk
	var err error
	if cached {
		ok := false
		if c, ok, err = m.s.TryReadCached(from, to, maxBytes, minOne); !ok {
			return from
		}
	} else {
		c, err = m.s.Read(w.ctx, from, to, maxBytes, minOne)
		for base.IsKind(err, base.Unavailable) { // injected
			c, err = m.s.Read(w.ctx, from, to, maxBytes, minOne)
		}
	}
	if err != nil {
		w.t.Fatalf("read stream %d at %d: %v", m.id, from, err)
	}
	defer c.Release()
	got := bytes.Join(c.Segments, nil)
	if len(got) != c.Bytes {
		w.t.Fatalf("chunk says %d bytes, has %d", c.Bytes, len(got))
	}
	w.compare(m, c, got, from, to, maxBytes, minOne)
	return c.End
}

func (w *world) compare(m *modelStream, c *stream.Chunk, got []byte, from, to base.Offset, maxBytes int, minOne bool) {
	i := 0
	for i < m.durable && m.records[i].end() <= from {
		i++
	}
	if len(got) == 0 {
		w.compareEmpty(m, c, i, from, to, maxBytes, minOne)
		return
	}
	first, n, last := -1, 0, -1
	for ; n < len(got); i++ {
		if i >= m.durable || m.records[i].end() > to {
			w.t.Fatalf("stream %d: read more than is durable or below %d", m.id, to)
		}
		r := m.records[i]
		if n+len(r.data) > len(got) || !bytes.Equal(got[n:n+len(r.data)], r.data) {
			if r.gone {
				continue
			}
			w.t.Fatalf("stream %d: other bytes than written at %d", m.id, r.base)
		}
		if first < 0 {
			first = i
		}
		n, last = n+len(r.data), i
	}
	if c.Start != m.records[first].base || c.End != m.records[last].end() {
		w.t.Fatalf("stream %d: read at %d gives a chunk [%d, %d), its records are [%d, %d)", m.id, from, c.Start, c.End, m.records[first].base, m.records[last].end())
	}
	if len(got) > maxBytes && !(minOne && first == last) {
		w.t.Fatalf("%d bytes read, at most %d wanted", len(got), maxBytes)
	}
}

// compareEmpty checks a chunk without records; i is the first record that ends above from.
func (w *world) compareEmpty(m *modelStream, c *stream.Chunk, i int, from, to base.Offset, maxBytes int, minOne bool) {
	if c.Start != c.End || c.Start < from || c.Start > max(from, min(to, m.endOf(m.durable))) {
		w.t.Fatalf("empty chunk says [%d, %d), read at %d up to %d", c.Start, c.End, from, to)
	}
	for removed := false; i < m.durable && m.records[i].end() <= to; i++ {
		r := m.records[i]
		if r.gone { // it may be there and not fit
			removed = true
			continue
		}
		if r.end() <= c.End || minOne || !removed && len(r.data) <= maxBytes {
			w.t.Fatalf("stream %d: nothing read at %d up to %d, there is a record at %d", m.id, from, c.End, r.base)
		}
		return
	}
}

func (w *world) trim() {
	m := w.pick()
	start := base.Offset(rapid.Int64Range(0, int64(m.endOf(m.durable))).Draw(w.t, "start"))
	if err := m.s.Trim(w.ctx, start); err != nil {
		w.t.Fatal(err)
	}
	m.start = max(m.start, start)
	if m.start > 0 {
		if _, err := m.s.Read(w.ctx, m.start-1, m.end(), 1, true); !base.IsKind(err, base.OutOfRange) {
			w.t.Fatalf("read below the start: %v", err)
		}
	}
}

// reopen closes a stream and opens it again under the next epoch.
func (w *world) reopen() {
	w.commit()
	m := w.pick()
	if err := m.s.Close(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	if _, err := m.s.Read(w.ctx, m.start, m.end()+1, 1, true); m.start < m.end() && err == nil {
		w.t.Fatal("a closed stream can be read")
	}
	w.open(m)
}

// crash drops the engine, seals the WAL, has it rescued (interrupted at random, each time by another rescuer), and starts a new epoch.
func (w *world) crash() {
	w.engine.Abandon()
	w.log.Seal()
	for _, m := range w.streams {
		for _, r := range m.records[m.durable:] {
			if r.acked != 0 || r.err != 1 {
				w.t.Fatalf("stream %d: append completed %d times well, %d times badly", m.id, r.acked, r.err)
			}
		}
		m.records = m.records[:m.durable]
	}
	for {
		grant, trim, next := w.catalog.Fence(w.node)
		stop := rapid.IntRange(0, 4).Draw(w.t, "rescue stops after")
		blocks := interrupted(w.log.Blocks(w.pool, trim), stop)
		opt := stream.RescueOptions{Cluster: w.cluster, Store: w.store, Catalog: w.catalog, UploadBytes: int64(rapid.SampledFrom([]int{1, 30 << 10, 1 << 30}).Draw(w.t, "piece")), SOBytes: w.opt.SOBytes}
		if rapid.Bool().Draw(w.t, "skip") {
			opt.Skip = func(id base.StreamID, _ base.StreamEpoch, r base.OffsetRange) bool { return r.End <= w.catalog.End(id) }
		}
		opt.SetPause(time.Microsecond)
		err := stream.Rescue(w.ctx, opt, w.node, grant, next, blocks)
		if err == nil {
			break
		}
		if !base.IsKind(err, base.Closed) {
			w.t.Fatal(err)
		}
	}
	w.catalog.Rescued(w.node)
	w.begin()
}

// fail has the WAL fail, of which nothing is read then: the streams close at what is durable, and open again on another WAL.
func (w *world) fail() {
	broken := base.Errorf(base.Failed, "the disk is broken")
	first := rapid.Bool().Draw(w.t, "halted first")
	if first {
		w.engine.Halt(broken)
	}
	w.log.Fail()
	if !first {
		w.engine.Halt(broken)
	}
	for _, m := range w.streams {
		m.records = m.records[:m.durable]
	}
	if rapid.Bool().Draw(w.t, "read") {
		w.readAll()
	}
	var all []*stream.Stream
	for _, m := range w.streams {
		all = append(all, m.s)
	}
	for _, err := range w.engine.CloseStreams(w.ctx, all) {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.engine.Close(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	w.begin()
}

// interrupted ends a sequence with an error after n blocks, unless n is 0.
func interrupted(blocks iter.Seq2[*wal.Block, error], n int) iter.Seq2[*wal.Block, error] {
	if n == 0 {
		return blocks
	}
	return func(yield func(*wal.Block, error) bool) {
		left := n
		for b, err := range blocks {
			if left == 0 {
				b.Release()
				yield(nil, base.Errorf(base.Closed, "interrupted"))
				return
			}
			left--
			if !yield(b, err) {
				return
			}
		}
	}
}

// readAll reads every stream from its start (I1, I2, I6).
func (w *world) readAll() {
	for _, m := range w.streams {
		for at := m.start; at < m.endOf(m.durable); {
			next := w.readAt(m, at, m.end(), 30_000, true, false)
			if next <= at {
				w.t.Fatalf("stream %d: no progress at %d", m.id, at)
			}
			at = next
		}
	}
}

// end shuts down in order and checks that every buffer came back (I9).
func (w *world) end() {
	w.commit()
	w.readAll()
	if err := w.engine.CloseAll(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	if err := w.log.Close(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	if err := w.engine.Close(w.ctx); err != nil {
		w.t.Fatal(err)
	}
	for _, m := range w.streams {
		if end := w.catalog.End(m.id); end != m.end() {
			w.t.Fatalf("stream %d: committed up to %d of %d", m.id, end, m.end())
		}
	}
	if n := w.pool.InUse(); n != 0 {
		w.t.Fatalf("%d bytes of buffers are still in use", n)
	}
}

// TestModel proves I1, I2, I4, I6 and I9: whatever the order of appends, group commits, uploads, trims, closes, crashes and rescues, and
// whatever the bucket and the controller answer, what was acknowledged is read back, dense, in order, byte for byte.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"append":  func(*rapid.T) { w.append() },
			"append2": func(*rapid.T) { w.append() },
			"commit":  func(*rapid.T) { w.commit() },
			"flush":   func(*rapid.T) { w.flush() },
			"read":    func(*rapid.T) { w.read() },
			"read2":   func(*rapid.T) { w.read() },
			"trim":    func(*rapid.T) { w.trim() },
			"reopen":  func(*rapid.T) { w.reopen() },
			"crash":   func(*rapid.T) { w.crash() },
			"fail":    func(*rapid.T) { w.fail() },
			"expire":  func(*rapid.T) { w.catalog.Expire() },
			"search":  func(*rapid.T) { w.findTimestamp() },
			"clean":   func(*rapid.T) { w.clean() },
			"all":     func(*rapid.T) { w.readAll() },
		})
		w.end()
	})
}
