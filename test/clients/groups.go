package clients

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/test/history"
)

// GroupKinds are the kinds of groups that [Set.StartGroup] knows: the classic protocol with eager and with cooperative rebalances and with static members, the
// consumer protocol (KIP-848), and share groups (KIP-932).
var GroupKinds = []string{"eager", "cooperative", "static", "consumer", "share"}

// Group is a group whose members come and go: each lives for a while, and then leaves, or dies without a word. What it reads is in the history, and a ledger
// judges whom it makes owners and what it commits.
type Group struct {
	c       *Set
	name    string
	kind    string
	life    time.Duration
	ledger  *ledger
	shares  *shares
	calm    atomic.Bool // members live on
	members []*Reader
	trace   func(format string, args ...any)
}

// StartGroup starts a group. A member lives for life, or up to three times as long. trace is told who comes and goes.
func (c *Set) StartGroup(ctx context.Context, kind string, n int, life time.Duration, seed uint64, trace func(format string, args ...any)) (*Group, error) {
	name := "group-" + kind
	complain := func(format string, args ...any) { c.Complain("%s: %s", name, fmt.Sprintf(format, args...)) }
	g := &Group{c: c, name: name, kind: kind, life: life, trace: trace, ledger: newLedger(complain), shares: &shares{complain: complain, settled: map[place]time.Time{}}}
	if kind == "share" {
		if err := c.shareFromStart(ctx, name); err != nil {
			return nil, err
		}
	}
	for i := range n {
		rnd := rand.New(rand.NewPCG(seed, uint64(i)))
		g.members = append(g.members, Go(func(ctx context.Context) { g.come(ctx, i, rnd) }))
	}
	return g, nil
}

// shareFromStart has a share group begin with the first record.
func (c *Set) shareFromStart(ctx context.Context, name string) error {
	client, err := kgo.NewClient(c.Options()...)
	if err != nil {
		return err
	}
	defer client.Close()
	earliest := "earliest"
	entry := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	entry.Name, entry.Value = "share.auto.offset.reset", &earliest
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName, res.Configs = kmsg.ConfigResourceTypeGroupConfig, name, append(res.Configs, entry)
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, res)
	for {
		resp, err := req.RequestWith(ctx, client)
		if err == nil && len(resp.Resources) == 1 && resp.Resources[0].ErrorCode == 0 {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("configure %s: %w, %+v", name, err, resp)
		}
	}
}

// wires are the connections of a client, which can be cut so that it dies without a word.
type wires struct {
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	mu    sync.Mutex
	conns []net.Conn
	cut   bool
}

func (w *wires) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := w.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		conn.Close()
		return nil, net.ErrClosed
	}
	w.conns = append(w.conns, conn)
	return conn, nil
}

func (w *wires) die() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	for _, c := range w.conns {
		c.Close()
	}
}

// member is one life of a member.
type member struct {
	g        *Group
	name     string
	instance string // of a static member
	process  history.Process
	got      *reading
	began    time.Time
	wires    *wires
	client   *kgo.Client

	mu    sync.Mutex
	floor map[int32]commit
	next  map[int32]kgo.EpochOffset // after what was read of a partition that it owns
	acks  map[int32]bool            // of a share group: the broker took what was acknowledged last
}

// leaveWithin bounds how long a request of a member is tried again, the one to leave too.
const leaveWithin = 10 * time.Second

// come lives one life after the other.
func (g *Group) come(ctx context.Context, i int, rnd *rand.Rand) {
	for n := 1; ctx.Err() == nil; n++ {
		m := &member{g: g, name: fmt.Sprintf("%s/%d.%d", g.kind, i, n), process: g.c.process(), began: time.Now(),
			wires: &wires{dial: g.c.dial}, floor: map[int32]commit{}, next: map[int32]kgo.EpochOffset{}}
		m.got = g.c.reading(m.process)
		client, err := kgo.NewClient(g.c.Options(append(m.options(i), kgo.Dialer(m.wires.connect), kgo.RetryTimeout(leaveWithin))...)...)
		if err != nil {
			g.c.Complain("%s: %v", m.name, err)
			return
		}
		m.client = client
		g.trace("%s comes", m.name)
		until := time.Now().Add(g.life + time.Duration(rnd.Int64N(int64(2*g.life))))
		one, cancel := context.WithCancel(ctx)
		go func() {
			for one.Err() == nil && (g.calm.Load() || time.Now().Before(until)) {
				select {
				case <-one.Done():
				case <-time.After(min(g.c.slowly(time.Second), waitMax)):
				}
			}
			cancel()
		}()
		m.live(one, rnd)
		cancel()
		if silent := ctx.Err() == nil && rnd.IntN(2) == 0; silent {
			g.trace("%s dies", m.name)
			m.wires.die()
		} else {
			g.trace("%s leaves", m.name)
		}
		m.client.CloseAllowingRebalance()
		m.g.c.Rec.Crashed(m.process)
		select {
		case <-time.After(time.Duration(rnd.Int64N(int64(2 * time.Second)))):
		case <-ctx.Done():
		}
	}
}

