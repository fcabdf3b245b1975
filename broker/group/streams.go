package group

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"sluice/broker/coord"
	"sluice/broker/group/task"
)

// A streams group (KIP-1071): the instances of a Kafka Streams application. What is assigned are tasks; members bring the topology that they run
// when they join, and the coordinator finds out how many tasks each of its parts has (streams_topology.go), which of its internal topics are
// missing, and asks whoever serves the heartbeat to create them. Nothing is assigned while a topic is missing or has a wrong number of partitions.
//
// The three epochs are those of the consumer protocol (consumer.go), and so are the three states of a member. What differs:
//
//   - A task is active, a standby, or (never yet, as in Kafka 4.3) being warmed up. An active task is given to a member only when no member has it as
//     active, and no task is given to a member while its process has the task in any role, for they would share its state on disk.
//   - Members must say what they own before they get further: one that has to give up tasks goes on when it tells that it has none of them.
//   - The group's epoch counts changes of members, of the topology, of the topics it reads, of their being in order, and of the settings
//     that the assignor goes by; what it was counted up for is in the group's record.
//   - A group that was empty waits a while after its first member has joined (streams.initial.rebalance.delay.ms): members get epoch 1 and no task, and
//     the first target is computed by the timer.
//   - There are no static members, no expressions, no changes of the topology, as in Kafka 4.3.
//
// That a topology is valid is found out by looking at the topics, and is not in the log but for its epoch: a coordinator that takes over does so anew. So
// are the endpoints' epoch and a member's wish that all shut down volatile.
//
// As in groups of the consumer protocol records are applied when they are made, and answers wait until they are durable.

// The roles of a task, as indexes of what a member has.
const (
	roleActive = iota
	roleStandby
	roleWarmup
	roles
)

// taskSets are tasks by role, each ascending.
type taskSets [roles][]task.ID

// heldTask is a task that a member has, active ones since the member's epoch of that number.
type heldTask struct {
	task.ID
	since int32
}

// heldTasks are what a member has, by role, each ascending.
type heldTasks [roles][]heldTask

func (h heldTasks) find(role int, id task.ID) (heldTask, bool) {
	i, ok := slices.BinarySearchFunc(h[role], id, func(h heldTask, id task.ID) int { return h.ID.Compare(id) })
	if !ok {
		return heldTask{}, false
	}
	return h[role][i], true
}

func (h heldTasks) equal(o heldTasks) bool {
	for role := range h {
		if !slices.Equal(h[role], o[role]) {
			return false
		}
	}
	return true
}

func (h heldTasks) empty() bool {
	return len(h[roleActive])+len(h[roleStandby])+len(h[roleWarmup]) == 0
}

// ids returns the tasks without their epochs.
func (h heldTasks) ids() (out taskSets) {
	for role := range h {
		for _, t := range h[role] {
			out[role] = append(out[role], t.ID)
		}
	}
	return out
}

// touches reports whether one of the tasks is held in the same role.
func (s taskSets) touches(h heldTasks) bool {
	for role := range s {
		if slices.ContainsFunc(s[role], func(id task.ID) bool { _, ok := h.find(role, id); return ok }) {
			return true
		}
	}
	return false
}

// within reports whether all of the tasks are held in the same role.
func (s taskSets) within(h heldTasks) bool {
	for role := range s {
		if slices.ContainsFunc(s[role], func(id task.ID) bool { _, ok := h.find(role, id); return !ok }) {
			return false
		}
	}
	return true
}

func (s taskSets) equal(o taskSets) bool {
	for role := range s {
		if !slices.Equal(s[role], o[role]) {
			return false
		}
	}
	return true
}

// endpoint is where a member answers interactive queries; without a host it has none.
type endpoint struct {
	host string
	port uint16
}

// setting is a key with a value.
type setting struct{ key, value string }

// streamer is a member. Values are not changed once they are in a group.
type streamer struct {
	id, instance, rack string
	client             client
	rebalanceTimeout   time.Duration
	topologyEpoch      int32
	process            string
	endpoint           endpoint
	tags               []setting // ascending

	epoch, previousEpoch int32
	state                memberState
	assigned             heldTasks // may be worked on
	revoking             heldTasks // have to be given up
}

func (s *streamer) sameTraits(o *streamer) bool {
	return s.instance == o.instance && s.rack == o.rack && s.client == o.client && s.rebalanceTimeout == o.rebalanceTimeout &&
		s.topologyEpoch == o.topologyEpoch && s.process == o.process && s.endpoint == o.endpoint && slices.Equal(s.tags, o.tags)
}

func (s *streamer) samePosition(o *streamer) bool {
	return s.epoch == o.epoch && s.previousEpoch == o.previousEpoch && s.state == o.state && s.assigned.equal(o.assigned) && s.revoking.equal(o.revoking)
}

