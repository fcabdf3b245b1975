package lead

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/broker/partition/memlog"
	"sluice/cluster/meta"
	"sluice/storage/stream"
	"sluice/wire/batch"
	"sluice/wire/kerr"
)

var ctx = context.Background()

// cluster is a control.Client that decides commands on the spot.
type cluster struct {
	t *testing.T

	mu   sync.Mutex
	img  *meta.Image
	subs map[int]func(old, new *meta.Image)
	next int
	fail func(meta.Command) error // asked before each command
	sent map[string]int
}

func newCluster(t *testing.T) (*cluster, meta.NodeRef) {
	img, err := meta.Empty().Apply(0, []meta.Record{meta.CreateCluster(base.NewUUID(), [32]byte{}, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, img: img, subs: map[int]func(old, new *meta.Image){}, sent: map[string]int{}}
	res, err := c.Submit(ctx, &meta.Register{Incarnation: base.NewUUID(), Reclaim: base.NoNode, Name: "n", WAL: "mem://"})
	if err != nil {
		t.Fatal(err)
	}
	return c, res.(*meta.Registered).Node
}

func (c *cluster) Submit(_ context.Context, cmd meta.Command) (meta.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent[meta.CommandName(cmd)]++
	if c.fail != nil {
		if err := c.fail(cmd); err != nil {
			return nil, err
		}
	}
	d := c.img.Draft()
	_, res, err := d.Execute(meta.Fill(cmd, base.NewUUID), 1)
	if err != nil {
		return nil, err
	}
	old := c.img
	c.img = d.Image()
	for _, fn := range c.subs {
		fn(old, c.img)
	}
	return res, nil
}

func (c *cluster) Image() *meta.Image {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.img
}

func (c *cluster) Subscribe(fn func(old, new *meta.Image)) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.next
	c.next++
	c.subs[id] = fn
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.subs, id)
	}
}

func (c *cluster) WaitFor(context.Context, base.MetaPos) error { return nil }

func (c *cluster) failWith(fail func(meta.Command) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = fail
}

func (c *cluster) count(cmd meta.Command) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent[meta.CommandName(cmd)]
}

func (c *cluster) must(cmd meta.Command) meta.Result {
	c.t.Helper()
	res, err := c.Submit(ctx, cmd)
	if err != nil {
		c.t.Fatal(err)
	}
	return res
}

func (c *cluster) create(name string, partitions int32) base.UUID {
	c.t.Helper()
	res := c.must(&meta.CreateTopics{Topics: []meta.NewTopic{{Name: name, Partitions: partitions}}}).(*meta.TopicsCreated)
	if res.Topics[0].Err != nil {
		c.t.Fatal(res.Topics[0].Err)
	}
	return res.Topics[0].ID
}

// memEngine keeps streams in memory, over restarts of the leader.
type memEngine struct {
	c    *cluster
	node meta.NodeRef
	wal  *memlog.WAL

	mu       sync.Mutex
	logs     map[base.StreamID]*memlog.Log
	attached map[*memlog.Log]stream.StreamState
	detached int
}

func (e *memEngine) Attach(s stream.StreamState) partition.Log {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.logs[s.ID]
	if l == nil {
		l = e.wal.New(0)
		e.logs[s.ID] = l
	}
	if _, ok := e.attached[l]; ok {
		panic("BUG: attached twice")
	}
	e.attached[l] = s
	return l
}

func (e *memEngine) Close(_ context.Context, streams []partition.Log) []error {
	e.Detach(streams)
	return make([]error, len(streams))
}

func (e *memEngine) Flush(context.Context, []partition.Log) error { return nil }

func (e *memEngine) Warm(context.Context, []partition.Log) {}

func (e *memEngine) Reserve(context.Context) error { return nil }

func (e *memEngine) Retire(_ context.Context, ss []partition.Log) (ends []base.Offset, err error) {
	for _, s := range ss {
		ends = append(ends, s.Next())
	}
	return ends, nil
}

func (e *memEngine) Detach(streams []partition.Log) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range streams {
		delete(e.attached, s.(*memlog.Log))
		e.detached++
	}
}

// CloseAll commits what the streams hold in one upload, as the real engine does, and closes them.
func (e *memEngine) CloseAll(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	up := &meta.CommitUpload{Node: e.node, Number: 1, Trim: 1}
	cl := &meta.CloseStreams{Node: e.node}
	res := e.c.must(&meta.PrepareObjects{Node: e.node, Count: 1}).(*meta.ObjectsPrepared)
	obj := meta.UploadObject{ID: res.First, Size: 1}
	for l, s := range e.attached {
		cl.Closes = append(cl.Closes, meta.StreamClose{Stream: s.ID, Epoch: s.Epoch, End: l.Durable()})
		if l.Durable() > s.End {
			obj.Ranges = append(obj.Ranges, meta.UploadRange{Stream: s.ID, Epoch: s.Epoch, Range: base.OffsetRange{Start: s.End, End: l.Durable()}, Bytes: 1})
		}
	}
	up.Objects = append(up.Objects, obj)
	if len(obj.Ranges) > 0 {
		e.c.must(up)
	}
	for _, rej := range e.c.must(cl).(*meta.Outcomes).Errs {
		if rej != nil {
			return rej
		}
	}
	clear(e.attached)
	return nil
}

