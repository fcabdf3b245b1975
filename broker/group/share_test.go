package group

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/test/fixture"
	"sluice/wire/kerr"
)

// sharing is a machine with share groups on a log in memory.
type shareDesk struct {
	t       *testing.T
	rules   rules
	m       *machine
	now     time.Time
	log     []coord.Record
	fx      coord.Effects
	ticket  coord.Ticket
	answers map[coord.Ticket]any
	topics  fixedTopics
	// assignMS is the assignment interval.
	assignMS int64
}

func newShareDesk(t *testing.T) *shareDesk {
	d := &shareDesk{t: t, now: time.Unix(1000, 0), answers: map[coord.Ticket]any{}, rules: testRules()}
	d.topics = fixedTopics{1, map[string]fixedTopic{"t": {base.UUID{1}, 3}, "u": {base.UUID{2}, 1}}}
	d.rules.topics = func() Topics { return d.topics }
	d.rules.shareRules = shareRules{sharesMax: 3, shareMS: func(_, name string) int64 {
		return map[string]int64{shareSessionSetting: 45_000, shareIntervalSetting: 5_000, shareAssignSetting: d.assignMS}[name]
	}}
	d.load()
	return d
}

func (d *shareDesk) load() {
	d.m = newMachine(d.rules)
	for _, r := range d.log {
		if err := d.m.Replay(r); err != nil {
			d.t.Fatal(err)
		}
	}
	d.fx = coord.Effects{}
	d.m.Loaded(d.now, &d.fx)
	d.perform()
}

func (d *shareDesk) perform() {
	for len(d.fx.Replies)+len(d.fx.Appends) > 0 {
		replies, appends := slices.Clone(d.fx.Replies), slices.Clone(d.fx.Appends)
		d.fx.Reset()
		for _, r := range replies {
			d.answers[r.Ticket] = r.Response
		}
		for _, a := range appends {
			for _, r := range a.Records {
				r.Offset, r.ProducerID = base.Offset(len(d.log)), -1
				d.log = append(d.log, r)
				if err := d.m.Replay(r); err != nil {
					d.t.Fatal(err)
				}
			}
			d.m.Applied(d.now, a.Token, &d.fx)
		}
	}
	d.fx.Reset()
}

func (d *shareDesk) do(command any) any {
	d.t.Helper()
	d.ticket++
	d.m.Step(d.now, d.ticket, command, &d.fx)
	d.perform()
	r, ok := d.answers[d.ticket]
	if !ok {
		d.t.Fatalf("%T is not answered", command)
	}
	return r
}

func (d *shareDesk) wait(t time.Duration) {
	d.now = d.now.Add(t)
	d.m.Tick(d.now, &d.fx)
	d.perform()
}

// beat sends a heartbeat, has state begun if it is asked for, as the API does, and renders the answer.
func (d *shareDesk) beat(member string, epoch int32, topics ...string) string {
	d.t.Helper()
	c := &shareBeat{client: client{"c", "/h"}, group: "g", member: member, epoch: epoch}
	if topics != nil {
		c.topics = &topics
	}
	r := d.do(c).(shareBeatResult)
	if len(r.begin) > 0 {
		d.do(&shareBegun{"g", r.begin})
		if epoch != epochJoin {
			c.epoch = r.epoch
		}
		r = d.do(c).(shareBeatResult)
	}
	if r.code != kerr.None {
		return r.code.String()
	}
	s := fmt.Sprintf("epoch %d", r.epoch)
	if r.assigned != nil {
		for _, p := range *r.assigned {
			s += fmt.Sprintf(" %d-%d", p.Topic[0], p.Index)
		}
	}
	return s
}

func (d *shareDesk) wantBeat(want, member string, epoch int32, topics ...string) {
	d.t.Helper()
	if got := d.beat(member, epoch, topics...); got != want {
		d.t.Fatalf("%s at %d: got %q, want %q", member, epoch, got, want)
	}
}

