package rescue

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/base"
	"sluice/base/slab"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/storage/objstore"
	"sluice/storage/objstore/fault"
	"sluice/storage/objstore/mem"
	"sluice/storage/stream"
	"sluice/storage/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is the metadata, decided by the real machine in memory: a controller that never fails, unless a test says so.
type cluster struct {
	t  testing.TB
	mu struct {
		sync.Mutex
		img     *meta.Image
		changed chan struct{}
		subs    map[int]func(old, new *meta.Image)
		next    int
		n       byte
		// around, if set, is called with each command; it calls decide when, and if, the command is to take effect.
		around func(ctx context.Context, c meta.Command, decide func() (meta.Result, error)) (meta.Result, error)
	}
}

var _ control.Client = (*cluster)(nil)

func newCluster(t testing.TB) *cluster {
	c := &cluster{t: t}
	img, err := meta.Empty().Apply(0, []meta.Record{meta.CreateCluster(base.UUID{1, 2, 3}, [32]byte{7}, 1), meta.ChangeController(0, "test", base.NoNode)})
	if err != nil {
		t.Fatal(err)
	}
	c.mu.img, c.mu.changed, c.mu.subs = img, make(chan struct{}), map[int]func(old, new *meta.Image){}
	return c
}

func (c *cluster) Submit(ctx context.Context, cmd meta.Command) (meta.Result, error) {
	c.mu.Lock()
	around := c.mu.around
	c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, base.Wrap(base.Unavailable, err)
	}
	if around == nil {
		return c.decide(cmd)
	}
	return around(ctx, cmd, func() (meta.Result, error) { return c.decide(cmd) })
}

func (c *cluster) setAround(f func(context.Context, meta.Command, func() (meta.Result, error)) (meta.Result, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.around = f
}

func (c *cluster) decide(cmd meta.Command) (meta.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.mu.img
	recs, res, err := meta.Decide(old, meta.Fill(cmd, func() base.UUID { c.mu.n++; return base.UUID{9, c.mu.n} }), 1000)
	if err != nil {
		return nil, err
	}
	if len(recs) == 0 {
		return res, nil
	}
	img, err := old.Apply(old.Pos(), recs)
	if err != nil {
		c.t.Error(err)
		return nil, err
	}
	c.mu.img = img
	close(c.mu.changed)
	c.mu.changed = make(chan struct{})
	for _, fn := range c.mu.subs {
		fn(old, img)
	}
	return res, nil
}

func (c *cluster) Image() *meta.Image {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.img
}

func (c *cluster) Subscribe(fn func(old, new *meta.Image)) (cancel func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.mu.next
	c.mu.next++
	c.mu.subs[id] = fn
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.mu.subs, id)
	}
}

func (c *cluster) WaitFor(ctx context.Context, pos base.MetaPos) error {
	for {
		c.mu.Lock()
		at, changed := c.mu.img.Pos(), c.mu.changed
		c.mu.Unlock()
		if at >= pos {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return base.Wrap(base.Unavailable, ctx.Err())
		}
	}
}

// until waits for a condition on the image.
func (c *cluster) until(what string, ok func(*meta.Image) bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	defer cancel()
	for {
		img := c.Image()
		if ok(img) {
			return
		}
		if err := c.WaitFor(ctx, img.Pos()+1); err != nil {
			c.t.Fatalf("%s: not within %v; rescues: %+v", what, waitMax, rescuesOf(img))
		}
	}
}

func rescuesOf(img *meta.Image) (all []meta.Rescue) {
	for r := range img.Rescues() {
		all = append(all, r)
	}
	return all
}

