package group

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/wire/kerr"
)

// TestMixedGroups plays a group whose members are of both protocols, and come back under the other one, so that the group is upgraded and downgraded
// while its members work. The classic ones give everything up before they join, and the one that leads deals partitions out. Besides what
// TestConsumerGroups says: no partition is owned by two members, whatever protocol each has; in the end every partition has one owner.
func TestMixedGroups(t *testing.T) {
	upgrades, downgrades := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		w := &mixedWorld{consumerWorld: newConsumerWorld(rt)}
		w.rules.batchBytesMax = 1 << 20 // a classic group is one record
		w.load()
		for i, a := range w.agents {
			if i%2 == 0 {
				a.classic = &classicAgent{}
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"beat": w.beat, "beat2": w.beat, "beat3": w.beat, "beat4": w.beat,
			"giveUp":  func(rt *rapid.T) { w.release(w.pick(rt)) },
			"switch":  w.change,
			"vanish":  func(rt *rapid.T) { w.begin(w.pick(rt)) },
			"grow":    w.grow,
			"wait":    w.wait,
			"durable": func(rt *rapid.T) { w.durable(rapid.IntRange(1, 5).Draw(rt, "n")) },
			"crash":   w.crash,
			"":        w.check,
		})
		w.settle()
		upgrades, downgrades = upgrades+w.upgrades, downgrades+w.downgrades
	})
	if upgrades == 0 || downgrades == 0 {
		t.Errorf("%d upgrades and %d downgrades were met", upgrades, downgrades)
	}
}

// classicAgent is what a client of the classic protocol knows.
type classicAgent struct {
	generation int32 // 0: it has to join
	synced     bool
	dealing    []joinedMember // whom it is to deal partitions to
	request    int            // the one under way, or the last
}

type mixedWorld struct {
	*consumerWorld
	upgrades, downgrades int
	kind                 string // of the group, when it was last looked at with members in it
}

func (w *mixedWorld) check(rt *rapid.T) {
	g := w.m.groups["g"]
	w.owners(rt)
	if w.epochs = 0; g != nil && g.consumers != nil { // a group that was left by all counts anew
		w.consumerWorld.check(rt)
	}
	switch {
	case g == nil:
	case g.consumers != nil && len(g.consumers.members) > 0:
		if w.kind == typeName {
			w.upgrades++
		}
		w.kind = consumerTypeName
	case g.consumers == nil && len(g.members) > 0:
		if w.kind == consumerTypeName {
			w.downgrades++
		}
		w.kind = typeName
	case g.consumers == nil && g.state == empty:
		w.kind = ""
	}
}

// begin ends an agent's life in the group without a word: it comes back as somebody else.
func (w *mixedWorld) begin(a *agent) {
	w.forget(a)
	if a.classic != nil {
		a.classic = &classicAgent{request: a.classic.request}
	}
}

// change has an agent come back under the other protocol, after it has left or not.
func (w *mixedWorld) change(rt *rapid.T) {
	a := w.pick(rt)
	if rapid.Bool().Draw(rt, "leave") && !a.asking && a.id != "" {
		if a.classic == nil {
			w.depart(rt, a)
		} else {
			w.step(&leaveCommand{group: "g", members: []leavingMember{{identity: identity{a.id, instanceOf(pointer(a.instance))}}}}, func(any) {})
		}
	}
	w.begin(a)
	if a.classic == nil {
		a.classic = &classicAgent{}
		return
	}
	a.classic = nil
}

func (w *mixedWorld) grow(rt *rapid.T) {
	name := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "topic")
	old := w.view.topics[name]
	w.view = w.view.with(name, fixedTopic{old.id, min(old.partitions+1, 6)})
}

func (w *mixedWorld) beat(rt *rapid.T) {
	a := w.pick(rt)
	lost := rapid.IntRange(0, 5).Draw(rt, "lost") == 0
	switch {
	case a.asking:
	case a.classic == nil:
		w.send(a, rapid.Bool().Draw(rt, "full"), lost)
	default:
		w.ask(a, lost)
	}
}

func (w *mixedWorld) step(command any, then func(any)) {
	w.ticket++
	w.waiting[w.ticket] = then
	w.m.Step(w.now, w.ticket, command, &w.fx)
	w.perform()
}

// ask sends the next request of a classic agent. An answer that is lost has it join again.
func (w *mixedWorld) ask(a *agent, lost bool) {
	c := a.classic
	who := identity{a.id, instanceOf(pointer(a.instance))}
	if a.id == "" {
		who = identity{"", instanceOf(pointer(a.instance))}
	}
	c.request++
	request, sent := c.request, w.now
	a.asking, a.sentAt = true, sent
	answered := func(then func(any)) func(any) {
		return func(response any) {
			if a.classic != c || c.request != request || !a.asking {
				return // it does not wait any more
			}
			a.asking = false
			if lost || !w.now.Before(sent.Add(modelRebalance)) {
				w.rejoin(a)
				return
			}
			then(response)
		}
	}
	switch {
	case c.generation == 0:
		w.rejoin(a)
		w.step(&joinCommand{
			client: client{id: "c"}, group: "g", identity: who, sessionTimeoutMS: int32(modelSession.Milliseconds()), rebalanceTimeoutMS: int32(modelRebalance.Milliseconds()),
			protocolType: consumerProtocolType, protocols: []protocol{{"range", subscription(a.names()...)}},
		}, answered(func(r any) { w.joined(a, r.(joinResult)) }))
	case !c.synced:
		w.step(&syncCommand{group: "g", identity: who, generation: c.generation, assignments: w.deal(c.dealing)}, answered(func(r any) { w.synced(a, sent, r.(syncResult)) }))
	default:
		w.step(&heartbeatCommand{group: "g", identity: who, generation: c.generation}, answered(func(r any) {
			if code := r.(codeResult).code; code != kerr.None {
				w.refused(a, code)
				return
			}
			a.beatAt = sent
		}))
	}
}