func (m *member) options(i int) []kgo.Opt {
	g := m.g
	if g.kind == "share" {
		return []kgo.Opt{kgo.ConsumeTopics(g.c.Topic), kgo.ShareGroup(g.name), kgo.ShareMaxRecords(50), kgo.FetchMaxWait(g.c.wait(500 * time.Millisecond)), kgo.ShareAckCallback(m.acknowledged)}
	}
	opts := append(g.c.membership(6*time.Second, time.Second),
		kgo.ConsumeTopics(g.c.Topic), kgo.ConsumerGroup(g.name), kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(g.c.wait(500*time.Millisecond)),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(m.assigned), kgo.OnPartitionsRevoked(m.revoked), kgo.OnPartitionsLost(m.lost), kgo.AdjustFetchOffsetsFn(m.found))
	switch g.kind {
	case "eager":
		return append(opts, kgo.Balancers(kgo.RangeBalancer(), kgo.RoundRobinBalancer()))
	case "static":
		m.instance = fmt.Sprint("static-", i)
		return append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.InstanceID(m.instance))
	case "consumer":
		return append(opts, kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer())
	}
	return append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
}

// live reads, and commits now and then, until ctx ends.
func (m *member) live(ctx context.Context, rnd *rand.Rand) {
	for ctx.Err() == nil {
		fetches := m.client.PollRecords(ctx, 200)
		m.got.errors(fetches)
		if m.g.kind == "share" {
			m.share(ctx, fetches, rnd)
			continue
		}
		if recs := m.got.records(fetches); len(recs) > 0 {
			m.g.c.Rec.Polled(m.process, recs)
		}
		m.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) {
			m.g.ledger.read(r.Partition, r.Offset)
			m.next[r.Partition] = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}
		})
		m.mu.Unlock()
		if rnd.IntN(3) == 0 {
			m.commit(ctx)
		}
		m.client.AllowRebalance()
	}
}

// assigned is told of partitions before their offsets are asked for.
func (m *member) assigned(_ context.Context, client *kgo.Client, all map[string][]int32) {
	m.g.c.Rec.Assigned(m.process)
	id, generation := client.GroupMetadata()
	m.g.trace("%s is given %v in generation %d", m.name, all[m.g.c.Topic], generation)
	if m.instance != "" {
		id = m.instance // a static member that is back with another id has the same place in the same generation
	}
	floor := m.g.ledger.assigned(id, generation, all[m.g.c.Topic])
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, c := range floor {
		m.floor[p] = c
		delete(m.next, p)
	}
}

// found is told of the offsets that are committed.
func (m *member) found(_ context.Context, all map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, o := range all[m.g.c.Topic] {
		m.g.trace("%s goes on with partition %d from %d", m.name, p, o.EpochOffset().Offset)
		m.g.ledger.found(m.name, p, m.floor[p], o.EpochOffset().Offset)
	}
	return all, nil
}

// revoked commits what was read of partitions that go to somebody else.
func (m *member) revoked(ctx context.Context, _ *kgo.Client, all map[string][]int32) {
	m.g.trace("%s gives back %v", m.name, all[m.g.c.Topic])
	m.commit(ctx)
	m.forget(all)
}

func (m *member) lost(_ context.Context, _ *kgo.Client, all map[string][]int32) {
	m.g.trace("%s has lost %v", m.name, all[m.g.c.Topic])
	m.forget(all)
}

