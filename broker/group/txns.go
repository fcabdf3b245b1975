package group

import (
	"slices"
	"time"

	"sluice/broker/coord"
	"sluice/wire/kerr"
)

// Offsets that are committed in a transaction (TxnOffsetCommit). Their records are part of the transaction of a producer: they are pending
// until its marker comes, which makes them the group's offsets or drops them. Nobody sees a pending offset; who asks for stable ones is
// told that it is unstable.
//
// Which of two commits of one partition counts is decided by their records' places in the log, not by when the transaction of one of them
// ended, because that is what a compaction of the log by key keeps.

// pending are the offsets of transactions that have not ended.
type pending struct {
	offsets map[int64]map[string]map[partitionKey]committed // by producer and group
	open    map[string]map[int64]struct{}                   // producers, by group; the same turned round
}

func newPending() pending {
	return pending{offsets: map[int64]map[string]map[partitionKey]committed{}, open: map[string]map[int64]struct{}{}}
}

func (p *pending) put(producer int64, group string, k partitionKey, v committed) {
	groups := p.offsets[producer]
	if groups == nil {
		groups = map[string]map[partitionKey]committed{}
		p.offsets[producer] = groups
	}
	if groups[group] == nil {
		groups[group] = map[partitionKey]committed{}
	}
	groups[group][k] = v
	if p.open[group] == nil {
		p.open[group] = map[int64]struct{}{}
	}
	p.open[group][producer] = struct{}{}
}

// isOpen reports whether a transaction that has committed offsets to the group has not ended.
func (p *pending) isOpen(group string) bool { return len(p.open[group]) > 0 }

// has reports whether an offset of a partition is pending.
func (p *pending) has(group string, k partitionKey) bool {
	for producer := range p.open[group] {
		if _, ok := p.offsets[producer][group][k]; ok {
			return true
		}
	}
	return false
}

// keys are the partitions of which an offset of the group is pending, ascending.
func (p *pending) keys(group string) (keys []partitionKey) {
	for producer := range p.open[group] {
		for k := range p.offsets[producer][group] {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b partitionKey) int {
		if a.less(b) {
			return -1
		}
		return 1
	})
	return slices.Compact(keys)
}

// forget drops the pending offsets of a partition.
func (p *pending) forget(group string, k partitionKey) {
	for producer := range p.open[group] {
		offsets := p.offsets[producer][group]
		if delete(offsets, k); len(offsets) > 0 {
			continue
		}
		p.close(producer, group)
		delete(p.offsets[producer], group)
		if len(p.offsets[producer]) == 0 {
			delete(p.offsets, producer)
		}
	}
}

func (p *pending) close(producer int64, group string) {
	delete(p.open[group], producer)
	if len(p.open[group]) == 0 {
		delete(p.open, group)
	}
}

// end takes out what a producer has pending, by group.
func (p *pending) end(producer int64) map[string]map[partitionKey]committed {
	groups := p.offsets[producer]
	delete(p.offsets, producer)
	for group := range groups {
		p.close(producer, group)
	}
	return groups
}

// ReplayMarker ends a producer's transaction. An offset whose group or partition was committed to further on in the log is not newer for
// coming into effect later.
func (m *machine) ReplayMarker(mk coord.Marker) error {
	for id, offsets := range m.pending.end(mk.ProducerID) {
		g := m.groups[id]
		if g == nil {
			g = newClassic(id)
			m.adopt(g)
		}
		for k, v := range offsets {
			if now, ok := g.offsets[k]; mk.Commit && (!ok || v.at > now.at) {
				g.offsets[k] = v
			}
		}
		m.dropIfVoid(g)
	}
	return nil
}

// endTxn writes the marker that ends a producer's transaction in this partition.
func (m *machine) endTxn(t coord.Ticket, c *endTxnCommand) {
	m.writes = append(m.writes, write{
		token:   m.fx.AppendMarker(c.marker),
		done:    func(time.Time) { m.fx.Reply(t, codeResult{kerr.None}) },
		refused: func(code kerr.Code) { m.fx.Reply(t, codeResult{code}) },
	})
}

// mayCommitTxn is what mayCommit asks of a commit in a transaction: the same, but that old versions name no member, and that the state of the
// group does not matter.
func (m *machine) mayCommitTxn(now time.Time, c *commitCommand) (*classic, kerr.Code) {
	g := m.find(c.group)
	switch {
	case g == nil && c.generation < 0:
		return m.findOrCreate(now, c.group), kerr.None
	case g == nil:
		return nil, kerr.IllegalGeneration
	case g.state == dead:
		return nil, kerr.CoordinatorNotAvailable
	case c.generation < 0 && (g.state == empty || c.identity == identity{}):
		return g, kerr.None
	case g.consumers != nil:
		code := g.consumers.mayCommitTo(c)
		if code == kerr.StaleMemberEpoch {
			code = kerr.IllegalGeneration
		}
		return g, code
	case g.streams != nil:
		code := g.streams.mayCommitTo(c)
		if code == kerr.StaleMemberEpoch {
			code = kerr.IllegalGeneration
		}
		return g, code
	}
	if code := g.validate(c.identity); code != kerr.None {
		return nil, code
	}
	if c.generation != g.generation {
		return nil, kerr.IllegalGeneration
	}
	return g, kerr.None
}

// writeFor appends records to a producer's transaction and calls one of then and refused.
func (m *machine) writeFor(p coord.Producer, records []coord.Record, g *classic, then func(now time.Time), refused func(kerr.Code)) {
	said := false
	once := func(code kerr.Code) {
		if !said {
			said = true
			refused(code)
		}
	}
	m.appendBatches(records, g, func(batch []coord.Record) write {
		return write{token: m.fx.AppendFor(p, batch...), refused: once}
	})
	last := &m.writes[len(m.writes)-1]
	last.done = func(now time.Time) {
		if !said {
			then(now)
		}
	}
	last.then = append(last.then, func(time.Time) { m.dropIfVoid(g) })
}

// Refused says that the partition would not have the records of a producer, or a marker. The write keeps its place until it is the oldest, for
// others may wait for it.
func (m *machine) Refused(now time.Time, t coord.Token, code kerr.Code, fx *coord.Effects) {
	defer m.with(fx)()
	w := &m.writes[t-m.writes[0].token]
	refused := w.refused
	w.done, w.refused, w.ended = nil, nil, true
	refused(code)
	m.popEnded(now)
}

// popEnded takes the writes that have ended off the front.
func (m *machine) popEnded(now time.Time) {
	for len(m.writes) > 0 && m.writes[0].ended {
		w := m.writes[0]
		m.writes[0] = write{}
		m.writes = m.writes[1:]
		if w.done != nil {
			w.done(now)
		}
		for _, then := range w.then {
			then(now)
		}
	}
}
