package share

import (
	"sluice/base"
	"sluice/broker/coord"
	"sluice/wire/kbin"
)

// The records of __share_group_state, in the formats Kafka 4.3 writes (its files ShareSnapshotKey, ShareSnapshotValue, ShareUpdateKey,
// ShareUpdateValue). A key begins with its type: 0 is a snapshot, the whole state of a share partition, 1 an update, the batches that
// changed. Keys are rigid, values are flexible and begin with their version, 0.

const (
	keySnapshot int16 = 0
	keyUpdate   int16 = 1

	valueVersion int16 = 0
	// tagComplete is the tagged field that holds how many records are done (Kafka 4.2).
	tagComplete uint32 = 0
	// batchBytes is what a state batch takes.
	batchBytes = 8 + 8 + 1 + 2 + 1
)

// decodeKey returns the type and the share partition of a key; types that are not known have no share partition.
func decodeKey(b []byte) (typ int16, k Key, err error) {
	r := kbin.NewReader(b)
	if typ = r.Int16(); typ == keySnapshot || typ == keyUpdate {
		k = Key{r.String(false), r.UUID(), r.Int32()}
	}
	return typ, k, r.Err()
}

func encodeKey(typ int16, k Key) []byte {
	b := kbin.AppendString(kbin.AppendInt16(nil, typ), false, k.Group)
	return kbin.AppendInt32(kbin.AppendUUID(b, k.Topic), k.Index)
}

// snapshotValue is the value of a snapshot.
type snapshotValue struct {
	State
	epoch              int32 // of the snapshot; updates carry that of the snapshot they follow
	createMS, updateMS int64
}

func snapshotRecord(k Key, v snapshotValue) coord.Record {
	b := kbin.AppendInt16(nil, valueVersion)
	b = kbin.AppendInt32(b, v.epoch)
	b = kbin.AppendInt32(b, v.StateEpoch)
	b = kbin.AppendInt32(b, v.LeaderEpoch)
	b = kbin.AppendInt64(b, int64(v.Start))
	b = kbin.AppendInt64(b, v.createMS)
	b = kbin.AppendInt64(b, v.updateMS)
	b = appendBatches(b, v.Batches)
	return coord.Record{Key: encodeKey(keySnapshot, k), Value: appendComplete(b, v.Complete)}
}

func decodeSnapshot(b []byte) (v snapshotValue, err error) {
	r := kbin.NewReader(b)
	checkVersion(&r)
	v.epoch, v.StateEpoch, v.LeaderEpoch, v.Start = r.Int32(), r.Int32(), r.Int32(), base.Offset(r.Int64())
	v.createMS, v.updateMS = r.Int64(), r.Int64()
	v.Batches = readBatches(&r)
	v.Complete = readComplete(&r)
	return v, r.Err()
}

// updateValue is the value of an update. Start is NoOffset if it stays as it is.
type updateValue struct {
	epoch, leaderEpoch int32
	start              base.Offset
	complete           int32
	batches            []StateBatch
}

func updateRecord(k Key, v updateValue) coord.Record {
	b := kbin.AppendInt16(nil, valueVersion)
	b = kbin.AppendInt32(b, v.epoch)
	b = kbin.AppendInt32(b, v.leaderEpoch)
	b = kbin.AppendInt64(b, int64(v.start))
	b = appendBatches(b, v.batches)
	return coord.Record{Key: encodeKey(keyUpdate, k), Value: appendComplete(b, v.complete)}
}

func decodeUpdate(b []byte) (v updateValue, err error) {
	r := kbin.NewReader(b)
	checkVersion(&r)
	v.epoch, v.leaderEpoch, v.start = r.Int32(), r.Int32(), base.Offset(r.Int64())
	v.batches = readBatches(&r)
	v.complete = readComplete(&r)
	return v, r.Err()
}

func tombstone(k Key) coord.Record { return coord.Record{Key: encodeKey(keySnapshot, k)} }

func checkVersion(r *kbin.Reader) {
	if v := r.Int16(); v != valueVersion && r.Err() == nil {
		r.Fail("version %d is not known", v)
	}
}

func appendBatches(b []byte, batches []StateBatch) []byte {
	b = kbin.AppendArrayLen(b, true, len(batches))
	for _, s := range batches {
		b = kbin.AppendInt64(kbin.AppendInt64(b, int64(s.First)), int64(s.Last))
		b = kbin.AppendInt16(kbin.AppendInt8(b, int8(s.State)), s.DeliveryCount)
		b = kbin.AppendUvarint(b, 0) // tagged fields
	}
	return b
}

// readBatches reads batches and checks that they can be a state.
func readBatches(r *kbin.Reader) (batches []StateBatch) {
	n := r.ArrayLen(true, batchBytes)
	if n > 0 {
		batches = make([]StateBatch, n)
	}
	for i := range batches {
		batches[i] = StateBatch{base.Offset(r.Int64()), base.Offset(r.Int64()), DeliveryState(r.Int8()), r.Int16()}
		r.Tags(nil)
	}
	if r.Err() == nil && !ordered(batches) {
		r.Fail("state batches are not in order")
	}
	return batches
}

// appendComplete appends the tagged fields of a value.
func appendComplete(b []byte, complete int32) []byte {
	if complete == -1 {
		return kbin.AppendUvarint(b, 0)
	}
	b = kbin.AppendUvarint(b, 1)
	b = kbin.AppendUvarint(kbin.AppendUvarint(b, tagComplete), 4)
	return kbin.AppendInt32(b, complete)
}

func readComplete(r *kbin.Reader) int32 {
	complete := int32(-1)
	r.Tags(func(tag uint32, r *kbin.Reader) bool {
		if tag == tagComplete {
			complete = r.Int32()
		}
		return tag == tagComplete
	})
	return complete
}
