package share

import (
	"slices"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/storage/stream"
	"sluice/wire/batch"
)

// contents is what was read of a log: the batches that members may see, and the offsets that hold nothing for them.
type contents struct {
	batches []batch.Batch
	visible []base.OffsetRange // ascending
	hidden  []base.OffsetRange // gaps that compaction left, control records, records of aborted transactions; ascending
}

// inspect sorts what was read from an offset on. aborted are the aborted transactions that overlap it; the log has them by their first
// offset, ascending.
func inspect(c *stream.Chunk, from base.Offset, aborted []partition.AbortedTxn) (in contents, err error) {
	open := map[int64]bool{} // producers within an aborted transaction
	next := from
	hide := func(r base.OffsetRange) {
		if r.Start = max(r.Start, from); r.Start < r.End {
			in.hidden = append(in.hidden, r)
		}
	}
	for _, seg := range c.Segments {
		for b, err := range batch.All(seg) {
			if err != nil {
				return in, err
			}
			r := base.OffsetRange{Start: base.Offset(b.BaseOffset()), End: base.Offset(b.NextOffset())}
			hide(base.OffsetRange{Start: next, End: r.Start})
			next = max(next, r.End)
			for len(aborted) > 0 && aborted[0].FirstOffset < r.End {
				open[aborted[0].ProducerID] = true
				aborted = aborted[1:]
			}
			switch {
			case b.IsControl():
				delete(open, b.ProducerID())
				hide(r)
			case b.IsTransactional() && open[b.ProducerID()]:
				hide(r)
			default:
				in.batches = append(in.batches, b)
				in.visible = append(in.visible, base.OffsetRange{Start: max(r.Start, from), End: r.End})
			}
		}
	}
	hide(base.OffsetRange{Start: next, End: c.End})
	return in, nil
}

// bytes copies the batches that hold acquired records.
func (in *contents) bytes(got []acquired) []byte {
	out := []byte{}
	for _, b := range in.batches {
		first, last := base.Offset(b.BaseOffset()), base.Offset(b.LastOffset())
		if slices.ContainsFunc(got, func(a acquired) bool { return a.first <= last && first <= a.last }) {
			out = append(out, b.Bytes()...)
		}
	}
	return out
}
