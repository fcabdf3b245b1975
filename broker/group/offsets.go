package group

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf16"

	"sluice/base"
	"sluice/base/seeded"
	"sluice/broker/coord"
	"sluice/wire/kerr"
)

// committed is an offset a group has committed for a partition.
type committed struct {
	offset   int64
	epoch    int32 // of the last consumed record; -1: not known
	metadata string
	commitMS int64
	expireMS int64 // -1: by the broker's retention
	topicID  base.UUID
	at       base.Offset // of the record
}

// otherTopic reports whether an offset was committed for a topic of the same name that is not the one meant.
func (c committed) otherTopic(id base.UUID) bool {
	return !c.topicID.IsZero() && !id.IsZero() && c.topicID != id
}

func (g *classic) sortedOffsets() []partitionKey {
	keys := make([]partitionKey, 0, len(g.offsets))
	for k := range g.offsets {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b partitionKey) int {
		if a.less(b) {
			return -1
		}
		return 1
	})
	return keys
}

// withPending are the partitions of which an offset is committed or pending, ascending.
func (m *machine) withPending(g *classic) []partitionKey {
	keys := g.sortedOffsets()
	for _, k := range m.pending.keys(g.id) {
		if _, ok := g.offsets[k]; !ok {
			keys = append(keys, k)
		}
	}
	return keys
}

func (m *machine) replayOffset(k offsetKey, r coord.Record) error {
	g := m.groups[k.group]
	if r.Value == nil {
		m.pending.forget(k.group, k.partition)
		if g != nil {
			delete(g.offsets, k.partition)
			m.dropIfVoid(g)
		}
		return nil
	}
	v, err := decodeOffsetValue(r.Value)
	if err != nil {
		return fmt.Errorf("offset of group %q, partition %s-%d: %w", k.group, k.partition.topic, k.partition.index, err)
	}
	if g == nil { // offsets are all there is of it: a simple group
		g = newClassic(k.group)
		g.since = v.commitMS
		m.adopt(g)
	}
	if v.at = r.Offset; r.ProducerID >= 0 {
		m.pending.put(r.ProducerID, k.group, k.partition, v)
		return nil
	}
	if _, known := g.offsets[k.partition]; known && !m.loaded && seeded.Bug(seeded.OffsetsLost) {
		return nil
	}
	g.offsets[k.partition] = v
	return nil
}

// commit makes offsets durable. Commits to one group may be under way in any number: each carries its whole outcome, and they
// replay in the order of their appends.
func (m *machine) commit(now time.Time, t coord.Ticket, c *commitCommand) {
	may := m.mayCommit
	if c.producer != nil {
		may = m.mayCommitTxn
	}
	g, code := may(now, c)
	if code != kerr.None {
		m.fx.Reply(t, commitResult{repeat(code, len(c.offsets))})
		return
	}
	defer m.dropIfVoid(g)
	if mb := g.byID[c.identity.member]; mb != nil && c.producer == nil && (g.state == stable || g.state == preparing) {
		m.extendSession(now, mb)
	}
	codes := make([]kerr.Code, len(c.offsets))
	var records []coord.Record
	for i, o := range c.offsets {
		switch {
		case o.code != kerr.None:
			codes[i] = o.code
		case utf16Len(o.metadata) > m.metadataBytesMax:
			codes[i] = kerr.OffsetMetadataTooLarge
		default:
			v := committed{offset: o.offset, epoch: o.epoch, metadata: o.metadata, commitMS: now.UnixMilli(), expireMS: -1, topicID: o.topicID}
			if c.retentionMS >= 0 {
				v.expireMS = v.commitMS + c.retentionMS
			}
			records = append(records, offsetRecord(g.id, o.partition, v))
		}
	}
	if len(records) == 0 {
		m.fx.Reply(t, commitResult{codes})
		return
	}
	done := func(time.Time) { m.fx.Reply(t, commitResult{codes}) }
	if c.producer == nil {
		m.write(records, g, done)
		return
	}
	m.writeFor(*c.producer, records, g, done, func(code kerr.Code) {
		m.fx.Reply(t, commitResult{repeat(code, len(c.offsets))})
	})
}

// mayCommit finds the group, made if need be, and checks that the committer may commit to it.
func (m *machine) mayCommit(now time.Time, c *commitCommand) (*classic, kerr.Code) {
	g := m.find(c.group)
	switch {
	case g == nil && c.generation < 0:
		return m.findOrCreate(now, c.group), kerr.None
	case g == nil:
		return nil, c.missing
	case g.state == dead:
		return nil, kerr.CoordinatorNotAvailable
	case g.consumers != nil:
		return g, g.consumers.mayCommitTo(c)
	case g.streams != nil:
		return g, g.streams.mayCommitTo(c)
	case c.generation < 0 && g.state == empty:
		return g, kerr.None // an administrator, or a consumer that assigns itself
	case c.generation < 0 && c.identity == identity{}:
		return nil, kerr.UnknownMemberID // the same, but the group has members
	}
	if code := g.validate(c.identity); code != kerr.None {
		return nil, code
	}
	switch {
	case c.generation != g.generation && !seeded.Bug(seeded.GenerationUnchecked):
		return nil, kerr.IllegalGeneration
	case g.state == completing:
		return nil, kerr.RebalanceInProgress
	}
	return g, kerr.None
}

func repeat(code kerr.Code, n int) []kerr.Code {
	codes := make([]kerr.Code, n)
	for i := range codes {
		codes[i] = code
	}
	return codes
}

// utf16Len is the length Kafka counts for a string.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}

