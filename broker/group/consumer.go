package group

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/broker/group/assign"
)

// A group of the consumer protocol (KIP-848). The coordinator computes the assignment; members learn of it, and say what they hold, in
// their heartbeats.
//
// Three epochs follow one another. The group epoch counts changes of what has to be assigned: members, subscriptions, topics. The
// target epoch is the group epoch that the target assignment was computed for. A member's epoch is the target epoch that it has
// reached: it goes there once it has given up what the target takes from it, and never before, for until then nobody else may get it.
//
//	            target has moved on, member holds too much           member no longer reports what it had to give up
//	  Stable ──────────────────────────────────────────▶ Unrevoked ──────────────────────────────────────────┐
//	    ▲  │ target has moved on, nothing to give up         ▲                                                │
//	    │  └──────────────┐                                  │ target has moved on, member holds too much     │
//	    │                 ▼                                  │                                                ▼
//	    └───────── reaches the target epoch ◀──────── Unreleased ◀── something of its target is still held by another
//
// Unlike classic groups, which are in memory until a round is complete, all state here is made of records. A command reads the state,
// makes records, and these are applied at once, by the function that replays them when the log is loaded; every answer, also one that
// needed no record, waits until all records of the group so far are durable. If an append fails the machine is thrown away, and with
// it all that was ahead of the log.

// partitionID names a partition by its topic's id.
type partitionID = assign.Partition

// held is a partition that a member holds, since the member's epoch of that number.
type held struct {
	partitionID
	since int32
}

// holding is what a member holds, ascending.
type holding []held

func (h holding) find(p partitionID) (held, bool) {
	i, ok := slices.BinarySearchFunc(h, p, func(h held, p partitionID) int { return h.Compare(p) })
	if !ok {
		return held{}, false
	}
	return h[i], true
}

func (h holding) has(p partitionID) bool {
	_, ok := h.find(p)
	return ok
}

// same reports whether the partitions are the same, whatever the epochs.
func (h holding) same(o holding) bool {
	return slices.EqualFunc(h, o, func(a, b held) bool { return a.partitionID == b.partitionID })
}

func (h holding) sort() holding {
	slices.SortFunc(h, func(a, b held) int { return a.Compare(b.partitionID) })
	return h
}

// memberState is where a member stands between what it holds and its target. The numbers are those of the log.
type memberState int8

const (
	memberStable     memberState = 0
	memberUnrevoked  memberState = 1 // has to give up partitions and has not said that it did
	memberUnreleased memberState = 2 // has reached its epoch, but partitions of its target are held by others
)

// Member epochs with a meaning of their own.
const (
	epochJoin        int32 = 0
	epochLeave       int32 = -1
	epochLeaveStatic int32 = -2 // a static member will be back; it stays a member, and holds what it held, until its session ends
)

// consumer is a member. Values are not changed once they are in a group: a change puts another one in the place.
type consumer struct {
	id, rack         string
	instance         instance
	client           client
	topics           []string // subscribed by name, ascending
	regex            string   // subscribed by expression, if not empty
	rebalanceTimeout time.Duration
	assignor         string         // preferred; empty: none
	classic          *classicTraits // of a member that speaks the classic protocol

	epoch, previousEpoch int32
	state                memberState
	assigned             holding // may be used
	revoking             holding // has to be given up
}

// classicTraits are what a member of the classic protocol has beside.
type classicTraits struct {
	sessionTimeout time.Duration
	protocols      []protocol
}

// sameTraits compares what the record of the member's metadata says.
func (c *consumer) sameTraits(o *consumer) bool {
	return c.instance == o.instance && c.rack == o.rack && c.client == o.client && slices.Equal(c.topics, o.topics) && c.regex == o.regex &&
		c.rebalanceTimeout == o.rebalanceTimeout && c.assignor == o.assignor && c.classic.same(o.classic)
}

func (t *classicTraits) same(o *classicTraits) bool {
	if t == nil || o == nil {
		return t == o
	}
	return t.sessionTimeout == o.sessionTimeout && (&member{protocols: t.protocols}).sameProtocols(o.protocols)
}

// samePosition compares what the record of the member's current assignment says.
func (c *consumer) samePosition(o *consumer) bool {
	return c.epoch == o.epoch && c.previousEpoch == o.previousEpoch && c.state == o.state &&
		slices.Equal(c.assigned, o.assigned) && slices.Equal(c.revoking, o.revoking)
}

// reached reports whether a member has nothing left to do for a target.
func (c *consumer) reached(targetEpoch int32) bool {
	return c.state == memberStable && c.epoch == targetEpoch
}

// resolvedRegex is what a subscribed expression has matched.
type resolvedRegex struct {
	topics  []string // ascending
	version int64    // of the topics it was matched against
	atMS    int64
}

