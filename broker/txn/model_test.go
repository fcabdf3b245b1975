package txn

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/wire/kerr"
)

func testRules() rules {
	return rules{
		timeoutMaxMS: 900_000, idExpiration: 7 * 24 * time.Hour, idCheckInterval: time.Hour,
		batchBytesMax: func() int { return 1 << 20 }, coordinatorEpoch: 3,
	}
}

// world is a machine with a log that keeps what is durable, and with partitions that markers reach when the test says so.
type world struct {
	t       rapid.TB
	rules   rules
	now     time.Time
	m       *machine
	fx      coord.Effects
	log     []coord.Record
	pending []coord.Append // not durable yet
	tickets coord.Ticket
	waiting map[coord.Ticket]func(any)
	sent    []*delivery // everything that was ever asked for
	wanted  []string    // transactional ids that want a producer id
	nextID  int64
	history *history
	incarn  int
}

func newWorld(t rapid.TB) *world {
	w := &world{t: t, rules: testRules(), now: time.UnixMilli(1_000_000), waiting: map[coord.Ticket]func(any){}, nextID: 1000, history: newHistory(t)}
	w.load()
	return w
}

// load is a crash: what is not durable is lost, and so is whoever waits.
func (w *world) load() {
	w.incarn++
	w.pending, w.wanted, w.fx = nil, nil, coord.Effects{}
	w.waiting = map[coord.Ticket]func(any){}
	w.m = newMachine(w.rules)
	for i, r := range w.log {
		r.Offset = base.Offset(i)
		if err := w.m.Replay(r); err != nil {
			w.t.Fatal(err)
		}
	}
	w.m.Loaded(w.now, &w.fx)
	w.perform()
}

func (w *world) perform() {
	w.pending = append(w.pending, w.fx.Appends...)
	for _, a := range w.fx.Actions {
		switch a := a.(type) {
		case sendMarkers:
			w.history.asked(a.delivery)
			w.sent = append(w.sent, a.delivery)
		case findID:
			w.wanted = append(w.wanted, a.id)
		}
	}
	replies := slices.Clone(w.fx.Replies) // callers may step at once
	w.fx.Reset()
	for _, r := range replies {
		fn, ok := w.waiting[r.Ticket]
		if !ok {
			w.t.Fatalf("ticket %d was answered twice, or never given", r.Ticket)
		}
		delete(w.waiting, r.Ticket)
		fn(r.Response)
	}
}

func (w *world) step(command any, fn func(any)) {
	w.tickets++
	w.waiting[w.tickets] = fn
	w.m.Step(w.now, w.tickets, command, &w.fx)
	w.perform()
}

// flush makes the oldest append durable.
func (w *world) flush() bool {
	if len(w.pending) == 0 {
		return false
	}
	a := w.pending[0]
	w.pending = w.pending[1:]
	w.durable(a.Records)
	for i, r := range a.Records {
		r.Offset = base.Offset(len(w.log) - len(a.Records) + i)
		if err := w.m.Replay(r); err != nil {
			w.t.Fatal(err)
		}
	}
	w.m.Applied(w.now, a.Token, &w.fx)
	w.perform()
	return true
}

func (w *world) durable(records []coord.Record) {
	for _, r := range records {
		w.history.record(r)
		w.log = append(w.log, r)
	}
}

// fail has the oldest append fail, which may be in the log all the same.
func (w *world) fail(kept bool) {
	if len(w.pending) > 0 && kept {
		w.durable(w.pending[0].Records)
	}
	w.load()
}

// write writes a marker and tells the machine, if the one that asked is still there.
func (w *world) write(d *delivery, partitions []TopicPartition) {
	for _, p := range partitions {
		w.history.marker(d, p)
	}
	w.step(&markersWritten{d, partitions}, func(any) {})
}

// init runs InitProducerId to its end, with a producer id if one is needed.
func (w *world) init(c initCommand, fn func(initResult)) {
	c.freshID = noID
	w.step(&c, func(r any) {
		res := r.(initResult)
		if !res.needID {
			fn(res)
			return
		}
		again := c
		w.nextID++
		again.freshID = w.nextID
		w.step(&again, func(r any) { fn(r.(initResult)) })
	})
}

func (w *world) end(c endCommand, fn func(endResult)) {
	c.freshID = noID
	w.step(&c, func(r any) {
		res := r.(endResult)
		if !res.needID {
			fn(res)
			return
		}
		again := c
		w.nextID++
		again.freshID = w.nextID
		w.step(&again, func(r any) { fn(r.(endResult)) })
	})
}

