package lead

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"sluice/base"
	"sluice/base/slab"
	"sluice/broker/partition"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/storage/objstore"
	"sluice/storage/objstore/fault"
	"sluice/storage/objstore/mem"
	"sluice/storage/stream"
	"sluice/storage/wal"
	"sluice/wire/batch"
	"sluice/wire/kerr"
)

// pair is two nodes on one bucket and one controller, all real.
type pair struct {
	t      testing.TB
	bucket *fault.Store // of data
	slots  *fault.Store // of metadata
	ctl    *control.Controller
	sides  [2]*side
	stop   chan struct{}
	wg     sync.WaitGroup
}

// side is one of the nodes.
type side struct {
	node   meta.NodeRef
	client *flaky
	engine *stream.Engine
	log    wal.Log
	l      *Leader
	reg    *prometheus.Registry

	mu     sync.Mutex
	events []string
}

// flaky is a client whose commands may be made to fail.
type flaky struct {
	control.Client
	hook atomic.Pointer[func(ctx context.Context, c meta.Command, submit func() (meta.Result, error)) (meta.Result, error)]
}

func (f *flaky) Submit(ctx context.Context, c meta.Command) (meta.Result, error) {
	submit := func() (meta.Result, error) {
		if ctx.Err() != nil { // a command that is late has left its sender
			ctx = context.WithoutCancel(ctx)
		}
		return f.Client.Submit(ctx, c)
	}
	if hook := f.hook.Load(); hook != nil {
		return (*hook)(ctx, c, submit)
	}
	return submit()
}

func (f *flaky) set(hook func(ctx context.Context, c meta.Command, submit func() (meta.Result, error)) (meta.Result, error)) {
	if hook == nil {
		f.hook.Store(nil)
		return
	}
	f.hook.Store(&hook)
}

func newPair(t testing.TB, change func(*Options)) *pair {
	p := &pair{t: t, stop: make(chan struct{})}
	store := mem.New()
	p.bucket, p.slots = fault.New(store, 1), fault.New(store, 2)
	var err error
	p.ctl, err = control.Start(ctx, control.Options{Store: p.slots})
	p.must(err)
	for i := range p.sides {
		p.sides[i] = p.newSide(i, change)
	}
	return p
}

func (p *pair) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *pair) newSide(i int, change func(*Options)) *side {
	s := &side{client: &flaky{Client: p.ctl}, reg: prometheus.NewRegistry()}
	url := fmt.Sprintf("mem://%s-%d-%d", p.t.Name(), i, time.Now().UnixNano())
	url = "mem://" + string(bytes.ReplaceAll([]byte(url[len("mem://"):]), []byte("/"), []byte("-")))
	incarnation := base.NewUUID()
	cluster := p.ctl.Image().ClusterID()
	p.must(wal.Format(ctx, url, wal.Options{}, wal.Identity{Cluster: cluster, Node: base.NodeID(i + 1), Incarnation: incarnation}))
	reg, err := control.Do[meta.Registered](ctx, p.ctl, &meta.Register{Incarnation: incarnation, Reclaim: base.NoNode, Name: fmt.Sprint("n", i), WAL: url})
	p.must(err)
	s.node = reg.Node
	pool := &slab.Pool{}
	s.engine = stream.New(stream.Options{
		Cluster: cluster, Node: stream.NodeRef(s.node), Store: p.bucket, Catalog: control.NewCatalog(s.client, stream.NodeRef(s.node)),
		Pool: pool, WALCacheBytes: 64 << 20, OnFailed: func(error) {},
	})
	s.log, err = wal.Create(ctx, url, wal.Options{
		Cluster: cluster, Node: s.node.ID, Epoch: s.node.Epoch, Pool: pool, Store: objstore.Store(p.bucket),
		OnBlock: s.engine.OnBlock, OnRoom: s.engine.OnRoom, OnFailed: func(error) {},
	})
	p.must(err)
	s.engine.Start(s.log)
	engine := &hookedEngine{Engine: EngineOf(stream.NewSet(s.engine)), dir: func() *Directory { return s.l.dir }}
	opt := Options{Node: s.node, Client: s.client, Engine: engine, RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond, Registerer: s.reg}
	note := func(what string) func(*partition.Partition) {
		return func(q *partition.Partition) {
			_, name, i := q.ID()
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, fmt.Sprintf("%s %s-%d@%d", what, name, i, q.LeaderEpoch()))
		}
	}
	opt.OnServing, opt.OnClosed = note("serving"), note("closed")
	if change != nil {
		change(&opt)
	}
	s.l = Start(opt)
	return s
}

// end stops the producers, closes both nodes, and checks that events came in turns.
func (p *pair) end() {
	p.t.Helper()
	for _, s := range p.sides {
		p.must(s.l.CloseAll(ctx))
		p.must(s.engine.Close(ctx))
		p.must(s.log.Close(ctx))
		inTurns(p.t, s.events)
	}
	p.must(p.ctl.Close())
	if t, ok := p.t.(*testing.T); ok { // a benchmark has goroutines of its own
		goleak.VerifyNone(t)
	}
}

