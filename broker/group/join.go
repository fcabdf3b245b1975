package group

import (
	"fmt"
	"time"

	"sluice/broker/coord"
	"sluice/wire/kerr"
)

// Joining. A member that wants in, or has changed, brings the group into PreparingRebalance; everybody must join again. The answers
// are held back until all members have joined or the longest rebalance timeout has passed; then the generation is counted up and the
// leader learns of all members. A group that was empty waits a little in any case, so that a fleet that starts does not rebalance
// once per member: the initial delay, extended while members keep coming, up to the longest rebalance timeout.

// allowsSession reports whether a member may have the session that it asks for, which is looked at before the group is.
func (m *machine) allowsSession(c *joinCommand) bool {
	timeout := time.Duration(c.sessionTimeoutMS) * time.Millisecond
	return timeout >= m.sessionTimeoutMin && timeout <= m.sessionTimeoutMax
}

func (m *machine) join(now time.Time, t coord.Ticket, c *joinCommand) {
	switch {
	case c.group == "":
		m.refuseJoin(t, c.identity.member, kerr.InvalidGroupID)
		return
	case !m.allowsSession(c):
		m.refuseJoin(t, c.identity.member, kerr.InvalidSessionTimeout)
		return
	}
	g := m.find(c.group)
	if g == nil && c.identity.member != "" {
		m.refuseJoin(t, c.identity.member, kerr.UnknownMemberID)
		return
	}
	g = m.findOrCreate(now, c.group)
	defer m.dropIfVoid(g)
	if g.consumers != nil && g.state == empty {
		m.vacate(g)
	}
	if g.streams != nil && g.state == empty {
		m.vacateStreams(g)
	}
	switch {
	case g.state == dead:
		m.refuseJoin(t, c.identity.member, kerr.CoordinatorNotAvailable)
	case g.consumers != nil:
		m.joinConsumers(now, t, c, g)
	case g.streams != nil:
		m.refuseJoin(t, "", kerr.InconsistentGroupProtocol)
	case !m.hasRoom(g, c.identity.member):
		m.removeUnanswered(g, c.identity.member)
		m.refuseJoin(t, "", kerr.GroupMaxSizeReached)
		m.completeIfJoined(now, g)
	case !g.supports(c.protocolType, c.protocols):
		m.refuseJoin(t, c.identity.member, kerr.InconsistentGroupProtocol)
	case c.identity.member != "":
		m.joinKnown(now, t, c, g)
	case c.identity.instance.static:
		m.joinStatic(now, t, c, g)
	default:
		m.joinDynamic(now, t, c, g)
	}
}

func (m *machine) refuseJoin(t coord.Ticket, member string, code kerr.Code) {
	m.fx.Reply(t, joinResult{code: code, generation: -1, member: member})
}

// hasRoom applies the size limit. While a group prepares, those that have joined count, so that the last to come back are the ones
// left out when the limit was lowered.
func (m *machine) hasRoom(g *classic, id string) bool {
	switch mb := g.byID[id]; g.state {
	case preparing:
		return mb != nil && mb.joinTicket != 0 || g.joining < m.groupSizeMax
	case completing, stable:
		return mb != nil || len(g.members) < m.groupSizeMax
	}
	return true
}

// removeUnanswered takes a member out that finds the group full when it comes back.
func (m *machine) removeUnanswered(g *classic, id string) {
	g.removePending(id)
	if mb := g.byID[id]; mb != nil {
		m.answerJoin(g, mb, joinResult{code: kerr.GroupMaxSizeReached, generation: -1})
		m.answerSync(mb, syncResult{code: kerr.UnknownMemberID})
		g.remove(mb)
	}
}

func (m *machine) joinDynamic(now time.Time, t coord.Ticket, c *joinCommand, g *classic) {
	id := c.client.id + "-" + m.newID()
	if !c.idRequired {
		m.addMember(now, t, c, g, id)
		return
	}
	d := &coord.Deadline{}
	d.Fire = func(now time.Time) { m.reservationExpired(now, g, id, d) }
	g.pendingJoin[id] = d
	m.timers.Set(d, now.Add(time.Duration(c.sessionTimeoutMS)*time.Millisecond))
	m.refuseJoin(t, id, kerr.MemberIDRequired)
}

