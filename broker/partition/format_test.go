package partition

import (
	"testing"

	"sluice/base"
	formats "sluice/test/fixture"
)

// Producer snapshots as versions 1 and 2 wrote them are read for ever. Version 1 knew no epochs of coordinators.
func TestOldFormats(t *testing.T) {
	state := func() []byte {
		s := newProducers()
		s.apply(&batchInfo{producerID: 1, epoch: 2, firstSeq: 0, lastSeq: 2, base: 5, last: 7, maxTimestamp: 99, transactional: true}, 9)
		s.apply(&batchInfo{producerID: 3, firstSeq: 4, lastSeq: 4, base: 8, last: 8}, 10)
		s.apply(&batchInfo{producerID: 4, firstSeq: 0, lastSeq: 0, base: 9, last: 9, transactional: true}, 10)
		s.apply(&batchInfo{producerID: 4, epoch: 1, firstSeq: -1, lastSeq: -1, base: 10, last: 10, maxTimestamp: 77, transactional: true, marker: true, coordinator: 6}, 10)
		return appendSnapshot(s, 11, 11)[0]
	}
	for version, b := range [][]byte{1: formats.Bytes(t, "producers-v1", nil), 2: formats.Bytes(t, "producers-v2", state)} {
		if version == 0 {
			continue
		}
		part, rest, err := cutSnapshotPart(b)
		if err != nil || len(rest) != 0 {
			t.Fatal(err)
		}
		var r snapshotReader
		if err := r.add(part); err != nil || r.state == nil || r.end != base.Offset(7+2*version) {
			t.Fatalf("%+v, %v", r, err)
		}
		one, three := r.state.byID[1], r.state.byID[3]
		if len(r.state.byID) != 1+version || one.epoch != 2 || one.txnFirst != 5 || one.n != 1 || one.batches[0] != (keptBatch{firstSeq: 0, lastSeq: 2, base: 5, last: 7, maxTimestamp: 99}) || three.txnFirst != -1 {
			t.Errorf("version %d: %+v, %+v", version, one, three)
		}
		if one.coordinator != noCoordinator || one.lastTimestamp != 99 || r.state.unstable[0] != (unstableTxn{1, 5, -1}) {
			t.Errorf("version %d: %+v, %+v", version, one, r.state.unstable)
		}
		if four := r.state.byID[4]; version == 2 && (four.coordinator != 6 || four.epoch != 1 || four.n != 0 || four.lastTimestamp != 77 || r.state.aborted[0].marker != 10) {
			t.Errorf("%+v, %+v", four, r.state.aborted)
		}
		if err := CheckSnapshotParts(b); err != nil {
			t.Error(err)
		}
	}
}