// names is what a classic agent subscribes to; it has no expressions.
func (a *agent) names() []string {
	if len(a.topics) == 0 {
		return []string{"a"}
	}
	return a.topics
}

// rejoin has a classic agent give everything up and join next.
func (w *mixedWorld) rejoin(a *agent) {
	a.using, a.assigned = map[partitionID]struct{}{}, map[partitionID]struct{}{}
	a.classic.generation, a.classic.synced, a.classic.dealing = 0, false, nil
}

func (w *mixedWorld) refused(a *agent, code kerr.Code) {
	switch code {
	case kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.CoordinatorNotAvailable:
	case kerr.UnknownMemberID, kerr.FencedInstanceID:
		a.id = ""
	default:
		w.rt.Fatalf("%s: %v", a.id, code)
	}
	w.rejoin(a)
}

func (w *mixedWorld) joined(a *agent, r joinResult) {
	if r.code != kerr.None {
		w.refused(a, r.code)
		return
	}
	a.id, a.classic.generation, a.classic.synced, a.classic.dealing = r.member, r.generation, false, nil
	if r.leader == r.member {
		a.classic.dealing = r.members
	}
}

// deal gives out the partitions of each topic in turn to the members that subscribe to it.
func (w *mixedWorld) deal(members []joinedMember) (all []assignment) {
	shares := map[string]holding{}
	for _, name := range []string{"a", "b"} {
		var takers []string
		for _, mb := range members {
			if s, ok := decodeSubscription(mb.metadata, w.view); ok && slices.Contains(s.topics, name) {
				takers = append(takers, mb.id)
			}
		}
		topic := w.view.topics[name]
		for i := range topic.partitions {
			if len(takers) > 0 {
				to := takers[int(i)%len(takers)]
				shares[to] = append(shares[to], held{partitionID{Topic: topic.id, Index: i}, 0})
			}
		}
	}
	for _, mb := range members {
		all = append(all, assignment{mb.id, encodeAssignment(shares[mb.id], 0, w.view)})
	}
	return all
}

func (w *mixedWorld) synced(a *agent, sent time.Time, r syncResult) {
	if r.code != kerr.None {
		w.refused(a, r.code)
		return
	}
	assigned, ok := decodeAssignment(r.assignment, w.view)
	if !ok {
		w.rt.Fatalf("%s: no assignment: %x", a.id, r.assignment)
	}
	for _, p := range assigned {
		a.using[p], a.assigned[p] = struct{}{}, struct{}{}
	}
	a.classic.synced, a.beatAt = true, sent
}

func (w *mixedWorld) wait(rt *rapid.T) {
	w.pass(time.Duration(rapid.SampledFrom([]int{1, 5, 15, 40}).Draw(rt, "seconds")) * time.Second)
}

// pass lets time go by in seconds: classic agents that have not heard anything for the time of a rebalance stop working.
func (w *mixedWorld) pass(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.idle()
		w.consumerWorld.pass(time.Second)
	}
}

func (w *mixedWorld) idle() {
	for _, a := range w.agents {
		if a.classic != nil && a.classic.synced && !w.now.Add(time.Second).Before(a.beatAt.Add(modelRebalance)) {
			w.rejoin(a)
			a.asking = false
		}
	}
}

func (w *mixedWorld) crash(rt *rapid.T) {
	for _, a := range w.agents {
		if a.classic != nil && a.asking && !a.classic.synced {
			w.rejoin(a)
		}
	}
	w.consumerWorld.crash(rt)
}

// settle lets everybody be well; those that lead notice partitions that have come.
func (w *mixedWorld) settle() {
	w.durable(1 << 30)
	w.pass(time.Minute)
	for round := range 40 {
		for _, a := range w.agents {
			w.durable(1 << 30)
			switch {
			case a.classic == nil:
				w.release(a)
				w.send(a, false, false)
			case a.asking: // its JoinGroup waits for the others
			default:
				if round == 25 {
					w.rejoin(a)
				}
				w.ask(a, false)
			}
			w.durable(1 << 30)
			w.check(w.rt)
		}
		w.pass(3 * time.Second)
	}
	want, owned := map[partitionID]bool{}, 0
	for _, a := range w.agents {
		names := a.topics
		if a.classic != nil {
			names = a.names()
		}
		for _, name := range names {
			topic := w.view.topics[name]
			for i := range topic.partitions {
				want[partitionID{Topic: topic.id, Index: i}] = true
			}
		}
	}
	for _, a := range w.agents {
		owned += len(a.using)
	}
	if owned != len(want) {
		w.rt.Fatalf("%d of %d partitions are owned\n%s", owned, len(want), w.dump(w.m))
	}
	if s := w.m.groups["g"].status(); s != "Stable" {
		w.rt.Fatalf("the group is %s", s)
	}
}
