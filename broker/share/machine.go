package share

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/wire/kerr"
)

// Write is a change of a share partition's state, decided by the share partition's leader.
type Write struct {
	StateEpoch  int32
	LeaderEpoch int32
	Start       base.Offset // NoOffset: stays as it is
	Complete    int32
	Batches     []StateBatch
	// Writer is a number drawn by one incarnation of the share partition, Seq ascends with its writes: one that was overtaken by a later
	// one of the same writer is refused.
	Writer, Seq uint64
}

// The commands of the machine. Every one is answered with a result.
type (
	initialize struct {
		key        Key
		stateEpoch int32
		start      base.Offset
	}
	// read is the share partition's leader's. A newer leader epoch is kept, so that older leaders can not write any more.
	read struct {
		key         Key
		leaderEpoch int32
	}
	write struct {
		key Key
		Write
	}
	remove  struct{ key Key }
	summary struct{ key Key }
	// topicsDeleted removes what belongs to topics that do not exist any more.
	topicDeleted struct{ topic base.UUID }
)

// Writes marks commands that append.
func (*write) Writes()      {}
func (*initialize) Writes() {}

// result is the answer to every command; state is set for read and summary.
type result struct {
	code  kerr.Code
	state State
}

// prune asks for the records below an offset to be deleted: no share partition needs them.
type prune struct{ below base.Offset }

// rules are the settings the machine goes by.
type rules struct {
	updatesPerSnapshot int           // updates after which a snapshot is written
	pruneInterval      time.Duration // how often records that are not needed are looked for
	batchBytesMax      int
}

// entry is what the machine knows of a share partition.
type entry struct {
	durable  bool // there is a snapshot
	value    snapshotValue
	updates  int         // since the snapshot
	snapshot base.Offset // where the snapshot lies

	writer, seq uint64            // of the last write; not durable
	busy        bool              // an append is under way
	waiting     []func(time.Time) // what came meanwhile, in order
}

// machine is one partition of __share_group_state. See the package's invariants; coord.Machine says how it is called.
type machine struct {
	rules
	entries map[Key]*entry
	end     base.Offset // of the records replayed
	loaded  bool
	writes  coord.Writes
	timers  coord.Deadlines
	pruning coord.Deadline
	fx      *coord.Effects // of the call being made
}

func newMachine(r rules) *machine { return &machine{rules: r, entries: map[Key]*entry{}} }

// Loaded begins to look for records that are not needed.
func (m *machine) Loaded(now time.Time, fx *coord.Effects) {
	m.loaded = true
	m.pruning.Fire = m.prune
	m.timers.Set(&m.pruning, now.Add(m.pruneInterval))
}

// Next returns the earliest time at which Tick may find something to do.
func (m *machine) Next() (time.Time, bool) { return m.timers.Next() }

// Tick fires deadlines.
func (m *machine) Tick(now time.Time, fx *coord.Effects) {
	defer m.with(fx)()
	m.timers.FireDue(now)
}

func (m *machine) with(fx *coord.Effects) func() {
	m.fx = fx
	return func() { m.fx = nil }
}

// Step takes in a command.
func (m *machine) Step(now time.Time, t coord.Ticket, command any, fx *coord.Effects) {
	defer m.with(fx)()
	switch c := command.(type) {
	case *initialize:
		m.serially(now, c.key, func(now time.Time) { m.initialize(now, t, c) })
	case *read:
		m.serially(now, c.key, func(now time.Time) { m.read(now, t, c) })
	case *write:
		m.serially(now, c.key, func(now time.Time) { m.write(now, t, c) })
	case *remove:
		m.serially(now, c.key, func(now time.Time) { m.remove(t, c) })
	case *summary:
		m.serially(now, c.key, func(time.Time) { m.summary(t, c) })
	case *topicDeleted:
		m.topicDeleted(now, c)
		m.fx.Reply(t, result{})
	default:
		panic(fmt.Sprintf("BUG: no such command %T", command))
	}
}

// serially runs a command once nothing of its share partition is being appended, after those that came before.
func (m *machine) serially(now time.Time, k Key, do func(time.Time)) {
	e := m.entries[k]
	if e == nil {
		e = &entry{}
		m.entries[k] = e
	}
	if e.busy {
		e.waiting = append(e.waiting, do)
		return
	}
	do(now)
	m.dropIfVoid(k, e)
}