// consumerGroup is what a group has as one of the consumer protocol.
type consumerGroup struct {
	epoch       int32
	hash        int64 // of the subscribed topics, as of epoch
	targetEpoch int32
	targetMS    int64 // when the target was computed
	members     map[string]*consumer
	byInstance  map[instance]string // static members' ids
	targets     map[string][]partitionID
	regexes     map[string]resolvedRegex
	owners      map[partitionID]string // who holds a partition, or has still to give it up
	names       map[string]int         // how many members subscribe to a topic by name

	// What follows is volatile.
	timers  map[string]*consumerTimers
	matched map[string]regexMatch
	seen    int64 // version of the topics the hash was last compared with; 0: none
}

// consumerTimers are a member's deadlines.
type consumerTimers struct {
	session   coord.Deadline
	rebalance coord.Deadline // to give partitions up, or, of a classic member, to join or sync
}

func newConsumerGroup() *consumerGroup {
	return &consumerGroup{
		members: map[string]*consumer{}, byInstance: map[instance]string{}, targets: map[string][]partitionID{},
		regexes: map[string]resolvedRegex{}, owners: map[partitionID]string{}, names: map[string]int{}, timers: map[string]*consumerTimers{},
		matched: map[string]regexMatch{},
	}
}

// sortedMembers returns the members by id, so that nothing depends on the order of a map.
func (cg *consumerGroup) sortedMembers() []*consumer {
	return slices.SortedFunc(maps.Values(cg.members), func(a, b *consumer) int { return cmp.Compare(a.id, b.id) })
}

// subscribes reports whether a member subscribes to a topic.
func (cg *consumerGroup) subscribes(topic string) bool {
	if cg.names[topic] > 0 {
		return true
	}
	for _, r := range cg.regexes {
		if _, ok := slices.BinarySearch(r.topics, topic); ok {
			return true
		}
	}
	return false
}

// topicsOf returns the names of all topics a member subscribes to, ascending.
func (cg *consumerGroup) topicsOf(c *consumer) []string {
	matched := cg.regexes[c.regex].topics
	if c.regex == "" || len(matched) == 0 {
		return c.topics
	}
	all := append(slices.Clone(c.topics), matched...)
	slices.Sort(all)
	return slices.Compact(all)
}

// status is the name of the group's state.
func (cg *consumerGroup) status() string {
	switch {
	case len(cg.members) == 0:
		return "Empty"
	case cg.epoch > cg.targetEpoch:
		return "Assigning"
	}
	for _, c := range cg.members {
		if !c.reached(cg.targetEpoch) {
			return "Reconciling"
		}
	}
	return "Stable"
}

// preferredAssignor is the one that most members ask for; the first by name among equals, the default if nobody asks.
func (cg *consumerGroup) preferredAssignor(otherwise string) string {
	votes := map[string]int{}
	for _, c := range cg.members {
		if c.assignor != "" {
			votes[c.assignor]++
		}
	}
	best := otherwise
	for _, name := range slices.Sorted(maps.Keys(votes)) {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// put takes a member in, or changes it.
func (cg *consumerGroup) put(c *consumer) {
	if old := cg.members[c.id]; old != nil {
		cg.forget(old)
	}
	cg.members[c.id] = c
	if c.instance.static {
		cg.byInstance[c.instance] = c.id
	}
	for _, t := range c.topics {
		cg.names[t]++
	}
	for _, hs := range []holding{c.assigned, c.revoking} {
		for _, h := range hs {
			cg.owners[h.partitionID] = c.id
		}
	}
}

// remove takes a member out.
func (cg *consumerGroup) remove(id string) {
	if c := cg.members[id]; c != nil {
		cg.forget(c)
		delete(cg.members, id)
	}
}

// forget undoes put.
func (cg *consumerGroup) forget(c *consumer) {
	if cg.byInstance[c.instance] == c.id {
		delete(cg.byInstance, c.instance)
	}
	for _, t := range c.topics {
		if cg.names[t]--; cg.names[t] == 0 {
			delete(cg.names, t)
		}
	}
	for _, hs := range []holding{c.assigned, c.revoking} {
		for _, h := range hs {
			if cg.owners[h.partitionID] == c.id {
				delete(cg.owners, h.partitionID)
			}
		}
	}
}

// free reports whether a partition is held by nobody but, maybe, one member.
func (cg *consumerGroup) free(p partitionID, but string) bool {
	owner, ok := cg.owners[p]
	return !ok || owner == but
}

// Topics is a view of the cluster's topics that does not change.
type Topics interface {
	// ByName finds a topic and the number of its partitions.
	ByName(name string) (id base.UUID, partitions int32, ok bool)
	// ByID finds a topic's name.
	ByID(id base.UUID) (name string, ok bool)
	// Names returns the names of all topics, ascending.
	Names() []string
	// Version differs between views that differ in their topics; it is not 0.
	Version() int64
}
