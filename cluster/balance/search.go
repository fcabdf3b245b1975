package balance

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"sluice/cluster/meta"
)

// search finds the moves of one plan: downhill on the cost, each time from the node whose load costs most, the move with the greatest effect.
// Partitions of a node that are not known one by one weigh the same; one of them stands for all.
type search struct {
	table *board
	opt   *Options
	heavy [][]candidate        // by seat
	light [][]meta.PartitionID // by seat
	held  int                  // partitions that may not be moved now
	// coordinators is how many partitions with a coordinator may still be sent, rested when the first of those that rest may be.
	coordinators int
	rested       time.Time
	// Of each move found: what it moves, and whether that is only the mean of the light ones.
	chosen  []amount
	guessed []bool
}

// candidate is a known partition that may be moved.
type candidate struct {
	id     meta.PartitionID
	amount amount
	fits   []bool // seats that have the class of WAL its topic asks for; nil: all
	// coordinator says that a coordinator has to load anew where it goes.
	coordinator bool
}

// search collects who may move, once the table is counted.
func (b *Balancer) search(img *meta.Image, table *board, now time.Time) *search {
	f := &search{table: table, opt: &b.opt, heavy: make([][]candidate, len(table.seats)), light: make([][]meta.PartitionID, len(table.seats))}
	f.coordinators = b.opt.CoordinatorsInFlight
	for t := range img.Topics() {
		excluded, fits := b.opt.excludes(t.Name), table.offering(img, t.Configs[meta.WALClassConfig])
		for p := range img.PartitionsOf(t.ID) {
			to, moving := table.destination(&p)
			is, coordinator := b.tenures[id(&p)]
			if coordinator && (moving || p.State != meta.Serving) {
				f.coordinators-- // whoever has sent it
			}
			at, ok := table.at[to]
			if !ok || at == noSeat || moving {
				continue
			}
			until := is.since.Add(b.opt.Rest)
			resting := coordinator && now.Before(until)
			if resting && (f.rested.IsZero() || until.Before(f.rested)) {
				f.rested = until
			}
			f.collect(b, at, id(&p), p.State == meta.Serving && !excluded && !resting, coordinator, fits)
		}
	}
	return f
}

// collect sorts a partition in. One that cannot go everywhere, or has a coordinator, is looked at by itself, also when it is light.
func (f *search) collect(b *Balancer, at int, pid meta.PartitionID, movable, coordinator bool, fits []bool) {
	if _, resting := b.planned[pid]; resting || !movable {
		f.held++
		return
	}
	a, known := f.table.est.known[pid]
	if fits != nil && !fits[at] {
		fits = nil // it has not got it here either
	}
	if !known && (fits != nil || coordinator) {
		a, known = f.table.est.rest[f.table.seats[at].id], true
	}
	if known {
		f.heavy[at] = append(f.heavy[at], candidate{pid, a, fits, coordinator})
	} else {
		f.light[at] = append(f.light[at], pid)
	}
}

// moves returns at most room moves, and has the board do them.
func (f *search) moves(room int) (out []Move) {
	done := make([]bool, len(f.table.seats)) // nothing to be had from it any more
	for len(out) < room {
		from := f.costliest(done)
		if from < 0 {
			break
		}
		best, ok := f.best(from)
		if !ok {
			done[from] = true
			continue
		}
		out = append(out, f.take(from, best))
	}
	return out
}

// costliest returns the seat whose load costs most among those that are not done, -1 if all are.
func (f *search) costliest(done []bool) int {
	best, most := -1, 0.0
	for i := range f.table.seats {
		cost := 0.0
		for _, u := range f.table.seats[i].load {
			cost += u * u
		}
		if !done[i] && (best < 0 || cost > most) {
			best, most = i, cost
		}
	}
	return best
}

// choice is a move: the candidate's index in heavy, or -1 for a light one.
type choice struct {
	index int
	a     amount
	to    int
	gain  float64
}

// best finds the move from a seat that lowers the cost most, among those that do so by enough.
func (f *search) best(from int) (choice, bool) {
	best := choice{to: -1}
	for i, c := range f.heavy[from] {
		margin := f.opt.Margin
		if c.coordinator {
			if margin = f.opt.CoordinatorMargin; f.coordinators <= 0 {
				continue
			}
		}
		f.consider(&best, from, i, c.amount, c.fits, margin)
	}
	if n := len(f.light[from]); n > 0 {
		f.consider(&best, from, -1, f.table.est.rest[f.table.seats[from].id], nil, f.opt.Margin)
	}
	return best, best.to >= 0
}

