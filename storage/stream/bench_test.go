package stream_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/mem"
	"sluice/storage/stream"
	"sluice/storage/stream/streamtest"
	"sluice/storage/wal"
)

// nullStore takes puts and forgets them.
type nullStore struct{ driver.Store }

func (nullStore) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	return nil
}

// benchLog makes a block durable whenever one is full, on the goroutine of the append.
type benchLog struct {
	streamtest.Log
	pool    *slab.Pool
	onBlock func(*wal.Block)
	next    base.WALPos
	buf     *slab.Buf
	used    int
	records []wal.Record
	dones   []func(error)
}

const benchBlock = 1 << 20

func (l *benchLog) Append(r wal.Record, done func(error)) {
	if l.buf != nil && l.used+len(r.Data) > len(l.buf.B) {
		l.commit()
	}
	if l.buf == nil {
		l.buf, l.used, l.records = l.pool.Get(benchBlock), 0, make([]wal.Record, 0, 256)
	}
	dst := l.buf.B[l.used : l.used+len(r.Data)]
	l.used += copy(dst, r.Data)
	r.Data = dst
	l.records = append(l.records, r)
	l.dones = append(l.dones, done)
}

func (l *benchLog) commit() {
	if l.buf == nil {
		return
	}
	l.onBlock(&wal.Block{Pos: l.next, Records: l.records, Buf: l.buf, Bytes: l.used, Mem: len(l.buf.B)})
	l.next++
	l.buf, l.records = nil, nil
	for _, done := range l.dones {
		done(nil)
	}
	l.dones = l.dones[:0]
}

func (l *benchLog) Trim(context.Context, base.WALPos) error { return nil }

func benchEngine(b *testing.B, streams int, store driver.Store, cache int64) (*stream.Engine, *benchLog, []*stream.Stream) {
	cat, pool := &streamtest.Catalog{}, &slab.Pool{}
	node := cat.Register(1)
	e := stream.New(stream.Options{Node: node, Store: store, Catalog: cat, Pool: pool, WALCacheBytes: cache, BlockCacheBytes: 256 << 20})
	log := &benchLog{pool: pool, onBlock: e.OnBlock}
	e.Start(log)
	b.Cleanup(e.Abandon)
	ss := make([]*stream.Stream, streams)
	for i := range ss {
		ss[i] = e.Attach(cat.Open(node, base.StreamID(i+1)))
	}
	return e, log, ss
}

// BenchmarkAppend is the cost of a produced batch in the engine: admission, append, indexing when durable, completion, upload (to nowhere) and
// eviction. The WAL is a copy into a block.
func BenchmarkAppend(b *testing.B) {
	for _, bc := range []struct{ streams, size int }{{1, 100}, {100, 100}, {10_000, 100}, {100, 1000}, {100, 16 << 10}, {100, 256 << 10}} {
		b.Run(fmt.Sprintf("streams=%d/bytes=%d", bc.streams, bc.size), func(b *testing.B) {
			e, log, ss := benchEngine(b, bc.streams, nullStore{mem.New()}, 512<<20)
			data, ctx := make([]byte, bc.size), context.Background()
			done := func(error) {}
			b.SetBytes(int64(bc.size))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%64 == 0 {
					if err := e.Admit(ctx, 64*bc.size); err != nil {
						b.Fatal(err)
					}
				}
				s := ss[i%len(ss)]
				s.Append(stream.AppendRecord{Base: s.Next(), Count: 1, MaxTimestamp: int64(i), Data: data}, done)
			}
			log.commit()
		})
	}
}

// BenchmarkReadCached reads 1 MiB at a time from the WAL cache.
func BenchmarkReadCached(b *testing.B) {
	for _, size := range []int{100, 1000, 16 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			_, log, ss := benchEngine(b, 1, nullStore{mem.New()}, 1<<30)
			s, data := ss[0], make([]byte, size)
			for range (64 << 20) / size {
				s.Append(stream.AppendRecord{Base: s.Next(), Count: 1, Data: data}, func(error) {})
			}
			log.commit()
			b.ReportAllocs()
			at, bytes := base.Offset(0), 0
			for b.Loop() {
				c, ok, err := s.TryReadCached(at, math.MaxInt64, 1<<20, true)
				if !ok || err != nil {
					b.Fatal(ok, err)
				}
				bytes += c.Bytes
				if at = c.End; at == s.Durable() {
					at = 0
				}
				c.Release()
			}
			b.SetBytes(int64(bytes / b.N))
		})
	}
}

// BenchmarkReadCold reads a stream from objects in memory, in sequence, with read-ahead; the block cache is smaller than the stream.
func BenchmarkReadCold(b *testing.B) {
	for _, size := range []int{1000, 16 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			e, log, ss := benchEngine(b, 1, mem.New(), 3<<20)
			s, data, ctx := ss[0], make([]byte, size), context.Background()
			for i := range (512 << 20) / size {
				if i%64 == 0 {
					log.commit()
					if err := e.Admit(ctx, 64*size); err != nil {
						b.Fatal(err)
					}
				}
				s.Append(stream.AppendRecord{Base: s.Next(), Count: 1, Data: data}, func(error) {})
			}
			log.commit()
			if err := e.Flush(ctx); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			at, bytes := base.Offset(0), 0
			b.ResetTimer()
			for b.Loop() {
				c, err := s.Read(ctx, at, math.MaxInt64, 1<<20, true)
				if err != nil {
					b.Fatal(err)
				}
				bytes += c.Bytes
				if at = c.End; at == s.Durable() {
					at = 0
				}
				c.Release()
			}
			b.SetBytes(int64(bytes / b.N))
		})
	}
}
