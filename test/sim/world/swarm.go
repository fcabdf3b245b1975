package world

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// pickOf returns one of the choices.
func pickOf[T any](rnd *rand.Rand, choices ...T) T { return choices[rnd.IntN(len(choices))] }

// between draws a time.
func between(rnd *rand.Rand, lo, hi time.Duration) Span {
	return Span(lo + time.Duration(rnd.Int64N(int64(max(1, hi-lo)))))
}

// Kind is how long a world is, and with that how much happens in it at once.
type Kind string

// The kinds of worlds.
const (
	Dense Kind = "dense" // of minutes, in which clients rest for moments
	Long  Kind = "long"  // of an hour or so
	Days  Kind = "days"
)

// tempo is what a kind of world is like: what a dense one does not have is zero.
type tempo struct {
	slow             int    // Scenario.Slow
	pauses, sessions []Span // to choose from
	life             Span   // by how much members and copiers live longer
	quiet            [2]time.Duration
	apart            time.Duration // the most that faults are apart, on top of moments
	keep             int           // by how much retention, and the times between two looks at it, are longer
	compaction       [3]string     // intervals to choose from
}

var tempos = map[Kind]tempo{
	Dense: {keep: 1, compaction: [3]string{"1s", "5s", "1m"}},
	Long: {slow: 300, pauses: []Span{Span(20 * time.Second), Span(2 * time.Minute), Span(10 * time.Minute)}, sessions: []Span{Span(6 * time.Second), Span(10 * time.Second), Span(30 * time.Second)},
		life: 60, quiet: [2]time.Duration{10 * time.Minute, time.Hour}, apart: 10 * time.Minute, keep: 60, compaction: [3]string{"1s", "5s", "1m"}},
	Days: {slow: 18_000, pauses: []Span{Span(20 * time.Minute), Span(2 * time.Hour), Span(8 * time.Hour)}, sessions: []Span{Span(20 * time.Second), Span(30 * time.Second), Span(time.Minute)},
		life: 1440, quiet: [2]time.Duration{12 * time.Hour, 96 * time.Hour}, apart: 8 * time.Hour, keep: 1440, compaction: [3]string{"1m", "10m", "1h"}},
}

// Known reports whether a seed can be made a world of that kind; "" is one that the seed chooses.
func Known(kind string) bool { _, ok := tempos[Kind(kind)]; return ok || kind == "" }

// longOne of so many worlds is long, daysOne of days. Each costs as much as many short ones.
const (
	longOne = 12
	daysOne = 100
)

// NewScenario is what a seed makes of the world.
func NewScenario(seed uint64) Scenario { return NewScenarioOf("", seed) }

// NewScenarioOf is what a seed makes of a world of a kind; "": the seed chooses that, too.
func NewScenarioOf(kind Kind, seed uint64) Scenario {
	rnd := rand.New(rand.NewPCG(seed, 0))
	const ms = Span(time.Millisecond)
	s := Scenario{
		Seed: seed, Brokers: 1 + rnd.IntN(4), Partitions: int32(1 + rnd.IntN(6)), Producers: 1 + rnd.IntN(3), Members: max(0, rnd.IntN(4)-1),
		Tail: rnd.IntN(4) > 0, Committer: rnd.IntN(2) == 0, Copiers: max(0, rnd.IntN(4)-1), CopierLife: pickOf(rnd, 10_000*ms, 40_000*ms), Moves: rnd.IntN(2) == 0,
		Burst: pickOf(rnd, 1, 4, 20), Pause: pickOf(rnd, 100*ms, 300*ms, 1000*ms),
		Session: pickOf(rnd, 2000*ms, 4000*ms),
		Latency: pickOf(rnd,
			Latency{Min: ms, Max: 5 * ms, Slow: 50 * ms, Slowly: 0.01},
			Latency{Min: 10 * ms, Max: 60 * ms, Slow: 1000 * ms, Slowly: 0.01},
			Latency{Min: 30 * ms, Max: 400 * ms, Slow: 1500 * ms, Slowly: 0.03}),
		Delays: pickOf(rnd,
			Delays{Min: ms / 20, Max: 3 * ms / 10},
			Delays{Min: ms / 10, Max: 5 * ms, Resend: 0.005, Again: 200 * ms},
			Delays{Min: ms, Max: 80 * ms, Resend: 0.02, Again: 1000 * ms}),
	}
	s.Groups, s.Watcher = groups(rnd), rnd.IntN(2) == 0
	s.Tellers = max(0, rnd.IntN(5)-2)
	s.Rest = rnd.IntN(3) == 0
	drawn := Dense
	if rnd.IntN(longOne) == 0 {
		drawn = Long
	}
	if rand.New(rand.NewPCG(seed, 1)).IntN(daysOne) == 0 { // a source of its own: other seeds stay what they were
		drawn = Days
	}
	if kind == "" {
		kind = drawn
	}
	tempo := tempos[kind]
	if tempo.slow > 1 {
		s.lengthen(rnd, tempo)
	}
	s.Settings = settings(rnd, s.Session, tempo)
	s.Steps = steps(rnd, s, tempo)
	s.keep(rnd, tempo)
	return s
}

