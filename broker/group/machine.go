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

// rules are the settings the machine goes by; see Options for what they mean.
type rules struct {
	sessionTimeoutMin, sessionTimeoutMax time.Duration
	initialRebalanceDelay                time.Duration
	newMemberJoinTimeout                 time.Duration
	groupSizeMax                         int
	offsetsRetention                     time.Duration
	offsetsCheckInterval                 time.Duration
	metadataBytesMax                     int
	batchBytesMax                        int
	newID                                func() string // the random part of member ids
	consumerRules
	shareRules
	streamsRules
}

// machine is one partition's groups. See the package's invariants; coord.Machine says how it is called.
type machine struct {
	rules
	groups  map[string]*classic
	shares  map[string]*shareGroup // none has the name of one of the groups
	pending pending
	timers  coord.Deadlines
	expiry  coord.Deadline

	loaded bool
	writes []write        // appends under way, oldest first
	fx     *coord.Effects // of the call being made
}

// write is an append under way and what happens once it is replayed.
type write struct {
	token   coord.Token
	done    func(now time.Time)
	refused func(code kerr.Code) // of a transaction: in place of done
	then    []func(now time.Time)
	ended   bool
}

func newMachine(r rules) *machine {
	return &machine{rules: r, groups: map[string]*classic{}, shares: map[string]*shareGroup{}, pending: newPending()}
}

// Loaded starts a session for every member that was loaded, and the expiry of offsets.
func (m *machine) Loaded(now time.Time, fx *coord.Effects) {
	defer m.with(fx)()
	m.loaded = true
	m.expiry.Fire = m.expireOffsets
	m.timers.Set(&m.expiry, now.Add(m.offsetsCheckInterval))
	m.loadedShares(now)
	for _, g := range m.sorted() {
		if g.consumers != nil {
			m.loadedConsumers(now, g)
			continue
		}
		if g.streams != nil {
			m.loadedStreams(now, g)
			continue
		}
		for _, mb := range g.members {
			m.extendSession(now, mb)
		}
		if len(g.members) > m.groupSizeMax {
			m.prepareRebalance(now, g, fmt.Sprintf("loaded with %d members, the limit is %d", len(g.members), m.groupSizeMax))
		}
	}
}

// Step takes in a command.
func (m *machine) Step(now time.Time, t coord.Ticket, command any, fx *coord.Effects) {
	defer m.with(fx)()
	if m.refuseOther(t, command) {
		return
	}
	switch c := command.(type) {
	case *joinCommand:
		m.join(now, t, c)
	case *beatCommand:
		m.beat(now, t, c)
	case *describeConsumersCommand:
		m.describeConsumers(t, c)
	case *streamsBeat:
		m.streamsBeat(now, t, c)
	case *describeStreams:
		m.describeStreams(t, c)
	case *syncCommand:
		m.sync(now, t, c)
	case *heartbeatCommand:
		if g := m.find(c.group); g != nil && g.consumers != nil && g.state != dead {
			m.heartbeatConsumers(now, t, c, g)
			return
		}
		fx.Reply(t, codeResult{m.heartbeat(now, c)})
	case *leaveCommand:
		m.leave(now, t, c)
	case *commitCommand:
		m.commit(now, t, c)
	case *endTxnCommand:
		m.endTxn(t, c)
	case *fetchCommand:
		m.fetch(t, c)
	case *deleteOffsetsCommand:
		m.deleteOffsets(t, c)
	case *deleteGroupCommand:
		m.deleteGroup(now, t, c)
	case *topicDeletedCommand:
		m.topicDeleted(t, c)
	case *describeCommand:
		fx.Reply(t, m.describe(c))
	case *listCommand:
		fx.Reply(t, m.list(c))
	default:
		m.stepShare(now, t, command)
	}
}