func (m *machine) joinStatic(now time.Time, t coord.Ticket, c *joinCommand, g *classic) {
	id := c.identity.instance.name + "-" + m.newID()
	if old := g.byInstance[c.identity.instance]; old != nil {
		m.replaceStatic(now, t, c, g, old, id)
		return
	}
	m.addMember(now, t, c, g, id)
}

// joinKnown takes in a join under a member id: of a member that was given the id just now, or of one that comes back.
func (m *machine) joinKnown(now time.Time, t coord.Ticket, c *joinCommand, g *classic) {
	id := c.identity.member
	if g.pendingJoin[id] != nil {
		if c.identity.instance.static { // an id is reserved for dynamic members only
			m.refuseJoin(t, id, kerr.UnknownMemberID)
			return
		}
		m.addMember(now, t, c, g, id)
		return
	}
	if code := g.validate(c.identity); code != kerr.None {
		m.refuseJoin(t, id, code)
		return
	}
	mb := g.byID[id]
	same := mb.sameProtocols(c.protocols)
	switch g.state {
	case preparing:
		m.rejoin(now, t, c, g, mb, "member "+id+" joins again")
	case completing:
		if !same {
			m.rejoin(now, t, c, g, mb, "member "+id+" has changed its protocols")
			return
		}
		m.fx.Reply(t, g.currentGeneration(mb)) // it may not have got the answer
	case stable:
		switch {
		case g.leader == id:
			m.rejoin(now, t, c, g, mb, "leader "+id+" joins again")
		case !same:
			m.rejoin(now, t, c, g, mb, "member "+id+" has changed its protocols")
		default:
			r := g.currentGeneration(mb)
			r.members = nil
			m.fx.Reply(t, r)
		}
	default:
		m.refuseJoin(t, id, kerr.UnknownMemberID)
	}
}

// currentGeneration tells a member about the generation; the leader learns who the members are.
func (g *classic) currentGeneration(mb *member) joinResult {
	r := joinResult{generation: g.generation, protocolType: g.protocolType, protocol: g.protocol, leader: g.leader, member: mb.id}
	if g.leader == mb.id {
		r.members = make([]joinedMember, 0, len(g.members))
		for _, o := range g.members {
			r.members = append(r.members, joinedMember{o.id, o.instance, o.metadata(g.protocol)})
		}
	}
	return r
}

func (m *machine) addMember(now time.Time, t coord.Ticket, c *joinCommand, g *classic, id string) {
	mb := &member{
		id: id, instance: c.identity.instance, client: c.client,
		rebalanceTimeout: time.Duration(c.rebalanceTimeoutMS) * time.Millisecond,
		sessionTimeout:   time.Duration(c.sessionTimeoutMS) * time.Millisecond,
		protocolType:     c.protocolType, protocols: c.protocols, joinTicket: t, fresh: true,
	}
	if g.state == preparing && g.before == empty {
		g.grown = true
	}
	g.add(mb)
	m.enroll(g, mb)
	// A new member does not know its id and cannot heartbeat; nor can its disconnection be seen while it is parked. It is dropped
	// after a while, so that retries do not fill the group with the dead; a live one joins again.
	m.timers.Set(&mb.session, now.Add(m.newMemberJoinTimeout))
	m.rebalance(now, g, withReason("member "+id+" is new", c.reason))
}

// rejoin parks the join of a member of the group and makes the group rebalance.
func (m *machine) rejoin(now time.Time, t coord.Ticket, c *joinCommand, g *classic, mb *member, why string) {
	m.updateMember(t, c, g, mb)
	m.rebalance(now, g, withReason(why, c.reason))
}

func withReason(why, reason string) string {
	if reason == "" {
		return why
	}
	return why + "; client reason: " + reason
}

func (m *machine) updateMember(t coord.Ticket, c *joinCommand, g *classic, mb *member) {
	m.answerJoin(g, mb, joinResult{code: kerr.RebalanceInProgress, generation: -1, member: mb.id})
	g.countSupport(mb, -1)
	mb.protocols = c.protocols
	g.countSupport(mb, 1)
	mb.rebalanceTimeout = time.Duration(c.rebalanceTimeoutMS) * time.Millisecond
	mb.sessionTimeout = time.Duration(c.sessionTimeoutMS) * time.Millisecond
	mb.joinTicket = t
	g.joining++
}

