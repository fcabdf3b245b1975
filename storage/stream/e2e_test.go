package stream_test

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/objstore/mem"
	"sluice/storage/stream"
	"sluice/storage/stream/streamtest"
	"sluice/storage/wal"
)

// TestRealWAL runs the engine on every WAL class: written, uploaded in part, dropped, sealed, rescued and read by a successor.
func TestRealWAL(t *testing.T) {
	for _, class := range []string{"file", "s3"} {
		t.Run(class, func(t *testing.T) { realWAL(t, class) })
	}
}

func realWAL(t *testing.T, class string) {
	ctx, pool, store, cat := context.Background(), &slab.Pool{}, mem.New(), &streamtest.Catalog{}
	cluster := base.NewUUID()
	url := class
	if class == "file" {
		url = "file://" + t.TempDir() + "/wal?capacity=16MiB&segment=1MiB"
		must(t, wal.Format(ctx, url, wal.Options{}, wal.Identity{Cluster: cluster, Node: 1, Incarnation: base.NewUUID()}))
	}
	begin := func() (*stream.Engine, wal.Log, stream.NodeRef) {
		node := cat.Register(1)
		e := stream.New(stream.Options{Cluster: cluster, Node: node, Store: store, Catalog: cat, Pool: pool, WALCacheBytes: 4 << 20, Registerer: prometheus.NewRegistry()})
		log, err := wal.Create(ctx, url, wal.Options{Cluster: cluster, Node: node.ID, Epoch: node.Epoch, Pool: pool, Store: store, PutsPerSecond: 1000,
			OnBlock: e.OnBlock, OnRoom: e.OnRoom, OnFailed: func(error) {}})
		must(t, err)
		e.Start(log)
		return e, log, node
	}
	write := func(e *stream.Engine, s *stream.Stream, n int) {
		done := make(chan error, n)
		for range n {
			must(t, e.Admit(ctx, 3000))
			s.Append(record(s, 3000), func(err error) { done <- err })
		}
		for range n {
			must(t, <-done)
		}
	}
	e, log, node := begin()
	a, b := e.Attach(cat.Open(node, 1)), e.Attach(cat.Open(node, 2))
	write(e, a, 500)
	write(e, b, 3)
	must(t, e.Flush(ctx))
	write(e, a, 300)
	e.Abandon()
	must(t, log.Close(ctx))

	grant, trim, next := cat.Fence(node)
	victim := wal.Victim{Node: node.ID, Epoch: node.Epoch}
	opt := wal.Options{Cluster: cluster, Pool: pool, Store: store}
	end, err := wal.Seal(ctx, url, opt, victim, trim, "test")
	must(t, err)
	must(t, stream.Rescue(ctx, stream.RescueOptions{Cluster: cluster, Store: store, Catalog: cat}, node, grant, next, wal.Read(ctx, url, opt, victim, trim, end)))
	cat.Rescued(node)
	must(t, wal.Remove(ctx, url, opt, victim))

	e, log, node = begin()
	a = e.Attach(cat.Open(node, 1))
	if a.Next() != 800 || cat.End(2) != 3 {
		t.Fatalf("the streams end at %d and %d", a.Next(), cat.End(2))
	}
	write(e, a, 10)
	(&rig{t: t}).check(a, 0, 810, 3000)
	if size, err := a.Size(ctx); err != nil || size != 810*3000 {
		t.Fatal(size, err)
	}
	if ranges, err := a.Ranges(ctx); err != nil || len(ranges) < 2 || ranges[0].Range.Start != 0 || ranges[len(ranges)-1].Range.End != 800 {
		t.Fatal(ranges, err)
	}
	must(t, e.CloseAll(ctx))
	must(t, log.Close(ctx))
	must(t, e.Close(ctx))
	if n := pool.InUse(); n != 0 {
		t.Fatalf("%d bytes of buffers are still in use", n)
	}
}
