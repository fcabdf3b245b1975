package balance

import (
	"fmt"
	"math"
	"slices"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
)

const (
	sentFor     = 10 * time.Second // a planned move that the image does not show after so long did not happen
	sustainMax  = 10 * time.Minute
	guessRest   = 20 * time.Second // rest of a partition that was moved without knowing its load: enough to get to know it
	calmAfter   = 30 * time.Minute // without a round; then the first one may come as fast as ever
	roundMax    = 5 * time.Minute
	dryEvery    = time.Minute
	forgiveHalf = time.Minute // half-life of the distance between what had to be left uneven and what is uneven now
)

// Balancer evens the load of a cluster, in rounds:
//
//	at rest    a node is off the mean by more than the threshold, in partitions, or in a load for Sustain  ->  a round begins
//	in a round as many moves as there is room for, the one with the greatest effect first; as long as there are any
//	           no move has enough effect and none is on its way  ->  at rest; how uneven it had to be left is kept, and only
//	           what goes beyond that by half a threshold begins the next round
//
// A round over loads that begins soon after another one has to wait twice as long as that one did, so that loads which never stand still cost a
// bounded number of moves. When nodes come or go, that is forgotten.
//
// A Balancer belongs to one goroutine. It remembers between calls; after half a minute without one it begins anew.
type Balancer struct {
	opt   Options
	watch *observer
	nodes []base.NodeID // that took part in the last plan

	active  bool
	began   time.Time // the round
	ended   time.Time // the last round; zero: none yet
	settled vector    // how far off the last round had to leave each dimension
	review  time.Time // when settled is forgotten because what rested then may be moved again; zero: never
	over    time.Time // since when a load is over its threshold; zero: it is not
	sustain time.Duration
	dried   time.Time // last dry run

	planned map[meta.PartitionID]sent
	tenures map[meta.PartitionID]tenure // of the partitions of Options.Coordinators
}

// tenure is since when a node leads a partition, as far as is known.
type tenure struct {
	leader base.NodeID
	since  time.Time
}

// sent is a move that was planned.
type sent struct {
	to    base.NodeID
	at    time.Time
	until time.Time // the partition rests
	seen  bool      // in the image
}

// NewBalancer returns a balancer that has seen nothing yet.
func NewBalancer(opt Options) *Balancer {
	b := &Balancer{opt: opt.withDefaults()}
	b.reset()
	return b
}

func (b *Balancer) reset() {
	*b = Balancer{opt: b.opt, watch: newObserver(b.opt.HalfLife), sustain: b.opt.Sustain, planned: map[meta.PartitionID]sent{}}
}

// Plan is what a Balancer wants done at one time.
type Plan struct {
	Moves  []Move
	Before Score  // with the moves that are under way done
	After  Score  // with Moves done as well; Before if there are none
	Idle   string // why there are no moves; empty if there are some
	DryRun bool   // Moves are not to be carried out
}

// Move is one partition that is to be led by another node.
type Move struct {
	Partition meta.PartitionID
	From, To  base.NodeID
	Why       string
}

// Leaders returns the moves as MovePartitions wants them; nothing of a dry run.
func (p *Plan) Leaders() []meta.PartitionLeader {
	if p.DryRun || len(p.Moves) == 0 {
		return nil
	}
	out := make([]meta.PartitionLeader, len(p.Moves))
	for i, m := range p.Moves {
		out[i] = meta.PartitionLeader{Partition: m.Partition, Leader: m.To}
	}
	return out
}

// String says in one line what the plan does and why.
func (p *Plan) String() string {
	if len(p.Moves) == 0 {
		return p.Idle
	}
	return fmt.Sprintf("%d moves; off the mean by %s, then by %s; first: %s", len(p.Moves), p.Before, p.After, p.Moves[0].Why)
}

// Score says how far the node that is farthest from the mean is off it, as a share of the mean, in each dimension.
type Score struct{ Partitions, Bytes, Requests, CPU float64 }

