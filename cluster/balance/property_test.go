package balance

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/cluster/meta"
)

// cost is what the planners minimise, of the true loads and without CPU.
func (s *sim) cost() (sum float64) {
	est := &estimates{known: map[meta.PartitionID]amount{}, rest: map[base.NodeID]amount{}, perWork: map[base.NodeID]float64{}, other: map[base.NodeID]float64{}}
	for p := range everyPartition(s.img) {
		est.known[id(&p)] = s.rate(id(&p), s.second)
	}
	b := newBoard(s.img, est, s.b.opt.ExcludeNodes)
	b.count(s.img, nil)
	for i := range b.seats {
		for _, u := range b.seats[i].load {
			sum += u * u
		}
	}
	return sum
}

// drawSim draws a cluster in any state, with loads that stand still and are known one by one.
func drawSim(t *rapid.T, opt Options) (s *sim, ids []base.NodeID) {
	rates := map[meta.PartitionID]amount{}
	s = newSim(t, opt, func(p meta.PartitionID, _ int) amount { return rates[p] })
	s.bytesPerCPU = math.Inf(1)
	for range rapid.IntRange(2, 7).Draw(t, "nodes") {
		ids = append(ids, s.join(rapid.SampledFrom([]string{"z1", "z2", ""}).Draw(t, "zone")))
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "topics") {
		var leaders []base.NodeID
		few := ids[:rapid.IntRange(1, len(ids)).Draw(t, "leading")]
		for range rapid.IntRange(1, 24).Draw(t, "partitions") {
			leaders = append(leaders, rapid.SampledFrom(few).Draw(t, "leader"))
		}
		topic := s.topic(name(i), leaders...)
		scale := rapid.SampledFrom([]float64{0, 1e3, 1e6, 20e6}).Draw(t, "scale")
		for j := range leaders {
			f := math.Pow(rapid.Float64Range(0, 1).Draw(t, "rate"), 3)
			rates[meta.PartitionID{Topic: topic, Index: int32(j)}] = amount{math.Round(scale * f), math.Round(scale * f / 1e4)}
		}
	}
	return s, ids
}

// Whatever the cluster is like: every plan makes it cheaper, there are never more moves under way than allowed, and it comes to an end.
func TestBalancingConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opt := Options{InFlight: rapid.IntRange(1, 50).Draw(t, "in flight"), Rest: 30 * time.Second}
		s, _ := drawSim(t, opt)
		stuck := rapid.IntRange(0, 3).Draw(t, "stuck")
		s.late = func() bool { return stuck > 0 && s.rnd.IntN(4) < stuck }
		for range 120 {
			before := s.cost()
			p := s.step()
			after := s.cost()
			if len(p.Moves) > 0 && after >= before {
				t.Fatalf("second %d: the cost went from %v to %v with %s", s.second, before, after, p.String())
			}
			if s.maxFly > opt.InFlight {
				t.Fatalf("%d moves under way, at most %d are allowed", s.maxFly, opt.InFlight)
			}
		}
		s.late = nil
		s.pass(3 * time.Minute)
		if later := s.pass(5 * time.Minute); later > 0 {
			t.Fatalf("still moving: %d moves", later)
		}
	})
}

// What is excluded is left alone, and a dry run changes nothing.
func TestExclusions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, ids := drawSim(t, Options{})
		out := rapid.SampledFrom(ids).Draw(t, "excluded node")
		dry := rapid.Bool().Draw(t, "dry")
		s.b = NewBalancer(Options{ExcludeNodes: []base.NodeID{out}, ExcludeTopics: []string{"*-0001", "topic-0002"}, DryRun: dry})
		s.pass(2 * time.Minute)
		plans := 0
		for _, p := range s.plans {
			if p.DryRun != (dry && len(p.Moves) > 0) {
				t.Fatalf("dry run %v, moves %d, marked %v", dry, len(p.Moves), p.DryRun)
			}
			if len(p.Moves) > 0 {
				plans++
			}
			for _, m := range p.Moves {
				topic, _ := s.img.TopicByID(m.Partition.Topic)
				if m.From == out || m.To == out || topic.Name == name(1) || topic.Name == name(2) {
					t.Fatalf("%s: %+v", topic.Name, m)
				}
			}
		}
		if dry && (s.moves > 0 || plans > 3) {
			t.Fatalf("%d moves in a dry run, %d plans in two minutes", s.moves, plans)
		}
	})
}

