package group

import (
	"time"

	"sluice/broker/coord"
)

// Leaving a streams group, by the member's own wish or because it does not keep its times; and the timers.

// leaveStreams carries out a heartbeat with epoch -1.
func (m *machine) leaveStreams(t coord.Ticket, c *streamsBeat, g *classic) {
	if c.shutdown && g.streams.shutdownBy == "" {
		g.streams.shutdownBy = c.member
	}
	m.fx.Note("streams member leaves", "group", g.id, "member", c.member)
	ch := &streamsChange{groupChange{m: m, g: g}}
	ch.fence(c.member)
	r := streamsBeatResult{member: c.member, epoch: epochLeave, status: []streamsStatus{}}
	ch.commit(func(time.Time) { m.fx.Reply(t, r) })
}

// fence takes a member out and lets the group's epoch rise. The next heartbeat of whoever is left computes the target.
func (ch *streamsChange) fence(id string) {
	for _, typ := range []int16{keyStreamsState, keyStreamsTarget, keyStreamer} {
		ch.add(streamsKey{typ, ch.g.id, id}.tombstone())
	}
	sg := ch.g.streams
	sg.cancelTimers(id)
	ch.add(streamsGroupRecord(ch.g.id, &streamsGroup{epoch: sg.epoch + 1, hash: sg.hash, validatedEpoch: sg.validatedEpoch, settings: sg.settings}))
}

// setStreamsTimer (re)starts a deadline of a member, after which it is taken out if it is still as may says.
func (m *machine) setStreamsTimer(d *coord.Deadline, at time.Time, g *classic, id, why string, may func(s *streamer) bool) {
	sg := g.streams
	d.Fire = func(time.Time) {
		if s := sg.members[id]; m.groups[g.id] != g || g.streams != sg || g.state == dead || s == nil || !may(s) {
			return
		}
		m.fx.Note("member failed", "group", g.id, "member", id, "why", why)
		ch := &streamsChange{groupChange{m: m, g: g}}
		ch.fence(id)
		ch.commit(nil)
	}
	m.timers.Set(d, at)
}

// keepStreamer begins a member's session anew.
func (m *machine) keepStreamer(now time.Time, g *classic, s *streamer) {
	d := &g.streams.timersOf(s.id).session
	m.setStreamsTimer(d, now.Add(m.streamsTime(g, streamsSessionSetting)), g, s.id, "its session has expired", func(*streamer) bool { return true })
}

// expectStreamer has a member that must give tasks up do so in time.
func (m *machine) expectStreamer(now time.Time, g *classic, s *streamer) {
	d := &g.streams.timersOf(s.id).rebalance
	if s.state != memberUnrevoked {
		d.Cancel()
		return
	}
	epoch := s.epoch
	m.setStreamsTimer(d, now.Add(max(s.rebalanceTimeout, rebalanceTimeoutMin)), g, s.id, "it did not give up its tasks in time", func(s *streamer) bool { return s.epoch == epoch })
}

// delayStreams has the first target of a group that was empty wait for more members.
func (m *machine) delayStreams(now time.Time, g *classic, delay time.Duration) {
	sg := g.streams
	sg.delay.Fire = func(now time.Time) {
		if m.groups[g.id] != g || g.streams != sg || g.state == dead || len(sg.members) == 0 || sg.configured == nil || sg.epoch <= sg.targetEpoch {
			return
		}
		ch := &streamsChange{groupChange{m: m, g: g}}
		m.assignStreams(now, ch, sg.configured)
		ch.commit(nil)
	}
	m.timers.Set(&sg.delay, now.Add(delay))
}

// loadedStreams starts the deadlines of a group that was loaded.
func (m *machine) loadedStreams(now time.Time, g *classic) {
	for _, s := range g.streams.sortedMembers() {
		m.keepStreamer(now, g, s)
		m.expectStreamer(now, g, s)
	}
}
