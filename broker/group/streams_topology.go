package group

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"sluice/broker/group/task"
)

// A topology, as the members of a streams group bring it, and what becomes of it with the topics there are.

// topology is what an application reads and writes. It is not changed once it is in a group.
type topology struct {
	epoch int32
	subs  []subtopology // ascending by id
}

// subtopology is a part of a topology whose tasks run together.
type subtopology struct {
	id           string
	sources      []string
	regexes      []string // always empty yet
	changelogs   []internalTopic
	sinks        []string // repartition topics it writes to
	repartitions []internalTopic
	copartitions []copartition
}

// internalTopic is a topic that belongs to the application.
type internalTopic struct {
	name       string
	partitions int32 // 0: to be decided
	factor     int16 // 0: the broker's
	configs    []setting
}

// copartition names topics of a subtopology that must have the same number of partitions, by their indexes.
type copartition struct{ sources, regexes, repartitions []int16 }

// equal reports whether topologies say the same.
func (t *topology) equal(o *topology) bool { return bytes.Equal(encodeTopology(t), encodeTopology(o)) }

// reader returns the subtopology that reads a topic, nil if there is none.
func (t *topology) reader(topic string) *subtopology {
	if t == nil {
		return nil
	}
	for i := range t.subs {
		if slices.Contains(t.subs[i].inputs(), topic) {
			return &t.subs[i]
		}
	}
	return nil
}

// inputs are the names of the topics that a subtopology reads.
func (s *subtopology) inputs() []string {
	all := slices.Clone(s.sources)
	for _, r := range s.repartitions {
		all = append(all, r.name)
	}
	return all
}

