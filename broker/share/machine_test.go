package share

import (
	"slices"
	"testing"
	"time"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/test/fixture"
	"sluice/wire/kerr"
)

// desk drives a machine on a log in memory.
type desk struct {
	t       *testing.T
	m       *machine
	now     time.Time
	log     []coord.Record
	fx      coord.Effects
	ticket  coord.Ticket
	answers map[coord.Ticket]result
	appends []coord.Append // not durable yet
	pruned  base.Offset
}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, now: time.Unix(1000, 0), answers: map[coord.Ticket]result{}}
	d.load()
	return d
}

// load makes a machine of the log.
func (d *desk) load() {
	d.m = newMachine(rules{updatesPerSnapshot: 3, pruneInterval: time.Minute, batchBytesMax: 1 << 20})
	for _, r := range d.log {
		if err := d.m.Replay(r); err != nil {
			d.t.Fatal(err)
		}
	}
	d.fx, d.appends = coord.Effects{}, nil
	d.m.Loaded(d.now, &d.fx)
}

func (d *desk) perform() {
	for _, r := range d.fx.Replies {
		if _, twice := d.answers[r.Ticket]; twice {
			d.t.Fatal("answered twice")
		}
		d.answers[r.Ticket] = r.Response.(result)
	}
	d.appends = append(d.appends, d.fx.Appends...)
	for _, a := range d.fx.Actions {
		d.pruned = a.(prune).below
	}
	d.fx.Reset()
}

// submit hands a command in and returns its ticket.
func (d *desk) submit(command any) coord.Ticket {
	d.ticket++
	d.m.Step(d.now, d.ticket, command, &d.fx)
	d.perform()
	return d.ticket
}

// settle makes everything durable.
func (d *desk) settle() {
	for len(d.appends) > 0 {
		a := d.appends[0]
		d.appends = d.appends[1:]
		for _, r := range a.Records {
			r.Offset, r.Timestamp = base.Offset(len(d.log)), d.now.UnixMilli()
			d.log = append(d.log, r)
			if err := d.m.Replay(r); err != nil {
				d.t.Fatal(err)
			}
		}
		d.m.Applied(d.now, a.Token, &d.fx)
		d.perform()
	}
}

func (d *desk) do(command any) result {
	d.t.Helper()
	t := d.submit(command)
	d.settle()
	r, ok := d.answers[t]
	if !ok {
		d.t.Fatal("no answer")
	}
	return r
}

func (d *desk) want(command any, code kerr.Code) State {
	d.t.Helper()
	r := d.do(command)
	if r.code != code {
		d.t.Fatalf("%T: %s, want %s", command, r.code, code)
	}
	return r.state
}

var key = Key{"g", base.UUID{7}, 3}

func TestCoordinatorStory(t *testing.T) {
	d := newDesk(t)
	d.want(&read{key, 1}, kerr.InvalidRequest)
	d.want(&write{key, Write{}}, kerr.InvalidRequest)
	if s := d.want(&summary{key}, kerr.None); s.Start != NoOffset {
		t.Fatal(s)
	}
	d.want(&initialize{key, 2, NoOffset}, kerr.None)
	d.want(&initialize{key, 1, 9}, kerr.FencedStateEpoch)
	if s := d.want(&read{key, 5}, kerr.None); s.Start != NoOffset || s.StateEpoch != 2 || s.LeaderEpoch != 5 {
		t.Fatal(s)
	}
	d.want(&read{key, 4}, kerr.FencedLeaderEpoch)
	w := Write{StateEpoch: 2, LeaderEpoch: 5, Start: 10, Complete: 1, Batches: []StateBatch{{10, 11, Available, 1}, {12, 12, Acknowledged, 1}}, Writer: 1, Seq: 1}
	d.want(&write{key, w}, kerr.None)
	older, state := w, w
	older.LeaderEpoch, state.StateEpoch = 4, 1
	d.want(&write{key, older}, kerr.FencedLeaderEpoch)
	d.want(&write{key, state}, kerr.FencedStateEpoch)
	w.Seq, w.Start, w.Complete, w.Batches = 3, 13, 0, nil
	d.want(&write{key, w}, kerr.None)
	w.Seq, w.Start = 2, 10
	d.want(&write{key, w}, kerr.FencedLeaderEpoch) // it was overtaken
	d.load()
	if s := d.want(&read{key, 5}, kerr.None); s.Start != 13 || len(s.Batches) != 0 || s.Complete != 0 {
		t.Fatal(s)
	}
	d.want(&initialize{key, 2, 50}, kerr.None) // again: nothing changes
	if s := d.want(&summary{key}, kerr.None); s.Start != 13 {
		t.Fatal(s)
	}
	d.want(&initialize{key, 3, 50}, kerr.None)
	if s := d.want(&summary{key}, kerr.None); s.Start != 50 || s.StateEpoch != 3 {
		t.Fatal(s)
	}
	d.want(&remove{key}, kerr.None)
	d.want(&remove{key}, kerr.None)
	d.want(&read{key, 9}, kerr.InvalidRequest)
	if d.load(); len(d.m.entries) != 0 {
		t.Fatal("something is left")
	}
}

