package group

import (
	"encoding/binary"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/broker/coord"
	"sluice/broker/group/task"
	"sluice/test/fixture"
)

// exampleStreamer has all that a member can have.
func exampleStreamer() *streamer {
	id := func(sub string, p int32) task.ID { return task.ID{Subtopology: sub, Partition: p} }
	return &streamer{
		id: "m", rack: "r", client: client{"c", "/h"}, rebalanceTimeout: time.Minute, topologyEpoch: 3, process: "p", endpoint: endpoint{"host", 65535},
		tags: []setting{{"k", "v"}}, epoch: 7, previousEpoch: 6, state: memberUnrevoked,
		assigned: heldTasks{{{id("0", 1), 5}, {id("0", 2), 7}, {id("1", 0), 7}}, {{ID: id("1", 1)}}, {{ID: id("1", 2)}}},
		revoking: heldTasks{{{id("1", 3), 2}}, {{ID: id("1", 4)}}, nil},
	}
}

func exampleTopology() *topology {
	return &topology{epoch: 3, subs: []subtopology{{
		id: "0", sources: []string{"a", "b"}, sinks: []string{"r"}, changelogs: []internalTopic{{"c", 0, 0, []setting{{"cleanup.policy", "compact"}}}},
		repartitions: []internalTopic{{"r", 4, 1, nil}}, copartitions: []copartition{{sources: []int16{0, 1}, repartitions: []int16{0}}},
	}}}
}

// streamsRecords are one of each kind, of group g.
func streamsRecords() []coord.Record {
	s := exampleStreamer()
	sg := &streamsGroup{epoch: 8, hash: 99, validatedEpoch: 3, settings: map[string]string{"num.standby.replicas": "2"}}
	return []coord.Record{
		streamsGroupRecord("g", sg), topologyRecord("g", exampleTopology()), streamerRecord("g", s), streamsTargetEpochRecord("g", 7, 1234),
		streamsTargetRecord("g", "m", s.assigned.ids()), streamsStateRecord("g", s),
	}
}

// TestOldStreamsFormats: records as the first version wrote them, byte for byte as Kafka 4.3.1 does, are read for ever.
func TestOldStreamsFormats(t *testing.T) {
	m := newMachine(testRules())
	for i, name := range []string{"streams-group-v0", "streams-topology-v0", "streams-member-v0", "streams-target-epoch-v0", "streams-target-v0", "streams-state-v0"} {
		b := fixture.Bytes(t, name, func() []byte {
			r := streamsRecords()[i]
			return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(r.Key))), r.Key, r.Value)
		})
		n := binary.BigEndian.Uint32(b)
		if err := m.Replay(coord.Record{ProducerID: -1, Key: b[4 : 4+n], Value: b[4+n:]}); err != nil {
			t.Fatal(name, err)
		}
	}
	sg := m.groups["g"].streams
	if s := sg.members["m"]; !reflect.DeepEqual(s, exampleStreamer()) {
		t.Errorf("%+v", s)
	}
	if !reflect.DeepEqual(sg.topology, exampleTopology()) {
		t.Errorf("%+v", sg.topology)
	}
	if sg.epoch != 8 || sg.hash != 99 || sg.validatedEpoch != 3 || sg.settings["num.standby.replicas"] != "2" || sg.targetEpoch != 7 || sg.targetMS != 1234 ||
		!sg.targets["m"].equal(exampleStreamer().assigned.ids()) || len(sg.owners[roleActive]) != 4 || len(sg.owners[roleStandby]) != 2 {
		t.Errorf("%+v", sg)
	}
	for _, r := range streamsRecords() {
		r.ProducerID, r.Value = -1, nil
		if err := m.Replay(r); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.groups) != 0 {
		t.Errorf("tombstones leave %+v", m.groups["g"])
	}
}

// TestStreamsRecords: what is written is read again, whatever is in it.
func TestStreamsRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 5, 20)
		settings := rapid.Custom(func(t *rapid.T) []setting {
			var all []setting
			for range rapid.IntRange(0, 2).Draw(t, "n") {
				all = append(all, setting{text.Draw(t, "key"), text.Draw(t, "value")})
			}
			return all
		})
		s := streamer{
			id: "m", instance: text.Draw(t, "instance"), rack: text.Draw(t, "rack"), client: client{text.Draw(t, "client"), text.Draw(t, "host")},
			rebalanceTimeout: time.Duration(rapid.Int32().Draw(t, "timeout")) * time.Millisecond, topologyEpoch: rapid.Int32().Draw(t, "topology"),
			process: text.Draw(t, "process"), endpoint: endpoint{text.Draw(t, "endpoint"), rapid.Uint16().Draw(t, "port")}, tags: settings.Draw(t, "tags"),
			epoch: rapid.Int32().Draw(t, "epoch"), previousEpoch: rapid.Int32().Draw(t, "previous"), state: memberState(rapid.IntRange(0, 2).Draw(t, "state")),
		}
		if s.endpoint.host == "" {
			s.endpoint.port = 0
		}
		for _, h := range []*heldTasks{&s.assigned, &s.revoking} {
			for role := range h {
				for p := range rapid.IntRange(0, 3).Draw(t, "tasks") {
					one := heldTask{ID: task.ID{Subtopology: "s", Partition: int32(p)}}
					if role == roleActive {
						one.since = rapid.Int32().Draw(t, "since")
					}
					h[role] = append(h[role], one)
				}
			}
		}
		traits, err := decodeStreamer(streamer{id: "m"}, streamerRecord("g", &s).Value)
		if err != nil {
			t.Fatal(err)
		}
		mustEqual(t, &s)(decodeStreamsState(*traits, streamsStateRecord("g", &s).Value))
		mustEqual(t, s.assigned.ids())(decodeStreamsTarget(streamsTargetRecord("g", "m", s.assigned.ids()).Value))
		sub := subtopology{id: text.Draw(t, "sub"), changelogs: []internalTopic{{text.Draw(t, "topic"), rapid.Int32().Draw(t, "partitions"), rapid.Int16().Draw(t, "factor"), settings.Draw(t, "configs")}}}
		mustEqual(t, &topology{epoch: 1, subs: []subtopology{sub}})(decodeTopology(encodeTopology(&topology{epoch: 1, subs: []subtopology{sub}})))
	})
}
