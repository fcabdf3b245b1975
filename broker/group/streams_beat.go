package group

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/broker/coord"
	"sluice/broker/group/task"
	"sluice/wire/kerr"
)

// streamsBeat is a StreamsGroupHeartbeat. Fields that the member left out are nil, and mean what they last were.
type streamsBeat struct {
	client        client
	group, member string
	epoch         int32
	endpointEpoch int32
	instance      *string
	rack          *string
	rebalanceMS   int32 // -1: left out
	topology      *topology
	owned         [roles]*[]task.ID // each ascending
	process       *string
	endpoint      *endpoint
	tags          *[]setting // ascending
	offsets       bool       // it tells offsets of tasks
	shutdown      bool
}

type streamsBeatResult struct {
	code          kerr.Code
	message       string
	member        string
	epoch         int32
	beatMS        int32
	status        []streamsStatus
	tasks         *taskSets // nil: as they were
	endpointEpoch int32
	endpoints     []endpointTopics // nil: as they were
	create        []internalTopic  // to be created
}

func refuseStreams(code kerr.Code, format string, args ...any) *streamsBeatResult {
	return &streamsBeatResult{code: code, message: fmt.Sprintf(format, args...)}
}

// invalid checks what can be checked without looking at the group.
func (c *streamsBeat) invalid() *streamsBeatResult {
	bad := func(what string) *streamsBeatResult { return refuseStreams(kerr.InvalidRequest, "%s", what) }
	has := func(role int) bool { return c.owned[role] != nil && len(*c.owned[role]) > 0 }
	joins := c.epoch == epochJoin
	switch {
	case c.instance != nil:
		return bad("Static membership is not yet supported.")
	case c.offsets:
		return bad("TaskOffsets are not supported yet.")
	case has(roleWarmup):
		return bad("WarmupTasks are not supported yet.")
	case c.topology != nil && slices.ContainsFunc(c.topology.subs, func(s subtopology) bool { return len(s.regexes) > 0 }):
		return bad("Regular expressions for source topics are not supported yet.")
	case strings.TrimSpace(c.member) == "":
		return bad("MemberId can't be empty.")
	case strings.TrimSpace(c.group) == "":
		return bad("GroupId can't be empty.")
	case c.rack != nil && strings.TrimSpace(*c.rack) == "":
		return bad("RackId can't be empty.")
	case joins && c.rebalanceMS == -1:
		return bad("RebalanceTimeoutMs must be provided in first request.")
	case joins && has(roleActive):
		return bad("ActiveTasks must be empty when (re-)joining.")
	case joins && has(roleStandby):
		return bad("StandbyTasks must be empty when (re-)joining.")
	case joins && c.topology == nil:
		return bad("Topology must be non-null when (re-)joining.")
	case c.epoch == epochLeaveStatic:
		return bad("InstanceId can't be null.")
	case c.epoch < epochLeaveStatic:
		return bad(fmt.Sprintf("MemberEpoch is %d, but must be greater than or equal to -2.", c.epoch))
	case (c.owned[roleActive] == nil) != (c.owned[roleStandby] == nil) || (c.owned[roleActive] == nil) != (c.owned[roleWarmup] == nil):
		return bad("If one task-type is non-null, all must be non-null.")
	case !joins && c.topology != nil:
		return bad("Topology can only be provided when (re-)joining.")
	}
	if c.topology != nil {
		if why := c.topology.invalid(); why != "" {
			return refuseStreams(kerr.StreamsInvalidTopology, "%s", why)
		}
	}
	return nil
}

// has returns what the member says it has, nil if it does not say.
func (c *streamsBeat) has() *taskSets {
	if c.owned[roleActive] == nil {
		return nil
	}
	var s taskSets
	for role := range s {
		s[role] = *c.owned[role]
	}
	return &s
}

