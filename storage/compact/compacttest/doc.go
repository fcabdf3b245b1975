// Package compacttest has a catalog in memory for tests of compaction, on the one that package streamtest has for the stream engine.
//
// The package starts no goroutine.
package compacttest

import (
	"cmp"
	"context"
	"slices"

	"sluice/base"
	"sluice/storage/compact"
	"sluice/storage/stream"
	"sluice/storage/stream/streamtest"
)

// Catalog is a compact.Catalog of one node that looks after everything.
type Catalog struct {
	*streamtest.Catalog
	// Prepared, if not nil, gives the time at which an object was prepared.
	Prepared func(base.ObjectID) int64
}

var _ compact.Catalog = Catalog{}

// CommitCompaction implements compact.Catalog.
func (c Catalog) CommitCompaction(ctx context.Context, m compact.Commit) (verdicts []compact.Verdict, err error) {
	sizes := map[base.ObjectID]int64{}
	var objects []stream.UploadedObject
	for _, o := range m.Objects {
		sizes[o.ID] = o.Size
		objects = append(objects, stream.UploadedObject{ID: o.ID, Size: o.Size, Kind: o.Kind})
	}
	var rs []streamtest.Replacement
	for _, r := range m.Replacements {
		to := streamtest.Replacement{Stream: r.Stream, Range: r.Range, Sources: r.Sources}
		for _, n := range r.New {
			if sizes[n.Object] == 0 {
				panic("compacttest: a range in an object that the commit does not name")
			}
			to.New = append(to.New, stream.ObjectRange{ID: n.Object, Size: sizes[n.Object], Range: n.Range, Bytes: n.Bytes, MaxTimestamp: n.MaxTimestamp})
		}
		rs = append(rs, to)
	}
	names, err := c.ReplaceRanges(ctx, m.Node, objects, rs)
	for _, name := range names {
		verdicts = append(verdicts, map[string]compact.Verdict{"replaced": compact.Replaced, "trimmed": compact.Trimmed, "deleted": compact.Deleted, "changed": compact.Changed}[name])
	}
	return verdicts, err
}

// Snapshot implements compact.Catalog.
func (c Catalog) Snapshot() compact.View {
	at := map[base.ObjectID]*compact.Object{}
	c.EachRange(func(id base.StreamID, r stream.ObjectRange, kind stream.ObjectKind) {
		o := at[r.ID]
		if o == nil {
			o = &compact.Object{ID: r.ID, Kind: kind, Size: r.Size}
			if c.Prepared != nil {
				o.PreparedMS = c.Prepared(r.ID)
			}
			at[r.ID] = o
		}
		o.Ranges = append(o.Ranges, compact.LiveRange{Stream: id, OffsetRange: r.Range, Bytes: r.Bytes, MaxTimestamp: r.MaxTimestamp})
	})
	var v compact.View
	for _, o := range at {
		slices.SortFunc(o.Ranges, func(a, b compact.LiveRange) int {
			return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Start, b.Start))
		})
		v.Objects = append(v.Objects, *o)
	}
	slices.SortFunc(v.Objects, func(a, b compact.Object) int { return cmp.Compare(a.ID, b.ID) })
	return v
}
