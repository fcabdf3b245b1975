package group

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/wire/kbin"
)

// The records of share groups, in the formats of Kafka 4.3. All values have version 0, which is flexible.

const (
	keyShareMember      int16 = 10 // ShareGroupMemberMetadata
	keyShareGroup       int16 = 11 // ShareGroupMetadata
	keyShareTargetEpoch int16 = 12 // ShareGroupTargetAssignmentMetadata
	keyShareTarget      int16 = 13 // ShareGroupTargetAssignmentMember
	keyShareState       int16 = 14 // ShareGroupCurrentMemberAssignment
	keyShareTopics      int16 = 15 // ShareGroupStatePartitionMetadata
)

// shareKey is a key of one of these types. member is empty where the type has none.
type shareKey struct {
	typ           int16
	group, member string
}

func (k shareKey) named() bool {
	return k.typ == keyShareMember || k.typ == keyShareTarget || k.typ == keyShareState
}

func (k shareKey) encode() []byte {
	b := kbin.AppendString(kbin.AppendInt16(nil, k.typ), false, k.group)
	if k.named() {
		b = kbin.AppendString(b, false, k.member)
	}
	return b
}

func (k shareKey) tombstone() coord.Record { return coord.Record{Key: k.encode()} }

// decodeShareKey reads a key behind its type.
func decodeShareKey(typ int16, r *kbin.Reader) shareKey {
	k := shareKey{typ: typ, group: r.String(false)}
	if k.named() {
		k.member = r.String(false)
	}
	return k
}

func shareMemberRecord(group string, mb *shareMember) coord.Record {
	b := appendFlexNullable(version0(), mb.rack)
	b = kbin.AppendString(kbin.AppendString(b, true, mb.client.id), true, mb.client.host)
	b = kbin.AppendArrayLen(b, true, len(mb.topics))
	for _, t := range mb.topics {
		b = kbin.AppendString(b, true, t)
	}
	return coord.Record{Key: shareKey{keyShareMember, group, mb.id}.encode(), Value: append(b, 0)}
}

// decodeShareMember sets what the record says in a copy of the member.
func decodeShareMember(mb shareMember, value []byte) (*shareMember, error) {
	r := kbin.NewReader(value)
	r.Int16()
	f := fields{&r, true}
	mb.rack, mb.client, mb.topics = f.str(), client{f.str(), f.str()}, nil
	for n := f.arrayLen(1); n > 0 && r.Err() == nil; n-- {
		mb.topics = append(mb.topics, f.str())
	}
	f.tags()
	slices.Sort(mb.topics)
	mb.topics = slices.Compact(mb.topics)
	return &mb, r.Err()
}

func shareGroupRecord(group string, epoch int32, hash int64) coord.Record {
	b := kbin.AppendInt64(kbin.AppendInt32(version0(), epoch), hash)
	return coord.Record{Key: shareKey{typ: keyShareGroup, group: group}.encode(), Value: append(b, 0)}
}

func shareTargetEpochRecord(group string, epoch int32, atMS int64) coord.Record {
	b := tagged(kbin.AppendInt32(version0(), epoch), kbin.AppendInt64(nil, atMS))
	return coord.Record{Key: shareKey{typ: keyShareTargetEpoch, group: group}.encode(), Value: b}
}

func shareTargetRecord(group, member string, target []partitionID) coord.Record {
	b := appendTopicPartitions(version0(), target)
	return coord.Record{Key: shareKey{keyShareTarget, group, member}.encode(), Value: append(b, 0)}
}

func shareStateRecord(group string, mb *shareMember) coord.Record {
	b := kbin.AppendInt32(kbin.AppendInt32(version0(), mb.epoch), mb.previousEpoch)
	b = kbin.AppendInt8(b, int8(memberStable))
	b = appendTopicPartitions(b, mb.assigned)
	return coord.Record{Key: shareKey{keyShareState, group, mb.id}.encode(), Value: append(b, 0)}
}

// decodeShareState sets what the record says in a copy of the member.
func decodeShareState(mb shareMember, value []byte) (*shareMember, error) {
	r := kbin.NewReader(value)
	r.Int16()
	mb.epoch, mb.previousEpoch = r.Int32(), r.Int32()
	r.Int8()
	mb.assigned = readTopicPartitions(&r)
	r.Tags(nil)
	return &mb, r.Err()
}

// appendTopicPartitions appends partitions, which are ascending, as a list of topics.
func appendTopicPartitions(b []byte, ps []partitionID) []byte {
	same := func(p partitionID) partitionID { return p }
	runs := byTopic(ps, same)
	b = kbin.AppendArrayLen(b, true, len(runs))
	for _, run := range runs {
		b = append(appendPartitions(b, run, same), 0)
	}
	return b
}

func readTopicPartitions(r *kbin.Reader) (ps []partitionID) {
	for n := r.ArrayLen(true, 18); n > 0 && r.Err() == nil; n-- {
		ps = append(ps, readPartitions(r)...)
		r.Tags(nil)
	}
	slices.SortFunc(ps, partitionID.Compare)
	return slices.Compact(ps)
}

