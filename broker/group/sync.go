package group

import (
	"time"

	"sluice/broker/coord"
	"sluice/wire/kerr"
)

// Syncing. The leader sends everybody's assignment; it is appended, and when the record is replayed the group is stable and all
// parked SyncGroups are answered. Who does not sync within the rebalance timeout is removed.

func (m *machine) sync(now time.Time, t coord.Ticket, c *syncCommand) {
	refuse := func(code kerr.Code) { m.fx.Reply(t, syncResult{code: code}) }
	g := m.find(c.group)
	switch {
	case c.group == "":
		refuse(kerr.InvalidGroupID)
		return
	case g == nil || g.state == empty:
		refuse(kerr.UnknownMemberID)
		return
	case g.state == dead:
		refuse(kerr.CoordinatorNotAvailable)
		return
	}
	if g.consumers != nil {
		m.syncConsumers(now, t, c, g)
		return
	}
	if code := g.validateSync(c); code != kerr.None {
		refuse(code)
		return
	}
	mb := g.byID[c.identity.member]
	switch g.state {
	case preparing:
		refuse(kerr.RebalanceInProgress)
	case completing:
		m.answerSync(mb, syncResult{code: kerr.RebalanceInProgress})
		mb.syncTicket = t
		g.synced(mb)
		if g.leader == mb.id && !g.storing {
			m.storeAssignment(now, g, c)
		}
	case stable:
		g.synced(mb)
		m.fx.Reply(t, g.assigned(mb))
	}
}

func (g *classic) validateSync(c *syncCommand) kerr.Code {
	code := g.validate(c.identity)
	switch {
	case code != kerr.None:
		return code
	case c.generation != g.generation:
		return kerr.IllegalGeneration
	case differs(c.protocolType, g.protocolType) || differs(c.protocol, g.protocol):
		return kerr.InconsistentGroupProtocol
	}
	return kerr.None
}

// differs compares what both sides have said; nothing said differs from nothing.
func differs(a, b string) bool { return a != "" && b != "" && a != b }

// synced notes that a member has synced; the sync phase is over when all have.
func (g *classic) synced(mb *member) {
	delete(g.pendingSync, mb.id)
	if len(g.pendingSync) == 0 {
		g.syncPhase.Cancel()
	}
}

func (g *classic) assigned(mb *member) syncResult {
	return syncResult{protocolType: g.protocolType, protocol: g.protocol, assignment: mb.assignment}
}

// storeAssignment makes the leader's assignment durable. Members it forgot get an empty one.
func (m *machine) storeAssignment(now time.Time, g *classic, c *syncCommand) {
	assignments := map[string][]byte{}
	for _, a := range c.assignments {
		assignments[a.member] = a.data
	}
	r := groupRecord(g.id, g.value(assignments))
	if !m.fits(r) {
		m.fx.Note("group metadata does not fit into a batch", "group", g.id, "bytes", recordBytes(r), "limit", m.batchBytesMax)
		m.failSyncs(now, g, kerr.UnknownServerError)
		m.rebalance(now, g, "the assignment is too large to be stored")
		return
	}
	g.storing = true
	m.write([]coord.Record{r}, g, func(now time.Time) { m.propagate(now, g) })
}

// assignmentDurable is the replay of a group's record. If it is the assignment the group waits for, the group becomes stable; else
// the group has moved on, and a later record will say so.
func (m *machine) assignmentDurable(g *classic, v groupValue) {
	if g.state != completing || g.generation != v.generation || len(v.members) == 0 {
		return
	}
	for _, mv := range v.members {
		if mb := g.byID[mv.id]; mb != nil {
			mb.assignment = mv.assignment
		}
	}
	g.transition(time.UnixMilli(v.since), stable)
}

// propagate answers the parked SyncGroups of a group that has just become stable.
func (m *machine) propagate(now time.Time, g *classic) {
	if g.state != stable {
		return
	}
	for _, mb := range g.members {
		if mb.syncTicket != 0 {
			m.answerSync(mb, g.assigned(mb))
			m.extendSession(now, mb)
		}
	}
}

