package wal_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/fault"
	"sluice/storage/objstore/mem"
	"sluice/storage/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ctx     = context.Background()
	cluster = base.UUID{7}
)

// place is somewhere a WAL can be.
type place struct {
	url   string
	store driver.Store
	live  bool // Seal works while the writer lives
}

func places(t *testing.T) map[string]place {
	return map[string]place{
		"file":   {url: "file://" + t.TempDir() + "/wal?capacity=8MiB"},
		"shared": {url: "file://" + t.TempDir() + "/wal?shared=true&capacity=8MiB&segment=1MiB", live: true},
		"mem":    {url: "mem://" + strings.ReplaceAll(t.TempDir(), "/", "-")},
		"s3":     {url: "s3", store: mem.New(), live: true},
	}
}

// sink takes a WAL's blocks and acknowledgements.
type sink struct {
	mu     sync.Mutex
	all    sync.WaitGroup
	blocks []base.WALPos
	acked  []int
	failed []error
}

func (s *sink) onBlock(b *wal.Block) {
	s.mu.Lock()
	s.blocks = append(s.blocks, b.Pos)
	s.mu.Unlock()
	b.Release()
}

func (s *sink) append(l wal.Log, from, n, size int) {
	for i := from; i < from+n; i++ {
		s.all.Add(1)
		l.Append(wal.Record{Stream: 1, Epoch: 2, Base: base.Offset(i), Count: 1, MaxTimestamp: -1, Data: data(i, size)}, func(err error) {
			s.mu.Lock()
			if err == nil {
				s.acked = append(s.acked, i)
			} else {
				s.failed = append(s.failed, err)
			}
			s.mu.Unlock()
			s.all.Done()
		})
	}
}

func data(i, size int) []byte {
	b := bytes.Repeat([]byte{byte(i)}, size)
	copy(b, fmt.Sprint(i))
	return b
}

func (p place) create(t *testing.T, s *sink, pool *slab.Pool, epoch base.NodeEpoch) (wal.Log, error) {
	t.Helper()
	if err := wal.Format(ctx, p.url, wal.Options{}, wal.Identity{Cluster: cluster, Node: 1}); err != nil {
		t.Fatal(err)
	}
	return wal.Create(ctx, p.url, wal.Options{Cluster: cluster, Node: 1, Epoch: epoch, Pool: pool, OnBlock: s.onBlock, Store: p.store, PutsPerSecond: 1000})
}

// TestLife: every class appends, seals, reads, fences and removes alike.
func TestLife(t *testing.T) {
	for name, p := range places(t) {
		t.Run(name, func(t *testing.T) {
			var s sink
			var pool slab.Pool
			if err := wal.Probe(ctx, p.url, wal.Options{}); err != nil {
				t.Fatal(err)
			}
			l, err := p.create(t, &s, &pool, 1)
			if err != nil {
				t.Fatal(err)
			}
			s.append(l, 0, 100, 10_000)
			s.all.Wait()
			trim := l.Durable() / 2
			if err := l.Trim(ctx, trim); err != nil {
				t.Fatal(err)
			}
			s.append(l, 100, 50, 100)
			s.all.Wait()
			if !p.live {
				if err := l.Close(ctx); err != nil {
					t.Fatal(err)
				}
			}
			p.rescue(t, trim, l.Durable(), 150)
			if p.live {
				s.append(l, 1000, 3, 100)
				s.all.Wait()
				if len(s.failed) != 3 || !base.IsKind(s.failed[0], base.Fenced) {
					t.Fatalf("a sealed writer got %v", s.failed)
				}
				if err := l.Close(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if len(s.acked) != 150 || !slices.IsSorted(s.acked) || len(s.blocks) != int(l.Durable()) || pool.InUse() != 0 {
				t.Fatalf("%d acknowledged, %d blocks of %d, %d bytes in use", len(s.acked), len(s.blocks), l.Durable(), pool.InUse())
			}
			if _, err := p.create(t, &s, &pool, 1); !base.IsKind(err, base.Exists) {
				t.Fatalf("an epoch was used again: %v", err)
			}
			p.next(t, &pool)
		})
	}
}

// rescue seals and reads as a rescuer would, twice, and removes.
func (p place) rescue(t *testing.T, trim, least base.WALPos, records int) {
	t.Helper()
	opt := wal.Options{Cluster: cluster, Store: p.store}
	victim := wal.Victim{Node: 1, Epoch: 1}
	for range 2 {
		end, err := wal.Seal(ctx, p.url, opt, victim, trim, "somebody")
		if err != nil || end < least {
			t.Fatalf("sealed at %d, %d are durable: %v", end, least, err)
		}
		next := -1
		for b, err := range wal.Read(ctx, p.url, opt, victim, trim, end) {
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range b.Records {
				if next >= 0 && int(r.Base) != next || !bytes.Equal(r.Data, data(int(r.Base), len(r.Data))) {
					t.Fatalf("record %d after %d", r.Base, next-1)
				}
				next = int(r.Base) + 1
			}
			b.Release()
		}
		if next != records {
			t.Fatalf("read up to %d of %d", next, records)
		}
	}
	for range 2 {
		if err := wal.Remove(ctx, p.url, opt, victim); err != nil {
			t.Fatal(err)
		}
	}
}

// next starts the following node epoch, and closes it with appends on their way.
func (p place) next(t *testing.T, pool *slab.Pool) {
	var s sink
	l, err := p.create(t, &s, pool, 2)
	if err != nil {
		t.Fatal(err)
	}
	s.append(l, 0, 100, 5000)
	if err := l.Close(ctx); err != nil {
		t.Fatal(err)
	}
	s.all.Wait()
	if len(s.acked) != 100 {
		t.Fatalf("close lost appends: %d, %v", len(s.acked), s.failed)
	}
	s.append(l, 100, 1, 10)
	s.all.Wait()
	if !base.IsKind(s.failed[0], base.Closed) {
		t.Fatalf("append after close: %v", s.failed)
	}
}

// TestBucketMisbehaves: lost answers, refusals and late puts delay acknowledgements; they lose, repeat and reorder nothing.
func TestBucketMisbehaves(t *testing.T) {
	store := fault.New(mem.New(), 1,
		fault.Rule{Name: "lost", Op: fault.Put, Effect: fault.LoseAnswer, Prob: 0.3},
		fault.Rule{Name: "refused", Op: fault.Put, Effect: fault.Refuse, Kind: base.Unavailable, Prob: 0.2})
	p := place{url: "s3", store: store}
	var s sink
	var pool slab.Pool
	l, err := p.create(t, &s, &pool, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		s.append(l, i*5, 5, 1000)
		if i%4 == 0 {
			s.all.Wait()
		}
	}
	if err := l.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if store.Fired("lost") == 0 || store.Fired("refused") == 0 {
		t.Fatal("the faults did not happen")
	}
	if len(s.acked) != 100 || !slices.IsSorted(s.acked) {
		t.Fatalf("acknowledged %v, failed %v", s.acked, s.failed)
	}
	store.SetRules()
	p.rescue(t, 0, l.Durable(), 100)
}

func TestBadURLs(t *testing.T) {
	for _, url := range []string{"", "file://", "s4", "mem://", "file:///x?shared=maybe", "file:///x?size=3", "file:///x?capacity=big", "file:///x?capacity=1MiB&segment=1MiB", "/var/wal"} {
		if err := wal.Probe(ctx, url, wal.Options{}); !base.IsKind(err, base.Invalid) {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := wal.Create(ctx, "s3", wal.Options{}); !base.IsKind(err, base.Invalid) {
		t.Errorf("s3 without a bucket: %v", err)
	}
}
