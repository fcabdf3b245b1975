package txn

import (
	"time"

	"sluice/base/seeded"
	"sluice/broker/coord"
	"sluice/wire/kerr"
)

// init gives a producer its id and epoch. What an older producer of the transactional id has open is aborted first, and whoever asks is told to come
// again (CONCURRENT_TRANSACTIONS).
func (m *machine) init(now time.Time, t coord.Ticket, c *initCommand) {
	x := m.ids[c.id]
	switch {
	case c.timeoutMS <= 0 || int64(c.timeoutMS) > m.timeoutMaxMS:
		m.fx.Reply(t, failedInit(kerr.InvalidTransactionTimeout))
	case x == nil:
		m.initNew(now, t, c)
	case x.writing || x.state.ending():
		m.fx.Reply(t, failedInit(kerr.ConcurrentTransactions))
	case c.expected != nil && c.expected.id != x.producerID && !(c.expected.id == x.previousID && exhausted(c.expected.epoch)):
		m.fx.Reply(t, failedInit(kerr.ProducerFenced))
	case x.state == ongoing:
		m.fence(now, t, x, c)
	default:
		m.initNext(now, t, x, c)
	}
}

// initNew makes a transactional id known.
func (m *machine) initNew(now time.Time, t coord.Ticket, c *initCommand) {
	if c.freshID == noID {
		m.fx.Reply(t, initResult{needID: true})
		return
	}
	x := m.adopt(c.id)
	v := x.next(now, empty)
	v.producerID, v.epoch, v.timeoutMS = c.freshID, 0, c.timeoutMS
	m.initialize(t, x, v)
	if !x.writing {
		delete(m.ids, c.id)
	}
}

// initialize writes what InitProducerId makes of a transactional id, and answers.
func (m *machine) initialize(t coord.Ticket, x *transaction, v value) {
	fits := m.write(x, func(time.Time) {
		m.fx.Reply(t, initResult{producer: identity{v.producerID, v.epoch}})
	}, v)
	if !fits {
		m.fx.Reply(t, failedInit(kerr.InvalidRequest))
	}
}

// initNext raises the epoch, or gives another producer id where none is left. A retry by a producer that did not hear the answer gets it again.
func (m *machine) initNext(now time.Time, t coord.Ticket, x *transaction, c *initCommand) {
	v := x.next(now, empty)
	v.timeoutMS, v.partitions, v.startMS, v.nextID = c.timeoutMS, nil, noTime, noID
	current := c.expected == nil || c.expected.epoch == x.epoch
	switch {
	case !current && c.expected.epoch == x.lastEpoch: // a retry; nobody else came since, for that would have made lastEpoch noEpoch
		v.previousID = x.previousID
	case !current:
		m.fx.Reply(t, failedInit(kerr.ProducerFenced))
		return
	case exhausted(x.epoch) && c.freshID == noID:
		m.fx.Reply(t, initResult{needID: true})
		return
	default:
		v.lastEpoch = noEpoch
		if c.expected != nil {
			v.lastEpoch = x.epoch
		}
		if v.epoch++; exhausted(x.epoch) {
			v.producerID, v.epoch = c.freshID, 0
		}
	}
	m.initialize(t, x, v)
}

// fence aborts the ongoing transaction of a producer that another takes the place of, or that begins anew without having ended it. Who asks with an epoch
// that is over is refused, and the transaction goes on.
func (m *machine) fence(now time.Time, t coord.Ticket, x *transaction, c *initCommand) {
	if c.expected != nil && *c.expected != (identity{x.producerID, x.epoch}) {
		m.fx.Reply(t, failedInit(kerr.ProducerFenced))
		return
	}
	if exhausted(x.epoch) && c.freshID == noID {
		m.fx.Reply(t, initResult{needID: true})
		return
	}
	m.fx.Note("aborting a transaction for a new producer of its id", "transactional_id", x.id, "producer_id", x.producerID, "epoch", x.epoch)
	m.settle(now, x, false, 2, c.freshID, func(identity) { m.fx.Reply(t, failedInit(kerr.ConcurrentTransactions)) })
}