// fetch reads committed offsets. If they must be stable, commits to the group that are under way come first.
func (m *machine) fetch(t coord.Ticket, c *fetchCommand) {
	read := func(time.Time) { m.fx.Reply(t, m.fetched(c)) }
	g := m.find(c.group)
	if g != nil && g.consumers != nil {
		if code := g.consumers.mayFetchFrom(c.member, c.epoch); code != kerr.None {
			m.fx.Reply(t, fetchResult{code: code})
			return
		}
	}
	if g != nil && g.streams != nil {
		if code := g.streams.mayFetchFrom(c.member, c.epoch); code != kerr.None {
			m.fx.Reply(t, fetchResult{code: code})
			return
		}
	}
	if g != nil && c.requireStable {
		m.afterWrites(g, read)
		return
	}
	read(time.Time{})
}

func (m *machine) fetched(c *fetchCommand) fetchResult {
	g := m.find(c.group)
	if g == nil {
		g = &classic{}
	}
	var r fetchResult
	unstable := func(k partitionKey) bool { return c.requireStable && m.pending.has(c.group, k) }
	if c.all {
		for _, k := range g.sortedOffsets() {
			if unstable(k) {
				r.offsets = append(r.offsets, unstableOffset(k))
				continue
			}
			r.offsets = append(r.offsets, fetchedOne(k, g.offsets[k]))
		}
		return r
	}
	r.offsets = make([]fetchedOffset, 0, len(c.partitions))
	for _, p := range c.partitions {
		if unstable(p.partition) {
			r.offsets = append(r.offsets, unstableOffset(p.partition))
			continue
		}
		v, ok := g.offsets[p.partition]
		if !ok || v.otherTopic(p.topicID) {
			v = committed{offset: -1, epoch: -1}
		}
		r.offsets = append(r.offsets, fetchedOne(p.partition, v))
	}
	return r
}

func fetchedOne(k partitionKey, v committed) fetchedOffset {
	return fetchedOffset{partition: k, topicID: v.topicID, offset: v.offset, epoch: v.epoch, metadata: v.metadata}
}

func unstableOffset(k partitionKey) fetchedOffset {
	return fetchedOffset{partition: k, offset: -1, epoch: -1, code: kerr.UnstableOffsetCommit}
}

// deleteOffsets forgets offsets of partitions that no member subscribes to.
func (m *machine) deleteOffsets(t coord.Ticket, c *deleteOffsetsCommand) {
	g := m.find(c.group)
	switch {
	case g == nil || g.state == dead:
		m.fx.Reply(t, deleteOffsetsResult{code: kerr.GroupIDNotFound})
		return
	case g.state != empty && g.protocolType != consumerProtocolType:
		m.fx.Reply(t, deleteOffsetsResult{code: kerr.NonEmptyGroup})
		return
	}
	codes := make([]kerr.Code, len(c.partitions))
	var records []coord.Record
	for i, k := range c.partitions {
		if g.subscribes(k.topic) {
			codes[i] = kerr.GroupSubscribedToTopic
		} else if _, ok := g.offsets[k]; ok || m.pending.has(g.id, k) {
			records = append(records, offsetTombstone(g.id, k))
		}
	}
	reply := func(time.Time) { m.fx.Reply(t, deleteOffsetsResult{codes: codes}) }
	if len(records) == 0 {
		reply(time.Time{})
		return
	}
	m.write(records, g, reply)
}

// topicDeleted forgets what groups have committed for a topic that is gone.
func (m *machine) topicDeleted(t coord.Ticket, c *topicDeletedCommand) {
	var records []coord.Record
	for _, g := range m.sorted() {
		for _, k := range m.withPending(g) {
			if k.topic == c.name && !g.offsets[k].otherTopic(c.id) {
				records = append(records, offsetTombstone(g.id, k))
			}
		}
	}
	reply := func(time.Time) { m.fx.Reply(t, codeResult{kerr.None}) }
	if len(records) == 0 {
		reply(time.Time{})
		return
	}
	m.write(records, nil, reply)
}

// expireOffsets removes offsets whose retention has passed, and empty groups that have none left.
func (m *machine) expireOffsets(now time.Time) {
	m.timers.Set(&m.expiry, now.Add(m.offsetsCheckInterval))
	for _, g := range m.sorted() {
		if g.state == dead || m.writing(g) {
			continue // its turn comes again
		}
		var expired []coord.Record
		for _, k := range g.sortedOffsets() {
			if m.expired(now, g, k) {
				expired = append(expired, offsetTombstone(g.id, k))
			}
		}
		switch {
		case len(expired) == len(g.offsets) && g.state == empty && len(g.pendingJoin) == 0 && !m.pending.isOpen(g.id):
			m.fx.Note("group expires", "group", g.id, "offsets", len(expired))
			g.transition(now, dead)
			m.bury(g, nil)
		case len(expired) > 0:
			m.fx.Note("offsets expire", "group", g.id, "offsets", len(expired))
			m.write(expired, g, nil)
		}
	}
}

// expired: the retention counts from when the group became empty; of a simple group, and of a stable group of consumers that does not
// subscribe to the topic, from the commit. Offsets of any other group are in use.
func (m *machine) expired(now time.Time, g *classic, k partitionKey) bool {
	v := g.offsets[k]
	since := v.commitMS
	switch {
	case m.pending.has(g.id, k):
		return false
	case g.subscribes(k.topic):
		return false
	case g.protocolType == "":
	case g.state == empty:
		if g.since >= 0 {
			since = g.since
		}
	case g.state == stable && g.protocolType == consumerProtocolType && g.topicsSeen:
	default:
		return false
	}
	if v.expireMS >= 0 {
		return now.UnixMilli() >= v.expireMS
	}
	return now.UnixMilli()-since >= m.offsetsRetention.Milliseconds()
}