// consider compares best with the moves of one partition. Half the gain of a move, divided by the partition's size, is the gap between the two
// nodes that is left when half of the partition has gone over; if that is below the margin the move is not worth its trouble.
func (f *search) consider(best *choice, from, index int, a amount, fits []bool, margin float64) {
	t := f.table
	v := t.size(from, a)
	fall, least := v.fall(&t.seats[from].load), 2*margin*v.total()
	if fall < max(least, best.gain) {
		return // not even an empty node would do
	}
	for to := range t.seats {
		if to == from || fits != nil && !fits[to] {
			continue
		}
		w := v
		w[cpu] = t.seats[to].perWork * a.work() * t.unit[cpu]
		if gain := fall - w.rise(&t.seats[to].load); gain >= least && gain > best.gain {
			*best = choice{index, a, to, gain}
		}
	}
}

// take does the move on the board.
func (f *search) take(from int, c choice) Move {
	t := f.table
	var pid meta.PartitionID
	if c.index >= 0 {
		pid = f.heavy[from][c.index].id
		if f.heavy[from][c.index].coordinator {
			f.coordinators--
		}
		f.heavy[from] = slices.Delete(f.heavy[from], c.index, c.index+1)
	} else {
		pid = f.takeLight(from)
	}
	a, b := &t.seats[from], &t.seats[c.to]
	before := [2]vector{a.load, b.load}
	a.load, b.load = a.load.minus(t.size(from, c.a)), b.load.plus(t.size(c.to, c.a))
	f.chosen = append(f.chosen, c.a)
	f.guessed = append(f.guessed, c.index < 0)
	return Move{Partition: pid, From: a.id, To: b.id, Why: t.why(from, c.to, before, c.a)}
}

// takeLight takes one of the light ones out, as if by lot: neighbours often have like loads, and a round of neighbours over the nodes would give
// one of them all the busy ones.
func (f *search) takeLight(from int) meta.PartitionID {
	list := f.light[from]
	n := len(list)
	lot := uint64(n) * 0x9e3779b97f4a7c15
	lot = (lot ^ lot>>32) * 0xd6e8feb86659fd93
	at := int((lot >> 32) % uint64(n))
	pid := list[at]
	list[at] = list[n-1]
	f.light[from] = list[:n-1]
	return pid
}

// why explains a move that has just been done on the board by the dimension in which it does most.
func (t *board) why(from, to int, before [2]vector, a amount) string {
	v := t.size(from, a)
	most := slices.MaxFunc([]int{partitions, bytes, requests, cpu}, func(x, y int) int {
		effect := func(d int) float64 { return v[d] * (before[0][d] - before[1][d] - v[d]) }
		return cmp.Compare(effect(x), effect(y))
	})
	share := func(load *vector) float64 {
		return 100 * (load[most]/max(t.mean[most], math.SmallestNonzeroFloat64) - 1)
	}
	return fmt.Sprintf("%s: node %d is at %+.0f%% of the mean and node %d at %+.0f%%; with this partition (%s/s, %.0f requests/s) moved, at %+.0f%% and %+.0f%%",
		dimName[most], t.seats[from].id, share(&before[0]), t.seats[to].id, share(&before[1]), size(a.bytes), a.requests,
		share(&t.seats[from].load), share(&t.seats[to].load))
}

var dimName = [dims]string{"partitions", "bytes", "requests", "CPU"}

// size prints an amount of bytes for people.
func size(b float64) string {
	for _, u := range []struct {
		name string
		size float64
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if b >= u.size {
			return fmt.Sprintf("%.1f %s", b/u.size, u.name)
		}
	}
	return fmt.Sprintf("%.0f B", b)
}

// off is how far the seat that is farthest from the mean is off it, in each dimension.
func (t *board) off() (v vector) {
	for i := range t.seats {
		for d := range v {
			v[d] = max(v[d], math.Abs(t.seats[i].load[d]-t.mean[d]))
		}
	}
	return v
}
