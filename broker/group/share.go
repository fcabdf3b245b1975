package group

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"sluice/base"
	"sluice/broker/coord"
)

// A share group (KIP-932). Its members read partitions together, so a partition may be assigned to several of them, and nobody has to give
// anything up before another gets it: a member takes over its target with its next heartbeat. What has been read is not kept here but by
// package share; the group knows of which partitions it is kept.
//
// The group epoch counts changes of members, subscriptions, topics, and of the partitions whose state has begun; the target epoch is the
// group epoch that the target was computed for; a member's epoch is the target epoch it was told.
//
// A partition is assigned only when its state has begun (initialized): the first heartbeat that finds one that has not, has the share
// coordinator begin it, says so here, and is then carried out once more. One heartbeat of a group does so at a time, so nothing is begun
// twice. Whoever does it has to learn of it: an answer that this node may not give any more is none, and the command gives the work back
// (shareReturned). As in groups of the consumer protocol records are applied when they are made, and answers wait until they are durable.

// shareMember is a member. Values are not changed once they are in a group.
type shareMember struct {
	id, rack             string
	client               client
	topics               []string // ascending
	epoch, previousEpoch int32
	assigned             []partitionID // ascending
}

// shareTopic is a topic of which state is kept.
type shareTopic struct {
	name       string
	partitions []int32 // ascending
}

type shareGroup struct {
	id          string
	epoch       int32 // begins at 1, as in Kafka: the first member makes it 2
	hash        int64 // of the subscribed topics, as of epoch
	targetEpoch int32
	targetMS    int64 // when the target was computed
	members     map[string]*shareMember
	targets     map[string][]partitionID
	initialized map[base.UUID]shareTopic

	// What follows is volatile.
	sessions  map[string]*coord.Deadline
	lastWrite coord.Token
	beginning any  // the command of whoever has state begun, or forgotten; nil: nobody
	dead      bool // it is being deleted, by whoever that is
}

func newShareGroup(id string) *shareGroup {
	return &shareGroup{
		id: id, epoch: 1, targetEpoch: 1, members: map[string]*shareMember{}, targets: map[string][]partitionID{}, initialized: map[base.UUID]shareTopic{},
		sessions: map[string]*coord.Deadline{},
	}
}

// status is the name of the group's state.
func (g *shareGroup) status() string {
	switch {
	case g.dead:
		return dead.String()
	case len(g.members) == 0:
		return empty.String()
	}
	return stable.String()
}

func (g *shareGroup) sortedMembers() []*shareMember {
	return slices.SortedFunc(maps.Values(g.members), func(a, b *shareMember) int { return cmp.Compare(a.id, b.id) })
}

// subscribed returns the names of all topics that members subscribe to, ascending.
func (g *shareGroup) subscribed() []string {
	var names []string
	for _, mb := range g.members {
		names = append(names, mb.topics...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// topicsHash is a fingerprint of the topics the group subscribes to that exist, and of those partitions of them whose state has begun.
func (g *shareGroup) topicsHash(view Topics) int64 {
	h, any := fnv.New64a(), false
	for _, name := range g.subscribed() {
		if id, n, ok := view.ByName(name); ok {
			any = true
			h.Write(binary.BigEndian.AppendUint32(append(append([]byte(name), 0), id[:]...), uint32(n)))
			h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(g.initialized[id].partitions))))
		}
	}
	if !any {
		return 0
	}
	return int64(h.Sum64())
}

// missing returns the partitions of subscribed topics whose state has not begun, ascending.
func (g *shareGroup) missing(view Topics) (out []partitionID) {
	for _, name := range g.subscribed() {
		id, n, ok := view.ByName(name)
		if !ok {
			continue
		}
		have := g.initialized[id].partitions
		for index := range n {
			if _, ok := slices.BinarySearch(have, index); !ok {
				out = append(out, partitionID{Topic: id, Index: index})
			}
		}
	}
	return out
}