func inTurns(t testing.TB, events []string) {
	open := map[string]bool{}
	for _, e := range events {
		var what, which string
		fmt.Sscan(e, &what, &which)
		if open[which] == (what == "serving") {
			t.Fatal("not in turns: ", events)
		}
		open[which] = what == "serving"
	}
	for which, o := range open {
		if o {
			t.Fatal(which, " was never closed")
		}
	}
}

func (p *pair) create(name string, partitions int32, leader base.NodeID) base.UUID {
	p.t.Helper()
	leaders := make([]base.NodeID, partitions)
	for i := range leaders {
		leaders[i] = leader
	}
	res, err := control.Do[meta.TopicsCreated](ctx, p.ctl, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: name, Partitions: partitions, Leaders: leaders}}})
	p.must(err)
	if res.Topics[0].Err != nil {
		p.t.Fatal(res.Topics[0].Err)
	}
	p.servedBy(res.Topics[0].ID, leader)
	return res.Topics[0].ID
}

// move asks for partitions to be moved.
func (p *pair) move(topic base.UUID, to base.NodeID) {
	p.t.Helper()
	var cmd meta.MovePartitions
	for q := range p.ctl.Image().PartitionsOf(topic) {
		cmd.Partitions = append(cmd.Partitions, meta.PartitionLeader{Partition: meta.PartitionID{Topic: topic, Index: q.Index}, Leader: to})
	}
	res, err := control.Do[meta.Outcomes](ctx, p.ctl, &cmd)
	p.must(err)
	for _, rej := range res.Errs {
		if rej != nil {
			p.t.Fatal(rej)
		}
	}
}

// await waits until ok holds, which depends on images and directories.
func (p *pair) await(what string, ok func() bool) {
	p.t.Helper()
	patience := time.After(30 * time.Second)
	for {
		a, b := p.sides[0].l.dir.Changed(), p.sides[1].l.dir.Changed()
		if ok() {
			return
		}
		select {
		case <-a:
		case <-b:
		case <-patience:
			p.t.Fatal("waited in vain: ", what)
		}
	}
}

// servedBy waits until a node serves all of a topic, and no other does.
func (p *pair) servedBy(topic base.UUID, node base.NodeID) {
	p.t.Helper()
	p.await(fmt.Sprint("served by ", node), func() bool {
		for q := range p.ctl.Image().PartitionsOf(topic) {
			for _, s := range p.sides {
				if part, err := s.l.dir.Get(topic, q.Index); (err == nil && !part.Paused()) != (s.node.ID == node) {
					return false
				}
			}
			if q.State != meta.Serving || q.Leader != node || q.Target != base.NoNode {
				return false
			}
		}
		return true
	})
}

// producer writes numbered batches to a partition as an idempotent client does, with some in flight.
type producer struct {
	p     *pair
	topic base.UUID
	index int32
	sent  int64
	acked atomic.Int64
	bases sync.Map // of batches by number
	flow  chan struct{}
	pace  time.Duration // between two batches
	gap   gap
}

const perBatch = 3

func (p *pair) produceTo(topic base.UUID, index int32) *producer {
	w := &producer{p: p, topic: topic, index: index, flow: make(chan struct{}, 4)}
	p.wg.Go(w.run)
	return w
}

func (w *producer) run() {
	for {
		select {
		case <-w.p.stop:
			return
		case w.flow <- struct{}{}:
		}
		if !w.send(w.sent) {
			return
		}
		w.sent++
		if w.pace > 0 {
			time.Sleep(w.pace)
		}
	}
}

// send appends one batch wherever the partition is, as the edge and a client do together: a refusal means looking again.
func (w *producer) send(number int64) bool {
	for {
		a, b := w.p.sides[0].l.dir.Changed(), w.p.sides[1].l.dir.Changed()
		for _, s := range w.p.sides {
			part, err := s.l.dir.Get(w.topic, w.index)
			if err != nil {
				continue
			}
			body := w.batch(number)
			refused, held := error(nil), false
			ok := make(chan struct{}, 1)
			part.Append(partition.AppendRequest{Batch: body}, func(r partition.AppendResult) {
				if r.Err != nil {
					refused, held = r.Err, r.Held
					select {
					case ok <- struct{}{}:
					default:
					}
					return
				}
				w.bases.Store(number, r.Base)
				w.acked.Add(1)
				w.gap.acked()
				<-w.flow
			})
			select {
			case <-ok:
			default:
				return true // on its way
			}
			if !held && kerr.CodeOf(refused) != kerr.NotLeaderOrFollower {
				w.p.t.Errorf("batch %d of partition %d: %v", number, w.index, refused)
				return false
			}
		}
		select {
		case <-a:
		case <-b:
		case <-w.p.stop:
			<-w.flow
			return false
		}
	}
}

func (w *producer) batch(number int64) []byte {
	b := batch.NewBuilder(batch.Options{Idempotent: true, ProducerID: 1000 + int64(w.index), BaseSequence: int32(number * perBatch)})
	for i := range int64(perBatch) {
		b.Add(batch.Record{Timestamp: 1_700_000_000_000, Value: binary.BigEndian.AppendUint64(nil, uint64(number*perBatch+i))})
	}
	return b.Bytes()
}

