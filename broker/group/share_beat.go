package group

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/wire/kerr"
)

// shareBeat is a heartbeat of a member of a share group.
type shareBeat struct {
	client        client
	group, member string
	epoch         int32
	rack          *string
	topics        *[]string // nil: as they were
}

type shareBeatResult struct {
	beatResult
	// begin are partitions whose state is to be begun under stateEpoch, by whoever got this result; shareBegun must follow.
	begin      []partitionID
	stateEpoch int32
}

// shareBegun says of which partitions the state has begun; those of the heartbeat's that are not in it will be asked for again.
type shareBegun struct {
	group string
	begun []partitionID
}

func (m *machine) shareBeat(now time.Time, t coord.Ticket, c *shareBeat) {
	refuse := func(code kerr.Code, format string, args ...any) {
		m.fx.Reply(t, shareBeatResult{beatResult: *refuseBeat(code, format, args...)})
	}
	g := m.shares[c.group]
	switch {
	case m.groups[c.group] != nil && g == nil:
		refuse(kerr.GroupIDNotFound, "Group %s is not a share group.", c.group)
		return
	case g == nil && c.epoch != epochJoin:
		refuse(kerr.GroupIDNotFound, "Group %s not found.", c.group)
		return
	case g != nil && g.dead:
		refuse(kerr.CoordinatorNotAvailable, "")
		return
	case g == nil:
		g = newShareGroup(c.group)
	}
	old := g.members[c.member]
	switch {
	case old == nil && c.epoch != epochJoin:
		refuse(kerr.UnknownMemberID, "Member %s is not a member of group %s.", c.member, c.group)
	case c.epoch == epochLeave:
		m.fx.Note("member leaves", "group", g.id, "member", old.id)
		ch := m.changeShare(g)
		ch.remove(now, old.id)
		r := shareBeatResult{beatResult: beatResult{member: old.id, epoch: epochLeave}}
		ch.commit(func(time.Time) { m.fx.Reply(t, r) })
	case old == nil && len(g.members) >= m.sharesMax:
		refuse(kerr.GroupMaxSizeReached, "The share group has reached its maximum capacity of %d members.", m.sharesMax)
	case old != nil && c.epoch > old.epoch:
		refuse(kerr.FencedMemberEpoch, "The share group member has a greater member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", c.epoch, old.epoch)
	case old != nil && c.epoch < old.epoch && c.epoch != epochJoin && c.epoch != old.previousEpoch:
		refuse(kerr.FencedMemberEpoch, "The share group member has an old member epoch (%d) which is not the same as the previous epoch. The member must abandon all its partitions and rejoin.", c.epoch)
	default:
		m.shares[g.id] = g
		m.keepShareMember(now, t, c, g, old)
	}
}

// keepShareMember takes a member in, or goes on with it.
func (m *machine) keepShareMember(now time.Time, t coord.Ticket, c *shareBeat, g *shareGroup, old *shareMember) {
	ch := m.changeShare(g)
	next := shareMember{id: c.member}
	if old != nil {
		next = *old
	}
	next.client = c.client
	if c.rack != nil {
		next.rack = *c.rack
	}
	if c.topics != nil {
		next.topics = slices.Clone(*c.topics)
		slices.Sort(next.topics)
		next.topics = slices.Compact(next.topics)
	}
	changed := old == nil || !slices.Equal(next.topics, old.topics)
	if changed || next.rack != old.rack || next.client != old.client {
		ch.add(shareMemberRecord(g.id, &next))
	}
	ch.bump(now, changed)
	target := g.targets[next.id]
	moved := !slices.Equal(next.assigned, target)
	if moved || next.epoch != g.targetEpoch {
		next.previousEpoch, next.epoch, next.assigned = next.epoch, g.targetEpoch, target
		ch.add(shareStateRecord(g.id, &next))
	}
	m.keepSession(now, g, next.id)
	r := shareBeatResult{beatResult: beatResult{member: next.id, epoch: next.epoch, beatMS: int32(m.shareMS(g.id, shareIntervalSetting))}}
	if ch.failed {
		r.beatResult = *refuseBeat(kerr.UnknownServerError, "the group is too large for a record")
	} else if moved || c.epoch == epochJoin || c.topics != nil {
		assigned := slices.Clone(next.assigned)
		r.assigned = &assigned
	}
	if missing := g.missing(ch.view); len(missing) > 0 {
		r.beatMS = shareBeginMS
		if g.beginning == nil {
			g.beginning, r.begin, r.stateEpoch = c, missing, g.epoch
		}
	}
	ch.commit(func(time.Time) { m.fx.Reply(t, r) })
}

