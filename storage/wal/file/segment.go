package file

import (
	"strings"

	"sluice/base"
	"sluice/storage/wal/block"
	"sluice/storage/wal/disk"
)

// A segment is a file: two slots for its stamp, then blocks, each at a multiple of block.Align. The stamp says which number the
// segment has in the order of use. It is written before the first block of that use, into the slot that the last stamp is not in.
const (
	stampSlot  = disk.Align
	dataStart  = 2 * stampSlot
	stampBytes = 8 + 2 + 8 + 16 + 8 + 8 + 8 + 8 + 4

	segmentSuffix = ".seg"
	newSuffix     = ".seg.new" // being made
)

// stamp is the content of a slot.
type stamp struct {
	generation uint64 // counts the stamps of the file, from 1
	cluster    base.UUID
	victim     block.Victim
	seq        uint64      // number of the segment
	durable    base.WALPos // durable position when it was stamped
}

func (s stamp) append() []byte {
	return record(magicSegment).u64(s.generation).uuid(s.cluster).u64(uint64(s.victim.Node)).u64(uint64(s.victim.Epoch)).u64(s.seq).u64(uint64(s.durable)).end()
}

func parseStamp(b []byte) (stamp, error) {
	r := open(b, magicSegment, stampBytes)
	s := stamp{generation: r.u64(), cluster: r.uuid()}
	s.victim = block.Victim{Node: base.NodeID(r.u64()), Epoch: base.NodeEpoch(r.u64())}
	s.seq, s.durable = r.u64(), base.WALPos(r.u64())
	return s, r.err
}

// newestStamp picks from both slots at the start of a segment.
func newestStamp(b []byte) (stamp, error) {
	one, errOne := parseStamp(b)
	two, errTwo := parseStamp(b[stampSlot:])
	switch {
	case base.IsKind(errOne, base.Invalid):
		return one, errOne
	case base.IsKind(errTwo, base.Invalid):
		return two, errTwo
	case errOne != nil && errTwo != nil:
		return one, errOne
	case errOne != nil || errTwo == nil && two.generation > one.generation:
		return two, nil
	default:
		return one, nil
	}
}

func (s stamp) offset() int64 { return int64((s.generation-1)%2) * stampSlot }

// segment is an open segment of the WAL that is being written.
type segment struct {
	name  string
	file  disk.File
	size  int64
	stamp stamp
	at    int64       // where the next block goes
	end   base.WALPos // position behind the last block in it
}

func (s *segment) room() int64 { return s.size - s.at }

func isSegment(name string) bool {
	return strings.HasSuffix(name, segmentSuffix)
}