// shareTopicsRecord says of which partitions state is kept. The lists of topics whose state is being begun or deleted stay empty: a
// coordinator that takes over begins and deletes anew.
func shareTopicsRecord(group string, topics map[base.UUID]shareTopic) coord.Record {
	b := kbin.AppendArrayLen(version0(), true, 0)
	b = kbin.AppendArrayLen(b, true, len(topics))
	ids := slices.SortedFunc(maps.Keys(topics), func(a, b base.UUID) int { return cmp.Compare(a.Hex(), b.Hex()) })
	for _, id := range ids {
		t := topics[id]
		b = kbin.AppendString(kbin.AppendUUID(b, id), true, t.name)
		b = kbin.AppendArrayLen(b, true, len(t.partitions))
		for _, p := range t.partitions {
			b = kbin.AppendInt32(b, p)
		}
		b = append(b, 0)
	}
	b = kbin.AppendArrayLen(b, true, 0)
	return coord.Record{Key: shareKey{typ: keyShareTopics, group: group}.encode(), Value: append(b, 0)}
}

func decodeShareTopics(value []byte) (map[base.UUID]shareTopic, error) {
	r := kbin.NewReader(value)
	r.Int16()
	topics := map[base.UUID]shareTopic{}
	readInfos := func(keep bool) {
		for n := r.ArrayLen(true, 19); n > 0 && r.Err() == nil; n-- {
			id, t := r.UUID(), shareTopic{name: r.String(true)}
			for n := r.ArrayLen(true, 4); n > 0 && r.Err() == nil; n-- {
				t.partitions = append(t.partitions, r.Int32())
			}
			r.Tags(nil)
			slices.Sort(t.partitions)
			t.partitions = slices.Compact(t.partitions)
			if keep {
				topics[id] = t
			}
		}
	}
	readInfos(false) // initializing
	readInfos(true)
	for n := r.ArrayLen(true, 18); n > 0 && r.Err() == nil; n-- { // deleting
		r.UUID()
		r.String(true)
		r.Tags(nil)
	}
	r.Tags(nil)
	return topics, r.Err()
}

// applyShare applies a record of a share group. It is called once for each: when the log is loaded, or, for the machine's own records, when
// they are made. The order of tombstones does not matter, nor whether compaction has left out what a later record voids.
func (m *machine) applyShare(k shareKey, value []byte) (err error) {
	g := m.shares[k.group]
	if g == nil {
		if value == nil {
			return nil
		}
		g = newShareGroup(k.group)
		m.shares[k.group] = g
	}
	if value == nil {
		m.buryShare(g, k)
		return nil
	}
	mb := shareMember{id: k.member}
	if old := g.members[k.member]; old != nil {
		mb = *old
	}
	next := &mb
	switch k.typ {
	case keyShareGroup:
		r := kbin.NewReader(value)
		r.Int16()
		g.epoch, g.hash, err = r.Int32(), r.Int64(), r.Err()
	case keyShareTargetEpoch:
		g.targetEpoch, g.targetMS, err = decodeTarget(value)
	case keyShareTarget:
		g.targets[k.member], err = decodeShareTarget(value)
	case keyShareTopics:
		g.initialized, err = decodeShareTopics(value)
	case keyShareMember:
		if next, err = decodeShareMember(mb, value); err == nil {
			g.members[k.member] = next
		}
	case keyShareState:
		if next, err = decodeShareState(mb, value); err == nil {
			g.members[k.member] = next
		}
	}
	if err != nil {
		return fmt.Errorf("record %d of share group %q: %w", k.typ, k.group, err)
	}
	return nil
}

func decodeShareTarget(value []byte) ([]partitionID, error) {
	r := kbin.NewReader(value)
	r.Int16()
	target := readTopicPartitions(&r)
	r.Tags(nil)
	return target, r.Err()
}

// buryShare applies a tombstone. That of the group itself ends it.
func (m *machine) buryShare(g *shareGroup, k shareKey) {
	switch k.typ {
	case keyShareGroup:
		if m.shares[g.id] == g {
			delete(m.shares, g.id)
		}
	case keyShareTarget:
		delete(g.targets, k.member)
	case keyShareTopics:
		g.initialized = map[base.UUID]shareTopic{}
	case keyShareMember:
		delete(g.members, k.member)
	case keyShareState:
		if mb := g.members[k.member]; mb != nil {
			bare := *mb
			bare.epoch, bare.previousEpoch, bare.assigned = 0, 0, nil
			g.members[k.member] = &bare
		}
	}
}

// replayShare is the replay of a record of a share group. The machine's own have been applied when they were made.
func (m *machine) replayShare(k shareKey, r coord.Record) error {
	if m.loaded {
		return nil
	}
	return m.applyShare(k, r.Value)
}

// shareTombstones void all records of a group without members.
func shareTombstones(group string) []coord.Record {
	return []coord.Record{
		shareKey{typ: keyShareTargetEpoch, group: group}.tombstone(), shareKey{typ: keyShareTopics, group: group}.tombstone(),
		shareKey{typ: keyShareGroup, group: group}.tombstone(),
	}
}
