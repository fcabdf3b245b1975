package group

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/broker/group/task"
	"sluice/wire/kerr"
)

// TestStreamsGroups plays members of a streams group, two in each process, that join, send heartbeats, lose answers, give tasks up late, leave,
// come back, fall silent; topics that come, grow and go, internal ones that are created some time after somebody was asked to; numbers of standby tasks
// that change; and a coordinator that crashes with a part of its appends. Always: no active task is at two members, and no task is twice in a process,
// where a member has what an answered heartbeat told it and it has not given up; a member's epoch does not go back; the state is that of a machine that
// loads the log. In the end every task is active once, and has its standby tasks.
func TestStreamsGroups(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newStreamsWorld(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"beat":     w.beat,
			"beat2":    w.beat,
			"beat3":    w.beat,
			"round":    w.round,
			"round2":   w.round,
			"giveUp":   func(rt *rapid.T) { w.pick(rt).giveUp() },
			"leave":    w.leave,
			"vanish":   func(rt *rapid.T) { w.forget(w.pick(rt)) },
			"topic":    w.changeTopic,
			"internal": w.createTopics,
			"standbys": func(rt *rapid.T) { w.standbys = int64(rapid.IntRange(0, 2).Draw(rt, "standbys")) },
			"wait": func(rt *rapid.T) {
				w.pass(time.Duration(rapid.SampledFrom([]int{1, 5, 15, 40}).Draw(rt, "seconds")) * time.Second)
			},
			"durable": func(rt *rapid.T) { w.durable(rapid.IntRange(1, 5).Draw(rt, "n")) },
			"crash":   w.crash,
			"":        w.check,
		})
		w.settle()
	})
}

// roleTask is a task in a role.
type roleTask struct {
	role int
	task.ID
}

// runner is a client.
type runner struct {
	id, process  string
	epoch        int32
	using        map[roleTask]struct{} // what it works on
	assigned     map[roleTask]struct{} // what it may work on
	beatAt       time.Time             // as those of agent
	revokeSince  time.Time
	unheardSince time.Time
	sentAt       time.Time
	asking       bool
}

func (a *runner) reset() {
	a.epoch, a.asking, a.revokeSince, a.unheardSince = 0, false, time.Time{}, time.Time{}
	a.using, a.assigned = map[roleTask]struct{}{}, map[roleTask]struct{}{}
}

// giveUp ends the use of what was taken away.
func (a *runner) giveUp() { a.using = maps.Clone(a.assigned) }

type streamsWorld struct {
	rt       *rapid.T
	rules    rules
	m        *machine
	fx       coord.Effects
	now      time.Time
	view     fixedTopics
	standbys int64
	create   []internalTopic
	log      []coord.Record
	pending  []coord.Append
	ticket   coord.Ticket
	waiting  map[coord.Ticket]func(streamsBeatResult)
	runners  []*runner
	epochs   int32 // highest group epoch that was durable
	ids      int
}

// modelTopology has a repartition topic between two subtopologies, the second with a changelog, and a third whose inputs must match.
func modelTopology() *topology {
	return &topology{epoch: 0, subs: []subtopology{
		{id: "0", sources: []string{"a"}, sinks: []string{"r"}},
		{id: "1", repartitions: []internalTopic{{name: "r"}}, changelogs: []internalTopic{{name: "c", configs: []setting{{"cleanup.policy", "compact"}}}}},
		{id: "2", sources: []string{"b", "bb"}, copartitions: []copartition{{sources: []int16{0, 1}}}, changelogs: []internalTopic{{name: "d"}}},
	}}
}

func newStreamsWorld(rt *rapid.T) *streamsWorld {
	w := &streamsWorld{rt: rt, now: time.UnixMilli(1_000_000), rules: testRules(), waiting: map[coord.Ticket]func(streamsBeatResult){}}
	w.view = fixedTopics{version: 1}.with("a", fixedTopic{base.UUID{1}, 3}).with("b", fixedTopic{base.UUID{2}, 2}).with("bb", fixedTopic{base.UUID{3}, 2})
	w.rules.topics = func() Topics { return w.view }
	delay := rapid.SampledFrom([]int64{0, 3000}).Draw(rt, "delay")
	interval := rapid.SampledFrom([]int64{0, 1000}).Draw(rt, "interval")
	w.rules.streamsRules = streamsRules{streamersMax: 1 << 20, streams: func(_, name string) int64 {
		switch name {
		case streamsSessionSetting:
			return modelSession.Milliseconds()
		case streamsDelaySetting:
			return delay
		case streamsAssignSetting:
			return interval
		case streamsStandbySetting:
			return w.standbys
		}
		return 5000
	}}
	for i := range 6 {
		a := &runner{process: fmt.Sprintf("p%d", i/2)}
		a.reset()
		w.runners = append(w.runners, a)
	}
	w.load()
	return w
}

