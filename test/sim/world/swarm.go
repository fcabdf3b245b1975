package world

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"sluice/test/sim/simnet"
)

// swarm is what a seed makes of the world.
type swarm struct {
	brokers    int
	partitions int32
	producers  int
	members    int // of a group
	tail       bool
	committer  bool
	copiers    int // in transactions
	copierLife time.Duration
	moves      bool
	burst      int
	pause      time.Duration

	session  time.Duration
	settings []string
	latency  latency
	delays   simnet.Delays

	rounds int
	faults []trouble
}

// pickOf returns one of the choices.
func pickOf[T any](rnd *rand.Rand, choices ...T) T { return choices[rnd.IntN(len(choices))] }

func newSwarm(rnd *rand.Rand) swarm {
	s := swarm{
		brokers: 1 + rnd.IntN(4), partitions: int32(1 + rnd.IntN(6)), producers: 1 + rnd.IntN(3), members: rnd.IntN(3),
		tail: rnd.IntN(4) > 0, committer: rnd.IntN(2) == 0, copiers: max(0, rnd.IntN(4)-1), copierLife: pickOf(rnd, 10*time.Second, 40*time.Second), moves: rnd.IntN(2) == 0,
		burst: pickOf(rnd, 1, 4, 20), pause: pickOf(rnd, 50*time.Millisecond, 300*time.Millisecond, time.Second),
		session: pickOf(rnd, 2*time.Second, 4*time.Second),
		latency: pickOf(rnd,
			latency{min: time.Millisecond, max: 5 * time.Millisecond, slow: 50 * time.Millisecond, slowly: 0.01},
			latency{min: 10 * time.Millisecond, max: 60 * time.Millisecond, slow: time.Second, slowly: 0.01},
			latency{min: 30 * time.Millisecond, max: 400 * time.Millisecond, slow: 1500 * time.Millisecond, slowly: 0.03}),
		delays: pickOf(rnd,
			simnet.Delays{Min: 50 * time.Microsecond, Max: 300 * time.Microsecond},
			simnet.Delays{Min: 100 * time.Microsecond, Max: 5 * time.Millisecond, Resend: 0.005, Again: 200 * time.Millisecond},
			simnet.Delays{Min: time.Millisecond, Max: 80 * time.Millisecond, Resend: 0.02, Again: time.Second}),
		rounds: 2 + rnd.IntN(4),
	}
	s.settings = []string{
		"wal=s3", fmt.Sprintf("broker.session.timeout.ms=%d", s.session.Milliseconds()),
		"wal-s3-puts-per-second=" + pickOf(rnd, "4", "20", "200"),
		"upload-interval=" + pickOf(rnd, "200ms", "1s", "5s"),
		"upload-bytes=" + pickOf(rnd, "64KiB", "1MiB", "8MiB"),
		"stream-object-bytes=" + pickOf(rnd, "16KiB", "64KiB", "256KiB"),
		"offsets.topic.num.partitions=" + pickOf(rnd, "1", "3"),
		"transaction.state.log.num.partitions=" + pickOf(rnd, "1", "3"),
		"compaction-interval=" + pickOf(rnd, "1s", "5s", "1m"),
		"group.initial.rebalance.delay.ms=0", "memory=64MiB",
	}
	if rnd.IntN(4) == 0 {
		s.settings = append(s.settings, "compaction=false")
	}
	for _, f := range faults {
		if rnd.IntN(2) == 0 && s.brokers >= f.brokers {
			s.faults = append(s.faults, f)
		}
	}
	if len(s.faults) == 0 {
		s.faults = faults[:1]
	}
	return s
}

func (s swarm) String() string {
	var names []string
	for _, f := range s.faults {
		names = append(names, f.name)
	}
	return fmt.Sprintf("brokers=%d partitions=%d producers=%d members=%d tail=%v committer=%v copiers=%d moves=%v burst=%d pause=%v bucket=%v..%v net=%v..%v rounds=%d faults=[%s] %s",
		s.brokers, s.partitions, s.producers, s.members, s.tail, s.committer, s.copiers, s.moves, s.burst, s.pause, s.latency.min, s.latency.max, s.delays.Min, s.delays.Max,
		s.rounds, strings.Join(names, ", "), strings.Join(s.settings, " "))
}