// The orphans of any cluster go to nodes that may lead, and leave it no more uneven in count than it has to be.
func TestSpreadProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, ids := drawSim(t, Options{})
		dead := rapid.SampledFrom(ids).Draw(t, "dead")
		loads := s.reports()
		s.closeAll(dead)
		s.fence(dead)
		var last base.NodeID
		for n := range s.nodes {
			last = max(last, n)
		}
		if len(s.nodes) > 1 && rapid.Bool().Draw(t, "drain") {
			s.drain(last, true)
		}
		o := Orphans(s.img)
		got := Spread(s.img, loads, o)
		if len(got) != len(o) || !slices.Equal(got, Spread(s.img, loads, o)) {
			t.Fatalf("%d of %d placed, or not always the same", len(got), len(o))
		}
		for i, m := range got {
			if n, _ := s.img.Node(m.Leader); n.Fenced || n.Draining || m.Partition != o[i] {
				t.Fatalf("%+v", m)
			}
		}
		even := Spread(s.img, nil, o)
		s.run(&meta.AssignPartitions{Partitions: even})
		got2 := map[base.NodeID]int{}
		most := 0
		for _, m := range even {
			got2[m.Leader]++
		}
		led := s.led()
		for n := range got2 {
			most = max(most, led[n])
		}
		for n, c := range led {
			if node, _ := s.img.Node(n); !node.Draining && c < most-1 {
				t.Fatalf("node %d leads %d although another one that was given some leads %d: %v", n, c, most, led)
			}
		}
	})
}

// Moves that are never carried out are planned again after some time, and hold up nothing else.
func TestLostMoves(t *testing.T) {
	s := newSim(t, Options{InFlight: 10, Rest: 30 * time.Second}, constant(0, 0))
	a, _, _ := s.join("z1"), s.join("z2"), s.join("z3")
	s.topic("t", times(90, a)...)
	planned := map[meta.PartitionID]int{}
	var sent []int // moves of each second
	for second := range 120 {
		s.now = s.now.Add(time.Second)
		p := s.b.Plan(s.img, s.reports(), s.now)
		sent = append(sent, len(p.Moves))
		under := 0
		for _, n := range sent[max(0, second-9):] {
			under += n
		}
		if under > 10 {
			t.Fatalf("second %d: %d moves may be under way", second, under)
		}
		for _, m := range p.Moves {
			planned[m.Partition]++
		}
	}
	if len(planned) < 40 {
		t.Fatalf("only %d partitions were ever tried", len(planned))
	}
}

func TestWaitsForReports(t *testing.T) {
	s := newSim(t, Options{}, constant(0, 0))
	a := s.join("z1")
	s.topic("t", times(30, a)...)
	if p := s.step(); !strings.Contains(p.Idle, "no two nodes") {
		t.Fatal(p.String())
	}
	b := s.join("z2")
	loads := s.reports()
	delete(loads, b)
	if p := s.b.Plan(s.img, loads, s.now); !strings.Contains(p.Idle, "node 2 has not reported") {
		t.Fatal(p.String())
	}
	if p := s.step(); len(p.Moves) != 15 || !strings.Contains(p.Moves[0].Why, "partitions: node 1 is at +100% of the mean and node 2 at -100%") {
		t.Fatalf("%s", p.String())
	}
}

// A balancer that was not asked for a while does not act on what it knew then.
func TestStaleHistory(t *testing.T) {
	s := newSim(t, Options{}, constant(5e6, 500))
	a, b := s.join("z1"), s.join("z2")
	s.topic("t", times(20, a, b)...)
	s.pass(5 * time.Second)
	s.rate = func(p meta.PartitionID, _ int) amount { return amount{float64(5e6 * (1 + 3*(p.Index%2))), 500} }
	s.pass(5 * time.Second) // uneven, but not for long enough
	s.now = s.now.Add(time.Hour)
	if p := s.step(); len(p.Moves) > 0 {
		t.Fatal(p.String())
	}
	s.pass(20 * time.Second)
	if s.moves == 0 {
		t.Fatal("uneven for twenty seconds, and nothing was done")
	}
}

// Loads that keep changing sides are followed less and less.
func TestRoundsBackOff(t *testing.T) {
	s := newSim(t, Options{Rest: time.Second}, nil)
	a, b := s.join("z1"), s.join("z2")
	s.topic("t", times(12, a, b)...)
	s.rate = func(p meta.PartitionID, at int) amount { // every two minutes another half of them, by lot
		if rand.New(rand.NewPCG(uint64(at/120), uint64(p.Index))).IntN(2) == 0 {
			return amount{5e6, 500}
		}
		return amount{100e3, 10}
	}
	moves, rounds := s.pass(2*time.Hour), 0
	for i, p := range s.plans[1:] {
		if len(p.Moves) > 0 && len(s.plans[i].Moves) == 0 {
			rounds++
		}
	}
	t.Logf("%d moves in %d rounds, of 60 occasions", moves, rounds)
	if rounds == 0 || rounds > 16 {
		t.Fatalf("%d moves in %d rounds, of 60 occasions", moves, rounds)
	}
}
