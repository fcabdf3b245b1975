package compact

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/mem"
	"sluice/storage/stream"
)

var testCluster = base.UUID{1, 2, 3}

// idCatalog is a Catalog that only hands out ids.
type idCatalog struct {
	Catalog
	mu   sync.Mutex
	next base.ObjectID
}

func (c *idCatalog) PrepareObjects(_ context.Context, n int) (ids []base.ObjectID, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		c.next++
		ids = append(ids, c.next)
	}
	return ids, nil
}

func testEnv() *Env {
	return &Env{Cluster: testCluster, Node: stream.NodeRef{ID: 1, Epoch: 1}, Store: mem.New(), Catalog: &idCatalog{}, Pool: &slab.Pool{}, Traffic: &Traffic{}}
}

// record makes a record whose bytes follow from its place.
func record(id base.StreamID, epoch base.StreamEpoch, at base.Offset, count int32, size int) object.Record {
	rng := rand.New(rand.NewPCG(uint64(id), uint64(at)))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	return object.Record{Stream: id, Epoch: epoch, Base: at, Count: count, MaxTimestamp: int64(at) * 10, Flags: uint8(at % 3), Data: data}
}

func same(a, b object.Record) bool {
	data := bytes.Equal(a.Data, b.Data)
	a.Data, b.Data = nil, nil
	return data && fmt.Sprint(a) == fmt.Sprint(b)
}

// TestOutputAndSource: whatever runs an Output is given, its ranges cover them, its objects hold them, and a Source with any window gives the records
// back. No memory stays in use.
func TestOutputAndSource(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		env, ctx := testEnv(), t.Context()
		o := env.NewOutput(rapid.Int64Range(1, 200_000).Draw(t, "max"))
		kind := stream.ObjectKind(rapid.IntRange(0, 1).Draw(t, "kind"))
		var want [][]object.Record
		for id := base.StreamID(1); id <= base.StreamID(rapid.IntRange(1, 6).Draw(t, "streams")); id++ {
			run, r := drawRun(t, id)
			want = append(want, run)
			check(t, o.Begin(ctx, kind, id, r, int64(rapid.IntRange(0, 100_000).Draw(t, "hint"))))
			for i := range run {
				rec := run[i]
				rec.Data = slices.Clone(rec.Data)
				check(t, o.Add(ctx, &rec))
				clear(rec.Data) // the Output must have copied it
			}
			check(t, o.End())
		}
		check(t, o.Flush(ctx))
		objects, runs := o.Take()
		o.Close()
		if len(runs) != len(want) {
			t.Fatalf("%d runs, want %d", len(runs), len(want))
		}
		sizes := map[base.ObjectID]NewObject{}
		for _, p := range objects {
			sizes[p.ID] = p
		}
		window := rapid.Int64Range(1, 300_000).Draw(t, "window")
		for i, run := range runs {
			readBack(t, env, sizes, run, want[i], window)
		}
		if n := env.Pool.InUse(); n != 0 {
			t.Fatalf("%d bytes in use", n)
		}
	})
}

// drawRun draws a run with gaps.
func drawRun(t *rapid.T, id base.StreamID) (records []object.Record, r base.OffsetRange) {
	at := base.Offset(rapid.IntRange(0, 1<<40).Draw(t, "start"))
	r.Start = at
	epoch := base.StreamEpoch(0)
	for range rapid.IntRange(1, 12).Draw(t, "records") {
		at += base.Offset(rapid.SampledFrom([]int{0, 0, 0, 1, 1 << 33}).Draw(t, "gap"))
		epoch += base.StreamEpoch(rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "epoch"))
		rec := record(id, epoch, at, int32(rapid.IntRange(1, 5).Draw(t, "count")), rapid.IntRange(1, 60_000).Draw(t, "size"))
		records = append(records, rec)
		at = rec.End()
	}
	r.End = at + base.Offset(rapid.IntRange(0, 3).Draw(t, "gap at the end"))
	return records, r
}

func readBack(t *rapid.T, env *Env, objects map[base.ObjectID]NewObject, run Run, want []object.Record, window int64) {
	at, k := run.Range.Start, 0
	for _, n := range run.New {
		if n.Range.Start != at || n.Range.Empty() || objects[n.Object].ID != n.Object {
			t.Fatalf("range %+v of stream %d where %d is due, of %v", n, run.Stream, at, run.Range)
		}
		at = n.Range.End
		src, err := env.Open(t.Context(), n.Object, objects[n.Object].Size, window, Piece{run.Stream, n.Range})
		check(t, err)
		count, size, newest := 0, int64(0), int64(-1)
		for rec, err := range src.Records(t.Context(), run.Stream, n.Range) {
			check(t, err)
			if k == len(want) || !same(rec, want[k]) {
				t.Fatalf("stream %d: record %d at %d is not what was written", run.Stream, k, rec.Base)
			}
			count, size, newest = count+1, size+int64(len(rec.Data)), max(newest, rec.MaxTimestamp)
			k++
		}
		src.Close()
		if count == 0 || size != n.Bytes || newest != n.MaxTimestamp {
			t.Fatalf("range %+v has %d records with %d bytes up to time %d", n, count, size, newest)
		}
	}
	if at != run.Range.End || k != len(want) {
		t.Fatalf("stream %d: %d of %d records, up to %d of %v", run.Stream, k, len(want), at, run.Range)
	}
}

