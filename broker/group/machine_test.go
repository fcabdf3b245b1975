package group

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/wire/kerr"
)

// TestRandomRuns plays random clients, delays, crashes and durability against the machine, checks its consistency after every call,
// that every caller is answered exactly once, that a generation's assignment is answered only when durable, and that replay gives
// the state of the run (invariants 1, 2, 4, 5, 8).
func TestRandomRuns(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newRandomWorld(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"join":      w.join,
			"join2":     w.join,
			"sync":      w.sync,
			"heartbeat": w.heartbeat,
			"commit":    w.commit,
			"fetch":     w.fetch,
			"leave":     w.leave,
			"delete":    w.deleteGroup,
			"transact":  w.transact,
			"end":       w.endTxn,
			"refuse":    w.refuse,
			"compact":   w.compact,
			"durable":   w.makeDurable,
			"wait":      w.wait,
			"crash":     w.crash,
			"":          w.check,
		})
		w.settle()
	})
}

// known is what a client has been told.
type known struct {
	id         string
	instance   instance
	generation int32
	leader     bool
	members    []string
}

type randomWorld struct {
	rt        *rapid.T
	rules     rules
	m         *machine
	fx        coord.Effects
	now       time.Time
	log       []coord.Record
	pending   []coord.Append
	ticket    coord.Ticket
	waiting   map[coord.Ticket]func(any)
	clients   []*known
	acked     map[string]int64 // group → newest acknowledged offset of t-0, of commits that no deletion overlapped
	deletions map[string]int   // group → how many deletions were asked for or answered
	committed int64
	settling  bool
	end       base.Offset       // of the log
	open      map[int64][]int64 // offsets that producers have in their transactions
	aborted   map[int64]bool    // offsets of aborted transactions
}

func newRandomWorld(rt *rapid.T) *randomWorld {
	w := &randomWorld{rt: rt, rules: testRules(), now: time.UnixMilli(1_000_000), waiting: map[coord.Ticket]func(any){}, acked: map[string]int64{}, deletions: map[string]int{}, open: map[int64][]int64{}, aborted: map[int64]bool{}}
	w.rules.groupSizeMax = rapid.IntRange(1, 4).Draw(rt, "size")
	w.rules.batchBytesMax = rapid.SampledFrom([]int{120, 1 << 20}).Draw(rt, "batch")
	w.rules.initialRebalanceDelay = rapid.SampledFrom([]time.Duration{0, 3 * time.Second}).Draw(rt, "delay")
	for i := range 5 {
		c := &known{}
		if i >= 3 {
			c.instance = instance{true, strings.Repeat("static", i-3)} // 3 and 4 differ, and a name may be empty; two processes may share an id, see join
		}
		w.clients = append(w.clients, c)
	}
	w.load()
	return w
}

func (w *randomWorld) load() {
	w.m = newMachine(w.rules)
	w.fx, w.pending = coord.Effects{}, nil
	clear(w.waiting)
	for _, r := range w.log {
		if err := replay(w.m, r); err != nil {
			w.rt.Fatal(err)
		}
	}
	w.m.Loaded(w.now, &w.fx)
	w.perform()
}

func (w *randomWorld) crash(*rapid.T) {
	if len(w.pending) > 0 && rapid.Bool().Draw(w.rt, "some appends arrive") {
		w.apply(w.pending[0], false)
	}
	w.load()
}

func (w *randomWorld) perform() {
	w.pending = append(w.pending, w.fx.Appends...)
	replies := slices.Clone(w.fx.Replies)
	w.fx.Reset()
	for _, r := range replies {
		fn, ok := w.waiting[r.Ticket]
		if !ok {
			w.rt.Fatalf("ticket %d answered twice", r.Ticket)
		}
		delete(w.waiting, r.Ticket)
		fn(r.Response)
	}
}

func (w *randomWorld) step(command any, answer func(any)) {
	w.ticket++
	w.waiting[w.ticket] = answer
	w.m.Step(w.now, w.ticket, command, &w.fx)
	w.perform()
}

func (w *randomWorld) client() *known { return rapid.SampledFrom(w.clients).Draw(w.rt, "client") }

