package file

import (
	"sluice/base"
	"sluice/storage/wal/block"
)

// The small records of a directory, for tools that show them. What cannot be read is Corrupt, or Invalid where the version is not known.

// SegmentStart is where the blocks of a segment begin, in bytes; before it lie the two slots of the stamp, StampSlot apart.
const (
	SegmentStart = dataStart
	StampSlot    = stampSlot
)

// Stamp says which use of a segment file this is.
type Stamp struct {
	Generation uint64
	Cluster    base.UUID
	Victim     block.Victim // the node epoch whose WAL it is
	Segment    uint64       // number in the order of use
	Durable    base.WALPos  // when it was stamped
}

// ParseStamp reads the stamp at the start of b.
func ParseStamp(b []byte) (Stamp, error) {
	s, err := parseStamp(b)
	return Stamp{s.generation, s.cluster, s.victim, s.seq, s.durable}, err
}

// Token says who may write, and whether a rescuer has ended that.
type Token struct {
	Cluster base.UUID
	Victim  block.Victim
	Nonce   base.UUID
	Marked  bool   // by a rescuer: the writer is fenced
	By      string // who marked it, if that can be read
}

// ParseToken reads the content of a token.
func ParseToken(b []byte) (Token, error) {
	r := open(b, magicToken, tokenBytes)
	t := Token{Cluster: r.uuid()}
	t.Victim = block.Victim{Node: base.NodeID(r.u64()), Epoch: base.NodeEpoch(r.u64())}
	t.Nonce = r.uuid()
	if r.err != nil {
		return t, r.err
	}
	if len(b) != 2*tokenSlot {
		return t, base.Errorf(base.Corrupt, "a token of %d bytes, want %d", len(b), 2*tokenSlot)
	}
	for _, c := range b[tokenSlot:] {
		t.Marked = t.Marked || c != 0
	}
	if m := open(b[tokenSlot:], magicMark, 8+2+whoBytes+4); m.err == nil {
		t.By = m.text()
	}
	return t, nil
}

// ParseSeal reads the content of a seal: the end of the log, and who found it.
func ParseSeal(b []byte) (end base.WALPos, who string, err error) {
	r := open(b, magicSeal, sealBytes)
	end = base.WALPos(r.u64())
	return end, r.text(), r.err
}

// ParseIdentity reads one slot of the header of a directory, and its generation.
func ParseIdentity(b []byte) (block.Identity, uint64, error) {
	h, err := parseHeader(b)
	return h.id, h.generation, err
}
