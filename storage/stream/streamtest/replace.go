package streamtest

import (
	"context"
	"slices"

	"sluice/base"
	"sluice/storage/stream"
)

// Replacement asks for New in place of the ranges of a stream that lie in Range, which are to be those of Sources.
type Replacement struct {
	Stream  base.StreamID
	Range   base.OffsetRange
	Sources []base.ObjectID
	New     []stream.ObjectRange // the size is that of the object
}

// ReplaceRanges commits objects and puts ranges in place of others, each replacement for itself, as strictly as the controller does. It
// answers with the names that package compact has for verdicts.
func (c *Catalog) ReplaceRanges(ctx context.Context, node stream.NodeRef, objects []stream.UploadedObject, rs []Replacement) (verdicts []string, err error) {
	err = c.call(ctx, "CommitCompaction", func() error {
		if n := c.nodes[node.ID]; n == nil || n.epoch != node.Epoch || n.fenced {
			return base.Errorf(base.Fenced, "node %s is fenced", node)
		}
		again := len(objects) > 0
		for _, o := range objects {
			committed, ok := c.objects[o.ID]
			if again = again && committed; !ok || committed && !again {
				return base.Errorf(base.NotFound, "object %s is not prepared", o.ID)
			}
		}
		for _, o := range objects {
			c.objects[o.ID], c.kinds[o.ID] = true, o.Kind
		}
		verdicts = nil
		for _, r := range rs {
			verdicts = append(verdicts, c.replace(r))
		}
		return nil
	})
	return verdicts, err
}

func (c *Catalog) replace(r Replacement) string {
	s := c.streams[r.Stream]
	at := r.Range.Start
	for _, n := range r.New {
		if n.Range.Start != at || n.Range.Empty() {
			panic("streamtest: the new ranges do not cover the old ones")
		}
		at = n.Range.End
	}
	switch {
	case at != r.Range.End:
		panic("streamtest: the new ranges do not cover the old ones")
	case s == nil || s.deleted:
		return "deleted"
	case r.Range.End <= s.start:
		return "trimmed"
	}
	i := slices.IndexFunc(s.ranges, func(o stream.ObjectRange) bool { return o.Range.End > r.Range.Start })
	with := slices.DeleteFunc(slices.Clone(r.New), func(n stream.ObjectRange) bool { return n.Range.End <= s.start })
	for _, sources := range [][]base.ObjectID{r.Sources, ids(with)} { // the second: it is there already
		for k := range sources { // leading ones may have been trimmed
			if k > 0 && s.ranges[i].Range.Start > s.start {
				break
			}
			n := len(sources) - k
			if i+n <= len(s.ranges) && slices.Equal(ids(s.ranges[i:i+n]), sources[k:]) && s.ranges[i+n-1].Range.End == r.Range.End &&
				(k > 0 || s.ranges[i].Range.Start == r.Range.Start || s.ranges[i].Range.Start == with[0].Range.Start) {
				s.ranges = slices.Replace(slices.Clone(s.ranges), i, i+n, with...)
				return "replaced"
			}
		}
	}
	return "changed"
}

func ids(l []stream.ObjectRange) (ids []base.ObjectID) {
	for _, r := range l {
		ids = append(ids, r.ID)
	}
	return ids
}

// EachRange yields the ranges of all streams that are not deleted, with the kind of the object.
func (c *Catalog) EachRange(f func(id base.StreamID, r stream.ObjectRange, kind stream.ObjectKind)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, s := range c.streams {
		if s.deleted {
			continue
		}
		for _, r := range s.ranges {
			f(id, r, c.kinds[r.ID])
		}
	}
}
