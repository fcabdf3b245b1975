package balance

import (
	"maps"
	"math"
	"slices"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
)

const (
	forgetAfter = time.Minute      // a partition that is not reported for so long is one of the rest
	freshAfter  = 5 * time.Second  // a partition that has just moved is not expected in its new leader's report
	gapMax      = 30 * time.Second // between two plans; after a longer one everything observed is out of date
)

// sighting is where a known partition was seen last.
type sighting struct {
	leader base.NodeID
	since  time.Time // it leads
	at     time.Time // of the last report that listed it
}

// observer smooths the reports. A partition keeps its estimate when it moves, and takes it along: what the old and the new leader report needs
// a while to say so.
type observer struct {
	halfLife time.Duration
	last     time.Time
	est      *estimates
	seen     map[meta.PartitionID]sighting // same keys as est.known
	order    []meta.PartitionID            // the keys as they came, perhaps some that are gone: sums must not depend on the order of a map
	total    map[base.NodeID]amount
	use      map[base.NodeID]float64 // CPU
}

func newObserver(halfLife time.Duration) *observer {
	return &observer{
		halfLife: halfLife, est: &estimates{known: map[meta.PartitionID]amount{}, rest: map[base.NodeID]amount{}},
		seen: map[meta.PartitionID]sighting{}, total: map[base.NodeID]amount{}, use: map[base.NodeID]float64{},
	}
}

// observe takes in the reports of one moment.
func (o *observer) observe(img *meta.Image, loads Loads, now time.Time) {
	k := 1.0
	if !o.last.IsZero() {
		k = 1 - math.Exp2(-max(0, float64(now.Sub(o.last)))/float64(o.halfLife))
	}
	o.last = now
	o.follow(img, now)
	tails := map[base.NodeID]amount{}
	for _, id := range slices.Sorted(maps.Keys(loads)) {
		l := loads[id]
		if n, ok := img.Node(id); !ok || n.Fenced {
			continue
		}
		tails[id] = o.report(img, id, &l, k, now)
	}
	o.fade(tails, k, now)
	maps.DeleteFunc(o.total, func(id base.NodeID, _ amount) bool { _, ok := loads[id]; return !ok })
	maps.DeleteFunc(o.use, func(id base.NodeID, _ float64) bool { _, ok := loads[id]; return !ok })
	o.order = slices.DeleteFunc(o.order, func(id meta.PartitionID) bool { _, ok := o.seen[id]; return !ok })
	o.share(img)
	o.est.perWork, o.est.other = splitCPU(o.total, o.use)
}

// follow moves what is known of a partition to its present leader.
func (o *observer) follow(img *meta.Image, now time.Time) {
	for _, id := range o.order {
		s := o.seen[id]
		p, ok := img.Partition(id.Topic, id.Index)
		if !ok {
			o.forget(id)
			continue
		}
		if p.Leader == s.leader {
			continue
		}
		a := o.est.known[id]
		if t, ok := o.total[s.leader]; ok {
			o.total[s.leader] = t.minus(a)
			o.use[s.leader] = max(0, o.use[s.leader]-o.est.perWork[s.leader]*a.work())
		}
		if t, ok := o.total[p.Leader]; ok {
			o.total[p.Leader] = t.plus(a)
			o.use[p.Leader] += o.est.perWork[p.Leader] * a.work()
		}
		o.seen[id] = sighting{leader: p.Leader, since: now, at: now}
	}
}

func (o *observer) forget(id meta.PartitionID) {
	delete(o.seen, id)
	delete(o.est.known, id)
}

// report takes in one node's report, and returns what each partition that it does not list may have at that.
func (o *observer) report(img *meta.Image, node base.NodeID, l *NodeLoad, k float64, now time.Time) (tail amount) {
	old, ok := o.total[node]
	if !ok {
		k = 1
	}
	o.total[node] = old.toward(l.amount(), k)
	o.use[node] += k * (l.CPU - o.use[node])
	left, unlisted := o.total[node], img.Led(node)
	for i := range l.Partitions {
		r := &l.Partitions[i]
		s, known := o.seen[r.Partition]
		if !known {
			p, ok := img.Partition(r.Partition.Topic, r.Partition.Index)
			if !ok || p.Leader != node {
				continue
			}
			s = sighting{leader: node}
			o.order = append(o.order, r.Partition)
			o.est.known[r.Partition] = r.amount() // the node's total stays smooth: the rest gives way
		}
		if s.leader != node {
			continue // the report is older than the move
		}
		s.at = now
		o.seen[r.Partition] = s
		o.est.known[r.Partition] = o.est.known[r.Partition].toward(r.amount(), k)
		left, unlisted = left.minus(o.est.known[r.Partition]), unlisted-1
	}
	if len(l.Partitions) < MaxPartitions || unlisted <= 0 {
		return amount{} // the list is complete
	}
	return left.times(1 / float64(unlisted))
}

// fade lets go of partitions that are not reported any more.
func (o *observer) fade(tails map[base.NodeID]amount, k float64, now time.Time) {
	for _, id := range o.order {
		s, ok := o.seen[id]
		if !ok || s.at.Equal(now) {
			continue
		}
		tail, reported := tails[s.leader]
		if !reported || now.Sub(s.since) < freshAfter {
			continue
		}
		if now.Sub(s.at) > forgetAfter {
			o.forget(id)
			continue
		}
		o.est.known[id] = o.est.known[id].toward(tail, k)
	}
}

// share divides what is left of each node's total among the partitions that are not known.
func (o *observer) share(img *meta.Image) {
	known, count := map[base.NodeID]amount{}, map[base.NodeID]int{}
	for _, id := range o.order {
		s := o.seen[id]
		known[s.leader] = known[s.leader].plus(o.est.known[id])
		count[s.leader]++
	}
	clear(o.est.rest)
	for id, t := range o.total {
		if others := img.Led(id) - count[id]; others > 0 {
			o.est.rest[id] = t.minus(known[id]).times(1 / float64(others))
		}
	}
}

// pin makes a partition known, with what it is estimated to have, so that it can be followed.
func (o *observer) pin(p meta.PartitionID, leader base.NodeID, a amount, now time.Time) {
	if _, ok := o.seen[p]; !ok {
		o.order = append(o.order, p)
		o.seen[p] = sighting{leader: leader, since: now, at: now}
		o.est.known[p] = a
	}
}