type rig struct {
	*cluster
	node   meta.NodeRef
	engine *memEngine
	l      *Leader
	stop   func()

	mu     sync.Mutex
	events []string
}

func newRig(t *testing.T) *rig {
	c, node := newCluster(t)
	r := &rig{cluster: c, node: node}
	r.engine = &memEngine{c: c, node: node, wal: &memlog.WAL{}, logs: map[base.StreamID]*memlog.Log{}, attached: map[*memlog.Log]stream.StreamState{}}
	r.stop = r.engine.wal.Auto()
	r.start()
	return r
}

func (r *rig) start() {
	note := func(what string) func(*partition.Partition) {
		return func(p *partition.Partition) {
			_, name, i := p.ID()
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, fmt.Sprintf("%s %s-%d@%d", what, name, i, p.LeaderEpoch()))
		}
	}
	r.l = Start(Options{Node: r.node, Client: r.cluster, Engine: r.engine, BatchMax: 7, RetryMin: time.Millisecond, RetryMax: 2 * time.Millisecond, OnServing: note("serving"), OnClosed: note("closed")})
}

func (r *rig) serving() {
	r.t.Helper()
	c, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := r.l.WaitServing(c); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) close() {
	r.t.Helper()
	if err := r.l.CloseAll(ctx); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) end() {
	r.close()
	r.stop()
	goleak.VerifyNone(r.t)
}

func code(err error) kerr.Code { return kerr.CodeOf(err) }

func produce(t *testing.T, p *partition.Partition) base.Offset {
	t.Helper()
	b := batch.NewBuilder(batch.Options{Idempotent: true, ProducerID: 7})
	b.Add(batch.Record{Timestamp: time.Now().UnixMilli(), Key: []byte("k")})
	res := make(chan partition.AppendResult, 1)
	p.Append(partition.AppendRequest{Batch: b.Bytes()}, func(r partition.AppendResult) { res <- r })
	r := <-res
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return r.Base
}

func TestTopicsComeAndGo(t *testing.T) {
	r := newRig(t)
	defer r.end()
	dir := r.l.Directory()
	id := r.create("orders", 30)
	r.serving()
	for i := range int32(30) {
		p, err := dir.Get(id, i)
		if err != nil {
			t.Fatal(err)
		}
		if q, err := dir.GetByName("orders", i); q != p || err != nil || !dir.Serves(id, i) {
			t.Fatal(q, err)
		}
	}
	if n := r.count(&meta.OpenPartitions{}); n != 5 {
		t.Errorf("%d commands for 30 partitions in batches of 7", n)
	}
	for what, err := range map[kerr.Code]error{
		kerr.UnknownTopicOrPartition: second(dir.Get(id, 30)),
		kerr.UnknownTopicID:          second(dir.Get(base.NewUUID(), 0)),
		-1:                           second(dir.GetByName("nope", 0)),
	} {
		if what == -1 {
			what = kerr.UnknownTopicOrPartition
		}
		if code(err) != what {
			t.Errorf("%v, want %v", err, what)
		}
	}
	p, _ := dir.Get(id, 3)
	produce(t, p)

	r.must(&meta.CreatePartitions{Topics: []meta.MorePartitions{{Topic: meta.TopicRef{ID: id}, Count: 32}}})
	r.serving()
	if !dir.Serves(id, 31) {
		t.Fatal("the new partition does not serve")
	}
	if got, _ := dir.Get(id, 3); got != p {
		t.Fatal("an old partition was opened anew")
	}
	woken := make(chan int, 1)
	if !p.Watch(&partition.Waiter{Wake: func(n int) { woken <- n }}, 1) {
		t.Fatal("watch")
	}
	r.must(&meta.DeleteTopics{Topics: []meta.TopicRef{{Name: "orders"}}})
	<-woken
	id2 := r.create("orders", 1)
	r.serving()
	if code(second(dir.Get(id, 3))) != kerr.UnknownTopicID || code(second(dir.GetByName("orders", 3))) != kerr.UnknownTopicOrPartition {
		t.Fatal("the deleted topic is still there")
	}
	q, err := dir.GetByName("orders", 0)
	if topic, _, _ := q.ID(); err != nil || topic != id2 {
		t.Fatal("the name leads to another topic", err)
	}
	if _, err := p.Read(ctx, partition.ReadRequest{LeaderEpoch: -1, LastEpoch: -1}); code(err) != kerr.UnknownTopicOrPartition {
		t.Fatal(err)
	}
	if r.engine.detached != 64 {
		t.Fatal("streams of the deleted topic are held", r.engine.detached)
	}
}

func second[A any](_ A, err error) error { return err }