func (m *machine) dropIfVoid(k Key, e *entry) {
	if !e.durable && !e.busy {
		delete(m.entries, k)
	}
}

// append appends a record of a share partition and calls then when it has been replayed.
func (m *machine) append(k Key, e *entry, r coord.Record, then func()) {
	e.busy = true
	m.writes.Add(m.fx.Append(r), func(now time.Time) {
		e.busy = false
		then()
		for len(e.waiting) > 0 && !e.busy {
			do := e.waiting[0]
			e.waiting = e.waiting[1:]
			do(now)
		}
		m.dropIfVoid(k, e)
	})
}

// Applied continues what waited for an append.
func (m *machine) Applied(now time.Time, t coord.Token, fx *coord.Effects) {
	defer m.with(fx)()
	m.writes.Applied(now, t)
}

// initialize begins a share partition, or begins it anew under a higher state epoch.
func (m *machine) initialize(now time.Time, t coord.Ticket, c *initialize) {
	e := m.entries[c.key]
	if e.durable && e.value.StateEpoch > c.stateEpoch {
		m.fx.Reply(t, result{code: kerr.FencedStateEpoch})
		return
	}
	if e.durable && e.value.StateEpoch == c.stateEpoch { // asked once more; members may be reading already
		m.fx.Reply(t, result{})
		return
	}
	v := snapshotValue{createMS: now.UnixMilli(), updateMS: now.UnixMilli()}
	if e.durable {
		v.epoch = e.value.epoch + 1
	}
	v.StateEpoch, v.Start, v.Complete = c.stateEpoch, c.start, -1
	m.append(c.key, e, snapshotRecord(c.key, v), func() { m.fx.Reply(t, result{}) })
}

// check returns why the leader with this epoch may not use the state, or None.
func (e *entry) check(leaderEpoch int32) kerr.Code {
	switch {
	case !e.durable:
		return kerr.InvalidRequest
	case leaderEpoch != -1 && leaderEpoch < e.value.LeaderEpoch:
		return kerr.FencedLeaderEpoch
	}
	return kerr.None
}

func (m *machine) read(now time.Time, t coord.Ticket, c *read) {
	e := m.entries[c.key]
	if code := e.check(c.leaderEpoch); code != kerr.None {
		m.fx.Reply(t, result{code: code})
		return
	}
	answer := func() { m.fx.Reply(t, result{state: e.value.State}) }
	if c.leaderEpoch <= e.value.LeaderEpoch {
		answer()
		return
	}
	w := Write{StateEpoch: e.value.StateEpoch, LeaderEpoch: c.leaderEpoch, Start: NoOffset, Complete: e.value.Complete}
	m.append(c.key, e, m.next(now, c.key, e, w), answer)
}

func (m *machine) write(now time.Time, t coord.Ticket, c *write) {
	e := m.entries[c.key]
	code := e.check(c.LeaderEpoch)
	switch {
	case code != kerr.None:
	case c.StateEpoch < e.value.StateEpoch:
		code = kerr.FencedStateEpoch
	case !ordered(c.Batches) || c.StateEpoch > e.value.StateEpoch:
		code = kerr.InvalidRequest
	case c.Writer == e.writer && c.Seq < e.seq: // came late, or once more: what followed it holds
		code = kerr.FencedLeaderEpoch
	}
	if code != kerr.None {
		m.fx.Reply(t, result{code: code})
		return
	}
	r := m.next(now, c.key, e, c.Write)
	if len(r.Key)+len(r.Value)+64 > m.batchBytesMax {
		m.fx.Reply(t, result{code: kerr.MessageTooLarge})
		return
	}
	e.writer, e.seq = c.Writer, c.Seq
	m.append(c.key, e, r, func() { m.fx.Reply(t, result{}) })
}

// next is the record of a write: an update, or a snapshot if there were many updates.
func (m *machine) next(now time.Time, k Key, e *entry, w Write) coord.Record {
	u := updateValue{epoch: e.value.epoch, leaderEpoch: w.LeaderEpoch, start: w.Start, complete: w.Complete, batches: w.Batches}
	if e.updates < m.updatesPerSnapshot {
		return updateRecord(k, u)
	}
	return snapshotRecord(k, e.value.snapshot(u, now))
}

// snapshot is the next snapshot, after an update.
func (v snapshotValue) snapshot(u updateValue, now time.Time) snapshotValue {
	v = v.apply(u)
	v.epoch++
	v.updateMS = now.UnixMilli()
	return v
}

