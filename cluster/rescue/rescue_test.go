package rescue

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore/fault"
	"sluice/storage/wal"
	"sluice/storage/wal/disk"
)

// classes are the WALs that any node can rescue.
var classes = []string{"file", "s3"}

func eachClass(t *testing.T, test func(t *testing.T, class string)) {
	for _, class := range classes {
		t.Run(class, func(t *testing.T) { test(t, class) })
	}
}

// A dead node's records are committed, its streams close, its WAL is removed and forgotten.
func TestRescue(t *testing.T) {
	eachClass(t, func(t *testing.T, class string) {
		w := newWorld(t)
		b := newBroker(w, w.formatted(class), base.NoNode, 3, 1<<30)
		b.produce(100, 3000)
		must(t, b.engine.Flush(context.Background()))
		b.produce(50, 3000)
		b.crash()
		self := w.register("s3", base.NoNode)
		r := w.rescuer(self, nil)
		defer r.Close()
		b.fence()
		w.grant(b.ref, self)
		b.rescued(3000)
	})
}

// Several nodes that died together are rescued together.
func TestManyVictims(t *testing.T) {
	w := newWorld(t)
	var victims []*broker
	for range 6 {
		b := newBroker(w, w.formatted("s3"), base.NoNode, 2, 1<<30)
		b.produce(20, 1000)
		b.crash()
		victims = append(victims, b)
	}
	self := w.register("s3", base.NoNode)
	for _, b := range victims {
		b.fence()
		w.grant(b.ref, self)
	}
	r := w.rescuer(self, nil)
	defer r.Close()
	for _, b := range victims {
		b.rescued(1000)
	}
}

// A node with a local WAL rescues its own earlier epochs by itself, and WaitOwn waits for that.
func TestWaitOwn(t *testing.T) {
	w := newWorld(t)
	url := w.formatted("local")
	b := newBroker(w, url, base.NoNode, 2, 1<<30)
	b.produce(50, 2000)
	b.crash()
	r := w.rescuer(w.register(url, b.ref.ID), nil)
	defer r.Close()
	must(t, r.WaitOwn(context.Background()))
	if got, still := w.Image().Rescue(b.ref); still && got.State != meta.RescueDone {
		t.Fatalf("%+v", got)
	}
	b.rescued(2000)
}

// A WAL that is out of reach is reported and does not hold up a start; the worker goes on trying and succeeds when it is back.
func TestOutOfReach(t *testing.T) {
	w := newWorld(t)
	b := newBroker(w, w.formatted("s3"), base.NoNode, 1, 1<<30)
	b.produce(10, 1000)
	b.crash()
	self := w.register("s3", b.ref.ID)
	w.store.SetRules(fault.Rule{Op: fault.Put, Prefix: "wal/", Effect: fault.Refuse, Kind: base.NotFound})
	r := w.rescuer(self, nil)
	defer r.Close()
	grant := w.grant(b.ref, self).Grant
	must(t, r.WaitOwn(context.Background()))
	r.until(t, "the failure is reported", func() bool { return len(r.mu.failed) > 0 })
	failing := r.Failing()
	if len(failing) != 1 || failing[0].Victim != b.ref || failing[0].Grant != grant || failing[0].Kind != base.NotFound {
		t.Fatalf("%+v", failing)
	}
	w.store.SetRules()
	b.rescued(1000)
	r.until(t, "the failure is forgotten", func() bool { return len(r.mu.failed) == 0 })
	if failing := r.Failing(); len(failing) != 0 {
		t.Fatalf("%+v", failing)
	}
}

// A damaged WAL is an error for a person: WaitOwn returns it, nothing is committed beyond the damage, the streams stay open.
func TestDamaged(t *testing.T) {
	w := newWorld(t)
	b := newBroker(w, w.formatted("s3"), base.NoNode, 1, 1<<30)
	for range 5 {
		b.produce(1, 1000)
	}
	b.crash()
	for info, err := range w.inner.List(context.Background(), "wal/", "") {
		must(t, err)
		body, err := w.inner.Get(context.Background(), info.Key, 0, -1, nil)
		must(t, err)
		body[len(body)-20] ^= 1
		must(t, w.inner.Put(context.Background(), info.Key, [][]byte{body}, putOver))
	}
	self := w.register("s3", b.ref.ID)
	w.grant(b.ref, self)
	r := w.rescuer(self, nil)
	defer r.Close()
	if err := r.WaitOwn(context.Background()); !base.IsKind(err, base.Corrupt) {
		t.Fatalf("got %v", err)
	}
	r.until(t, "the damage is reported", func() bool { return len(r.mu.failed) > 0 })
	if failing := r.Failing(); len(failing) != 1 || failing[0].Kind != base.Corrupt {
		t.Fatalf("%+v", failing)
	}
	if img := w.Image(); img.OpenStreams(b.ref) != 2 {
		t.Fatalf("%d streams are open", img.OpenStreams(b.ref))
	}
}

