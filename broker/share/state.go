package share

import (
	"fmt"
	"strconv"
	"strings"

	"sluice/base"
)

// Key names a share partition: a partition as one share group sees it.
type Key struct {
	Group string
	Topic base.UUID
	Index int32
}

// String is the key by which Kafka finds the share partition's coordinator.
func (k Key) String() string { return fmt.Sprintf("%s:%s:%d", k.Group, k.Topic, k.Index) }

// MemberIDMax bounds the ids of members, which clients make: they are UUIDs.
const MemberIDMax = 36

// IsKey reports whether s has the form of [Key.String], be there such a topic or not.
func IsKey(s string) bool {
	rest, index, ok := cutLast(s)
	group, topic, more := cutLast(rest)
	_, err := base.ParseUUID(topic)
	_, bad := strconv.ParseUint(index, 10, 31)
	return ok && more && group != "" && err == nil && bad == nil
}

// cutLast cuts around the last colon; a group's name may hold others.
func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// DeliveryState is the state of a record in a share partition, with the numbers that Kafka stores.
type DeliveryState int8

const (
	// Available records may be handed to a member.
	Available DeliveryState = 0
	// Acquired records are locked for a member. This state is never stored: what was acquired is available after a restart.
	Acquired DeliveryState = 1
	// Acknowledged records are done.
	Acknowledged DeliveryState = 2
	// Archiving records are given up, and their dead letters are being written.
	Archiving DeliveryState = 3
	// Archived records are given up: rejected, delivered too often, or not there.
	Archived DeliveryState = 4
)

func (s DeliveryState) String() string {
	switch s {
	case Available:
		return "available"
	case Acquired:
		return "acquired"
	case Acknowledged:
		return "acknowledged"
	case Archiving:
		return "archiving"
	case Archived:
		return "archived"
	}
	return fmt.Sprintf("state %d", int8(s))
}

// final reports whether a record in this state is never delivered again.
func (s DeliveryState) final() bool { return s == Acknowledged || s == Archived }

// StateBatch is the state of the records from First to Last, both included.
type StateBatch struct {
	First, Last   base.Offset
	State         DeliveryState
	DeliveryCount int16
}

// State is what is durable of a share partition. Records at or above Start that are in no batch are available and were never delivered, or
// were not fetched yet.
type State struct {
	StateEpoch  int32
	LeaderEpoch int32
	// Start is the first offset that is not done; NoOffset until the share partition's leader has chosen it.
	Start base.Offset
	// Complete counts the records at or above Start that are done; -1 if it is not known.
	Complete int32
	Batches  []StateBatch // ascending, not overlapping
}

// NoOffset stands for a start offset that nobody has chosen yet, or that a write leaves as it is.
const NoOffset base.Offset = -1

// merge lays newer batches over older ones and drops what is below start. Both lists are ascending and do not overlap in themselves; so is
// the result, and neighbours that are alike are one.
func merge(older, newer []StateBatch, start base.Offset) []StateBatch {
	out := make([]StateBatch, 0, len(older)+len(newer))
	add := func(b StateBatch) {
		if b.First = max(b.First, start); b.First > b.Last {
			return
		}
		if n := len(out); n > 0 && out[n-1].Last+1 == b.First && out[n-1].State == b.State && out[n-1].DeliveryCount == b.DeliveryCount {
			out[n-1].Last = b.Last
			return
		}
		out = append(out, b)
	}
	for _, n := range newer {
		for len(older) > 0 && older[0].First < n.First {
			o := older[0]
			if o.Last < n.First {
				add(o)
				older = older[1:]
				continue
			}
			head := o
			head.Last = n.First - 1
			add(head)
			break
		}
		for len(older) > 0 && older[0].Last <= n.Last {
			older = older[1:]
		}
		if len(older) > 0 && older[0].First <= n.Last { // the tail of one that n covers in part
			tail := older[0]
			tail.First = n.Last + 1
			older = append([]StateBatch{tail}, older[1:]...)
		}
		add(n)
	}
	for _, o := range older {
		add(o)
	}
	return out
}

// ordered reports whether batches are ascending, do not overlap, and hold states that can be stored.
func ordered(batches []StateBatch) bool {
	next := base.Offset(0)
	for _, b := range batches {
		if b.First < next || b.Last < b.First || b.DeliveryCount < 0 || b.State != Available && b.State != Archiving && !b.State.final() {
			return false
		}
		next = b.Last + 1
	}
	return true
}