// Applied continues what waited for an append.
func (m *machine) Applied(now time.Time, t coord.Token, fx *coord.Effects) {
	defer m.with(fx)()
	if len(m.writes) == 0 || m.writes[0].token != t {
		panic("BUG: appends applied out of order")
	}
	m.writes[0].ended = true
	m.popEnded(now)
}

// Tick fires deadlines.
func (m *machine) Tick(now time.Time, fx *coord.Effects) {
	defer m.with(fx)()
	m.timers.FireDue(now)
}

// Next returns the earliest time at which Tick may find something to do.
func (m *machine) Next() (time.Time, bool) { return m.timers.Next() }

// with sets the effects of a call and returns what takes them away again.
func (m *machine) with(fx *coord.Effects) func() {
	m.fx = fx
	return func() { m.fx = nil }
}

// write appends records, in batches that fit, and calls then (which may be nil) once the last of them is replayed. If the records
// are of one group that lives on, g is that group.
func (m *machine) write(records []coord.Record, g *classic, then func(now time.Time)) {
	m.appendBatches(records, g, func(batch []coord.Record) write { return write{token: m.fx.Append(batch...)} })
	m.writes[len(m.writes)-1].done = then
}

// appendBatches cuts records into batches that fit.
func (m *machine) appendBatches(records []coord.Record, g *classic, add func(batch []coord.Record) write) {
	for len(records) > 0 {
		n, bytes := 0, 0
		for n < len(records) && (n == 0 || bytes+recordBytes(records[n]) <= m.batchBytesMax) {
			bytes += recordBytes(records[n])
			n++
		}
		m.writes = append(m.writes, add(records[:n:n]))
		records = records[n:]
	}
	if g != nil {
		g.lastWrite = m.writes[len(m.writes)-1].token
	}
}

// writing reports whether an append of the group's records is under way.
func (m *machine) writing(g *classic) bool {
	return len(m.writes) > 0 && g.lastWrite >= m.writes[0].token
}

// afterWrites calls then once the appends of the group's records that are under way now have been replayed.
func (m *machine) afterWrites(g *classic, then func(now time.Time)) {
	if !m.writing(g) {
		then(time.Time{})
		return
	}
	w := &m.writes[g.lastWrite-m.writes[0].token]
	w.then = append(w.then, then)
}

// recordBytes bounds what a record takes in a batch: its key and value, lengths and deltas.
func recordBytes(r coord.Record) int { return len(r.Key) + len(r.Value) + 32 }

// fits reports whether a record can be appended at all.
func (m *machine) fits(r coord.Record) bool { return recordBytes(r) <= m.batchBytesMax }

// find returns a group, nil if there is none.
func (m *machine) find(id string) *classic { return m.groups[id] }

// findOrCreate returns a group, made empty if there is none. A group nothing is durable of goes away again by dropIfVoid.
func (m *machine) findOrCreate(now time.Time, id string) *classic {
	g := m.groups[id]
	if g == nil {
		g = newClassic(id)
		g.since = now.UnixMilli()
		m.adopt(g)
	}
	return g
}

func (m *machine) adopt(g *classic) {
	m.groups[g.id] = g
	g.joinPhase.Fire = func(now time.Time) { m.joinPhaseEnded(now, g) }
	g.syncPhase.Fire = func(now time.Time) { m.syncPhaseEnded(now, g) }
}

// dropIfVoid forgets a group that exists in memory only and that nobody is in.
func (m *machine) dropIfVoid(g *classic) {
	if g.state == empty && !g.durable && len(g.members)+len(g.pendingJoin)+len(g.offsets) == 0 && !m.writing(g) && !m.pending.isOpen(g.id) {
		delete(m.groups, g.id)
	}
}

// sorted returns all groups by id, so that nothing depends on the order of a map.
func (m *machine) sorted() []*classic {
	all := make([]*classic, 0, len(m.groups))
	for _, g := range m.groups {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *classic) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	return all
}

