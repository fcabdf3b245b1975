package group

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"sluice/broker/coord"
	"sluice/broker/group/task"
	"sluice/wire/kbin"
)

// The records of streams groups, in the formats of Kafka 4.3. All values have version 0, which is flexible. Type 18 is one of before 4.1 and skipped.

const (
	keyStreamsGroup       int16 = 17 // StreamsGroupMetadata
	keyStreamer           int16 = 19 // StreamsGroupMemberMetadata
	keyStreamsTargetEpoch int16 = 20 // StreamsGroupTargetAssignmentMetadata
	keyStreamsTarget      int16 = 21 // StreamsGroupTargetAssignmentMember
	keyStreamsState       int16 = 22 // StreamsGroupCurrentMemberAssignment
	keyStreamsTopology    int16 = 23 // StreamsGroupTopology
)

// streamsKey is a key of one of these types. member is empty where the type has none.
type streamsKey struct {
	typ           int16
	group, member string
}

func (k streamsKey) named() bool {
	return k.typ == keyStreamer || k.typ == keyStreamsTarget || k.typ == keyStreamsState
}

func (k streamsKey) encode() []byte {
	b := kbin.AppendString(kbin.AppendInt16(nil, k.typ), false, k.group)
	if k.named() {
		b = kbin.AppendString(b, false, k.member)
	}
	return b
}

func (k streamsKey) tombstone() coord.Record { return coord.Record{Key: k.encode()} }

// decodeStreamsKey reads a key behind its type.
func decodeStreamsKey(typ int16, r *kbin.Reader) streamsKey {
	k := streamsKey{typ: typ, group: r.String(false)}
	if k.named() {
		k.member = r.String(false)
	}
	return k
}

// Tags of the group's record.
const (
	tagValidatedEpoch uint32 = 0
	tagSettings       uint32 = 1
)

func streamsGroupRecord(group string, sg *streamsGroup) coord.Record {
	b := kbin.AppendInt64(kbin.AppendInt32(version0(), sg.epoch), sg.hash)
	var fields [2][]byte
	if sg.validatedEpoch != -1 {
		fields[tagValidatedEpoch] = kbin.AppendInt32(nil, sg.validatedEpoch)
	}
	if len(sg.settings) > 0 {
		fields[tagSettings] = kbin.AppendArrayLen(nil, true, len(sg.settings))
		for _, key := range slices.Sorted(maps.Keys(sg.settings)) {
			fields[tagSettings] = appendSetting(fields[tagSettings], setting{key, sg.settings[key]})
		}
	}
	n := uint32(0)
	for _, f := range fields {
		if f != nil {
			n++
		}
	}
	b = kbin.AppendUvarint(b, n)
	for tag, f := range fields {
		if f != nil {
			b = append(kbin.AppendUvarint(kbin.AppendUvarint(b, uint32(tag)), uint32(len(f))), f...)
		}
	}
	return coord.Record{Key: streamsKey{typ: keyStreamsGroup, group: group}.encode(), Value: b}
}

// decodeStreamsGroup sets what the record says.
func (sg *streamsGroup) decodeStreamsGroup(value []byte) error {
	r := kbin.NewReader(value)
	r.Int16()
	sg.epoch, sg.hash, sg.validatedEpoch, sg.settings = r.Int32(), r.Int64(), -1, nil
	r.Tags(func(tag uint32, r *kbin.Reader) bool {
		switch tag {
		case tagValidatedEpoch:
			sg.validatedEpoch = r.Int32()
		case tagSettings:
			n := r.NullableArrayLen(true, 3)
			if n >= 0 {
				sg.settings = map[string]string{}
			}
			for range max(n, 0) {
				s := readSetting(r)
				sg.settings[s.key] = s.value
			}
		default:
			return false
		}
		return true
	})
	return r.Err()
}

func appendSetting(b []byte, s setting) []byte {
	return append(kbin.AppendString(kbin.AppendString(b, true, s.key), true, s.value), 0)
}

func readSetting(r *kbin.Reader) setting {
	s := setting{r.String(true), r.String(true)}
	r.Tags(nil)
	return s
}

func appendSettings(b []byte, all []setting) []byte {
	b = kbin.AppendArrayLen(b, true, len(all))
	for _, s := range all {
		b = appendSetting(b, s)
	}
	return b
}

func readSettings(r *kbin.Reader) (all []setting) {
	for n := r.ArrayLen(true, 3); n > 0 && r.Err() == nil; n-- {
		all = append(all, readSetting(r))
	}
	return all
}

func streamerRecord(group string, s *streamer) coord.Record {
	b := appendFlexNullable(version0(), s.instance)
	b = appendFlexNullable(b, s.rack)
	b = kbin.AppendString(kbin.AppendString(b, true, s.client.id), true, s.client.host)
	b = kbin.AppendInt32(b, int32(s.rebalanceTimeout.Milliseconds()))
	b = kbin.AppendInt32(b, s.topologyEpoch)
	b = kbin.AppendString(b, true, s.process)
	if s.endpoint.host == "" {
		b = kbin.AppendInt8(b, -1) // a struct that is null
	} else {
		b = kbin.AppendString(kbin.AppendInt8(b, 1), true, s.endpoint.host)
		b = append(kbin.AppendUint16(b, s.endpoint.port), 0)
	}
	b = appendSettings(b, s.tags)
	return coord.Record{Key: streamsKey{keyStreamer, group, s.id}.encode(), Value: append(b, 0)}
}

