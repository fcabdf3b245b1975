package group

import (
	"testing"
	"time"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/broker/group/task"
	"sluice/wire/kerr"
)

// TestConfigureTopology: numbers of partitions and tasks, and what is told of a topology that cannot run.
func TestConfigureTopology(t *testing.T) {
	view := fixedTopics{version: 1}.with("a", fixedTopic{base.UUID{1}, 3}).with("b", fixedTopic{base.UUID{2}, 5}).with("wrong", fixedTopic{base.UUID{3}, 2})
	named := func(names ...string) (all []internalTopic) {
		for _, n := range names {
			all = append(all, internalTopic{name: n})
		}
		return all
	}
	fixed := func(name string, n int32) []internalTopic { return []internalTopic{{name: name, partitions: n}} }
	for name, c := range map[string]struct {
		subs    []subtopology
		tasks   map[string]int32
		missing map[string]int32
		status  int8
		invalid bool
	}{
		"a chain of repartition topics": {
			subs: []subtopology{
				{id: "0", sources: []string{"a"}, sinks: []string{"r1"}},
				{id: "1", repartitions: named("r1"), sinks: []string{"r2"}},
				{id: "2", repartitions: named("r2"), sources: []string{"b"}, changelogs: named("c")},
			},
			tasks: map[string]int32{"0": 3, "1": 3, "2": 5}, missing: map[string]int32{"r1": 3, "r2": 3, "c": 5}, status: statusMissingInternal,
		},
		"a repartition topic must match a source": {
			subs: []subtopology{
				{id: "0", sources: []string{"a"}, sinks: []string{"r"}},
				{id: "1", sources: []string{"b"}, repartitions: named("r"), copartitions: []copartition{{sources: []int16{0}, repartitions: []int16{0}}}},
			},
			tasks: map[string]int32{"0": 3, "1": 5}, missing: map[string]int32{"r": 5}, status: statusMissingInternal,
		},
		"repartition topics match the one that says itself": {
			subs: []subtopology{
				{id: "0", sources: []string{"a"}, sinks: []string{"r1", "r2"}},
				{id: "1", repartitions: append(named("r1"), fixed("r2", 7)...), copartitions: []copartition{{repartitions: []int16{0, 1}}}},
			},
			tasks: map[string]int32{"0": 3, "1": 7}, missing: map[string]int32{"r1": 7, "r2": 7}, status: statusMissingInternal,
		},
		"a repartition topic says another number than its source": {
			subs: []subtopology{
				{id: "0", sources: []string{"a"}, sinks: []string{"r"}},
				{id: "1", sources: []string{"b"}, repartitions: fixed("r", 4), copartitions: []copartition{{sources: []int16{0}, repartitions: []int16{0}}}},
			},
			status: statusPartitions,
		},
		"an internal topic has another number": {
			subs: []subtopology{{id: "0", sources: []string{"a"}, changelogs: named("wrong")}}, status: statusPartitions,
		},
		"no source topic": {subs: []subtopology{{id: "0", sources: []string{"nowhere"}}}, status: statusMissingSources},
		"a loop":          {subs: []subtopology{{id: "0", repartitions: named("r"), sinks: []string{"r"}}}, invalid: true},
		"nobody writes":   {subs: []subtopology{{id: "0", sources: []string{"a"}, repartitions: named("r")}}, invalid: true},
		"in order":        {subs: []subtopology{{id: "0", sources: []string{"a", "b"}}}, tasks: map[string]int32{"0": 5}, status: -1},
	} {
		conf, err := (&topology{subs: c.subs}).configure(view)
		if (err != nil) != c.invalid {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		status := int8(-1)
		if conf.trouble != nil {
			status = conf.trouble.code
		}
		if status != c.status || len(conf.missing) != len(c.missing) {
			t.Errorf("%s: %+v", name, conf)
		}
		for _, m := range conf.missing {
			if m.partitions != c.missing[m.name] {
				t.Errorf("%s: %s gets %d partitions, not %d", name, m.name, m.partitions, c.missing[m.name])
			}
		}
		for sub, want := range c.tasks {
			if n, _ := conf.tasksOf(sub); n != want {
				t.Errorf("%s: subtopology %s has %d tasks, not %d", name, sub, n, want)
			}
		}
	}
}

// streamsTalk is a machine with one topic that is told commands and makes everything durable at once.
type streamsTalk struct {
	t   *testing.T
	m   *machine
	now time.Time
	log []coord.Record
}

func newStreamsTalk(t *testing.T) *streamsTalk {
	w := &streamsTalk{t: t, now: time.UnixMilli(1_000_000)}
	r := testRules()
	view := fixedTopics{version: 1}.with("a", fixedTopic{base.UUID{1}, 2})
	r.topics = func() Topics { return view }
	r.streamsRules = streamsRules{streamersMax: 2, streams: func(_, name string) int64 {
		return map[string]int64{streamsSessionSetting: 45_000, streamsIntervalSetting: 5000}[name]
	}}
	w.m = newMachine(r)
	var fx coord.Effects
	w.m.Loaded(w.now, &fx)
	return w
}

// settle makes durable what was appended and returns the answer, if there is one.
func (w *streamsTalk) settle(fx *coord.Effects) (answer any) {
	for {
		appends := append([]coord.Append(nil), fx.Appends...)
		if len(fx.Replies) > 0 {
			answer = fx.Replies[0].Response
		}
		fx.Reset()
		if len(appends) == 0 {
			return answer
		}
		for _, a := range appends {
			for _, r := range a.Records {
				r.Offset, r.ProducerID = base.Offset(len(w.log)), -1
				w.log = append(w.log, r)
				if err := w.m.Replay(r); err != nil {
					w.t.Fatal(err)
				}
			}
			w.m.Applied(w.now, a.Token, fx)
		}
	}
}

func (w *streamsTalk) step(command any) any {
	var fx coord.Effects
	w.m.Step(w.now, 1, command, &fx)
	return w.settle(&fx)
}

func (w *streamsTalk) pass(d time.Duration) {
	w.now = w.now.Add(d)
	var fx coord.Effects
	w.m.Tick(w.now, &fx)
	w.settle(&fx)
}

func (w *streamsTalk) beat(member string, epoch int32, owned *taskSets) streamsBeatResult {
	process := "of " + member
	c := &streamsBeat{group: "g", member: member, epoch: epoch, rebalanceMS: 20_000, process: &process}
	if epoch == epochJoin {
		c.topology = &topology{subs: []subtopology{{id: "0", sources: []string{"a"}}}}
	}
	if owned != nil {
		for role := range owned {
			c.owned[role] = &owned[role]
		}
	}
	return w.step(c).(streamsBeatResult)
}

func (w *streamsTalk) want(what string, r streamsBeatResult, code kerr.Code, epoch int32) {
	w.t.Helper()
	if r.code != code || code == kerr.None && r.epoch != epoch {
		w.t.Errorf("%s: %v at epoch %d (%s), not %v at %d", what, r.code, r.epoch, r.message, code, epoch)
	}
}

// TestStreamsTimes: who does not give up its tasks in time, or is silent, is taken out; a group has no more members than it may.
func TestStreamsTimes(t *testing.T) {
	w := newStreamsTalk(t)
	w.want("first", w.beat("m1", 0, nil), kerr.None, 2)
	w.want("second", w.beat("m2", 0, nil), kerr.None, 3)
	w.want("one too many", w.beat("m3", 0, nil), kerr.GroupMaxSizeReached, 0)
	w.want("first has to give up", w.beat("m1", 2, nil), kerr.None, 2)
	w.pass(19 * time.Second)
	w.want("first is there still", w.beat("m1", 2, nil), kerr.None, 2)
	w.pass(2 * time.Second)
	w.want("first took too long", w.beat("m1", 2, nil), kerr.UnknownMemberID, 0)
	if r := w.beat("m2", 3, nil); r.tasks == nil || len(r.tasks[roleActive]) != 2 {
		t.Errorf("second gets %+v", r)
	}
	w.pass(46 * time.Second)
	w.want("second was silent", w.beat("m2", 4, nil), kerr.UnknownMemberID, 0)
	if status := w.m.groups["g"].streams.status(); status != "Empty" {
		t.Errorf("the group is %s", status)
	}
}

// TestStreamsAnswerLost: a member that did not hear what it is to give up is told again when it says what it has.
func TestStreamsAnswerLost(t *testing.T) {
	w := newStreamsTalk(t)
	both := *w.beat("m1", 0, nil).tasks
	w.beat("m2", 0, nil)
	w.beat("m1", 2, &both) // the answer gets lost
	r := w.beat("m1", 2, &both)
	if r.tasks == nil || len(r.tasks[roleActive]) != 1 {
		t.Fatalf("told %+v", r.tasks)
	}
	w.want("gives up", w.beat("m1", 2, r.tasks), kerr.None, 3)
	if r := w.beat("m1", 3, r.tasks); r.tasks != nil {
		t.Errorf("told of %v, which it has", r.tasks)
	}
}

// TestStreamsAndOthers: a name belongs to one protocol while somebody is in the group. Empty classic and streams groups make room for each other, and
// keep their offsets; deletion leaves nothing.
func TestStreamsAndOthers(t *testing.T) {
	w := newStreamsTalk(t)
	commit := &commitCommand{group: "g", generation: -1, retentionMS: -1, offsets: []commitOffset{{partition: partitionKey{"a", 0}, offset: 5}}}
	if r := w.step(commit).(commitResult); r.codes[0] != kerr.None {
		t.Fatal(r)
	}
	w.want("into a simple group", w.beat("m1", 0, nil), kerr.None, 2)
	if r := w.step(commit).(commitResult); r.codes[0] != kerr.UnknownMemberID {
		t.Errorf("a stranger's commit: %v", r.codes)
	}
	topics := []string{"a"}
	if r := w.step(&beatCommand{group: "g", member: "c", rebalanceMS: 1, topics: &topics, owned: &[]partitionID{}}).(beatResult); r.code != kerr.GroupIDNotFound {
		t.Errorf("a consumer joins: %v", r.code)
	}
	if r := w.step(&shareBeat{group: "g", member: "s", topics: &topics}).(shareBeatResult); r.code != kerr.GroupIDNotFound {
		t.Errorf("a member of a share group joins: %v", r.code)
	}
	classic := &joinCommand{group: "g", sessionTimeoutMS: 10_000, rebalanceTimeoutMS: 10_000, protocolType: "consumer", protocols: []protocol{{"range", nil}}}
	if r := w.step(classic).(joinResult); r.code != kerr.InconsistentGroupProtocol {
		t.Errorf("a classic member joins: %v", r.code)
	}
	w.want("leave", w.beat("m1", -1, nil), kerr.None, -1)
	w.step(classic) // waits for others
	w.pass(4 * time.Second)
	if g := w.m.groups["g"]; g.streams != nil || len(g.members) != 1 || len(g.offsets) != 1 {
		t.Errorf("%+v is no classic group of one member with an offset", g)
	}
	w.want("into a classic group", w.beat("m1", 0, nil), kerr.GroupIDNotFound, 0)
	w.step(&leaveCommand{group: "g", members: []leavingMember{{identity: identity{member: w.m.groups["g"].members[0].id}}}})
	w.want("into an empty one", w.beat("m1", 0, nil), kerr.None, 2)
	w.want("leave", w.beat("m1", -1, nil), kerr.None, -1)
	if r := w.step(&deleteGroupCommand{"g"}).(codeResult); r.code != kerr.None || len(w.m.groups) != 0 {
		t.Errorf("delete: %v, leaves %+v", r.code, w.m.groups["g"])
	}
	again := newMachine(w.m.rules)
	for _, r := range w.log {
		if err := again.Replay(r); err != nil {
			t.Fatal(err)
		}
	}
	if len(again.groups) != 0 {
		t.Errorf("the log leaves %+v", again.groups["g"])
	}
}

// TestStreamsCommits: a commit under an earlier epoch is good for what the member has worked on since then.
func TestStreamsCommits(t *testing.T) {
	w := newStreamsTalk(t)
	w.beat("m1", 0, nil)
	w.beat("m2", 0, nil)
	one := taskSets{roleActive: []task.ID{{Subtopology: "0", Partition: 0}}}
	w.want("first gives up", w.beat("m1", 2, &one), kerr.None, 3)
	w.want("second gets its share", w.beat("m2", 3, nil), kerr.None, 3)
	for _, c := range []struct {
		member string
		epoch  int32
		topic  string
		index  int32
		want   kerr.Code
	}{
		{"m1", 3, "a", 0, kerr.None}, {"m1", 2, "a", 0, kerr.None}, {"m1", 2, "a", 1, kerr.StaleMemberEpoch}, {"m2", 2, "a", 1, kerr.StaleMemberEpoch},
		{"m1", 4, "a", 0, kerr.StaleMemberEpoch}, {"m1", 2, "b", 0, kerr.StaleMemberEpoch}, {"m9", 3, "a", 0, kerr.UnknownMemberID},
	} {
		cmd := &commitCommand{group: "g", identity: identity{member: c.member}, generation: c.epoch, retentionMS: -1, offsets: []commitOffset{{partition: partitionKey{c.topic, c.index}, offset: 5}}}
		if r := w.step(cmd).(commitResult); r.codes[0] != c.want {
			t.Errorf("%+v: %v", c, r.codes[0])
		}
	}
}
