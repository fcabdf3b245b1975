package assign

import (
	"bytes"
	"cmp"
	"slices"

	"sluice/base"
)

// Partition names a partition by its topic's id.
type Partition struct {
	Topic base.UUID
	Index int32
}

// Compare orders partitions by topic id, then index.
func (p Partition) Compare(o Partition) int {
	if c := bytes.Compare(p.Topic[:], o.Topic[:]); c != 0 {
		return c
	}
	return cmp.Compare(p.Index, o.Index)
}

// Member is a member of a group.
type Member struct {
	ID string
	// Instance is empty for a dynamic member.
	Instance string
	// Topics are the topics subscribed to that exist, in any order, each once.
	Topics []base.UUID
	// Current is the member's target so far, in any order. It may hold partitions that are gone and topics that the member does not
	// subscribe to any more, but no partition of another member's.
	Current []Partition
}

// Assignor computes targets: one for each member, ascending, in the order of members. Partitions says how many partitions a topic has;
// it knows every topic that is subscribed to.
type Assignor func(members []Member, partitions func(base.UUID) int32) [][]Partition

// ByName finds an assignor, nil if there is none of that name.
func ByName(name string) Assignor {
	switch name {
	case "uniform":
		return Uniform
	case "range":
		return Range
	}
	return nil
}

// homogeneous reports whether all members subscribe to the same topics.
func homogeneous(members []Member) bool {
	if len(members) == 0 {
		return true
	}
	first := make(map[base.UUID]bool, len(members[0].Topics))
	for _, t := range members[0].Topics {
		first[t] = true
	}
	return !slices.ContainsFunc(members[1:], func(m Member) bool {
		return len(m.Topics) != len(first) || slices.ContainsFunc(m.Topics, func(t base.UUID) bool { return !first[t] })
	})
}

func sortedTopics(topics []base.UUID) []base.UUID {
	topics = slices.Clone(topics)
	slices.SortFunc(topics, func(a, b base.UUID) int { return bytes.Compare(a[:], b[:]) })
	return topics
}

// byIdentity orders members: static ones first, by instance id, then the others by member id. The result indexes members.
func byIdentity(members []Member) []int {
	order := make([]int, len(members))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &members[i], &members[j]
		switch {
		case a.Instance != "" && b.Instance != "":
			return cmp.Compare(a.Instance, b.Instance)
		case a.Instance != "":
			return -1
		case b.Instance != "":
			return 1
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return order
}

func sorted(targets [][]Partition) [][]Partition {
	for _, t := range targets {
		slices.SortFunc(t, Partition.Compare)
	}
	return targets
}