func (m *machine) streamsBeat(now time.Time, t coord.Ticket, c *streamsBeat) {
	if r := c.invalid(); r != nil {
		m.fx.Reply(t, *r)
		return
	}
	g := m.find(c.group)
	if r := m.mayBeatStreams(g, c); r != nil {
		m.fx.Reply(t, *r)
		return
	}
	if c.epoch == epochLeave {
		m.leaveStreams(t, c, g)
		return
	}
	b := &streamsBeating{m: m, now: now, c: c, sg: newStreamsGroup(), view: m.topics()}
	if g != nil && g.streams != nil {
		b.sg = g.streams
	}
	if r := b.prepare(); r != nil {
		m.fx.Reply(t, *r)
		return
	}
	if g == nil {
		g = m.findOrCreate(now, c.group)
	}
	b.g, b.ch = g, &streamsChange{groupChange{m: m, g: g}}
	var r streamsBeatResult
	if g.streams == nil && g.durable {
		m.write([]coord.Record{groupTombstone(g.id)}, g, nil) // the empty classic group that it was
		g.clearMembers()
	}
	b.carryOut(&r)
	if b.ch.failed {
		r = *refuseStreams(kerr.UnknownServerError, "A record of the group does not fit into a batch.")
	}
	b.ch.commit(func(time.Time) { m.fx.Reply(t, r) })
	m.dropIfVoid(g)
}

// mayBeatStreams checks whether there is a group, and a member, that may send this heartbeat.
func (m *machine) mayBeatStreams(g *classic, c *streamsBeat) *streamsBeatResult {
	joins := c.epoch == epochJoin
	switch {
	case g != nil && g.state == dead:
		return refuseStreams(kerr.CoordinatorNotAvailable, "")
	case m.shares[c.group] != nil, g != nil && g.streams == nil && (!joins || g.consumers != nil || g.state != empty):
		return refuseStreams(kerr.GroupIDNotFound, "Group %s is not a streams group.", c.group)
	case g == nil && c.epoch == epochLeave:
		return refuseStreams(kerr.GroupIDNotFound, "Group %s not found.", c.group)
	case g == nil && !joins:
		return refuseStreams(kerr.GroupIDNotFound, "Streams group %s not found.", c.group)
	case g == nil || g.streams == nil:
		return nil
	case joins && len(g.streams.members) >= m.streamersMax:
		return refuseStreams(kerr.GroupMaxSizeReached, "The streams group has reached its maximum capacity of %d members.", m.streamersMax)
	}
	s := g.streams.members[c.member]
	than := ""
	switch {
	case joins:
	case s == nil:
		return refuseStreams(kerr.UnknownMemberID, "Member %s is not a member of group %s.", c.member, g.id)
	case c.epoch == epochLeave:
	case c.epoch > s.epoch:
		than = "greater"
	case c.epoch < s.epoch && (c.epoch != s.previousEpoch || c.owned[roleActive] == nil || !c.has().within(s.assigned)):
		than = "smaller"
	}
	if than != "" {
		return refuseStreams(kerr.FencedMemberEpoch, "The streams group member has a %s member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", than, c.epoch, s.epoch)
	}
	return nil
}

// streamsBeating is a heartbeat being carried out: what it finds, what it makes of it, what it changes.
type streamsBeating struct {
	m    *machine
	now  time.Time
	c    *streamsBeat
	g    *classic
	sg   *streamsGroup
	ch   *streamsChange
	view Topics

	old, next *streamer
	topology  *topology
	conf      *configured
}

// prepare finds out what is to be done, and changes nothing.
func (b *streamsBeating) prepare() *streamsBeatResult {
	c, sg := b.c, b.sg
	b.old = sg.members[c.member]
	b.next = c.update(b.old)
	switch b.topology = sg.topology; {
	case b.topology == nil && c.topology == nil:
		return refuseStreams(kerr.UnknownServerError, "The group has no topology.")
	case b.topology == nil:
		b.topology = c.topology
	case c.topology == nil || c.topology.epoch < b.topology.epoch:
	case !c.topology.equal(b.topology):
		return refuseStreams(kerr.InvalidRequest, "Topology updates are not supported yet.")
	}
	if !b.m.fits(streamerRecord(c.group, b.next)) || !b.m.fits(topologyRecord(c.group, b.topology)) {
		return refuseStreams(kerr.UnknownServerError, "The member's topology is too large.")
	}
	b.conf = sg.configured
	if b.conf == nil || sg.seen != b.view.Version() && b.topology.hash(b.view) != b.conf.hash {
		conf, err := b.topology.configure(b.view)
		if err != nil {
			return refuseStreams(kerr.StreamsInvalidTopology, "%v", err)
		}
		b.conf = conf
	}
	if b.conf.trouble == nil {
		return b.unknownTasks()
	}
	return nil
}