// decodeStreamer sets what the record says in a copy of the member.
func decodeStreamer(s streamer, value []byte) (*streamer, error) {
	r := kbin.NewReader(value)
	r.Int16()
	f := fields{&r, true}
	s.instance, s.rack, s.client = f.str(), f.str(), client{f.str(), f.str()}
	s.rebalanceTimeout = time.Duration(r.Int32()) * time.Millisecond
	s.topologyEpoch, s.process, s.endpoint = r.Int32(), f.str(), endpoint{}
	if r.Int8() >= 0 {
		s.endpoint = endpoint{f.str(), r.Uint16()}
		r.Tags(nil)
	}
	s.tags = readSettings(&r)
	r.Tags(nil)
	return &s, r.Err()
}

func streamsTargetEpochRecord(group string, epoch int32, atMS int64) coord.Record {
	r := targetRecord(group, epoch, atMS) // the same shape
	r.Key = streamsKey{typ: keyStreamsTargetEpoch, group: group}.encode()
	return r
}

func streamsTargetRecord(group, member string, target taskSets) coord.Record {
	b := version0()
	for role := range target {
		runs := bySubtopology(target[role], func(id task.ID) task.ID { return id })
		b = kbin.AppendArrayLen(b, true, len(runs))
		for _, run := range runs {
			b = append(appendTasks(b, run, func(id task.ID) task.ID { return id }), 0)
		}
	}
	return coord.Record{Key: streamsKey{keyStreamsTarget, group, member}.encode(), Value: append(b, 0)}
}

func decodeStreamsTarget(value []byte) (target taskSets, err error) {
	r := kbin.NewReader(value)
	r.Int16()
	for role := range target {
		for n := r.ArrayLen(true, 3); n > 0 && r.Err() == nil; n-- {
			target[role] = append(target[role], readTasks(&r)...)
			r.Tags(nil)
		}
		slices.SortFunc(target[role], task.ID.Compare)
		target[role] = slices.Compact(target[role])
	}
	r.Tags(nil)
	return target, r.Err()
}

func streamsStateRecord(group string, s *streamer) coord.Record {
	b := kbin.AppendInt32(kbin.AppendInt32(version0(), s.epoch), s.previousEpoch)
	b = kbin.AppendInt8(b, int8(s.state))
	for _, h := range []heldTasks{s.assigned, s.revoking} {
		for role := range h {
			b = appendHeldTasks(b, h[role], role == roleActive)
		}
	}
	return coord.Record{Key: streamsKey{keyStreamsState, group, s.id}.encode(), Value: append(b, 0)}
}

func appendHeldTasks(b []byte, all []heldTask, epochs bool) []byte {
	runs := bySubtopology(all, func(h heldTask) task.ID { return h.ID })
	b = kbin.AppendArrayLen(b, true, len(runs))
	for _, run := range runs {
		b = appendTasks(b, run, func(h heldTask) task.ID { return h.ID })
		var tag []byte
		if epochs {
			tag = kbin.AppendArrayLen(nil, true, len(run))
			for _, h := range run {
				tag = kbin.AppendInt32(tag, h.since)
			}
		}
		b = tagged(b, tag)
	}
	return b
}

// decodeStreamsState sets what the record says in a copy of the member.
func decodeStreamsState(s streamer, value []byte) (*streamer, error) {
	r := kbin.NewReader(value)
	r.Int16()
	s.epoch, s.previousEpoch, s.state = r.Int32(), r.Int32(), memberState(r.Int8())
	for _, h := range []*heldTasks{&s.assigned, &s.revoking} {
		for role := range h {
			h[role] = readHeldTasks(&r, role == roleActive, s.epoch)
		}
	}
	r.Tags(nil)
	if r.Err() == nil && (s.state < memberStable || s.state > memberUnreleased) {
		return nil, fmt.Errorf("no such member state: %d", s.state)
	}
	return &s, r.Err()
}

// readHeldTasks reads tasks. Where the record does not say since when an active one is held, the member's epoch is the safe answer.
func readHeldTasks(r *kbin.Reader, epochs bool, epoch int32) (all []heldTask) {
	for n := r.ArrayLen(true, 3); n > 0 && r.Err() == nil; n-- {
		first := len(all)
		for _, id := range readTasks(r) {
			h := heldTask{ID: id}
			if epochs {
				h.since = epoch
			}
			all = append(all, h)
		}
		readTag0(r, func(r *kbin.Reader) {
			for i := range max(r.NullableArrayLen(true, 4), 0) {
				if since := r.Int32(); first+i < len(all) {
					all[first+i].since = since
				}
			}
		})
	}
	slices.SortFunc(all, func(a, b heldTask) int { return a.ID.Compare(b.ID) })
	return slices.CompactFunc(all, func(a, b heldTask) bool { return a.ID == b.ID })
}

// bySubtopology splits what is sorted by task into runs of one subtopology.
func bySubtopology[T any](all []T, id func(T) task.ID) (runs [][]T) {
	for len(all) > 0 {
		n := slices.IndexFunc(all, func(t T) bool { return id(t).Subtopology != id(all[0]).Subtopology })
		if n < 0 {
			n = len(all)
		}
		runs = append(runs, all[:n])
		all = all[n:]
	}
	return runs
}

// appendTasks appends a subtopology's id and the partitions of a run.
func appendTasks[T any](b []byte, run []T, id func(T) task.ID) []byte {
	b = kbin.AppendString(b, true, id(run[0]).Subtopology)
	b = kbin.AppendArrayLen(b, true, len(run))
	for _, t := range run {
		b = kbin.AppendInt32(b, id(t).Partition)
	}
	return b
}

func readTasks(r *kbin.Reader) []task.ID {
	sub := r.String(true)
	ids := make([]task.ID, r.ArrayLen(true, 4))
	for i := range ids {
		ids[i] = task.ID{Subtopology: sub, Partition: r.Int32()}
	}
	return ids
}
