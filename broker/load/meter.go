package load

import (
	"cmp"
	"iter"
	"runtime"
	"slices"
	"time"

	"sluice/broker/partition"
	"sluice/cluster/balance"
	"sluice/cluster/meta"
)

// intervalMin is the shortest time that rates are taken over; a sample that is asked for earlier is the one before again.
const intervalMin = 100 * time.Millisecond

// Options set up a Meter.
type Options struct {
	// Partitions yields the partitions that are open here. Required.
	Partitions func() iter.Seq[*partition.Partition]
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// CPU returns the CPU time that the process has used so far. Nil: what the operating system says, where it does.
	CPU func() time.Duration
	// Cores is how many the process may use at one time; 0: GOMAXPROCS.
	Cores int
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.CPU == nil {
		o.CPU = processCPU
	}
	return o
}

// Meter takes samples. It belongs to one goroutine.
type Meter struct {
	opt  Options
	at   time.Time // of the last sample
	used time.Duration
	last balance.NodeLoad
	seen map[*partition.Partition]partition.Load // by object: a partition that comes back later begins at 0
	next map[*partition.Partition]partition.Load // seen of the sample that is being taken
}

// NewMeter returns a meter whose first sample covers the time from now.
func NewMeter(opt Options) *Meter {
	m := &Meter{opt: opt.withDefaults(), seen: map[*partition.Partition]partition.Load{}, next: map[*partition.Partition]partition.Load{}}
	m.at, m.used = m.opt.Now(), m.opt.CPU()
	for p := range m.opt.Partitions() {
		m.seen[p] = p.Load()
	}
	return m
}

// Sample returns the rates since the sample before.
func (m *Meter) Sample() balance.NodeLoad {
	now := m.opt.Now()
	took := now.Sub(m.at)
	if took < intervalMin {
		return m.last
	}
	l := m.partitions(took.Seconds())
	used := m.opt.CPU()
	cores := m.opt.Cores
	if cores <= 0 {
		cores = runtime.GOMAXPROCS(0)
	}
	l.CPU = min(1, max(0, (used-m.used).Seconds()/(took.Seconds()*float64(cores))))
	m.at, m.used, m.last = now, used, l
	return l
}

// partitions sums up what the partitions did in so many seconds, and lists the busiest. What a partition did that was closed meanwhile is lost.
func (m *Meter) partitions(seconds float64) (l balance.NodeLoad) {
	clear(m.next)
	for p := range m.opt.Partitions() {
		cur := p.Load()
		m.next[p] = cur
		was := m.seen[p]
		if cur == was {
			continue
		}
		topic, _, index := p.ID()
		one := balance.PartitionLoad{
			Partition: meta.PartitionID{Topic: topic, Index: index},
			BytesIn:   float64(cur.BytesIn-was.BytesIn) / seconds,
			BytesOut:  float64(cur.BytesOut-was.BytesOut) / seconds,
			Requests:  float64(cur.Appends-was.Appends+cur.Reads-was.Reads) / seconds,
		}
		l.BytesIn += one.BytesIn
		l.BytesOut += one.BytesOut
		l.Requests += one.Requests
		l.Partitions = append(l.Partitions, one)
	}
	m.seen, m.next = m.next, m.seen
	if len(l.Partitions) > balance.MaxPartitions {
		slices.SortFunc(l.Partitions, func(a, b balance.PartitionLoad) int { return cmp.Compare(b.Work(), a.Work()) })
		l.Partitions = slices.Clone(l.Partitions[:balance.MaxPartitions])
	}
	return l
}
