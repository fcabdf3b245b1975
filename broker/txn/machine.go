package txn

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"sluice/base"
	"sluice/base/seeded"
	"sluice/broker/coord"
	"sluice/wire/kerr"
)

// rules are the settings the machine goes by; see Config for what they mean.
type rules struct {
	timeoutMaxMS     int64
	idExpiration     time.Duration
	idCheckInterval  time.Duration
	batchBytesMax    func() int
	coordinatorEpoch int32 // the leader epoch of the partition
}

// epochMax is the highest epoch; it is used to fence the last producer of a producer id and never given to a client.
const epochMax int16 = math.MaxInt16

// exhausted reports whether a producer id has no epoch left to give.
func exhausted(epoch int16) bool { return epoch >= epochMax-1 }

// identity is an incarnation of a producer, as a client names it.
type identity struct {
	id    int64
	epoch int16
}

// transaction is a transactional id and its last transaction.
type transaction struct {
	id      string
	value        // durable
	durable bool // there is a record of it
	writing bool // a record of it is under way
	ending  *delivery
	timeout coord.Deadline
	// waiting are those who want to add partitions and cannot before what is under way has come to its end; patience is for how long.
	waiting  []adder
	patience coord.Deadline
}

// delivery is the telling of one verdict. Its pointer names it: what comes back is compared with it.
type delivery struct {
	id        string
	producer  identity // as the markers carry it
	commit    bool
	version   int16
	epoch     int32 // of the coordinator
	partition []TopicPartition
	pending   map[TopicPartition]struct{} // not known to be written yet; the machine's
	began     time.Time
}

// machine is one partition's transactional ids. See the package's invariants; coord.Machine says how it is called.
type machine struct {
	rules
	ids    map[string]*transaction
	timers coord.Deadlines
	expiry coord.Deadline

	loaded bool
	writes coord.Writes
	fx     *coord.Effects // of the call being made
}

func newMachine(r rules) *machine {
	return &machine{rules: r, ids: map[string]*transaction{}}
}

// Actions that the machine asks for.
type (
	// sendMarkers tells a verdict to the leaders of its partitions.
	sendMarkers struct{ *delivery }
	// findID wants an abortCommand with a producer id for a transaction that has run out of time and of epochs.
	findID struct{ id string }
)

// Loaded tells every verdict that is not known to have reached its partitions.
func (m *machine) Loaded(now time.Time, fx *coord.Effects) {
	defer m.with(fx)()
	m.loaded = true
	m.expiry.Fire = m.expireIDs
	m.timers.Set(&m.expiry, now.Add(m.idCheckInterval))
	for _, t := range m.sorted() {
		if t.state == prepareCommit && seeded.Bug(seeded.VerdictFlipped) {
			t.state = prepareAbort
		}
		if t.state.ending() {
			m.deliver(now, t)
		}
	}
}

// Step takes in a command.
func (m *machine) Step(now time.Time, t coord.Ticket, command any, fx *coord.Effects) {
	defer m.with(fx)()
	switch c := command.(type) {
	case *initCommand:
		m.init(now, t, c)
	case *addCommand:
		m.add(now, t, c)
	case *endCommand:
		m.end(now, t, c)
	case *abortCommand:
		if x := m.ids[c.id]; x != nil {
			m.timedOut(now, x, c.freshID)
		}
		fx.Reply(t, nil)
	case *markersWritten:
		m.markersWritten(now, c)
		fx.Reply(t, nil)
	case *describeCommand:
		fx.Reply(t, m.describe(c))
	case *listCommand:
		fx.Reply(t, m.list(now, c))
	default:
		panic(fmt.Sprintf("BUG: no such command %T", command))
	}
}

// Applied continues what waited for an append.
func (m *machine) Applied(now time.Time, t coord.Token, fx *coord.Effects) {
	defer m.with(fx)()
	m.writes.Applied(now, t)
}

// Tick fires deadlines.
func (m *machine) Tick(now time.Time, fx *coord.Effects) {
	defer m.with(fx)()
	m.timers.FireDue(now)
}

// Next returns the earliest time at which Tick may find something to do.
func (m *machine) Next() (time.Time, bool) { return m.timers.Next() }

// with sets the effects of a call and returns what takes them away again.
func (m *machine) with(fx *coord.Effects) func() {
	m.fx = fx
	return func() { m.fx = nil }
}

// write appends what is to become of a transactional id, one record after the other, and calls then when they are replayed. False if they are too
// large to be a record.
func (m *machine) write(x *transaction, then func(now time.Time), values ...value) bool {
	records := make([]coord.Record, len(values))
	bytes := 0
	for i, v := range values {
		records[i] = record(x.id, v)
		bytes += recordBytes(records[i])
	}
	if bytes > m.batchBytesMax() {
		return false
	}
	x.writing = true
	m.timersOff(x)
	m.writes.Add(m.fx.Append(records...), func(now time.Time) {
		x.writing = false
		m.arm(x)
		then(now)
		m.resume(now, x)
	})
	return true
}