// replaceStatic gives a static member's place to its new incarnation. If the group is stable and the chosen protocol stays the
// same, nobody else notices: the new id is made durable and gets the old one's assignment.
func (m *machine) replaceStatic(now time.Time, t coord.Ticket, c *joinCommand, g *classic, old *member, id string) {
	leader := g.leader
	mb := m.renameStatic(g, old, id)
	m.updateMember(t, c, g, mb)
	m.extendSession(now, mb)
	switch g.state {
	case stable:
		if g.chooseProtocol() != g.protocol {
			m.rebalance(now, g, withReason("static member "+id+" changes the protocol", c.reason))
			return
		}
		m.storeRenamed(g, mb, c, leader)
	case completing:
		// The leader may have been told the old id already and would assign nothing to the new one.
		m.prepareRebalance(now, g, withReason("static member "+id+" is back", c.reason))
	default:
		m.completeIfJoined(now, g)
	}
}

// renameStatic replaces a member by one with another id and all else the same. Whoever still waits under the old id is fenced.
func (m *machine) renameStatic(g *classic, old *member, id string) *member {
	m.answerJoin(g, old, joinResult{code: kerr.FencedInstanceID, generation: -1, member: old.id})
	m.answerSync(old, syncResult{code: kerr.FencedInstanceID})
	old.session.Cancel()
	mb := &member{
		id: id, instance: old.instance, client: old.client, rebalanceTimeout: old.rebalanceTimeout,
		sessionTimeout: old.sessionTimeout, protocolType: old.protocolType, protocols: old.protocols, assignment: old.assignment,
	}
	for i, o := range g.members {
		if o == old {
			g.members[i] = mb
		}
	}
	delete(g.byID, old.id)
	delete(g.pendingSync, old.id)
	g.byID[id], g.byInstance[mb.instance] = mb, mb
	if g.leader == old.id {
		g.leader = id
	}
	m.enroll(g, mb)
	return mb
}

// storeRenamed answers a replaced static member of a stable group once its new id is durable.
func (m *machine) storeRenamed(g *classic, mb *member, c *joinCommand, leaderBefore string) {
	assignments := map[string][]byte{}
	for _, o := range g.members {
		assignments[o.id] = o.assignment
	}
	r := groupRecord(g.id, g.value(assignments))
	if !m.fits(r) {
		m.answerJoin(g, mb, joinResult{code: kerr.UnknownServerError, generation: -1})
		return
	}
	ticket := mb.joinTicket
	m.write([]coord.Record{r}, g, func(now time.Time) {
		if g.state != stable || mb.joinTicket != ticket {
			return // a rebalance has begun, or the member has joined anew: that will answer
		}
		m.extendSession(now, mb)
		res := g.currentGeneration(mb)
		if c.canSkip {
			res.skip = g.leader == mb.id
		} else {
			// An old leader must not assign: it is told the old id of the leader, so it takes itself for a follower.
			res.leader, res.members = leaderBefore, nil
		}
		m.answerJoin(g, mb, res)
	})
}

// rebalance starts a rebalance, or, if one is on, sees whether its join phase is over.
func (m *machine) rebalance(now time.Time, g *classic, why string) {
	switch g.state {
	case empty, completing, stable:
		m.prepareRebalance(now, g, why)
	default:
		m.completeIfJoined(now, g)
	}
}

func (m *machine) prepareRebalance(now time.Time, g *classic, why string) {
	if g.state == completing {
		m.failSyncs(now, g, kerr.RebalanceInProgress)
	}
	clear(g.pendingSync)
	g.syncPhase.Cancel()
	from := g.state
	g.transition(now, preparing)
	m.fx.Note("group prepares to rebalance", "group", g.id, "generation", g.generation, "state", from.String(), "why", why)
	switch {
	case from == empty:
		g.grown = false
		g.initialLeft = max(g.rebalanceTimeout()-m.initialRebalanceDelay, 0)
		m.timers.Set(&g.joinPhase, now.Add(m.initialRebalanceDelay))
	case g.allJoined():
		m.completeJoin(now, g)
	default:
		m.timers.Set(&g.joinPhase, now.Add(g.rebalanceTimeout()))
	}
}

