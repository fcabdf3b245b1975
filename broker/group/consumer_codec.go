package group

import (
	"fmt"
	"slices"
	"time"

	"sluice/broker/coord"
	"sluice/wire/kbin"
)

// The records of groups of the consumer protocol, in the formats of Kafka 4.3. All values have version 0, which is flexible.
// Type 4, ConsumerGroupPartitionMetadata of Kafka before 4.1, is skipped: the hash in the group's record has taken its place.

const (
	keyConsumerGroup  int16 = 3  // ConsumerGroupMetadata
	keyConsumer       int16 = 5  // ConsumerGroupMemberMetadata
	keyTarget         int16 = 6  // ConsumerGroupTargetAssignmentMetadata
	keyConsumerTarget int16 = 7  // ConsumerGroupTargetAssignmentMember
	keyConsumerState  int16 = 8  // ConsumerGroupCurrentMemberAssignment
	keyRegex          int16 = 16 // ConsumerGroupRegularExpression
)

// consumerKey is a key of one of these types. name is a member's id, or an expression, or empty.
type consumerKey struct {
	typ         int16
	group, name string
}

func (k consumerKey) encode() []byte {
	b := kbin.AppendString(kbin.AppendInt16(nil, k.typ), false, k.group)
	if k.named() {
		b = kbin.AppendString(b, false, k.name)
	}
	return b
}

func (k consumerKey) named() bool {
	return k.typ == keyConsumer || k.typ == keyConsumerTarget || k.typ == keyConsumerState || k.typ == keyRegex
}

func (k consumerKey) tombstone() coord.Record { return coord.Record{Key: k.encode()} }

// decodeConsumerKey reads a key behind its type; nil if the type is not one of these.
func decodeConsumerKey(typ int16, r *kbin.Reader) any {
	k := consumerKey{typ: typ}
	switch typ {
	case keyConsumerGroup, keyConsumer, keyTarget, keyConsumerTarget, keyConsumerState, keyRegex:
	default:
		return nil
	}
	k.group = r.String(false)
	if k.named() {
		k.name = r.String(false)
	}
	return k
}

// tagged appends a section of tagged fields that has only tag 0, or none if the body is empty.
func tagged(b, body []byte) []byte {
	if len(body) == 0 {
		return append(b, 0)
	}
	b = append(b, 1, 0)
	return append(kbin.AppendUvarint(b, uint32(len(body))), body...)
}

// readTag0 reads a section of tagged fields of which only tag 0 is known.
func readTag0(r *kbin.Reader, known func(r *kbin.Reader)) {
	r.Tags(func(tag uint32, r *kbin.Reader) bool {
		if tag == 0 {
			known(r)
		}
		return tag == 0
	})
}

func version0() []byte { return kbin.AppendInt16(nil, 0) }

func consumerGroupRecord(group string, epoch int32, hash int64) coord.Record {
	b := kbin.AppendInt32(version0(), epoch)
	var tag []byte
	if hash != 0 {
		tag = kbin.AppendInt64(nil, hash)
	}
	return coord.Record{Key: consumerKey{typ: keyConsumerGroup, group: group}.encode(), Value: tagged(b, tag)}
}

func decodeConsumerGroup(value []byte) (epoch int32, hash int64, err error) {
	r := kbin.NewReader(value)
	r.Int16()
	epoch = r.Int32()
	readTag0(&r, func(r *kbin.Reader) { hash = r.Int64() })
	return epoch, hash, r.Err()
}

func targetRecord(group string, epoch int32, atMS int64) coord.Record {
	b := kbin.AppendInt32(version0(), epoch)
	var tag []byte
	if atMS != 0 {
		tag = kbin.AppendInt64(nil, atMS)
	}
	return coord.Record{Key: consumerKey{typ: keyTarget, group: group}.encode(), Value: tagged(b, tag)}
}

func decodeTarget(value []byte) (epoch int32, atMS int64, err error) {
	return decodeConsumerGroup(value) // the same shape
}

