package balance

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
)

// sim runs a balancer against a cluster whose partitions have given loads. One step is a second: nodes report, the balancer plans, and the
// moves that were planned take one second more to be done.
type sim struct {
	*world
	b           *Balancer
	rnd         *rand.Rand
	now         time.Time
	rate        func(id meta.PartitionID, second int) amount // true load
	idleCPU     float64
	bytesPerCPU float64 // a node's CPU is used up by so many bytes a second
	second      int
	moves       int
	moved       map[meta.PartitionID]int
	back        int // moves that took a partition back where it had come from
	from        map[meta.PartitionID]base.NodeID
	maxFly      int
	plans       []Plan
	late        func() bool // a move is held up for this second
}

func newSim(t tb, opt Options, rate func(meta.PartitionID, int) amount) *sim {
	return &sim{world: newWorld(t), b: NewBalancer(opt), rnd: rand.New(rand.NewPCG(1, 2)), now: time.Unix(1_700_000_000, 0), rate: rate, bytesPerCPU: 2 << 30,
		moved: map[meta.PartitionID]int{}, from: map[meta.PartitionID]base.NodeID{}}
}

// reports is what the nodes would say.
func (s *sim) reports() Loads {
	loads := Loads{}
	for n := range s.nodes {
		loads[n] = NodeLoad{CPU: s.idleCPU}
	}
	for p := range everyPartition(s.img) {
		l, ok := loads[p.Leader]
		if !ok {
			continue
		}
		a := s.rate(id(&p), s.second)
		l.BytesIn += a.bytes
		l.Requests += a.requests
		l.CPU = min(1, l.CPU+a.work()/s.bytesPerCPU)
		if a.work() > 0 {
			l.Partitions = append(l.Partitions, PartitionLoad{Partition: id(&p), BytesIn: a.bytes, Requests: a.requests})
		}
		loads[p.Leader] = l
	}
	for n, l := range loads {
		slices.SortStableFunc(l.Partitions, func(x, y PartitionLoad) int { return cmp.Compare(y.amount().work(), x.amount().work()) })
		l.Partitions = l.Partitions[:min(len(l.Partitions), MaxPartitions)]
		loads[n] = l
	}
	return loads
}

// handOver finishes the moves that are under way.
func (s *sim) handOver() {
	out := map[base.NodeID]*meta.HandOver{}
	for p := range everyPartition(s.img) {
		if p.Target == base.NoNode || s.late != nil && s.late() {
			continue
		}
		if out[p.Leader] == nil {
			out[p.Leader] = &meta.HandOver{Node: s.nodes[p.Leader]}
		}
		out[p.Leader].Partitions = append(out[p.Leader].Partitions, meta.HandedOver{Partition: id(&p), Epoch: p.LeaderEpoch})
	}
	for _, cmd := range out {
		s.run(cmd)
	}
	s.openAll()
}

// step is one second.
func (s *sim) step() Plan {
	s.t.Helper()
	s.now = s.now.Add(time.Second)
	s.second++
	s.handOver()
	plan := s.b.Plan(s.img, s.reports(), s.now)
	if (len(plan.Moves) == 0) != (plan.Idle != "") {
		s.t.Fatalf("second %d: %d moves, idle %q", s.second, len(plan.Moves), plan.Idle)
	}
	for _, m := range plan.Moves {
		if m.Why == "" || m.From == m.To {
			s.t.Fatalf("second %d: move without sense: %+v", s.second, m)
		}
		if !plan.DryRun {
			s.moved[m.Partition]++
			if s.from[m.Partition] == m.To {
				s.back++
			}
			s.from[m.Partition] = m.From
		}
	}
	if l := plan.Leaders(); l != nil {
		s.run(&meta.MovePartitions{Partitions: l})
		s.moves += len(l)
	}
	fly := 0
	for p := range everyPartition(s.img) {
		if p.Target != base.NoNode {
			fly++
		}
	}
	s.maxFly = max(s.maxFly, fly)
	s.plans = append(s.plans, plan)
	return plan
}

func (s *sim) pass(d time.Duration) (moves int) {
	before := s.moves
	for range int(d / time.Second) {
		s.step()
	}
	return s.moves - before
}

// off is how far the true loads are off the mean, leaving out excluded dimensions.
func (s *sim) off() Score {
	est := &estimates{known: map[meta.PartitionID]amount{}, rest: map[base.NodeID]amount{}, perWork: map[base.NodeID]float64{}, other: map[base.NodeID]float64{}}
	for p := range everyPartition(s.img) {
		est.known[id(&p)] = s.rate(id(&p), s.second)
	}
	b := newBoard(s.img, est, nil)
	b.count(s.img, nil)
	return scoreOf(b.off())
}

