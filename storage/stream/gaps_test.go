package stream_test

import (
	"bytes"
	"slices"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
	"sluice/storage/stream"
)

// clean does what a key compaction does to a stream: it removes records from a run of ranges, but never the last one of the run, writes
// the others to a new object, and names that in place of the old ones. The ranges are cut anywhere outside of records, so they may begin
// with a gap, end with one, or have no record at all.
func (w *world) clean() {
	m := w.pick()
	ranges := w.catalog.Ranges(m.id)
	if len(ranges) == 0 {
		return
	}
	first := rapid.IntRange(0, len(ranges)-1).Draw(w.t, "first range")
	n := rapid.IntRange(1, len(ranges)-first).Draw(w.t, "ranges")
	run := base.OffsetRange{Start: ranges[first].Range.Start, End: ranges[first+n-1].Range.End}
	keep := rapid.SampledFrom([]int{0, 0, 1, 5, 9}).Draw(w.t, "records kept of ten")
	out := object.NewWriter(0, 0)
	var cuts []base.Offset // where a range may end
	var left, removed []*modelRecord
	at := run.Start
	for _, r := range m.records[:m.durable] {
		if r.base < run.Start || r.end() > run.End || r.gone {
			continue
		}
		if r.end() < run.End && rapid.IntRange(0, 9).Draw(w.t, "keep") >= keep {
			removed = append(removed, r)
			continue
		}
		out.Add(&object.Record{Stream: m.id, Base: r.base, Count: r.count, MaxTimestamp: r.ts, Data: r.data}, nil)
		left = append(left, r)
		for ; at <= r.base; at++ {
			cuts = append(cuts, at)
		}
		at = r.end()
	}
	if len(left) == 0 { // a range between two cuts, or one that ends with a gap and may become empty: nothing is done
		return
	}
	for _, r := range removed {
		r.gone = true
	}
	id := w.catalog.NewID()
	body, size := out.Finish(object.Meta{Cluster: w.cluster, ID: id, Kind: object.SO})
	if err := w.store.Store.Put(w.ctx, object.Key(w.cluster, id), body, driver.PutOptions{}); err != nil {
		w.t.Fatal(err)
	}
	ends := []base.Offset{run.End}
	for range rapid.IntRange(0, 3).Draw(w.t, "cuts") {
		ends = append(ends, rapid.SampledFrom(cuts).Draw(w.t, "cut"))
	}
	slices.Sort(ends)
	var with []stream.ObjectRange
	start := run.Start
	for _, end := range slices.Compact(ends) {
		if end == start {
			continue
		}
		r := stream.ObjectRange{ID: id, Size: size, Range: base.OffsetRange{Start: start, End: end}, MaxTimestamp: -1}
		for _, l := range left {
			if l.base >= start && l.end() <= end {
				r.Bytes, r.MaxTimestamp = r.Bytes+int64(len(l.data)), max(r.MaxTimestamp, l.ts)
			}
		}
		with, start = append(with, r), end
	}
	w.catalog.Compact(m.id, first, n, with)
	if rapid.Bool().Draw(w.t, "uncache") {
		m.s.Uncache(run.End)
		if c, ok, err := m.s.TryReadCached(m.start, run.End, 1<<20, true); err != nil {
			w.t.Fatal(err)
		} else if ok {
			if run.End > m.start { // otherwise nothing was asked for
				w.onlyLeft(m, c)
			}
			c.Release()
		}
	}
}

// onlyLeft checks that a chunk holds what was not removed, and nothing else.
func (w *world) onlyLeft(m *modelStream, c *stream.Chunk) {
	var want []byte
	for _, r := range m.records {
		if !r.gone && r.end() > c.Start && r.base < c.End {
			want = append(want, r.data...)
		}
	}
	if got := bytes.Join(c.Segments, nil); !bytes.Equal(got, want) {
		w.t.Fatalf("stream %d: [%d, %d) has %d bytes, %d were left of it", m.id, c.Start, c.End, len(got), len(want))
	}
}

// matches reports whether a record that ends above from, removed or not, lies in r and satisfies ok.
func (m *modelStream) matches(r base.OffsetRange, from base.Offset, ok func(*modelRecord) bool) bool {
	return slices.ContainsFunc(m.records, func(x *modelRecord) bool {
		return x.end() > from && r.Start <= x.base && x.end() <= r.End && ok(x)
	})
}

func (w *world) findTimestamp() {
	w.commit()
	m := w.pick()
	ts := int64(rapid.IntRange(0, 60).Draw(w.t, "ts"))
	from := base.Offset(rapid.Int64Range(int64(m.start), int64(m.end())).Draw(w.t, "from"))
	var want *modelRecord
	for _, r := range m.records {
		if r.end() > from && r.ts >= ts && !r.gone {
			want = r
			break
		}
	}
	r, found, err := m.s.FindTimestamp(w.ctx, ts, from, m.end())
	switch {
	case base.IsKind(err, base.Unavailable):
	case err != nil:
		w.t.Fatal(err)
	case !found && want != nil:
		w.t.Fatalf("stream %d: time %d from %d: nothing found, want %d", m.id, ts, from, want.base)
	case found && want != nil && r.Start > want.base:
		w.t.Fatalf("stream %d: time %d from %d: found %v, want it to hold [%d, %d)", m.id, ts, from, r, want.base, want.end())
	case found && !m.matches(r, from, func(x *modelRecord) bool { return x.ts >= ts }):
		w.t.Fatalf("stream %d: time %d from %d: found %v, where there is none", m.id, ts, from, r)
	}
	w.maxTimestamp(m, from)
}

func (w *world) maxTimestamp(m *modelStream, from base.Offset) {
	var want *modelRecord
	for _, r := range m.records {
		if r.end() > from && !r.gone && (want == nil || r.ts > want.ts) {
			want = r
		}
	}
	r, ts, found, err := m.s.MaxTimestamp(w.ctx, from, m.end())
	switch {
	case base.IsKind(err, base.Unavailable):
	case err != nil:
		w.t.Fatal(err)
	case !found && want != nil:
		w.t.Fatalf("stream %d: max time from %d: nothing found, want %d", m.id, from, want.ts)
	case found && want != nil && (ts < want.ts || ts == want.ts && r.Start > want.base):
		w.t.Fatalf("stream %d: max time from %d: found %d at %v, want %d at %d", m.id, from, ts, r, want.ts, want.base)
	case found && !m.matches(r, from, func(x *modelRecord) bool { return x.ts == ts }):
		w.t.Fatalf("stream %d: max time from %d: found %d at %v, where there is none", m.id, from, ts, r)
	}
}