func do[R any](t testing.TB, c control.Client, cmd meta.Command) *R {
	t.Helper()
	res, err := control.Do[R](context.Background(), c, cmd)
	if err != nil {
		t.Fatalf("%s: %v", meta.CommandName(cmd), err)
	}
	return res
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a cluster with a bucket.
type world struct {
	*cluster
	t     testing.TB
	inner objstore.Store
	store *fault.Store
	pool  slab.Pool
}

func newWorld(t testing.TB) *world { return newWorldOn(t, mem.New()) }

func newWorldOn(t testing.TB, bucket objstore.Store) *world {
	w := &world{t: t, cluster: newCluster(t), inner: bucket}
	w.store = fault.New(w.inner, 1)
	return w
}

// waitMax is long enough for anything that comes at all.
const waitMax = time.Minute

func (w *world) walOptions() wal.Options {
	return wal.Options{Cluster: w.Image().ClusterID(), Pool: &w.pool, Store: w.store, PutsPerSecond: 1e6}
}

// formatted returns the URL of a WAL of the class, ready for use: file (shared), local, s3.
func (w *world) formatted(class string) string {
	url := "s3"
	id := wal.Identity{Cluster: w.Image().ClusterID(), Node: base.NoNode}
	switch class {
	case "file":
		url = "file://" + w.t.TempDir() + "/wal?shared=true&capacity=64MiB&segment=1MiB"
	case "local":
		url = "file://" + w.t.TempDir() + "/wal?capacity=64MiB&segment=1MiB"
		id.Node, id.Incarnation = 1, base.NewUUID()
	}
	must(w.t, wal.Format(context.Background(), url, wal.Options{}, id))
	return url
}

func (w *world) register(url string, reclaim base.NodeID) meta.NodeRef {
	return do[meta.Registered](w.t, w, &meta.Register{Incarnation: base.NewUUID(), Reclaim: reclaim, WAL: url}).Node
}

// broker is a node that appends: the victim.
type broker struct {
	w       *world
	ref     meta.NodeRef
	url     string
	log     wal.Log
	engine  *stream.Engine
	topic   base.UUID
	streams []*stream.Stream
	acked   []base.Offset // per stream, the end of what was acknowledged
}

// newBroker starts a node with a topic of its own, all of whose streams are open. uploadBytes: how much makes it upload by itself.
func newBroker(w *world, url string, reclaim base.NodeID, partitions int, uploadBytes int64) *broker {
	ctx := context.Background()
	b := &broker{w: w, url: url, ref: w.register(url, reclaim)}
	b.engine = stream.New(stream.Options{
		Cluster: w.Image().ClusterID(), Node: stream.NodeRef(b.ref), Store: w.store, Catalog: control.NewCatalog(w, stream.NodeRef(b.ref)),
		Pool: &w.pool, WALCacheBytes: 512 << 20, UploadBytes: uploadBytes, UploadEvery: time.Hour,
	})
	opt := w.walOptions()
	opt.Node, opt.Epoch, opt.OnBlock, opt.OnRoom = b.ref.ID, b.ref.Epoch, b.engine.OnBlock, b.engine.OnRoom
	log, err := wal.Create(ctx, url, opt)
	must(w.t, err)
	b.log = log
	b.engine.Start(log)
	name := "t" + b.ref.Epoch.String()
	leaders := make([]base.NodeID, partitions)
	for i := range leaders {
		leaders[i] = b.ref.ID
	}
	b.topic = do[meta.TopicsCreated](w.t, w, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: name, Partitions: int32(partitions), Leaders: leaders}}}).Topics[0].ID
	b.open(partitions)
	return b
}

func (b *broker) open(partitions int) {
	cmd := &meta.OpenPartitions{Node: b.ref}
	for i := range partitions {
		p, _ := b.w.Image().Partition(b.topic, int32(i))
		cmd.Partitions = append(cmd.Partitions, meta.OpenPartition{Partition: meta.PartitionID{Topic: b.topic, Index: int32(i)}, Expected: p.LeaderEpoch})
	}
	for _, p := range do[meta.PartitionsOpened](b.w.t, b.w, cmd).Partitions {
		if p.Err != nil {
			b.w.t.Fatal(p.Err)
		}
		b.streams = append(b.streams, b.engine.Attach(stream.StreamState{ID: p.Data.ID, Epoch: p.Data.Epoch, Start: p.Data.Start, End: p.Data.CommittedEnd}))
		b.acked = append(b.acked, p.Data.CommittedEnd)
	}
}

func content(id base.StreamID, at base.Offset, size int) []byte {
	d := bytes.Repeat([]byte{byte(at), byte(at >> 8), byte(at >> 16), byte(id)}, size/4+1)
	return d[:size]
}