func constant(bytes, requests float64) func(meta.PartitionID, int) amount {
	return func(meta.PartitionID, int) amount { return amount{bytes, requests} }
}

// Three nodes, one of which has nearly everything: even within a minute, and then no move for an hour.
func TestSkewIsEvenedWithinAMinute(t *testing.T) {
	for name, rate := range map[string]func(meta.PartitionID, int) amount{
		"idle":  constant(0, 0),
		"equal": constant(1<<20, 100),
		"skewed": func(p meta.PartitionID, _ int) amount { // a few carry most of it
			f := 1 / float64(1+p.Index%30)
			return amount{20e6 * f, 1000 * f}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t, Options{}, rate)
			a, b, c := s.join("z1"), s.join("z2"), s.join("z3")
			s.topic("t", append(times(240, a), times(60, b, c)...)...)
			before := s.off()
			moves := s.pass(time.Minute)
			after := s.off()
			if after.Partitions > 0.2 || after.Bytes > 0.2 || after.Requests > 0.2 {
				t.Fatalf("after a minute and %d moves off the mean by %s", moves, after)
			}
			if later := s.pass(time.Hour); later > 0 {
				t.Fatalf("%d moves in the hour after", later)
			}
			t.Logf("%d moves: %s -> %s; led %v", moves, before, after, s.led())
		})
	}
}

// Counts are even and only the bytes are not: this too takes less than a minute.
func TestHotPartitionsAreSpread(t *testing.T) {
	s := newSim(t, Options{}, nil)
	a, b, c := s.join("z1"), s.join("z2"), s.join("z3")
	hot := s.topic("hot", times(9, a)...)
	s.topic("cold", append(times(91, a), times(200, b, c)...)...)
	s.rate = func(p meta.PartitionID, _ int) amount {
		if p.Topic == hot {
			return amount{10e6, 100}
		}
		return amount{1e3, 1}
	}
	if off := s.off(); off.Bytes < 1.5 || off.Partitions > 0.01 {
		t.Fatalf("the test is wrong: %s", off)
	}
	moves := s.pass(time.Minute)
	if off := s.off(); off.Bytes > 0.2 || off.Partitions > 0.2 {
		t.Fatalf("after %d moves: %s", moves, off)
	}
	if moves > 30 {
		t.Fatalf("%d moves where 6 partitions are hot in the wrong place", moves)
	}
	if later := s.pass(time.Hour); later > 0 {
		t.Fatalf("%d moves in the hour after", later)
	}
	t.Logf("%d moves", moves)
}

// One partition that is hotter than everything else together cannot be helped, and is not tried to be for ever.
func TestWhatCannotBeHelpedIsLeft(t *testing.T) {
	s := newSim(t, Options{}, nil)
	a, b, c := s.join("z1"), s.join("z2"), s.join("z3")
	topic := s.topic("t", times(60, a, b, c)...)
	s.rate = func(p meta.PartitionID, _ int) amount {
		if p == (meta.PartitionID{Topic: topic, Index: 0}) {
			return amount{100e6, 1000}
		}
		return amount{100e3, 10}
	}
	first := s.pass(2 * time.Minute)
	if later := s.pass(time.Hour); later > 0 {
		t.Fatalf("%d moves in the hour after", later)
	}
	for p, n := range s.moved {
		if n > 1 {
			t.Fatalf("partition %v moved %d times", p, n)
		}
	}
	rounds := 0
	for _, p := range s.plans {
		if strings.HasPrefix(p.Idle, "the round is over") {
			rounds++
		}
	}
	if rounds == 0 || rounds > 4 {
		t.Fatalf("what cannot be helped was tried in %d rounds", rounds)
	}
	t.Logf("%d moves, led %v", first, s.led())
}