// timedOut aborts an ongoing transaction whose time is over.
func (m *machine) timedOut(now time.Time, x *transaction, freshID int64) {
	if x.state != ongoing || x.writing || now.UnixMilli()-x.startMS <= int64(x.timeoutMS) {
		return
	}
	if exhausted(x.epoch) && freshID == noID {
		m.fx.Do(findID{x.id})
		m.timers.Set(&x.timeout, now.Add(findIDInterval)) // should it not come back
		return
	}
	m.fx.Note("aborting a transaction whose time is over", "transactional_id", x.id, "producer_id", x.producerID, "epoch", x.epoch, "timeout_ms", x.timeoutMS)
	m.settle(now, x, false, 2, freshID, func(identity) {})
}

// findIDInterval is how often a producer id is asked for that does not come.
const findIDInterval = time.Second

// verify looks whether partitions are in the transaction. A record under way is no matter: what it adds is not in it yet, and the append of the batch looks
// once more.
func (x *transaction) verify(c *addCommand) addResult {
	switch {
	case x.producerID != c.producer.id:
		return addResult{code: kerr.InvalidProducerIDMapping}
	case x.epoch != c.producer.epoch:
		return addResult{code: kerr.ProducerFenced}
	case x.state.ending():
		return addResult{code: kerr.ConcurrentTransactions}
	}
	r := addResult{codes: make([]kerr.Code, len(c.partitions))}
	for i, p := range c.partitions {
		if x.state != ongoing || !contains(x.partitions, p) {
			r.codes[i] = kerr.TransactionAbortable
		}
	}
	return r
}

// end ends a transaction, as version 0 of the protocol has it or as version 2 does.
func (m *machine) end(now time.Time, t coord.Ticket, c *endCommand) {
	x := m.find(c.id)
	if x == nil {
		m.fx.Reply(t, failedEnd(kerr.InvalidProducerIDMapping))
		return
	}
	code, retry := x.mayEnd(c)
	switch {
	case code != kerr.None:
		m.fx.Reply(t, failedEnd(code))
	case retry:
		r := endResult{producer: identity{x.producerID, x.epoch}}
		if c.version < 2 {
			r = failedEnd(kerr.None)
		}
		m.fx.Reply(t, r)
	case c.version >= 2 && exhausted(x.epoch) && c.freshID == noID:
		m.fx.Reply(t, endResult{needID: true})
	default:
		settled := m.settle(now, x, c.commit, c.version, c.freshID, func(next identity) {
			if c.version < 2 {
				next = identity{noID, noEpoch}
			}
			m.fx.Reply(t, endResult{producer: next})
		})
		if !settled {
			m.fx.Reply(t, failedEnd(kerr.InvalidRequest))
		}
	}
}

// mayEnd says why a transaction cannot be ended, or that it was, by the very same request.
//
// Version 2: "same" is the producer as it is now; "retry" one that ended the last transaction and has not heard of it, for the epoch has risen since.
//
//	             abort same   abort retry      commit same        commit retry
//	Empty        ends (1)     PRODUCER_FENCED  INVALID_TXN_STATE  PRODUCER_FENCED
//	Ongoing      ends         PRODUCER_FENCED  ends               PRODUCER_FENCED
//	Complete-
//	 Abort       ends (1)     done             INVALID_TXN_STATE  PRODUCER_FENCED (2)
//	 Commit      ends (1)     INVALID_TXN_STATE INVALID_TXN_STATE done
//
// (1) raises the epoch, which is how a client makes sure that nothing it has sent is under way any more. (2) a commit that lost the race against an
// abort by the coordinator; whoever is told so begins anew, while an invalid state would be the end of it.
func (x *transaction) mayEnd(c *endCommand) (code kerr.Code, retry bool) {
	if c.version < 2 {
		return x.mayEndClassic(c)
	}
	overflown := x.previousID == c.producer.id && x.producerID != c.producer.id && c.producer.epoch == epochMax-1 && x.epoch == 0
	raised := x.producerID == c.producer.id && x.epoch > 0 && x.epoch-1 == c.producer.epoch
	same := x.producerID == c.producer.id && x.epoch == c.producer.epoch
	complete := x.state == completeCommit || x.state == completeAbort
	switch {
	case x.producerID != c.producer.id && !overflown:
		return kerr.InvalidProducerIDMapping, false
	case x.writing || x.state.ending():
		return kerr.ConcurrentTransactions, false
	case raised && x.state == ongoing && seeded.Bug(seeded.EndTxnTwice):
		return kerr.None, false
	case same && (x.state == ongoing || !c.commit):
		return kerr.None, false
	case same:
		return kerr.InvalidTxnState, false
	case !complete || !overflown && !raised:
		return kerr.ProducerFenced, false
	case c.commit == (x.state == completeCommit):
		return kerr.None, true
	case c.commit:
		return kerr.ProducerFenced, false
	}
	return kerr.InvalidTxnState, false
}