func consumerRecord(group string, c *consumer) coord.Record {
	b := kbin.AppendNullableString(version0(), true, c.instance.pointer())
	b = appendFlexNullable(b, c.rack)
	b = kbin.AppendString(b, true, c.client.id)
	b = kbin.AppendString(b, true, c.client.host)
	b = kbin.AppendArrayLen(b, true, len(c.topics))
	for _, t := range c.topics {
		b = kbin.AppendString(b, true, t)
	}
	b = kbin.AppendNullableString(b, true, &c.regex)
	b = kbin.AppendInt32(b, int32(c.rebalanceTimeout.Milliseconds()))
	b = appendFlexNullable(b, c.assignor)
	return coord.Record{Key: consumerKey{keyConsumer, group, c.id}.encode(), Value: tagged(b, c.classic.encode())}
}

// encode returns the tagged field of a member's classic traits, nothing if it has none. A nullable struct begins with a byte that says
// whether it is there.
func (t *classicTraits) encode() []byte {
	if t == nil {
		return nil
	}
	b := kbin.AppendInt32([]byte{1}, int32(t.sessionTimeout.Milliseconds()))
	b = kbin.AppendArrayLen(b, true, len(t.protocols))
	for _, p := range t.protocols {
		b = kbin.AppendString(b, true, p.name)
		b = append(kbin.AppendBytes(b, true, p.metadata), 0)
	}
	return append(b, 0)
}

func decodeConsumer(id string, value []byte) (*consumer, error) {
	r := kbin.NewReader(value)
	r.Int16()
	f := fields{&r, true}
	c := &consumer{id: id, instance: instanceOf(f.r.NullableString(f.flexible)), rack: f.str(), client: client{f.str(), f.str()}}
	for n := f.arrayLen(1); n > 0 && r.Err() == nil; n-- {
		c.topics = append(c.topics, f.str())
	}
	slices.Sort(c.topics)
	c.topics = slices.Compact(c.topics)
	c.regex = f.str()
	c.rebalanceTimeout = time.Duration(r.Int32()) * time.Millisecond
	c.assignor = f.str()
	readTag0(&r, func(r *kbin.Reader) { c.classic = decodeTraits(r) })
	return c, r.Err()
}

func decodeTraits(r *kbin.Reader) *classicTraits {
	if r.Int8() < 0 {
		return nil
	}
	t := &classicTraits{sessionTimeout: time.Duration(r.Int32()) * time.Millisecond}
	for n := r.ArrayLen(true, 3); n > 0 && r.Err() == nil; n-- {
		t.protocols = append(t.protocols, protocol{r.String(true), r.Bytes(true)})
		r.Tags(nil)
	}
	r.Tags(nil)
	return t
}

func consumerTargetRecord(group, member string, target []partitionID) coord.Record {
	b := version0()
	topics := byTopic(target, func(p partitionID) partitionID { return p })
	b = kbin.AppendArrayLen(b, true, len(topics))
	for _, ps := range topics {
		b = append(appendPartitions(b, ps, func(p partitionID) partitionID { return p }), 0)
	}
	return coord.Record{Key: consumerKey{keyConsumerTarget, group, member}.encode(), Value: append(b, 0)}
}

func decodeConsumerTarget(value []byte) ([]partitionID, error) {
	r := kbin.NewReader(value)
	r.Int16()
	var target []partitionID
	for n := r.ArrayLen(true, 18); n > 0 && r.Err() == nil; n-- {
		target = append(target, readPartitions(&r)...)
		r.Tags(nil)
	}
	r.Tags(nil)
	slices.SortFunc(target, partitionID.Compare)
	return slices.Compact(target), r.Err()
}

func consumerStateRecord(group string, c *consumer) coord.Record {
	b := kbin.AppendInt32(version0(), c.epoch)
	b = kbin.AppendInt32(b, c.previousEpoch)
	b = kbin.AppendInt8(b, int8(c.state))
	b = appendHolding(b, c.assigned)
	b = appendHolding(b, c.revoking)
	return coord.Record{Key: consumerKey{keyConsumerState, group, c.id}.encode(), Value: append(b, 0)}
}

