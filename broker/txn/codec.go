package txn

import (
	"fmt"
	"slices"
	"strings"

	"sluice/broker/coord"
	"sluice/wire/kbin"
)

// The records of __transaction_state, in the formats Kafka 4.3 writes (its files TransactionLogKey and TransactionLogValue). A key begins
// with its type, 0; other types are skipped. Values begin with their version: 0 is rigid, 1 flexible. Version 1 is written, with the fields
// that Kafka has as tags, and one more that later releases have: the epoch before the last. Both versions are read.

// state is where a transactional id is, numbered as in the records.
type state int8

const (
	empty state = iota
	ongoing
	prepareCommit
	prepareAbort
	completeCommit
	completeAbort
	states // their number
)

var stateNames = [states]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort"}

// String is Kafka's name of the state.
func (s state) String() string { return stateNames[s] }

// ending reports whether the verdict is written and the transaction not complete.
func (s state) ending() bool { return s == prepareCommit || s == prepareAbort }

const (
	keyType      int16 = 0
	valueVersion int16 = 1

	tagPreviousID    uint32 = 0
	tagNextID        uint32 = 1
	tagClientVersion uint32 = 2
	tagLastEpoch     uint32 = 4
)

const (
	noID    int64 = -1
	noEpoch int16 = -1
	noTime  int64 = -1
)

// value is what a record says about a transactional id.
type value struct {
	producerID int64
	previousID int64 // the producer id as of the record before
	nextID     int64 // while ending: the producer id from completion on, noID if it stays
	epoch      int16
	lastEpoch  int16 // the epoch before the last rise that its producer knows of; noEpoch if another producer made it rise
	timeoutMS  int32
	state      state
	partitions []TopicPartition // ascending, each once
	updateMS   int64
	startMS    int64 // of the transaction; noTime if there was none yet
	version    int16 // of the protocol in which the transaction was written: 0 or 2
}

func comparePartitions(a, b TopicPartition) int {
	if c := strings.Compare(a.Topic, b.Topic); c != 0 {
		return c
	}
	return int(a.Index) - int(b.Index)
}

// union returns a and b together, ascending, each once. a is in that form; neither is changed.
func union(a, b []TopicPartition) []TopicPartition {
	all := slices.Concat(a, b)
	slices.SortFunc(all, comparePartitions)
	return slices.Compact(all)
}

// contains reports whether a, which is ascending, has p.
func contains(a []TopicPartition, p TopicPartition) bool {
	_, ok := slices.BinarySearchFunc(a, p, comparePartitions)
	return ok
}

func encodeKey(id string) []byte {
	return kbin.AppendString(kbin.AppendInt16(nil, keyType), false, id)
}

// decodeKey returns the transactional id, false for a record of another type.
func decodeKey(b []byte) (id string, ok bool, err error) {
	r := kbin.NewReader(b)
	if r.Int16() != keyType {
		return "", false, r.Err()
	}
	id = r.String(false)
	return id, true, r.Err()
}

func record(id string, v value) coord.Record {
	return coord.Record{Key: encodeKey(id), Value: encodeValue(v)}
}

func tombstone(id string) coord.Record { return coord.Record{Key: encodeKey(id)} }

func encodeValue(v value) []byte {
	b := kbin.AppendInt16(nil, valueVersion)
	b = kbin.AppendInt64(b, v.producerID)
	b = kbin.AppendInt16(b, v.epoch)
	b = kbin.AppendInt32(b, v.timeoutMS)
	b = kbin.AppendInt8(b, int8(v.state))
	if v.state == empty {
		b = kbin.AppendUvarint(b, 0) // a null array
	} else {
		b = appendPartitions(b, v.partitions)
	}
	b = kbin.AppendInt64(b, v.updateMS)
	b = kbin.AppendInt64(b, v.startMS)
	var tags []byte
	n := uint32(0)
	tag := func(tag uint32, field []byte) {
		n++
		tags = kbin.AppendUvarint(kbin.AppendUvarint(tags, tag), uint32(len(field)))
		tags = append(tags, field...)
	}
	if v.previousID != noID {
		tag(tagPreviousID, kbin.AppendInt64(nil, v.previousID))
	}
	if v.nextID != noID {
		tag(tagNextID, kbin.AppendInt64(nil, v.nextID))
	}
	if v.version != 0 {
		tag(tagClientVersion, kbin.AppendInt16(nil, v.version))
	}
	if v.lastEpoch != noEpoch {
		tag(tagLastEpoch, kbin.AppendInt16(nil, v.lastEpoch))
	}
	return append(kbin.AppendUvarint(b, n), tags...)
}

func appendPartitions(b []byte, all []TopicPartition) []byte {
	topics := 0
	for i, p := range all {
		if i == 0 || all[i-1].Topic != p.Topic {
			topics++
		}
	}
	b = kbin.AppendArrayLen(b, true, topics)
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Topic == all[0].Topic {
			n++
		}
		b = kbin.AppendString(b, true, all[0].Topic)
		b = kbin.AppendArrayLen(b, true, n)
		for _, p := range all[:n] {
			b = kbin.AppendInt32(b, p.Index)
		}
		b = append(b, 0) // tagged fields
		all = all[n:]
	}
	return b
}

func decodeValue(b []byte) (value, error) {
	r := kbin.NewReader(b)
	version := r.Int16()
	if r.Err() == nil && (version < 0 || version > valueVersion) {
		return value{}, fmt.Errorf("version %d of the value", version)
	}
	flexible := version >= 1
	v := value{previousID: noID, nextID: noID, lastEpoch: noEpoch}
	v.producerID, v.epoch, v.timeoutMS, v.state = r.Int64(), r.Int16(), r.Int32(), state(r.Int8())
	if r.Err() == nil && (v.state < 0 || v.state >= states) {
		return value{}, fmt.Errorf("state %d", v.state)
	}
	for n := r.NullableArrayLen(flexible, 3); n > 0 && r.Err() == nil; n-- {
		topic := r.String(flexible)
		for m := r.ArrayLen(flexible, 4); m > 0 && r.Err() == nil; m-- {
			v.partitions = append(v.partitions, TopicPartition{topic, r.Int32()})
		}
		if flexible {
			r.Tags(nil)
		}
	}
	v.partitions = union(nil, v.partitions)
	v.updateMS, v.startMS = r.Int64(), r.Int64()
	if flexible {
		r.Tags(func(tag uint32, r *kbin.Reader) bool {
			switch tag {
			case tagPreviousID:
				v.previousID = r.Int64()
			case tagNextID:
				v.nextID = r.Int64()
			case tagClientVersion:
				v.version = r.Int16()
			case tagLastEpoch:
				v.lastEpoch = r.Int16()
			default:
				return false
			}
			return true
		})
	}
	return v, r.Err()
}
