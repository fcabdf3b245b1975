package lead

import (
	"time"

	"sluice/base"
	"sluice/cluster/meta"
)

// The machine decides what is to be done about the partitions this node leads. Images, results and times come in, actions come out.

// phase is how far a partition has come.
type phase uint8

const (
	working phase = iota // a job opens, loads or announces it
	waiting              // a job failed; it is tried again at retryAt
	serving
	leaving // served, but a move has stopped its appends; the move's job decides
)

// entry is a partition that this node leads.
type entry struct {
	phase    phase
	epoch    base.StreamEpoch // opened with; -1 before the first open
	attempts int
	retryAt  time.Time
}

// actions are what is to be done, besides what is under way.
type actions struct {
	open []meta.OpenPartition // start a job for each
	take []taken              // the same, but the streams are open already
	end  []meta.PartitionID   // served, or waited to be tried again, and are not this node's any more under the epoch they had
	conf []base.UUID          // topics whose configuration may have changed
	all  bool                 // every configuration may have changed
}

// machine is owned by the loop.
type machine struct {
	self      meta.NodeRef
	img       *meta.Image
	held      map[base.UUID]map[int32]*entry
	count     [leaving + 1]int                         // entries by phase
	wanted    map[meta.PartitionID]bool                // serving here, and to be moved to another node or volume
	spread    map[meta.PartitionID]bool                // to be moved to another volume, so that it carries its part
	spent     map[base.UUID]map[int32]base.StreamEpoch // the last epoch under which this process attached a partition's streams
	low, high time.Duration                            // back-off
}

func newMachine(self meta.NodeRef, low, high time.Duration) *machine {
	return &machine{
		self: self, held: map[base.UUID]map[int32]*entry{}, low: low, high: high,
		wanted: map[meta.PartitionID]bool{}, spread: map[meta.PartitionID]bool{}, spent: map[base.UUID]map[int32]base.StreamEpoch{},
	}
}

func (m *machine) entry(id meta.PartitionID) *entry { return m.held[id.Topic][id.Index] }

func (m *machine) put(id meta.PartitionID, e *entry) {
	if m.held[id.Topic] == nil {
		m.held[id.Topic] = map[int32]*entry{}
	}
	m.held[id.Topic][id.Index] = e
	m.count[e.phase]++
}

func (m *machine) move(e *entry, to phase) {
	m.count[e.phase]--
	m.count[to]++
	e.phase = to
}

func (m *machine) remove(id meta.PartitionID) {
	m.count[m.entry(id).phase]--
	delete(m.wanted, id)
	delete(m.spread, id)
	delete(m.held[id.Topic], id.Index)
	if len(m.held[id.Topic]) == 0 {
		delete(m.held, id.Topic)
	}
}

// observe takes the next image.
func (m *machine) observe(img *meta.Image) (a actions) {
	old := m.img
	m.img = img
	d := img.DeltaFrom(old)
	if d == nil {
		m.observeAll(&a)
		return a
	}
	for t := range d.Topics {
		m.topic(t, &a)
	}
	for id := range d.Partitions {
		m.look(id, &a)
	}
	if _, ok := d.Nodes[m.self.ID]; ok {
		m.volumesChanged(old, &a)
	}
	if d.Configs {
		a.all = true
	}
	return a
}

// observeAll compares everything: at the start, and where it is not known what changed.
func (m *machine) observeAll(a *actions) {
	for t := range m.spent {
		m.forget(t)
	}
	for t, parts := range m.held {
		for i := range parts {
			m.look(meta.PartitionID{Topic: t, Index: i}, a)
		}
	}
	for p := range m.img.PartitionsLedBy(m.self.ID) {
		if id := (meta.PartitionID{Topic: p.Topic, Index: p.Index}); m.entry(id) == nil {
			m.look(id, a)
		}
	}
	a.all = true
}

func (m *machine) topic(t base.UUID, a *actions) {
	for i := range m.held[t] {
		m.look(meta.PartitionID{Topic: t, Index: i}, a)
	}
	for p := range m.img.PartitionsOf(t) {
		if id := (meta.PartitionID{Topic: t, Index: p.Index}); m.entry(id) == nil {
			m.look(id, a)
		}
	}
	m.forget(t)
	if len(m.held[t]) > 0 {
		a.conf = append(a.conf, t)
	}
}

// look compares one partition with the image.
func (m *machine) look(id meta.PartitionID, a *actions) {
	p, ok := m.img.Partition(id.Topic, id.Index)
	mine := ok && p.Leader == m.self.ID
	e := m.entry(id)
	switch {
	case e == nil && mine:
		m.put(id, &entry{phase: working, epoch: -1})
		m.begin(id, p, a)
	case e == nil || e.phase == working: // the job's result will be judged against the image of then
	case !mine:
		m.end(id, a)
	case e.phase != waiting && p.LeaderEpoch > e.epoch:
		m.end(id, a)
		m.look(id, a)
	case e.phase == serving && (p.Target != base.NoNode && p.Target != m.self.ID || m.misplaced(id, p)):
		m.wanted[id] = true
	default:
		delete(m.wanted, id)
	}
}

// taken is a partition that was handed over to this node: its streams are open for it, under an epoch that it has not used.
type taken struct {
	partition  meta.Partition
	data, meta meta.Stream
}

