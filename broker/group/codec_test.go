package group

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"sluice/base"
	"sluice/broker/coord"
)

var someText = rapid.SampledFrom([]string{"", "a", "gruppe-ä", "x y"})

var someInstance = rapid.SampledFrom([]instance{{}, {true, ""}, {true, "a"}, {true, "gruppe-ä"}})

func someOffset(t *rapid.T) committed {
	return committed{
		offset: rapid.Int64().Draw(t, "offset"), epoch: rapid.Int32Min(-1).Draw(t, "epoch"), metadata: someText.Draw(t, "metadata"),
		commitMS: rapid.Int64().Draw(t, "commit"), expireMS: rapid.Int64Min(-1).Draw(t, "expire"),
		topicID: base.UUID([]byte(rapid.StringOfN(rapid.RuneFrom([]rune("ab\x00")), 16, 16, 16).Draw(t, "id"))),
	}
}

// TestOffsetRecords compares with franz-go's codec in both directions and all versions.
func TestOffsetRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := offsetKey{someText.Draw(t, "group"), partitionKey{someText.Draw(t, "topic"), rapid.Int32().Draw(t, "partition")}}
		c := someOffset(t)
		r := offsetRecord(k.group, k.partition, c)
		var theirKey kmsg.OffsetCommitKey
		if err := theirKey.ReadFrom(r.Key); err != nil || theirKey.Group != k.group || theirKey.Topic != k.partition.topic || theirKey.Partition != k.partition.index {
			t.Fatalf("%+v, %v", theirKey, err)
		}
		var theirs kmsg.OffsetCommitValue
		if err := theirs.ReadFrom(r.Value); err != nil || theirs.Offset != c.offset || theirs.Metadata != c.metadata || theirs.CommitTimestamp != c.commitMS {
			t.Fatalf("%+v, %v", theirs, err)
		}
		if c.expireMS >= 0 {
			c.epoch, c.topicID = -1, base.UUID{} // no room for them
			if theirs.ExpireTimestamp != c.expireMS {
				t.Fatalf("%+v", theirs)
			}
		} else if theirs.LeaderEpoch != c.epoch || theirs.TopicID != c.topicID {
			t.Fatalf("%+v", theirs)
		}
		mustEqual(t, c)(decodeOffsetValue(r.Value))
		mustEqual(t, any(k))(decodeKey(r.Key))
		mustEqual(t, any(k))(decodeKey(offsetTombstone(k.group, k.partition).Key))
		for v := int16(0); v <= 4; v++ {
			theirs.Version, theirs.LeaderEpoch, theirs.ExpireTimestamp, theirs.TopicID = v, c.epoch, c.expireMS, c.topicID
			want := c
			if v < 3 {
				want.epoch = -1
			}
			if v != 1 {
				want.expireMS = -1
			}
			if v < 4 {
				want.topicID = base.UUID{}
			}
			mustEqual(t, want)(decodeOffsetValue(theirs.AppendTo(nil)))
		}
	})
}

// TestGroupRecords does the same for group metadata.
func TestGroupRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := func(name string) time.Duration {
			return time.Duration(rapid.Int32Min(0).Draw(t, name)) * time.Millisecond
		}
		v := groupValue{
			protocolType: someText.Draw(t, "type"), protocol: someText.Draw(t, "protocol"), leader: someText.Draw(t, "leader"),
			generation: rapid.Int32().Draw(t, "generation"), since: rapid.Int64().Draw(t, "since"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			v.members = append(v.members, memberValue{
				id: someText.Draw(t, "id"), instance: someInstance.Draw(t, "instance"), client: client{someText.Draw(t, "client"), someText.Draw(t, "host")},
				rebalanceTimeout: ms("rebalance"), sessionTimeout: ms("session"),
				subscription: []byte(someText.Draw(t, "subscription")), assignment: []byte(someText.Draw(t, "assignment")),
			})
		}
		r := groupRecord("g", v)
		mustEqual(t, any(groupKey{"g"}))(decodeKey(r.Key))
		mustEqual(t, v)(decodeGroupValue(r.Value))
		var theirs kmsg.GroupMetadataValue
		if err := theirs.ReadFrom(r.Value); err != nil || theirs.Version != groupVersion || len(theirs.Members) != len(v.members) {
			t.Fatalf("%+v, %v", theirs, err)
		}
		for version := int16(0); version <= 3; version++ {
			theirs.Version = version
			want := v
			want.members = nil
			for _, m := range v.members {
				if version < 3 {
					m.instance = instance{}
				}
				if version < 1 {
					m.rebalanceTimeout = m.sessionTimeout
				}
				want.members = append(want.members, m)
			}
			if version < 2 {
				want.since = -1
			}
			mustEqual(t, want)(decodeGroupValue(theirs.AppendTo(nil)))
		}
	})
}

func mustEqual[T any](t *rapid.T, want T) func(got T, err error) {
	return func(got T, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
		}
	}
}

// TestOtherRecords: record types of other protocols are skipped, a damaged record stops the load with its offset.
func TestOtherRecords(t *testing.T) {
	m := newMachine(testRules())
	for _, k := range []int16{4, 9, 18, 24} {
		if err := m.Replay(coord.Record{ProducerID: -1, Key: []byte{byte(k >> 8), byte(k), 0, 1, 'x'}, Value: []byte{0, 0}}); err != nil {
			t.Fatal(err)
		}
	}
	bad := groupRecord("g", groupValue{})
	bad.Offset, bad.ProducerID, bad.Value = 17, -1, bad.Value[:5]
	if err := m.Replay(bad); !base.IsKind(err, base.Corrupt) || fmt.Sprint(err)[:19] != "record at offset 17" {
		t.Fatal(err)
	}
	if len(m.groups) != 0 {
		t.Fatal("groups out of nothing")
	}
}

func FuzzReplay(f *testing.F) {
	o := offsetRecord("g", partitionKey{"t", 1}, committed{offset: 5, epoch: 1, metadata: "m", expireMS: -1, topicID: base.UUID{1}})
	g := groupRecord("g", groupValue{protocolType: "consumer", protocol: "range", members: []memberValue{{id: "m", subscription: subscription("t")}}})
	f.Add(o.Key, o.Value)
	f.Add(g.Key, g.Value)
	f.Add([]byte{0, 2, 0, 1, 'g'}, []byte{0, 4, 2, 'c', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0})
	for _, r := range consumerRecords() {
		f.Add(r.Key, r.Value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		_ = newMachine(testRules()).Replay(coord.Record{ProducerID: -1, Key: key, Value: value})
	})
}
