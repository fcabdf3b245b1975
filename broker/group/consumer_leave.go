package group

import (
	"time"

	"sluice/broker/coord"
	"sluice/wire/kerr"
)

// Leaving, by the member's own wish or because it does not keep its times.

// leaveConsumers carries out a heartbeat with epoch -1 or -2.
func (m *machine) leaveConsumers(now time.Time, t coord.Ticket, c *beatCommand) {
	g := m.find(c.group)
	switch {
	case g == nil:
		m.fx.Reply(t, *refuseBeat(kerr.GroupIDNotFound, "Group %s not found.", c.group))
		return
	case g.state == dead:
		m.fx.Reply(t, *refuseBeat(kerr.CoordinatorNotAvailable, ""))
		return
	case g.consumers == nil:
		m.fx.Reply(t, *refuseBeat(kerr.GroupIDNotFound, "Group %s is not a consumer group.", c.group))
		return
	}
	cg := g.consumers
	old := cg.members[c.member]
	if c.instance != nil {
		old = cg.members[cg.byInstance[instanceOf(c.instance)]]
	}
	switch {
	case old == nil && c.instance != nil:
		m.fx.Reply(t, *refuseBeat(kerr.UnknownMemberID, "Instance id %s is unknown.", *c.instance))
		return
	case old == nil:
		m.fx.Reply(t, *refuseBeat(kerr.UnknownMemberID, "Member %s is not a member of group %s.", c.member, g.id))
		return
	case old.id != c.member:
		m.fx.Reply(t, *refuseBeat(kerr.FencedInstanceID, "Static member %s with instance id %s was fenced by member %s.", c.member, *c.instance, old.id))
		return
	}
	ch := m.change(g)
	if c.epoch == epochLeaveStatic {
		m.fx.Note("static member leaves for a while", "group", g.id, "member", old.id)
		away := *old
		away.epoch, away.revoking = epochLeaveStatic, nil
		ch.add(consumerStateRecord(g.id, &away))
		cg.timersOf(old.id).rebalance.Cancel()
	} else {
		m.fx.Note("member leaves", "group", g.id, "member", old.id)
		m.fence(now, ch, old)
	}
	r := beatResult{member: old.id, epoch: c.epoch}
	ch.commit(func(time.Time) { m.fx.Reply(t, r) })
}

// fence takes a member out and lets the group's epoch rise. The next heartbeat of whoever is left computes the target.
func (m *machine) fence(now time.Time, ch *change, who ...*consumer) {
	for _, c := range who {
		ch.removeMember(c.id)
	}
	if m.downgradable(ch.g) {
		m.downgrade(now, ch)
		m.prepareRebalance(now, ch.g, "the last member of the consumer protocol is gone")
		return
	}
	ch.dropRegexes()
	cg := ch.g.consumers
	ch.add(consumerGroupRecord(ch.g.id, cg.epoch+1, cg.topicsHash(ch.view)))
}

// expireConsumer takes out a member that did not keep a time.
func (m *machine) expireConsumer(now time.Time, g *classic, id, why string) {
	c := g.consumers.members[id]
	m.fx.Note("member failed", "group", g.id, "member", id, "why", why)
	ch := m.change(g)
	m.fence(now, ch, c)
	ch.commit(nil)
}

// timersOf returns a member's deadlines, made if there are none.
func (cg *consumerGroup) timersOf(id string) *consumerTimers {
	t := cg.timers[id]
	if t == nil {
		t = &consumerTimers{}
		cg.timers[id] = t
	}
	return t
}

func (cg *consumerGroup) cancelTimers(id string) {
	if t := cg.timers[id]; t != nil {
		t.session.Cancel()
		t.rebalance.Cancel()
		delete(cg.timers, id)
	}
}

// setConsumerTimer (re)starts a deadline of a member, after which it is taken out.
func (m *machine) setConsumerTimer(d *coord.Deadline, at time.Time, g *classic, id, why string) {
	cg := g.consumers
	d.Fire = func(now time.Time) {
		if m.groups[g.id] == g && g.consumers == cg && g.state != dead && cg.members[id] != nil {
			m.expireConsumer(now, g, id, why)
		}
	}
	m.timers.Set(d, at)
}

// beatTimers restarts the session of a member that sent a heartbeat, and the time it has to give partitions up, if it begins to run.
func (ch *change) beatTimers(now time.Time, c *consumer) {
	timers := ch.g.consumers.timersOf(c.id)
	ch.m.setConsumerTimer(&timers.session, now.Add(ch.m.sessionOf(ch.g.id, c)), ch.g, c.id, "its session has expired")
	switch {
	case c.classic != nil: // has its own times, see expectClassic
	case c.state != memberUnrevoked:
		timers.rebalance.Cancel()
	case !timers.rebalance.Running():
		ch.m.setConsumerTimer(&timers.rebalance, now.Add(max(c.rebalanceTimeout, rebalanceTimeoutMin)), ch.g, c.id, "it did not give up its partitions in time")
	}
}

// loadedConsumers starts the deadlines of a group that was loaded.
func (m *machine) loadedConsumers(now time.Time, g *classic) {
	ch := m.change(g)
	for _, c := range g.consumers.sortedMembers() {
		ch.beatTimers(now, c)
	}
}
