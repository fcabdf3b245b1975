package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/object"
	"sluice/storage/objstore"
	"sluice/storage/objstore/fault"
	"sluice/storage/objstore/mem"
	"sluice/storage/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, opt Options) *Controller {
	t.Helper()
	c, err := Start(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func do[R any](t *testing.T, c Client, cmd meta.Command) *R {
	t.Helper()
	res, err := Do[R](t.Context(), c, cmd)
	if err != nil {
		t.Fatalf("%s: %v", meta.CommandName(cmd), err)
	}
	return res
}

func registered(t *testing.T, c Client, reclaim base.NodeID) meta.NodeRef {
	t.Helper()
	return do[meta.Registered](t, c, &meta.Register{Incarnation: base.NewUUID(), Reclaim: reclaim, WAL: "mem://"}).Node
}

// until waits for a condition on the image.
func until(t *testing.T, c Client, what string, ok func(*meta.Image) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		img := c.Image()
		if ok(img) {
			return
		}
		if err := c.WaitFor(ctx, img.Pos()+1); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// A result is answered when its effect is in the image; a rejection is typed and leaves no trace; the registered node is the controller.
func TestSubmit(t *testing.T) {
	c := start(t, Options{Store: mem.New()})
	node := registered(t, c, base.NoNode)
	if got := c.Image().Controller(); got.Node != node.ID {
		t.Fatalf("controller %+v", got)
	}
	res := do[meta.TopicsCreated](t, c, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: "a", Partitions: 3}, {Name: "a", Partitions: 1}}})
	if res.Topics[0].Err != nil || res.Topics[0].ID.IsZero() || res.Topics[1].Err == nil || res.Topics[1].Err.Code != meta.TopicExists {
		t.Fatalf("%+v", res.Topics)
	}
	if topic, ok := c.Image().TopicByName("a"); !ok || topic.Partitions != 3 || topic.ID != res.Topics[0].ID {
		t.Fatalf("topic %+v", topic)
	}
	pos := c.Image().Pos()
	_, err := c.Submit(t.Context(), &meta.PrepareObjects{Node: meta.NodeRef{ID: node.ID, Epoch: node.Epoch + 1}, Count: 1})
	if meta.CodeOf(err) != meta.StaleEpoch || !base.IsKind(err, base.Fenced) || c.Image().Pos() != pos {
		t.Fatalf("got %v", err)
	}
}

// Commands that come together share slots, each is answered once and with its own result, in an order that is the log's.
func TestBatching(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		inner := mem.New()
		store := fault.New(inner, 1, fault.Rule{Name: "slow", Op: fault.Put, Delay: time.Millisecond})
		c := start(t, Options{Store: store})
		node := registered(t, c, base.NoNode)
		const n = 2000
		var seen sync.Map
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				res, err := Do[meta.ObjectsPrepared](t.Context(), c, &meta.PrepareObjects{Node: node, Count: 3})
				if err != nil {
					t.Error(err)
					return
				}
				for i := range res.Count {
					if _, dup := seen.LoadOrStore(res.First+base.ObjectID(i), true); dup {
						t.Errorf("object %d was handed out twice", res.First)
					}
				}
				if _, ok := c.Image().Object(res.First); !ok {
					t.Error("answered before it was applied")
				}
			})
		}
		wg.Wait()
		if got := c.Image().PreparedCount(); got != 3*n {
			t.Fatalf("%d objects prepared", got)
		}
		if puts := store.Fired("slow"); puts > n/4 {
			t.Fatalf("%d puts for %d commands that came together", puts, n)
		}
	})
}