func (m *machine) describe(c *describeCommand) describeResult {
	g := m.find(c.group)
	if g == nil || g.state == dead || g.consumers != nil || g.streams != nil {
		return describeResult{state: dead, other: m.shares[c.group] != nil || g != nil && (g.consumers != nil || g.streams != nil)}
	}
	r := describeResult{found: true, state: g.state, protocolType: g.protocolType}
	for _, mb := range g.members {
		d := describedMember{id: mb.id, instance: mb.instance, client: mb.client, assignment: mb.assignment}
		if g.state == stable {
			d.metadata = mb.metadata(g.protocol)
		}
		r.members = append(r.members, d)
	}
	if g.state == stable {
		r.protocol = g.protocol
	}
	return r
}

func (m *machine) list(c *listCommand) listResult {
	var r listResult
	for _, g := range m.sorted() {
		l := listedGroup{g.id, g.protocolType, typeName, g.state.String()}
		if g.consumers != nil {
			l.typ, l.state = consumerTypeName, g.status()
		}
		if g.streams != nil {
			l.protocolType, l.typ = streamsTypeName, streamsTypeName
			if g.state != dead {
				l.state = g.streams.status()
			}
		}
		if len(c.states) == 0 || slices.Contains(c.states, strings.ToLower(l.state)) {
			r.groups = append(r.groups, l)
		}
	}
	m.listShares(c, &r)
	return r
}

// deleteGroup removes an empty group and its offsets. Commits under way come first: the group is dead for new ones already.
func (m *machine) deleteGroup(now time.Time, t coord.Ticket, c *deleteGroupCommand) {
	g := m.find(c.group)
	switch {
	case g == nil || g.state == dead:
		m.fx.Reply(t, codeResult{kerr.GroupIDNotFound})
	case g.state != empty:
		m.fx.Reply(t, codeResult{kerr.NonEmptyGroup})
	default:
		g.transition(now, dead)
		m.afterWrites(g, func(time.Time) {
			m.bury(g, func(time.Time) { m.fx.Reply(t, codeResult{kerr.None}) })
		})
	}
}

// bury writes the tombstones of a dead group. Replaying the last of them removes it.
func (m *machine) bury(g *classic, then func(now time.Time)) {
	records := make([]coord.Record, 0, len(g.offsets)+1)
	for _, k := range m.withPending(g) {
		records = append(records, offsetTombstone(g.id, k))
	}
	m.write(append(records, g.tombstones()...), nil, then)
}

// Replay applies a durable record, while loading and afterwards.
func (m *machine) Replay(r coord.Record) error {
	key, err := decodeKey(r.Key)
	if err != nil {
		return base.Errorf(base.Corrupt, "record at offset %d: key: %w", r.Offset, err)
	}
	switch k := key.(type) {
	case offsetKey:
		err = m.replayOffset(k, r)
	case groupKey:
		err = m.replayGroup(k, r)
	case consumerKey:
		err = m.replayConsumer(k, r)
	case shareKey:
		err = m.replayShare(k, r)
	case streamsKey:
		err = m.replayStreams(k, r)
	}
	if err != nil {
		return base.Errorf(base.Corrupt, "record at offset %d: %w", r.Offset, err)
	}
	return nil
}

func (m *machine) replayGroup(k groupKey, r coord.Record) error {
	g := m.groups[k.group]
	if r.Value == nil {
		m.replayGroupTombstone(g)
		return nil
	}
	v, err := decodeGroupValue(r.Value)
	if err != nil {
		return fmt.Errorf("metadata of group %q: %w", k.group, err)
	}
	if g == nil {
		g = newClassic(k.group)
		m.adopt(g)
	}
	if (g.consumers != nil || g.streams != nil) && m.loaded {
		return nil // of the classic group that it was; the group has moved on
	}
	g.durable = true
	if m.loaded {
		m.assignmentDurable(g, v)
		return nil
	}
	g.load(v)
	for _, mb := range g.members {
		m.enroll(g, mb)
	}
	return nil
}
