package group

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/broker/group/assign"
	"sluice/wire/kerr"
)

// beatCommand is a ConsumerGroupHeartbeat. Fields that the member left out are nil, and mean what they last were.
type beatCommand struct {
	client      client
	group       string
	member      string
	instance    *string
	epoch       int32
	rack        *string
	rebalanceMS int32 // -1: left out
	topics      *[]string
	regex       *string
	assignor    *string
	owned       *[]partitionID
	named       bool // topics are named in owned, maybe without partitions
	idRequired  bool // v1: members make their ids
	// describes reports whether the client may describe a topic, by the ACLs as they were when it asked; nil: all of them.
	describes func(topic string) bool
}

type beatResult struct {
	code     kerr.Code
	message  string
	member   string
	epoch    int32
	beatMS   int32
	assigned *[]partitionID // nil: as it was
}

func refuseBeat(code kerr.Code, format string, args ...any) *beatResult {
	return &beatResult{code: code, message: fmt.Sprintf(format, args...)}
}

func (m *machine) beat(now time.Time, t coord.Ticket, c *beatCommand) {
	if r := c.invalid(m); r != nil {
		m.fx.Reply(t, *r)
		return
	}
	if c.epoch == epochLeave || c.epoch == epochLeaveStatic {
		m.leaveConsumers(now, t, c)
		return
	}
	g, r := m.beatGroup(now, c)
	if r != nil {
		m.fx.Reply(t, *r)
		return
	}
	defer m.dropIfVoid(g)
	old, r := m.beatMember(g, c)
	if r != nil {
		m.fx.Reply(t, *r)
		return
	}
	m.beatFrom(now, t, c, g, old)
}