// Subscribers see every image, or images merged, in order, with deltas that say what changed; WaitFor ends when the image is there.
func TestSubscribe(t *testing.T) {
	c := start(t, Options{Store: mem.New()})
	registered(t, c, base.NoNode)
	var last atomic.Uint64
	var topics sync.Map
	cancel := c.Subscribe(func(old, new *meta.Image) {
		if before := last.Swap(uint64(new.Pos())); before != 0 && before != uint64(old.Pos()) || old.Pos() >= new.Pos() {
			t.Errorf("from %d to %d after %d", old.Pos(), new.Pos(), before)
		}
		d := new.DeltaFrom(old)
		if d == nil {
			t.Errorf("no delta from %d to %d", old.Pos(), new.Pos())
			return
		}
		for id := range d.Topics {
			topics.Store(id, true)
		}
	})
	var ids []base.UUID
	for i := range 20 {
		res := do[meta.TopicsCreated](t, c, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: fmt.Sprint(i), Partitions: 1}}})
		ids = append(ids, res.Topics[0].ID)
	}
	pos := c.Image().Pos()
	if err := c.WaitFor(t.Context(), pos); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := c.WaitFor(ctx, pos+1); !base.IsKind(err, base.Unavailable) {
		t.Fatalf("got %v", err)
	}
	waitUntil(t, func() bool { return last.Load() == uint64(pos) })
	cancel()
	for _, id := range ids {
		if _, ok := topics.Load(id); !ok {
			t.Errorf("topic %s was in no delta", id)
		}
	}
	do[meta.TopicsCreated](t, c, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: "late", Partitions: 1}}})
	if last.Load() != uint64(pos) {
		t.Error("called after cancel")
	}
}

func waitUntil(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("did not happen")
		}
		time.Sleep(time.Millisecond)
	}
}

// A slow subscriber gets fewer images whose deltas still cover everything.
func TestSlowSubscriber(t *testing.T) {
	n := newNotifier(meta.Empty())
	img, err := meta.Empty().Apply(0, []meta.Record{meta.CreateCluster(base.UUID{1}, [32]byte{}, 0)})
	if err != nil {
		t.Fatal(err)
	}
	n.publish(img)
	const images = 5 * pendingMax
	for i := range images {
		recs, _, err := meta.Decide(img, meta.Fill(&meta.Register{Incarnation: base.NewUUID(), Reclaim: base.NoNode}, base.NewUUID), int64(i))
		if err != nil {
			t.Fatal(err)
		}
		if img, err = img.Apply(img.Pos(), recs); err != nil {
			t.Fatal(err)
		}
		n.publish(img)
	}
	seen := map[base.NodeID]bool{}
	count := 0
	for {
		old, img, _, ok, _ := n.take()
		if !ok {
			break
		}
		count++
		d := img.DeltaFrom(old)
		if d == nil {
			t.Fatalf("no delta from %d to %d", old.Pos(), img.Pos())
		}
		for id := range d.Nodes {
			seen[id] = true
		}
	}
	if count > pendingMax || len(seen) != images {
		t.Fatalf("%d deliveries showed %d of %d nodes", count, len(seen), images)
	}
}

// Another controller takes over: the old one refuses from then on, says so once, and its image stays readable.
func TestTakeOver(t *testing.T) {
	store := mem.New()
	fenced := make(chan error, 2)
	a := start(t, Options{Store: store, Who: "a", OnFenced: func(err error) { fenced <- err }})
	node := registered(t, a, base.NoNode)
	b := start(t, Options{Store: store, Who: "b"})
	if got := b.Image(); got.Pos() != a.Image().Pos()+1 || got.Controller().Who != "b" || got.Controller().Node != base.NoNode {
		t.Fatalf("took over %+v", got.Controller())
	}
	if _, err := a.Submit(t.Context(), &meta.PrepareObjects{Node: node, Count: 1}); !base.IsKind(err, base.Fenced) {
		t.Fatalf("got %v", err)
	}
	if err := <-fenced; !base.IsKind(err, base.Fenced) {
		t.Fatalf("got %v", err)
	}
	if _, err := a.Submit(t.Context(), &meta.PrepareObjects{Node: node, Count: 1}); !base.IsKind(err, base.Fenced) {
		t.Fatalf("got %v", err)
	}
	again := registered(t, b, node.ID)
	if again.ID != node.ID || again.Epoch <= node.Epoch {
		t.Fatalf("reclaimed as %v", again)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if len(fenced) != 0 {
		t.Fatal("OnFenced was called twice")
	}
}

// While the store is out nothing is answered; a caller that gives up learns whether its command may yet take effect.
func TestOutage(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		store := fault.New(mem.New(), 1)
		c := start(t, Options{Store: store})
		node := registered(t, c, base.NoNode)
		store.SetRules(fault.Outage())
		short := func() context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			t.Cleanup(cancel)
			return ctx
		}
		_, err := c.Submit(short(), &meta.PrepareObjects{Node: node, Count: 1})
		if !base.IsKind(err, base.Undetermined) {
			t.Fatalf("in flight: %v", err)
		}
		_, err = c.Submit(short(), &meta.PrepareObjects{Node: node, Count: 1})
		if !base.IsKind(err, base.Unavailable) {
			t.Fatalf("queued behind it: %v", err)
		}
		if c.Image().PreparedCount() != 0 {
			t.Fatal("applied what is not durable")
		}
		store.SetRules()
		do[meta.ObjectsPrepared](t, c, &meta.PrepareObjects{Node: node, Count: 1})
		if n := c.Image().PreparedCount(); n != 2 {
			t.Fatalf("%d objects prepared, want the undetermined one and the last", n)
		}
	})
}