func (w *randomWorld) join(*rapid.T) {
	c := w.client()
	id := c.id
	if c.instance.static && rapid.Bool().Draw(w.rt, "restart") {
		id = ""
	}
	protocols := rapid.SampledFrom([]string{"range:t", "range:t,sticky:t", "sticky:t+u,range:u"}).Draw(w.rt, "protocols")
	cmd := &joinCommand{
		client: client{"c", "/h"}, group: "g", identity: identity{id, c.instance},
		sessionTimeoutMS:   int32(rapid.SampledFrom([]int{6000, 30000}).Draw(w.rt, "session")),
		rebalanceTimeoutMS: int32(rapid.SampledFrom([]int{0, 5000, 60000}).Draw(w.rt, "rebalance")),
		protocolType:       "consumer", protocols: parseProtocols(protocols),
		idRequired: rapid.Bool().Draw(w.rt, "v4"), canSkip: rapid.Bool().Draw(w.rt, "v9"),
	}
	w.step(cmd, func(response any) {
		r := response.(joinResult)
		switch r.code {
		case kerr.None:
			c.id, c.generation, c.leader = r.member, r.generation, r.leader == r.member && !r.skip
			c.members = nil
			for _, m := range r.members {
				c.members = append(c.members, m.id)
			}
			if c.leader && !slices.Contains(c.members, c.id) {
				w.rt.Fatalf("the leader %s is not told of itself: %v", c.id, c.members)
			}
		case kerr.MemberIDRequired:
			c.id = r.member
		case kerr.UnknownMemberID:
			c.id = ""
		case kerr.InconsistentGroupProtocol, kerr.RebalanceInProgress, kerr.GroupMaxSizeReached, kerr.FencedInstanceID,
			kerr.CoordinatorNotAvailable, kerr.UnknownServerError:
			c.id = ""
		default:
			w.rt.Fatalf("join answered %v", r.code)
		}
	})
}

func (w *randomWorld) sync(*rapid.T) {
	c := w.client()
	cmd := &syncCommand{group: "g", identity: identity{c.id, c.instance}, generation: c.generation}
	if c.leader {
		for _, id := range c.members {
			cmd.assignments = append(cmd.assignments, assignment{id, []byte(fmt.Sprintf("%d:%s", c.generation, id))})
		}
	}
	w.step(cmd, func(response any) {
		r := response.(syncResult)
		if r.code == kerr.None && len(r.assignment) > 0 && !w.durableAssignment(r.assignment) {
			w.rt.Fatalf("assignment %q was answered before it was durable", r.assignment)
		}
	})
}

func (w *randomWorld) durableAssignment(assigned []byte) bool {
	return slices.ContainsFunc(w.log, func(r coord.Record) bool {
		key, err := decodeKey(r.Key)
		if _, ok := key.(groupKey); err != nil || !ok || r.Value == nil {
			return false
		}
		v, err := decodeGroupValue(r.Value)
		return err == nil && slices.ContainsFunc(v.members, func(m memberValue) bool { return string(m.assignment) == string(assigned) })
	})
}

func (w *randomWorld) heartbeat(*rapid.T) {
	c := w.client()
	w.step(&heartbeatCommand{"g", identity{c.id, c.instance}, c.generation}, func(any) {})
}

func (w *randomWorld) commit(*rapid.T) {
	c := w.client()
	group, generation := "g", c.generation
	id := identity{c.id, c.instance}
	if rapid.Bool().Draw(w.rt, "simple") {
		group, generation, id = rapid.SampledFrom([]string{"g", "s"}).Draw(w.rt, "group"), -1, identity{}
	}
	w.committed++
	offset := w.committed
	cmd := &commitCommand{group: group, identity: id, generation: generation, retentionMS: -1, missing: kerr.IllegalGeneration}
	for i := range rapid.IntRange(1, 3).Draw(w.rt, "partitions") {
		cmd.offsets = append(cmd.offsets, commitOffset{partition: partitionKey{"t", int32(i)}, offset: offset, epoch: -1})
	}
	deletions := w.deletions[group]
	w.step(cmd, func(response any) {
		if response.(commitResult).codes[0] == kerr.None && w.deletions[group] == deletions {
			w.acked[group] = max(w.acked[group], offset)
		}
	})
}

