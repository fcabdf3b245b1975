package group

import (
	"fmt"
	"time"

	"sluice/broker/coord"
	"sluice/wire/kbin"
)

// The records of __consumer_offsets, in the formats Kafka 4.3 writes (its files OffsetCommitKey, OffsetCommitValue, GroupMetadataKey,
// GroupMetadataValue). A key begins with its type; types 0 and 1 are offsets, 2 is a classic group's metadata, 3 to 8 and 16 are groups
// of the consumer protocol (consumer_codec.go), 10 to 15 share groups (share_codec.go), 17 to 23 streams groups (streams_codec.go), others belong to
// other protocols. Values begin with their version; from version 4 they are flexible. Written are offset values of version 4 (1 if
// the client gave a retention) and group values of version 3; all versions are read.

const consumerProtocolType = "consumer"

const (
	keyOffsetOld  int16 = 0
	keyOffset     int16 = 1
	keyGroup      int16 = 2
	groupVersion  int16 = 3
	offsetVersion int16 = 4
	// offsetExpiring is the one version that has room for a time of expiry.
	offsetExpiring int16 = 1
	valueVersions  int16 = 4 // the highest version known; higher ones are read as if they were it
	flexibleFrom   int16 = 4
	// tagTopicID is the tagged field of an offset value that holds the topic's id.
	tagTopicID uint32 = 0
)

type offsetKey struct {
	group     string
	partition partitionKey
}

type groupKey struct{ group string }

// decodeKey returns an offsetKey, a groupKey, a consumerKey, a shareKey, a streamsKey, or nil for a record of another protocol.
func decodeKey(b []byte) (any, error) {
	r := kbin.NewReader(b)
	var key any
	switch typ := r.Int16(); typ {
	case keyOffsetOld, keyOffset:
		key = offsetKey{r.String(false), partitionKey{r.String(false), r.Int32()}}
	case keyGroup:
		key = groupKey{r.String(false)}
	case keyShareMember, keyShareGroup, keyShareTargetEpoch, keyShareTarget, keyShareState, keyShareTopics:
		key = decodeShareKey(typ, &r)
	case keyStreamsGroup, keyStreamer, keyStreamsTargetEpoch, keyStreamsTarget, keyStreamsState, keyStreamsTopology:
		key = decodeStreamsKey(typ, &r)
	default:
		key = decodeConsumerKey(typ, &r)
	}
	return key, r.Err()
}

type groupValue struct {
	protocolType, protocol, leader string
	generation                     int32
	since                          int64 // ms; -1: not known
	members                        []memberValue
}

type memberValue struct {
	id                               string
	instance                         instance
	client                           client
	rebalanceTimeout, sessionTimeout time.Duration
	subscription, assignment         []byte
}

func groupRecord(group string, v groupValue) coord.Record {
	b := kbin.AppendInt16(nil, groupVersion)
	b = kbin.AppendString(b, false, v.protocolType)
	b = kbin.AppendInt32(b, v.generation)
	b = appendNullable(b, v.protocol)
	b = appendNullable(b, v.leader)
	b = kbin.AppendInt64(b, v.since)
	b = kbin.AppendArrayLen(b, false, len(v.members))
	for _, m := range v.members {
		b = kbin.AppendString(b, false, m.id)
		b = kbin.AppendNullableString(b, false, m.instance.pointer())
		b = kbin.AppendString(b, false, m.client.id)
		b = kbin.AppendString(b, false, m.client.host)
		b = kbin.AppendInt32(b, int32(m.rebalanceTimeout.Milliseconds()))
		b = kbin.AppendInt32(b, int32(m.sessionTimeout.Milliseconds()))
		b = kbin.AppendBytes(b, false, m.subscription)
		b = kbin.AppendBytes(b, false, m.assignment)
	}
	return coord.Record{Key: encodeGroupKey(group), Value: b}
}

func groupTombstone(group string) coord.Record { return coord.Record{Key: encodeGroupKey(group)} }

func encodeGroupKey(group string) []byte {
	return kbin.AppendString(kbin.AppendInt16(nil, keyGroup), false, group)
}

func decodeGroupValue(b []byte) (groupValue, error) {
	r := kbin.NewReader(b)
	version := min(r.Int16(), valueVersions)
	f := fields{&r, version >= flexibleFrom}
	v := groupValue{since: -1}
	v.protocolType = f.str()
	v.generation = r.Int32()
	v.protocol = f.str()
	v.leader = f.str()
	if version >= 2 {
		v.since = r.Int64()
	}
	for n := f.arrayLen(16); n > 0 && r.Err() == nil; n-- {
		v.members = append(v.members, decodeMember(f, version))
	}
	f.tags()
	return v, r.Err()
}