// clocksJump is the fault after which nobody knows what is due: brokers go by their clocks.
const clocksJump = "clocks jump"

// keep draws topics that are cleaned, and how often brokers look what is due.
func (s *Scenario) keep(rnd *rand.Rand, t tempo) {
	s.Keeping = rnd.IntN(2) == 0
	retention, look := Span(t.keep)*between(rnd, time.Second, 8*time.Second), t.keep*pickOf(rnd, 500, 2000)
	if s.Keeping && !slices.ContainsFunc(s.Steps, func(st Step) bool { return st.Fault == clocksJump }) {
		s.Retention = retention
	}
	s.Settings = append(s.Settings, fmt.Sprintf("log.cleaner.backoff.ms=%d", look), fmt.Sprintf("log.retention.check.interval.ms=%d", look),
		"log.cleaner.dedupe.buffer.size="+pickOf(rnd, "64KiB", "1MiB"))
}

// lengthen makes a world one in which little happens: its clients rest, faults are far between, sessions are as operators have them. What comes due after minutes, hours or days,
// and what goes wrong in a cluster that has nothing to do, is seen here only.
func (s *Scenario) lengthen(rnd *rand.Rand, t tempo) {
	s.Slow, s.Burst, s.Pause = t.slow, pickOf(rnd, 1, 4), pickOf(rnd, t.pauses...)
	s.Session = pickOf(rnd, t.sessions...)
	s.CopierLife *= t.life
	for i := range s.Groups {
		s.Groups[i].Life *= t.life
	}
	s.Quiet = between(rnd, t.quiet[0], t.quiet[1])
}

// settings are those of the brokers, limits small enough to be met.
func settings(rnd *rand.Rand, session Span, t tempo) []string {
	set := append(walSetting(rnd), []string{
		fmt.Sprintf("broker.session.timeout.ms=%d", time.Duration(session).Milliseconds()),
		"wal-s3-puts-per-second=" + pickOf(rnd, "4", "20", "200"),
		"upload-interval=" + pickOf(rnd, "200ms", "1s", "5s"),
		"upload-bytes=" + pickOf(rnd, "64KiB", "1MiB", "8MiB"),
		"stream-object-bytes=" + pickOf(rnd, "16KiB", "64KiB", "256KiB"),
		"offsets.topic.num.partitions=" + pickOf(rnd, "1", "3"),
		"transaction.state.log.num.partitions=" + pickOf(rnd, "1", "3"),
		"compaction-interval=" + pickOf(rnd, t.compaction[:]...),
		"group.initial.rebalance.delay.ms=0", "memory=64MiB", "group.share.delivery.count.limit=10",
	}...)
	if rnd.IntN(4) == 0 {
		set = append(set, "compaction=false")
	}
	switch {
	case t.slow >= tempos[Days].slow:
		return append(set, "group.consumer.heartbeat.interval.ms=15000", "group.share.heartbeat.interval.ms=15000")
	case t.slow > 1:
		return set
	}
	return append(set,
		"group.consumer.min.session.timeout.ms=6000", "group.consumer.session.timeout.ms=6000",
		"group.consumer.min.heartbeat.interval.ms=1000", "group.consumer.heartbeat.interval.ms=1000",
		"group.share.min.session.timeout.ms=6000", "group.share.session.timeout.ms=6000",
		"group.share.min.heartbeat.interval.ms=1000", "group.share.heartbeat.interval.ms=1000")
}

// steps draws what goes wrong, from some of the faults only: what is left out cannot hide the others.
func steps(rnd *rand.Rand, s Scenario, t tempo) (all []Step) {
	var some []trouble
	for _, f := range faults {
		if rnd.IntN(2) == 0 && s.Brokers >= f.brokers && (f.needs == nil || f.needs(s)) {
			some = append(some, f)
		}
	}
	if len(some) == 0 {
		some = faults[:1]
	}
	for range 2 + rnd.IntN(4) {
		st := Step{Fault: pickOf(rnd, some...).name, Seed: rnd.Uint64(), Before: between(rnd, 100*time.Millisecond, 1500*time.Millisecond),
			After: between(rnd, 0, time.Second), Heal: rnd.IntN(3) > 0}
		if rnd.IntN(6) == 0 {
			st.After += between(rnd, 0, 5*time.Second)
		}
		if s.Slow > 1 {
			st.Before += between(rnd, 0, t.apart)
			if rnd.IntN(3) == 0 {
				st.After += between(rnd, 0, t.apart)
			}
		}
		all = append(all, st)
	}
	return all
}