func (s *streamer) reached(targetEpoch int32) bool {
	return s.state == memberStable && s.epoch == targetEpoch
}

// streamsGroup is what a group has as a streams group.
type streamsGroup struct {
	epoch          int32
	hash           int64             // of the topics of the topology, as of epoch
	validatedEpoch int32             // of the topology that was in order as of epoch; -1: it was not
	settings       map[string]string // of the assignor, as of epoch
	targetEpoch    int32
	targetMS       int64 // when the target was computed
	topology       *topology
	members        map[string]*streamer
	targets        map[string]taskSets
	owners         [roles]map[task.ID]map[string]int // how many members of which processes have a task, or have to give it up

	// What follows is volatile.
	timers        map[string]*consumerTimers
	delay         coord.Deadline // the initial one
	configured    *configured
	seen          int64 // version of the topics that configured was made of
	shutdownBy    string
	endpointEpoch int32
}

func newStreamsGroup() *streamsGroup {
	sg := &streamsGroup{
		epoch: 1, targetEpoch: 1, members: map[string]*streamer{}, targets: map[string]taskSets{}, timers: map[string]*consumerTimers{},
	}
	for role := range sg.owners {
		sg.owners[role] = map[task.ID]map[string]int{}
	}
	return sg
}

func (sg *streamsGroup) sortedMembers() []*streamer {
	return slices.SortedFunc(maps.Values(sg.members), func(a, b *streamer) int { return cmp.Compare(a.id, b.id) })
}

// status is the name of the group's state.
func (sg *streamsGroup) status() string {
	switch {
	case len(sg.members) == 0:
		return "Empty"
	case sg.topology == nil || sg.topology.epoch != sg.validatedEpoch:
		return "NotReady"
	case sg.epoch > sg.targetEpoch:
		return "Assigning"
	}
	for _, s := range sg.members {
		if !s.reached(sg.targetEpoch) {
			return "Reconciling"
		}
	}
	return "Stable"
}

// subscribes reports whether members read a topic.
func (sg *streamsGroup) subscribes(topic string) bool {
	return len(sg.members) > 0 && sg.topology.reader(topic) != nil
}

// put takes a member in, or changes it.
func (sg *streamsGroup) put(s *streamer) {
	if old := sg.members[s.id]; old != nil {
		sg.own(old, -1)
	}
	sg.members[s.id] = s
	sg.own(s, 1)
}

func (sg *streamsGroup) remove(id string) {
	if s := sg.members[id]; s != nil {
		sg.own(s, -1)
		delete(sg.members, id)
	}
	if len(sg.members) == 0 {
		sg.shutdownBy = ""
	}
}

// own counts what a member has.
func (sg *streamsGroup) own(s *streamer, by int) {
	for _, h := range []heldTasks{s.assigned, s.revoking} {
		for role := range h {
			for _, t := range h[role] {
				of := sg.owners[role][t.ID]
				if of == nil {
					of = map[string]int{}
					sg.owners[role][t.ID] = of
				}
				if of[s.process] += by; of[s.process] == 0 {
					delete(of, s.process)
				}
				if len(of) == 0 {
					delete(sg.owners[role], t.ID)
				}
			}
		}
	}
}

// taken reports whether a task cannot be given to a process in a role yet.
func (sg *streamsGroup) taken(role int, id task.ID, process string) bool {
	if role == roleActive && len(sg.owners[roleActive][id]) > 0 {
		return true
	}
	return sg.owners[roleActive][id][process]+sg.owners[roleStandby][id][process]+sg.owners[roleWarmup][id][process] > 0
}

// timersOf returns a member's deadlines, made if there are none.
func (sg *streamsGroup) timersOf(id string) *consumerTimers {
	t := sg.timers[id]
	if t == nil {
		t = &consumerTimers{}
		sg.timers[id] = t
	}
	return t
}

func (sg *streamsGroup) cancelTimers(id string) {
	if t := sg.timers[id]; t != nil {
		t.session.Cancel()
		t.rebalance.Cancel()
		delete(sg.timers, id)
	}
}

// streamsRules are the settings of streams groups.
type streamsRules struct {
	streamersMax int // members of one group
	// streams returns a setting of a group that is a number; times are in milliseconds.
	streams func(group, name string) int64
}

// Settings of streams groups.
const (
	streamsSessionSetting  = "streams.session.timeout.ms"
	streamsIntervalSetting = "streams.heartbeat.interval.ms"
	streamsAssignSetting   = "streams.assignment.interval.ms"
	streamsDelaySetting    = "streams.initial.rebalance.delay.ms"
	streamsStandbySetting  = "streams.num.standby.replicas"
)

func (m *machine) streamsTime(g *classic, name string) time.Duration {
	return time.Duration(m.streams(g.id, name)) * time.Millisecond
}