func decodeMember(f fields, version int16) memberValue {
	m := memberValue{id: f.str()}
	if version >= 3 {
		m.instance = instanceOf(f.r.NullableString(f.flexible))
	}
	m.client = client{f.str(), f.str()}
	rebalance := int32(-1)
	if version >= 1 {
		rebalance = f.r.Int32()
	}
	session := f.r.Int32()
	if rebalance == -1 {
		rebalance = session
	}
	m.rebalanceTimeout, m.sessionTimeout = time.Duration(rebalance)*time.Millisecond, time.Duration(session)*time.Millisecond
	m.subscription, m.assignment = f.bytes(), f.bytes()
	f.tags()
	return m
}

func offsetRecord(group string, k partitionKey, c committed) coord.Record {
	return coord.Record{Key: encodeOffsetKey(group, k), Value: encodeOffset(c)}
}

func encodeOffset(c committed) []byte {
	if c.expireMS >= 0 {
		b := kbin.AppendInt64(kbin.AppendInt16(nil, offsetExpiring), c.offset)
		b = kbin.AppendString(b, false, c.metadata)
		b = kbin.AppendInt64(b, c.commitMS)
		return kbin.AppendInt64(b, c.expireMS)
	}
	b := kbin.AppendInt64(kbin.AppendInt16(nil, offsetVersion), c.offset)
	b = kbin.AppendInt32(b, c.epoch)
	b = kbin.AppendString(b, true, c.metadata)
	b = kbin.AppendInt64(b, c.commitMS)
	if c.topicID.IsZero() {
		return kbin.AppendUvarint(b, 0)
	}
	b = kbin.AppendUvarint(b, 1) // tagged fields
	b = kbin.AppendUvarint(b, tagTopicID)
	b = kbin.AppendUvarint(b, uint32(len(c.topicID)))
	return kbin.AppendUUID(b, c.topicID)
}

func offsetTombstone(group string, k partitionKey) coord.Record {
	return coord.Record{Key: encodeOffsetKey(group, k)}
}

func encodeOffsetKey(group string, k partitionKey) []byte {
	b := kbin.AppendString(kbin.AppendInt16(nil, keyOffset), false, group)
	return kbin.AppendInt32(kbin.AppendString(b, false, k.topic), k.index)
}

func decodeOffsetValue(b []byte) (committed, error) {
	r := kbin.NewReader(b)
	version := min(r.Int16(), valueVersions)
	f := fields{&r, version >= flexibleFrom}
	c := committed{offset: r.Int64(), epoch: -1, expireMS: -1}
	if version >= 3 {
		c.epoch = r.Int32()
	}
	c.metadata = f.str()
	c.commitMS = r.Int64()
	if version == offsetExpiring {
		c.expireMS = r.Int64()
	}
	if version >= flexibleFrom {
		r.Tags(func(tag uint32, r *kbin.Reader) bool {
			if tag == tagTopicID {
				c.topicID = r.UUID()
			}
			return tag == tagTopicID
		})
	}
	return c, r.Err()
}

// fields reads what differs between rigid and flexible versions. A null string is an empty one here.
type fields struct {
	r        *kbin.Reader
	flexible bool
}

func (f fields) str() string {
	if s := f.r.NullableString(f.flexible); s != nil {
		return *s
	}
	return ""
}

func (f fields) bytes() []byte { return f.r.NullableBytes(f.flexible) }

func (f fields) arrayLen(elemBytesMin int) int { return f.r.ArrayLen(f.flexible, elemBytesMin) }

func (f fields) tags() {
	if f.flexible {
		f.r.Tags(nil)
	}
}

func appendNullable(b []byte, s string) []byte {
	if s == "" {
		return kbin.AppendInt16(b, -1)
	}
	return kbin.AppendString(b, false, s)
}

// subscribedTopics adds the topics of a consumer's subscription to a set. Only the part that all versions have in common is read:
// version, topics. False if it is not understood.
func subscribedTopics(subscription []byte, into map[string]struct{}) bool {
	r := kbin.NewReader(subscription)
	r.Int16()
	for n := r.ArrayLen(false, 2); n > 0 && r.Err() == nil; n-- {
		into[r.String(false)] = struct{}{}
	}
	return r.Err() == nil
}

func (k offsetKey) String() string {
	return fmt.Sprintf("%s/%s-%d", k.group, k.partition.topic, k.partition.index)
}