// invalid checks what can be checked without looking at the group.
func (c *beatCommand) invalid(m *machine) *beatResult {
	bad := func(what string) *beatResult { return refuseBeat(kerr.InvalidRequest, "%s", what) }
	joins := c.epoch == epochJoin
	switch {
	case strings.TrimSpace(c.group) == "":
		return bad("GroupId can't be empty.")
	case c.instance != nil && strings.TrimSpace(*c.instance) == "":
		return bad("InstanceId can't be empty.")
	case c.rack != nil && strings.TrimSpace(*c.rack) == "":
		return bad("RackId can't be empty.")
	case c.member == "" && (c.idRequired || !joins):
		return bad("MemberId can't be empty.")
	case c.epoch < epochLeaveStatic:
		return bad("MemberEpoch is invalid.")
	case c.epoch == epochLeaveStatic && c.instance == nil:
		return bad("InstanceId can't be null.")
	case joins && c.rebalanceMS == -1:
		return bad("RebalanceTimeoutMs must be provided in first request.")
	case joins && (c.owned == nil || len(*c.owned) > 0 || c.named):
		return bad("TopicPartitions must be empty when (re-)joining.")
	case joins && c.topics == nil && c.regex == nil: // none of either is a member that waits for topics
		return bad("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
	case c.assignor != nil && !slices.Contains(m.assignors, *c.assignor):
		return refuseBeat(kerr.UnsupportedAssignor, "ServerAssignor %s is not supported. Supported assignors: %s.", *c.assignor, strings.Join(m.assignors, ", "))
	}
	return nil
}

// beatGroup finds the group of a heartbeat. A member that joins makes it, out of an empty classic group or of a live one of consumers
// if need be.
func (m *machine) beatGroup(now time.Time, c *beatCommand) (*classic, *beatResult) {
	g := m.find(c.group)
	switch {
	case g != nil && g.state == dead:
		return nil, refuseBeat(kerr.CoordinatorNotAvailable, "")
	case g != nil && g.consumers != nil:
	case c.epoch != epochJoin && g == nil:
		return nil, refuseBeat(kerr.GroupIDNotFound, "Consumer group %s not found.", c.group)
	case c.epoch != epochJoin:
		return nil, refuseBeat(kerr.GroupIDNotFound, "Group %s is not a consumer group.", c.group)
	case g == nil:
		g = m.findOrCreate(now, c.group)
	case g.state != empty:
		if r := m.upgradable(g, c); r != nil {
			return nil, r
		}
	}
	size, known := len(g.members), false
	if cg := g.consumers; cg != nil {
		size, known = len(cg.members), cg.members[c.member] != nil
	}
	if size >= m.consumersMax && !known {
		m.dropIfVoid(g)
		return nil, refuseBeat(kerr.GroupMaxSizeReached, "The consumer group has reached its maximum capacity of %d members.", m.consumersMax)
	}
	return g, nil
}

// beatMember finds the member that sends a heartbeat, nil if it is new, and checks its epoch.
func (m *machine) beatMember(g *classic, c *beatCommand) (*consumer, *beatResult) {
	cg := g.consumers
	if cg == nil {
		return nil, nil // only one that joins gets here
	}
	old := cg.members[c.member]
	if c.instance == nil {
		if old == nil && c.epoch != epochJoin {
			return nil, refuseBeat(kerr.UnknownMemberID, "Member %s is not a member of group %s.", c.member, g.id)
		}
		return old, old.mayBeat(c)
	}
	static := cg.members[cg.byInstance[instanceOf(c.instance)]]
	switch {
	case c.epoch == epochJoin && static == nil:
		return old, nil
	case c.epoch == epochJoin:
		if static.epoch != epochLeaveStatic && static.classic == nil {
			return nil, refuseBeat(kerr.UnreleasedInstanceID, "Static member %s with instance id %s cannot join the group because the instance id is owned by %s member.", c.member, *c.instance, static.id)
		}
		return static, nil
	case static == nil:
		return nil, refuseBeat(kerr.UnknownMemberID, "Instance id %s is unknown.", *c.instance)
	case static.id != c.member:
		return nil, refuseBeat(kerr.FencedInstanceID, "Static member %s with instance id %s was fenced by member %s.", c.member, *c.instance, static.id)
	}
	return static, static.mayBeat(c)
}

// mayBeat checks the epoch of a heartbeat. A member that is known may join again: it has said that it owns nothing. The one before is good, too, if the member owns no more than what it was then told: the
// answer that told it the new one may be lost.
func (c *consumer) mayBeat(beat *beatCommand) *beatResult {
	if c == nil {
		return nil
	}
	than := "smaller"
	switch {
	case beat.epoch == c.epoch || beat.epoch == epochJoin:
		return nil
	case beat.epoch > c.epoch:
		than = "greater"
	case beat.epoch == c.previousEpoch && beat.owned != nil && !slices.ContainsFunc(*beat.owned, func(p partitionID) bool { return !c.assigned.has(p) }):
		return nil
	}
	return refuseBeat(kerr.FencedMemberEpoch, "The consumer group member has a %s member epoch (%d) than the one known by the group coordinator (%d). The member must abandon all its partitions and rejoin.", than, beat.epoch, c.epoch)
}

// beatFrom carries out a heartbeat that is in order: the member's traits, then the group's epoch, then the target, then the member's way
// to it.
func (m *machine) beatFrom(now time.Time, t coord.Ticket, c *beatCommand, g *classic, old *consumer) {
	next := c.update(m, old)
	if next.regex != "" && (old == nil || next.regex != old.regex) {
		if _, err := regexp.Compile(next.regex); err != nil {
			m.fx.Reply(t, *refuseBeat(kerr.InvalidRegularExpression, "SubscribedTopicRegex `%s` is not a valid regular expression: %v.", next.regex, err))
			return
		}
	}
	if !m.fits(consumerRecord(g.id, next)) {
		m.fx.Reply(t, *refuseBeat(kerr.UnknownServerError, "The member's subscription is too large."))
		return
	}
	ch := m.change(g)
	if g.consumers == nil {
		m.upgrade(ch)
		for _, mb := range g.consumers.sortedMembers() {
			ch.beatTimers(now, mb)
		}
		if c.instance != nil { // of a classic member whose place this one takes
			old = g.consumers.members[g.consumers.byInstance[instanceOf(c.instance)]]
			next = c.update(m, old)
		}
	}
	if old == nil || c.replaces(old) {
		m.fx.Note("member joins", "group", g.id, "member", next.id, "instance", next.instance.name)
	}
	if c.replaces(old) {
		ch.replace(old, next)
	} else if old == nil || !old.sameTraits(next) {
		ch.add(consumerRecord(g.id, next))
	}
	changed := next.subscribesAnew(old)
	matched := ch.resolve(now, old, next, c.describes)
	ch.bump(matched || ch.assignsAnew(old, next))
	ch.retarget(now)
	done := ch.reconcile(next.id, changed, c.owned)
	ch.beatTimers(now, done)
	r := beatResult{member: done.id, epoch: done.epoch, beatMS: m.beatIntervalMS(g.id)}
	full := c.epoch == epochJoin || c.rebalanceMS != -1 && (c.topics != nil || c.regex != nil) && c.owned != nil
	if full || old == nil || !done.assigned.same(old.assigned) {
		r.assigned = done.assigned.partitions()
	}
	if ch.failed {
		r = *refuseBeat(kerr.UnknownServerError, "A record of the group does not fit into a batch.")
	}
	ch.commit(func(time.Time) { m.fx.Reply(t, r) })
}

func (h holding) partitions() *[]partitionID {
	ps := make([]partitionID, len(h))
	for i := range h {
		ps[i] = h[i].partitionID
	}
	return &ps
}

// update returns the member as the heartbeat describes it. A new one, and a static one that is back under another id, begin at epoch 0.
func (c *beatCommand) update(m *machine, old *consumer) *consumer {
	next := &consumer{id: c.member, rebalanceTimeout: -time.Millisecond}
	if c.member == "" {
		next.id = m.newID()
	}
	if old != nil {
		id := next.id
		*next = *old
		if c.replaces(old) {
			next.id, next.epoch, next.previousEpoch = id, 0, 0
		}
	}
	next.client, next.classic = c.client, nil
	if c.instance != nil {
		next.instance = instanceOf(c.instance)
	}
	setIf(&next.rack, c.rack)
	setIf(&next.regex, c.regex)
	setIf(&next.assignor, c.assignor)
	if c.rebalanceMS != -1 {
		next.rebalanceTimeout = time.Duration(c.rebalanceMS) * time.Millisecond
	}
	if c.topics != nil {
		topics := slices.Clone(*c.topics)
		slices.Sort(topics)
		next.topics = slices.Compact(topics)
	}
	return next
}

// replaces reports whether a static member is back, be it under another id or not.
func (c *beatCommand) replaces(old *consumer) bool {
	return old != nil && c.instance != nil && c.epoch == epochJoin
}

// subscribesAnew reports whether a member subscribes to something else than before, when it maybe was not there yet.
func (c *consumer) subscribesAnew(old *consumer) bool {
	if old == nil {
		return len(c.topics) > 0 || c.regex != ""
	}
	return !slices.Equal(old.topics, c.topics) || old.regex != c.regex
}

// assignsAnew reports whether what a member subscribes to is a reason to assign anew. An expression of which nobody knows yet what it matches is none:
// that will be.
func (ch *change) assignsAnew(old, c *consumer) bool {
	if _, ok := ch.g.consumers.regexes[c.regex]; ok || c.regex == "" {
		return c.subscribesAnew(old)
	}
	if old == nil {
		return len(c.topics) > 0
	}
	return !slices.Equal(old.topics, c.topics)
}

func setIf(to *string, s *string) {
	if s != nil {
		*to = *s
	}
}

// replace gives a static member's place to its next incarnation: target and holdings go with it.
func (ch *change) replace(old, next *consumer) {
	target := ch.g.consumers.targets[old.id]
	ch.removeMember(old.id)
	ch.add(consumerRecord(ch.g.id, next))
	ch.add(consumerTargetRecord(ch.g.id, next.id, target))
	ch.add(consumerStateRecord(ch.g.id, next))
}

// removeMember takes a member out of the log, what it holds first: a prefix of these must not leave something held by nobody known.
func (ch *change) removeMember(id string) {
	for _, typ := range []int16{keyConsumerState, keyConsumerTarget, keyConsumer} {
		ch.add(consumerKey{typ, ch.g.id, id}.tombstone())
	}
	ch.g.consumers.cancelTimers(id)
}

// bump raises the group's epoch if the subscriptions or the topics have changed. A new group, of which nothing is known yet, is at epoch 1.
func (ch *change) bump(changed bool) {
	cg, view := ch.g.consumers, ch.view
	if !changed && cg.epoch > 0 && cg.seen == view.Version() {
		return
	}
	hash, epoch := cg.topicsHash(view), max(cg.epoch, 1)
	if changed || hash != cg.hash {
		epoch++
	}
	if epoch != cg.epoch {
		ch.add(consumerGroupRecord(ch.g.id, epoch, hash))
	}
	cg.seen = view.Version()
}

// tooSoon reports whether a target that was computed at a time, 0 for none, keeps the next one waiting for the assignment interval. One from the
// future does not: the clock was set back, or the group came from a node whose clock is ahead.
func tooSoon(now time.Time, atMS int64, interval time.Duration) bool {
	past := now.UnixMilli() - atMS
	return atMS > 0 && past >= 0 && past < interval.Milliseconds()
}

// retarget computes the target of the group's epoch if that is not done yet. Changes that follow one another closely are assigned
// together: the next heartbeat after the interval computes one target for all of them. Somebody who is alone does not wait.
func (ch *change) retarget(now time.Time) {
	cg, view := ch.g.consumers, ch.view
	interval := ch.m.consumerAssign.of(ch.m.config(ch.g.id), "consumer.assignment.interval.ms")
	if cg.epoch <= cg.targetEpoch || len(cg.members) > 1 && tooSoon(now, cg.targetMS, interval) {
		return
	}
	members := cg.sortedMembers()
	in := make([]assign.Member, len(members))
	for i, c := range members {
		in[i] = assign.Member{ID: c.id, Instance: c.instance.name, Current: cg.targets[c.id]}
		for _, name := range cg.topicsOf(c) {
			if id, _, ok := view.ByName(name); ok {
				in[i].Topics = append(in[i].Topics, id)
			}
		}
	}
	name := cg.preferredAssignor(ch.m.assignors[0])
	targets := assign.ByName(name)(in, func(t base.UUID) int32 { return partitionsOf(view, t) })
	for i, c := range members {
		if old, ok := cg.targets[c.id]; !ok || !slices.Equal(old, targets[i]) {
			ch.add(consumerTargetRecord(ch.g.id, c.id, targets[i]))
		}
	}
	ch.add(targetRecord(ch.g.id, cg.epoch, now.UnixMilli()))
	ch.m.fx.Note("group has a new target", "group", ch.g.id, "epoch", cg.epoch, "members", len(members), "assignor", name)
}

// reconcile takes a member towards its target and returns it as it is then.
func (ch *change) reconcile(id string, unsubscribed bool, owned *[]partitionID) *consumer {
	cg := ch.g.consumers
	c := cg.members[id]
	r := reconciler{
		cg: cg, topics: ch.view, targetEpoch: cg.targetEpoch, target: cg.targets[id], ownedKnown: owned != nil, unsubscribed: unsubscribed,
	}
	if owned != nil {
		r.owned = *owned
	}
	if next := r.reconcile(c); !next.samePosition(c) {
		ch.add(consumerStateRecord(ch.g.id, next))
	}
	return cg.members[id]
}