func (s Score) String() string {
	return fmt.Sprintf("%.0f%% in partitions, %.0f%% in bytes, %.0f%% in requests, %.0f%% in CPU", 100*s.Partitions, 100*s.Bytes, 100*s.Requests, 100*s.CPU)
}

func scoreOf(v vector) Score { return Score{v[partitions], v[bytes], v[requests], v[cpu]} }

// Plan takes in the newest reports and says what to move now. It is to be called every second or two, also while nothing is wrong, for it
// watches how the loads develop. The moves it returns are to be submitted as MovePartitions; one that is rejected is forgotten after some time.
func (b *Balancer) Plan(img *meta.Image, loads Loads, now time.Time) Plan {
	if gap := now.Sub(b.watch.last); !b.watch.last.IsZero() && (gap > gapMax || gap < -gapMax) {
		b.reset()
	}
	elapsed := time.Duration(0)
	if !b.watch.last.IsZero() {
		elapsed = max(0, now.Sub(b.watch.last))
	}
	b.watch.observe(img, loads, now)
	b.follow(img, now)
	b.followCoordinators(img, now)
	table := newBoard(img, b.watch.est, b.opt.ExcludeNodes)
	table.sent = b.unseen()
	table.count(img, nil)
	before := table.off()
	plan := Plan{Before: scoreOf(before), After: scoreOf(before)}
	if plan.Idle = b.waitFor(table, loads); plan.Idle != "" {
		return plan
	}
	b.regroup(table)
	b.forgive(before, elapsed, now)
	if b.opt.DryRun && now.Sub(b.dried) < dryEvery && !b.dried.IsZero() {
		plan.Idle = "dry run: the last plan is less than a minute old"
		return plan
	}
	if !b.active {
		if plan.Idle = b.begin(before, now); plan.Idle != "" {
			return plan
		}
	}
	find := b.search(img, table, now)
	plan.Moves = find.moves(b.opt.InFlight - table.moving)
	if len(plan.Moves) == 0 {
		plan.Idle = b.rest(table, find, before, now)
		return plan
	}
	plan.After = scoreOf(table.off())
	b.record(&plan, find, now)
	return plan
}

// follow compares the planned moves with the image, and forgets them when their partitions have rested.
func (b *Balancer) follow(img *meta.Image, now time.Time) {
	for id, s := range b.planned {
		p, ok := img.Partition(id.Topic, id.Index)
		if ok && (p.Target == s.to || p.Leader == s.to) {
			s.seen = true
			b.planned[id] = s
		}
		if !ok || !now.Before(s.until) {
			delete(b.planned, id)
		} else if !s.seen && now.Sub(s.at) > sentFor {
			s.seen = true
			b.planned[id] = s
		}
	}
}

// followCoordinators notes since when each coordinator is where it is. What is not known is taken for new: it is the controller that may have come
// and gone, more often than is good for a coordinator.
func (b *Balancer) followCoordinators(img *meta.Image, now time.Time) {
	old := b.tenures
	b.tenures = make(map[meta.PartitionID]tenure, len(old))
	for _, name := range b.opt.Coordinators {
		t, ok := img.TopicByName(name)
		if !ok {
			continue
		}
		for p := range img.PartitionsOf(t.ID) {
			is, known := old[id(&p)]
			if !known || is.leader != p.Leader {
				is = tenure{p.Leader, now}
			}
			b.tenures[id(&p)] = is
		}
	}
}

// unseen returns the planned moves that the image does not show yet.
func (b *Balancer) unseen() map[meta.PartitionID]base.NodeID {
	var out map[meta.PartitionID]base.NodeID
	for id, s := range b.planned {
		if s.seen {
			continue
		}
		if out == nil {
			out = map[meta.PartitionID]base.NodeID{}
		}
		out[id] = s.to
	}
	return out
}

// waitFor returns why nothing can be said about the cluster yet.
func (b *Balancer) waitFor(table *board, loads Loads) string {
	if len(table.seats) < 2 {
		return "there are no two nodes to balance between"
	}
	for i := range table.seats {
		if _, ok := loads[table.seats[i].id]; !ok {
			return fmt.Sprintf("node %d has not reported its load yet", table.seats[i].id)
		}
	}
	return ""
}

