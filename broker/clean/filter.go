package clean

import (
	"sluice/base"
	"sluice/base/seeded"
	"sluice/wire/batch"
)

// filter decides which records of a log stay, batch by batch from the log start on. keys has the newest offset of every key in [dirty, end).
//
//   - A record at or above end stays: nothing is known of what follows it.
//   - A record whose key occurs again in [dirty, end) goes. So does one without a key: in a compacted log it can never be replaced.
//   - A tombstone stays until the delete horizon of its batch has passed. A batch below end that has none yet gets it now: now +
//     delete.retention.ms. One that reaches beyond is not clean yet, so its time has not begun.
//   - Records of aborted transactions go. A transaction's marker gets a delete horizon when no batch of the transaction is left, and goes after that.
//
// Nothing of the producers is kept for their sake: the log below end is covered by a snapshot of their state.
type filter struct {
	keys      *keyMap
	end       base.Offset
	nowMS     int64
	horizonMS int64 // now + delete.retention.ms
	txns      *txns

	read, kept int64 // records, for the metrics
	keyless    int64 // records without a key that went
}

// batch returns what is left of the next batch. markers are never changed but for their delete horizon.
func (f *filter) batch(b batch.Batch) (batch.Filtered, error) {
	discard := f.txns.next(b)
	if b.IsControl() {
		return f.control(b, discard)
	}
	horizonMS := f.horizonMS
	if base.Offset(b.NextOffset()) > f.end {
		horizonMS = batch.NoTimestamp
	}
	tombstonesGo := b.HasDeleteHorizon() && b.FirstTimestamp() <= f.nowMS
	out, err := b.Filter(func(r *batch.Record) bool {
		at := base.Offset(b.BaseOffset()) + base.Offset(r.OffsetDelta)
		switch {
		case discard:
			return false
		case at >= f.end:
			return true
		case r.Key == nil:
			f.keyless++
			return false
		}
		if seeded.Bug(seeded.NewestDropped) && at == f.keys.newest(r.Key) && at == base.Offset(b.NextOffset())-1 {
			return false
		}
		return at >= f.keys.newest(r.Key) && (r.Value != nil || !tombstonesGo)
	}, horizonMS, false)
	f.read += int64(out.Kept + out.Dropped)
	f.kept += int64(out.Kept)
	return out, err
}

func (f *filter) control(b batch.Batch, discard bool) (batch.Filtered, error) {
	goes := discard && b.HasDeleteHorizon() && b.FirstTimestamp() <= f.nowMS
	return b.Filter(func(*batch.Record) bool { return !goes }, f.horizonMS, discard)
}

// scan takes the keys of a dirty batch into the map: those of its records at or above from. It returns the offset of the first record that found no room,
// or the end of the batch.
func scan(keys *keyMap, x *txns, b batch.Batch, from base.Offset) (base.Offset, error) {
	if x.next(b) || b.IsControl() {
		return base.Offset(b.NextOffset()), nil
	}
	for r, err := range b.Records(batch.Shared) {
		if err != nil {
			return 0, err
		}
		at := base.Offset(b.BaseOffset()) + base.Offset(r.OffsetDelta)
		if r.Value == nil && seeded.Bug(seeded.TombstoneResurrects) {
			continue
		}
		if r.Key != nil && at >= from && !keys.put(r.Key, at) {
			return at, nil
		}
	}
	return base.Offset(b.NextOffset()), nil
}