type fataler interface {
	Helper()
	Fatal(...any)
}

func check(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestFewGETs: a source that is read in sequence costs one GET per window, and bytes that nobody wants are read only where they lie between.
func TestFewGETs(t *testing.T) {
	env, ctx := testEnv(), t.Context()
	o := env.NewOutput(64 << 20)
	const streams, size = 200, 100_000
	for id := base.StreamID(1); id <= streams; id++ {
		rec := record(id, 0, 0, 1, size)
		check(t, o.Begin(ctx, stream.SSO, id, base.OffsetRange{End: 1}, size))
		check(t, o.Add(ctx, &rec))
		check(t, o.End())
	}
	check(t, o.Flush(ctx))
	objects, _ := o.Take()
	read := func(wanted []Piece) (gets, bytes int64) {
		src, err := env.Open(ctx, objects[0].ID, objects[0].Size, 4<<20, wanted...)
		check(t, err)
		defer src.Close()
		g, b := env.Traffic.Gets.Load(), env.Traffic.GetBytes.Load()
		for _, p := range wanted {
			for _, err := range src.Records(ctx, p.Stream, p.Range) {
				check(t, err)
			}
		}
		return env.Traffic.Gets.Load() - g, env.Traffic.GetBytes.Load() - b
	}
	var all, some []Piece
	for id := base.StreamID(1); id <= streams; id++ {
		all = append(all, Piece{id, base.OffsetRange{End: 1}})
		if id%50 == 0 {
			some = append(some, Piece{id, base.OffsetRange{End: 1}})
		}
	}
	if gets, n := read(all); gets != 5 || n > objects[0].Size {
		t.Errorf("%d GETs of %d bytes for all of %d", gets, n, objects[0].Size)
	}
	if gets, n := read(some); gets != 4 || n > 4*(size+1000) {
		t.Errorf("%d GETs of %d bytes for 4 records of %d", gets, n, size)
	}
}

// TestSourceFindsDamage: a flipped bit anywhere in the blocks that are read is an error of kind Corrupt, before a record of the block is seen.
func TestSourceFindsDamage(t *testing.T) {
	env, ctx := testEnv(), t.Context()
	o := env.NewOutput(1 << 20)
	check(t, o.Begin(ctx, stream.SO, 7, base.OffsetRange{End: 10}, 0))
	for at := base.Offset(0); at < 10; at++ {
		rec := record(7, 0, at, 1, 100)
		check(t, o.Add(ctx, &rec))
	}
	check(t, o.End())
	check(t, o.Flush(ctx))
	objects, _ := o.Take()
	id, size := objects[0].ID, objects[0].Size
	whole, err := env.Store.Get(ctx, object.Key(testCluster, id), 0, -1, nil)
	check(t, err)
	for pos := object.HeaderBytes; pos < len(whole); pos += 13 {
		bad := slices.Clone(whole)
		bad[pos] ^= 4
		check(t, env.Store.Put(ctx, object.Key(testCluster, id), [][]byte{bad}, driver.PutOptions{}))
		src, err := env.Open(ctx, id, size, 1<<20)
		if err == nil {
			for rec, e := range src.Records(ctx, 7, base.OffsetRange{End: 10}) {
				if err = e; err == nil {
					t.Fatalf("byte %d: record %d of a damaged block", pos, rec.Base)
				}
			}
			src.Close()
		}
		if !base.IsKind(err, base.Corrupt) {
			t.Fatalf("byte %d: %v", pos, err)
		}
	}
	if _, err := env.Open(ctx, 999, size, 1<<20); !base.IsKind(err, base.NotFound) {
		t.Errorf("a missing object: %v", err)
	}
}

// TestBucket: the average rate is kept whatever the sizes are, and no more than a second's worth is saved up.
func TestBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := bucket{rate: 1000}
		start := time.Unix(1000, 0)
		now, total := start, 0.0
		for range rapid.IntRange(1, 50).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "idle")) * time.Millisecond)
			cost := float64(rapid.IntRange(1, 5000).Draw(t, "cost"))
			total += cost
			wait := b.take(cost, now)
			if cost <= 1000 && total == cost && wait != 0 {
				t.Fatal("the first second's worth has to wait")
			}
			now = now.Add(wait)
			if allowed := 1000 * (now.Sub(start).Seconds() + 1); total > allowed+1e-3 {
				t.Fatalf("%v bytes after %v", total, now.Sub(start))
			}
		}
	})
}