// completeIfJoined ends the join phase when everybody is there; the initial wait it does not cut short.
func (m *machine) completeIfJoined(now time.Time, g *classic) {
	if g.state == preparing && g.before != empty && g.allJoined() {
		m.completeJoin(now, g)
	}
}

func (m *machine) joinPhaseEnded(now time.Time, g *classic) {
	if g.state != preparing {
		return
	}
	if g.before == empty && g.grown && g.initialLeft > 0 {
		more := min(m.initialRebalanceDelay, g.initialLeft)
		g.grown = false
		g.initialLeft -= more
		m.timers.Set(&g.joinPhase, now.Add(more))
		return
	}
	m.completeJoin(now, g)
}

// completeJoin begins the next generation with those that have joined. Static members that have not keep their place.
func (m *machine) completeJoin(now time.Time, g *classic) {
	g.joinPhase.Cancel()
	for _, mb := range append([]*member(nil), g.members...) {
		if mb.joinTicket == 0 && !mb.instance.static {
			m.fx.Note("member did not rejoin in time", "group", g.id, "member", mb.id)
			m.answerSync(mb, syncResult{code: kerr.UnknownMemberID})
			g.remove(mb)
		}
	}
	if len(g.members) > 0 && !g.electLeader() {
		// Only static members, and none of them is back. Their sessions end them, or one returns.
		m.timers.Set(&g.joinPhase, now.Add(g.rebalanceTimeout()))
		return
	}
	g.nextGeneration(now)
	if g.state == empty {
		m.fx.Note("group is empty", "group", g.id, "generation", g.generation)
		m.write([]coord.Record{groupRecord(g.id, g.value(nil))}, g, nil)
		return
	}
	m.fx.Note("group has joined", "group", g.id, "generation", g.generation, "members", len(g.members), "protocol", g.protocol)
	for _, mb := range g.members {
		g.pendingSync[mb.id] = struct{}{}
		m.extendSession(now, mb)
		mb.fresh = false
		m.answerJoin(g, mb, g.currentGeneration(mb))
	}
	m.timers.Set(&g.syncPhase, now.Add(g.rebalanceTimeout()))
}

// answerJoin answers a member's parked JoinGroup, if there is one.
func (m *machine) answerJoin(g *classic, mb *member, r joinResult) {
	if mb.joinTicket == 0 {
		return
	}
	m.fx.Reply(mb.joinTicket, r)
	mb.joinTicket = 0
	g.joining--
}

// enroll ties a member's session to the machine.
func (m *machine) enroll(g *classic, mb *member) {
	mb.session.Fire = func(now time.Time) { m.sessionExpired(now, g, mb) }
}

func (m *machine) extendSession(now time.Time, mb *member) {
	m.timers.Set(&mb.session, now.Add(mb.sessionTimeout))
}

func (m *machine) sessionExpired(now time.Time, g *classic, mb *member) {
	if m.groups[g.id] != g || g.byID[mb.id] != mb || mb.waits() {
		return
	}
	m.fx.Note("member failed", "group", g.id, "member", mb.id, "session timeout", mb.sessionTimeout)
	m.expel(g, mb)
	switch g.state {
	case completing, stable:
		m.rebalance(now, g, fmt.Sprintf("member %s did not send a heartbeat in time", mb.id))
	case preparing:
		if g.allJoined() {
			m.completeJoin(now, g)
		}
	}
}

// expel removes a member. A live one that still waits will join again under a new id.
func (m *machine) expel(g *classic, mb *member) {
	m.answerJoin(g, mb, joinResult{code: kerr.UnknownMemberID, generation: -1})
	m.answerSync(mb, syncResult{code: kerr.UnknownMemberID})
	g.remove(mb)
}

func (m *machine) reservationExpired(now time.Time, g *classic, id string, d *coord.Deadline) {
	if m.groups[g.id] != g || g.pendingJoin[id] != d {
		return
	}
	g.removePending(id)
	if g.state == preparing && g.allJoined() {
		m.completeJoin(now, g)
	}
	m.dropIfVoid(g)
}
