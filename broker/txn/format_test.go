package txn

import (
	"encoding/binary"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sluice/broker/coord"
	"sluice/test/fixture"
)

// full is one value of every field.
var full = value{
	producerID: 7, previousID: 6, nextID: 8, epoch: 9, lastEpoch: 8, timeoutMS: 60_000, state: prepareCommit,
	partitions: []TopicPartition{{"a", 0}, {"a", 3}, {"b", 1}}, updateMS: 2000, startMS: 1000, version: 2,
}

// Records of transactional ids as the first version wrote them, key and value, are read for ever; and so are those of version 0 of the value, as Kafka
// wrote them before 4.0.
func TestOldFormats(t *testing.T) {
	b := fixture.Bytes(t, "transaction-v1", func() []byte {
		r := record("id", full)
		return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(r.Key))), r.Key, r.Value)
	})
	n := binary.BigEndian.Uint32(b)
	m := newMachine(testRules())
	if err := m.Replay(coord.Record{ProducerID: -1, Key: b[4 : 4+n], Value: b[4+n:]}); err != nil {
		t.Fatal(err)
	}
	if got := m.ids["id"]; got == nil || !reflect.DeepEqual(got.value, full) {
		t.Errorf("%+v", got)
	}
	old := []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 9, 0, 0, 0xea, 0x60, 1, 0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0xd0, 0, 0, 0, 0, 0, 0, 3, 0xe8}
	got, err := decodeValue(old)
	want := value{
		producerID: 7, previousID: noID, nextID: noID, epoch: 9, lastEpoch: noEpoch, timeoutMS: 60_000, state: ongoing,
		partitions: []TopicPartition{{"a", 0}, {"a", 3}}, updateMS: 2000, startMS: 1000,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := value{
			producerID: rapid.Int64().Draw(t, "id"), previousID: rapid.Int64().Draw(t, "previous"), nextID: rapid.Int64().Draw(t, "next"),
			epoch: rapid.Int16().Draw(t, "epoch"), lastEpoch: rapid.Int16().Draw(t, "last"), timeoutMS: rapid.Int32().Draw(t, "timeout"),
			state: state(rapid.IntRange(0, int(states)-1).Draw(t, "state")), updateMS: rapid.Int64().Draw(t, "update"), startMS: rapid.Int64().Draw(t, "start"),
			version: rapid.SampledFrom([]int16{0, 2}).Draw(t, "version"),
		}
		if v.state != empty {
			v.partitions = union(nil, rapid.SliceOf(rapid.Custom(func(t *rapid.T) TopicPartition {
				return TopicPartition{rapid.StringN(0, 4, 9).Draw(t, "topic"), rapid.Int32().Draw(t, "index")}
			})).Draw(t, "partitions"))
		}
		id := rapid.String().Draw(t, "id")
		r := record(id, v)
		if got, ok, err := decodeKey(r.Key); got != id || !ok || err != nil {
			t.Fatalf("%q, %v, %v", got, ok, err)
		}
		got, err := decodeValue(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.partitions) == 0 && len(v.partitions) == 0 {
			got.partitions, v.partitions = nil, nil
		}
		if !reflect.DeepEqual(got, v) {
			t.Fatalf("%+v became %+v", v, got)
		}
	})
}

func FuzzReplay(f *testing.F) {
	r := record("id", full)
	f.Add(r.Key, r.Value)
	f.Add(r.Key, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 9, 0, 0, 0xea, 0x60, 1, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		_ = newMachine(testRules()).Replay(coord.Record{ProducerID: -1, Key: key, Value: value})
	})
}

// FuzzAnswers feeds what another node answers to the client.
func FuzzAnswers(f *testing.F) {
	batch := []question{{AddPartitions: AddPartitions{TransactionalID: "a", Partitions: []TopicPartition{{"x", 0}, {"y", 1}}}}}
	f.Add([]byte{0, 0, 0, 0, 0, 0, 2, 2, 'a', 3, 2, 'x', 2, 0, 0, 0, 0, 0, 0, 0, 0, 2, 'y', 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		if got, err := decodeAnswers(body, batch); err == nil && (len(got) != 1 || len(got[0]) != 2) {
			t.Fatalf("%v", got)
		}
	})
}
