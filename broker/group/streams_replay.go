package group

import (
	"fmt"
	"time"

	"sluice/broker/coord"
)

// applyStreams applies a record of a streams group. It is called once for each: when the log is loaded, or, for the machine's own records, when they
// are made. The order of tombstones does not matter, nor whether compaction has left out what a later record voids.
func (m *machine) applyStreams(k streamsKey, value []byte) (err error) {
	g := m.groups[k.group]
	switch {
	case g == nil && value == nil:
		return nil
	case g == nil:
		g = newClassic(k.group)
		m.adopt(g)
	}
	if value == nil {
		m.buryStreams(g, k)
		return nil
	}
	if g.streams == nil {
		g.clearMembers()
		g.streams = newStreamsGroup()
	}
	sg := g.streams
	defer g.mirrorStreams()
	s := streamer{id: k.member, rebalanceTimeout: -time.Millisecond, topologyEpoch: -1}
	if old := sg.members[k.member]; old != nil {
		s = *old
	}
	next := &s
	switch k.typ {
	case keyStreamsGroup:
		err = sg.decodeStreamsGroup(value)
	case keyStreamsTargetEpoch:
		sg.targetEpoch, sg.targetMS, err = decodeTarget(value)
	case keyStreamsTarget:
		sg.targets[k.member], err = decodeStreamsTarget(value)
	case keyStreamsTopology:
		sg.topology, err = decodeTopology(value)
		sg.configured = nil
	case keyStreamer:
		if next, err = decodeStreamer(s, value); err == nil {
			sg.put(next)
		}
	case keyStreamsState:
		if next, err = decodeStreamsState(s, value); err == nil {
			sg.put(next)
		}
	}
	if err != nil {
		return fmt.Errorf("record %d of streams group %q: %w", k.typ, k.group, err)
	}
	return nil
}

// buryStreams applies a tombstone. That of the group itself ends what it is as a streams group; offsets it may still have make it a simple group, or
// a record of a classic one follows.
func (m *machine) buryStreams(g *classic, k streamsKey) {
	sg := g.streams
	if sg == nil {
		return
	}
	switch k.typ {
	case keyStreamsGroup:
		m.dropStreams(g)
		return
	case keyStreamsTarget:
		delete(sg.targets, k.member)
	case keyStreamsTopology:
		sg.topology, sg.configured = nil, nil
	case keyStreamer:
		sg.remove(k.member)
	case keyStreamsState:
		if s := sg.members[k.member]; s != nil {
			bare := *s
			bare.epoch, bare.previousEpoch, bare.state, bare.assigned, bare.revoking = 0, 0, memberStable, heldTasks{}, heldTasks{}
			sg.put(&bare)
		}
	}
	g.mirrorStreams()
}

// dropStreams ends what a group is as a streams group.
func (m *machine) dropStreams(g *classic) {
	for id := range g.streams.timers {
		g.streams.cancelTimers(id)
	}
	g.streams.delay.Cancel()
	g.streams = nil
	g.protocolType, g.topics, g.topicsSeen, g.durable = "", nil, false, false
	if g.state != dead {
		g.state = empty
	}
	if g.state == dead || !m.loaded && len(g.offsets) == 0 && !m.pending.isOpen(g.id) {
		m.forgetGroup(g)
	}
}

// mirrorStreams shows a streams group to the code of offsets as mirror does a group of the consumer protocol.
func (g *classic) mirrorStreams() {
	g.protocolType, g.topicsSeen, g.durable, g.since = consumerProtocolType, true, true, -1
	switch {
	case g.state == dead:
	case len(g.streams.members) == 0:
		g.state = empty
	default:
		g.state = stable
	}
}

// streamsChange collects the records of a command to a streams group and applies them one by one as they are made.
type streamsChange struct{ groupChange }

func (ch *streamsChange) add(r coord.Record) {
	if ch.failed || !ch.m.fits(r) {
		ch.failed = true
		return
	}
	k, err := decodeKey(r.Key)
	if err == nil {
		err = ch.m.applyStreams(k.(streamsKey), r.Value)
	}
	if err != nil {
		panic("BUG: own record of a streams group: " + err.Error())
	}
	ch.records = append(ch.records, r)
}

// replayStreams is the replay of a record of a streams group. The machine's own have been applied when they were made, but for the end of a group that
// was deleted.
func (m *machine) replayStreams(k streamsKey, r coord.Record) error {
	if !m.loaded {
		return m.applyStreams(k, r.Value)
	}
	if g := m.groups[k.group]; g != nil && g.state == dead && k.typ == keyStreamsGroup && r.Value == nil {
		m.forgetGroup(g)
	}
	return nil
}

// streamsTombstones void all records of a group, offsets aside. That of the group itself is the last.
func (g *classic) streamsTombstones() (records []coord.Record) {
	for _, typ := range []int16{keyStreamsState, keyStreamsTarget, keyStreamer} {
		for _, s := range g.streams.sortedMembers() {
			records = append(records, streamsKey{typ, g.id, s.id}.tombstone())
		}
	}
	for _, typ := range []int16{keyStreamsTargetEpoch, keyStreamsTopology, keyStreamsGroup} {
		records = append(records, streamsKey{typ: typ, group: g.id}.tombstone())
	}
	return records
}

// vacateStreams makes a streams group that nobody is in a classic one.
func (m *machine) vacateStreams(g *classic) {
	ch := &streamsChange{groupChange{m: m, g: g}}
	for _, r := range g.streamsTombstones() {
		ch.add(r)
	}
	ch.commit(nil)
}