// check reads the partition from its leader: every batch once, in order, at the offset that was acknowledged, without a gap.
func (w *producer) check() {
	t := w.p.t
	t.Helper()
	var part *partition.Partition
	for _, s := range w.p.sides {
		if q, err := s.l.dir.Get(w.topic, w.index); err == nil && !q.Paused() { // a node that has handed over may still have it, paused
			part = q
		}
	}
	next := base.Offset(0)
	_, hw, _, _ := part.Bounds()
	for next < hw {
		res, err := part.Read(ctx, partition.ReadRequest{From: next, MaxBytes: 1 << 20, MinOne: true, LeaderEpoch: -1, LastEpoch: -1})
		if err != nil || res.Chunk == nil {
			t.Fatalf("partition %d at %d of %d: %v", w.index, next, hw, err)
		}
		for _, seg := range res.Chunk.Segments {
			for b, err := range batch.All(seg) {
				w.p.must(err)
				if b.BaseOffset() != int64(next) || b.NumRecords() != perBatch {
					t.Fatalf("partition %d: batch at %d, want %d", w.index, b.BaseOffset(), next)
				}
				if at, ok := w.bases.Load(int64(next) / perBatch); !ok || at.(base.Offset) != next {
					t.Fatalf("partition %d: the batch at %d was acknowledged as at %v", w.index, next, at)
				}
				for r, err := range b.Records(batch.Limits{}) {
					w.p.must(err)
					if got := binary.BigEndian.Uint64(r.Value); got != uint64(next) {
						t.Fatalf("partition %d: record %d at offset %d", w.index, got, next)
					}
					next++
				}
			}
		}
		res.Chunk.Release()
	}
	if int64(next) != w.acked.Load()*perBatch {
		t.Fatalf("partition %d ends at %d, %d batches were acknowledged", w.index, next, w.acked.Load())
	}
}

// progress waits until every producer has got n more acknowledgements.
func progress(t testing.TB, ws []*producer, n int64) {
	t.Helper()
	goals := make([]int64, len(ws))
	for i, w := range ws {
		goals[i] = w.acked.Load() + n
	}
	for i, w := range ws {
		for end := time.Now().Add(30 * time.Second); w.acked.Load() < goals[i]; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("partition %d takes no batches", w.index)
			}
		}
	}
}

// stopProducers waits until everything that was sent is acknowledged, and checks it.
func (p *pair) stopProducers(ws []*producer) {
	p.t.Helper()
	close(p.stop)
	p.wg.Wait()
	for _, w := range ws {
		for end := time.Now().Add(30 * time.Second); len(w.flow) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				p.t.Fatalf("partition %d: %d batches are not answered", w.index, len(w.flow))
			}
		}
		w.check()
	}
}

func TestMoveUnderLoad(t *testing.T) {
	p := newPair(t, func(o *Options) { o.MoveBatch = 3 })
	defer p.end()
	const parts = 5
	topic := p.create("orders", parts, p.sides[0].node.ID)
	var ws []*producer
	for i := range int32(parts) {
		ws = append(ws, p.produceTo(topic, i))
	}
	for round := range 6 {
		progress(t, ws, 5)
		to := p.sides[(round+1)%2].node.ID
		p.move(topic, to)
		p.servedBy(topic, to)
	}
	progress(t, ws, 5)
	p.stopProducers(ws)
}

// pausing has do called when a move of the first node has paused its partitions and not yet uploaded the rest.
func (p *pair) pausing(do func()) {
	e := p.sides[0].l.opt.Engine.(*hookedEngine)
	if do == nil {
		e.onFlush.Store(nil)
		return
	}
	e.onFlush.Store(&do)
}

// hookedEngine calls a hook before the flushes of paused streams.
type hookedEngine struct {
	Engine
	dir     func() *Directory
	onFlush atomic.Pointer[func()]
}

func (e *hookedEngine) Flush(ctx context.Context, streams []partition.Log) error {
	if do := e.onFlush.Load(); do != nil {
		for q := range e.dir().All() {
			if q.Paused() {
				(*do)()
				break
			}
		}
	}
	return e.Engine.Flush(ctx, streams)
}

// resumed returns how many pauses ended here.
func (s *side) resumed(t testing.TB) uint64 {
	n, _ := s.pauses(t, "resumed")
	return n
}

// pauses returns how many pauses ended that way, and how long they took on average.
func (s *side) pauses(t testing.TB, end string) (n uint64, mean time.Duration) {
	families, err := s.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "sluice_partition_move_pause_seconds" {
			continue
		}
		for _, m := range f.Metric {
			if h := m.Histogram; m.Label[0].GetValue() == end && h.GetSampleCount() > 0 {
				n = h.GetSampleCount()
				return n, time.Duration(h.GetSampleSum() / float64(n) * float64(time.Second))
			}
		}
	}
	return 0, 0
}
