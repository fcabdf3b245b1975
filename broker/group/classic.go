package group

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"sluice/broker/coord"
	"sluice/wire/kerr"
)

type state uint8

const (
	empty state = iota
	preparing
	completing
	stable
	dead
)

var stateNames = [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"}

func (s state) String() string { return stateNames[s] }

// mayFollow says from which states a group enters a state.
var mayFollow = [...][]state{
	empty:      {preparing},
	preparing:  {empty, completing, stable},
	completing: {preparing},
	stable:     {completing},
	dead:       {empty},
}

// classic is a classic group.
type classic struct {
	id           string
	state        state
	before       state // the state before this one
	since        int64 // time of the last transition, ms
	generation   int32
	protocolType string // empty: none yet, or offsets are all there is ("simple" group)
	protocol     string // chosen for this generation; empty: none
	leader       string // empty: none

	members     []*member            // in order of joining
	byID        map[string]*member   // the same
	byInstance  map[instance]*member // the static ones
	support     map[string]int       // how many members support a protocol
	joining     int                  // members whose JoinGroup is parked
	pendingJoin map[string]*coord.Deadline
	pendingSync map[string]struct{}

	joinPhase, syncPhase coord.Deadline
	initialLeft          time.Duration // of the initial wait: how much longer it may be extended
	grown                bool          // a member was added during the initial wait
	storing              bool          // the assignment of this generation is being appended

	consumers *consumerGroup // set: the group is one of the consumer protocol, and what stands above is not in use
	streams   *streamsGroup  // set: the group is a streams group, and the same holds

	durable    bool                // the log has a record of the group
	topicsSeen bool                // topics is what the members subscribe to
	topics     map[string]struct{} // of a group of consumers
	offsets    map[partitionKey]committed
	lastWrite  coord.Token // the last append of the group's records
}

// member is a member of a classic group.
type member struct {
	id               string
	instance         instance
	client           client
	rebalanceTimeout time.Duration
	sessionTimeout   time.Duration
	protocolType     string
	protocols        []protocol
	assignment       []byte
	session          coord.Deadline
	joinTicket       coord.Ticket // of the parked JoinGroup; 0: none
	syncTicket       coord.Ticket // of the parked SyncGroup; 0: none
	fresh            bool         // has not got the answer to its first JoinGroup yet
}

func newClassic(id string) *classic {
	g := &classic{id: id, before: dead, offsets: map[partitionKey]committed{}}
	g.clearMembers()
	return g
}

func (g *classic) clearMembers() {
	g.members = nil
	g.byID, g.byInstance = map[string]*member{}, map[instance]*member{}
	g.support = map[string]int{}
	g.pendingJoin, g.pendingSync = map[string]*coord.Deadline{}, map[string]struct{}{}
	g.joining = 0
}

func (g *classic) transition(now time.Time, to state) {
	if !slices.Contains(mayFollow[to], g.state) {
		panic(fmt.Sprintf("BUG: group %q goes from %v to %v", g.id, g.state, to))
	}
	g.before, g.state, g.since = g.state, to, now.UnixMilli()
}

// load takes over what a record says of the group, sessions aside.
func (g *classic) load(v groupValue) {
	g.clearMembers()
	g.state, g.before = stable, dead
	if len(v.members) == 0 {
		g.state = empty
	}
	g.since, g.generation = v.since, v.generation
	g.protocolType, g.protocol, g.leader = v.protocolType, v.protocol, v.leader
	for _, mv := range v.members {
		g.add(&member{
			id: mv.id, instance: mv.instance, client: mv.client,
			rebalanceTimeout: mv.rebalanceTimeout, sessionTimeout: mv.sessionTimeout,
			protocolType: v.protocolType, protocols: []protocol{{v.protocol, mv.subscription}}, assignment: mv.assignment,
		})
	}
	g.computeTopics()
}

// value is what the log should say of the group, with the given assignments.
func (g *classic) value(assignments map[string][]byte) groupValue {
	v := groupValue{
		protocolType: g.protocolType, generation: g.generation, protocol: g.protocol, leader: g.leader, since: g.since,
		members: make([]memberValue, 0, len(g.members)),
	}
	for _, mb := range g.members {
		v.members = append(v.members, memberValue{
			id: mb.id, instance: mb.instance, client: mb.client,
			rebalanceTimeout: mb.rebalanceTimeout, sessionTimeout: mb.sessionTimeout,
			subscription: mb.metadata(g.protocol), assignment: assignments[mb.id],
		})
	}
	return v
}

func (g *classic) add(mb *member) {
	if g.byID[mb.id] != nil || mb.instance.static && g.byInstance[mb.instance] != nil {
		panic("BUG: member added twice: " + mb.id)
	}
	if len(g.members) == 0 {
		g.protocolType = mb.protocolType
	}
	if g.leader == "" {
		g.leader = mb.id
	}
	g.members = append(g.members, mb)
	g.byID[mb.id] = mb
	if mb.instance.static {
		g.byInstance[mb.instance] = mb
	}
	g.countSupport(mb, 1)
	if mb.joinTicket != 0 {
		g.joining++
	}
	g.removePending(mb.id)
}

// remove takes a member out. Its parked requests must have been answered.
func (g *classic) remove(mb *member) {
	if mb.joinTicket != 0 || mb.syncTicket != 0 {
		panic("BUG: removed member still waits: " + mb.id)
	}
	delete(g.byID, mb.id)
	delete(g.pendingSync, mb.id)
	if mb.instance.static {
		delete(g.byInstance, mb.instance)
	}
	g.members = slices.DeleteFunc(g.members, func(o *member) bool { return o == mb })
	g.countSupport(mb, -1)
	mb.session.Cancel()
	if g.leader == mb.id {
		g.leader = ""
		if len(g.members) > 0 {
			g.leader = g.members[0].id
		}
	}
}

func (g *classic) removePending(id string) {
	if d := g.pendingJoin[id]; d != nil {
		d.Cancel()
		delete(g.pendingJoin, id)
	}
}

func (g *classic) countSupport(mb *member, by int) {
	for i, p := range mb.protocols {
		if slices.ContainsFunc(mb.protocols[:i], func(o protocol) bool { return o.name == p.name }) {
			continue // named twice, supported once
		}
		if g.support[p.name] += by; g.support[p.name] == 0 {
			delete(g.support, p.name)
		}
	}
}

// allJoined reports whether nobody has to be waited for in the join phase.
func (g *classic) allJoined() bool { return g.joining == len(g.members) && len(g.pendingJoin) == 0 }

// electLeader keeps a leader that has joined, or makes the first member that has joined the leader.
func (g *classic) electLeader() bool {
	if l := g.byID[g.leader]; l != nil && l.joinTicket != 0 {
		return true
	}
	for _, mb := range g.members {
		if mb.joinTicket != 0 {
			g.leader = mb.id
			return true
		}
	}
	return false
}

// rebalanceTimeoutMin keeps a client that asks for no time at all, or less, from making the coordinator spin.
const rebalanceTimeoutMin = 100 * time.Millisecond

func (g *classic) rebalanceTimeout() time.Duration {
	longest := rebalanceTimeoutMin
	for _, mb := range g.members {
		longest = max(longest, mb.rebalanceTimeout)
	}
	return longest
}

// validate checks that an identity is a member's.
func (g *classic) validate(who identity) kerr.Code {
	if who.instance.static {
		switch mb := g.byInstance[who.instance]; {
		case mb == nil:
			return kerr.UnknownMemberID
		case mb.id != who.member:
			return kerr.FencedInstanceID
		}
	}
	if g.byID[who.member] == nil {
		return kerr.UnknownMemberID
	}
	return kerr.None
}

// supports reports whether a member with these protocols could be in the group.
func (g *classic) supports(protocolType string, protocols []protocol) bool {
	if g.state == empty {
		return protocolType != "" && len(protocols) > 0
	}
	return g.protocolType == protocolType && slices.ContainsFunc(protocols, func(p protocol) bool {
		return g.support[p.name] == len(g.members)
	})
}

// chooseProtocol lets every member vote for the first protocol on its list that all support. Among equals the first voter wins.
func (g *classic) chooseProtocol() string {
	votes := map[string]int{}
	best := ""
	for _, mb := range g.members {
		i := slices.IndexFunc(mb.protocols, func(p protocol) bool { return g.support[p.name] == len(g.members) })
		if i < 0 {
			panic("BUG: no protocol is common to the members of group " + g.id)
		}
		votes[mb.protocols[i].name]++
	}
	for _, mb := range g.members {
		for _, p := range mb.protocols {
			if votes[p.name] > votes[best] {
				best = p.name
			}
		}
	}
	return best
}

// nextGeneration ends the join phase.
func (g *classic) nextGeneration(now time.Time) {
	g.generation++
	g.storing = false
	clear(g.pendingSync)
	if len(g.members) == 0 {
		g.protocol = ""
		g.computeTopics()
		g.transition(now, empty)
		return
	}
	g.protocol = g.chooseProtocol()
	g.computeTopics()
	g.transition(now, completing)
}

// computeTopics works out what a group of consumers subscribes to. Of other groups, and of subscriptions that cannot be read, it is
// not known.
func (g *classic) computeTopics() {
	g.topics, g.topicsSeen = nil, false
	if g.protocolType != consumerProtocolType {
		return
	}
	topics := map[string]struct{}{}
	for _, mb := range g.members {
		if g.protocol == "" || !subscribedTopics(mb.metadata(g.protocol), topics) {
			return
		}
	}
	g.topics, g.topicsSeen = topics, true
}

// subscribes reports whether a topic's offsets are in use by members: not known means yes for consumers, no for others.
func (g *classic) subscribes(topic string) bool {
	if g.consumers != nil {
		return g.consumers.subscribes(topic)
	}
	if g.streams != nil {
		return g.streams.subscribes(topic)
	}
	if !g.topicsSeen {
		return g.protocolType == consumerProtocolType
	}
	_, ok := g.topics[topic]
	return ok
}

func (mb *member) metadata(protocol string) []byte {
	for _, p := range mb.protocols {
		if p.name == protocol {
			return p.metadata
		}
	}
	return nil
}

func (mb *member) sameProtocols(protocols []protocol) bool {
	return slices.EqualFunc(mb.protocols, protocols, func(a, b protocol) bool {
		return a.name == b.name && bytes.Equal(a.metadata, b.metadata)
	})
}

// waits reports whether a request of the member is parked, which is as good as a heartbeat, except of one that never got an answer.
func (mb *member) waits() bool { return !mb.fresh && (mb.joinTicket != 0 || mb.syncTicket != 0) }