// Changes that follow one another closely are assigned together, whoever is alone does not wait, and neither does anybody when the clock was set back.
func TestShareAssignmentInterval(t *testing.T) {
	d := newShareDesk(t)
	d.assignMS = 1000
	d.wantBeat("epoch 3 1-0 1-1 1-2", "a", 0, "t")
	d.wait(time.Millisecond)
	d.wantBeat("epoch 3", "b", 0, "t")
	d.wantBeat("epoch 3", "c", 0, "t")
	d.wait(998 * time.Millisecond)
	d.wantBeat("epoch 3", "a", 3)
	d.wait(time.Millisecond)
	d.wantBeat("epoch 5 1-0", "a", 3)
	d.wantBeat("epoch 5 1-1", "b", 3)
	d.wantBeat("epoch 5 1-2", "c", 3)
	d.wantBeat("epoch -1", "b", -1)
	d.wantBeat("epoch 5", "a", 5)
	d.wantBeat("epoch -1", "c", -1)
	d.wantBeat("epoch 7 1-0 1-1 1-2", "a", 5)
	d.wait(time.Second)
	d.wantBeat("epoch 8 1-2", "b", 0, "t")
	d.wantBeat("epoch 8 1-2", "b", 8, "t", "u") // the state of u begins meanwhile
	d.wait(time.Second)
	d.wantBeat("epoch 9 1-2 2-0", "b", 8)
	d.wantBeat("epoch -1", "b", -1)
	d.now = d.now.Add(-time.Hour)
	d.wantBeat("epoch 11 1-2", "b", 0, "t")
}

func TestShareGroupStory(t *testing.T) {
	d := newShareDesk(t)
	d.wantBeat("GROUP_ID_NOT_FOUND", "a", 2)
	d.wantBeat("epoch 3 1-0 1-1 1-2", "a", 0, "t") // state began on the way, which is a change
	d.wantBeat("UNKNOWN_MEMBER_ID", "b", 2)
	d.wantBeat("epoch 4 1-2", "b", 0, "t") // what a has it keeps, as far as that is even
	d.wantBeat("epoch 4 1-0 1-1", "a", 3)
	d.wantBeat("epoch 4", "a", 3) // the answer was lost: the epoch before is good
	d.wantBeat("epoch 4", "a", 4)
	d.wantBeat("FENCED_MEMBER_EPOCH", "a", 5)
	d.wantBeat("FENCED_MEMBER_EPOCH", "a", 2)
	d.wantBeat("epoch 6 1-1 2-0", "c", 0, "t", "u")
	d.wantBeat("GROUP_MAX_SIZE_REACHED", "d", 0, "t")
	d.load() // members have a session from now on
	if r := d.do(&describeShare{"g"}).(describeShareResult); r.status != "Stable" || r.epoch != 6 || len(r.members) != 3 || len(r.topics) != 2 {
		t.Fatalf("%+v", r)
	}
	d.wait(30 * time.Second)
	d.wantBeat("epoch 6 1-0", "a", 4)
	d.wait(30 * time.Second) // b and c have not been heard of
	d.wantBeat("epoch 8 1-0 1-1 1-2", "a", 6)
	if r := d.do(&alterShare{group: "g"}).(alterShareResult); r.code != kerr.NonEmptyGroup {
		t.Fatal(r)
	}
	d.wantBeat("epoch -1", "a", -1)
	if r := d.do(&listCommand{}).(listResult); len(r.groups) != 1 || r.groups[0] != (listedGroup{"g", "share", "share", "Empty"}) {
		t.Fatal(r)
	}
	altered := d.do(&alterShare{group: "g"}).(alterShareResult)
	if altered.code != kerr.None || altered.epoch != 10 {
		t.Fatal(altered)
	}
	if r := d.do(&alterShare{group: "g"}).(alterShareResult); r.code != kerr.NonEmptyGroup {
		t.Fatal("altered by two at a time:", r)
	}
	d.do(&shareForgotten{"g", []base.UUID{{2}}})
	if r := d.do(&describeShare{"g"}).(describeShareResult); len(r.topics) != 1 {
		t.Fatal(r.topics)
	}
	before := d.m.shares["g"]
	d.load()
	after := d.m.shares["g"]
	after.sessions, before.sessions, after.lastWrite, before.lastWrite = nil, nil, 0, 0
	if !reflect.DeepEqual(before, after) {
		t.Fatalf("loaded %+v\nwas    %+v", after, before)
	}
	d.do(&alterShare{group: "g", remove: true})
	d.do(&shareRemoved{"g", true})
	d.load()
	if len(d.m.shares) != 0 {
		t.Fatal("the group is still there")
	}
	if r := d.do(&alterShare{group: "g"}).(alterShareResult); r.code != kerr.GroupIDNotFound {
		t.Fatal(r)
	}
	if r := d.do(&alterShare{group: "g", create: true}).(alterShareResult); r.code != kerr.None || r.epoch != 2 {
		t.Fatal(r)
	}
	d.load()
	if g := d.m.shares["g"]; g == nil || g.epoch != 2 {
		t.Fatalf("%+v", g)
	}
}

