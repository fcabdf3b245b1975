package control

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/cluster/metalog"
	"sluice/wire/kbin"
)

const (
	followWait    = 2 * time.Second        // how long the controller holds a request for news back
	followBytes   = 4 << 20                // in one answer
	seekPause     = 200 * time.Millisecond // between looks for a controller
	contactWait   = time.Second            // for the others' answers, before taking over
	pollTimeout   = 10 * time.Second       // of one look at the log
	takeOverLimit = 30 * time.Second       // of one take-over
)

// run owns the reader: it follows the controller, or is it.
func (m *Member) run() {
	for m.life.Err() == nil {
		if l := m.leading(); l != nil {
			m.lead(l)
			continue
		}
		ctx, cancel := context.WithCancel(m.life)
		m.mu.Lock()
		m.mu.wake = cancel
		m.mu.Unlock()
		select {
		case r := <-m.leads:
			if r.ctx.Err() == nil { // else nobody waits any more
				r.done <- m.takeOver("asked to")
			}
		default:
			m.follow(ctx)
		}
		cancel()
	}
	if l := m.leading(); l != nil {
		l.close()
		m.setLead(nil)
	}
}

// interrupt has run look for requests and news.
func (m *Member) interrupt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.wake != nil {
		m.mu.wake()
	}
}

// lead waits for the end of this process's leadership and makes it a follower again.
func (m *Member) lead(l *leadership) {
	select {
	case <-l.ctl.life.Done():
	case r := <-m.leads:
		r.done <- nil // it is
		return
	case <-m.life.Done():
		return
	}
	l.close()
	m.reader = metalog.ReaderAt(m.opt.Controller.metalog(), m.Image(), l.ctl.position())
	m.vote.deposed(l.heeded())
	m.log.Info("this process is not the controller any more", "reason", l.ctl.reason())
	m.setLead(nil)
	m.poll()
}

// heeded reports whether another node was heard of in this leadership.
func (l *leadership) heeded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	self := l.m.self.Load()
	for ref := range l.mu.told {
		if self == nil || ref.ID != self.ID {
			return true
		}
	}
	return false
}

// follow asks the controller for news once, or looks for a controller. Interrupting it is harmless.
func (m *Member) follow(ctx context.Context) {
	addr, ok := m.controllerAddr()
	if !ok {
		m.seek(ctx, m.vote.gone())
		return
	}
	wait, cancel := context.WithTimeout(ctx, followWait+m.opt.Session/3)
	defer cancel()
	b, err := m.client.Call(wait, addr, methodFollow, kbin.AppendInt64(nil, int64(m.reader.Image().Pos())))
	if err != nil {
		if ctx.Err() == nil {
			m.seek(ctx, errors.Is(err, syscall.ECONNREFUSED))
		}
		return
	}
	s, entries, err := readSlots(b)
	switch {
	case err != nil:
		m.log.Error("the controller's answer is not understood", "error", err)
		m.seek(ctx, false)
	case s == statusOK:
		m.vote.heard()
		m.take(entries)
	case s == statusBehind:
		m.vote.heard()
		m.poll()
	default:
		m.seek(ctx, false)
	}
}

// take applies slots that the controller sent.
func (m *Member) take(entries []metalog.Entry) {
	for _, e := range entries {
		if err := m.reader.Take(e); err != nil {
			m.log.Error("slots from the controller do not fit, reading the log instead", "error", err)
			m.poll()
			return
		}
		m.view.publish(m.reader.Image())
	}
}

// poll reads the log in the store.
func (m *Member) poll() {
	ctx, cancel := context.WithTimeout(m.life, pollTimeout)
	defer cancel()
	before := m.reader.Image().Controller()
	more, err := m.reader.Poll(ctx)
	if err != nil {
		if m.life.Err() == nil {
			m.log.Warn("cannot read the metadata log; will be tried again", "error", err)
		}
		if !more {
			return
		}
	}
	m.view.publish(m.reader.Image())
	if now := m.reader.Image().Controller(); now != before {
		m.vote.changed()
		m.turned()
	}
}

// seek looks into the log for news, and takes over when it is time to.
func (m *Member) seek(ctx context.Context, refused bool) {
	before := m.reader.Image().Controller()
	m.poll()
	if m.reader.Image().Controller() != before {
		return
	}
	now := time.Now()
	m.vote.missed(now, refused)
	if m.vote.alone(m.alone(m.reader.Image())) || m.vote.due(now, m.rank()) && !m.othersHaveContact(ctx) {
		if err := m.takeOver("the controller does not answer"); err != nil && m.life.Err() == nil {
			m.log.Warn("cannot become the controller", "error", err)
			m.vote.wait(time.Now(), time.Second)
		}
		return
	}
	select {
	case <-time.After(seekPause):
	case <-ctx.Done():
	}
}

// alone reports whether no node lives but the one this process is, or was: then there is nobody to wait for. Where no node has ever
// registered, somebody is about to.
func (m *Member) alone(img *meta.Image) bool {
	me, some := m.opt.Former, false
	if self := m.self.Load(); self != nil {
		me = self.ID
	}
	for n := range img.Nodes() {
		if some = true; !n.Fenced && n.ID != me {
			return false
		}
	}
	return some
}

// rank says how many live nodes come before this one when the controller is gone.
func (m *Member) rank() (rank int) {
	img, self := m.Image(), m.self.Load()
	for n := range img.Nodes() {
		if !n.Fenced && n.ID != img.Controller().Node && (self == nil || n.ID < self.ID) {
			rank++
		}
	}
	return rank
}