func TestRestartServesWhatWasThere(t *testing.T) {
	r := newRig(t)
	id := r.create("orders", 3)
	r.serving()
	p, _ := r.l.Directory().Get(id, 1)
	if at := produce(t, p); at != 0 {
		t.Fatal(at)
	}
	r.close()
	if _, err := r.l.Directory().Get(id, 1); code(err) != kerr.NotLeaderOrFollower {
		t.Fatal(err)
	}
	p.Append(partition.AppendRequest{}, func(res partition.AppendResult) {
		if res.Err == nil {
			t.Error("appended after the close")
		}
	})
	r.start()
	defer r.end()
	r.serving()
	q, err := r.l.Directory().Get(id, 1)
	if err != nil || q.LeaderEpoch() != p.LeaderEpoch()+1 {
		t.Fatal(q, err)
	}
	if _, hw, _, _ := q.Bounds(); hw != 1 {
		t.Fatal(hw)
	}
	if at := produce(t, q); at != 0 { // the same batch: known from the snapshot
		t.Fatal("the retry was appended anew at", at)
	}
	if n := r.count(&meta.ServePartitions{}); n == 0 {
		t.Fatal("a partition with records was not announced by itself")
	}
}

func TestFailuresAreRetried(t *testing.T) {
	r := newRig(t)
	defer r.end()
	fails := 3
	r.failWith(func(c meta.Command) error {
		if _, ok := c.(*meta.OpenPartitions); ok && fails > 0 {
			fails--
			return base.Errorf(base.Unavailable, "no controller")
		}
		return nil
	})
	id := r.create("orders", 2)
	r.serving()
	if !r.l.Directory().Serves(id, 1) {
		t.Fatal("not serving")
	}
}

func TestLoadFailureKeepsTheStreams(t *testing.T) {
	r := newRig(t)
	id := r.create("orders", 1)
	r.serving()
	p, _ := r.l.Directory().Get(id, 0)
	produce(t, p)
	r.close()
	mp, _ := r.Image().Partition(id, 0)
	l := r.engine.logs[mp.Meta]
	l.SetReadError(errors.New("bucket away"))
	r.start()
	defer r.end()
	for r.count(&meta.OpenPartitions{}) < 2 {
		time.Sleep(time.Millisecond)
	}
	l.SetReadError(nil)
	r.serving()
	if n := r.count(&meta.OpenPartitions{}); n != 2 {
		t.Fatal("opened again", n)
	}
}

func TestDeletedWhileItOpens(t *testing.T) {
	r := newRig(t)
	defer r.end()
	id := r.create("orders", 1)
	r.serving()
	p, _ := r.l.Directory().Get(id, 0)
	produce(t, p)
	r.close()
	mp, _ := r.Image().Partition(id, 0)
	gate := make(chan struct{})
	r.engine.logs[mp.Meta].SetCold(0, gate)
	r.start()
	for r.count(&meta.OpenPartitions{}) < 2 {
		time.Sleep(time.Millisecond)
	}
	r.must(&meta.DeleteTopics{Topics: []meta.TopicRef{{ID: id}}})
	close(gate)
	r.serving()
	if r.l.Directory().Serves(id, 0) || len(r.engine.attached) != 0 {
		t.Fatal("a deleted partition serves, or its streams are held")
	}
}

func TestConfigsApplyLive(t *testing.T) {
	r := newRig(t)
	defer r.end()
	id := r.create("orders", 1)
	r.serving()
	p, _ := r.l.Directory().Get(id, 0)
	await := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	alter := func(kind meta.ConfigKind, name, key, value string) {
		t.Helper()
		res := r.must(&meta.AlterConfigs{Changes: []meta.ConfigChange{{Kind: kind, Name: name, Configs: map[string]string{key: value}}}}).(*meta.Outcomes)
		if res.Errs[0] != nil {
			t.Fatal(res.Errs[0])
		}
	}
	alter(meta.BrokerConfig, "", "message.max.bytes", "77")
	await("the broker's setting", func() bool { return p.Config().MaxMessageBytes == 77 })
	alter(meta.TopicConfig, "orders", "max.message.bytes", "55")
	await("the topic's setting", func() bool { return p.Config().MaxMessageBytes == 55 })
	alter(meta.TopicConfig, "orders", "no.such.setting", "1")
	await("an unknown setting gives defaults", func() bool { return p.Config().MaxMessageBytes == 1048588 })
}

func TestEventsComeInTurns(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		r.create("t", 2)
		if i%2 == 0 {
			r.serving()
		}
		r.must(&meta.DeleteTopics{Topics: []meta.TopicRef{{Name: "t"}}})
	}
	r.create("last", 1)
	r.serving()
	r.end()
	open := map[string]bool{}
	for _, e := range r.events {
		var what, which string
		fmt.Sscan(e, &what, &which)
		if open[which] == (what == "serving") {
			t.Fatal(r.events)
		}
		open[which] = what == "serving"
	}
	for which, o := range open {
		if o {
			t.Fatal(which, "was never closed")
		}
	}
}