func (m *machine) shareBegun(t coord.Ticket, c *shareBegun) {
	g := m.shares[c.group]
	if g == nil || g.dead {
		m.fx.Reply(t, codeResult{kerr.GroupIDNotFound})
		return
	}
	g.beginning = nil
	ch := m.changeShare(g)
	if topics := g.withInitialized(ch.view, c.begun); len(c.begun) > 0 {
		ch.add(shareTopicsRecord(g.id, topics))
	}
	ch.commit(func(time.Time) { m.fx.Reply(t, codeResult{kerr.None}) })
}

// withInitialized returns what is initialized, and more partitions. Topics that are gone are left out.
func (g *shareGroup) withInitialized(view Topics, more []partitionID) map[base.UUID]shareTopic {
	out := map[base.UUID]shareTopic{}
	for id, t := range g.initialized {
		if _, ok := view.ByID(id); ok {
			out[id] = t
		}
	}
	for _, p := range more {
		name, ok := view.ByID(p.Topic)
		if !ok {
			continue
		}
		t := out[p.Topic]
		t.name = name
		if i, have := slices.BinarySearch(t.partitions, p.Index); !have {
			t.partitions = slices.Insert(slices.Clone(t.partitions), i, p.Index)
		}
		out[p.Topic] = t
	}
	return out
}

// describeShare asks how a share group is.
type describeShare struct{ group string }

type describeShareResult struct {
	code               kerr.Code
	message            string
	status             string
	epoch, targetEpoch int32
	members            []*shareMember
	topics             map[base.UUID]shareTopic // not to be changed
}

func (m *machine) describeShare(t coord.Ticket, c *describeShare) {
	g := m.shares[c.group]
	if g == nil || g.dead {
		why := fmt.Sprintf("Group %s not found.", c.group)
		if m.groups[c.group] != nil {
			why = fmt.Sprintf("Group %s is not a share group.", c.group)
		}
		m.fx.Reply(t, describeShareResult{code: kerr.GroupIDNotFound, message: why})
		return
	}
	r := describeShareResult{status: g.status(), epoch: g.epoch, targetEpoch: g.targetEpoch, members: g.sortedMembers(), topics: g.initialized}
	m.afterShare(g, func(time.Time) { m.fx.Reply(t, r) })
}

// alterShare prepares a change of a share group that has no members: where it begins in partitions, whether it is kept at all.
type alterShare struct {
	group string
	// create has a group begin that there is not.
	create bool
	// remove ends the group for all but shareRemoved, which must follow.
	remove bool
}

type alterShareResult struct {
	code kerr.Code
	// epoch is the group's new epoch, under which state is to be begun.
	epoch  int32
	topics map[base.UUID]shareTopic // that state is kept of; not to be changed
}

func (m *machine) alterShare(now time.Time, t coord.Ticket, c *alterShare) {
	g := m.shares[c.group]
	if g == nil && c.create && m.groups[c.group] == nil {
		g = newShareGroup(c.group)
		m.shares[g.id] = g
	}
	switch {
	case g == nil || g.dead:
		m.fx.Reply(t, alterShareResult{code: kerr.GroupIDNotFound})
	case len(g.members) > 0 || g.beginning != nil:
		m.fx.Reply(t, alterShareResult{code: kerr.NonEmptyGroup})
	case c.remove:
		g.beginning, g.dead = c, true
		m.afterShare(g, func(time.Time) { m.fx.Reply(t, alterShareResult{topics: g.initialized}) })
	default:
		g.beginning = c // shareBegun or shareForgotten will follow
		ch := m.changeShare(g)
		ch.bump(now, true)
		r := alterShareResult{epoch: g.epoch, topics: g.initialized}
		ch.commit(func(time.Time) { m.fx.Reply(t, r) })
	}
}