func (w *randomWorld) fetch(*rapid.T) {
	group := rapid.SampledFrom([]string{"g", "s"}).Draw(w.rt, "group")
	acked, ok := w.acked[group]
	if !ok {
		acked = -1
	}
	cmd := &fetchCommand{group: group, partitions: []fetchPartition{{partition: partitionKey{"t", 0}}}, requireStable: rapid.Bool().Draw(w.rt, "stable")}
	w.step(cmd, func(response any) {
		r := response.(fetchResult).offsets[0]
		if r.code == kerr.UnstableOffsetCommit && cmd.requireStable {
			return
		}
		if r.offset < acked {
			w.rt.Fatalf("group %s: offset %d was acknowledged, %d is read", group, acked, r.offset)
		}
		if w.aborted[r.offset] {
			w.rt.Fatalf("group %s: offset %d is of an aborted transaction", group, r.offset)
		}
		for producer, offsets := range w.open {
			if slices.Contains(offsets, r.offset) {
				w.rt.Fatalf("group %s: offset %d is of the open transaction of producer %d", group, r.offset, producer)
			}
		}
	})
}

// transact commits offsets in the transaction of a producer.
func (w *randomWorld) transact(*rapid.T) {
	w.committed++
	cmd := &commitCommand{group: rapid.SampledFrom([]string{"g", "s"}).Draw(w.rt, "group"), generation: -1, retentionMS: -1}
	cmd.producer = &coord.Producer{ID: rapid.Int64Range(7, 8).Draw(w.rt, "producer")}
	for i := range rapid.IntRange(1, 3).Draw(w.rt, "partitions") {
		cmd.offsets = append(cmd.offsets, commitOffset{partition: partitionKey{"t", int32(i)}, offset: w.committed, epoch: -1})
	}
	w.step(cmd, func(any) {})
}

func (w *randomWorld) endTxn(*rapid.T) {
	m := coord.Marker{ProducerID: rapid.Int64Range(7, 8).Draw(w.rt, "producer"), Commit: rapid.Bool().Draw(w.rt, "commit")}
	w.step(&endTxnCommand{m}, func(any) {})
}

// follow notes whose transaction has which offsets, from what the log says.
func (w *randomWorld) follow(r coord.Record) {
	switch {
	case r.Marker != nil:
		for _, offset := range w.open[r.Marker.ProducerID] {
			w.aborted[offset] = !r.Marker.Commit
		}
		delete(w.open, r.Marker.ProducerID)
	case r.ProducerID >= 0:
		v, err := decodeOffsetValue(r.Value)
		if err != nil {
			w.rt.Fatal(err)
		}
		w.open[r.ProducerID] = append(w.open[r.ProducerID], v.offset)
	}
}

// refuse has the partition's fences refuse an append of a transaction that is under way.
func (w *randomWorld) refuse(*rapid.T) {
	i := slices.IndexFunc(w.pending, func(a coord.Append) bool { return a.Producer != nil || a.Marker != nil })
	if i < 0 {
		return
	}
	a := w.pending[i]
	w.pending = slices.Delete(slices.Clone(w.pending), i, i+1)
	w.m.Refused(w.now, a.Token, kerr.InvalidTxnState, &w.fx)
	w.perform()
}

// compact removes from the log what a compaction by key does: below the oldest open transaction, records of aborted ones, those that a newer one
// of their key has replaced, and markers.
func (w *randomWorld) compact(*rapid.T) {
	clean := w.end
	verdict := make([]*coord.Marker, len(w.log))
	next := map[int64]*coord.Marker{}
	for i := len(w.log) - 1; i >= 0; i-- {
		r := w.log[i]
		if r.Marker != nil {
			next[r.Marker.ProducerID] = r.Marker
		}
		if r.ProducerID >= 0 {
			if verdict[i] = next[r.ProducerID]; verdict[i] == nil {
				clean = r.Offset
			}
		}
	}
	newest := map[string]base.Offset{}
	for i, r := range w.log {
		if r.Offset < clean && r.Marker == nil && (verdict[i] == nil || verdict[i].Commit) {
			newest[string(r.Key)] = r.Offset
		}
	}
	var left []coord.Record
	for _, r := range w.log {
		if r.Offset >= clean || r.Marker != nil || newest[string(r.Key)] == r.Offset {
			left = append(left, r)
		}
	}
	if w.log = left; len(w.pending) == 0 {
		w.compareReplay()
	}
}

func (w *randomWorld) leave(*rapid.T) {
	c := w.client()
	w.step(&leaveCommand{"g", []leavingMember{{identity{c.id, c.instance}, ""}}}, func(any) {})
}

