package group

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/wire/kerr"
)

// TestConsumerGroups plays members of a group of the consumer protocol that join, send heartbeats, lose answers, give partitions up
// late, leave, come back, fall silent; topics that come, grow, go and are hidden from members; and a coordinator that crashes with a part of its appends. Always: no
// partition is owned by two members, owned meaning told by an answered heartbeat and not given up; a member's epoch does not go
// back; the state is that of a machine that loads the log. In the end every partition of every subscribed topic has one owner.
func TestConsumerGroups(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newConsumerWorld(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"beat":      w.beat,
			"beat2":     w.beat,
			"beat3":     w.beat,
			"giveUp":    w.giveUp,
			"subscribe": w.subscribe,
			"leave":     w.leave,
			"vanish":    w.vanish,
			"topic":     w.changeTopic,
			"right":     w.changeRight,
			"wait":      w.wait,
			"durable":   func(rt *rapid.T) { w.durable(rapid.IntRange(1, 5).Draw(rt, "n")) },
			"crash":     w.crash,
			"":          w.check,
		})
		w.settle()
	})
}

// agent is a client.
type agent struct {
	id, instance string
	epoch        int32
	topics       []string
	regex        string
	told         bool                     // the coordinator knows the subscription
	unsure       bool                     // an answer was lost: the next heartbeat is a full one
	using        map[partitionID]struct{} // what it works on
	assigned     map[partitionID]struct{} // what it may work on
	beatAt       time.Time                // when the last heartbeat that was answered was sent
	revokeSince  time.Time                // when the one was sent whose answer took something away, until it has told that this is not in use
	asking       bool
	sentAt       time.Time
	// unheardSince is when the first heartbeat was sent whose answer it has not got. The coordinator may have begun then to wait for partitions to be
	// given up; as in Kafka it waits for the rebalance timeout, whether the member has heard of it or not.
	unheardSince time.Time
	classic      *classicAgent // what it knows as a member of the classic protocol; nil if it is none
}

func (a *agent) reset() {
	a.epoch, a.told, a.asking, a.revokeSince, a.unheardSince = 0, false, false, time.Time{}, time.Time{}
	a.using, a.assigned = map[partitionID]struct{}{}, map[partitionID]struct{}{}
}

const (
	modelSession   = 45 * time.Second
	modelRebalance = 20 * time.Second
)

type consumerWorld struct {
	rt      *rapid.T
	rules   rules
	m       *machine
	fx      coord.Effects
	now     time.Time
	view    fixedTopics
	hidden  string // the topic that members may not describe
	log     []coord.Record
	pending []coord.Append
	ticket  coord.Ticket
	waiting map[coord.Ticket]func(any)
	agents  []*agent
	epochs  int32 // highest group epoch that was durable
	ids     int
}

func newConsumerWorld(rt *rapid.T) *consumerWorld {
	w := &consumerWorld{rt: rt, now: time.UnixMilli(1_000_000), rules: testRules(), waiting: map[coord.Ticket]func(any){}}
	w.view = fixedTopics{version: 1}.with("a", fixedTopic{base.UUID{1}, 3}).with("b", fixedTopic{base.UUID{2}, 4})
	w.rules.topics = func() Topics { return w.view }
	w.rules.assignors = rapid.SampledFrom([][]string{{"uniform", "range"}, {"range"}}).Draw(rt, "assignors")
	w.rules.consumerAssign.value = rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(rt, "interval")
	w.rules.batchBytesMax = rapid.SampledFrom([]int{400, 1 << 20}).Draw(rt, "batch")
	for i := range 5 {
		a := &agent{topics: []string{"a"}}
		if i >= 3 {
			a.instance = fmt.Sprintf("static%d", i)
		}
		a.reset()
		w.agents = append(w.agents, a)
	}
	w.load()
	return w
}