// Close fails what is waiting and what is in flight, and everything after.
func TestCloseAnswersEverybody(t *testing.T) {
	store := fault.New(mem.New(), 1)
	c := start(t, Options{Store: store})
	node := registered(t, c, base.NoNode)
	store.SetRules(fault.Outage())
	errs := make(chan error, 50)
	for range cap(errs) {
		go func() {
			_, err := c.Submit(context.Background(), &meta.PrepareObjects{Node: node, Count: 1})
			errs <- err
		}()
	}
	waitUntil(t, func() bool { return len(c.calls) > 0 || store.Fired("outage") > 0 })
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for range cap(errs) {
		if err := <-errs; !base.IsKind(err, base.Closed) {
			t.Fatalf("got %v", err)
		}
	}
	if err := c.WaitFor(context.Background(), c.Image().Pos()+1); !base.IsKind(err, base.Closed) {
		t.Fatalf("got %v", err)
	}
}

// clock is a wall clock that the test moves.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(1_700_000_000_000)
	return c
}

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// The life of objects: what is trimmed away or belongs to a deleted topic or was only prepared goes, after its time and not before, from
// the bucket and from the image; what is in use stays.
func TestObjectLifeCycle(t *testing.T) {
	store, wall := mem.New(), newClock()
	c := start(t, Options{Store: store, Now: wall.now, Tick: time.Millisecond, DeleteGrace: time.Minute, PreparedMaxAge: time.Hour})
	node := registered(t, c, base.NoNode)
	cat := NewCatalog(c, stream.NodeRef(node))
	var data []meta.Stream
	for _, name := range []string{"kept", "gone"} {
		id := do[meta.TopicsCreated](t, c, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: name, Partitions: 1}}}).Topics[0].ID
		cmd := &meta.OpenPartitions{Node: node, Partitions: []meta.OpenPartition{{Partition: meta.PartitionID{Topic: id}, Expected: -1}}}
		data = append(data, do[meta.PartitionsOpened](t, c, cmd).Partitions[0].Data)
	}
	ids, err := cat.PrepareObjects(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	cluster := c.Image().ClusterID()
	for _, id := range ids {
		if err := store.Put(t.Context(), object.Key(cluster, id), [][]byte{{1}}, objstore.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	part := func(s meta.Stream, from, to base.Offset) stream.StreamRange {
		return stream.StreamRange{Stream: s.ID, Epoch: s.Epoch, Range: base.OffsetRange{Start: from, End: to}, Bytes: 7, MaxTimestamp: 5}
	}
	_, err = cat.CommitUpload(t.Context(), stream.UploadCommit{Node: stream.NodeRef(node), Number: 1, Objects: []stream.UploadedObject{
		{ID: ids[0], Size: 1, Ranges: []stream.StreamRange{part(data[0], 0, 10)}},
		{ID: ids[1], Size: 1, Ranges: []stream.StreamRange{part(data[0], 10, 20)}},
		{ID: ids[2], Size: 1, Kind: stream.SO, Ranges: []stream.StreamRange{part(data[1], 0, 10)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	loc, err := cat.Locate(t.Context(), data[0].ID, 0, 10)
	if err != nil || len(loc.Objects) != 2 || loc.Objects[1].Bytes != 7 || loc.CommittedEnd != 20 {
		t.Fatalf("%+v, %v", loc, err)
	}
	if err := cat.TrimStreams(t.Context(), stream.NodeRef(node), []stream.StreamTrim{{Stream: data[0].ID, Epoch: data[0].Epoch, Start: 10}}); err != nil {
		t.Fatal(err)
	}
	do[meta.TopicsDeleted](t, c, &meta.DeleteTopics{Topics: []meta.TopicRef{{Name: "gone"}}})
	until(t, c, "reaped", func(img *meta.Image) bool { return img.DestroyingCount() == 2 && img.DeletedTopics() == 0 })
	if store.Len() == 0 || !has(t, store, object.Key(cluster, ids[0])) {
		t.Fatal("deleted before the grace time was over")
	}
	wall.advance(2 * time.Minute)
	do[meta.ProducerIDs](t, c, &meta.AllocateProducerIDs{Node: node}) // the clock is the test's: wake the life cycle
	until(t, c, "removed", func(img *meta.Image) bool { return img.DestroyingCount() == 0 })
	wall.advance(2 * time.Hour)
	do[meta.ProducerIDs](t, c, &meta.AllocateProducerIDs{Node: node})
	until(t, c, "expired", func(img *meta.Image) bool { return img.PreparedCount() == 0 })
	wall.advance(2 * time.Minute)
	do[meta.ProducerIDs](t, c, &meta.AllocateProducerIDs{Node: node})
	until(t, c, "all removed", func(img *meta.Image) bool { return img.ObjectCount() == 1 })
	for i, want := range []bool{false, true, false, false} {
		if got := has(t, store, object.Key(cluster, ids[i])); got != want {
			t.Errorf("object %d is in the bucket: %v, want %v", i, got, want)
		}
	}
	_, err = cat.CommitUpload(t.Context(), stream.UploadCommit{Node: stream.NodeRef(node), Number: 2, Objects: []stream.UploadedObject{{ID: ids[3]}}})
	if !base.IsKind(err, base.NotFound) {
		t.Fatalf("an expired object was committed: %v", err)
	}
}

func has(t *testing.T, store objstore.Store, key string) bool {
	t.Helper()
	_, err := store.Stat(t.Context(), key)
	if err != nil && !base.IsKind(err, base.NotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// The catalog answers item by item.
func TestCatalogItemErrors(t *testing.T) {
	c := start(t, Options{Store: mem.New()})
	node := registered(t, c, base.NoNode)
	cat := NewCatalog(c, stream.NodeRef(node))
	id := do[meta.TopicsCreated](t, c, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: "t", Partitions: 1}}}).Topics[0].ID
	cmd := &meta.OpenPartitions{Node: node, Partitions: []meta.OpenPartition{{Partition: meta.PartitionID{Topic: id}, Expected: -1}}}
	s := do[meta.PartitionsOpened](t, c, cmd).Partitions[0].Data
	err := cat.CloseStreams(t.Context(), stream.NodeRef(node), []stream.StreamClose{{Stream: s.ID, Epoch: s.Epoch, End: 5}, {Stream: s.ID, Epoch: s.Epoch, End: 0}, {Stream: s.ID, Epoch: 9}})
	var items *stream.ItemErrors
	if !errors.As(err, &items) || !base.IsKind(items.Errs[0], base.OutOfRange) || items.Errs[1] != nil || !base.IsKind(items.Errs[2], base.Fenced) {
		t.Fatalf("got %v", err)
	}
	if _, err := cat.Locate(t.Context(), 999, 0, 1); !base.IsKind(err, base.NotFound) {
		t.Fatalf("got %v", err)
	}
}

// The plan of the life cycle follows from image and time.
func TestPlanLife(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	d := meta.Empty().Draft()
	if err := d.Apply(meta.CreateCluster(base.UUID{1}, [32]byte{}, 0)); err != nil {
		t.Fatal(err)
	}
	run := func(cmd meta.Command, at time.Time) meta.Result {
		_, res, err := d.Execute(cmd, at.UnixMilli())
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	node := run(&meta.Register{Incarnation: base.UUID{2}, Reclaim: base.NoNode}, now).(*meta.Registered).Node
	other := run(&meta.Register{Incarnation: base.UUID{3}, Reclaim: base.NoNode}, now).(*meta.Registered).Node
	positions := map[meta.NodeRef]base.MetaPos{node: 1 << 40, {ID: 9, Epoch: 9}: 1 << 40}
	plan := func(at time.Time) plan { return planLife(d.View(), positions, at, time.Hour, time.Minute, 2) }
	if p := plan(now); !p.idle() || p.wait >= 0 {
		t.Fatalf("nothing to do: %+v", p)
	}
	run(&meta.PrepareObjects{Node: node, Count: 3}, now)
	if p := plan(now.Add(59 * time.Minute)); !p.idle() || p.wait != time.Minute {
		t.Fatalf("not yet expired: %+v", p)
	}
	now = now.Add(time.Hour)
	if p := plan(now); !p.expire {
		t.Fatalf("expired: %+v", p)
	}
	run(&meta.ExpireObjects{AgeMS: 1, Limit: 10}, now)
	if p := plan(now); !p.idle() || p.wait != time.Minute {
		t.Fatalf("in grace: %+v", p)
	}
	now = now.Add(time.Minute)
	if p := plan(now); len(p.report) != 1 || p.report[0] != (meta.ReportApplied{Node: node, Pos: d.View().Pos()}) || len(p.remove) != 0 {
		t.Fatalf("grace is over, nobody has reported: %+v", p)
	}
	run(&meta.ReportApplied{Node: node, Pos: d.View().Pos()}, now)
	if p := plan(now); !p.idle() || p.wait != positionsLook {
		t.Fatalf("the other node has not reported: %+v", p)
	}
	run(&meta.FenceNode{Node: other}, now)
	if p := plan(now); len(p.remove) != 2 {
		t.Fatalf("the other is fenced: %+v", p)
	}
}

// An idle cluster puts nothing and asks for nothing.
func TestIdle(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		store := fault.New(mem.New(), 1)
		c := start(t, Options{Store: store, Tick: time.Millisecond})
		node := registered(t, c, base.NoNode)
		do[meta.ObjectsPrepared](t, c, &meta.PrepareObjects{Node: node, Count: 1})
		store.SetRules(fault.Rule{Name: "any", Effect: fault.Nothing})
		pos := c.Image().Pos()
		time.Sleep(time.Minute) // many ticks
		if n := store.Fired("any"); n != 0 || c.Image().Pos() != pos {
			t.Fatalf("%d requests, %d records", n, c.Image().Pos()-pos)
		}
	})
}

// A controller that lives long rolls, snapshots and trims, and the next one starts from little.
func TestLongLife(t *testing.T) {
	store := mem.New()
	c := start(t, Options{Store: store, SnapshotBytes: 200, RollSlots: 10})
	i := 0
	set := func() {
		do[meta.Outcomes](t, c, &meta.AlterConfigs{Changes: []meta.ConfigChange{{Kind: meta.GroupConfig, Name: "g", Configs: map[string]string{"i": fmt.Sprint(i)}}}})
		i++
	}
	for i < 300 {
		set()
	}
	waitUntil(t, func() bool { // snapshots are written beside the loop: go on until one has caught up
		set()
		return store.Len() < 2*int(c.Image().Controller().Epoch)+50 // slot 0 and a seal per epoch, and a tail
	})
	img := c.Image()
	if img.Controller().Epoch < 20 {
		t.Fatalf("epoch %d", img.Controller().Epoch)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	next := start(t, Options{Store: store})
	if got := next.Image(); got.Pos() != img.Pos()+1 || got.Configs(meta.GroupConfig, "g")["i"] != fmt.Sprint(i-1) {
		t.Fatalf("found position %d, want %d", got.Pos(), img.Pos()+1)
	}
}

func BenchmarkCreateTopics10000(b *testing.B) {
	c, err := Start(b.Context(), Options{Store: mem.New()})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Submit(b.Context(), &meta.Register{Incarnation: base.NewUUID(), Reclaim: base.NoNode}); err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		if _, err := c.Submit(b.Context(), &meta.CreateTopics{Topics: []meta.NewTopic{{Name: fmt.Sprint(i), Partitions: 10_000}}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSubmit(b *testing.B) {
	c, err := Start(b.Context(), Options{Store: mem.New()})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	node, err := Do[meta.Registered](b.Context(), c, &meta.Register{Incarnation: base.NewUUID(), Reclaim: base.NoNode})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.Submit(b.Context(), &meta.AllocateProducerIDs{Node: node.Node}); err != nil {
			b.Fatal(err)
		}
	}
}