func (w *randomWorld) deleteGroup(*rapid.T) {
	group := rapid.SampledFrom([]string{"g", "s"}).Draw(w.rt, "group")
	acked, ok := w.acked[group]
	delete(w.acked, group) // from here on both are possible
	w.deletions[group]++
	w.step(&deleteGroupCommand{group}, func(response any) {
		w.deletions[group]++
		if ok && response.(codeResult).code != kerr.None {
			w.acked[group] = max(w.acked[group], acked)
		}
	})
}

func (w *randomWorld) makeDurable(*rapid.T) {
	if len(w.pending) == 0 {
		return
	}
	a := w.pending[0]
	w.pending = w.pending[1:]
	w.apply(a, true)
}

func (w *randomWorld) apply(a coord.Append, live bool) {
	for _, r := range recordsOf(a) {
		r.Offset = w.end
		w.end++
		w.log = append(w.log, r)
		w.follow(r)
		if live {
			if err := replay(w.m, r); err != nil {
				w.rt.Fatal(err)
			}
		}
	}
	if live {
		w.m.Applied(w.now, a.Token, &w.fx)
		w.perform()
	}
}

func (w *randomWorld) wait(*rapid.T) {
	w.pass(rapid.SampledFrom([]time.Duration{0, time.Second, 5 * time.Second, 20 * time.Second, time.Minute}).Draw(w.rt, "for"))
}

func (w *randomWorld) pass(d time.Duration) {
	until := w.now.Add(d)
	for range 1000 {
		next, ok := w.m.Next()
		if !ok || next.After(until) {
			w.now = until
			return
		}
		w.now = later(w.now, next)
		w.m.Tick(w.now, &w.fx)
		w.perform()
		if w.settling {
			w.flush()
		}
	}
	w.rt.Fatal("deadlines without end")
}

func (w *randomWorld) flush() {
	for len(w.pending) > 0 {
		w.makeDurable(w.rt)
	}
}

// check asserts what must hold between any two calls.
func (w *randomWorld) check(*rapid.T) {
	for _, g := range w.m.sorted() {
		if err := consistent(g); err != "" {
			w.rt.Fatalf("group %s: %s", g.id, err)
		}
	}
}

func consistent(g *classic) string {
	joining, statics, support := 0, 0, map[string]int{}
	for _, mb := range g.members {
		if mb.joinTicket != 0 {
			joining++
		}
		if mb.instance.static {
			statics++
			if g.byInstance[mb.instance] != mb {
				return "instance " + mb.instance.name + " belongs to another member"
			}
		}
		if g.byID[mb.id] != mb || g.pendingJoin[mb.id] != nil {
			return "member " + mb.id + " is lost, or pending as well"
		}
		if !mb.session.Running() && !mb.waits() && g.state != dead {
			return "member " + mb.id + " can never expire"
		}
		if mb.syncTicket != 0 && g.state != completing {
			return "member " + mb.id + " waits for nothing"
		}
		for _, p := range mb.protocols {
			support[p.name]++
		}
	}
	switch {
	case joining != g.joining || len(g.byID) != len(g.members) || len(g.byInstance) != statics:
		return "counts are wrong"
	case fmt.Sprint(support) != fmt.Sprint(g.support):
		return "support is wrong"
	case len(g.members) > 0 && g.byID[g.leader] == nil:
		return "the leader is no member"
	case (g.state == empty || g.state == dead) != (len(g.members) == 0):
		if g.state != preparing {
			return fmt.Sprintf("%v with %d members", g.state, len(g.members))
		}
	case g.state == preparing && !g.joinPhase.Running():
		return "the join phase has no end"
	case joining > 0 && g.state != preparing && g.state != stable:
		return "joins are parked although nobody prepares"
	}
	return ""
}

// settle lets everything come to an end: all are answered, and a new machine agrees.
func (w *randomWorld) settle() {
	w.settling = true
	w.flush()
	w.check(nil)
	w.compareReplay()
	w.pass(10 * time.Minute)
	w.flush()
	if len(w.waiting) > 0 {
		w.rt.Fatalf("%d callers wait for ever", len(w.waiting))
	}
	w.compareReplay()
}

func (w *randomWorld) compareReplay() {
	loaded := newMachine(w.rules)
	for _, r := range w.log {
		if err := replay(loaded, r); err != nil {
			w.rt.Fatal(err)
		}
	}
	if live, again := durableState(w.m, w.m), durableState(loaded, w.m); live != again {
		w.rt.Fatalf("replay differs from the run\nrun:\n%s\nreplay:\n%s", live, again)
	}
}