// apply returns the state after an update.
func (v snapshotValue) apply(u updateValue) snapshotValue {
	if u.start != NoOffset {
		v.Start = u.start
	}
	v.LeaderEpoch = max(v.LeaderEpoch, u.leaderEpoch)
	v.Complete = u.complete
	v.Batches = merge(v.Batches, u.batches, max(0, v.Start))
	return v
}

func (m *machine) remove(t coord.Ticket, c *remove) {
	e := m.entries[c.key]
	if !e.durable {
		m.fx.Reply(t, result{})
		return
	}
	m.append(c.key, e, tombstone(c.key), func() { m.fx.Reply(t, result{}) })
}

func (m *machine) summary(t coord.Ticket, c *summary) {
	e := m.entries[c.key]
	if !e.durable {
		m.fx.Reply(t, result{state: State{Start: NoOffset, Complete: -1}})
		return
	}
	s := e.value.State
	s.Batches = nil
	m.fx.Reply(t, result{state: s})
}

func (m *machine) topicDeleted(now time.Time, c *topicDeleted) {
	for _, k := range m.sorted() {
		if k.Topic != c.topic {
			continue
		}
		m.serially(now, k, func(time.Time) {
			if e := m.entries[k]; e.durable {
				m.append(k, e, tombstone(k), func() {})
			}
		})
	}
}

// prune writes snapshots of share partitions that have rested, so that their old records need not stay, and asks for the records that no
// share partition needs to be deleted.
func (m *machine) prune(now time.Time) {
	m.timers.Set(&m.pruning, now.Add(m.pruneInterval))
	below := m.end
	for _, k := range m.sorted() {
		e := m.entries[k]
		if !e.durable {
			continue
		}
		below = min(below, e.snapshot)
		if e.busy || m.end-e.snapshot <= base.Offset(m.updatesPerSnapshot+2*len(m.entries)) {
			continue // not much would be gained; where nothing is written, nothing is written here
		}
		v := e.value
		v.epoch++
		v.updateMS = now.UnixMilli()
		m.append(k, e, snapshotRecord(k, v), func() {})
	}
	if below > 0 {
		m.fx.Do(prune{below})
	}
}

// sorted returns the share partitions in an order that does not depend on that of a map.
func (m *machine) sorted() []Key {
	keys := make([]Key, 0, len(m.entries))
	for k := range m.entries {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b Key) int { return strings.Compare(a.String(), b.String()) })
	return keys
}

// Replay applies a durable record, while loading and afterwards. Records of kinds that are not known are skipped.
func (m *machine) Replay(r coord.Record) error {
	m.end = r.Offset + 1
	typ, k, err := decodeKey(r.Key)
	if err == nil {
		switch {
		case typ == keySnapshot && r.Value == nil:
			m.forget(k)
		case typ == keySnapshot:
			err = m.replaySnapshot(k, r)
		case typ == keyUpdate && r.Value != nil:
			err = m.replayUpdate(k, r)
		}
	}
	if err != nil {
		return base.Errorf(base.Corrupt, "record at offset %d: %w", r.Offset, err)
	}
	return nil
}

func (m *machine) forget(k Key) {
	e := m.entries[k]
	if e == nil {
		return
	}
	e.durable, e.value, e.updates = false, snapshotValue{}, 0
	m.dropIfVoid(k, e)
}

func (m *machine) replaySnapshot(k Key, r coord.Record) error {
	v, err := decodeSnapshot(r.Value)
	if err != nil {
		return fmt.Errorf("snapshot of %s: %w", k, err)
	}
	e := m.entries[k]
	if e == nil {
		e = &entry{}
		m.entries[k] = e
	}
	e.durable, e.value, e.updates, e.snapshot = true, v, 0, r.Offset
	return nil
}

// replayUpdate applies an update. One without its snapshot is what pruning has left of a share partition that was removed.
func (m *machine) replayUpdate(k Key, r coord.Record) error {
	u, err := decodeUpdate(r.Value)
	if err != nil {
		return fmt.Errorf("update of %s: %w", k, err)
	}
	if e := m.entries[k]; e != nil && e.durable {
		e.value = e.value.apply(u)
		e.value.updateMS = max(e.value.updateMS, r.Timestamp)
		e.updates++
	}
	return nil
}