// Commands of one share partition wait for each other; those of another do not.
func TestCoordinatorSerial(t *testing.T) {
	d := newDesk(t)
	d.want(&initialize{key, 1, 0}, kerr.None)
	first := d.submit(&initialize{key, 2, 5})
	late := d.submit(&write{key, Write{StateEpoch: 1, Start: 7}})
	other := d.submit(&summary{Key{"h", base.UUID{7}, 3}})
	if _, ok := d.answers[late]; ok || d.answers[other].code != kerr.None {
		t.Fatal("not in order")
	}
	d.settle()
	if d.answers[first].code != kerr.None || d.answers[late].code != kerr.FencedStateEpoch {
		t.Fatal(d.answers)
	}
}

func TestCoordinatorSnapshotsAndPruning(t *testing.T) {
	d := newDesk(t)
	idle := Key{"idle", base.UUID{1}, 0}
	d.want(&initialize{idle, 1, 5}, kerr.None)
	d.want(&initialize{key, 1, 0}, kerr.None)
	for i := range 20 {
		at := base.Offset(2 * i)
		d.want(&write{key, Write{StateEpoch: 1, Start: 0, Batches: []StateBatch{{at, at, Acknowledged, 1}}}}, kerr.None)
	}
	before := d.want(&read{key, 0}, kerr.None)
	snapshots := 0
	for _, r := range d.log {
		if typ, k, _ := decodeKey(r.Key); typ == keySnapshot && k == key {
			snapshots++
		}
	}
	if snapshots != 6 || len(before.Batches) != 20 { // the first, and one after every three updates
		t.Fatal(snapshots, before)
	}
	d.now = d.now.Add(time.Hour)
	d.m.Tick(d.now, &d.fx)
	d.perform()
	d.settle() // the idle one holds up everything: it is written anew
	d.now = d.now.Add(time.Hour)
	d.m.Tick(d.now, &d.fx)
	d.perform()
	if d.pruned < 15 {
		t.Fatal("pruned below", d.pruned)
	}
	n := len(d.log)
	for range 3 {
		d.now = d.now.Add(time.Hour)
		d.m.Tick(d.now, &d.fx)
		d.perform()
		d.settle()
	}
	if len(d.log) != n {
		t.Fatal("an idle coordinator writes")
	}
	d.log = d.log[d.pruned:]
	d.load()
	if after := d.want(&read{key, 0}, kerr.None); !slices.Equal(after.Batches, before.Batches) {
		t.Fatal(after)
	}
	if s := d.want(&summary{idle}, kerr.None); s.Start != 5 {
		t.Fatal(s)
	}
	d.do(&topicDeleted{base.UUID{1}})
	d.settle()
	if s := d.want(&summary{idle}, kerr.None); s.Start != NoOffset {
		t.Fatal("state of a topic that is gone:", s)
	}
}