// mayEndClassic is mayEnd before version 2: an epoch stays, so a retry looks like any request.
func (x *transaction) mayEndClassic(c *endCommand) (code kerr.Code, retry bool) {
	switch {
	case x.producerID != c.producer.id:
		return kerr.InvalidProducerIDMapping, false
	case x.epoch != c.producer.epoch:
		return kerr.ProducerFenced, false
	case x.writing:
		return kerr.ConcurrentTransactions, false
	case x.state == ongoing:
		return kerr.None, false
	case x.state == empty || c.commit != (x.state == prepareCommit || x.state == completeCommit):
		return kerr.InvalidTxnState, false
	case x.state.ending():
		return kerr.ConcurrentTransactions, false
	}
	return kerr.None, true
}

// settle writes a verdict, then calls then with what the producer is called from now on, and tells the partitions. Without partitions the transaction is
// complete at once. False if that cannot be a record.
func (m *machine) settle(now time.Time, x *transaction, commit bool, version int16, freshID int64, then func(identity)) bool {
	to := prepareAbort
	if commit {
		to = prepareCommit
	}
	v := x.next(now, to)
	v.version, v.nextID = version, noID
	if version >= 2 {
		v.lastEpoch = x.epoch
		if exhausted(x.epoch) {
			v.nextID = freshID
		}
		if x.epoch < epochMax {
			v.epoch++
		}
	}
	if x.state != ongoing {
		v.partitions, v.startMS = nil, v.updateMS
	}
	done := v.complete(now)
	next := identity{done.producerID, done.epoch}
	if len(v.partitions) == 0 {
		return m.write(x, func(time.Time) { then(next) }, v, done)
	}
	return m.write(x, func(now time.Time) {
		then(next)
		m.deliver(now, x)
	}, v)
}

// complete is the record after a verdict.
func (v value) complete(now time.Time) value {
	done := v
	done.previousID, done.updateMS, done.partitions, done.nextID = v.producerID, now.UnixMilli(), nil, noID
	done.state = completeAbort
	if v.state == prepareCommit {
		done.state = completeCommit
	}
	if v.nextID != noID {
		done.producerID, done.epoch = v.nextID, 0
	}
	return done
}

// deliver has the verdict of a transaction told to its partitions.
func (m *machine) deliver(now time.Time, x *transaction) {
	d := &delivery{
		id: x.id, producer: identity{x.producerID, x.epoch}, commit: x.state == prepareCommit, version: x.version,
		epoch: m.coordinatorEpoch, partition: x.partitions, pending: map[TopicPartition]struct{}{}, began: now,
	}
	for _, p := range x.partitions {
		d.pending[p] = struct{}{}
	}
	x.ending = d
	if len(d.pending) == 0 {
		m.completed(now, x)
		return
	}
	m.fx.Do(sendMarkers{d})
}

// markersWritten hears that partitions know the verdict. When all do the transaction is complete.
func (m *machine) markersWritten(now time.Time, c *markersWritten) {
	x := m.ids[c.of.id]
	if x == nil || x.ending != c.of {
		return // of an incarnation that is gone
	}
	for _, p := range c.partitions {
		delete(x.ending.pending, p)
	}
	if len(x.ending.pending) == 0 && !x.writing {
		m.completed(now, x)
	}
}

// completed writes that a transaction is complete, and in the same breath what begins the next one if somebody waits to.
func (m *machine) completed(now time.Time, x *transaction) {
	done := x.value.complete(now)
	if m.beginNext(now, x, done) {
		return
	}
	if !m.write(x, func(time.Time) { x.ending = nil }, done) {
		panic("BUG: the record of a complete transaction is larger than the one before")
	}
}
