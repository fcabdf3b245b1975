package group

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/test/fixture"
)

// exampleConsumer has all that a member can have.
func exampleConsumer() *consumer {
	a, b := base.UUID{1}, base.UUID{2}
	return &consumer{
		id: "m", instance: instance{true, "i"}, rack: "r", client: client{"c", "/h"}, topics: []string{"a", "b"}, regex: "x.*", rebalanceTimeout: time.Minute,
		assignor: "range", classic: &classicTraits{10 * time.Second, []protocol{{"range", subscription("a")}}},
		epoch: 7, previousEpoch: 6, state: memberUnrevoked,
		assigned: holding{{partitionID{Topic: a, Index: 0}, 3}, {partitionID{Topic: a, Index: 2}, 7}, {partitionID{Topic: b, Index: 1}, 5}},
		revoking: holding{{partitionID{Topic: b, Index: 0}, 2}},
	}
}

// consumerRecords are one of each kind, of group g.
func consumerRecords() []coord.Record {
	c := exampleConsumer()
	return []coord.Record{
		consumerRecord("g", c), consumerStateRecord("g", c), consumerTargetRecord("g", "m", *c.assigned.partitions()), consumerGroupRecord("g", 8, 99),
		targetRecord("g", 7, 1234), regexRecord("g", "x.*", resolvedRegex{[]string{"x1", "x2"}, 5, 1234}),
	}
}

// TestOldConsumerFormats: records as the first version wrote them are read for ever.
func TestOldConsumerFormats(t *testing.T) {
	m := newMachine(testRules())
	for i, name := range []string{"member-v0", "state-v0", "member-target-v0", "consumer-group-v0", "target-v0", "regex-v0"} {
		b := fixture.Bytes(t, name, func() []byte {
			r := consumerRecords()[i]
			return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(r.Key))), r.Key, r.Value)
		})
		n := binary.BigEndian.Uint32(b)
		if err := m.Replay(coord.Record{ProducerID: -1, Key: b[4 : 4+n], Value: b[4+n:]}); err != nil {
			t.Fatal(name, err)
		}
	}
	cg := m.groups["g"].consumers
	if c := cg.members["m"]; !reflect.DeepEqual(c, exampleConsumer()) {
		t.Errorf("%+v", c)
	}
	if cg.epoch != 8 || cg.hash != 99 || cg.targetEpoch != 7 || cg.targetMS != 1234 || len(cg.targets["m"]) != 3 || !cg.subscribes("x2") || len(cg.owners) != 4 {
		t.Errorf("%+v", cg)
	}
	for _, r := range consumerRecords() {
		r.ProducerID, r.Value = -1, nil
		if err := m.Replay(r); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.groups) != 0 {
		t.Errorf("tombstones leave %+v", m.groups["g"])
	}
}

// TestConsumerRecords: what is written is read again, whatever is in it.
func TestConsumerRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 5, 20)
		c := &consumer{
			id: "m", instance: someInstance.Draw(t, "instance"), rack: text.Draw(t, "rack"), client: client{text.Draw(t, "client"), text.Draw(t, "host")},
			regex: text.Draw(t, "regex"), rebalanceTimeout: time.Duration(rapid.Int32().Draw(t, "timeout")) * time.Millisecond, assignor: text.Draw(t, "assignor"),
			epoch: rapid.Int32().Draw(t, "epoch"), previousEpoch: rapid.Int32().Draw(t, "previous"), state: memberState(rapid.IntRange(0, 2).Draw(t, "state")),
			assigned: drawHolding(t, 0), revoking: drawHolding(t, 100),
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "topics") {
			c.topics = append(c.topics, fmt.Sprint(i, text.Draw(t, "topic")))
		}
		slices.Sort(c.topics)
		if rapid.Bool().Draw(t, "classic") {
			c.classic = &classicTraits{sessionTimeout: time.Second}
			for range rapid.IntRange(0, 2).Draw(t, "protocols") {
				c.classic.protocols = append(c.classic.protocols, protocol{text.Draw(t, "name"), []byte(text.Draw(t, "metadata"))})
			}
		}
		m := newMachine(testRules())
		for _, r := range []coord.Record{consumerRecord("g", c), consumerStateRecord("g", c)} {
			r.ProducerID = -1
			if err := m.Replay(r); err != nil {
				t.Fatal(err)
			}
		}
		if got := m.groups["g"].consumers.members["m"]; !got.sameTraits(c) || !got.samePosition(c) {
			t.Fatalf("got %+v\nwant %+v", got, c)
		}
	})
}

func drawHolding(t *rapid.T, from int32) (h holding) {
	for i := range rapid.Int32Range(0, 5).Draw(t, "partitions") {
		h = append(h, held{partitionID{Topic: base.UUID{byte(i / 2)}, Index: from + i}, rapid.Int32().Draw(t, "since")})
	}
	return h
}

// FuzzConsumerProtocol reads what classic clients put into their opaque bytes.
func FuzzConsumerProtocol(f *testing.F) {
	view := fixedTopics{version: 1}.with("a", fixedTopic{base.UUID{1}, 3})
	f.Add(subscription("a", "b"))
	f.Add([]byte{0, 3, 0, 0, 0, 1, 0, 1, 'a', 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 5, 0, 1, 'r'})
	f.Add(encodeAssignment(holding{{partitionID{Topic: base.UUID{1}, Index: 2}, 1}}, 3, view))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, ok := decodeSubscription(b, view); ok && (s.version < 0 || s.version > consumerProtocolVersions || !slices.IsSorted(s.topics)) {
			t.Fatalf("%+v", s)
		}
		ps, ok := decodeAssignment(b, view)
		if !ok {
			return
		}
		var h holding
		for _, p := range ps {
			h = append(h, held{p, 1})
		}
		if again, ok := decodeAssignment(encodeAssignment(h, 1, view), view); !ok || !slices.Equal(again, ps) {
			t.Fatalf("%v became %v", ps, again)
		}
	})
}
