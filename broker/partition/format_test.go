package partition

import (
	"testing"

	formats "sluice/test/fixture"
)

// A producer snapshot as version 1 wrote it is read for ever.
func TestOldFormats(t *testing.T) {
	b := formats.Bytes(t, "producers-v1", func() []byte {
		s := newProducers()
		s.apply(&batchInfo{producerID: 1, epoch: 2, firstSeq: 0, lastSeq: 2, base: 5, last: 7, maxTimestamp: 99, transactional: true}, 9)
		s.apply(&batchInfo{producerID: 3, firstSeq: 4, lastSeq: 4, base: 8, last: 8}, 10)
		return appendSnapshot(s, 9, 11)[0]
	})
	part, rest, err := cutSnapshotPart(b)
	if err != nil || len(rest) != 0 {
		t.Fatal(err)
	}
	var r snapshotReader
	if err := r.add(part); err != nil || r.state == nil || r.end != 9 {
		t.Fatalf("%+v, %v", r, err)
	}
	one, three := r.state.byID[1], r.state.byID[3]
	if len(r.state.byID) != 2 || one.epoch != 2 || one.txnFirst != 5 || one.n != 1 || one.batches[0] != (keptBatch{firstSeq: 0, lastSeq: 2, base: 5, last: 7, maxTimestamp: 99}) || three.txnFirst != -1 || len(r.state.unstable) != 1 {
		t.Errorf("%+v, %+v, %+v", one, three, r.state.unstable)
	}
	if err := CheckSnapshotParts(b); err != nil {
		t.Error(err)
	}
}
