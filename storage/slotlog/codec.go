package slotlog

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"
	"unicode/utf8"

	"sluice/base"
)

// The layout of a slot is described in docs/formats.md, "Slot log".
const (
	magic       = "SLSL"
	version     = 1
	kindData    = 0
	kindSeal    = 1
	crcAt       = 64
	fixedHeader = 68 // then the name
	nameMax     = 100
	whoMax      = 128
	whyMax      = 200
	sealMax     = fixedHeader + nameMax + 8 + 2 + whoMax + 2 + whyMax // no seal is longer
	payloadMax  = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header returns the bytes that precede body in a slot; their CRC covers body too.
func (l Log) header(kind byte, epoch, slot uint64, nonce base.UUID, records uint32, body [][]byte) ([]byte, error) {
	size := 0
	for _, b := range body {
		size += len(b)
	}
	if len(l.Name) == 0 || len(l.Name) > nameMax || size > payloadMax {
		return nil, base.Errorf(base.Invalid, "slot log %q: the name must have 1 to %d bytes, a body (of %d) at most %d", l.Name, nameMax, size, payloadMax)
	}
	h := make([]byte, 0, fixedHeader+len(l.Name))
	h = append(h, magic...)
	h = binary.BigEndian.AppendUint16(h, version)
	h = append(h, kind, byte(len(l.Name)))
	h = append(h, l.Cluster[:]...)
	h = binary.BigEndian.AppendUint64(h, epoch)
	h = binary.BigEndian.AppendUint64(h, slot)
	h = append(h, nonce[:]...)
	h = binary.BigEndian.AppendUint32(h, records)
	h = binary.BigEndian.AppendUint32(h, uint32(size))
	h = append(h, 0, 0, 0, 0)
	h = append(h, l.Name...)
	crc := crcHeader(h)
	for _, b := range body {
		crc = crc32.Update(crc, castagnoli, b)
	}
	binary.BigEndian.PutUint32(h[crcAt:], crc)
	return h, nil
}

// crcHeader returns the CRC of a header with its name, the place of the CRC itself left out.
func crcHeader(h []byte) uint32 {
	crc := crc32.Update(0, castagnoli, h[:crcAt])
	return crc32.Update(crc, castagnoli, h[fixedHeader:])
}

// parsed is a header that has the shape of one.
type parsed struct {
	kind    byte
	nonce   base.UUID
	records uint32
	length  int // of the payload
	crc     uint32
}

// headerLen is the length of this log's headers.
func (l Log) headerLen() int { return fixedHeader + len(l.Name) }

// parseHeader reads the first headerLen bytes of the given slot. It cannot check the CRC. The error is Corrupt.
func (l Log) parseHeader(epoch, slot uint64, b []byte) (parsed, error) {
	bad := func(what string) (parsed, error) {
		return parsed{}, base.Errorf(base.Corrupt, "slot %s: %s", l.Key(epoch, slot), what)
	}
	if len(b) < l.headerLen() || string(b[:4]) != magic {
		return bad("not a slot")
	}
	if v := binary.BigEndian.Uint16(b[4:]); v != version {
		return parsed{}, base.Errorf(base.Corrupt, "slot %s: version %d, this program knows %d", l.Key(epoch, slot), v, version)
	}
	p := parsed{kind: b[6], records: binary.BigEndian.Uint32(b[56:]), crc: binary.BigEndian.Uint32(b[crcAt:])}
	p.nonce = base.UUID(b[40:56])
	length := binary.BigEndian.Uint32(b[60:])
	switch {
	case p.kind > kindSeal:
		return bad("of an unknown kind")
	case base.UUID(b[8:24]) != l.Cluster:
		return bad("belongs to the cluster " + base.UUID(b[8:24]).String() + ", not to " + l.Cluster.String())
	case int(b[7]) != len(l.Name) || string(b[fixedHeader:l.headerLen()]) != l.Name:
		return bad("belongs to another log")
	case binary.BigEndian.Uint64(b[24:]) != epoch || binary.BigEndian.Uint64(b[32:]) != slot:
		return bad("belongs to another place")
	case length > payloadMax:
		return bad("has an impossible length")
	}
	p.length = int(length)
	return p, nil
}

// decode reads a whole slot. The payload shares b's memory.
func (l Log) decode(epoch, slot uint64, b []byte) (Slot, error) {
	p, err := l.parseHeader(epoch, slot, b)
	if err != nil {
		return Slot{}, err
	}
	payload := b[l.headerLen():]
	if len(payload) != p.length {
		return Slot{}, base.Errorf(base.Corrupt, "slot %s: %d bytes of payload, want %d", l.Key(epoch, slot), len(payload), p.length)
	}
	if crc := crc32.Update(crcHeader(b[:l.headerLen()]), castagnoli, payload); crc != p.crc {
		return Slot{}, base.Errorf(base.Corrupt, "slot %s: CRC %08x, want %08x", l.Key(epoch, slot), crc, p.crc)
	}
	s := Slot{Epoch: epoch, Slot: slot, Writer: p.nonce, Records: p.records, Payload: payload}
	if p.kind == kindSeal {
		s.Payload = nil
		s.Seal, err = decodeSeal(payload)
	}
	if err != nil {
		return Slot{}, base.Errorf(base.Corrupt, "slot %s: %w", l.Key(epoch, slot), err)
	}
	return s, nil
}

func appendSeal(dst []byte, s Seal) []byte {
	dst = binary.BigEndian.AppendUint64(dst, s.NewEpoch)
	for _, text := range []string{cut(s.Who, whoMax), cut(s.Why, whyMax)} {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(text)))
		dst = append(dst, text...)
	}
	return dst
}

// cut shortens a text to at most n bytes, between characters, and makes it valid UTF-8.
func cut(text string, n int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

func decodeSeal(b []byte) (*Seal, error) {
	if len(b) < 8 {
		return nil, base.Errorf(base.Corrupt, "a seal of %d bytes", len(b))
	}
	s := &Seal{NewEpoch: binary.BigEndian.Uint64(b)}
	b = b[8:]
	for _, text := range []*string{&s.Who, &s.Why} {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return nil, base.Errorf(base.Corrupt, "a seal that is cut short")
		}
		n := int(binary.BigEndian.Uint16(b))
		*text, b = string(b[2:2+n]), b[2+n:]
	}
	if len(b) != 0 {
		return nil, base.Errorf(base.Corrupt, "a seal with %d bytes too many", len(b))
	}
	return s, nil
}

// What the constants must satisfy; an array of negative length does not compile.
var (
	_ [512 - sealMax]struct{}
	_ [math.MaxUint8 - nameMax]struct{}
)