func (w *streamsWorld) load() {
	w.m = newMachine(w.rules)
	for i, r := range w.log {
		r.Offset, r.ProducerID = base.Offset(i), -1
		if err := w.m.Replay(r); err != nil {
			w.rt.Fatal(err)
		}
	}
	w.fx, w.pending = coord.Effects{}, nil
	w.m.Loaded(w.now, &w.fx)
	w.perform()
}

func (w *streamsWorld) perform() {
	w.pending = append(w.pending, w.fx.Appends...)
	replies := slices.Clone(w.fx.Replies)
	w.fx.Reset()
	for _, r := range replies {
		then := w.waiting[r.Ticket]
		if then == nil {
			w.rt.Fatalf("ticket %d was answered twice", r.Ticket)
		}
		delete(w.waiting, r.Ticket)
		then(r.Response.(streamsBeatResult))
	}
}

func (w *streamsWorld) durable(n int) {
	for ; n > 0 && len(w.pending) > 0; n-- {
		p := w.pending[0]
		w.pending = w.pending[1:]
		for _, r := range p.Records {
			r.Offset, r.ProducerID = base.Offset(len(w.log)), -1
			w.log = append(w.log, r)
			if err := w.m.Replay(r); err != nil {
				w.rt.Fatal(err)
			}
		}
		w.m.Applied(w.now, p.Token, &w.fx)
		w.perform()
	}
}

func (w *streamsWorld) pick(rt *rapid.T) *runner {
	return w.runners[rapid.IntRange(0, len(w.runners)-1).Draw(rt, "runner")]
}

func (w *streamsWorld) beat(rt *rapid.T) {
	if a := w.pick(rt); !a.asking {
		w.send(a, rapid.IntRange(0, 5).Draw(rt, "lost") == 0)
	}
}

// round has everybody send a heartbeat whose answer comes; some have given up before what they had to.
func (w *streamsWorld) round(rt *rapid.T) {
	w.createTopics(rt)
	for _, a := range w.runners {
		w.durable(1 << 30)
		if rapid.Bool().Draw(rt, "gives up") {
			a.giveUp()
		}
		if !a.asking {
			w.send(a, false)
			w.durable(1 << 30)
			w.check(rt)
		}
	}
}

// send sends a heartbeat; the answer may get lost.
func (w *streamsWorld) send(a *runner, lost bool) {
	if a.id == "" {
		w.ids++
		a.id = fmt.Sprintf("m%d", w.ids)
	}
	c := &streamsBeat{group: "g", member: a.id, epoch: a.epoch, rebalanceMS: int32(modelRebalance.Milliseconds()), process: &a.process}
	if a.epoch == 0 {
		c.topology = modelTopology()
	}
	for role := range c.owned {
		c.owned[role] = &[]task.ID{}
	}
	for t := range a.using {
		*c.owned[t.role] = append(*c.owned[t.role], t.ID)
	}
	for role := range c.owned {
		slices.SortFunc(*c.owned[role], task.ID.Compare)
	}
	sent, id, gaveUp := w.now, a.id, len(a.using) == len(a.assigned)
	a.asking, a.sentAt = true, w.now
	if a.unheardSince.IsZero() {
		a.unheardSince = w.now
	}
	w.ticket++
	w.waiting[w.ticket] = func(r streamsBeatResult) {
		if a.id != id || !a.asking || !a.sentAt.Equal(sent) {
			return // the runner has given up waiting
		}
		a.asking = false
		if !lost && w.now.Before(sent.Add(modelSession)) {
			w.answered(a, sent, gaveUp, r)
		}
	}
	w.m.Step(w.now, w.ticket, c, &w.fx)
	w.perform()
}

