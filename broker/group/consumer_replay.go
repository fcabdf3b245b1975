package group

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"sluice/broker/coord"
)

// applyConsumer applies a record of the consumer protocol. It is called once for each: when the log is loaded, or, for the machine's own
// records, when they are made. The order of tombstones does not matter, nor whether compaction has left out what a later record voids.
func (m *machine) applyConsumer(k consumerKey, value []byte) error {
	g := m.groups[k.group]
	switch {
	case g == nil && value == nil:
		return nil
	case g == nil:
		g = newClassic(k.group)
		m.adopt(g)
	}
	if value == nil {
		m.buryConsumer(g, k)
		return nil
	}
	if g.consumers == nil {
		g.clearMembers()
		g.consumers = newConsumerGroup()
	}
	cg := g.consumers
	defer g.mirror()
	switch k.typ {
	case keyConsumerGroup:
		return cg.decoded(func() (err error) { cg.epoch, cg.hash, err = decodeConsumerGroup(value); return })
	case keyTarget:
		return cg.decoded(func() (err error) { cg.targetEpoch, cg.targetMS, err = decodeTarget(value); return })
	case keyConsumerTarget:
		target, err := decodeConsumerTarget(value)
		cg.targets[k.name] = target
		return cg.decoded(func() error { return err })
	case keyRegex:
		v, err := decodeRegex(value)
		cg.regexes[k.name] = v
		return cg.decoded(func() error { return err })
	case keyConsumer:
		return cg.applyTraits(k.name, value)
	case keyConsumerState:
		return cg.applyPosition(k.name, value)
	}
	panic("BUG: key of an unknown type")
}

func (cg *consumerGroup) decoded(fn func() error) error {
	if err := fn(); err != nil {
		return fmt.Errorf("record of a consumer group: %w", err)
	}
	return nil
}

func (cg *consumerGroup) applyTraits(id string, value []byte) error {
	c, err := decodeConsumer(id, value)
	if err != nil {
		return fmt.Errorf("metadata of member %q: %w", id, err)
	}
	if old := cg.members[id]; old != nil {
		c.epoch, c.previousEpoch, c.state, c.assigned, c.revoking = old.epoch, old.previousEpoch, old.state, old.assigned, old.revoking
	}
	cg.put(c)
	return nil
}

func (cg *consumerGroup) applyPosition(id string, value []byte) error {
	old := cg.members[id]
	if old == nil {
		old = &consumer{id: id} // its metadata was written again later, and compaction has left only that
	}
	c, err := decodeConsumerState(*old, value)
	if err != nil {
		return fmt.Errorf("assignment of member %q: %w", id, err)
	}
	cg.put(c)
	return nil
}

// buryConsumer applies a tombstone. That of the group itself ends what it is as one of the consumer protocol; offsets it may still have
// make it a simple group, or a record of a classic one follows.
func (m *machine) buryConsumer(g *classic, k consumerKey) {
	cg := g.consumers
	if cg == nil {
		return
	}
	switch k.typ {
	case keyConsumerGroup:
		m.dropConsumers(g)
		return
	case keyConsumerTarget:
		delete(cg.targets, k.name)
	case keyRegex:
		delete(cg.regexes, k.name)
	case keyConsumer:
		cg.remove(k.name)
	case keyConsumerState:
		if c := cg.members[k.name]; c != nil {
			bare := *c
			bare.epoch, bare.previousEpoch, bare.state, bare.assigned, bare.revoking = 0, 0, memberStable, nil, nil
			cg.put(&bare)
		}
	}
	g.mirror()
}

// dropConsumers ends what a group is as one of the consumer protocol.
func (m *machine) dropConsumers(g *classic) {
	for id := range g.consumers.timers {
		g.consumers.cancelTimers(id)
	}
	g.consumers = nil
	g.protocolType, g.topics, g.topicsSeen, g.durable = "", nil, false, false
	if g.state != dead {
		g.state = empty
	}
	if g.state == dead || !m.loaded && len(g.offsets) == 0 && !m.pending.isOpen(g.id) {
		m.forgetGroup(g)
	}
}