func appendHolding(b []byte, h holding) []byte {
	topics := byTopic(h, func(h held) partitionID { return h.partitionID })
	b = kbin.AppendArrayLen(b, true, len(topics))
	for _, ps := range topics {
		b = appendPartitions(b, ps, func(h held) partitionID { return h.partitionID })
		tag := kbin.AppendArrayLen(nil, true, len(ps))
		for _, p := range ps {
			tag = kbin.AppendInt32(tag, p.since)
		}
		b = tagged(b, tag)
	}
	return b
}

// decodeConsumerState sets what the record says in a copy of the member.
func decodeConsumerState(c consumer, value []byte) (*consumer, error) {
	r := kbin.NewReader(value)
	r.Int16()
	c.epoch, c.previousEpoch, c.state = r.Int32(), r.Int32(), memberState(r.Int8())
	c.assigned = readHolding(&r, c.epoch)
	c.revoking = readHolding(&r, c.epoch)
	r.Tags(nil)
	if r.Err() == nil && (c.state < memberStable || c.state > memberUnreleased) {
		return nil, fmt.Errorf("no such member state: %d", c.state)
	}
	return &c, r.Err()
}

// readHolding reads partitions. Records before Kafka 4.3 do not say since when they are held: the member's epoch is the safe answer, for
// commits of an earlier epoch are refused then.
func readHolding(r *kbin.Reader, epoch int32) holding {
	var all holding
	for n := r.ArrayLen(true, 18); n > 0 && r.Err() == nil; n-- {
		first := len(all)
		for _, p := range readPartitions(r) {
			all = append(all, held{p, epoch})
		}
		readTag0(r, func(r *kbin.Reader) {
			n := r.NullableArrayLen(true, 4)
			for i := range max(n, 0) {
				if since := r.Int32(); first+i < len(all) {
					all[first+i].since = since
				}
			}
		})
	}
	return slices.CompactFunc(all.sort(), func(a, b held) bool { return a.partitionID == b.partitionID })
}

// byTopic splits what is sorted by partition into runs of one topic.
func byTopic[T any](all []T, id func(T) partitionID) (runs [][]T) {
	for len(all) > 0 {
		topic := id(all[0]).Topic
		n := slices.IndexFunc(all, func(t T) bool { return id(t).Topic != topic })
		if n < 0 {
			n = len(all)
		}
		runs = append(runs, all[:n])
		all = all[n:]
	}
	return runs
}

// appendPartitions appends a topic's id and the indexes of a run.
func appendPartitions[T any](b []byte, run []T, id func(T) partitionID) []byte {
	b = kbin.AppendUUID(b, id(run[0]).Topic)
	b = kbin.AppendArrayLen(b, true, len(run))
	for _, p := range run {
		b = kbin.AppendInt32(b, id(p).Index)
	}
	return b
}

func readPartitions(r *kbin.Reader) []partitionID {
	topic := r.UUID()
	ps := make([]partitionID, r.ArrayLen(true, 4))
	for i := range ps {
		ps[i] = partitionID{Topic: topic, Index: r.Int32()}
	}
	return ps
}

func regexRecord(group, regex string, v resolvedRegex) coord.Record {
	b := kbin.AppendArrayLen(version0(), true, len(v.topics))
	for _, t := range v.topics {
		b = kbin.AppendString(b, true, t)
	}
	b = kbin.AppendInt64(kbin.AppendInt64(b, v.version), v.atMS)
	return coord.Record{Key: consumerKey{keyRegex, group, regex}.encode(), Value: append(b, 0)}
}

func decodeRegex(value []byte) (resolvedRegex, error) {
	r := kbin.NewReader(value)
	r.Int16()
	var v resolvedRegex
	for n := r.ArrayLen(true, 1); n > 0 && r.Err() == nil; n-- {
		v.topics = append(v.topics, r.String(true))
	}
	v.version, v.atMS = r.Int64(), r.Int64()
	r.Tags(nil)
	slices.Sort(v.topics)
	return v, r.Err()
}

func appendFlexNullable(b []byte, s string) []byte {
	if s == "" {
		return kbin.AppendNullableString(b, true, nil)
	}
	return kbin.AppendString(b, true, s)
}