// TestIngest: the need follows what comes in, within minutes, up and down.
func TestIngest(t *testing.T) {
	total, now := int64(0), time.Unix(1000, 0)
	g := &ingest{total: func() int64 { return total }, factor: 6}
	run := func(perSecond int64, seconds int) float64 {
		for range seconds {
			now, total = now.Add(time.Second), total+perSecond
			g.need(now)
		}
		return g.need(now)
	}
	if n := g.need(now); n != 0 {
		t.Errorf("%v before anything came in", n)
	}
	if n := run(1000, 60); n < 5990 || n > 6010 {
		t.Errorf("%v after a minute of 1000 a second", n)
	}
	if n := run(0, 1800); n > 60 {
		t.Errorf("%v after half an hour of nothing", n)
	}
	if n := run(1000, 900); n < 5500 || n > 6010 {
		t.Errorf("%v after a quarter of an hour of 1000 a second", n)
	}
	now, total = now.Add(5*time.Minute), total+300*5000 // nobody asked for a round's interval
	if n := g.need(now); n < 18_000 || n > 30_000 {
		t.Errorf("%v after five minutes of 5000 a second", n)
	}
	if n := (*ingest)(nil).need(now); n != 0 {
		t.Errorf("%v where nothing is followed", n)
	}
}

// coldPuts notes what was put with Cold.
type coldPuts struct {
	driver.Store
	cold []bool
}

func (c *coldPuts) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	c.cold = append(c.cold, opt.Cold)
	return c.Store.Put(ctx, key, body, opt)
}

// TestFinalObjectsAreCold: stream objects of at least half the largest size are put as cold; what will be rewritten soon is not.
func TestFinalObjectsAreCold(t *testing.T) {
	env, ctx := testEnv(), t.Context()
	puts := &coldPuts{Store: env.Store}
	env.Store = puts
	for _, c := range []struct {
		kind stream.ObjectKind
		size int
		cold bool
	}{{stream.SO, 700_000, true}, {stream.SO, 300_000, false}, {stream.SSO, 700_000, false}} {
		puts.cold = nil
		o := env.NewOutput(1 << 20)
		check(t, o.Begin(ctx, c.kind, 7, base.OffsetRange{End: 1}, int64(c.size)))
		rec := record(7, 0, 0, 1, c.size)
		check(t, o.Add(ctx, &rec))
		check(t, o.End())
		check(t, o.Flush(ctx))
		o.Close()
		if len(puts.cold) != 1 || puts.cold[0] != c.cold {
			t.Errorf("%v of %d bytes: cold %v, want %t", c.kind, c.size, puts.cold, c.cold)
		}
	}
}

// commitCatalog takes every commit.
type commitCatalog struct{ idCatalog }

func (c *commitCatalog) CommitCompaction(_ context.Context, commit Commit) ([]Verdict, error) {
	return make([]Verdict, len(commit.Replacements)), nil
}

// TestIndexesAreReadOnce: a job whose streams lie in more objects than it has windows on reads the index of each of them once, and each part of a stream in one GET.
func TestIndexesAreReadOnce(t *testing.T) {
	env, ctx := testEnv(), t.Context()
	catalog := &commitCatalog{}
	env.Catalog = catalog
	const sources, streams, size = 12, 6, 300_000
	job := Job{Reason: Split}
	for k := range sources {
		o := env.NewOutput(64 << 20)
		source := &Object{Kind: stream.SSO}
		for id := base.StreamID(1); id <= streams; id++ {
			at := base.Offset(k)
			rec := record(id, 0, at, 1, size)
			check(t, o.Begin(ctx, stream.SSO, id, base.OffsetRange{Start: at, End: at + 1}, size))
			check(t, o.Add(ctx, &rec))
			check(t, o.End())
			source.Ranges = append(source.Ranges, LiveRange{Stream: id, OffsetRange: base.OffsetRange{Start: at, End: at + 1}, Bytes: size})
		}
		check(t, o.Flush(ctx))
		objects, _ := o.Take()
		source.ID, source.Size = objects[0].ID, objects[0].Size
		job.Sources = append(job.Sources, source)
	}
	for _, s := range piecesOf(job.Sources) {
		if n := len(job.Runs); n == 0 || job.Runs[n-1].Stream != s.stream {
			job.Runs = append(job.Runs, JobRun{Stream: s.stream, Range: base.OffsetRange{End: sources}, Kind: stream.SO})
		}
		r := &job.Runs[len(job.Runs)-1]
		r.Pieces, r.Bytes = append(r.Pieces, s.JobPiece), r.Bytes+s.Bytes
	}
	before := env.Traffic.Gets.Load()
	lim := Limits{MaxObject: 16 << 20, Sources: 8}
	check(t, newExecution(env, &job, lim, 4<<20).run(ctx))
	if gets := env.Traffic.Gets.Load() - before; gets != sources+sources*streams {
		t.Errorf("%d GETs for %d indexes and %d parts of streams", gets, sources, sources*streams)
	}
}
