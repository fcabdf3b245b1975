package meta

import (
	"iter"

	"sluice/base"
)

// What objects hold is looked at by going over all ranges of all streams: compaction needs all of it, and an index by object would cost
// every broker as much memory as the ranges themselves. HeldPos says when there is no need to.

// Streams yields the streams of all topics that exist, in the order of their ids, which is that of their creation.
func (img *Image) Streams() iter.Seq[Stream] {
	return func(yield func(Stream) bool) {
		num, gone := uint32(0), true
		img.streams.all(func(_ base.StreamID, s *Stream) bool {
			if s.topicNum != num {
				num, gone = s.topicNum, img.gone(s.topicNum)
			}
			return gone || yield(*s)
		})
	}
}

// RangeCount returns how many ranges hold all streams together, those of deleted topics included until they are reaped. The memory that an
// image takes goes with it.
func (img *Image) RangeCount() int { return img.ranges }

// Held yields the ranges that hold the stream, in order. The first may begin below Start.
func (s *Stream) Held() iter.Seq[Range] {
	return func(yield func(Range) bool) { s.ranges.walk(spot{}, yield) }
}

// HeldPos returns a position such that images of one cluster with the same HeldPos hold the same ranges in the same objects, with the same
// owners of streams and the same nodes alive. It rises with every record that may change one of these.
func (img *Image) HeldPos() base.MetaPos { return img.heldPos }

// changesHeld says which records may change what HeldPos speaks of.
func (t recordType) changesHeld() bool {
	switch t {
	case typeControllerChanged, typeControllerNamed, typeNodeUpdated, typeNodeApplied, typeNodeDrained, typeRescueGranted, typeRescueForgotten,
		typeTopicCreated, typePartitionsCreated, typeTopicConfigsSet, typeConfigsSet, typePartitionsServed, typePartitionsAssigned,
		typePartitionsTargeted, typeObjectsPrepared, typeObjectsMarked, typeObjectsRemoved, typeProducerIDsAllocated, typeSecretDrawn:
		return false
	}
	return true
}
