package share

import (
	"context"
	"log/slog"
	"sync"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/wire/kerr"
)

// Manager serves share groups on the leaders of partitions: sessions, share partitions, ShareFetch and ShareAcknowledge. It is safe for
// concurrent use.
type Manager struct {
	opt     Options
	log     *slog.Logger
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
	cold    chan struct{} // reads from the bucket
	metrics *metrics

	mu struct {
		sync.Mutex
		parts    map[Key]*part
		sessions map[sessionKey]*session
		groups   map[string]int // sessions of each group
		turn     int            // whose turn it is to be first in a session
		closed   bool
	}
}

// NewManager makes a Manager. The caller closes it.
func NewManager(opt Options) *Manager {
	opt = opt.withDefaults()
	m := &Manager{opt: opt, log: opt.Logger, cold: make(chan struct{}, opt.ColdReads)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.mu.parts, m.mu.sessions, m.mu.groups = map[Key]*part{}, map[sessionKey]*session{}, map[string]int{}
	m.metrics = newMetrics(opt.Registerer, m)
	return m
}

// errClosed is what everybody gets when the partition is served no more.
var errClosed = kerr.Errorf(kerr.NotLeaderOrFollower, "the partition is not served here any more")

// Close ends all sessions and share partitions and waits for the goroutines. What was acquired is available again elsewhere.
func (m *Manager) Close() {
	m.mu.Lock()
	m.mu.closed = true
	parts := m.mu.parts
	m.mu.parts = map[Key]*part{}
	for _, s := range m.mu.sessions {
		s.stop()
	}
	m.mu.Unlock()
	for _, sp := range parts {
		sp.fail(errClosed)
	}
	m.cancel()
	m.running.Wait()
}

// OnClosed gives up the share partitions of a partition that this node does not lead any more. It does not wait.
func (m *Manager) OnClosed(p *partition.Partition) {
	for _, sp := range m.partsWhere(func(sp *part) bool { return sp.p == p }) {
		m.drop(sp, errClosed)
	}
}

func (m *Manager) partsWhere(which func(*part) bool) (out []*part) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, sp := range m.mu.parts {
		if which(sp) {
			out = append(out, sp)
		}
	}
	return out
}

// part finds a share partition, or begins one on the partition that is open here.
func (m *Manager) part(k Key, create bool) (*part, *kerr.Error) {
	p, err := m.opt.Directory.Get(k.Topic, k.Index)
	if err != nil {
		return nil, asKerr(err)
	}
	m.mu.Lock()
	sp := m.mu.parts[k]
	if sp != nil && sp.p == p {
		sp.retire(false)
		m.mu.Unlock()
		return sp, nil
	}
	old := sp
	switch {
	case m.mu.closed:
		sp, err = nil, errClosed
	case !create:
		sp, err = nil, kerr.Errorf(kerr.UnknownTopicOrPartition, "the group has fetched nothing of this partition here")
	default:
		sp = newPart(m, k, p)
		m.mu.parts[k] = sp
	}
	m.mu.Unlock()
	if old != nil {
		old.fail(errClosed)
	}
	if sp == nil {
		return nil, asKerr(err)
	}
	return sp, nil
}

func asKerr(err error) *kerr.Error {
	if ke, ok := err.(*kerr.Error); ok {
		return ke
	}
	return &kerr.Error{Code: kerr.CodeOf(err), Message: err.Error()}
}

// drop ends a share partition; the next fetch begins it anew.
func (m *Manager) drop(sp *part, why *kerr.Error) {
	m.mu.Lock()
	if m.mu.parts[sp.key] == sp {
		delete(m.mu.parts, sp.key)
	}
	m.mu.Unlock()
	sp.fail(why)
}

// forget drops a share partition of a group that has no session left, if nothing is under way.
func (m *Manager) forget(sp *part) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sp.mu.Lock()
	gone := sp.mu.retiring && sp.mu.failure == nil && sp.quietLocked()
	sp.mu.Unlock()
	if !gone {
		return
	}
	if m.mu.parts[sp.key] == sp {
		delete(m.mu.parts, sp.key)
	}
	sp.fail(errClosed)
}

// read reads a partition: what is in memory at once, the rest when its turn comes.
func (m *Manager) read(ctx context.Context, p *partition.Partition, req partition.ReadRequest) (partition.ReadResult, error) {
	req.CachedOnly = true
	res, err := p.Read(ctx, req)
	if err != partition.ErrCold {
		return res, err
	}
	select {
	case m.cold <- struct{}{}:
	case <-ctx.Done():
		return res, base.Wrap(base.Unavailable, ctx.Err())
	}
	defer func() { <-m.cold }()
	req.CachedOnly = false
	return p.Read(ctx, req)
}
