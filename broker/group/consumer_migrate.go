package group

import (
	"slices"
	"time"

	"sluice/broker/coord"
	"sluice/wire/kerr"
)

// A live group changes its protocol without a stop. The first member of the consumer protocol that joins a classic group of consumers
// makes it one of the consumer protocol, in which the others go on as classic members (consumer_classic.go); when the last member of
// the consumer protocol is gone, it becomes a classic group again, and rebalances.

// upgradable says why a classic group with members cannot become one of the consumer protocol, nil if it can.
func (m *machine) upgradable(g *classic, _ *beatCommand) *beatResult {
	refuse := func(why string) *beatResult {
		return refuseBeat(kerr.GroupIDNotFound, "Cannot upgrade classic group %s to consumer group because %s", g.id, why)
	}
	switch {
	case m.migration != "bidirectional" && m.migration != "upgrade":
		return refuse("online upgrade is disabled.")
	case g.protocolType != consumerProtocolType:
		return refuse("the group does not use the consumer embedded protocol.")
	case len(g.members) > m.consumersMax:
		return refuse("the group size exceeds the consumer group maximum size.")
	}
	view := m.topics()
	for _, mb := range g.members {
		if _, ok := decodeSubscription(mb.subscription(g), view); !ok {
			return refuse("the embedded consumer protocol is malformed.")
		}
		if _, ok := decodeAssignment(mb.assignment, view); !ok {
			return refuse("an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor before re-attempting the upgrade.")
		}
	}
	return nil
}

// subscription is what a classic member subscribes to; before the first generation no protocol has been chosen.
func (mb *member) subscription(g *classic) []byte {
	if g.protocol == "" {
		return mb.protocols[0].metadata
	}
	return mb.metadata(g.protocol)
}

// upgrade makes a classic group one of the consumer protocol. What its members hold is what they were assigned last; whoever waits for
// an answer has to join again.
func (m *machine) upgrade(ch *change) {
	g := ch.g
	for _, mb := range g.members {
		m.answerJoin(g, mb, joinResult{code: kerr.RebalanceInProgress, generation: -1, member: mb.id})
		m.answerSync(mb, syncResult{code: kerr.RebalanceInProgress})
		mb.session.Cancel()
	}
	for id := range g.pendingJoin {
		g.removePending(id)
	}
	g.joinPhase.Cancel()
	g.syncPhase.Cancel()
	members, epoch := upgraded(g, ch.view), g.generation
	if g.durable {
		ch.add(groupTombstone(g.id))
	}
	g.clearMembers()
	g.generation, g.protocol, g.leader = 0, "", "" // as after a replay
	g.consumers = newConsumerGroup()
	g.mirror()
	if len(members) == 0 {
		return
	}
	m.fx.Note("group changes to the consumer protocol", "group", g.id, "members", len(members))
	for _, c := range members {
		ch.add(consumerRecord(g.id, c))
	}
	ch.add(consumerGroupRecord(g.id, epoch, 0))
	for _, c := range members {
		ch.add(consumerTargetRecord(g.id, c.id, *c.assigned.partitions()))
	}
	ch.add(targetRecord(g.id, epoch, 0))
	for _, c := range members {
		ch.add(consumerStateRecord(g.id, c))
	}
}

func upgraded(g *classic, view Topics) []*consumer {
	taken := map[partitionID]bool{}
	var all []*consumer
	for _, mb := range g.members {
		s, _ := decodeSubscription(mb.subscription(g), view)
		c := &consumer{
			id: mb.id, instance: mb.instance, rack: s.rack, client: mb.client, topics: s.topics, rebalanceTimeout: mb.rebalanceTimeout,
			classic: &classicTraits{mb.sessionTimeout, mb.protocols}, epoch: g.generation, previousEpoch: g.generation,
		}
		assigned, _ := decodeAssignment(mb.assignment, view)
		for _, p := range assigned {
			if !taken[p] { // a leader may have assigned a partition twice; here nobody does
				taken[p] = true
				c.assigned = append(c.assigned, held{p, g.generation})
			}
		}
		all = append(all, c)
	}
	return all
}

// allClassic reports whether the group has members, all of them classic.
func (cg *consumerGroup) allClassic() bool {
	for _, c := range cg.members {
		if c.classic == nil {
			return false
		}
	}
	return len(cg.members) > 0
}

// downgradable reports whether a group of the consumer protocol is to become a classic one.
func (m *machine) downgradable(g *classic) bool {
	cg := g.consumers
	switch {
	case !cg.allClassic() || len(cg.members) > m.groupSizeMax:
		return false
	case m.migration != "bidirectional" && m.migration != "downgrade":
		return false
	}
	support := cg.classicSupport("")
	for _, n := range support {
		if n == len(cg.members) {
			return true
		}
	}
	return false
}

// classicSupport counts how many classic members, but one, support each protocol.
func (cg *consumerGroup) classicSupport(but string) map[string]int {
	support := map[string]int{}
	for _, c := range cg.members {
		if c.classic != nil && c.id != but {
			for _, p := range c.classic.protocols {
				support[p.name]++
			}
		}
	}
	return support
}

