package group

import (
	"slices"
	"time"

	"sluice/broker/coord"
	"sluice/wire/kerr"
)

// What others want to know of groups of the consumer protocol: how they are, and whether a member may commit and read offsets.

type describeConsumersCommand struct{ group string }

type describeConsumersResult struct {
	code               kerr.Code
	message            string
	status             string
	epoch, targetEpoch int32
	assignor           string
	members            []describedConsumer
}

// describedConsumer is a member, which must not be changed, and its target.
type describedConsumer struct {
	*consumer
	target []partitionID
}

func (m *machine) describeConsumers(t coord.Ticket, c *describeConsumersCommand) {
	g := m.find(c.group)
	switch {
	case m.shares[c.group] == nil && (g == nil || g.state == dead):
		m.fx.Reply(t, describeConsumersResult{code: kerr.GroupIDNotFound, message: "Group " + c.group + " not found."})
		return
	case g == nil || g.consumers == nil:
		m.fx.Reply(t, describeConsumersResult{code: kerr.GroupIDNotFound, message: "Group " + c.group + " is not a consumer group."})
		return
	}
	cg := g.consumers
	r := describeConsumersResult{
		status: cg.status(), epoch: cg.epoch, targetEpoch: cg.targetEpoch, assignor: cg.preferredAssignor(m.assignors[0]),
	}
	for _, mb := range cg.sortedMembers() {
		r.members = append(r.members, describedConsumer{mb, cg.targets[mb.id]})
	}
	m.afterWrites(g, func(time.Time) { m.fx.Reply(t, r) })
}

// status is the name of a group's state.
func (g *classic) status() string {
	if g.consumers != nil && g.state != dead {
		return g.consumers.status()
	}
	return g.state.String()
}

// mayCommitTo checks a commit to a group of the consumer protocol. A member may commit under an earlier epoch of its own for what it
// has held since then: the answer that told it the new one may be on its way.
func (cg *consumerGroup) mayCommitTo(c *commitCommand) kerr.Code {
	if c.generation < 0 && len(cg.members) == 0 {
		return kerr.None
	}
	mb := cg.members[c.identity.member]
	switch {
	case mb == nil:
		return kerr.UnknownMemberID
	case mb.classic == nil && c.rigid:
		return kerr.UnsupportedVersion
	case c.generation == mb.epoch:
		return kerr.None
	case c.generation > mb.epoch || slices.ContainsFunc(c.offsets, func(o commitOffset) bool { return !mb.heldSince(o, c.generation) }):
		return mb.staleEpoch()
	}
	return kerr.None
}

// staleEpoch is what a member hears that is behind, in the words of its protocol.
func (c *consumer) staleEpoch() kerr.Code {
	if c.classic != nil {
		return kerr.IllegalGeneration
	}
	return kerr.StaleMemberEpoch
}

func (c *consumer) heldSince(o commitOffset, epoch int32) bool {
	p := partitionID{Topic: o.topicID, Index: o.partition.index}
	h, ok := c.assigned.find(p)
	if !ok {
		h, ok = c.revoking.find(p)
	}
	return ok && h.since <= epoch
}

// mayFetchFrom checks who reads offsets; nobody in particular always may.
func (cg *consumerGroup) mayFetchFrom(member string, epoch int32) kerr.Code {
	if member == "" && epoch < 0 {
		return kerr.None
	}
	mb := cg.members[member]
	switch {
	case mb == nil:
		return kerr.UnknownMemberID
	case mb.epoch == epoch:
		return kerr.None
	}
	return mb.staleEpoch()
}