// Topics that come and grow are assigned, those that are deleted go.
func TestShareGroupTopics(t *testing.T) {
	d := newShareDesk(t)
	d.wantBeat("epoch 2", "b", 0, "none") // Kafka counts from 1 on, and this is a change
	d.wantBeat("epoch -1", "b", -1)
	d = newShareDesk(t)
	d.wantBeat("epoch 3 1-0 1-1 1-2", "a", 0, "t", "v")
	d.topics = d.topics.with("v", fixedTopic{base.UUID{3}, 2})
	d.wantBeat("epoch 5 1-0 1-1 1-2 3-0 3-1", "a", 3)
	d.topics = d.topics.with("t", fixedTopic{})
	d.wantBeat("epoch 6 3-0 3-1", "a", 5)
}

// Where there are more members than partitions each has one, and none is left alone.
func TestShareAssignment(t *testing.T) {
	g := newShareGroup("g")
	g.initialized[base.UUID{1}] = shareTopic{"t", []int32{0, 1, 2}}
	for i := range 7 {
		id := fmt.Sprintf("m%d", i)
		g.members[id] = &shareMember{id: id, topics: []string{"t"}}
	}
	readers := map[int32]int{}
	for id, target := range g.assign(fixedTopics{1, map[string]fixedTopic{"t": {base.UUID{1}, 3}}}) {
		if len(target) != 1 {
			t.Fatal(id, target)
		}
		readers[target[0].Index]++
	}
	if !reflect.DeepEqual(readers, map[int32]int{0: 3, 1: 2, 2: 2}) {
		t.Fatal(readers)
	}
}

// Partitions are shared evenly whoever comes and goes, and nothing moves that need not.
func TestShareAssignmentsStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := newShareGroup("g")
		id := base.UUID{1}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			partitions := rapid.Int32Range(0, 9).Draw(t, "partitions")
			members := rapid.SliceOfNDistinct(rapid.StringMatching("[a-f]"), 1, 6, rapid.ID).Draw(t, "members")
			g.initialized[id] = shareTopic{name: "t"}
			for i := range partitions {
				g.initialized[id] = shareTopic{name: "t", partitions: append(g.initialized[id].partitions, i)}
			}
			clear(g.members)
			for _, m := range members {
				g.members[m] = &shareMember{id: m, topics: []string{"t"}}
			}
			was := g.targets
			g.targets = g.assign(fixedTopics{1, map[string]fixedTopic{"t": {id, partitions}}})
			checkShares(t, g.targets, members, int(partitions))
			if again := g.assign(fixedTopics{1, map[string]fixedTopic{"t": {id, partitions}}}); !reflect.DeepEqual(again, g.targets) {
				t.Fatal("moved without need:", g.targets, again)
			}
			if n, p := len(members), int(partitions); len(was) == n && p >= n && p%n == 0 { // whoever had no more than its share keeps that
				for m, had := range was {
					if g.members[m] == nil || len(had) > p/n {
						continue
					}
					for _, x := range had {
						if x.Index < partitions && !slices.Contains(g.targets[m], x) && soleOwner(was, x) {
							t.Fatalf("%s lost %v: %v, %v", m, x, was, g.targets)
						}
					}
				}
			}
		}
	})
}

func soleOwner(targets map[string][]partitionID, p partitionID) bool {
	n := 0
	for _, ps := range targets {
		if slices.Contains(ps, p) {
			n++
		}
	}
	return n == 1
}

func checkShares(t *rapid.T, targets map[string][]partitionID, members []string, partitions int) {
	owners, least, most := map[partitionID]int{}, 1<<30, 0
	for _, m := range members {
		least, most = min(least, len(targets[m])), max(most, len(targets[m]))
		for _, p := range targets[m] {
			owners[p]++
		}
	}
	if len(targets) > len(members) || len(owners) != partitions || partitions > 0 && most-least > 1 {
		t.Fatal(targets)
	}
	low, high := 1<<30, 0
	for _, n := range owners {
		low, high = min(low, n), max(high, n)
	}
	if partitions > 0 && (high-low > 1 || partitions >= len(members) && high > 1) {
		t.Fatal(targets)
	}
}

