package metalog

import (
	"encoding/binary"
	"hash/crc32"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/slotlog"
)

// The layouts are described byte by byte in docs/formats.md, section Metadata.
const (
	slotVersion     = 1
	slotRecords     = 0
	slotEpochStart  = 1
	snapshotMagic   = "SLMS"
	snapshotVersion = 1
	snapshotHeader  = 4 + 2 + 2 + 16 + 8 + 8 + 8 + 8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// slotHead is what precedes the records in a slot.
type slotHead struct {
	pos     base.MetaPos // number of records before this slot
	starts  bool         // slot 0 of an epoch
	prevEnd uint64       // of slot 0: the number of slots of the epoch before; 0 in epoch 0
}

func (h slotHead) append(dst []byte) []byte {
	kind := byte(slotRecords)
	if h.starts {
		kind = slotEpochStart
	}
	dst = append(dst, slotVersion, kind)
	dst = binary.AppendUvarint(dst, uint64(h.pos))
	if h.starts {
		dst = binary.AppendUvarint(dst, h.prevEnd)
	}
	return dst
}

// parseSlot returns the head of a slot and the bytes of its records.
func parseSlot(s slotlog.Slot) (h slotHead, records []byte, err error) {
	bad := func(what string) (slotHead, []byte, error) {
		return slotHead{}, nil, base.Errorf(base.Corrupt, "metadata slot %x/%x: %s", s.Epoch, s.Slot, what)
	}
	b := s.Payload
	switch {
	case len(b) < 3:
		return bad("cut short")
	case b[0] != slotVersion:
		return bad("of a version this program does not know: it was written by a newer one")
	case b[1] > slotEpochStart || (b[1] == slotEpochStart) != (s.Slot == 0):
		return bad("of a kind that does not belong there")
	}
	h.starts = b[1] == slotEpochStart
	b = b[2:]
	pos, n := binary.Uvarint(b)
	if n <= 0 {
		return bad("no position")
	}
	h.pos, b = base.MetaPos(pos), b[n:]
	if h.starts {
		if h.prevEnd, n = binary.Uvarint(b); n <= 0 {
			return bad("no end of the epoch before")
		}
		b = b[n:]
	}
	return h, b, nil
}

// encodeSnapshot returns the object that holds img, the state after the slot.
func encodeSnapshot(img *meta.Image, at Position) []byte {
	b := make([]byte, snapshotHeader, snapshotHeader+4096)
	b = img.AppendSnapshot(b)
	copy(b, snapshotMagic)
	binary.BigEndian.PutUint16(b[4:], snapshotVersion)
	cluster := img.ClusterID()
	copy(b[8:], cluster[:])
	binary.BigEndian.PutUint64(b[24:], at.Epoch)
	binary.BigEndian.PutUint64(b[32:], at.Slot)
	binary.BigEndian.PutUint64(b[40:], uint64(img.Pos()))
	binary.BigEndian.PutUint64(b[48:], uint64(len(b)-snapshotHeader))
	binary.BigEndian.PutUint32(b[56:], snapshotCRC(b))
	return b
}

// snapshotPlace reads which state a snapshot says it is.
func snapshotPlace(b []byte) Position {
	return Position{Epoch: binary.BigEndian.Uint64(b[24:]), Slot: binary.BigEndian.Uint64(b[32:])}
}

// snapshotCRC covers everything but its own place.
func snapshotCRC(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:56], castagnoli), castagnoli, b[snapshotHeader:])
}

// checkSnapshot verifies all but the body's meaning, which the CRC vouches for.
func checkSnapshot(b []byte, at Position, cluster base.UUID) error {
	bad := func(what string) error {
		return base.Errorf(base.Corrupt, "metadata snapshot %s: %s", at, what)
	}
	switch {
	case len(b) < snapshotHeader || string(b[:4]) != snapshotMagic:
		return bad("not a snapshot")
	case binary.BigEndian.Uint16(b[4:]) != snapshotVersion:
		return bad("of a version this program does not know: it was written by a newer one")
	case base.UUID(b[8:24]) != cluster:
		return bad("of another cluster")
	case binary.BigEndian.Uint64(b[24:]) != at.Epoch || binary.BigEndian.Uint64(b[32:]) != at.Slot:
		return bad("belongs to another place")
	case binary.BigEndian.Uint64(b[48:]) != uint64(len(b)-snapshotHeader):
		return bad("of another length than it says")
	case binary.BigEndian.Uint32(b[56:]) != snapshotCRC(b):
		return bad("CRC does not match")
	}
	return nil
}

func decodeSnapshot(b []byte, at Position, cluster base.UUID) (*meta.Image, error) {
	if err := checkSnapshot(b, at, cluster); err != nil {
		return nil, err
	}
	img, err := meta.LoadSnapshot(b[snapshotHeader:])
	if err != nil {
		return nil, err
	}
	if img.ClusterID() != cluster || uint64(img.Pos()) != binary.BigEndian.Uint64(b[40:]) {
		return nil, base.Errorf(base.Corrupt, "metadata snapshot %s: header and body disagree", at)
	}
	return img, nil
}