// begin starts a job: the streams are opened, unless that has been done for this node.
func (m *machine) begin(id meta.PartitionID, p meta.Partition, a *actions) {
	if t, ok := m.given(id, p); ok {
		m.spend(id, p.LeaderEpoch)
		a.take = append(a.take, t)
		return
	}
	a.open = append(a.open, meta.OpenPartition{Partition: id, Expected: p.LeaderEpoch})
}

// given reports whether the streams of p are open for this very process, which has never attached them under that epoch: a hand-over, or an
// open whose answer was lost. An epoch that was attached once is never attached again; what its streams hold the metadata cannot know.
func (m *machine) given(id meta.PartitionID, p meta.Partition) (t taken, ok bool) {
	if last, was := m.spent[id.Topic][id.Index]; was && p.LeaderEpoch <= last || p.State == meta.Assigned {
		return t, false
	}
	data, _ := m.img.Stream(p.Data)
	aux, _ := m.img.Stream(p.Meta)
	self, _ := m.img.Node(m.self.ID)
	for _, s := range []meta.Stream{data, aux} {
		if s.State != meta.Open || s.Epoch != p.LeaderEpoch || self.Epoch != m.self.Epoch || !self.Holds(&s) {
			return t, false
		}
	}
	return taken{p, data, aux}, true
}

// end takes a partition out that no job works on.
func (m *machine) end(id meta.PartitionID, a *actions) {
	a.end = append(a.end, id)
	m.remove(id)
}

func (m *machine) retry(id meta.PartitionID, e *entry, p meta.Partition, a *actions) {
	m.move(e, working)
	m.begin(id, p, a)
}

// stale reports whether a job on id under epoch (-1: before the open) works for nothing: the partition is not this node's any more, or
// has been opened anew.
func (m *machine) stale(id meta.PartitionID, epoch base.StreamEpoch) bool {
	p, ok := m.img.Partition(id.Topic, id.Index)
	e := m.entry(id)
	return e == nil || e.phase != working || !ok || p.Leader != m.self.ID || epoch >= 0 && p.LeaderEpoch != epoch
}

// served takes the end of a job: the partition is announced. It returns false if that came too late; then the job's partition has to
// be ended, and a may say to open it again.
func (m *machine) served(id meta.PartitionID, epoch base.StreamEpoch, a *actions) bool {
	m.spend(id, epoch)
	if !m.stale(id, epoch) {
		e := m.entry(id)
		m.move(e, serving)
		e.epoch, e.attempts = epoch, 0
		m.look(id, a)
		return true
	}
	m.again(id, a)
	return false
}

// failed takes the failure of a job, which is tried again later; jitter is random in [0, 1). It returns false if the job worked for
// nothing.
func (m *machine) failed(id meta.PartitionID, epoch base.StreamEpoch, now time.Time, jitter float64, a *actions) bool {
	m.spend(id, epoch)
	if m.stale(id, epoch) {
		m.again(id, a)
		return false
	}
	e := m.entry(id)
	m.move(e, waiting)
	e.attempts++
	e.retryAt = now.Add(backoff(m.low, m.high, e.attempts, jitter))
	return true
}

// spend notes that the partition's streams were attached under epoch.
func (m *machine) spend(id meta.PartitionID, epoch base.StreamEpoch) {
	if _, ok := m.img.Partition(id.Topic, id.Index); !ok || epoch < 0 {
		return
	}
	if m.spent[id.Topic] == nil {
		m.spent[id.Topic] = map[int32]base.StreamEpoch{}
	}
	if last, was := m.spent[id.Topic][id.Index]; !was || epoch > last {
		m.spent[id.Topic][id.Index] = epoch
	}
}

// forget lets go of what is known of a topic that has been deleted: its id never comes back.
func (m *machine) forget(t base.UUID) {
	if _, ok := m.img.TopicByID(t); !ok {
		delete(m.spent, t)
	}
}

// again forgets a job that worked for nothing and looks at the partition afresh.
func (m *machine) again(id meta.PartitionID, a *actions) {
	if e := m.entry(id); e != nil && e.phase == working {
		m.remove(id)
	}
	m.look(id, a)
}

// due starts the jobs whose time has come, and says when the next one's will; zero if there is none.
func (m *machine) due(now time.Time, a *actions) (next time.Time) {
	if m.count[waiting] == 0 {
		return next
	}
	for t, parts := range m.held {
		for i, e := range parts {
			if e.phase != waiting {
				continue
			}
			if e.retryAt.After(now) {
				if next.IsZero() || e.retryAt.Before(next) {
					next = e.retryAt
				}
				continue
			}
			id := meta.PartitionID{Topic: t, Index: i}
			if p, ok := m.img.Partition(t, i); ok {
				m.retry(id, e, p, a)
			}
		}
	}
	return next
}

// backoff is low doubled per attempt up to high, of which jitter says how much of the second half is waited.
func backoff(low, high time.Duration, attempts int, jitter float64) time.Duration {
	d := low
	for i := 1; i < attempts && d < high; i++ {
		d *= 2
	}
	half := min(d, high) / 2
	return half + time.Duration(jitter*float64(half))
}