// produce appends n records of size bytes to each stream and waits until they are acknowledged.
func (b *broker) produce(n, size int) {
	b.w.t.Helper()
	var wg sync.WaitGroup
	for _, s := range b.streams {
		for range n {
			wg.Add(1)
			s.Append(stream.AppendRecord{Base: s.Next(), Count: 1, MaxTimestamp: 1, Data: content(s.ID(), s.Next(), size)}, func(err error) {
				if err != nil {
					b.w.t.Error(err)
				}
				wg.Done()
			})
		}
	}
	wg.Wait()
	for i, s := range b.streams {
		b.acked[i] = s.Next()
	}
}

// crash ends the process without uploading anything.
func (b *broker) crash() {
	b.engine.Abandon()
	b.log.Close(context.Background())
}

// fence ends the broker's epoch, whether it lives or not.
func (b *broker) fence() {
	do[meta.Done](b.w.t, b.w, &meta.FenceNode{Node: b.ref, Why: "test"})
}

// rescuer starts a worker on a new node.
func (w *world) rescuer(ref meta.NodeRef, change func(*Options)) *Worker {
	opt := Options{Self: ref, Client: w, Store: w.store, WAL: w.walOptions, retryMin: time.Millisecond}
	if change != nil {
		change(&opt)
	}
	return Start(opt)
}

func (w *world) grant(victim, rescuer meta.NodeRef) meta.Rescue {
	w.t.Helper()
	return do[meta.Granted](w.t, w, &meta.GrantRescue{Victim: victim, Rescuer: rescuer}).Rescue
}

// rescued waits until nothing is left of the broker's epoch, and checks that everything it acknowledged, and nothing but what it wrote, is
// committed and can be read.
func (b *broker) rescued(size int) {
	b.w.t.Helper()
	b.w.until("rescue", func(img *meta.Image) bool { _, still := img.Rescue(b.ref); return !still })
	b.check(size)
}

// check reads all streams of the broker from the bucket.
func (b *broker) check(size int) {
	w := b.w
	w.t.Helper()
	img := w.Image()
	if n := img.OpenStreams(b.ref); n != 0 {
		w.t.Fatalf("%d streams are still open", n)
	}
	reader := stream.New(stream.Options{Cluster: img.ClusterID(), Store: w.inner, Catalog: control.NewCatalog(w, stream.NodeRef(b.ref)), Pool: &w.pool})
	reader.Start(nolog{})
	defer reader.Abandon()
	for i, old := range b.streams {
		s, ok := img.Stream(old.ID())
		if !ok || s.State != meta.Closed || s.CommittedEnd < b.acked[i] || s.CommittedEnd > old.Next() {
			w.t.Fatalf("stream %d: %+v, acknowledged up to %d, appended up to %d", old.ID(), s, b.acked[i], old.Next())
		}
		r := reader.Attach(stream.StreamState{ID: s.ID, Epoch: s.Epoch + 1, Start: s.Start, End: s.CommittedEnd})
		for at := s.Start; at < s.CommittedEnd; {
			c, err := r.Read(context.Background(), at, s.CommittedEnd, 1<<20, true)
			must(w.t, err)
			var want []byte
			for o := c.Start; o < c.End; o++ {
				want = append(want, content(s.ID, o, size)...)
			}
			if c.Start != at || c.End <= at || !bytes.Equal(bytes.Join(c.Segments, nil), want) {
				w.t.Fatalf("stream %d: read at %d gives [%d, %d), %d bytes, not what was written", s.ID, at, c.Start, c.End, c.Bytes)
			}
			at = c.End
			c.Release()
		}
	}
}

// nolog is the log of an engine that only reads.
type nolog struct{ wal.Log }

func (nolog) Durable() base.WALPos                    { return 0 }
func (nolog) Trim(context.Context, base.WALPos) error { return nil }
func (nolog) Capacity() int64                         { return 0 }
func (nolog) Used() int64                             { return 0 }

// putOver replaces an object.
var putOver = objstore.PutOptions{}