// recordBytes bounds what a record takes in a batch: its key and value, lengths and deltas.
func recordBytes(r coord.Record) int { return len(r.Key) + len(r.Value) + 32 }

func (m *machine) timersOff(x *transaction) { x.timeout.Cancel() }

// arm sets the timeout of an ongoing transaction.
func (m *machine) arm(x *transaction) {
	if x.state == ongoing && !x.writing {
		m.timers.Set(&x.timeout, time.UnixMilli(x.startMS+int64(x.timeoutMS)+1))
		return
	}
	x.timeout.Cancel()
}

// adopt returns a transactional id, made if it is not known.
func (m *machine) adopt(id string) *transaction {
	x := m.ids[id]
	if x == nil {
		x = &transaction{id: id, value: value{producerID: noID, previousID: noID, nextID: noID, epoch: noEpoch, lastEpoch: noEpoch, startMS: noTime}}
		x.timeout.Fire = func(now time.Time) { m.timedOut(now, x, noID) }
		x.patience.Fire = func(time.Time) { m.giveUp(x) }
		m.ids[id] = x
	}
	return x
}

// find returns a transactional id, nil if nothing is known of it. One that is being made is not known yet.
func (m *machine) find(id string) *transaction {
	if x := m.ids[id]; x != nil && x.durable {
		return x
	}
	return nil
}

// sorted returns all ids ascending, so that nothing depends on the order of a map.
func (m *machine) sorted() []*transaction {
	all := make([]*transaction, 0, len(m.ids))
	for _, x := range m.ids {
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b *transaction) int { return strings.Compare(a.id, b.id) })
	return all
}

// next is what the record after this one starts from.
func (x *transaction) next(now time.Time, to state) value {
	v := x.value
	v.state, v.previousID, v.updateMS = to, x.producerID, now.UnixMilli()
	return v
}

// expireIDs forgets transactional ids that nobody has used for long.
func (m *machine) expireIDs(now time.Time) {
	m.timers.Set(&m.expiry, now.Add(m.idCheckInterval))
	var gone []*transaction
	var records []coord.Record
	bytes := 0
	flush := func() {
		if len(gone) == 0 {
			return
		}
		ids := gone
		m.writes.Add(m.fx.Append(records...), func(time.Time) {
			m.fx.Note("transactional ids expired", "ids", len(ids), "first", ids[0].id)
			for _, x := range ids {
				m.forsake(x, kerr.InvalidProducerIDMapping)
			}
		})
		gone, records, bytes = nil, nil, 0
	}
	for _, x := range m.sorted() {
		if x.writing || !x.durable || x.state == ongoing || x.state.ending() || x.updateMS > now.Add(-m.idExpiration).UnixMilli() {
			continue
		}
		r := tombstone(x.id)
		if bytes += recordBytes(r); bytes > m.batchBytesMax() {
			flush()
			bytes = recordBytes(r)
		}
		x.writing = true
		gone, records = append(gone, x), append(records, r)
	}
	flush()
}

// Replay applies a durable record, while loading and afterwards.
func (m *machine) Replay(r coord.Record) error {
	id, ok, err := decodeKey(r.Key)
	if err != nil {
		return base.Errorf(base.Corrupt, "record at offset %d: key: %w", r.Offset, err)
	}
	if !ok {
		return nil
	}
	if r.Value == nil {
		if x := m.ids[id]; x != nil {
			x.timeout.Cancel()
			delete(m.ids, id)
		}
		return nil
	}
	v, err := decodeValue(r.Value)
	if err != nil {
		return base.Errorf(base.Corrupt, "record at offset %d: transactional id %q: %w", r.Offset, id, err)
	}
	x := m.adopt(id)
	x.value, x.durable = v, true
	if !m.loaded && !seeded.Bug(seeded.TimeoutForgotten) {
		m.arm(x)
	}
	return nil
}

func (m *machine) describe(c *describeCommand) described {
	x := m.find(c.id)
	if x == nil {
		return described{code: kerr.TransactionalIDNotFound}
	}
	d := described{value: x.value}
	if x.ending != nil {
		d.partitions = slices.DeleteFunc(slices.Clone(x.partitions), func(p TopicPartition) bool {
			_, pending := x.ending.pending[p]
			return !pending
		})
	}
	return d
}

func (m *machine) list(now time.Time, c *listCommand) []listed {
	var all []listed
	for _, x := range m.sorted() {
		switch {
		case !x.durable:
		case len(c.producerIDs) > 0 && !slices.Contains(c.producerIDs, x.producerID):
		case c.states != nil && !slices.Contains(c.states, x.state):
		case c.durationMS >= 0 && now.UnixMilli()-x.startMS <= c.durationMS:
		case c.pattern != nil && !c.pattern.MatchString(x.id):
		default:
			all = append(all, listed{x.id, x.producerID, x.state})
		}
	}
	return all
}
