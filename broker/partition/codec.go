package partition

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"sluice/base"
	"sluice/base/seeded"
)

// The meta stream of a partition holds snapshots of its producer state. The bytes are in docs/formats.md, section "Partition meta
// stream"; this file and that table change together.
//
// A snapshot is one or more records ("parts") in a row, so that no record grows with the number of producers. It is complete when all
// its parts are there; the last complete one counts.

const (
	snapshotVersion  = 2 // 1 had no coordinator epoch and no last timestamp
	snapshotHeader   = 32
	snapshotTrailer  = 4
	snapshotPartMax  = 256 << 10 // bytes from which a part is closed
	snapshotPartsMax = 1 << 16   // so at most 16 GiB, about 100 million producers

	entryProducer = 1
	entryUnstable = 2
	entryAborted  = 3
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendSnapshot encodes the state after all batches below end as parts, at least one.
func appendSnapshot(s *producers, end base.Offset, nowMS int64) [][]byte {
	var parts [][]byte
	var part []byte
	entry := func(encode func([]byte) []byte) {
		if len(part) >= snapshotPartMax {
			parts, part = append(parts, part), nil
		}
		if part == nil {
			part = make([]byte, snapshotHeader, snapshotHeader+512)
		}
		part = encode(part)
		n := binary.BigEndian.Uint32(part[24:])
		binary.BigEndian.PutUint32(part[24:], n+1)
	}
	ids := make([]int64, 0, len(s.byID))
	for id := range s.byID {
		ids = append(ids, id)
	}
	slices.Sort(ids) // the same state gives the same bytes
	for _, id := range ids {
		entry(func(b []byte) []byte { return appendProducer(b, id, s.byID[id]) })
	}
	for _, t := range s.unstable {
		entry(func(b []byte) []byte { return appendTxn(b, entryUnstable, t.producerID, t.first, t.marker) })
	}
	for _, t := range s.aborted {
		if seeded.Bug(seeded.AbortedForgotten) {
			break
		}
		entry(func(b []byte) []byte { return appendTxn(b, entryAborted, t.producerID, t.first, t.marker) })
	}
	if part == nil {
		part = make([]byte, snapshotHeader)
	}
	parts = append(parts, part)
	if len(parts) > snapshotPartsMax {
		panic("BUG: partition: producer snapshot has too many parts")
	}
	for i, b := range parts {
		b[0] = snapshotVersion
		binary.BigEndian.PutUint16(b[2:], uint16(i))
		binary.BigEndian.PutUint16(b[4:], uint16(len(parts)-1))
		binary.BigEndian.PutUint64(b[8:], uint64(end))
		binary.BigEndian.PutUint64(b[16:], uint64(nowMS))
		binary.BigEndian.PutUint32(b[28:], uint32(len(b)+snapshotTrailer))
		parts[i] = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	}
	return parts
}

func appendProducer(b []byte, id int64, p *producer) []byte {
	b = append(b, entryProducer, p.n)
	b = binary.BigEndian.AppendUint16(b, uint16(p.epoch))
	b = binary.BigEndian.AppendUint64(b, uint64(id))
	b = binary.BigEndian.AppendUint64(b, uint64(p.txnFirst))
	b = binary.BigEndian.AppendUint64(b, uint64(p.usedMS))
	b = binary.BigEndian.AppendUint32(b, uint32(p.coordinator))
	b = binary.BigEndian.AppendUint64(b, uint64(p.lastTimestamp))
	for _, k := range p.batches[:p.n] {
		b = binary.BigEndian.AppendUint32(b, uint32(k.firstSeq))
		b = binary.BigEndian.AppendUint32(b, uint32(k.lastSeq))
		b = binary.BigEndian.AppendUint64(b, uint64(k.base))
		b = binary.BigEndian.AppendUint32(b, uint32(k.last-k.base))
		b = binary.BigEndian.AppendUint64(b, uint64(k.maxTimestamp))
	}
	return b
}

func appendTxn(b []byte, kind byte, id int64, first, marker base.Offset) []byte {
	b = append(b, kind)
	b = binary.BigEndian.AppendUint64(b, uint64(id))
	b = binary.BigEndian.AppendUint64(b, uint64(first))
	return binary.BigEndian.AppendUint64(b, uint64(marker))
}

// cutSnapshotPart cuts the first part off b.
func cutSnapshotPart(b []byte) (part, rest []byte, err error) {
	if len(b) < snapshotHeader+snapshotTrailer {
		return nil, nil, base.Errorf(base.Corrupt, "producer snapshot: %d bytes", len(b))
	}
	n := int(binary.BigEndian.Uint32(b[28:]))
	if n < snapshotHeader+snapshotTrailer || n > len(b) {
		return nil, nil, base.Errorf(base.Corrupt, "producer snapshot: length %d in %d bytes", n, len(b))
	}
	return b[:n], b[n:], nil
}

// snapshotReader takes the records of a meta stream in order and keeps the last complete snapshot.
type snapshotReader struct {
	state *producers // of the last complete snapshot, nil before there is one
	end   base.Offset

	building *producers
	bEnd     base.Offset
	next     int // the part that must come next

	began, ended bool // the last record was the first, or the last part of a snapshot
}

// add takes one record, as cut by cutSnapshotPart. A part that does not fit what came before starts anew or is skipped (its snapshot was cut off by a crash or a
// trim); bytes that are not what was written are Corrupt.
func (r *snapshotReader) add(b []byte) error {
	r.began, r.ended = false, false
	body := b[:len(b)-snapshotTrailer]
	if want, got := binary.BigEndian.Uint32(b[len(body):]), crc32.Checksum(body, castagnoli); want != got {
		return base.Errorf(base.Corrupt, "producer snapshot: checksum %08x, want %08x", got, want)
	}
	version := body[0]
	if version == 0 || version > snapshotVersion {
		return base.Errorf(base.Corrupt, "producer snapshot: version %d is not known", version)
	}
	part, last := int(binary.BigEndian.Uint16(body[2:])), int(binary.BigEndian.Uint16(body[4:]))
	end, n := base.Offset(binary.BigEndian.Uint64(body[8:])), binary.BigEndian.Uint32(body[24:])
	if part == 0 {
		r.building, r.bEnd, r.next, r.began = newProducers(), end, 0, true
	}
	if r.building == nil || part != r.next || end != r.bEnd {
		r.building = nil
		return nil
	}
	if err := r.building.decode(version, body[snapshotHeader:], n); err != nil {
		return err
	}
	if r.next++; part == last {
		r.building.bound(r.bEnd)
		r.state, r.end, r.building, r.ended = r.building, r.bEnd, nil, true
	}
	return nil
}

// decode adds n encoded entries to the state.
func (s *producers) decode(version byte, b []byte, n uint32) error {
	for range n {
		if len(b) == 0 {
			return base.Errorf(base.Corrupt, "producer snapshot: too few entries")
		}
		var ok bool
		switch b[0] {
		case entryProducer:
			b, ok = s.decodeProducer(version, b)
		case entryUnstable, entryAborted:
			b, ok = s.decodeTxn(b)
		}
		if !ok {
			return base.Errorf(base.Corrupt, "producer snapshot: bad entry")
		}
	}
	if len(b) != 0 {
		return base.Errorf(base.Corrupt, "producer snapshot: %d bytes too many", len(b))
	}
	return nil
}

func (s *producers) decodeProducer(version byte, b []byte) ([]byte, bool) {
	const each = 28
	head := 40
	if version == 1 {
		head = 28
	}
	if len(b) < head || b[1] > batchesKept || len(b) < head+each*int(b[1]) {
		return b, false
	}
	p := newProducer(int16(binary.BigEndian.Uint16(b[2:])))
	p.n = b[1]
	p.txnFirst = base.Offset(binary.BigEndian.Uint64(b[12:]))
	p.usedMS = int64(binary.BigEndian.Uint64(b[20:]))
	if version > 1 {
		p.coordinator = int32(binary.BigEndian.Uint32(b[28:]))
		p.lastTimestamp = int64(binary.BigEndian.Uint64(b[32:]))
	}
	s.byID[int64(binary.BigEndian.Uint64(b[4:]))] = p
	b = b[head:]
	for i := range p.batches[:p.n] {
		k := keptBatch{
			firstSeq:     int32(binary.BigEndian.Uint32(b)),
			lastSeq:      int32(binary.BigEndian.Uint32(b[4:])),
			base:         base.Offset(binary.BigEndian.Uint64(b[8:])),
			maxTimestamp: int64(binary.BigEndian.Uint64(b[20:])),
		}
		k.last = k.base + base.Offset(binary.BigEndian.Uint32(b[16:]))
		p.batches[i], b = k, b[each:]
	}
	if version == 1 && p.n > 0 {
		p.lastTimestamp = p.batches[p.n-1].maxTimestamp
	}
	return b, true
}

func (s *producers) decodeTxn(b []byte) ([]byte, bool) {
	if len(b) < 25 {
		return b, false
	}
	id := int64(binary.BigEndian.Uint64(b[1:]))
	first, marker := base.Offset(binary.BigEndian.Uint64(b[9:])), base.Offset(binary.BigEndian.Uint64(b[17:]))
	if b[0] == entryUnstable {
		s.unstable = append(s.unstable, unstableTxn{producerID: id, first: first, marker: marker})
	} else {
		s.aborted = append(s.aborted, abortedTxn{producerID: id, first: first, marker: marker})
	}
	return b[25:], true
}

// CheckSnapshotParts verifies the bytes of one record of a meta stream, as far as that can be done without the records before it: for tools.
// The error is Corrupt.
func CheckSnapshotParts(b []byte) error {
	_, err := DescribeSnapshotParts(b)
	return err
}

// DescribeSnapshotParts says what is in one record of a meta stream, for people. Errors as CheckSnapshotParts.
func DescribeSnapshotParts(b []byte) (string, error) {
	text := ""
	for len(b) > 0 {
		part, rest, err := cutSnapshotPart(b)
		if err != nil {
			return "", err
		}
		number, last := binary.BigEndian.Uint16(part[2:]), binary.BigEndian.Uint16(part[4:])
		r := snapshotReader{building: newProducers(), next: int(number), bEnd: base.Offset(binary.BigEndian.Uint64(part[8:]))}
		if err := r.add(part); err != nil {
			return "", err
		}
		state := cmp.Or(r.state, r.building)
		text += fmt.Sprintf("producer snapshot below offset %d, part %d of %d: %d producers, %d open and %d aborted transactions; ",
			binary.BigEndian.Uint64(part[8:]), number+1, int(last)+1, len(state.byID), len(state.unstable), len(state.aborted))
		b = rest
	}
	return strings.TrimSuffix(text, "; "), nil
}
