package balance

import (
	"cmp"
	"math"
	"slices"

	"sluice/base"
	"sluice/cluster/meta"
)

// Orphans returns the partitions that need a leader and can be given one at once: nobody, or a fenced node, is named, and both streams are
// closed. Those of a dead node whose WAL has not been rescued yet are not among them. Cheap as long as every partition has a live leader.
func Orphans(img *meta.Image) []meta.PartitionID {
	alive, led := map[base.NodeID]bool{}, 0
	for n := range img.Nodes() {
		if !n.Fenced {
			alive[n.ID] = true
			led += img.Led(n.ID)
		}
	}
	if img.DeletedTopics() == 0 && led == img.PartitionCount() {
		return nil
	}
	var out []meta.PartitionID
	for p := range everyPartition(img) {
		if !alive[p.Leader] && closed(img, p.Data) && closed(img, p.Meta) {
			out = append(out, id(&p))
		}
	}
	return out
}

func closed(img *meta.Image, id base.StreamID) bool {
	s, ok := img.Stream(id)
	return ok && s.State == meta.Closed
}

// Spread gives each of the partitions a leader, such that counts and loads come out even and, where that leaves a choice, the partitions of a
// topic are spread over zones and nodes. Partitions that do not exist are left out. Without a live node that is not draining it returns nil.
func Spread(img *meta.Image, loads Loads, orphans []meta.PartitionID) []meta.PartitionLeader {
	if len(orphans) == 0 {
		return nil
	}
	b := newBoard(img, estimate(img, loads), nil)
	if len(b.seats) == 0 {
		return nil
	}
	b.count(img, nil)
	ps := make([]meta.Partition, 0, len(orphans))
	for _, id := range orphans {
		if p, ok := img.Partition(id.Topic, id.Index); ok {
			ps = append(ps, p)
		}
	}
	return newPlacer(img, b).place(ps)
}

// Drain returns moves off the nodes that are draining, to be submitted as MovePartitions: so many that at most inFlightMax partitions are
// on their way, the ones that are already included. A partition that was on its way to a node which is draining now is sent elsewhere, or
// stays (its leader is named) where that is none. Without a node to move to it returns nil.
func Drain(img *meta.Image, loads Loads, inFlightMax int) []meta.PartitionLeader {
	draining := map[base.NodeID]bool{}
	for n := range img.Nodes() {
		if n.Draining && !n.Fenced {
			draining[n.ID] = true
		}
	}
	if len(draining) == 0 {
		return nil
	}
	b := newBoard(img, estimate(img, loads), nil)
	if len(b.seats) == 0 {
		return nil
	}
	var stay []meta.PartitionLeader
	var again, leave []meta.Partition
	b.count(img, func(p *meta.Partition, _ int, _ bool) {
		switch {
		case draining[p.Leader] && draining[p.Target]:
			again = append(again, *p)
		case draining[p.Target]:
			stay = append(stay, meta.PartitionLeader{Partition: id(p), Leader: p.Leader})
		case draining[p.Leader] && p.Target == base.NoNode:
			leave = append(leave, *p)
		}
	})
	room := max(0, inFlightMax-b.moving+len(stay))
	away := append(again, leave[:min(room, len(leave))]...)
	return append(stay, newPlacer(img, b).place(away)...)
}

// placer puts partitions, one after the other, where they raise the cost least.
type placer struct {
	img    *meta.Image
	b      *board
	topics map[base.UUID]*topicSpread
}

// topicSpread is how many partitions of a topic are on each seat and in each zone, and which seats it may be placed on.
type topicSpread struct {
	seats, zones []int
	fits         []bool
}

func newPlacer(img *meta.Image, b *board) *placer {
	return &placer{img: img, b: b, topics: map[base.UUID]*topicSpread{}}
}

// place places the heaviest first, because the light ones then fill the gaps, and answers in the order of ps.
func (pl *placer) place(ps []meta.Partition) []meta.PartitionLeader {
	type item struct {
		index  int
		amount amount
		weight float64
	}
	items := make([]item, len(ps))
	for i := range ps {
		a := pl.b.est.of(&ps[i])
		items[i] = item{i, a, a.bytes*pl.b.unit[bytes] + a.requests*pl.b.unit[requests]}
	}
	slices.SortStableFunc(items, func(x, y item) int { return cmp.Compare(y.weight, x.weight) })
	out := make([]meta.PartitionLeader, len(ps))
	for _, it := range items {
		p := &ps[it.index]
		at := pl.best(p.Topic, it.amount)
		s := &pl.b.seats[at]
		s.load = s.load.plus(pl.b.size(at, it.amount))
		t := pl.spreadOf(p.Topic)
		t.seats[at]++
		t.zones[s.zone]++
		out[it.index] = meta.PartitionLeader{Partition: id(p), Leader: s.id}
	}
	return out
}

// best finds the seat among those that have the class of WAL that the topic asks for, or among all if none has. Those whose cost would rise by less than half of what one partition more makes are as good as the best one; among them
// the zone with the fewest partitions of the topic per node decides, then the node with the fewest.
func (pl *placer) best(topic base.UUID, a amount) int {
	b := pl.b
	rises := make([]float64, len(b.seats))
	for i := range b.seats {
		rises[i] = b.size(i, a).rise(&b.seats[i].load)
	}
	t := pl.spreadOf(topic)
	least := math.Inf(1)
	for i := range b.seats {
		if t.fits[i] {
			least = min(least, rises[i])
		}
	}
	limit := least + b.unit[partitions]*b.unit[partitions]
	best := -1
	for i := range b.seats {
		if t.fits[i] && rises[i] <= limit && (best < 0 || pl.before(t, rises, i, best)) {
			best = i
		}
	}
	return best
}

func (pl *placer) before(t *topicSpread, rises []float64, i, j int) bool {
	zi, zj := pl.b.seats[i].zone, pl.b.seats[j].zone
	return cmp.Or(
		cmp.Compare(t.zones[zi]*pl.b.zones[zj], t.zones[zj]*pl.b.zones[zi]),
		cmp.Compare(t.seats[i], t.seats[j]),
		cmp.Compare(rises[i], rises[j]),
	) < 0
}

// classOf is the class of WAL that a topic asks for; empty: it does not.
func classOf(img *meta.Image, topic base.UUID) string {
	t, _ := img.TopicByID(topic)
	return t.Configs[meta.WALClassConfig]
}

// offering says which seats have a class of WAL, nil if all have.
func (b *board) offering(img *meta.Image, class string) []bool {
	if class == "" {
		return nil
	}
	some := make([]bool, len(b.seats))
	for i := range b.seats {
		n, _ := img.Node(b.seats[i].id)
		some[i] = n.Offers(class)
	}
	if !slices.Contains(some, false) {
		return nil
	}
	return some
}

func (pl *placer) spreadOf(topic base.UUID) *topicSpread {
	if t, ok := pl.topics[topic]; ok {
		return t
	}
	t := &topicSpread{make([]int, len(pl.b.seats)), make([]int, len(pl.b.zones)), pl.b.offering(pl.img, classOf(pl.img, topic))}
	if t.fits == nil || !slices.Contains(t.fits, true) {
		t.fits = slices.Repeat([]bool{true}, len(pl.b.seats))
	}
	for p := range pl.img.PartitionsOf(topic) {
		lead := p.Leader
		if p.Target != base.NoNode {
			lead = p.Target
		}
		if at, ok := pl.b.at[lead]; ok {
			t.seats[at]++
			t.zones[pl.b.seats[at].zone]++
		}
	}
	pl.topics[topic] = t
	return t
}