// required are the names of all topics that must be there, ascending.
func (t *topology) required() (all []string) {
	for i := range t.subs {
		all = append(all, t.subs[i].inputs()...)
		for _, c := range t.subs[i].changelogs {
			all = append(all, c.name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// hash is a fingerprint of the required topics that exist: names, ids, numbers of partitions. 0 stands for none.
func (t *topology) hash(view Topics) int64 {
	h, any := fnv.New64a(), false
	for _, name := range t.required() {
		if id, n, ok := view.ByName(name); ok {
			any = true
			h.Write(binary.BigEndian.AppendUint32(append(append([]byte(name), 0), id[:]...), uint32(n)))
		}
	}
	if !any {
		return 0
	}
	return int64(h.Sum64())
}

// invalid says what is wrong with a topology whatever topics there are; empty if it is in order.
func (t *topology) invalid() string {
	for i := range t.subs {
		s := &t.subs[i]
		for _, c := range s.changelogs {
			if c.partitions != 0 {
				return fmt.Sprintf("Changelog topic %s must have an undefined partition count, but it is set to %d.", c.name, c.partitions)
			}
		}
		switch {
		case i > 0 && t.subs[i-1].id == s.id:
			return fmt.Sprintf("Subtopology %s is there twice.", s.id)
		case len(s.sources)+len(s.repartitions) == 0:
			return fmt.Sprintf("No source topics found for subtopology %s", s.id)
		case slices.ContainsFunc(s.repartitions, func(r internalTopic) bool { return r.partitions < 0 }):
			return fmt.Sprintf("A repartition topic of subtopology %s has a negative number of partitions.", s.id)
		case slices.ContainsFunc(s.copartitions, func(c copartition) bool {
			beyond := func(n int) func(int16) bool { return func(i int16) bool { return i < 0 || int(i) >= n } }
			return slices.ContainsFunc(c.sources, beyond(len(s.sources))) || slices.ContainsFunc(c.repartitions, beyond(len(s.repartitions)))
		}):
			return fmt.Sprintf("A copartition group of subtopology %s names a topic that is not there.", s.id)
		}
	}
	return ""
}

// Codes of what a heartbeat's answer tells of the group.
const (
	statusStaleTopology    int8 = 0
	statusMissingSources   int8 = 1
	statusPartitions       int8 = 2
	statusMissingInternal  int8 = 3
	statusShutdown         int8 = 4
	statusAssignmentDelays int8 = 5
)

// streamsStatus tells a member how the group is.
type streamsStatus struct {
	code   int8
	detail string
}

// configured is a topology with the topics there are.
type configured struct {
	hash int64
	// partitions are the numbers of partitions of internal topics as they are to be; nil if that could not be decided.
	partitions map[string]int32
	subs       []task.Subtopology // ascending; nil as well
	missing    []internalTopic    // to be created, ascending, with numbers of partitions
	trouble    *streamsStatus     // nil: ready
}

func (c *configured) tasksOf(sub string) (int32, bool) {
	i, ok := slices.BinarySearchFunc(c.subs, sub, func(s task.Subtopology, id string) int { return strings.Compare(s.ID, id) })
	if !ok {
		return 0, false
	}
	return c.subs[i].Tasks, true
}

// invalidTopology is an error of the topology itself, to be told to whoever brought it.
type invalidTopology string

func (e invalidTopology) Error() string { return string(e) }

// configure works out the numbers of partitions and tasks. The error is an invalidTopology.
func (t *topology) configure(view Topics) (*configured, error) {
	c := &configured{hash: t.hash(view)}
	var missing []string
	for i := range t.subs {
		for _, name := range t.subs[i].sources {
			if _, _, ok := view.ByName(name); !ok {
				missing = append(missing, name)
			}
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		c.trouble = &streamsStatus{statusMissingSources, fmt.Sprintf("Source topics %s are missing.", summary(slices.Compact(missing)))}
		return c, nil
	}
	counts := &partitionCounts{topology: t, view: view, decided: map[string]int32{}}
	trouble, err := counts.decide()
	if err != nil || trouble != nil {
		c.trouble = trouble
		return c, err
	}
	c.partitions = counts.decided
	for i := range t.subs {
		s := &t.subs[i]
		n := int32(0)
		for _, name := range s.inputs() {
			n = max(n, counts.of(name))
		}
		c.subs = append(c.subs, task.Subtopology{ID: s.id, Tasks: n, Stateful: len(s.changelogs) > 0})
	}
	c.findMissing(t, view)
	return c, nil
}

// findMissing looks which internal topics are there, as they should be.
func (c *configured) findMissing(t *topology, view Topics) {
	missing := map[string]internalTopic{}
	var wrong []string
	for i := range t.subs {
		for _, topic := range slices.Concat(t.subs[i].repartitions, t.subs[i].changelogs) {
			topic.partitions = c.partitions[topic.name]
			switch _, n, ok := view.ByName(topic.name); {
			case !ok:
				missing[topic.name] = topic
			case n != topic.partitions:
				wrong = append(wrong, fmt.Sprintf("Existing topic %s has different number of partitions: expected %d, found %d", topic.name, topic.partitions, n))
			}
		}
	}
	switch {
	case len(wrong) > 0:
		slices.Sort(wrong)
		c.subs, c.partitions, c.trouble = nil, nil, &streamsStatus{statusPartitions, wrong[0]}
	case len(missing) > 0:
		names := slices.Sorted(maps.Keys(missing))
		for _, name := range names {
			c.missing = append(c.missing, missing[name])
		}
		c.trouble = &streamsStatus{statusMissingInternal, "Internal topics are missing: " + summary(names)}
	}
}

// summary names up to three topics.
func summary(names []string) string {
	if len(names) <= 3 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d additional topics", strings.Join(names[:3], ", "), len(names)-3)
}

// partitionCounts decides how many partitions internal topics have: a repartition topic as many as the subtopologies that write to it have inputs
// at most, unless it says itself, then the same for topics that must match, and a changelog as many as its subtopology has inputs.
type partitionCounts struct {
	topology *topology
	view     Topics
	decided  map[string]int32
}

// of returns the number of partitions of a topic, 0 if it is not known. What exists counts before what was decided.
func (p *partitionCounts) of(name string) int32 {
	if _, n, ok := p.view.ByName(name); ok {
		return n
	}
	return p.decided[name]
}

func (p *partitionCounts) decide() (*streamsStatus, error) {
	if err := p.repartitions(); err != nil {
		return nil, err
	}
	for i := range p.topology.subs {
		s := &p.topology.subs[i]
		for _, group := range s.copartitions {
			if trouble, err := p.copartition(s, group); trouble != nil || err != nil {
				return trouble, err
			}
		}
	}
	for i := range p.topology.subs {
		s := &p.topology.subs[i]
		n := int32(0)
		for _, name := range s.inputs() {
			n = max(n, p.of(name))
		}
		for _, c := range s.changelogs {
			p.decided[c.name] = n
		}
	}
	return nil, nil
}

// repartitions goes round until every repartition topic that is written to has a number: one may depend on another.
func (p *partitionCounts) repartitions() error {
	counts := map[string]int32{}
	for i := range p.topology.subs {
		for _, r := range p.topology.subs[i].repartitions {
			if r.partitions != 0 {
				counts[r.name] = r.partitions
			}
		}
	}
	for needed := true; needed; {
		needed = false
		progress := false
		for i := range p.topology.subs {
			s := &p.topology.subs[i]
			for _, sink := range s.sinks {
				if counts[sink] != 0 {
					continue
				}
				n := int32(0)
				for _, r := range s.repartitions {
					n = max(n, counts[r.name])
				}
				for _, source := range s.sources {
					n = max(n, p.of(source))
				}
				if n == 0 {
					needed = true
					continue
				}
				counts[sink], progress = n, true
			}
		}
		if needed && !progress {
			return invalidTopology("Failed to compute number of partitions for all repartition topics. There may be loops in the topology that cannot be resolved.")
		}
	}
	for i := range p.topology.subs {
		for _, r := range p.topology.subs[i].repartitions {
			if counts[r.name] == 0 {
				return invalidTopology("Failed to compute number of partitions for all repartition topics, because a repartition source topic is never used as a sink topic.")
			}
		}
	}
	maps.Copy(p.decided, counts)
	return nil
}

// copartition gives the repartition topics of a group the number of partitions that its other topics have, or, if it has no others, what one of
// them says itself, or the highest.
func (p *partitionCounts) copartition(s *subtopology, group copartition) (*streamsStatus, error) {
	fixed := map[string]bool{}
	for _, r := range s.repartitions {
		fixed[r.name] = r.partitions != 0
	}
	var sources, flexible, given []string
	for _, i := range group.sources {
		sources = append(sources, s.sources[i])
	}
	for _, i := range group.repartitions {
		if name := s.repartitions[i].name; fixed[name] {
			given = append(given, name)
		} else {
			flexible = append(flexible, name)
		}
	}
	must := given // must have the same number
	if len(sources) > 0 {
		must = sources
	}
	n := int32(0)
	for _, name := range must {
		if count := p.of(name); n == 0 {
			n = count
		} else if count != n {
			return &streamsStatus{statusPartitions, "Following topics do not have the same number of partitions: [" + p.table(must) + "]"}, nil
		}
	}
	for _, name := range flexible {
		if len(must) == 0 {
			n = max(n, p.of(name))
		}
	}
	for _, name := range given {
		if count := p.of(name); count != n {
			return &streamsStatus{statusPartitions, fmt.Sprintf("Number of partitions [%d] of repartition topic [%s] doesn't match number of partitions [%d] of the source topic.", count, name, n)}, nil
		}
	}
	for _, name := range slices.Concat(flexible, given) {
		p.decided[name] = n
	}
	return nil, nil
}

// table shows numbers of partitions as Java prints a map.
func (p *partitionCounts) table(names []string) string {
	names = slices.Clone(names)
	slices.Sort(names)
	var b strings.Builder
	for i, name := range slices.Compact(names) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s=%d", name, p.of(name))
	}
	return "{" + b.String() + "}"
}