// assign computes the targets of all members. Those who subscribe to a topic share its partitions evenly: each partition has one member, or, where there are
// fewer partitions than members, each member has one partition. As much as possible of what members have stays with them.
func (g *shareGroup) assign(view Topics) map[string][]partitionID {
	targets := map[string][]partitionID{}
	for _, group := range sharingTopics(g.sortedMembers()) {
		var ps []partitionID
		for _, name := range group.topics {
			if id, n, ok := view.ByName(name); ok {
				for _, index := range g.initialized[id].partitions {
					if index < n {
						ps = append(ps, partitionID{Topic: id, Index: index})
					}
				}
			}
		}
		for id, more := range g.spread(ps, group.members) {
			targets[id] = append(targets[id], more...)
		}
	}
	for id := range targets {
		slices.SortFunc(targets[id], partitionID.Compare)
	}
	return targets
}

// spread shares partitions among members.
func (g *shareGroup) spread(ps []partitionID, members []*shareMember) map[string][]partitionID {
	targets := map[string][]partitionID{}
	if len(ps) == 0 {
		return targets
	}
	ids := make([]string, len(members))
	had := map[partitionID][]string{}
	for i, mb := range members {
		ids[i] = mb.id
		for _, p := range g.targets[mb.id] {
			had[p] = append(had[p], mb.id)
		}
	}
	if len(ps) >= len(ids) {
		for i, id := range evenly(ps, ids, func(p partitionID) []string { return had[p] }) {
			targets[id] = append(targets[id], ps[i])
		}
		return targets
	}
	for i, p := range evenly(ids, ps, func(id string) []partitionID { return g.targets[id] }) {
		targets[ids[i]] = []partitionID{p}
	}
	return targets
}

// evenly gives each item, of which there are no fewer than bins, to a bin, so that no bin has two more than another. Items stay where they were, as far as
// that allows.
func evenly[I any, B comparable](items []I, bins []B, was func(I) []B) []B {
	least, more := len(items)/len(bins), len(items)%len(bins)
	count := map[B]int{}
	for _, b := range bins {
		count[b] = 0
	}
	out, given := make([]B, len(items)), make([]bool, len(items))
	for i, item := range items {
		for _, b := range was(item) {
			n, ok := count[b]
			if !ok || n > least || n == least && more == 0 {
				continue
			}
			if n == least {
				more--
			}
			out[i], given[i] = b, true
			count[b]++
			break
		}
	}
	for i := range items {
		if given[i] {
			continue
		}
		b := slices.MinFunc(bins, func(x, y B) int { return cmp.Compare(count[x], count[y]) })
		out[i] = b
		count[b]++
	}
	return out
}

// sharing are topics that the same members subscribe to.
type sharing struct {
	topics  []string
	members []*shareMember
}