// answered takes in an answer to a heartbeat. gaveUp says that it told of nothing that had been taken away.
func (w *streamsWorld) answered(a *runner, sent time.Time, gaveUp bool, r streamsBeatResult) {
	switch r.code {
	case kerr.None:
	case kerr.InvalidRequest: // it works on a task that is none any more, for a topic has been made anew with fewer partitions
		a.giveUp()
		w.forget(a)
		return
	case kerr.FencedMemberEpoch, kerr.UnknownMemberID, kerr.GroupIDNotFound:
		a.reset()
		if w.ticket%2 == 0 {
			a.id = ""
		}
		return
	default:
		w.rt.Fatalf("%s: %v %s", a.id, r.code, r.message)
	}
	if r.epoch < a.epoch {
		w.rt.Fatalf("epoch of %s went from %d to %d", a.id, a.epoch, r.epoch)
	}
	if len(r.create) > 0 {
		w.create = r.create
	}
	a.epoch, a.beatAt = r.epoch, sent
	since := a.unheardSince
	a.unheardSince = time.Time{}
	if gaveUp {
		a.revokeSince = time.Time{}
	}
	if r.tasks == nil {
		return
	}
	a.assigned = map[roleTask]struct{}{}
	for role := range r.tasks {
		for _, id := range r.tasks[role] {
			a.assigned[roleTask{role, id}] = struct{}{}
			a.using[roleTask{role, id}] = struct{}{}
		}
	}
	if len(a.using) > len(a.assigned) && (gaveUp || a.revokeSince.IsZero()) {
		a.revokeSince = since
	}
}

func (w *streamsWorld) leave(rt *rapid.T) {
	a := w.pick(rt)
	if a.epoch == 0 || a.asking {
		return
	}
	c := &streamsBeat{group: "g", member: a.id, epoch: epochLeave, rebalanceMS: -1}
	w.forget(a)
	w.ticket++
	w.waiting[w.ticket] = func(streamsBeatResult) {}
	w.m.Step(w.now, w.ticket, c, &w.fx)
	w.perform()
}

// forget ends a runner's life in the group: it stops working, and comes back as somebody else.
func (w *streamsWorld) forget(a *runner) {
	a.reset()
	a.id = ""
}

func (w *streamsWorld) changeTopic(rt *rapid.T) {
	name := rapid.SampledFrom([]string{"a", "b", "bb", "c", "r"}).Draw(rt, "topic")
	old := w.view.topics[name]
	switch {
	case old.partitions == 0:
		w.view = w.view.with(name, fixedTopic{base.UUID{byte(10 + w.view.version)}, 2})
	case rapid.IntRange(0, 3).Draw(rt, "delete") == 0:
		w.view = w.view.with(name, fixedTopic{})
	default:
		w.view = w.view.with(name, fixedTopic{old.id, min(old.partitions+1, 4)})
	}
}

// createTopics is what whoever serves the heartbeats does.
func (w *streamsWorld) createTopics(*rapid.T) {
	for _, t := range w.create {
		if _, _, ok := w.view.ByName(t.name); !ok {
			w.view = w.view.with(t.name, fixedTopic{base.UUID{byte(100 + w.view.version)}, t.partitions})
		}
	}
	w.create = nil
}

func (w *streamsWorld) pass(d time.Duration) {
	until := w.now.Add(d)
	for {
		next, ok := w.m.Next()
		if !ok || next.After(until) {
			break
		}
		w.now = later(w.now, next)
		w.expire()
		w.m.Tick(w.now, &w.fx)
		w.perform()
	}
	w.now = until
	w.expire()
}

// expire lets runners give up by their own clocks, which are never behind the coordinator's.
func (w *streamsWorld) expire() {
	over := func(since time.Time, timeout time.Duration) bool {
		return !since.IsZero() && !w.now.Before(since.Add(timeout))
	}
	for _, a := range w.runners {
		if a.epoch > 0 && over(a.beatAt, modelSession) || over(a.revokeSince, modelRebalance) || a.epoch > 0 && over(a.unheardSince, modelRebalance) {
			w.forget(a)
		}
	}
}

func (w *streamsWorld) crash(rt *rapid.T) {
	for _, p := range w.pending[:rapid.IntRange(0, len(w.pending)).Draw(rt, "survive")] {
		w.log = append(w.log, p.Records...)
	}
	clear(w.waiting)
	for _, a := range w.runners {
		a.asking = false
	}
	w.load()
}

