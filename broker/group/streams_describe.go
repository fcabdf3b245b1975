package group

import (
	"slices"
	"time"

	"sluice/broker/coord"
	"sluice/broker/group/task"
	"sluice/wire/kerr"
)

// What others want to know of streams groups: how they are, whether a member may commit and read offsets, where interactive queries are answered.

// streamsTypeName is what ListGroups calls streams groups, and their protocol.
const streamsTypeName = "streams"

type describeStreams struct{ group string }

type describeStreamsResult struct {
	code               kerr.Code
	message            string
	status             string
	epoch, targetEpoch int32
	topology           *topology // with the numbers of partitions of internal topics, once they are decided and there
	members            []describedStreamer
}

// describedStreamer is a member, which must not be changed, and its target.
type describedStreamer struct {
	*streamer
	target taskSets
}

func (m *machine) describeStreams(t coord.Ticket, c *describeStreams) {
	g := m.find(c.group)
	switch {
	case m.shares[c.group] != nil, g != nil && g.state != dead && g.streams == nil:
		m.fx.Reply(t, describeStreamsResult{code: kerr.GroupIDNotFound, message: "Group " + c.group + " is not a streams group."})
		return
	case g == nil || g.state == dead:
		m.fx.Reply(t, describeStreamsResult{code: kerr.GroupIDNotFound, message: "Group " + c.group + " not found."})
		return
	}
	sg := g.streams
	r := describeStreamsResult{status: sg.status(), epoch: sg.epoch, targetEpoch: sg.targetEpoch, topology: sg.topology}
	if sg.configured != nil && sg.configured.trouble == nil && sg.topology != nil {
		r.topology = sg.topology.with(sg.configured.partitions)
	}
	for _, s := range sg.sortedMembers() {
		r.members = append(r.members, describedStreamer{s, sg.targets[s.id]})
	}
	m.afterWrites(g, func(time.Time) { m.fx.Reply(t, r) })
}

// with returns a topology whose internal topics have these numbers of partitions.
func (t *topology) with(partitions map[string]int32) *topology {
	n := &topology{epoch: t.epoch, subs: slices.Clone(t.subs)}
	for i := range n.subs {
		for _, topics := range []*[]internalTopic{&n.subs[i].changelogs, &n.subs[i].repartitions} {
			*topics = slices.Clone(*topics)
			for j := range *topics {
				(*topics)[j].partitions = partitions[(*topics)[j].name]
			}
		}
	}
	return n
}

// mayCommitTo checks a commit to a streams group. A member may commit under an earlier epoch of its own for what it has been working on since then.
func (sg *streamsGroup) mayCommitTo(c *commitCommand) kerr.Code {
	if c.generation < 0 && len(sg.members) == 0 {
		return kerr.None
	}
	s := sg.members[c.identity.member]
	switch {
	case s == nil:
		return kerr.UnknownMemberID
	case c.producer == nil && c.rigid:
		return kerr.UnsupportedVersion
	case c.generation == s.epoch:
		return kerr.None
	case c.generation > s.epoch || slices.ContainsFunc(c.offsets, func(o commitOffset) bool { return !sg.heldSince(s, o.partition, c.generation) }):
		return kerr.StaleMemberEpoch
	}
	return kerr.None
}

func (sg *streamsGroup) heldSince(s *streamer, p partitionKey, epoch int32) bool {
	sub := sg.topology.reader(p.topic)
	if sub == nil {
		return false
	}
	id := task.ID{Subtopology: sub.id, Partition: p.index}
	h, ok := s.assigned.find(roleActive, id)
	if !ok {
		h, ok = s.revoking.find(roleActive, id)
	}
	return ok && h.since <= epoch
}

// mayFetchFrom checks who reads offsets; nobody in particular always may.
func (sg *streamsGroup) mayFetchFrom(member string, epoch int32) kerr.Code {
	if member == "" && epoch < 0 {
		return kerr.None
	}
	s := sg.members[member]
	switch {
	case s == nil:
		return kerr.UnknownMemberID
	case s.epoch != epoch:
		return kerr.StaleMemberEpoch
	}
	return kerr.None
}

// endpointTopics says of which partitions a member with an endpoint has the state.
type endpointTopics struct {
	endpoint        endpoint
	active, standby []topicPartitions
}

type topicPartitions struct {
	topic      string
	partitions []int32
}

// endpoints returns all endpoints; not nil. The members of one process have the same, and clients keep the last entry of an endpoint only (as of Kafka
// 4.3, where a process with two threads is found by half of what it has): so there is one entry for all of them.
func (sg *streamsGroup) endpoints(t *topology, view Topics) []endpointTopics {
	all, order := map[endpoint]*heldTasks{}, []endpoint{}
	for _, s := range sg.sortedMembers() {
		if s.endpoint.host == "" {
			continue
		}
		h := all[s.endpoint]
		if h == nil {
			h = &heldTasks{}
			all[s.endpoint], order = h, append(order, s.endpoint)
		}
		for role := range h {
			h[role] = append(h[role], s.assigned[role]...)
		}
	}
	out := []endpointTopics{}
	for _, e := range order {
		out = append(out, endpointTopics{e, t.partitionsOf(all[e][roleActive], view), t.partitionsOf(all[e][roleStandby], view)})
	}
	return out
}

// partitionsOf returns the partitions that tasks read.
func (t *topology) partitionsOf(tasks []heldTask, view Topics) (out []topicPartitions) {
	for i := range t.subs {
		sub := &t.subs[i]
		var mine []int32
		for _, h := range tasks {
			if h.Subtopology == sub.id {
				mine = append(mine, h.Partition)
			}
		}
		if len(mine) == 0 {
			continue
		}
		for _, topic := range sub.inputs() {
			_, n, ok := view.ByName(topic)
			if !ok {
				continue
			}
			out = append(out, topicPartitions{topic, slices.DeleteFunc(slices.Clone(mine), func(p int32) bool { return p >= n })})
		}
	}
	return out
}
