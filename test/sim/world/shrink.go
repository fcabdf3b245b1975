package world

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Candidate is a scenario with something less than another one.
type Candidate struct {
	What     string
	Scenario Scenario
}

// Smaller returns what a scenario can be without, each thing alone, the one that saves most first.
func Smaller(s Scenario) (all []Candidate) {
	try := func(what string, change func(s *Scenario)) {
		less := s
		less.Steps, less.Groups, less.Settings = slices.Clone(s.Steps), slices.Clone(s.Groups), slices.Clone(s.Settings)
		change(&less)
		if string(less.JSON()) != string(s.JSON()) {
			all = append(all, Candidate{what, less})
		}
	}
	try("no rest", func(s *Scenario) { s.Rest = false })
	try("no quiet", func(s *Scenario) { s.Quiet = 0 })
	if half := len(s.Steps) / 2; half > 1 {
		try("without the second half of the steps", func(s *Scenario) { s.Steps = s.Steps[:half] })
		try("without the first half of the steps", func(s *Scenario) { s.Steps = s.Steps[half:] })
	}
	for i, st := range s.Steps {
		try(fmt.Sprintf("without step %d, %s", i+1, st.Fault), func(s *Scenario) { s.Steps = slices.Delete(s.Steps, i, i+1) })
	}
	smallerClients(s, try)
	if s.Brokers > 1 {
		try("one broker less", func(s *Scenario) { s.Brokers-- })
	}
	if s.Partitions > 1 {
		try("one partition", func(s *Scenario) { s.Partitions = 1 })
		try("half of the partitions", func(s *Scenario) { s.Partitions /= 2 })
	}
	try("clients that do not rest", func(s *Scenario) {
		if s.Slow > 1 {
			s.Slow, s.Pause = 0, min(s.Pause, Span(time.Second))
		}
	})
	try("single records", func(s *Scenario) { s.Burst = 1 })
	try("few records", func(s *Scenario) { s.Pause = Span(max(time.Duration(s.Pause), time.Second)) })
	try("a quick network", func(s *Scenario) { s.Delays = Delays{Min: Span(time.Millisecond), Max: Span(time.Millisecond)} })
	try("a quick bucket", func(s *Scenario) { s.Latency = Latency{Min: Span(time.Millisecond), Max: Span(2 * time.Millisecond)} })
	for i, st := range s.Steps {
		try(fmt.Sprintf("no pauses around step %d", i+1), func(s *Scenario) { s.Steps[i].Before, s.Steps[i].After = min(st.Before, Span(100*time.Millisecond)), 0 })
	}
	return all
}

func smallerClients(s Scenario, try func(what string, change func(s *Scenario))) {
	try("no copiers", func(s *Scenario) { s.Copiers = 0 })
	try("no bank", func(s *Scenario) { s.Tellers = 0 })
	try("nothing that is cleaned", func(s *Scenario) { s.Keeping, s.Retention = false, 0 })
	for i, g := range s.Groups {
		try(fmt.Sprintf("without group %v", g), func(s *Scenario) { s.Groups = slices.Delete(s.Groups, i, i+1) })
		if g.Members > 1 {
			try(fmt.Sprintf("group %v has one member less", g), func(s *Scenario) { s.Groups[i].Members-- })
		}
	}
	try("no members", func(s *Scenario) { s.Members = 0 })
	try("no moves", func(s *Scenario) { s.Moves = false })
	try("no committer", func(s *Scenario) { s.Committer = false })
	try("no watcher", func(s *Scenario) { s.Watcher = false })
	try("no tail", func(s *Scenario) { s.Tail = false })
	try("one producer", func(s *Scenario) { s.Producers = 1 })
	if s.Copiers > 1 {
		try("one copier", func(s *Scenario) { s.Copiers = 1 })
	}
	if s.Tellers > 1 {
		try("one teller", func(s *Scenario) { s.Tellers = 1 })
	}
}

// Failure says in which way a world failed, without what differs from one run to the next. Empty: it passed.
func (r Result) Failure() string {
	switch {
	case len(r.Kinds) > 0:
		return strings.Join(r.Kinds, ", ")
	case len(r.Wrong) > 0:
		return kindOfText(r.Wrong[0])
	case !r.Passed():
		return r.Verdict.String()
	}
	return ""
}

// kindOfText is the beginning of a text, without its numbers.
func kindOfText(text string) string {
	var b strings.Builder
	for _, c := range text[:min(len(text), 60)] {
		if c < '0' || c > '9' {
			b.WriteRune(c)
		}
	}
	return b.String()
}