func (m *member) forget(all map[string][]int32) {
	m.g.c.Rec.Assigned(m.process)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range all[m.g.c.Topic] {
		delete(m.next, p)
	}
}

// commitWithin bounds a commit: members that wait for long hold up the others.
const commitWithin = 3 * time.Second

// commit commits what was read.
func (m *member) commit(ctx context.Context) {
	m.mu.Lock()
	offsets, newest := map[int32]kgo.EpochOffset{}, map[int32]int32{}
	for p, o := range m.next {
		offsets[p], newest[p] = o, m.g.ledger.begin(p)
	}
	m.mu.Unlock()
	if len(offsets) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, commitWithin)
	defer cancel()
	_, generation := m.client.GroupMetadata()
	m.client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{m.g.c.Topic: offsets},
		func(_ *kgo.Client, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			took := map[int32]bool{}
			if err == nil && resp != nil {
				generation = req.Generation
				for _, t := range resp.Topics {
					for _, p := range t.Partitions {
						took[p.Partition] = p.ErrorCode == 0
					}
				}
			}
			for p, o := range offsets {
				m.g.ledger.end(m.name, p, commit{generation, o.Offset}, newest[p], took[p])
			}
		})
}

// share accepts most of what came, and waits until the broker has taken that.
func (m *member) share(ctx context.Context, fetches kgo.Fetches, rnd *rand.Rand) {
	final := map[int32][]int64{}
	m.mu.Lock()
	m.acks = map[int32]bool{}
	m.mu.Unlock()
	fetches.EachRecord(func(r *kgo.Record) {
		m.g.ledger.read(r.Partition, r.Offset)
		m.g.shares.delivered(r.Partition, r.Offset, m.began)
		status := kgo.AckAccept
		switch rnd.IntN(20) {
		case 0:
			status = kgo.AckReject
		case 1:
			status = kgo.AckRelease
		}
		m.client.MarkAcks(status, r)
		if status != kgo.AckRelease {
			final[r.Partition] = append(final[r.Partition], r.Offset)
		}
	})
	if fetches.NumRecords() == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, commitWithin)
	defer cancel()
	if m.client.FlushAcks(ctx) != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, offsets := range final {
		for _, o := range offsets {
			if m.acks[p] {
				m.g.shares.settle(p, o)
			}
		}
	}
}

// acknowledged is told what a broker says to acknowledgements. One that it does not take spoils those of the partition that were sent together.
func (m *member) acknowledged(_ *kgo.Client, all kgo.ShareAckResults) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range all {
		took, before := m.acks[r.Partition]
		m.acks[r.Partition] = r.Err == nil && (took || !before)
	}
}

// Finish has the members live on until they have read every record, ends them, and compares what is committed. They may take as long as they need for what there is, but must not
// read nothing new for as long as patience lasts; nor may any other step take longer.
func (g *Group) Finish(patience time.Duration) error {
	g.calm.Store(true)
	defer g.Halt()
	client, err := kgo.NewClient(g.c.Options()...)
	if err != nil {
		return err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ends, err := g.c.ends(ctx, adm)
	if err != nil {
		return err
	}
	read, until := 0, time.Now().Add(patience)
	for p, end := range ends {
		for {
			offset, some := g.ledger.missing(p, end)
			if !some {
				break
			}
			if now := g.ledger.count(); now > read {
				read, until = now, time.Now().Add(patience)
			}
			if time.Now().After(until) {
				return fmt.Errorf("%s: nobody has read record %d of partition %d, which ends at %d, and nothing new for %v", g.name, offset, p, end, patience)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	ctx, cancel = context.WithTimeout(context.Background(), patience)
	defer cancel()
	g.Halt()
	if g.kind == "share" {
		return nil
	}
	for {
		res, err := adm.FetchOffsets(ctx, g.name)
		if err == nil && res.Error() == nil {
			for p := range ends {
				o, _ := res.Lookup(g.c.Topic, p)
				g.ledger.committed(p, o.At)
			}
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s: fetch what is committed: %w, %v", g.name, err, res.Error())
		}
	}
}

// Halt ends the members.
func (g *Group) Halt() {
	g.calm.Store(true)
	for _, r := range g.members {
		r.Halt()
	}
}
