package control

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"sluice/base"
	"sluice/cluster/balance"
	"sluice/cluster/meta"
	"sluice/cluster/metalog"
	"sluice/wire/kbin"
)

// leadership is what a member does while it is the controller, beside the log: it watches over the nodes and places what they hold.
// Everything in it can be lost; the next leadership finds out anew.
type leadership struct {
	m   *Member
	ctl *Controller
	wg  sync.WaitGroup

	mu struct {
		sync.Mutex
		sessions *sessions
		told     map[meta.NodeRef]told // newest heartbeat of each node
	}
}

// told is a heartbeat and when it came.
type told struct {
	heartbeat
	at time.Time
}

const (
	toldKeep     = time.Minute // after a node was fenced: what it did tells where its partitions fit
	watchTick    = 250 * time.Millisecond
	probeTimeout = time.Second
	fenceTimeout = 30 * time.Second
)

// elected begins the leadership on a log that was just taken over.
func (m *Member) elected(log *metalog.Log, began time.Time) *leadership {
	opt := m.opt.Controller
	l := &leadership{m: m}
	l.mu.sessions = newSessions(m.opt.Session, m.opt.Session/6)
	l.mu.told = map[meta.NodeRef]told{}
	opt.Positions = l.positions
	l.ctl = begin(opt, m.view, log, began)
	l.ctl.metrics.elections.Inc()
	l.observe(time.Now())
	l.wg.Go(l.watch)
	l.wg.Go(l.place)
	l.wg.Go(l.announce)
	m.setLead(l)
	return l
}

// missed takes what this process knew of the controller before it took over: since when it was missed, and since when its process was gone.
// That node need not be given the time that the others get.
func (l *leadership) missed(ref meta.NodeRef, since, gone time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.mu.sessions.nodes[ref]; s != nil {
		s.heard, s.gone = since, gone
	}
}

// close ends the leadership.
func (l *leadership) close() {
	l.ctl.Close()
	l.wg.Wait()
}

// others returns the live nodes but this one.
func (l *leadership) others() (refs []meta.NodeRef) {
	self := l.m.self.Load()
	for n := range l.ctl.Image().Nodes() {
		if !n.Fenced && (self == nil || n.ID != self.ID) {
			refs = append(refs, n.Ref())
		}
	}
	return refs
}

// observe brings the sessions in line with the image.
func (l *leadership) observe(now time.Time) {
	refs := l.others()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.sessions.observe(refs, now)
	for ref, h := range l.mu.told {
		if !l.ctl.Image().Current(ref) && now.Sub(h.at) > toldKeep {
			delete(l.mu.told, ref)
		}
	}
}

// heard takes a heartbeat.
func (l *leadership) heard(h heartbeat) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.mu.sessions.heard(h.node, now)
	l.mu.told[h.node] = told{h, now}
}

func (l *leadership) positions() map[meta.NodeRef]base.MetaPos {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := make(map[meta.NodeRef]base.MetaPos, len(l.mu.told))
	for ref, h := range l.mu.told {
		m[ref] = h.pos
	}
	return m
}

// loads returns what the nodes last told about themselves, those that were fenced lately included.
func (l *leadership) loads() balance.Loads {
	l.mu.Lock()
	defer l.mu.Unlock()
	loads := make(balance.Loads, len(l.mu.told))
	for ref, h := range l.mu.told {
		if _, ok := loads[ref.ID]; !ok || l.ctl.Image().Current(ref) {
			loads[ref.ID] = h.load
		}
	}
	return loads
}

// announce tells all members that there is a new controller, so that they need not find out.
func (l *leadership) announce() {
	ctx, cancel := context.WithTimeout(l.ctl.life, probeTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, ref := range l.others() {
		if addr, ok := peerAddr(l.ctl.Image(), ref.ID); ok {
			wg.Go(func() { l.m.client.Call(ctx, addr, methodAnnounce, kbin.AppendInt64(nil, int64(l.ctl.epoch.Load()))) })
		}
	}
	wg.Wait()
}

// watch fences nodes that are gone, until the leadership ends.
func (l *leadership) watch() {
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	last := time.Now()
	probing := map[meta.NodeRef]chan bool{}
	for {
		select {
		case <-tick.C:
		case <-l.ctl.life.Done():
			return
		}
		now := time.Now()
		late := now.Sub(last) - watchTick
		last = now
		l.observe(now)
		l.mu.Lock()
		if late > watchTick {
			l.mu.sessions.forgive(late)
		}
		silent := l.mu.sessions.silent(l.m.opt.Heartbeat+l.m.opt.Heartbeat/2, now)
		l.mu.Unlock()
		l.probe(silent, probing)
		l.mu.Lock()
		over := l.mu.sessions.over(now)
		l.mu.Unlock()
		if len(over) > 0 {
			l.fence(over)
			last = time.Now() // the log's slowness is nobody's silence, and the next look is not late
		}
	}
}

// probe looks for the processes of silent nodes, each in the background, and takes the answers that have come.
func (l *leadership) probe(silent []meta.NodeRef, probing map[meta.NodeRef]chan bool) {
	for ref, answer := range probing {
		select {
		case gone := <-answer:
			delete(probing, ref)
			l.mu.Lock()
			l.mu.sessions.probed(ref, gone, time.Now())
			l.mu.Unlock()
		default:
		}
	}
	for _, ref := range silent {
		addr, ok := peerAddr(l.ctl.Image(), ref.ID)
		if probing[ref] != nil || !ok {
			continue
		}
		answer := make(chan bool, 1)
		probing[ref] = answer
		l.wg.Go(func() { answer <- l.m.gone(l.ctl.life, addr, ref) })
	}
}

// gone reports whether the process of a node is certainly not there: its address refuses connections, or another one answers.
func (m *Member) gone(ctx context.Context, addr string, ref meta.NodeRef) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	b, err := m.client.Call(ctx, addr, methodPing, nil)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	r := kbin.NewReader(b)
	who := readRef(&r)
	return r.Err() == nil && who != ref
}

// silence returns how long ago a node was heard of.
func (l *leadership) silence(ref meta.NodeRef) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.mu.sessions.nodes[ref]; s != nil {
		return time.Since(s.heard)
	}
	return 0
}

func (l *leadership) fence(over map[meta.NodeRef]string) {
	ctx, cancel := context.WithTimeout(l.ctl.life, fenceTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for ref, why := range over {
		wg.Go(func() {
			if _, err := l.ctl.Submit(ctx, &meta.FenceNode{Node: ref, Why: why}); err != nil {
				l.m.log.Warn("cannot fence a node; will be tried again", "node", ref.ID, "epoch", ref.Epoch, "error", err)
				return
			}
			silence := l.silence(ref)
			l.ctl.metrics.silence.Observe(silence.Seconds())
			l.m.log.Warn("fenced a node", "node", ref.ID, "epoch", ref.Epoch, "why", why, "silent_for", silence.Round(time.Millisecond))
		})
	}
	wg.Wait()
	l.observe(time.Now())
}
