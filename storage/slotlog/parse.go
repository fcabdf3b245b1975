package slotlog

import (
	"context"
	"encoding/binary"

	"sluice/base"
)

// IsSlot reports whether b begins as a slot does.
func IsSlot(b []byte) bool { return len(b) >= len(magic) && string(b[:len(magic)]) == magic }

// Parse reads a whole slot of whatever log it says it belongs to: for tools that look at bytes whose place they do not know. The returned Log
// has no store. After an error of kind Corrupt the Log and the Slot hold what could be read.
func Parse(b []byte) (Log, Slot, error) {
	if len(b) < fixedHeader || !IsSlot(b) {
		return Log{}, Slot{}, base.Errorf(base.Corrupt, "not a slot")
	}
	l := Log{Cluster: base.UUID(b[8:24])}
	if n := int(b[7]); len(b) >= fixedHeader+n {
		l.Name = string(b[fixedHeader : fixedHeader+n])
	}
	epoch, slot := binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint64(b[32:])
	s, err := l.decode(epoch, slot, b)
	if err != nil {
		s = Slot{Epoch: epoch, Slot: slot, Writer: base.UUID(b[40:56]), Records: binary.BigEndian.Uint32(b[56:])}
		s.Payload = b[min(len(b), l.headerLen()):]
	}
	return l, s, err
}

// IsData reports whether the slot holds data, as opposed to a seal, something that is no slot, or nothing. size is that of its object if it
// is known, else negative: what is longer than any seal needs no request.
func (l Log) IsData(ctx context.Context, epoch, slot uint64, size int64) (bool, error) {
	if size > sealMax {
		return true, nil
	}
	return l.isData(ctx, epoch, slot)
}