// regroup starts over when nodes have come or gone.
func (b *Balancer) regroup(table *board) {
	now := make([]base.NodeID, len(table.seats))
	for i := range table.seats {
		now[i] = table.seats[i].id
	}
	if !slices.Equal(now, b.nodes) {
		b.nodes, b.settled, b.review, b.sustain, b.over = now, vector{}, time.Time{}, b.opt.Sustain, time.Time{}
	}
}

// begin begins a round, or returns why there is no need to.
func (b *Balancer) begin(off vector, now time.Time) string {
	over, load := b.exceeded(off)
	if !over {
		b.over = time.Time{}
		return "even: no node is off the mean by more than the threshold, or than could be helped"
	}
	if load {
		if b.over.IsZero() {
			b.over = now
		}
		wait := b.wait(now)
		if held := now.Sub(b.over); held < wait {
			return fmt.Sprintf("off the mean by %s, for %s; action is taken after %s", scoreOf(off), held.Round(time.Second), wait)
		}
		b.sustain = min(2*wait, sustainMax)
	}
	b.active, b.began, b.over = true, now, time.Time{}
	return ""
}

// wait is how long a load must be over its threshold now.
func (b *Balancer) wait(now time.Time) time.Duration {
	if b.ended.IsZero() || now.Sub(b.ended) > calmAfter {
		return b.opt.Sustain
	}
	return b.sustain
}

// forgive trusts what the last round had to leave less and less as things improve, and not at all once the partitions that rested then may be
// moved again.
func (b *Balancer) forgive(off vector, elapsed time.Duration, now time.Time) {
	if !b.review.IsZero() && !now.Before(b.review) {
		b.settled, b.review = vector{}, time.Time{}
	}
	k := 1 - math.Exp2(-float64(elapsed)/float64(forgiveHalf))
	for d := range off {
		b.settled[d] += k * (min(b.settled[d], off[d]) - b.settled[d])
	}
}

// exceeded reports whether a dimension is farther off than the threshold and than the last round had to leave it, and whether that is a load,
// which must last, and not the count of partitions. What had to be left is trusted less and less as things improve.
func (b *Balancer) exceeded(off vector) (over, load bool) {
	for d := range off {
		limit := b.opt.Threshold
		if b.settled[d] > 0 {
			limit = max(limit, b.settled[d]+b.opt.Threshold/2)
		}
		if off[d] > limit {
			over = true
			if d == partitions {
				return true, false
			}
		}
	}
	return over, over
}

// rest ends the round if there is nothing left to do, and says why there are no moves.
func (b *Balancer) rest(table *board, find *search, off vector, now time.Time) string {
	switch {
	case b.opt.InFlight <= table.moving:
		return fmt.Sprintf("%d moves are under way, which is the bound", table.moving)
	case table.moving > 0 && now.Sub(b.began) < roundMax:
		return fmt.Sprintf("%d moves are under way", table.moving)
	}
	b.active, b.ended, b.settled, b.review = false, now, off, find.rested
	for _, s := range b.planned {
		if b.review.IsZero() || s.until.Before(b.review) {
			b.review = s.until
		}
	}
	return fmt.Sprintf("the round is over: no move would make it better by enough (off the mean by %s; %d partitions rest or may not be moved)", scoreOf(off), find.held)
}

// record remembers what was planned.
func (b *Balancer) record(plan *Plan, find *search, now time.Time) {
	if plan.DryRun = b.opt.DryRun; plan.DryRun {
		b.dried = now
		b.active = false
		return
	}
	for i, m := range plan.Moves {
		rest := b.opt.Rest
		if find.guessed[i] {
			rest = min(rest, guessRest)
		}
		b.planned[m.Partition] = sent{to: m.To, at: now, until: now.Add(rest)}
		b.watch.pin(m.Partition, m.From, find.chosen[i], now)
	}
	if now.Sub(b.began) > roundMax {
		b.active, b.ended = false, now
	}
}