// sharingTopics groups topics by who subscribes to them.
func sharingTopics(members []*shareMember) (out []sharing) {
	who := map[string][]*shareMember{}
	for _, mb := range members {
		for _, name := range mb.topics {
			who[name] = append(who[name], mb)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(who)) {
		i := slices.IndexFunc(out, func(s sharing) bool { return slices.Equal(s.members, who[name]) })
		if i < 0 {
			i, out = len(out), append(out, sharing{members: who[name]})
		}
		out[i].topics = append(out[i].topics, name)
	}
	return out
}

// shareRules are the settings of share groups.
type shareRules struct {
	sharesMax int // members of one group
	// shareMS returns a setting of a group that is a time.
	shareMS func(group, name string) int64
}

const (
	shareSessionSetting  = "share.session.timeout.ms"
	shareIntervalSetting = "share.heartbeat.interval.ms"
	shareAssignSetting   = "share.assignment.interval.ms"
	// shareBeginMS is the heartbeat interval a member is told while state of its partitions is being begun.
	shareBeginMS = 500
)

// shareChange collects the records of a command to a share group and applies them one by one as they are made.
type shareChange struct {
	m       *machine
	g       *shareGroup
	view    Topics
	records []coord.Record
	failed  bool // a record does not fit into a batch: it and what would follow is left out
}

func (m *machine) changeShare(g *shareGroup) *shareChange {
	return &shareChange{m: m, g: g, view: m.topics()}
}

func (ch *shareChange) add(r coord.Record) {
	if ch.failed || !ch.m.fits(r) {
		ch.failed = true
		return
	}
	k, err := decodeKey(r.Key)
	if err == nil {
		err = ch.m.applyShare(k.(shareKey), r.Value)
	}
	if err != nil {
		panic("BUG: own record of a share group: " + err.Error())
	}
	ch.records = append(ch.records, r)
}

// commit appends the records; then runs once all records of the group so far are durable.
func (ch *shareChange) commit(then func(now time.Time)) {
	if len(ch.records) > 0 {
		ch.m.write(ch.records, nil, nil)
		ch.g.lastWrite = ch.m.writes[len(ch.m.writes)-1].token
	}
	if then != nil {
		ch.m.afterShare(ch.g, then)
	}
}

// afterShare calls then once the appends of the group's records that are under way now have been replayed.
func (m *machine) afterShare(g *shareGroup, then func(now time.Time)) {
	if len(m.writes) == 0 || g.lastWrite < m.writes[0].token {
		then(time.Time{})
		return
	}
	w := &m.writes[g.lastWrite-m.writes[0].token]
	w.then = append(w.then, then)
}

// bump raises the group epoch, if the topics have changed or because must says so, and computes a target if there is none of that epoch and
// the last one is old enough. Somebody who is alone does not wait, as in a group of the consumer protocol. What comes of topics while a target
// is awaited will be in it: that is no epoch of its own.
func (ch *shareChange) bump(now time.Time, must bool) {
	g := ch.g
	if hash := g.topicsHash(ch.view); must || hash != g.hash {
		epoch := g.epoch
		if must || g.targetEpoch >= epoch {
			epoch++
		}
		ch.add(shareGroupRecord(g.id, epoch, hash))
	}
	interval := time.Duration(ch.m.shareMS(g.id, shareAssignSetting)) * time.Millisecond
	if g.targetEpoch >= g.epoch || len(g.members) > 1 && tooSoon(now, g.targetMS, interval) {
		return
	}
	targets := g.assign(ch.view)
	for _, mb := range g.sortedMembers() {
		if !slices.Equal(g.targets[mb.id], targets[mb.id]) {
			ch.add(shareTargetRecord(g.id, mb.id, targets[mb.id]))
		}
	}
	ch.add(shareTargetEpochRecord(g.id, g.epoch, now.UnixMilli()))
}

// remove takes a member out.
func (ch *shareChange) remove(now time.Time, id string) {
	g := ch.g
	if d := g.sessions[id]; d != nil {
		d.Cancel()
		delete(g.sessions, id)
	}
	for _, typ := range []int16{keyShareState, keyShareTarget, keyShareMember} {
		ch.add(shareKey{typ, g.id, id}.tombstone())
	}
	ch.bump(now, true)
}

// keepSession begins a member's session anew.
func (m *machine) keepSession(now time.Time, g *shareGroup, id string) {
	d := g.sessions[id]
	if d == nil {
		d = &coord.Deadline{}
		d.Fire = func(now time.Time) {
			if m.shares[g.id] != g || g.dead || g.members[id] == nil {
				return
			}
			m.fx.Note("member failed", "group", g.id, "member", id, "why", "its session has expired")
			ch := m.changeShare(g)
			ch.remove(now, id)
			ch.commit(nil)
		}
		g.sessions[id] = d
	}
	m.timers.Set(d, now.Add(time.Duration(m.shareMS(g.id, shareSessionSetting))*time.Millisecond))
}

// loadedShares starts the sessions of what was loaded.
func (m *machine) loadedShares(now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(m.shares)) {
		for _, mb := range m.shares[id].sortedMembers() {
			m.keepSession(now, m.shares[id], mb.id)
		}
	}
}