func (w *streamsWorld) check(rt *rapid.T) {
	active, process := map[task.ID]string{}, map[string]string{}
	for _, a := range w.runners {
		for t := range a.using {
			if o, ok := active[t.ID]; ok && t.role == roleActive {
				rt.Fatalf("%v is active at %s and %s\n%s", t.ID, o, a.id, w.dump(w.m))
			} else if t.role == roleActive {
				active[t.ID] = a.id
			}
			place := fmt.Sprint(a.process, t.ID)
			if o, ok := process[place]; ok && o != a.id {
				rt.Fatalf("%v is twice in %s, at %s and %s\n%s", t.ID, a.process, o, a.id, w.dump(w.m))
			}
			process[place] = a.id
		}
	}
	if len(w.pending) > 0 {
		return
	}
	loaded := newMachine(w.rules)
	for _, r := range w.log {
		r.ProducerID = -1
		if err := loaded.Replay(r); err != nil {
			rt.Fatal(err)
		}
	}
	if ran, again := w.dump(w.m), w.dump(loaded); ran != again {
		rt.Fatalf("replay differs from the run\nrun:\n%s\nreplay:\n%s", ran, again)
	}
	if g := w.m.groups["g"]; g != nil && g.streams != nil {
		if g.streams.epoch < w.epochs || g.streams.targetEpoch > g.streams.epoch {
			rt.Fatalf("epochs: %d, target %d, before %d", g.streams.epoch, g.streams.targetEpoch, w.epochs)
		}
		w.epochs = g.streams.epoch
	}
}

func (w *streamsWorld) dump(m *machine) string {
	var b strings.Builder
	for _, g := range m.sorted() {
		sg := g.streams
		fmt.Fprintf(&b, "%s %v %s", g.id, g.state, g.protocolType)
		if sg == nil {
			b.WriteString(" none\n")
			continue
		}
		fmt.Fprintf(&b, " epoch %d hash %d validated %d settings %v target %d at %d owners %v topology %v\n", sg.epoch, sg.hash, sg.validatedEpoch, sg.settings, sg.targetEpoch, sg.targetMS, sg.owners, sg.topology)
		for _, s := range sg.sortedMembers() {
			fmt.Fprintf(&b, "  %+v target %v\n", *s, sg.targets[s.id])
		}
	}
	return b.String()
}

// settle brings the topics in order and lets everybody be well for a while; then every task has its places.
func (w *streamsWorld) settle() {
	w.durable(1 << 30)
	w.pass(time.Minute) // whoever has gone is given up
	for _, name := range []string{"c", "d", "r"} {
		w.view = w.view.with(name, fixedTopic{})
	}
	for i, name := range []string{"a", "b", "bb"} {
		w.view = w.view.with(name, fixedTopic{base.UUID{byte(200 + i)}, 3})
	}
	for range 14 {
		for _, a := range w.runners {
			w.durable(1 << 30)
			a.giveUp()
			w.send(a, false)
			w.durable(1 << 30)
			w.check(w.rt)
		}
		w.createTopics(nil)
		w.pass(time.Second)
	}
	places := map[roleTask]int{}
	for _, a := range w.runners {
		for t := range a.using {
			places[t]++
		}
	}
	for _, sub := range []string{"0", "1", "2"} {
		for p := range int32(3) {
			id := task.ID{Subtopology: sub, Partition: p}
			standbys := 0
			if sub != "0" {
				standbys = int(w.standbys)
			}
			if places[roleTask{roleActive, id}] != 1 || places[roleTask{roleStandby, id}] != standbys {
				w.rt.Fatalf("%v: %d active, %d of %d standby\n%s", id, places[roleTask{roleActive, id}], places[roleTask{roleStandby, id}], standbys, w.dump(w.m))
			}
		}
	}
	if status := w.m.groups["g"].streams.status(); status != "Stable" {
		w.rt.Fatalf("the group is %s\n%s", status, w.dump(w.m))
	}
	if all := slices.SortedFunc(maps.Keys(places), func(a, b roleTask) int { return cmp.Or(a.ID.Compare(b.ID), cmp.Compare(a.role, b.role)) }); len(all) > 18 {
		w.rt.Fatalf("more tasks than there are: %v", all)
	}
}
