package balance

import (
	"iter"
	"maps"
	"slices"

	"sluice/base"
	"sluice/cluster/meta"
)

// The dimensions of a load.
const (
	partitions = iota
	bytes
	requests
	cpu
	dims
)

// vector is an amount in each dimension.
type vector [dims]float64

// What one node has to do at least before differences in a dimension count in full: half of everything on a cluster that idles is still
// nothing.
var floors = vector{partitions: 1, bytes: 1 << 20, requests: 500, cpu: 0.25}

// requestWork is how many bytes cost about as much CPU as one request.
const requestWork = 8 << 10

// amount is what a partition, or a node, moves per second.
type amount struct{ bytes, requests float64 }

func (a amount) work() float64        { return a.bytes + requestWork*a.requests }
func (a amount) plus(b amount) amount { return amount{a.bytes + b.bytes, a.requests + b.requests} }
func (a amount) minus(b amount) amount {
	return amount{max(0, a.bytes-b.bytes), max(0, a.requests-b.requests)}
}
func (a amount) times(f float64) amount { return amount{a.bytes * f, a.requests * f} }
func (a amount) toward(b amount, k float64) amount {
	return amount{a.bytes + k*(b.bytes-a.bytes), a.requests + k*(b.requests-a.requests)}
}

func (l *NodeLoad) amount() amount      { return amount{l.BytesIn + l.BytesOut, l.Requests} }
func (l *PartitionLoad) amount() amount { return amount{l.BytesIn + l.BytesOut, l.Requests} }

// estimates say what every partition of the cluster has to do.
type estimates struct {
	known   map[meta.PartitionID]amount // those that were reported
	rest    map[base.NodeID]amount      // of any other partition that the node leads
	perWork map[base.NodeID]float64     // CPU for one unit of work on that node
	other   map[base.NodeID]float64     // CPU that has nothing to do with its partitions
}

// id names a partition.
func id(p *meta.Partition) meta.PartitionID { return meta.PartitionID{Topic: p.Topic, Index: p.Index} }

func (e *estimates) of(p *meta.Partition) amount {
	if a, ok := e.known[id(p)]; ok {
		return a
	}
	return e.rest[p.Leader]
}

// estimate takes the reports as they are.
func estimate(img *meta.Image, loads Loads) *estimates {
	e := &estimates{known: map[meta.PartitionID]amount{}, rest: map[base.NodeID]amount{}}
	total, use := map[base.NodeID]amount{}, map[base.NodeID]float64{}
	for _, id := range slices.Sorted(maps.Keys(loads)) {
		l := loads[id]
		left, own := l.amount(), 0
		total[id], use[id] = left, l.CPU
		for i := range l.Partitions {
			r := &l.Partitions[i]
			left = left.minus(r.amount())
			p, ok := img.Partition(r.Partition.Topic, r.Partition.Index)
			if ok && p.Leader == id {
				own++
			}
			if _, taken := e.known[r.Partition]; ok && (!taken || p.Leader == id) {
				e.known[r.Partition] = r.amount()
			}
		}
		if others := img.Led(id) - own; others > 0 {
			e.rest[id] = left.times(1 / float64(others))
		}
	}
	e.perWork, e.other = splitCPU(total, use)
	return e
}

// cpuSpread bounds how much more CPU than the cluster's mean one node may seem to need for the same work; what lies beyond is taken for
// something that has nothing to do with its partitions.
const cpuSpread = 4

// splitCPU divides what each node uses into what its partitions cost and the rest. Sums are taken in the order of the ids, for they depend on
// it in the last digit.
func splitCPU(total map[base.NodeID]amount, use map[base.NodeID]float64) (perWork, other map[base.NodeID]float64) {
	perWork, other = map[base.NodeID]float64{}, map[base.NodeID]float64{}
	ids := slices.Sorted(maps.Keys(use))
	var work, sum float64
	for _, id := range ids {
		work, sum = work+total[id].work(), sum+use[id]
	}
	if work <= 0 {
		for _, id := range ids {
			other[id] = use[id]
		}
		return perWork, other
	}
	mean, weight := sum/work, work/float64(len(ids))/10
	for _, id := range ids {
		w := total[id].work()
		own := (use[id] + mean*weight) / (w + weight) // a node that does next to nothing says little about its speed
		own = min(max(own, mean/cpuSpread), mean*cpuSpread)
		perWork[id], other[id] = own, max(0, use[id]-own*w)
	}
	return perWork, other
}

// seat is a node that may lead.
type seat struct {
	id      base.NodeID
	zone    int
	perWork float64
	load    vector // in units of the mean once the board is normalised
}