func TestQuestions(t *testing.T) {
	w := Write{StateEpoch: 1, LeaderEpoch: 2, Start: 3, Complete: 4, Batches: []StateBatch{{5, 6, Archived, 2}}, Writer: 1<<63 + 1, Seq: 8}
	for _, c := range []any{&initialize{key, 1, 2}, &read{key, 3}, &write{key, w}, &remove{key}, &summary{key}} {
		k, got, err := decodeQuestion(encodeQuestion(key, c))
		if err != nil || k != key || string(encodeQuestion(k, got)) != string(encodeQuestion(key, c)) {
			t.Fatalf("%T: %v", c, err)
		}
	}
	a := result{code: kerr.FencedStateEpoch, state: State{1, 2, 3, 4, []StateBatch{{5, 6, Archived, 2}}}}
	got, err := decodeAnswer(encodeAnswer(a))
	if err != nil || got.code != a.code || got.state.Complete != 4 || !slices.Equal(got.state.Batches, a.state.Batches) {
		t.Fatal(got, err)
	}
}

// Records as the first version wrote them, key and value, are read for ever.
func TestOldFormats(t *testing.T) {
	batches := []StateBatch{{5, 6, Available, 1}, {8, 9, Acknowledged, 2}}
	v := snapshotValue{State: State{2, 4, 5, 2, batches}, epoch: 3, createMS: 100, updateMS: 200}
	u := updateValue{epoch: 3, leaderEpoch: 5, start: 6, complete: 3, batches: []StateBatch{{6, 6, Archived, 5}}}
	one, two := snapshotRecord(key, v), updateRecord(key, u)
	m := newMachine(rules{updatesPerSnapshot: 3, pruneInterval: time.Minute, batchBytesMax: 1 << 20})
	for name, r := range map[string]*coord.Record{"snapshot-v0": &one, "update-v0": &two} {
		r.Key = fixture.Bytes(t, name+"-key", func() []byte { return r.Key })
		r.Value = fixture.Bytes(t, name, func() []byte { return r.Value })
	}
	for _, r := range []coord.Record{one, two} {
		if err := m.Replay(r); err != nil {
			t.Fatal(err)
		}
	}
	s := m.entries[key].value
	if s.StateEpoch != 2 || s.LeaderEpoch != 5 || s.Start != 6 || s.Complete != 3 || s.epoch != 3 ||
		!slices.Equal(s.Batches, []StateBatch{{6, 6, Archived, 5}, {8, 9, Acknowledged, 2}}) {
		t.Fatalf("%+v", s)
	}
}

func FuzzReplay(f *testing.F) {
	one := snapshotRecord(key, snapshotValue{State: State{2, 4, 5, 2, []StateBatch{{5, 6, Available, 1}}}})
	two := updateRecord(key, updateValue{start: 6, complete: -1, batches: []StateBatch{{6, 6, Archived, 5}}})
	for _, r := range []coord.Record{one, two} {
		f.Add(r.Key, r.Value)
	}
	f.Fuzz(func(t *testing.T, k, v []byte) {
		m := newMachine(rules{updatesPerSnapshot: 3, pruneInterval: time.Minute, batchBytesMax: 1 << 20})
		if err := m.Replay(one); err != nil {
			t.Fatal(err)
		}
		if err := m.Replay(coord.Record{Key: k, Value: v}); err != nil && !base.IsKind(err, base.Corrupt) {
			t.Fatal(err)
		}
		for _, e := range m.entries {
			if !ordered(e.value.Batches) {
				t.Fatal(e.value)
			}
		}
	})
}

func FuzzQuestion(f *testing.F) {
	f.Add(encodeQuestion(key, &write{key, Write{Batches: []StateBatch{{5, 6, Archived, 2}}}}))
	f.Add(encodeAnswer(result{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, c, err := decodeQuestion(b); err == nil {
			encodeQuestion(k, c)
		}
		decodeAnswer(b)
		DecodeEnd(b)
	})
}