// downgrade makes a group of classic members a classic group. Its generation goes on from the group's epoch, so it is above what any
// member knows. It is left to the caller to start a rebalance.
func (m *machine) downgrade(now time.Time, ch *change) {
	g, cg := ch.g, ch.g.consumers
	m.fx.Note("group changes to the classic protocol", "group", g.id, "members", len(cg.members))
	members := cg.sortedMembers()
	for _, r := range g.tombstones() {
		ch.add(r)
	}
	g.clearMembers()
	g.generation, g.leader = cg.epoch, ""
	assignments := map[string][]byte{}
	for _, c := range members {
		mb := &member{
			id: c.id, instance: c.instance, client: c.client, rebalanceTimeout: c.rebalanceTimeout, sessionTimeout: c.classic.sessionTimeout,
			protocolType: consumerProtocolType, protocols: c.classic.protocols, assignment: encodeAssignment(c.assigned, c.classic.version(), ch.view),
		}
		assignments[mb.id] = mb.assignment
		g.add(mb)
		m.enroll(g, mb)
		m.extendSession(now, mb)
	}
	g.protocol = g.chooseProtocol()
	g.computeTopics()
	g.state, g.before, g.since, g.durable = stable, dead, now.UnixMilli(), true
	ch.add(groupRecord(g.id, g.value(assignments)))
}

// vacate makes a group of the consumer protocol that nobody is in a classic one.
func (m *machine) vacate(g *classic) {
	ch := m.change(g)
	for _, r := range g.tombstones() {
		ch.add(r)
	}
	ch.commit(nil)
}

// joinConsumers takes in the JoinGroup of a classic member. It does not wait for others: the member gets its epoch for a generation,
// and its assignment with the next SyncGroup.
func (m *machine) joinConsumers(now time.Time, t coord.Ticket, c *joinCommand, g *classic) {
	old, code := m.joiningConsumer(g, c)
	if code != kerr.None {
		m.refuseJoin(t, "", code)
		return
	}
	id := c.identity.member
	if id == "" {
		id = c.client.id + "-" + m.newID()
	}
	if c.identity == (identity{}) && c.idRequired {
		m.refuseJoin(t, id, kerr.MemberIDRequired)
		return
	}
	ch := m.change(g)
	s, ok := decodeSubscription(c.protocols[0].metadata, ch.view)
	next := c.update(id, old, s)
	if !ok || !m.fits(consumerRecord(g.id, next)) {
		m.refuseJoin(t, "", kerr.UnknownServerError)
		return
	}
	replaces := old != nil && old.id != id
	last := replaces && old.classic == nil // of the consumer protocol, maybe
	if replaces {
		ch.replace(old, next)
	} else if old == nil || !old.sameTraits(next) {
		ch.add(consumerRecord(g.id, next))
	}
	changed := next.subscribesAnew(old)
	ch.resolve(now, old, next, nil) // it has no expression
	ch.bump(changed)
	ch.retarget(now)
	done := ch.reconcile(id, changed, &s.owned)
	r := joinResult{generation: done.epoch, protocolType: consumerProtocolType, protocol: c.protocols[0].name, member: id}
	if last && m.downgradable(g) {
		m.downgrade(now, ch)
		if changed {
			m.prepareRebalance(now, g, "the last member of the consumer protocol was replaced")
		}
	} else {
		ch.beatTimers(now, done)
		ch.expectClassic(now, done, "it did not send SyncGroup in time")
	}
	if ch.failed {
		r = joinResult{code: kerr.UnknownServerError, generation: -1}
	}
	ch.commit(func(time.Time) { m.fx.Reply(t, r) })
}

// joiningConsumer finds the member that a classic member is, or replaces, nil if it is new.
func (m *machine) joiningConsumer(g *classic, c *joinCommand) (*consumer, kerr.Code) {
	cg := g.consumers
	if m.migration == "disabled" {
		return nil, kerr.InconsistentGroupProtocol
	}
	old := cg.members[c.identity.member]
	if len(cg.members) >= m.consumersMax && old == nil {
		return nil, kerr.GroupMaxSizeReached
	}
	static := cg.members[cg.byInstance[c.identity.instance]]
	others, but := 0, c.identity.member
	if static != nil {
		but = static.id
	}
	for _, o := range cg.members {
		if o.classic != nil && o.id != but {
			others++
		}
	}
	support := cg.classicSupport(but)
	if c.protocolType != consumerProtocolType || !slices.ContainsFunc(c.protocols, func(p protocol) bool { return support[p.name] == others }) {
		return nil, kerr.InconsistentGroupProtocol
	}
	switch {
	case !c.identity.instance.static:
		return old, kerr.None
	case c.identity.member == "":
		return static, kerr.None
	case static == nil:
		return nil, kerr.UnknownMemberID
	case static.id != c.identity.member:
		return nil, kerr.FencedInstanceID
	}
	return static, kerr.None
}

// update returns the member as its JoinGroup describes it.
func (c *joinCommand) update(id string, old *consumer, s classicSubscription) *consumer {
	next := &consumer{id: id}
	if old != nil {
		*next = *old
		if old.id != id {
			next.id, next.epoch, next.previousEpoch = id, 0, 0
		}
	}
	next.instance, next.client, next.topics, next.regex = c.identity.instance, c.client, s.topics, ""
	next.rebalanceTimeout = time.Duration(c.rebalanceTimeoutMS) * time.Millisecond
	next.classic = &classicTraits{time.Duration(c.sessionTimeoutMS) * time.Millisecond, c.protocols}
	if s.rack != "" {
		next.rack = s.rack
	}
	return next
}
