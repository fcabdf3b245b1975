package txn

import (
	"slices"
	"time"

	"sluice/broker/coord"
	"sluice/wire/kerr"
)

// Adding partitions. A producer may begin a transaction while the markers of the one before are still on their way, and the leaders of its partitions ask for
// theirs side by side. Kafka tells all but the first to come again (CONCURRENT_TRANSACTIONS); where a record takes as long as a put into a bucket that costs a
// client its back-off each time. So whoever comes too early waits here, for addPatience at most, and all who wait are taken together: into one record, and
// into the same append as the one that says that the transaction before is complete.

// addPatience is how long an addition may wait for what is under way.
const addPatience = 2 * time.Second

// adder is somebody who waits to add partitions.
type adder struct {
	ticket coord.Ticket
	*addCommand
}

// add adds partitions to the ongoing transaction, or begins one with them.
func (m *machine) add(now time.Time, t coord.Ticket, c *addCommand) {
	x := m.find(c.id)
	switch {
	case x == nil:
		m.fx.Reply(t, addResult{code: kerr.InvalidProducerIDMapping})
	case c.verify:
		m.fx.Reply(t, x.verify(c))
	case x.writing || x.state.ending(): // before the identity is looked at, for it may be about to change to that of the asker
		if x.waiting = append(x.waiting, adder{t, c}); len(x.waiting) == 1 {
			m.timers.Set(&x.patience, now.Add(addPatience))
		}
	default:
		m.addAll(now, x, []adder{{t, c}})
	}
}

// resume takes those who wait, if nothing is under way any more.
func (m *machine) resume(now time.Time, x *transaction) {
	if x.writing || x.state.ending() || len(x.waiting) == 0 {
		return
	}
	m.addAll(now, x, x.wait(nil))
}

// wait sets who waits, and returns who did.
func (x *transaction) wait(who []adder) (before []adder) {
	before, x.waiting = x.waiting, who
	if len(who) == 0 {
		x.patience.Cancel()
	}
	return before
}

// giveUp has those who wait come again later.
func (m *machine) giveUp(x *transaction) { m.forsake(x, kerr.ConcurrentTransactions) }

// forsake answers all who wait with an error.
func (m *machine) forsake(x *transaction, code kerr.Code) {
	for _, a := range x.wait(nil) {
		m.fx.Reply(a.ticket, addResult{code: code})
	}
}

// addAll adds the partitions of all who ask in one record.
func (m *machine) addAll(now time.Time, x *transaction, asked []adder) {
	added := m.answerable(x.value, asked, func(a adder, r addResult) { m.fx.Reply(a.ticket, r) })
	if len(added) == 0 {
		return
	}
	if m.write(x, func(time.Time) { m.added(added) }, x.with(now, added)) {
		return
	}
	if len(added) == 1 {
		m.fx.Reply(added[0].ticket, addResult{code: kerr.InvalidRequest})
		return
	}
	for _, a := range added { // together they are too many: each for itself, and whoever is the first to fit goes first
		m.add(now, a.ticket, a.addCommand)
	}
}

func (m *machine) added(all []adder) {
	for _, a := range all {
		m.fx.Reply(a.ticket, addResult{})
	}
}

// answerable answers those who need no record, by what the transactional id is, and returns the others.
func (m *machine) answerable(v value, asked []adder, answer func(adder, addResult)) (others []adder) {
	for _, a := range asked {
		switch {
		case v.producerID != a.producer.id:
			answer(a, addResult{code: kerr.InvalidProducerIDMapping})
		case v.epoch != a.producer.epoch:
			answer(a, addResult{code: kerr.ProducerFenced})
		case v.state == ongoing && !slices.ContainsFunc(a.partitions, func(p TopicPartition) bool { return !contains(v.partitions, p) }):
			answer(a, addResult{})
		default:
			others = append(others, a)
		}
	}
	return others
}

// with is the record that adds partitions to a transaction, or begins one.
func (x *transaction) with(now time.Time, added []adder) value {
	v := x.next(now, ongoing)
	if x.state != ongoing {
		v.partitions, v.startMS = nil, v.updateMS
	}
	for _, a := range added {
		v.partitions, v.version = union(v.partitions, a.partitions), a.version
	}
	return v
}

// beginNext writes that a transaction is complete together with what begins the next one, for those who wait. False if nobody does, or if that is too much
// for one append.
func (m *machine) beginNext(now time.Time, x *transaction, done value) bool {
	next := transaction{value: done}
	type refusal struct {
		adder
		addResult
	}
	var refused []refusal
	added := m.answerable(done, x.waiting, func(a adder, r addResult) { refused = append(refused, refusal{a, r}) })
	if len(added) == 0 {
		return false
	}
	fits := m.write(x, func(time.Time) {
		x.ending = nil
		for _, r := range refused {
			m.fx.Reply(r.ticket, r.addResult)
		}
		m.added(added)
	}, done, next.with(now, added))
	if fits {
		x.wait(nil)
	}
	return fits
}