// A WAL of a node that has no open stream need not be there.
func TestNothingOpen(t *testing.T) {
	w := newWorld(t)
	victim := w.register("file:///nonexistent/wal?shared=true", base.NoNode)
	do[meta.Done](t, w, &meta.FenceNode{Node: victim})
	self := w.register("s3", base.NoNode)
	r := w.rescuer(self, nil)
	defer r.Close()
	w.grant(victim, self)
	w.until("done", func(img *meta.Image) bool { got, ok := img.Rescue(victim); return !ok || got.State == meta.RescueDone })
}

// A WAL on which nothing is open and whose disk fails when it is sealed is removed when the disk is back.
func TestUnsealed(t *testing.T) {
	w := newWorld(t)
	b := newBroker(w, w.formatted("file"), base.NoNode, 0, 1<<30)
	b.crash()
	b.fence()
	self := w.register("s3", base.NoNode)
	bad := badTokens{FS: disk.OS{}, left: new(atomic.Int32)}
	bad.left.Store(2) // the seal, and a removal
	r := w.rescuer(self, func(o *Options) {
		o.WAL = func() wal.Options {
			opt := w.walOptions()
			opt.FS = bad
			return opt
		}
	})
	defer r.Close()
	w.grant(b.ref, self)
	b.rescued(0)
	if left := bad.left.Load(); left != 0 {
		t.Fatalf("%d failures have not been met", left)
	}
}

// badTokens is a disk on which so many tokens cannot be marked.
type badTokens struct {
	disk.FS
	left *atomic.Int32
}

func (d badTokens) Overwrite(name string, off int64, data []byte) error {
	if d.left.Load() > 0 {
		d.left.Add(-1)
		return syscall.EIO
	}
	return d.FS.Overwrite(name, off, data)
}

// WaitOwn ends with its context and when the worker is closed.
func TestWaitEnds(t *testing.T) {
	w := newWorld(t)
	url := w.formatted("local")
	b := newBroker(w, url, base.NoNode, 1, 1<<30)
	b.crash()
	held := make(chan struct{})
	r := w.rescuer(w.register(url, b.ref.ID), func(o *Options) {
		o.at = func(ctx context.Context, _ string) error { close(held); <-ctx.Done(); return ctx.Err() }
	})
	<-held
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := r.WaitOwn(ctx); err != context.DeadlineExceeded {
		t.Fatalf("got %v", err)
	}
	waited := make(chan error)
	go func() { waited <- r.WaitOwn(context.Background()) }()
	r.Close()
	if err := <-waited; !base.IsKind(err, base.Closed) {
		t.Fatalf("got %v", err)
	}
}

// A rescue that hangs is reported, so that the controller grants it to another node, and stays reported after that.
func TestStuck(t *testing.T) {
	w := newWorld(t)
	b := newBroker(w, w.formatted("s3"), base.NoNode, 1, 1<<30)
	b.produce(10, 1000)
	b.crash()
	b.fence()
	first, second := w.register("s3", base.NoNode), w.register("s3", base.NoNode)
	hangs := make(chan struct{}, 1)
	w.store.SetRules(fault.Rule{Op: fault.Put, Prefix: "wal/", Times: 1, Effect: fault.Hang, Before: func(fault.Op, string) { hangs <- struct{}{} }})
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	r := w.rescuer(first, func(o *Options) { o.Now = func() time.Time { return time.Unix(0, now.Load()) } })
	defer r.Close()
	grant := w.grant(b.ref, first).Grant
	<-hangs
	if failing := r.Failing(); len(failing) != 0 {
		t.Fatalf("%+v", failing)
	}
	now.Add(int64(stuckAfter))
	if failing := r.Failing(); len(failing) != 1 || failing[0].Victim != b.ref || failing[0].Grant != grant {
		t.Fatalf("%+v", failing)
	}
	w.grant(b.ref, second)
	r.until(t, "the job is stopped", func() bool { return len(r.mu.running) == 0 })
	if failing := r.Failing(); len(failing) != 1 {
		t.Fatalf("%+v", failing)
	}
	now.Add(int64(reachKeep))
	if failing := r.Failing(); len(failing) != 0 {
		t.Fatalf("%+v", failing)
	}
	next := w.rescuer(second, nil)
	defer next.Close()
	b.rescued(1000)
}

