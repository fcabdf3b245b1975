package world

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/test/sim/simnet"
)

// Scenario is a world and what happens in it. A seed makes one, see [NewScenario]; as JSON it can be edited, shrunk and run again. Every choice that is drawn
// while it runs comes from Seed, and those of a step from the seed of the step: taking one step away leaves the others as they were.
type Scenario struct {
	Seed       uint64
	Brokers    int
	Partitions int32
	Producers  int
	Tail       bool // somebody reads everything
	Watcher    bool // somebody asks all brokers for what lies beyond the watermarks
	Committer  bool // somebody commits offsets and reads them back
	Members    int  // of a group whose members stay
	Groups     []GroupOf
	Copiers    int // in transactions
	Tellers    int // of a bank, who move money between accounts in transactions
	CopierLife Span
	Keeping    bool // somebody writes to a topic that is compacted
	Retention  Span // and to one whose records are due after that; 0: there is none
	Moves      bool // somebody moves partitions
	Burst      int  // the most records that are sent at once
	Pause      Span // the longest pause between two bursts
	Slow       int  // clients but producers take so many times as long between what they do; 0: 1
	Session    Span // of brokers
	Quiet      Span // in which nothing goes wrong, after the last step
	Rest       bool // in the end a broker whose clock is ahead tidies up, and nothing is left over
	Settings   []string
	Latency    Latency
	Delays     Delays
	Steps      []Step
}

// Step is a fault, its time before and after it, and what comes of it.
type Step struct {
	Fault  string
	Seed   uint64
	Before Span
	After  Span
	Heal   bool // everything is made whole behind it
}

// Latency is how long a request to the bucket takes: mostly between Min and Max, now and then up to Slow.
type Latency struct {
	Min, Max, Slow Span
	Slowly         float64 // probability
}

// Delays says how long bytes take in the network, see [simnet.Delays].
type Delays struct {
	Min, Max Span
	Resend   float64
	Again    Span
}

func (d Delays) simnet() simnet.Delays {
	return simnet.Delays{Min: time.Duration(d.Min), Max: time.Duration(d.Max), Resend: d.Resend, Again: time.Duration(d.Again)}
}

// Span is a duration that is text in JSON.
type Span time.Duration

// MarshalText implements encoding.TextMarshaler.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	*s = Span(d)
	return err
}

func (s Span) String() string { return time.Duration(s).String() }

// ParseScenario reads a scenario from JSON. It has nothing that is not known, and can be run.
func ParseScenario(text []byte) (Scenario, error) {
	var s Scenario
	in := json.NewDecoder(strings.NewReader(string(text)))
	in.DisallowUnknownFields()
	if err := in.Decode(&s); err != nil {
		return s, fmt.Errorf("read a scenario: %w", err)
	}
	return s, s.Check()
}

// Check says what is wrong with a scenario.
func (s Scenario) Check() error {
	if s.Brokers < 1 || s.Partitions < 1 || s.Producers < 1 || s.Burst < 1 || s.Pause <= 0 || s.Session <= 0 {
		return errors.New("a scenario has at least one broker, partition and producer, a burst, a pause and a session")
	}
	for _, st := range s.Steps {
		if !slices.ContainsFunc(faults, func(f trouble) bool { return f.name == st.Fault }) {
			return fmt.Errorf("there is no fault %q", st.Fault)
		}
	}
	for _, g := range s.Groups {
		if err := g.check(); err != nil {
			return err
		}
	}
	return nil
}

// JSON is the scenario as a file.
func (s Scenario) JSON() []byte {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("BUG: sim: " + err.Error())
	}
	return append(b, '\n')
}

// Kind is the kind of world.
func (s Scenario) Kind() Kind {
	switch {
	case s.Slow >= tempos[Days].slow:
		return Days
	case s.Slow > 1:
		return Long
	}
	return Dense
}

func (s Scenario) String() string {
	var names, groups []string
	for _, st := range s.Steps {
		names = append(names, st.Fault)
	}
	for _, g := range s.Groups {
		groups = append(groups, g.String())
	}
	return fmt.Sprintf("brokers=%d partitions=%d producers=%d members=%d groups=[%s] tail=%v watcher=%v committer=%v copiers=%d tellers=%d keeping=%v retention=%v moves=%v burst=%d pause=%v slow=%d bucket=%v..%v net=%v..%v quiet=%v steps=[%s] %s",
		s.Brokers, s.Partitions, s.Producers, s.Members, strings.Join(groups, ", "), s.Tail, s.Watcher, s.Committer, s.Copiers, s.Tellers, s.Keeping, s.Retention, s.Moves, s.Burst, s.Pause, s.Slow,
		s.Latency.Min, s.Latency.Max, s.Delays.Min, s.Delays.Max, s.Quiet, strings.Join(names, ", "), strings.Join(s.Settings, " "))
}