// forgetGroup removes a group that the log says nothing of any more.
func (m *machine) forgetGroup(g *classic) {
	if m.groups[g.id] == g {
		delete(m.groups, g.id)
	}
}

// mirror shows a group of the consumer protocol to the code of offsets, which all groups share, as a classic group of consumers whose
// subscriptions are known. The time it became empty is not recorded: retention counts from each commit, as in Kafka.
func (g *classic) mirror() {
	g.protocolType, g.topicsSeen, g.durable, g.since = consumerProtocolType, true, true, -1
	switch {
	case g.state == dead:
	case len(g.consumers.members) == 0:
		g.state = empty
	default:
		g.state = stable
	}
}

// groupChange is the records of a command to a group, in the order in which they were applied.
type groupChange struct {
	m       *machine
	g       *classic
	records []coord.Record
	failed  bool // a record does not fit into a batch: it and what would follow is left out
}

// change collects the records of a command to a consumer group and applies them one by one as they are made.
type change struct {
	groupChange
	view Topics
}

func (m *machine) change(g *classic) *change { return &change{groupChange{m: m, g: g}, m.topics()} }

// add applies a record. False if it cannot be stored.
func (ch *change) add(r coord.Record) bool {
	if ch.failed || !ch.m.fits(r) {
		ch.failed = true
		return false
	}
	key, err := decodeKey(r.Key)
	if err == nil {
		if k, ok := key.(consumerKey); ok {
			err = ch.m.applyConsumer(k, r.Value)
		}
	}
	if err != nil {
		panic("BUG: own record of a consumer group: " + err.Error())
	}
	ch.records = append(ch.records, r)
	return true
}

// commit appends the records; then runs once all records of the group so far are durable.
func (ch *groupChange) commit(then func(now time.Time)) {
	if len(ch.records) > 0 {
		ch.m.write(ch.records, ch.g, nil)
	}
	if then != nil {
		ch.m.afterWrites(ch.g, then)
	}
}

// replayConsumer is the replay of a record of the consumer protocol. The machine's own have been applied when they were made, but for the
// end of a group that was deleted.
func (m *machine) replayConsumer(k consumerKey, r coord.Record) error {
	if !m.loaded {
		return m.applyConsumer(k, r.Value)
	}
	if g := m.groups[k.group]; g != nil && g.state == dead && k.typ == keyConsumerGroup && r.Value == nil {
		m.forgetGroup(g)
	}
	return nil
}

// replayGroupTombstone ends what a group is as a classic one. Offsets it may still have make it a simple group, or records of the
// consumer protocol follow.
func (m *machine) replayGroupTombstone(g *classic) {
	switch {
	case g == nil || g.consumers != nil || g.streams != nil:
	case g.state == dead || !m.loaded && len(g.offsets) == 0 && !m.pending.isOpen(g.id):
		m.forgetGroup(g)
	case !m.loaded:
		g.clearMembers()
		g.state, g.generation, g.protocolType, g.protocol, g.leader, g.durable = empty, 0, "", "", "", false
		g.topics, g.topicsSeen = nil, false
	}
}

// tombstones void all records of a group, offsets aside.
func (g *classic) tombstones() []coord.Record {
	switch {
	case g.streams != nil:
		return g.streamsTombstones()
	case g.consumers == nil:
		return []coord.Record{groupTombstone(g.id)}
	}
	var records []coord.Record
	for _, typ := range []int16{keyConsumerState, keyConsumerTarget, keyConsumer} {
		for _, c := range g.consumers.sortedMembers() {
			records = append(records, consumerKey{typ, g.id, c.id}.tombstone())
		}
	}
	for _, regex := range slices.Sorted(maps.Keys(g.consumers.regexes)) {
		records = append(records, consumerKey{keyRegex, g.id, regex}.tombstone())
	}
	return append(records, consumerKey{typ: keyTarget, group: g.id}.tombstone(), consumerKey{typ: keyConsumerGroup, group: g.id}.tombstone())
}