// A share group and other groups do not share names.
func TestShareGroupNames(t *testing.T) {
	d := newShareDesk(t)
	d.do(&commitCommand{group: "g", generation: -1, retentionMS: -1, offsets: []commitOffset{{partition: partitionKey{"t", 0}, offset: 1}}})
	d.wantBeat("GROUP_ID_NOT_FOUND", "a", 0, "t")
	d = newShareDesk(t)
	d.beat("a", 0, "t")
	r := d.do(&commitCommand{group: "g", generation: -1, retentionMS: -1, offsets: []commitOffset{{partition: partitionKey{"t", 0}, offset: 1}}})
	if codes := r.(commitResult).codes; codes[0] != kerr.GroupIDNotFound {
		t.Fatal(codes)
	}
	r = d.do(&commitCommand{group: "g", generation: -1, retentionMS: -1, producer: &coord.Producer{ID: 7}, offsets: []commitOffset{{partition: partitionKey{"t", 0}, offset: 1}}})
	if codes := r.(commitResult).codes; codes[0] != kerr.GroupIDNotFound {
		t.Fatal("in a transaction:", codes)
	}
	if r := d.do(&beatCommand{group: "g", member: "x", topics: &[]string{"t"}, owned: &[]partitionID{}}).(beatResult); r.code != kerr.GroupIDNotFound {
		t.Fatal(r)
	}
}

// Records of share groups as the first version wrote them, key and value, are read for ever.
func TestOldShareFormats(t *testing.T) {
	mb := &shareMember{id: "m", rack: "r", client: client{"c", "/h"}, topics: []string{"t"}, epoch: 3, previousEpoch: 2, assigned: []partitionID{{Topic: base.UUID{1}, Index: 2}}}
	written := map[string]coord.Record{
		"share-member-v0": shareMemberRecord("g", mb), "share-group-v0": shareGroupRecord("g", 3, 77), "share-target-v0": shareTargetRecord("g", "m", mb.assigned),
		"share-target-epoch-v0": shareTargetEpochRecord("g", 3, 99), "share-state-v0": shareStateRecord("g", mb),
		"share-topics-v0": shareTopicsRecord("g", map[base.UUID]shareTopic{{1}: {"t", []int32{0, 2}}}),
	}
	m := newMachine(testRules())
	for name, r := range written {
		k := fixture.Bytes(t, name+"-key", func() []byte { return r.Key })
		v := fixture.Bytes(t, name, func() []byte { return r.Value })
		if err := m.Replay(coord.Record{ProducerID: -1, Key: k, Value: v}); err != nil {
			t.Fatal(name, err)
		}
	}
	g := m.shares["g"]
	if !reflect.DeepEqual(g.members["m"], mb) || g.epoch != 3 || g.hash != 77 || g.targetEpoch != 3 || g.targetMS != 99 ||
		!slices.Equal(g.targets["m"], mb.assigned) || !reflect.DeepEqual(g.initialized, map[base.UUID]shareTopic{{1}: {"t", []int32{0, 2}}}) {
		t.Fatalf("%+v %+v", g, g.members["m"])
	}
}

// TestShareGroupIsNoConsumerGroup: what is wrong with a heartbeat by itself is said first, and then that the group is of another kind.
func TestShareGroupIsNoConsumerGroup(t *testing.T) {
	d := newShareDesk(t)
	if r := d.do(&alterShare{group: "g", create: true}).(alterShareResult); r.code != kerr.None {
		t.Fatal(r.code)
	}
	topics := []string{"t"}
	for _, c := range []struct {
		beat beatCommand
		want kerr.Code
	}{
		{beatCommand{group: "g", epoch: epochJoin, rebalanceMS: -1, owned: &[]partitionID{}, topics: &topics}, kerr.InvalidRequest},
		{beatCommand{group: "g", epoch: epochJoin, rebalanceMS: 5000, owned: &[]partitionID{}, topics: &topics}, kerr.GroupIDNotFound},
	} {
		if r := d.do(&c.beat).(beatResult); r.code != c.want {
			t.Errorf("%+v: %v, want %v: %s", c.beat, r.code, c.want, r.message)
		}
	}
	for ms, want := range map[int32]kerr.Code{0: kerr.InvalidSessionTimeout, 10_000: kerr.InconsistentGroupProtocol} {
		if r := d.do(&joinCommand{group: "g", sessionTimeoutMS: ms}).(joinResult); r.code != want {
			t.Errorf("joined with a session of %d ms: %v, want %v", ms, r.code, want)
		}
	}
	if r := d.do(&describeConsumersCommand{group: "g"}).(describeConsumersResult); r.code != kerr.GroupIDNotFound || r.message != "Group g is not a consumer group." {
		t.Errorf("described: %v %s", r.code, r.message)
	}
	if r := d.do(&describeCommand{"g"}).(describeResult); r.found || !r.other {
		t.Errorf("described as a classic one: %+v", r)
	}
}