// failSyncs answers all parked SyncGroups with an error; what had been assigned is void.
func (m *machine) failSyncs(now time.Time, g *classic, code kerr.Code) {
	for _, mb := range g.members {
		mb.assignment = nil
		if mb.syncTicket != 0 {
			m.answerSync(mb, syncResult{code: code})
			m.extendSession(now, mb)
		}
	}
}

// answerSync answers a member's parked SyncGroup, if there is one.
func (m *machine) answerSync(mb *member, r syncResult) {
	if mb.syncTicket == 0 {
		return
	}
	m.fx.Reply(mb.syncTicket, r)
	mb.syncTicket = 0
}

func (m *machine) syncPhaseEnded(now time.Time, g *classic) {
	if m.groups[g.id] != g || g.state != completing && g.state != stable || len(g.pendingSync) == 0 {
		return
	}
	for _, mb := range append([]*member(nil), g.members...) {
		if _, missing := g.pendingSync[mb.id]; missing {
			m.fx.Note("member did not sync in time", "group", g.id, "member", mb.id)
			m.expel(g, mb)
		}
	}
	m.prepareRebalance(now, g, "members did not sync in time")
}

func (m *machine) heartbeat(now time.Time, c *heartbeatCommand) kerr.Code {
	g := m.find(c.group)
	switch {
	case c.group == "":
		return kerr.InvalidGroupID
	case g == nil:
		return kerr.UnknownMemberID
	case g.state == dead:
		return kerr.CoordinatorNotAvailable
	}
	if code := g.validate(c.identity); code != kerr.None {
		return code
	}
	if c.generation != g.generation {
		return kerr.IllegalGeneration
	}
	m.extendSession(now, g.byID[c.identity.member])
	if g.state == preparing {
		return kerr.RebalanceInProgress
	}
	return kerr.None
}

// leave takes members out at their own wish, or, named by instance id alone, at an administrator's. The answer waits until what the
// group writes has been replayed: a coordinator that loads the log after the answer must not find the members again, for it would
// wait a whole session for them.
func (m *machine) leave(now time.Time, t coord.Ticket, c *leaveCommand) {
	g := m.find(c.group)
	switch {
	case c.group == "":
		m.fx.Reply(t, leaveResult{code: kerr.InvalidGroupID})
		return
	case g != nil && g.state == dead:
		m.fx.Reply(t, leaveResult{code: kerr.CoordinatorNotAvailable})
		return
	}
	if g != nil && g.consumers != nil {
		m.leaveGroupConsumers(now, t, c, g)
		return
	}
	r := leaveResult{members: make([]kerr.Code, len(c.members))}
	if g == nil {
		for i := range r.members {
			r.members[i] = kerr.UnknownMemberID
		}
		m.fx.Reply(t, r)
		return
	}
	left := false
	for i, who := range c.members {
		r.members[i] = m.leaveOne(g, who)
		left = left || r.members[i] == kerr.None
	}
	if left {
		switch g.state {
		case completing, stable:
			m.rebalance(now, g, "members left")
		case preparing:
			m.completeIfJoined(now, g)
		}
		m.dropIfVoid(g)
	}
	m.afterWrites(g, func(time.Time) { m.fx.Reply(t, r) })
}

func (m *machine) leaveOne(g *classic, who leavingMember) kerr.Code {
	mb := g.byID[who.member]
	switch {
	case who.member == "":
		if mb = g.byInstance[who.instance]; mb == nil {
			return kerr.UnknownMemberID
		}
	case g.pendingJoin[who.member] != nil:
		g.removePending(who.member)
		return kerr.None
	default:
		if code := g.validate(who.identity); code != kerr.None {
			return code
		}
	}
	m.fx.Note("member leaves", "group", g.id, "member", mb.id, "why", who.reason)
	m.expel(g, mb)
	return kerr.None
}