// Three nodes become twelve and three again.
func TestGrowAndShrink(t *testing.T) {
	s := newSim(t, Options{}, func(p meta.PartitionID, _ int) amount { return amount{float64(1+p.Index%10) * 200e3, 50} })
	ids := []base.NodeID{s.join("z1"), s.join("z2"), s.join("z3")}
	for i := range 12 {
		s.topic(name(i), times(100, ids...)...)
	}
	s.pass(30 * time.Second)
	if s.moves > 0 {
		t.Fatalf("%d moves in an even cluster", s.moves)
	}
	for i := range 9 {
		ids = append(ids, s.join([]string{"z1", "z2", "z3"}[i%3]))
	}
	moves := s.pass(10 * time.Second)
	led := s.led()
	for _, n := range ids {
		if led[n] < 80 || led[n] > 120 {
			t.Fatalf("ten seconds after nine nodes joined: %v", led)
		}
	}
	t.Logf("%d moves for 900 partitions; %v; %s", moves, led, s.off())
	if moves > 1100 {
		t.Errorf("%d moves", moves)
	}
	// What the light ones have was only guessed; that is put right within the minute.
	more := s.pass(50 * time.Second)
	t.Logf("%d more; %s", more, s.off())
	if off := s.off(); off.Bytes > 0.25 || off.Partitions > 0.2 {
		t.Fatalf("a minute after nine nodes joined: %s", off)
	}
	first := s.pass(10 * time.Minute)
	if off := s.off(); off.Bytes > 0.2 || first > 60 {
		t.Fatalf("ten minutes after nine nodes joined: %s, %d moves", off, first)
	}
	if later := s.pass(20 * time.Minute); later > 0 {
		t.Fatalf("%d moves in the twenty minutes after", later)
	}
	t.Logf("%d after the first minute; %s", first, s.off())
	for _, n := range ids[3:] {
		s.drain(n, true)
	}
	for range 10 {
		if m := Drain(s.img, s.reports(), 500); len(m) > 0 {
			s.run(&meta.MovePartitions{Partitions: m})
		}
		s.step()
	}
	led = s.led()
	for _, n := range ids[3:] {
		if led[n] != 0 {
			t.Fatalf("ten seconds after the drain: %v", led)
		}
	}
	for _, n := range ids[3:] {
		s.fence(n)
	}
	if later := s.pass(10 * time.Minute); later > 60 {
		t.Fatalf("%d moves after the shrink", later)
	}
	t.Logf("%v; %s", s.led(), s.off())
}

// Loads that jump about do not cause churn.
func TestNoiseCausesNoChurn(t *testing.T) {
	for name, c := range map[string]struct {
		rate  func(*sim) func(meta.PartitionID, int) amount
		limit int // moves in an hour
	}{
		"each second anything between nothing and double": {func(s *sim) func(meta.PartitionID, int) amount {
			return func(meta.PartitionID, int) amount { return amount{s.rnd.Float64() * 2e6, s.rnd.Float64() * 200} }
		}, 0},
		"bursts of half a minute on one in ten": {func(s *sim) func(meta.PartitionID, int) amount {
			return func(p meta.PartitionID, at int) amount {
				if (int(p.Index)*7+at/30)%10 == 0 {
					return amount{10e6, 200}
				}
				return amount{200e3, 20}
			}
		}, 0},
		"one node's partitions are busy, each five minutes those of another": {func(s *sim) func(meta.PartitionID, int) amount {
			return func(p meta.PartitionID, at int) amount {
				if (int(p.Index)+at/300)%3 == 0 {
					return amount{3e6, 300}
				}
				return amount{300e3, 30}
			}
		}, 120},
		"each node's load jumps about every second": {func(s *sim) func(meta.PartitionID, int) amount {
			var f [3]float64
			last := 0
			return func(p meta.PartitionID, at int) amount {
				for ; last < at; last++ {
					for i := range f {
						f[i] = math.Exp(s.rnd.NormFloat64() * 0.35)
					}
				}
				return amount{1e6 * f[p.Index%3], 100 * f[p.Index%3]}
			}
		}, 10},
		"each node's load walks about by itself": {func(s *sim) func(meta.PartitionID, int) amount {
			f := [3]float64{1, 1, 1}
			last := 0
			return func(p meta.PartitionID, at int) amount {
				for ; last < at; last++ {
					for i := range f {
						f[i] = min(4, max(0.25, f[i]*math.Exp(s.rnd.NormFloat64()*0.05)))
					}
				}
				return amount{1e6 * f[p.Index%3], 100}
			}
		}, 240},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t, Options{}, constant(0, 0))
			a, b, c3 := s.join("z1"), s.join("z2"), s.join("z3")
			s.topic("t", times(120, a, b, c3)...)
			s.rate = c.rate(s)
			moves := s.pass(time.Hour)
			t.Logf("%d moves in an hour, %d of them back", moves, s.back)
			if moves > c.limit {
				t.Fatalf("%d moves in an hour, at most %d were expected", moves, c.limit)
			}
		})
	}
}