// shareRemoved ends a group whose state is deleted, or, if that failed, has it live on.
type shareRemoved struct {
	group string
	ok    bool
}

func (m *machine) shareRemoved(t coord.Ticket, c *shareRemoved) {
	g := m.shares[c.group]
	if g == nil || !c.ok {
		if g != nil {
			g.beginning, g.dead = nil, false
		}
		m.fx.Reply(t, codeResult{kerr.None})
		return
	}
	ch := m.changeShare(g)
	for _, r := range shareTombstones(g.id) {
		ch.add(r)
	}
	ch.commit(func(time.Time) { m.fx.Reply(t, codeResult{kerr.None}) })
}

// shareReturned gives back what a command was to see to, but never heard of: its answer could not be given.
type shareReturned struct {
	group string
	by    any
}

func (m *machine) shareReturned(t coord.Ticket, c *shareReturned) {
	if g := m.shares[c.group]; g != nil && g.beginning == c.by {
		g.beginning, g.dead = nil, false
	}
	m.fx.Reply(t, codeResult{kerr.None})
}

// shareForgotten says of which topics no state is kept any more.
type shareForgotten struct {
	group  string
	topics []base.UUID
}

func (m *machine) shareForgotten(t coord.Ticket, c *shareForgotten) {
	g := m.shares[c.group]
	if g == nil || g.dead {
		m.fx.Reply(t, codeResult{kerr.GroupIDNotFound})
		return
	}
	g.beginning = nil
	ch := m.changeShare(g)
	left := g.withInitialized(ch.view, nil)
	for _, id := range c.topics {
		delete(left, id)
	}
	if len(c.topics) > 0 {
		ch.add(shareTopicsRecord(g.id, left))
	}
	ch.commit(func(time.Time) { m.fx.Reply(t, codeResult{kerr.None}) })
}

// refuseOther answers commands of other protocols to the name of a share or streams group; false if there is no such group, or the command is for all.
func (m *machine) refuseOther(t coord.Ticket, command any) bool {
	is := func(group string) bool { return m.shares[group] != nil }
	streams := func(group string) bool {
		g := m.groups[group]
		return g != nil && g.streams != nil && g.state != dead
	}
	switch c := command.(type) {
	case *joinCommand:
		if is(c.group) && m.allowsSession(c) {
			m.refuseJoin(t, "", kerr.InconsistentGroupProtocol)
			return true
		}
	case *beatCommand:
		if is(c.group) || streams(c.group) {
			r := c.invalid(m) // which is looked at before the group is
			if r == nil {
				r = refuseBeat(kerr.GroupIDNotFound, "Group %s is not a consumer group.", c.group)
			}
			m.fx.Reply(t, *r)
			return true
		}
	case *commitCommand:
		if is(c.group) {
			codes := make([]kerr.Code, len(c.offsets))
			for i := range codes {
				codes[i] = kerr.GroupIDNotFound
			}
			m.fx.Reply(t, commitResult{codes})
			return true
		}
	}
	return false
}

// stepShare carries out a command of share groups.
func (m *machine) stepShare(now time.Time, t coord.Ticket, command any) {
	switch c := command.(type) {
	case *shareBeat:
		m.shareBeat(now, t, c)
	case *shareBegun:
		m.shareBegun(t, c)
	case *describeShare:
		m.describeShare(t, c)
	case *alterShare:
		m.alterShare(now, t, c)
	case *shareRemoved:
		m.shareRemoved(t, c)
	case *shareReturned:
		m.shareReturned(t, c)
	case *shareForgotten:
		m.shareForgotten(t, c)
	default:
		panic(fmt.Sprintf("BUG: no such command %T", command))
	}
}

// listShares adds the share groups to a list.
func (m *machine) listShares(c *listCommand, r *listResult) {
	for id, g := range m.shares {
		if len(c.states) == 0 || slices.Contains(c.states, strings.ToLower(g.status())) {
			r.groups = append(r.groups, listedGroup{id, shareTypeName, shareTypeName, g.status()})
		}
	}
}

// shareTypeName is what ListGroups calls share groups, and their protocol.
const shareTypeName = "share"
