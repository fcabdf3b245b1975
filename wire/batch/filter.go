package batch

import "encoding/binary"

// Filtered is what Filter has left of a batch.
type Filtered struct {
	// Batch is the batch with the records that were kept; the zero Batch if there are none. It is the input itself where nothing changed.
	Batch   Batch
	Changed bool
	Kept    int
	Dropped int
}

// Filter takes away the records that keep refuses, as key compaction does: what remains has the same offsets, timestamps, codec, producer and
// sequences, and the batch the same range of offsets, so that its last sequence is still known (Kafka's MemoryRecords.filterTo). The max timestamp is
// that of the records which remain.
//
// horizonMS is the delete horizon (KIP-534) that a batch without one gets when it keeps a tombstone, or any record with always; NoTimestamp: none. keep is called once for each record, in
// order; the Record is valid until it returns. A changed batch lies in memory of its own. Errors are those of Records; memory is that of [Shared].
func (b Batch) Filter(keep func(*Record) bool, horizonMS int64, always bool) (f Filtered, err error) {
	kept, tombstone := make([]bool, 0, 64), false
	for r, err := range b.Records(Shared) {
		if err != nil {
			return Filtered{}, err
		}
		k := keep(&r)
		if kept = append(kept, k); !k {
			f.Dropped++
			continue
		}
		f.Kept++
		tombstone = tombstone || r.Value == nil
	}
	set := horizonMS != NoTimestamp && (tombstone || always) && f.Kept > 0 && !b.HasDeleteHorizon()
	switch {
	case f.Kept == 0:
		f.Changed = true
		return f, nil
	case f.Dropped == 0 && !set:
		f.Batch = b
		return f, nil
	}
	opt := b.options()
	if set {
		opt.HasDeleteHorizon, opt.DeleteHorizon = true, horizonMS
	}
	nb, i := NewBuilder(opt), 0
	for r, err := range b.Records(Shared) {
		if err != nil {
			return Filtered{}, err
		}
		if kept[i] {
			nb.AddAt(r)
		}
		i++
	}
	nb.ExtendTo(b.LastOffsetDelta())
	f.Batch, f.Changed = nb.Batch(), true
	return f, nil
}

// options are those that a batch like b is built with.
func (b Batch) options() Options {
	return Options{
		BaseOffset: b.BaseOffset(), LeaderEpoch: b.LeaderEpoch(), Codec: b.Codec(), Idempotent: true, ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(),
		BaseSequence: b.BaseSequence(), Transactional: b.IsTransactional(), Control: b.IsControl(), LogAppendTime: b.TimestampType() == LogAppendTime,
		HasDeleteHorizon: b.HasDeleteHorizon(), DeleteHorizon: b.FirstTimestamp(),
	}
}

// Emptied returns the batch without records, in memory of its own: it stands for the range of offsets and for the producer's last sequence. As in
// Kafka, it keeps the max timestamp and is not compressed.
func (b Batch) Emptied() Batch {
	out := append(make([]byte, 0, HeaderBytes), b.b[:HeaderBytes]...)
	nb := Batch{out}
	noTimestamp := NoTimestamp
	binary.BigEndian.PutUint32(out[atLength:], HeaderBytes-lengthOverhead)
	binary.BigEndian.PutUint16(out[atAttributes:], uint16(b.Attributes())&^(attrCodec|attrDeleteHorizon))
	binary.BigEndian.PutUint64(out[atFirstTimestamp:], uint64(noTimestamp))
	binary.BigEndian.PutUint32(out[atNumRecords:], 0)
	nb.sealCRC()
	return nb
}
