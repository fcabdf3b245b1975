package group

import (
	"slices"

	"sluice/wire/kbin"
	"sluice/wire/msg"
)

// What consumers of the classic protocol put into the opaque bytes of JoinGroup and SyncGroup: a version, then a message of it. Higher
// versions begin as the highest known one does.
const consumerProtocolVersions int16 = 3

// subscription is what a classic consumer says of itself.
type classicSubscription struct {
	version int16
	topics  []string // ascending
	rack    string
	owned   []partitionID // of topics that exist
}

func decodeSubscription(b []byte, view Topics) (classicSubscription, bool) {
	r := kbin.NewReader(b)
	version := r.Int16()
	if version < 0 || r.Err() != nil {
		return classicSubscription{}, false
	}
	var m msg.ConsumerProtocolSubscription
	m.Decode(&r, min(version, consumerProtocolVersions))
	s := classicSubscription{version: min(version, consumerProtocolVersions), topics: m.Topics, rack: text(m.RackId)}
	slices.Sort(s.topics)
	s.topics = slices.Compact(s.topics)
	for _, t := range m.OwnedPartitions {
		if id, _, ok := view.ByName(t.Topic); ok {
			for _, index := range t.Partitions {
				s.owned = append(s.owned, partitionID{Topic: id, Index: index})
			}
		}
	}
	return s, r.Err() == nil
}

// decodeAssignment reads what a classic leader has assigned to a member. False if it cannot be read, or holds data of a custom assignor,
// which would get lost.
func decodeAssignment(b []byte, view Topics) ([]partitionID, bool) {
	if len(b) == 0 {
		return nil, true
	}
	r := kbin.NewReader(b)
	version := r.Int16()
	if version < 0 || r.Err() != nil {
		return nil, false
	}
	var m msg.ConsumerProtocolAssignment
	m.Decode(&r, min(version, consumerProtocolVersions))
	var assigned []partitionID
	for _, t := range m.AssignedPartitions {
		if id, _, ok := view.ByName(t.Topic); ok {
			for _, index := range t.Partitions {
				assigned = append(assigned, partitionID{Topic: id, Index: index})
			}
		}
	}
	slices.SortFunc(assigned, partitionID.Compare)
	return slices.Compact(assigned), r.Err() == nil && len(m.UserData) == 0
}

// encodeAssignment is what a classic member is told it has been assigned, in the version of its subscription.
func encodeAssignment(h holding, version int16, view Topics) []byte {
	var m msg.ConsumerProtocolAssignment
	for _, run := range byTopic(*h.partitions(), func(p partitionID) partitionID { return p }) {
		if name, ok := view.ByID(run[0].Topic); ok {
			growSlice(&m.AssignedPartitions)
			t := &m.AssignedPartitions[len(m.AssignedPartitions)-1]
			t.Topic, t.Partitions = name, indexes(run)
		}
	}
	return m.Append(kbin.AppendInt16(nil, version), version)
}

// chosen is the protocol a classic member goes by: they all mean the same here, so it is its first.
func (t *classicTraits) chosen() protocol {
	if len(t.protocols) == 0 {
		return protocol{}
	}
	return t.protocols[0]
}

// version is that of the member's subscription, 0 if it cannot be read.
func (t *classicTraits) version() int16 {
	r := kbin.NewReader(t.chosen().metadata)
	return min(max(r.Int16(), 0), consumerProtocolVersions)
}
