package rescue

import (
	"context"
	"sync"
	"testing"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore"
	"sluice/storage/stream"
)

// eachPlace runs a test wherever a WAL of a class may lie: the file class on a real directory, the s3 class in memory and in a bucket on a real directory.
func eachPlace(t *testing.T, test func(t *testing.T, w *world, class string)) {
	for _, class := range classes {
		t.Run(class, func(t *testing.T) { test(t, newWorld(t), class) })
	}
	t.Run("s3 on a directory", func(t *testing.T) {
		store, err := objstore.Open(context.Background(), "file://"+t.TempDir(), objstore.Options{})
		must(t, err)
		test(t, newWorldOn(t, store), "s3")
	})
}

// appender appends to one stream until it is refused, several records at a time, and notes what is acknowledged.
type appender struct {
	s      *stream.Stream
	acked  base.Offset
	failed error
	mu     sync.Mutex
}

func (a *appender) run(size int, progress func()) {
	places := make(chan struct{}, 8)
	var pending sync.WaitGroup
	for {
		places <- struct{}{}
		a.mu.Lock()
		over := a.failed != nil
		a.mu.Unlock()
		if over {
			break
		}
		at := a.s.Next()
		pending.Add(1)
		a.s.Append(stream.AppendRecord{Base: at, Count: 1, MaxTimestamp: 1, Data: content(a.s.ID(), at, size)}, func(err error) {
			a.mu.Lock()
			if err == nil && a.failed == nil {
				a.acked = at + 1
			} else if err == nil {
				a.failed = base.Errorf(base.Corrupt, "offset %d was acknowledged after a failure: %v", at, a.failed)
			} else if a.failed == nil {
				a.failed = err
			}
			a.mu.Unlock()
			if err == nil {
				progress()
			}
			<-places
			pending.Done()
		})
	}
	pending.Wait()
}

// TestZombie rescues a broker that lives, appends, uploads and trims all the time, and does not know that it is fenced. Its appends fail in
// the end; what it acknowledged until then is there, and nothing that it did not write.
func TestZombie(t *testing.T) {
	eachPlace(t, func(t *testing.T, w *world, class string) { zombie(t, w, class, 100<<10) })
	t.Run("without uploads", func(t *testing.T) { // that tell it
		eachPlace(t, func(t *testing.T, w *world, class string) { zombie(t, w, class, 1<<30) })
	})
}

func zombie(t *testing.T, w *world, class string, uploadBytes int64) {
	b := newBroker(w, w.formatted(class), base.NoNode, 4, uploadBytes)
	self := w.register("s3", base.NoNode)
	r := w.rescuer(self, nil)
	defer r.Close()

	var progress sync.Mutex
	acks, enough := 0, make(chan struct{})
	note := func() {
		progress.Lock()
		defer progress.Unlock()
		if acks++; acks == 400 {
			close(enough)
		}
	}
	var all []*appender
	var running sync.WaitGroup
	for _, s := range b.streams {
		a := &appender{s: s}
		all = append(all, a)
		running.Go(func() { a.run(1000, note) })
	}
	<-enough
	b.fence()
	w.grant(b.ref, self)
	w.until("rescue", func(img *meta.Image) bool { _, still := img.Rescue(b.ref); return !still })
	running.Wait()
	for i, a := range all {
		if !base.IsKind(a.failed, base.Fenced) && !base.IsKind(a.failed, base.Closed) && !base.IsKind(a.failed, base.Failed) {
			t.Errorf("stream %d: %v", i, a.failed)
		}
		b.acked[i] = a.acked
	}
	b.check(1000)
	b.crash()
}

// TestSleeper: a broker that slept through its whole rescue and the removal of its WAL, and then appends, is refused, and changes nothing.
func TestSleeper(t *testing.T) {
	eachPlace(t, func(t *testing.T, w *world, class string) {
		b := newBroker(w, w.formatted(class), base.NoNode, 2, 1<<30)
		b.produce(30, 2000)
		must(t, b.engine.Flush(context.Background()))
		b.produce(30, 2000)
		self := w.register("s3", base.NoNode)
		r := w.rescuer(self, nil)
		defer r.Close()
		b.fence()
		w.grant(b.ref, self)
		b.rescued(2000)
		before := w.streams(b)
		for _, s := range b.streams {
			failed := make(chan error, 1)
			s.Append(stream.AppendRecord{Base: s.Next(), Count: 1, MaxTimestamp: 1, Data: content(s.ID(), s.Next(), 2000)}, func(err error) { failed <- err })
			if err := <-failed; err == nil {
				t.Fatal("an append was acknowledged after the rescue")
			}
		}
		b.engine.Flush(context.Background())
		if after := w.streams(b); before[0] != after[0] || before[1] != after[1] {
			t.Fatalf("%v, before %v", after, before)
		}
		b.check(2000)
		b.crash()
	})
}