// board is a cluster as a planner shifts it about: the nodes that may lead and what each has, with everything on its way counted where it
// is going.
type board struct {
	est    *estimates
	seats  []seat // by id
	at     map[base.NodeID]int
	sent   map[meta.PartitionID]base.NodeID // planned moves that the image does not show yet; may be nil
	zones  []int                            // number of seats of each zone
	unit   vector                           // one over the mean
	mean   vector                           // of the seats, in the same unit
	moving int                              // partitions on their way
}

// noSeat is where a node is that takes no part: what it leads is not counted at all.
const noSeat = -1

// newBoard seats the live nodes that are not draining. Those in excluded take no part.
func newBoard(img *meta.Image, est *estimates, excluded []base.NodeID) *board {
	b := &board{est: est, at: map[base.NodeID]int{}}
	zones := map[string]int{}
	for n := range img.Nodes() {
		if slices.Contains(excluded, n.ID) {
			b.at[n.ID] = noSeat
			continue
		}
		if n.Fenced || n.Draining {
			continue
		}
		z, ok := zones[n.Zone]
		if !ok {
			z = len(b.zones)
			zones[n.Zone] = z
			b.zones = append(b.zones, 0)
		}
		b.zones[z]++
		b.at[n.ID] = len(b.seats)
		s := seat{id: n.ID, zone: z, perWork: est.perWork[n.ID]}
		s.load[cpu] = est.other[n.ID]
		b.seats = append(b.seats, s)
	}
	return b
}

// destination returns where a partition is or is going. A planned move counts until the image shows what became of it.
func (b *board) destination(p *meta.Partition) (to base.NodeID, moving bool) {
	if p.Target != base.NoNode {
		return p.Target, true
	}
	if len(b.sent) > 0 {
		if to, ok := b.sent[id(p)]; ok && to != p.Leader {
			return to, true
		}
	}
	return p.Leader, false
}

// count puts every partition where it is or is going, and measures everybody against the mean. visit sees each of them with its seat, or
// noSeat, and whether it is on its way; it may be nil, and may not keep the partition.
func (b *board) count(img *meta.Image, visit func(p *meta.Partition, at int, moving bool)) {
	var loose vector
	var p meta.Partition // one for all: visit may not keep it
	for p = range everyPartition(img) {
		to, moving := b.destination(&p)
		if moving {
			b.moving++
		}
		at, known := b.at[to]
		a := b.est.of(&p)
		switch {
		case !known: // its node is dead or draining: all will have a part of it
			at = noSeat
			loose = loose.plus(vector{1, a.bytes, a.requests, 0})
		case at != noSeat:
			s := &b.seats[at]
			s.load = s.load.plus(b.raw(at, a))
		}
		if visit != nil {
			visit(&p, at, moving)
		}
	}
	b.normalise(loose)
}

// normalise makes the mean of each dimension 1; less where there is hardly anything to do.
func (b *board) normalise(loose vector) {
	sum := loose
	for i := range b.seats {
		sum = sum.plus(b.seats[i].load)
	}
	for d := range sum {
		b.unit[d] = 1 / max(sum[d]/float64(max(1, len(b.seats))), floors[d])
	}
	for i := range b.seats {
		for d := range b.unit {
			b.seats[i].load[d] *= b.unit[d]
			b.mean[d] += b.seats[i].load[d] / float64(len(b.seats))
		}
	}
}

func (v vector) plus(w vector) vector {
	for d := range v {
		v[d] += w[d]
	}
	return v
}

func (v vector) minus(w vector) vector {
	for d := range v {
		v[d] -= w[d]
	}
	return v
}

func (b *board) raw(at int, a amount) vector {
	return vector{1, a.bytes, a.requests, b.seats[at].perWork * a.work()}
}

// size is what a partition adds to a seat's load.
func (b *board) size(at int, a amount) vector {
	v := b.raw(at, a)
	for d := range v {
		v[d] *= b.unit[d]
	}
	return v
}

// rise is by how much the cost grows when v is added to a load.
func (v vector) rise(load *vector) float64 {
	var sum float64
	for d := range v {
		sum += v[d] * (2*load[d] + v[d])
	}
	return sum
}

// fall is by how much the cost shrinks when v is taken from a load.
func (v vector) fall(load *vector) float64 {
	var sum float64
	for d := range v {
		sum += v[d] * (2*load[d] - v[d])
	}
	return sum
}

func (v vector) total() float64 {
	var sum float64
	for d := range v {
		sum += v[d]
	}
	return sum
}

// everyPartition yields the partitions of all topics that are not deleted, by topic name and index.
func everyPartition(img *meta.Image) iter.Seq[meta.Partition] {
	return func(yield func(meta.Partition) bool) {
		for t := range img.Topics() {
			for p := range img.PartitionsOf(t.ID) {
				if !yield(p) {
					return
				}
			}
		}
	}
}
