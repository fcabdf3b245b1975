package batch

import "encoding/binary"

// Marker is a transaction marker: the one record of a control batch that ends a producer's transaction.
type Marker struct {
	Commit           bool // false: abort
	CoordinatorEpoch int32
}

// Types of control records.
const (
	controlAbort  = 0
	controlCommit = 1
)

// Marker returns the transaction marker of a control batch; ok is false if it has none.
func (b Batch) Marker() (m Marker, ok bool) {
	if !b.IsControl() {
		return m, false
	}
	for r, err := range b.Records(Limits{}) {
		if err != nil || len(r.Key) < 4 {
			return m, false
		}
		switch binary.BigEndian.Uint16(r.Key[2:]) {
		case controlCommit:
			m.Commit = true
		case controlAbort:
		default:
			return m, false
		}
		if len(r.Value) >= 6 {
			m.CoordinatorEpoch = int32(binary.BigEndian.Uint32(r.Value[2:]))
		}
		return m, true
	}
	return m, false
}

// AppendMarker appends a control batch with one transaction marker to dst.
func AppendMarker(dst []byte, m Marker, producerID int64, epoch int16, timestampMS int64) []byte {
	var key [4]byte
	if m.Commit {
		key[3] = controlCommit
	}
	var value [6]byte
	binary.BigEndian.PutUint32(value[2:], uint32(m.CoordinatorEpoch))
	b := NewBuilder(Options{ProducerID: producerID, ProducerEpoch: epoch, BaseSequence: NoSequence, Idempotent: true, Transactional: true, Control: true})
	b.Add(Record{Timestamp: timestampMS, Key: key[:], Value: value[:]})
	return b.AppendTo(dst)
}