// A rescue that reads a long log on a slow disk, or from a slow bucket, is not taken for stuck: it gets on. What it reads takes longer in all than one may be without progress.
func TestSlowSeal(t *testing.T) {
	for class, records := range map[string]struct {
		n, size int
		each    time.Duration // that is read
	}{
		"file": {8, 300 << 10, stuckAfter / 3}, // blocks too large to be read together
		"s3":   {150, 100, stuckAfter / 60},    // slots, of which 32 are looked at at a time
	} {
		t.Run(class, func(t *testing.T) {
			w := newWorld(t)
			b := newBroker(w, w.formatted(class), base.NoNode, 1, 1<<30)
			for range records.n {
				b.produce(1, records.size)
			}
			b.crash()
			b.fence()
			self := w.register("s3", base.NoNode)
			var now atomic.Int64
			now.Store(time.Now().UnixNano())
			began := now.Load()
			var r *Worker
			started := make(chan struct{})
			slow := func() {
				<-started
				now.Add(int64(records.each))
				if failing := r.Failing(); len(failing) > 0 && !t.Failed() {
					t.Errorf("after %v: %+v", time.Duration(now.Load()-began), failing)
				}
			}
			w.store.SetRules(fault.Rule{Op: fault.Get, Prefix: "wal/", Before: func(fault.Op, string) { slow() }})
			r = w.rescuer(self, func(o *Options) {
				o.Now = func() time.Time { return time.Unix(0, now.Load()) }
				o.WAL = func() wal.Options {
					opt := w.walOptions()
					opt.FS = slowDisk{disk.OS{}, slow}
					return opt
				}
			})
			defer r.Close()
			close(started)
			w.grant(b.ref, self)
			b.rescued(records.size)
			if took := time.Duration(now.Load() - began); took < 2*stuckAfter {
				t.Fatalf("%v have passed, which is no test", took)
			}
		})
	}
}

// slowDisk has each read of an open file take its time.
type slowDisk struct {
	disk.FS
	read func()
}

func (d slowDisk) Open(path string) (disk.File, error) {
	f, err := d.FS.Open(path)
	return slowFile{f, d.read}, err
}

type slowFile struct {
	disk.File
	read func()
}

func (f slowFile) ReadAt(p []byte, off int64) (int, error) {
	f.read()
	return f.File.ReadAt(p, off)
}

// late is a cluster as a node sees it whose image stays behind until the controller answers it.
type late struct {
	*cluster
	mu   sync.Mutex
	seen *meta.Image // nil: the image is no longer late
}

func (l *late) Image() *meta.Image {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen != nil {
		return l.seen
	}
	return l.cluster.Image()
}

func (l *late) Submit(ctx context.Context, c meta.Command) (meta.Result, error) {
	res, err := l.cluster.Submit(ctx, c)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = nil
	return res, err
}

// A node whose image is late finds the WAL gone that another one has rescued and removed: that is nothing for a person, and does not fail its start.
func TestRescuedMeanwhile(t *testing.T) {
	w := newWorld(t)
	url := w.formatted("file")
	b := newBroker(w, url, base.NoNode, 1, 1)
	b.produce(5, 1000)
	w.until("the WAL is trimmed", func(img *meta.Image) bool { n, _ := img.Node(b.ref.ID); return n.Volumes[0].Trim > 0 })
	b.crash()
	self := w.register(url, b.ref.ID)
	w.grant(b.ref, self)
	l := &late{cluster: w.cluster, seen: w.Image()}
	other := w.rescuer(w.register(url, base.NoNode), nil)
	defer other.Close()
	w.grant(b.ref, other.opt.Self)
	b.rescued(1000)

	r := w.rescuer(self, func(o *Options) { o.Client = l })
	defer r.Close()
	must(t, r.WaitOwn(t.Context()))
	if failing := r.Failing(); len(failing) != 0 {
		t.Errorf("%+v", failing)
	}
}
