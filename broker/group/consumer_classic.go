package group

import (
	"slices"
	"time"

	"sluice/broker/coord"
	"sluice/wire/kerr"
)

// Members of the classic protocol in a group of the consumer protocol. A Heartbeat tells them to join when there is something to do;
// each of their rounds, JoinGroup and SyncGroup, is one step of reconciliation, and waits for nobody.

// classicMember finds a classic member by what a request says it is.
func (cg *consumerGroup) classicMember(who identity) (*consumer, kerr.Code) {
	c := cg.members[who.member]
	if who.instance.static {
		switch id, ok := cg.byInstance[who.instance]; {
		case !ok:
			return nil, kerr.UnknownMemberID
		case id != who.member:
			return nil, kerr.FencedInstanceID
		}
	}
	if c == nil || c.classic == nil {
		return nil, kerr.UnknownMemberID
	}
	return c, kerr.None
}

// expectClassic gives a classic member the time of a rebalance for its next request.
func (ch *change) expectClassic(now time.Time, c *consumer, why string) {
	d := &ch.g.consumers.timersOf(c.id).rebalance
	ch.m.setConsumerTimer(d, now.Add(max(c.rebalanceTimeout, rebalanceTimeoutMin)), ch.g, c.id, why)
}

// syncConsumers serves the SyncGroup of a classic member.
func (m *machine) syncConsumers(now time.Time, t coord.Ticket, c *syncCommand, g *classic) {
	cg := g.consumers
	refuse := func(code kerr.Code) { m.fx.Reply(t, syncResult{code: code}) }
	mb, code := cg.classicMember(c.identity)
	switch {
	case code != kerr.None:
		refuse(code)
		return
	case c.generation != mb.epoch:
		refuse(kerr.IllegalGeneration)
		return
	case differs(c.protocolType, consumerProtocolType) || differs(c.protocol, mb.classic.chosen().name):
		refuse(kerr.InconsistentGroupProtocol)
		return
	}
	ch := m.change(g)
	if cg.targetEpoch > mb.epoch && mb.state != memberUnrevoked {
		m.expectRejoin(now, ch, mb)
		refuse(kerr.RebalanceInProgress)
		return
	}
	cg.timersOf(mb.id).rebalance.Cancel()
	ch.beatTimers(now, mb)
	r := syncResult{
		protocolType: consumerProtocolType, protocol: mb.classic.chosen().name,
		assignment: encodeAssignment(mb.assigned, mb.classic.version(), ch.view),
	}
	ch.commit(func(time.Time) { m.fx.Reply(t, r) })
}

// expectRejoin gives a classic member the time of a rebalance to join, unless that time is running.
func (m *machine) expectRejoin(now time.Time, ch *change, c *consumer) {
	if !ch.g.consumers.timersOf(c.id).rebalance.Running() {
		ch.expectClassic(now, c, "it did not join again in time")
	}
}

// heartbeatConsumers serves the Heartbeat of a classic member. It has to join if there is a new target, if it has partitions to give
// up, or if all that it waits for has become free. While the group has moved on and its target has not, there is nothing to join for; the
// heartbeat computes the target when that is due, for there may be nobody of the consumer protocol to do it.
func (m *machine) heartbeatConsumers(now time.Time, t coord.Ticket, c *heartbeatCommand, g *classic) {
	cg := g.consumers
	mb, code := cg.classicMember(c.identity)
	if code == kerr.None && c.generation != mb.epoch {
		code = kerr.IllegalGeneration
	}
	if code != kerr.None {
		m.fx.Reply(t, codeResult{code})
		return
	}
	ch := m.change(g)
	ch.bump(false) // topics may have changed
	ch.retarget(now)
	ch.beatTimers(now, mb)
	if mb.epoch < cg.targetEpoch || mb.state == memberUnrevoked || mb.state == memberUnreleased && cg.released(mb) {
		code = kerr.RebalanceInProgress
		m.expectRejoin(now, ch, mb)
	}
	ch.commit(func(time.Time) { m.fx.Reply(t, codeResult{code}) })
}

// released reports whether nobody else holds anything of a member's target.
func (cg *consumerGroup) released(c *consumer) bool {
	for _, p := range cg.targets[c.id] {
		if !cg.free(p, c.id) {
			return false
		}
	}
	return true
}

// leavingConsumer finds the member that a LeaveGroup names, of either protocol: an administrator may take out members of both, by instance
// id alone, too.
func (cg *consumerGroup) leavingConsumer(who identity) (*consumer, kerr.Code) {
	id := who.member
	if who.instance.static {
		id = cg.byInstance[who.instance]
		if id != "" && who.member != "" && who.member != id {
			return nil, kerr.FencedInstanceID
		}
	}
	c := cg.members[id]
	if c == nil {
		return nil, kerr.UnknownMemberID
	}
	return c, kerr.None
}

// leaveGroupConsumers serves a LeaveGroup: of classic members, or an administrator's.
func (m *machine) leaveGroupConsumers(now time.Time, t coord.Ticket, c *leaveCommand, g *classic) {
	r := leaveResult{members: make([]kerr.Code, len(c.members))}
	var leaving []*consumer
	for i, who := range c.members {
		mb, code := g.consumers.leavingConsumer(who.identity)
		if r.members[i] = code; code == kerr.None && !slices.Contains(leaving, mb) {
			leaving = append(leaving, mb)
			m.fx.Note("member leaves", "group", g.id, "member", mb.id, "why", who.reason)
		}
	}
	ch := m.change(g)
	if len(leaving) > 0 {
		m.fence(now, ch, leaving...)
	}
	ch.commit(func(time.Time) { m.fx.Reply(t, r) })
}