// unknownTasks refuses tasks that are none.
func (b *streamsBeating) unknownTasks() *streamsBeatResult {
	for _, owned := range b.c.owned {
		if owned == nil {
			continue
		}
		for _, id := range *owned {
			n, ok := b.conf.tasksOf(id.Subtopology)
			switch {
			case !ok:
				return refuseStreams(kerr.InvalidRequest, "Subtopology %s does not exist in the topology.", id.Subtopology)
			case id.Partition < 0 || id.Partition >= n:
				return refuseStreams(kerr.InvalidRequest, "Task %d for subtopology %s is invalid. Number of tasks for this subtopology: %d", id.Partition, id.Subtopology, n)
			}
		}
	}
	return nil
}

// update returns the member as the heartbeat describes it.
func (c *streamsBeat) update(old *streamer) *streamer {
	next := &streamer{id: c.member, rebalanceTimeout: -time.Millisecond, topologyEpoch: -1}
	if old != nil {
		*next = *old
	}
	next.client = c.client
	setIf(&next.rack, c.rack)
	setIf(&next.process, c.process)
	if c.rebalanceMS != -1 {
		next.rebalanceTimeout = time.Duration(c.rebalanceMS) * time.Millisecond
	}
	if c.topology != nil {
		next.topologyEpoch = c.topology.epoch
	}
	if c.endpoint != nil {
		next.endpoint = *c.endpoint
	}
	if c.tags != nil {
		next.tags = *c.tags
	}
	return next
}

// carryOut makes the records: the member's traits, the topology, the group's epoch, the target, then the member's way to it.
func (b *streamsBeating) carryOut(r *streamsBeatResult) {
	m, c, ch, next := b.m, b.c, b.ch, b.next
	fresh, wasEmpty := b.g.streams == nil, len(b.sg.members) == 0
	changed := b.old == nil || !b.old.sameTraits(next)
	if c.epoch == epochJoin {
		m.fx.Note("streams member joins", "group", b.g.id, "member", next.id, "process", next.process)
	}
	if changed {
		ch.add(streamerRecord(b.g.id, next))
	}
	if b.sg.topology == nil {
		ch.add(topologyRecord(b.g.id, b.topology))
	}
	if ch.failed {
		return
	}
	sg := b.g.streams
	b.sg = sg
	sg.configured, sg.seen = b.conf, b.view.Version()
	if next.topologyEpoch < b.topology.epoch {
		r.say(statusStaleTopology, "The member's topology epoch %d is behind the group's topology epoch %d.", next.topologyEpoch, b.topology.epoch)
	}
	b.bump(changed)
	if delay := m.streamsTime(b.g, streamsDelaySetting); wasEmpty && delay > 0 && !sg.delay.Running() {
		m.delayStreams(b.now, b.g, delay)
	}
	reconciler := &streamsReconciler{sg: sg, owned: c.has()}
	reconciler.targetEpoch, reconciler.target = m.retargetStreams(b.now, ch, b.conf, next.id, r)
	done := reconciler.reconcile(next)
	if !done.samePosition(next) {
		ch.add(streamsStateRecord(b.g.id, done))
		m.expectStreamer(b.now, b.g, done)
	}
	m.keepStreamer(b.now, b.g, done)
	if c.shutdown && sg.shutdownBy == "" {
		sg.shutdownBy = done.id
	}
	b.answer(r, done, fresh)
}

// missed reports whether a member that tells everything of itself, as it does after an answer that was lost, has other tasks than it was assigned: it is told them
// again. Otherwise it would not hear of those that are to be given up until its time is over and others have them; Kafka tells members of a consumer group again.
func (b *streamsBeating) missed(done *streamer) bool {
	has := b.c.has()
	return has != nil && b.c.rebalanceMS != -1 && !has.equal(done.assigned.ids())
}