// othersHaveContact asks the other members whether they reach the controller. If one does, the fault is this member's.
func (m *Member) othersHaveContact(ctx context.Context) bool {
	img := m.Image()
	ctx, cancel := context.WithTimeout(ctx, contactWait)
	defer cancel()
	asked := 0
	answers := make(chan bool, len(slices.Collect(img.Nodes())))
	for n := range img.Nodes() {
		self := m.self.Load()
		addr, ok := peerAddr(img, n.ID)
		if !ok || n.ID == img.Controller().Node || self != nil && self.ID == n.ID {
			continue
		}
		asked++
		go func() {
			b, err := m.client.Call(ctx, addr, methodContact, nil)
			r := kbin.NewReader(b)
			epoch, age := uint64(r.Int64()), time.Duration(r.Int64())
			answers <- err == nil && r.Err() == nil && epoch >= img.Controller().Epoch && age >= 0 && age < m.opt.Session/2
		}()
	}
	for range asked {
		if <-answers {
			m.vote.wait(time.Now(), m.opt.Session/6)
			m.log.Warn("no contact with the controller, but others have; waiting")
			return true
		}
	}
	return ctx.Err() != nil && m.life.Err() != nil
}

// takeOver makes this process the controller.
func (m *Member) takeOver(why string) error {
	ctx, cancel := context.WithTimeout(m.life, takeOverLimit)
	defer cancel()
	began, lost := time.Now(), m.vote
	before := m.reader.Image().Controller().Node
	log, img, err := metalog.TakeOver(ctx, m.metalog(), m.reader)
	if err != nil {
		m.poll()
		return err
	}
	m.log.Info("taking over as the controller", "why", why, "epoch", log.Epoch(), "took", time.Since(began).Round(time.Millisecond))
	m.view.publish(img)
	m.vote.won()
	l := m.elected(log, began)
	if n, ok := img.Node(before); ok && !lost.refused.IsZero() {
		l.missed(n.Ref(), lost.missing, lost.refused)
	}
	return nil
}

// metalog returns the options of a log that names this node as the controller.
func (m *Member) metalog() metalog.Options {
	opt := m.opt.Controller.metalog()
	if self := m.self.Load(); self != nil {
		opt.Node = self.ID
	}
	return opt
}

// becomeController has run take the role over, from whoever has it. One request waits at most; run finds it when it next looks, and what it
// waits for meanwhile is interrupted.
func (m *Member) becomeController(ctx context.Context) error {
	r := request{ctx: ctx, done: make(chan error, 1)}
	select {
	case m.leads <- r:
	case <-ctx.Done():
		return base.Wrap(base.Unavailable, ctx.Err())
	case <-m.life.Done():
		return errClosed()
	}
	m.interrupt()
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return base.Wrap(base.Undetermined, ctx.Err())
	case <-m.life.Done():
		return errClosed()
	}
}

// Transfer makes a node the controller; base.NoNode chooses one that is neither this one nor the controller. It returns when the node is, and the image says so.
func (m *Member) Transfer(ctx context.Context, to base.NodeID) error {
	self := m.self.Load()
	if self != nil && to == self.ID {
		return m.becomeController(ctx)
	}
	img := m.Image()
	if to == base.NoNode {
		for n := range img.Nodes() {
			if !n.Fenced && !n.Draining && n.ID != img.Controller().Node && (self == nil || n.ID != self.ID) {
				to = n.ID
				break
			}
		}
		if to == base.NoNode {
			return base.Errorf(base.Unavailable, "there is no other node to become the controller")
		}
	}
	addr, ok := peerAddr(img, to)
	if !ok {
		return base.Errorf(base.Invalid, "node %d is not a live node of this cluster", to)
	}
	if _, err := m.client.Call(ctx, addr, methodTakeOver, nil); err != nil {
		return err
	}
	if l := m.leading(); l != nil {
		l.ctl.suspect()
	}
	m.interrupt()
	return m.awaitController(ctx, to, img.Controller().Epoch)
}

// awaitController waits until the image shows that node, or somebody after it, as the controller.
func (m *Member) awaitController(ctx context.Context, to base.NodeID, before uint64) error {
	for {
		changed := m.view.notify.changed()
		if c := m.Image().Controller(); c.Node == to || c.Epoch > before+1 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return base.Errorf(base.Undetermined, "node %d has taken over, but the metadata here do not show it yet: %w", to, ctx.Err())
		case <-m.life.Done():
			return errClosed()
		}
	}
}

// heartbeats tells the controller that this node lives, until the member ends.
func (m *Member) heartbeats() {
	tick := time.NewTicker(m.opt.Heartbeat)
	defer tick.Stop()
	for {
		turn := m.turn()
		m.heartbeat(*m.self.Load())
		select {
		case <-tick.C:
		case <-turn:
		case <-m.life.Done():
			return
		}
	}
}

func (m *Member) heartbeat(self meta.NodeRef) {
	h := heartbeat{node: self, pos: m.Image().Pos(), failing: m.opt.Failing(), load: m.opt.Load()}
	if l := m.leading(); l != nil {
		l.heard(h)
		return
	}
	addr, ok := m.controllerAddr()
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(m.life, m.opt.Session/3)
	defer cancel()
	sent := time.Now()
	b, err := m.client.Call(ctx, addr, methodHeartbeat, h.append(nil))
	if err != nil {
		return
	}
	answer, err := readHeard(b)
	switch {
	case err != nil:
		m.log.Error("the controller's answer to a heartbeat is not understood", "error", err)
	case answer.status == statusFenced:
		m.endNode(base.Errorf(base.Fenced, "node %d, epoch %d, was fenced by the controller", self.ID, self.Epoch))
	case answer.status == statusOK:
		m.contacted(sent.Add(-max(0, answer.age)))
	}
}