// settle finishes what is under way: every append becomes durable, every marker is written.
func (w *world) settle() {
	for range 1000 {
		busy := w.flush()
		for _, d := range w.sent {
			x := w.m.ids[d.id]
			if x != nil && x.ending == d && len(d.pending) > 0 {
				w.write(d, slices.Clone(d.partition))
				busy = true
			}
		}
		for len(w.wanted) > 0 {
			id := w.wanted[0]
			w.wanted = w.wanted[1:]
			w.nextID++
			w.step(&abortCommand{id, w.nextID}, func(any) {})
			busy = true
		}
		if !busy {
			return
		}
	}
	w.t.Fatal("it does not come to rest")
}

// history holds what must be true of the log and the markers, whatever happened.
type history struct {
	t    rapid.TB
	ids  map[string]*past
	left map[int64]string // producer ids that were left, by transactional id
}

type past struct {
	value
	epochs map[int64]int16               // the highest of each producer id
	told   map[TopicPartition]struct{}   // of the verdict that is being told
	ends   int                           // verdicts
	mark   map[TopicPartition][]identity // markers in order
}

func newHistory(t rapid.TB) *history {
	return &history{t: t, ids: map[string]*past{}, left: map[int64]string{}}
}

var follows = map[state][]state{
	empty: {empty, completeCommit, completeAbort}, ongoing: {empty, ongoing, completeCommit, completeAbort},
	prepareCommit: {ongoing}, prepareAbort: {ongoing, empty, completeCommit, completeAbort},
	completeCommit: {prepareCommit}, completeAbort: {prepareAbort},
}

func (h *history) record(r coord.Record) {
	id, _, err := decodeKey(r.Key)
	if err != nil {
		h.t.Fatal(err)
	}
	if r.Value == nil {
		delete(h.ids, id)
		return
	}
	v, err := decodeValue(r.Value)
	if err != nil {
		h.t.Fatal(err)
	}
	p := h.ids[id]
	if p == nil {
		if v.state != empty {
			h.t.Fatalf("%s begins as %v", id, v.state)
		}
		p = &past{epochs: map[int64]int16{}, mark: map[TopicPartition][]identity{}}
		h.ids[id] = p
	} else if !slices.Contains(follows[v.state], p.state) {
		h.t.Fatalf("%s: %v after %v", id, v.state, p.state)
	}
	if owner, ok := h.left[v.producerID]; ok {
		h.t.Fatalf("%s has producer id %d, which %s has left", id, v.producerID, owner)
	}
	if before, ok := p.epochs[v.producerID]; ok && v.epoch < before {
		h.t.Fatalf("%s: epoch %d of producer id %d after %d", id, v.epoch, v.producerID, before)
	}
	if p.producerID != v.producerID && len(p.epochs) > 0 {
		h.left[p.producerID] = id
	}
	p.epochs[v.producerID] = v.epoch
	switch v.state {
	case completeCommit, completeAbort:
		for _, tp := range p.partitions {
			if _, ok := p.told[tp]; !ok {
				h.t.Fatalf("%s is complete, and %v was not told", id, tp)
			}
		}
	case prepareCommit, prepareAbort:
		p.told = map[TopicPartition]struct{}{}
		p.ends++
	}
	p.value = v
}

// asked checks that only a durable verdict is told, as it is.
func (h *history) asked(d *delivery) {
	p := h.ids[d.id]
	if p == nil || !p.state.ending() || d.commit != (p.state == prepareCommit) || d.producer != (identity{p.producerID, p.epoch}) || !slices.Equal(d.partition, p.partitions) {
		h.t.Fatalf("told is %+v, durable %+v", d, p)
	}
}

// marker is a marker that reaches a partition.
func (h *history) marker(d *delivery, tp TopicPartition) {
	p := h.ids[d.id]
	if p == nil || !p.state.ending() || d.producer != (identity{p.producerID, p.epoch}) {
		return // late: the partition's leader refuses it by its epoch, or it has nothing to end
	}
	p.told[tp] = struct{}{}
	p.mark[tp] = append(p.mark[tp], d.producer)
}