// answer fills in the result of a heartbeat.
func (b *streamsBeating) answer(r *streamsBeatResult, done *streamer, fresh bool) {
	sg := b.sg
	r.member, r.epoch, r.beatMS = done.id, done.epoch, int32(b.m.streams(b.g.id, streamsIntervalSetting))
	endpointEpoch := sg.endpointEpoch
	changed := b.c.epoch == epochJoin || b.old == nil || !b.old.assigned.equal(done.assigned)
	if changed || b.missed(done) {
		tasks := done.assigned.ids()
		r.tasks = &tasks
	}
	if changed && done.endpoint.host != "" {
		endpointEpoch++
	}
	if endpointEpoch != b.c.endpointEpoch {
		r.endpoints = sg.endpoints(b.topology, b.view)
	}
	if !fresh { // as in Kafka a group that has just begun is at 0 still, so the member asks again
		sg.endpointEpoch = endpointEpoch
	}
	r.endpointEpoch = sg.endpointEpoch
	if b.conf.trouble != nil {
		r.create = b.conf.missing
		r.status = append(r.status, *b.conf.trouble)
	}
	if sg.shutdownBy != "" {
		r.say(statusShutdown, "Streams group member %s encountered a fatal error and requested a shutdown for the entire application.", sg.shutdownBy)
	}
}

func (r *streamsBeatResult) say(code int8, format string, args ...any) {
	r.status = append(r.status, streamsStatus{code, fmt.Sprintf(format, args...)})
}

// bump raises the group's epoch if there is something new to be assigned.
func (b *streamsBeating) bump(changed bool) {
	sg := b.sg
	validated := int32(-1)
	if b.conf.trouble == nil {
		validated = b.topology.epoch
	}
	settings := b.m.assignorSettings(b.g)
	if !changed && b.conf.hash == sg.hash && validated == sg.validatedEpoch && maps.Equal(settings, sg.settings) {
		return
	}
	b.ch.add(streamsGroupRecord(b.g.id, &streamsGroup{epoch: sg.epoch + 1, hash: b.conf.hash, validatedEpoch: validated, settings: settings}))
}

// assignorSettings are what the assignor goes by, under the names that Kafka keeps them by.
func (m *machine) assignorSettings(g *classic) map[string]string {
	return map[string]string{"num.standby.replicas": strconv.FormatInt(m.streams(g.id, streamsStandbySetting), 10)}
}

// retargetStreams computes a target if there is none of the group's epoch and it is time, and returns the target that a member has to go to.
func (m *machine) retargetStreams(now time.Time, ch *streamsChange, conf *configured, member string, r *streamsBeatResult) (int32, taskSets) {
	sg := ch.g.streams
	if sg.delay.Running() {
		r.say(statusAssignmentDelays, "Assignment delayed due to the configured initial rebalance delay.")
		return sg.targetEpoch, taskSets{}
	}
	if sg.targetEpoch >= sg.epoch {
		return sg.targetEpoch, sg.targets[member]
	}
	if tooSoon(now, sg.targetMS, m.streamsTime(ch.g, streamsAssignSetting)) {
		r.say(statusAssignmentDelays, "Assignment delayed due to the configured assignment interval.")
		return sg.targetEpoch, sg.targets[member]
	}
	m.assignStreams(now, ch, conf)
	return sg.targetEpoch, sg.targets[member]
}

// assignStreams computes the target of the group's epoch. Of a topology that is not in order nobody has anything.
func (m *machine) assignStreams(now time.Time, ch *streamsChange, conf *configured) {
	sg := ch.g.streams
	members := sg.sortedMembers()
	targets := make([]task.Target, len(members))
	if conf.trouble == nil {
		specs := make([]task.Member, len(members))
		for i, s := range members {
			specs[i] = task.Member{ID: s.id, Process: s.process, Active: sg.targets[s.id][roleActive], Standby: sg.targets[s.id][roleStandby]}
		}
		standbys, _ := strconv.Atoi(sg.settings["num.standby.replicas"])
		targets = task.Assign(specs, conf.subs, standbys)
	}
	for i, s := range members {
		target := taskSets{roleActive: targets[i].Active, roleStandby: targets[i].Standby}
		if old, ok := sg.targets[s.id]; !ok || !old.equal(target) {
			ch.add(streamsTargetRecord(ch.g.id, s.id, target))
		}
	}
	ch.add(streamsTargetEpochRecord(ch.g.id, sg.epoch, now.UnixMilli()))
}
