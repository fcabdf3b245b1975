package stream_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/base"
	"sluice/storage/stream"
	"sluice/storage/stream/streamtest"
)

// stuckCatalog commits nothing while it is stuck.
type stuckCatalog struct {
	stream.Catalog
	stuck atomic.Bool
}

func (c *stuckCatalog) CommitUpload(ctx context.Context, u stream.UploadCommit) (stream.UploadResult, error) {
	if c.stuck.Load() {
		return stream.UploadResult{}, base.Errorf(base.Unavailable, "stuck")
	}
	return c.Catalog.CommitUpload(ctx, u)
}

// second starts an engine for another WAL beside the rig's.
func (r *rig) second() (*stream.Engine, *streamtest.Log, stream.NodeRef) {
	r.catalog.Register(2)
	node := r.catalog.Register(2) // this catalog knows no volumes: another node, whose epoch differs
	e := r.Beside(node, r.catalog)
	log := &streamtest.Log{Pool: r.pool, OnBlock: e.OnBlock, OnRoom: e.OnRoom}
	e.Start(log)
	r.t.Cleanup(e.Abandon)
	return e, log, node
}

// A WAL whose uploads hang fills its part of the memory and then waits; the other one goes on in what is kept for it, also for more than that. When
// it gets on, what it holds goes and both have room.
func TestOneEngineIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		catalog := &stuckCatalog{}
		r := newRig(t, func(o *stream.Options) {
			o.WALCacheBytes = 1 << 20
			catalog.Catalog = o.Catalog
			o.Catalog = catalog
		})
		other, log, node := r.second()
		stuck, ctx := r.open(1), context.Background()
		s := other.Attach(r.catalog.Open(node, 2))
		catalog.stuck.Store(true)
		filled := 0
		for {
			short, cancel := context.WithTimeout(ctx, time.Millisecond)
			err := r.Admit(short, 10_000)
			cancel()
			if err != nil {
				break
			}
			r.write(stuck, 1, 10_000, 1)
			filled++
		}
		if filled < 50 || filled > 95 { // seven eighths of 1 MiB; an eighth is for the other
			t.Fatalf("%d records of 10 kB fill a cache of 1 MiB of which a part is not for this engine", filled)
		}
		for range 300 { // three times the cache
			must(t, other.Admit(ctx, 10_000))
			s.Append(record(s, 10_000), func(err error) { must(t, err) })
			log.Commit()
		}
		waits := make(chan error)
		go func() { waits <- r.Admit(ctx, 10_000) }()
		synctest.Wait()
		select {
		case err := <-waits:
			t.Fatalf("admitted to an engine that is stuck: %v", err)
		default:
		}
		catalog.stuck.Store(false)
		must(t, <-waits)
		must(t, r.Flush(ctx))
		must(t, other.Flush(ctx))
		r.check(stuck, 0, base.Offset(filled), 10_000)
		r.check(s, 0, 300, 10_000)
		other.Abandon()
		r.check(stuck, 0, base.Offset(filled), 10_000)
		r.Abandon()
	})
}

// A set sends each stream's work to its engine, and answers in the order of the question.
func TestSet(t *testing.T) {
	r := newRig(t, nil)
	other, log, node := r.second()
	set, ctx := stream.NewSet(r.Engine, other), context.Background()
	state := func(ref stream.NodeRef, id base.StreamID) stream.StreamState {
		st := r.catalog.Open(ref, id)
		st.Volume = ref.Epoch
		return st
	}
	a, b, c := set.Attach(state(r.node, 1)), set.Attach(state(node, 2)), set.Attach(state(r.node, 3))
	if a.Engine() != r.Engine || b.Engine() != other || c.Engine() != r.Engine {
		t.Fatal("attached to the wrong engine")
	}
	r.write(a, 3, 100, 1)
	b.Append(record(b, 100), func(error) {})
	log.Commit()
	must(t, set.FlushStreams(ctx, []*stream.Stream{a, b, c}))
	if a.Committed() != 3 || b.Committed() != 1 {
		t.Fatalf("committed %d and %d", a.Committed(), b.Committed())
	}
	for i, err := range set.CloseStreams(ctx, []*stream.Stream{a, b, c}) {
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if set.Remove(node.Epoch) != other || set.Engine(node.Epoch) != nil || len(set.Engines()) != 1 {
		t.Fatal("removed")
	}
	gone := set.Attach(stream.StreamState{ID: 9, Volume: node.Epoch})
	refused := make(chan error, 1)
	gone.Append(record(gone, 10), func(err error) { refused <- err })
	if err := <-refused; !base.IsKind(err, base.Fenced) {
		t.Fatalf("an append on a volume that is not there: %v", err)
	}
}