// Whatever commands come, whenever the process dies, and however often a marker is told: each transaction ends one way, and epochs never go back.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		names := []string{"a", "b"}
		known := map[string][]identity{} // what clients have been told
		learn := func(id string, who identity) {
			if who.id != noID && !slices.Contains(known[id], who) {
				known[id] = append(known[id], who)
			}
		}
		drawIdentity := func(id string) identity {
			if len(known[id]) == 0 {
				return identity{1, 0}
			}
			k := known[id]
			return k[len(k)-1-min(len(k)-1, rapid.IntRange(0, 5).Draw(t, "back")/2)]
		}
		name := func() string { return rapid.SampledFrom(names).Draw(t, "id") }
		partitions := func() []TopicPartition {
			return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) TopicPartition {
				return TopicPartition{rapid.SampledFrom([]string{"x", "y"}).Draw(t, "topic"), int32(rapid.IntRange(0, 2).Draw(t, "index"))}
			}), 1, 3).Draw(t, "partitions")
		}
		t.Repeat(map[string]func(*rapid.T){
			"init": func(t *rapid.T) {
				c := initCommand{id: name(), timeoutMS: 60_000}
				if rapid.Bool().Draw(t, "expected") {
					who := drawIdentity(c.id)
					c.expected = &who
				}
				w.init(c, func(r initResult) {
					if r.code == kerr.None {
						learn(c.id, r.producer)
					}
				})
			},
			"add": func(t *rapid.T) {
				c := addCommand{id: name(), partitions: partitions(), verify: rapid.IntRange(0, 4).Draw(t, "verify") == 0, version: int16(2 * rapid.IntRange(0, 1).Draw(t, "version"))}
				c.producer = drawIdentity(c.id)
				w.step(&c, func(r any) {
					p := w.history.ids[c.id]
					if res := r.(addResult); res.code == kerr.None && res.codes == nil && (p.state != ongoing || !contains(p.partitions, c.partitions[0])) {
						t.Fatalf("%v was added, and %s is %v with %v", c.partitions, c.id, p.state, p.partitions)
					}
				})
			},
			"end": func(t *rapid.T) {
				c := endCommand{id: name(), commit: rapid.Bool().Draw(t, "commit"), version: int16(2 * rapid.IntRange(0, 1).Draw(t, "version"))}
				c.producer = drawIdentity(c.id)
				w.end(c, func(r endResult) {
					if r.code != kerr.None {
						return
					}
					p := w.history.ids[c.id]
					if committed := p.state == prepareCommit || p.state == completeCommit; committed != c.commit {
						t.Fatalf("commit=%v was promised, and %s is %v", c.commit, c.id, p.state)
					}
					learn(c.id, r.producer)
				})
			},
			"exhaust": func(t *rapid.T) { // by hand: nobody waits for 32,766 epochs
				x := w.m.ids[name()]
				if x == nil || !x.durable || x.writing || x.state == ongoing || x.state.ending() || x.epoch >= epochMax-1 || len(w.pending) > 0 {
					t.Skip("not now")
				}
				v := x.next(w.now, empty)
				v.epoch, v.partitions, v.startMS, v.lastEpoch = epochMax-1, nil, noTime, noEpoch
				w.durable([]coord.Record{record(x.id, v)})
				learn(x.id, identity{v.producerID, v.epoch})
				w.load()
			},
			"flush": func(t *rapid.T) { w.flush() },
			"write": func(t *rapid.T) {
				if len(w.sent) == 0 {
					t.Skip("nothing was sent")
				}
				d := w.sent[len(w.sent)-1-min(len(w.sent)-1, rapid.IntRange(0, 3).Draw(t, "back"))]
				w.write(d, []TopicPartition{rapid.SampledFrom(d.partition).Draw(t, "partition")})
			},
			"crash": func(t *rapid.T) { w.load() },
			"fail":  func(t *rapid.T) { w.fail(rapid.Bool().Draw(t, "kept")) },
			"wait": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.SampledFrom([]int{1, 10_000, 61_000, 3_600_000, 8 * 24 * 3_600_000}).Draw(t, "ms")) * time.Millisecond)
				w.m.Tick(w.now, &w.fx)
				w.perform()
			},
			"id": func(t *rapid.T) {
				if len(w.wanted) == 0 {
					t.Skip("nobody wants one")
				}
				id := w.wanted[0]
				w.wanted = w.wanted[1:]
				w.nextID++
				w.step(&abortCommand{id, w.nextID}, func(any) {})
			},
		})
		w.settle()
		if n := len(w.waiting); n > 0 {
			t.Fatalf("%d callers wait for ever", n)
		}
		for id, x := range w.m.ids {
			if x.writing || x.state.ending() || x.ending != nil {
				t.Fatalf("%s does not come to an end: %v", id, x.state)
			}
		}
		w.sameAsLoaded()
		w.now = w.now.Add(2 * time.Minute)
		for range 3 { // no transaction stays open beyond its timeout
			w.m.Tick(w.now, &w.fx)
			w.perform()
			w.settle()
		}
		for id, x := range w.m.ids {
			if x.state == ongoing {
				t.Fatalf("%s stays open: %+v", id, x.value)
			}
		}
	})
}

// sameAsLoaded checks that loading the log gives what the machine has.
func (w *world) sameAsLoaded() {
	was := map[string]value{}
	for id, x := range w.m.ids {
		was[id] = x.value
	}
	other := newMachine(w.rules)
	for i, r := range w.log {
		r.Offset = base.Offset(i)
		if err := other.Replay(r); err != nil {
			w.t.Fatal(err)
		}
	}
	is := map[string]value{}
	for id, x := range other.ids {
		is[id] = x.value
	}
	if !reflect.DeepEqual(was, is) {
		w.t.Fatalf("the machine has\n%s\nloaded is\n%s", show(was), show(is))
	}
}

func show(all map[string]value) (s string) {
	for id, v := range all {
		s += fmt.Sprintf("%s: %+v\n", id, v)
	}
	return s
}