func (w *consumerWorld) load() {
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

func (w *consumerWorld) perform() {
	w.pending = append(w.pending, w.fx.Appends...)
	replies := slices.Clone(w.fx.Replies)
	w.fx.Reset()
	for _, r := range replies {
		then := w.waiting[r.Ticket]
		if then == nil {
			w.rt.Fatalf("ticket %d was answered twice", r.Ticket)
		}
		delete(w.waiting, r.Ticket)
		then(r.Response)
	}
}

func (w *consumerWorld) durable(n int) {
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

func (w *consumerWorld) pick(rt *rapid.T) *agent {
	return w.agents[rapid.IntRange(0, len(w.agents)-1).Draw(rt, "agent")]
}

func (w *consumerWorld) beat(rt *rapid.T) {
	if a := w.pick(rt); !a.asking {
		w.send(a, rapid.Bool().Draw(rt, "full"), rapid.IntRange(0, 5).Draw(rt, "lost") == 0)
	}
}

// send sends a heartbeat; the answer may get lost.
func (w *consumerWorld) send(a *agent, full, lost bool) {
	hidden := w.hidden
	c := &beatCommand{group: "g", epoch: a.epoch, rebalanceMS: -1, describes: func(topic string) bool { return topic != hidden }}
	if a.id == "" {
		w.ids++
		a.id = fmt.Sprintf("m%d", w.ids)
	}
	c.member = a.id
	if a.instance != "" {
		c.instance = &a.instance
	}
	full = full || a.epoch == 0 || a.unsure
	if full {
		c.rebalanceMS = int32(modelRebalance.Milliseconds())
	}
	if full || !a.told {
		c.topics, c.regex = &a.topics, &a.regex
	}
	owned := slices.SortedFunc(maps.Keys(a.using), partitionID.Compare)
	c.owned = &owned
	sent, id, gaveUp := w.now, a.id, len(a.using) == len(a.assigned)
	a.asking, a.sentAt = true, w.now
	if a.unheardSince.IsZero() {
		a.unheardSince = w.now
	}
	told := !lost && c.topics != nil
	w.ticket++
	w.waiting[w.ticket] = func(response any) {
		r := response.(beatResult)
		if a.id != id || !a.asking || !a.sentAt.Equal(sent) {
			return // the agent has given up waiting
		}
		a.asking = false
		if lost || !w.now.Before(sent.Add(modelSession)) { // clients do not wait for longer than a session
			a.told, a.unsure = false, true
			return
		}
		a.told, a.unsure = a.told || told, false
		w.answered(a, sent, gaveUp, r)
	}
	w.m.Step(w.now, w.ticket, c, &w.fx)
	w.perform()
}

// answered takes in an answer to a heartbeat. gaveUp says that it told of nothing that had been taken away.
func (w *consumerWorld) answered(a *agent, sent time.Time, gaveUp bool, r beatResult) {
	switch r.code {
	case kerr.None:
	case kerr.FencedMemberEpoch, kerr.UnknownMemberID, kerr.GroupIDNotFound, kerr.UnreleasedInstanceID, kerr.FencedInstanceID:
		a.reset()
		if w.ticket%2 == 0 { // it may come back as the member it was, or as another
			a.id = ""
		}
		return
	default:
		w.rt.Fatalf("%s: %v %s", a.id, r.code, r.message)
	}
	if r.epoch < a.epoch {
		w.rt.Fatalf("epoch of %s went from %d to %d", a.id, a.epoch, r.epoch)
	}
	a.epoch, a.beatAt = r.epoch, sent
	since := a.unheardSince
	a.unheardSince = time.Time{}
	if gaveUp {
		a.revokeSince = time.Time{}
	}
	if r.assigned == nil {
		return
	}
	a.assigned = map[partitionID]struct{}{}
	for _, p := range *r.assigned {
		a.assigned[p] = struct{}{}
		a.using[p] = struct{}{}
	}
	if len(a.using) > len(a.assigned) && (gaveUp || a.revokeSince.IsZero()) {
		a.revokeSince = since
	}
}

// giveUp ends the use of what was taken away.
func (w *consumerWorld) giveUp(rt *rapid.T) { w.release(w.pick(rt)) }

// release ends the use; the coordinator does not know before it is told, and waits no longer than the rebalance timeout for that.
func (w *consumerWorld) release(a *agent) { a.using = maps.Clone(a.assigned) }

func (w *consumerWorld) subscribe(rt *rapid.T) {
	a := w.pick(rt)
	if a.asking {
		return
	}
	a.topics = rapid.SampledFrom([][]string{{"a"}, {"b"}, {"a", "b"}, {"a", "nowhere"}, {}}).Draw(rt, "topics")
	a.regex, a.told = rapid.SampledFrom([]string{"", "b.*", "[ab]"}).Draw(rt, "regex"), false
}

func (w *consumerWorld) leave(rt *rapid.T) {
	w.depart(rt, w.pick(rt))
}

func (w *consumerWorld) depart(rt *rapid.T, a *agent) {
	if a.epoch == 0 || a.asking {
		return
	}
	c := &beatCommand{group: "g", member: a.id, epoch: epochLeave, rebalanceMS: -1}
	if a.instance != "" {
		c.instance = &a.instance
		if rapid.Bool().Draw(rt, "for a while") {
			c.epoch = epochLeaveStatic
		}
	}
	w.forget(a)
	w.ticket++
	w.waiting[w.ticket] = func(any) {}
	w.m.Step(w.now, w.ticket, c, &w.fx)
	w.perform()
}

// forget ends an agent's life in the group: it stops working, and comes back as somebody else.
func (w *consumerWorld) forget(a *agent) {
	a.reset()
	a.id = ""
}

func (w *consumerWorld) vanish(rt *rapid.T) { w.forget(w.pick(rt)) }

func (w *consumerWorld) changeTopic(rt *rapid.T) {
	name := rapid.SampledFrom([]string{"a", "b", "bb"}).Draw(rt, "topic")
	old := w.view.topics[name]
	switch {
	case old.partitions == 0:
		w.view = w.view.with(name, fixedTopic{base.UUID{byte(10 + w.view.version)}, 2})
	case rapid.IntRange(0, 3).Draw(rt, "delete") == 0:
		w.view = w.view.with(name, fixedTopic{})
	default:
		w.view = w.view.with(name, fixedTopic{old.id, min(old.partitions+1, 6)})
	}
}

func (w *consumerWorld) changeRight(rt *rapid.T) {
	w.hidden = rapid.SampledFrom([]string{"", "a", "b", "bb"}).Draw(rt, "hidden")
}

func (w *consumerWorld) wait(rt *rapid.T) {
	w.pass(time.Duration(rapid.SampledFrom([]int{1, 5, 15, 40}).Draw(rt, "seconds")) * time.Second)
}

func (w *consumerWorld) pass(d time.Duration) {
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

// expire lets agents give up by their own clocks, which are never behind the coordinator's.
func (w *consumerWorld) expire() {
	over := func(since time.Time, timeout time.Duration) bool {
		return !since.IsZero() && !w.now.Before(since.Add(timeout))
	}
	for _, a := range w.agents {
		if a.epoch > 0 && over(a.beatAt, modelSession) || over(a.revokeSince, modelRebalance) || a.epoch > 0 && over(a.unheardSince, modelRebalance) {
			w.forget(a)
		}
	}
}

func (w *consumerWorld) crash(rt *rapid.T) {
	for _, p := range w.pending[:rapid.IntRange(0, len(w.pending)).Draw(rt, "survive")] {
		w.log = append(w.log, p.Records...)
	}
	clear(w.waiting)
	for _, a := range w.agents {
		if a.asking {
			a.asking, a.told, a.unsure = false, false, true
		}
	}
	w.load()
}

// owners checks that no partition is worked on by two.
func (w *consumerWorld) owners(rt *rapid.T) {
	owner := map[partitionID]string{}
	for _, a := range w.agents {
		for p := range a.using {
			if o, ok := owner[p]; ok {
				rt.Fatalf("%v is owned by %s and %s\n%s", p, o, a.id, w.dump(w.m))
			}
			owner[p] = a.id
		}
	}
}

func (w *consumerWorld) check(rt *rapid.T) {
	w.owners(rt)
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
	if g := w.m.groups["g"]; g != nil && g.consumers != nil {
		if g.consumers.epoch < w.epochs || g.consumers.targetEpoch > g.consumers.epoch {
			rt.Fatalf("epochs: %d, target %d, before %d", g.consumers.epoch, g.consumers.targetEpoch, w.epochs)
		}
		w.epochs = g.consumers.epoch
	}
}

func (w *consumerWorld) dump(m *machine) string {
	var b strings.Builder
	for _, g := range m.sorted() {
		cg := g.consumers
		fmt.Fprintf(&b, "%s %v %s", g.id, g.state, g.protocolType)
		if cg == nil {
			b.WriteString(" classic\n")
			continue
		}
		fmt.Fprintf(&b, " epoch %d hash %d target %d at %d regexes %v owners %v names %v instances %v\n", cg.epoch, cg.hash, cg.targetEpoch, cg.targetMS, cg.regexes, cg.owners, cg.names, cg.byInstance)
		for _, c := range cg.sortedMembers() {
			v := *c
			v.classic = nil
			fmt.Fprintf(&b, "  %+v target %v\n", v, cg.targets[c.id])
		}
	}
	return b.String()
}

// settle lets everybody be well for a while; then every partition of what is subscribed has exactly one owner.
func (w *consumerWorld) settle() {
	w.durable(1 << 30)
	w.pass(time.Minute) // whoever has gone is given up, expressions may be matched again
	for range 12 {
		for _, a := range w.agents {
			w.durable(1 << 30)
			w.release(a)
			w.send(a, false, false)
			w.durable(1 << 30)
			w.check(w.rt)
		}
		w.pass(time.Second)
	}
	want := map[partitionID]bool{}
	for _, a := range w.agents {
		names := slices.Clone(a.topics)
		if a.regex != "" {
			names = append(names, slices.DeleteFunc(matching(w.view, a.regex), func(topic string) bool { return topic == w.hidden })...)
		}
		for _, name := range names {
			for i := range w.view.topics[name].partitions {
				want[partitionID{Topic: w.view.topics[name].id, Index: i}] = true
			}
		}
	}
	owned := 0
	for _, a := range w.agents {
		for p := range a.using {
			if !want[p] {
				w.rt.Fatalf("%s owns %v, which nobody subscribes to", a.id, p)
			}
			owned++
		}
	}
	if owned != len(want) {
		w.rt.Fatalf("%d of %d partitions are owned\n%s", owned, len(want), w.dump(w.m))
	}
	if s := w.m.groups["g"].consumers.status(); s != "Stable" {
		w.rt.Fatalf("the group is %s", s)
	}
}
