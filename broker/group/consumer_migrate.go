package group

import (
	"time"

	"sluice/broker/coord"
	"sluice/wire/kerr"
)

func (m *machine) upgradable(g *classic, c *beatCommand) *beatResult {
	return refuseBeat(kerr.GroupIDNotFound, "Group %s is not a consumer group.", g.id)
}

// upgrade makes a group one of the consumer protocol.
func (m *machine) upgrade(ch *change) {
	g := ch.g
	if g.durable {
		ch.add(groupTombstone(g.id))
	}
	for id := range g.pendingJoin {
		g.removePending(id)
	}
	g.clearMembers()
	g.consumers = newConsumerGroup()
}

func (m *machine) downgradable(g *classic) bool { return false }

func (m *machine) downgrade(now time.Time, ch *change) {}

// vacate makes a group of the consumer protocol that nobody is in a classic one.
func (m *machine) vacate(g *classic) {
	ch := m.change(g)
	for _, r := range g.tombstones() {
		ch.add(r)
	}
	ch.commit(nil)
}

// joinConsumers takes in a classic member's join.
func (m *machine) joinConsumers(_ time.Time, t coord.Ticket, c *joinCommand, _ *classic) {
	m.refuseJoin(t, c.identity.member, kerr.InconsistentGroupProtocol)
}
