package balance

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/cluster/meta"
)

// watched follows the partitions of one internal topic through a simulation.
type watched struct {
	*sim
	topic base.UUID
	moved int
	since map[meta.PartitionID]tenure
}

func watch(s *sim, topic base.UUID) *watched {
	return &watched{sim: s, topic: topic, since: map[meta.PartitionID]tenure{}}
}

// second is one second, of which it notes the moves of coordinators. It fails when one is not gentle: not alone on its way, too soon after the last
// change of its leader, or without a large gap.
func (w *watched) second() {
	w.t.Helper()
	before := w.board()
	plan := w.step()
	sent := 0
	for _, m := range plan.Moves {
		if m.Partition.Topic != w.topic {
			continue
		}
		sent++
		w.moved++
		if is := w.since[m.Partition]; w.now.Sub(is.since) < w.b.opt.Rest {
			w.t.Fatalf("partition %d of the coordinators is moved %v after its leader has changed", m.Partition.Index, w.now.Sub(is.since))
		}
		gap := 0.0
		for d := range partitions + 3 {
			gap = max(gap, before[m.From][d]-before[m.To][d])
		}
		if len(plan.Moves) == 1 && gap < 0.5 {
			w.t.Fatalf("a coordinator is moved for a gap of %.0f%% of the mean: %s", 100*gap, m.Why)
		}
	}
	flying := 0
	for p := range w.img.PartitionsOf(w.topic) {
		if p.Target != base.NoNode {
			flying++
		}
		if is := w.since[id(&p)]; is.leader != p.Leader {
			w.since[id(&p)] = tenure{p.Leader, w.now}
		}
	}
	if sent > 1 || flying > 1 {
		w.t.Fatalf("%d coordinators were sent at once, %d are on their way", sent, flying)
	}
}

// board is what every node has, in units of the mean, by the true loads.
func (w *watched) board() map[base.NodeID]vector {
	est := &estimates{known: map[meta.PartitionID]amount{}, rest: map[base.NodeID]amount{}, perWork: map[base.NodeID]float64{}, other: map[base.NodeID]float64{}}
	for p := range everyPartition(w.img) {
		est.known[id(&p)] = w.rate(id(&p), w.sim.second)
	}
	b := newBoard(w.img, est, nil)
	b.count(w.img, nil)
	out := map[base.NodeID]vector{}
	for i := range b.seats {
		out[b.seats[i].id] = b.seats[i].load
	}
	return out
}

func (w *watched) seconds(n int) {
	for range n {
		w.second()
	}
}

// Whatever the cluster is like, a coordinator is moved alone, seldom, and for a large gap only; and it all comes to an end.
func TestCoordinatorsAreMovedGently(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, ids := drawSim(t, Options{Rest: time.Minute})
		var leaders []base.NodeID
		for range rapid.IntRange(1, 12).Draw(t, "coordinators") {
			leaders = append(leaders, rapid.SampledFrom(ids[:rapid.IntRange(1, len(ids)).Draw(t, "of")]).Draw(t, "leader"))
		}
		w := watch(s, s.topic("__transaction_state", leaders...))
		s.bytesPerCPU = math.Inf(1)
		for p := range s.img.PartitionsOf(w.topic) {
			w.since[id(&p)] = tenure{p.Leader, s.now}
		}
		w.seconds(300)
		before := w.moved
		w.seconds(120)
		if w.moved > before+len(leaders) {
			t.Fatalf("%d coordinators, moved %d times in two minutes", len(leaders), w.moved-before)
		}
	})
}

// Topics that come and go, and brokers that are restarted, leave the coordinators where failover and drain have put them.
func TestCoordinatorsAreNotChurned(t *testing.T) {
	s := newSim(t, Options{}, constant(50e3, 20))
	ids := []base.NodeID{s.join("z1"), s.join("z2"), s.join("z3")}
	w := watch(s, s.topic("__consumer_offsets", times(12, ids...)...))
	s.topic("data", times(30, ids...)...)
	for i := range 60 {
		s.topic(name(i), times(1+i%4, ids[i/10%3])...) // in one place, so that counts are off
		w.seconds(30)
	}
	if w.moved > 0 {
		t.Fatalf("%d moves of coordinators in half an hour of topics that come", w.moved)
	}
	if s.moves == 0 {
		t.Fatal("nothing was moved at all, so nothing was shown")
	}
	t.Logf("%d moves, none of a coordinator; led %v", s.moves, s.led())
}

// A cluster that grows gives the new brokers coordinators too, one after the other, and then rests.
func TestCoordinatorsFollowGrowth(t *testing.T) {
	s := newSim(t, Options{}, constant(0, 0))
	a := s.join("z1")
	w := watch(s, s.topic("__consumer_offsets", times(50, a)...))
	w.seconds(1)
	for range 4 {
		s.join("z2")
	}
	w.seconds(int(s.b.opt.Rest/time.Second) - 5)
	if w.moved > 0 {
		t.Fatalf("%d coordinators were moved before they had rested", w.moved)
	}
	w.seconds(5 * 60)
	led := s.led()
	for n, c := range led {
		if c < 5 || c > 16 {
			t.Fatalf("node %d leads %d of 50 coordinators: %v", n, c, led)
		}
	}
	moved := w.moved
	w.seconds(30 * 60)
	if w.moved > moved {
		t.Fatalf("%d more moves in the half hour after", w.moved-moved)
	}
	t.Logf("%d moves, led %v", moved, led)
}
