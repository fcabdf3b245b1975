package object

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"sluice/base"
)

// IsObject reports whether b begins as an object does.
func IsObject(b []byte) bool { return len(b) >= 8 && [8]byte(b) == headerMagic }

// Scan finds the blocks in the bytes of an object whose index or footer cannot be read: a block is where a trailer's lengths lead back to
// a place from which on the CRC is right. Bytes that belong to no block are passed over, so what is left of a damaged object is found. The
// entries ascend by position; their times and flags are those of the records.
func Scan(b []byte) []Entry {
	var magic [4]byte
	binary.LittleEndian.PutUint32(magic[:], trailerMagic)
	var out []Entry
	for at := 0; ; {
		i := bytes.Index(b[at:], magic[:])
		if i < 0 {
			return out
		}
		at += i
		if e, ok := entryAt(b, at); ok {
			out = append(out, e)
			at += trailerBytes
		} else {
			at++
		}
	}
}

// entryAt makes the index entry of the block whose trailer is at a place, if there is one.
func entryAt(b []byte, at int) (Entry, bool) {
	if len(b)-at < trailerBytes {
		return Entry{}, false
	}
	t := b[at : at+trailerBytes]
	data, table := uint64(le.Uint32(t[28:])), uint64(le.Uint32(t[32:]))
	if data+table > uint64(at) {
		return Entry{}, false
	}
	start := at - int(data+table)
	block := b[start : at+trailerBytes]
	e := Entry{
		Stream: base.StreamID(le.Uint64(t[8:])), Epoch: base.StreamEpoch(le.Uint32(t[24:])), Pos: int64(start), Size: uint32(len(block)),
		Data: uint32(data), Records: le.Uint32(t[4:]), CRC: le.Uint32(t[36:]), MaxTimestamp: -1,
	}
	e.Range.Start = base.Offset(le.Uint64(t[16:]))
	if crc32.Checksum(block[:len(block)-4], castagnoli) != e.CRC {
		return Entry{}, false
	}
	e.Range.End = tableEnd(&e, b[start+int(data):at])
	items, err := ParseBlock(&e, block, nil)
	if err != nil {
		return Entry{}, false
	}
	for i := range items {
		e.MaxTimestamp, e.Flags = max(e.MaxTimestamp, items[i].MaxTimestamp), e.Flags|items[i].Flags
	}
	return e, true
}

// tableEnd returns the end offset of a table's last record, which is what the index would say; 0 if the table makes no sense.
func tableEnd(e *Entry, t []byte) base.Offset {
	end := e.Range.Start
	for range e.Records {
		var v [4]uint64
		for i := range v {
			x, n := binary.Uvarint(t)
			if n <= 0 {
				return 0
			}
			v[i], t = x, t[n:]
		}
		if len(t) == 0 || v[0] > 1<<62 || v[1] > 1<<31 {
			return 0
		}
		end, t = end+base.Offset(v[0]+v[1]), t[1:]
	}
	return end
}
