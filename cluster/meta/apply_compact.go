package meta

import (
	"fmt"

	"sluice/base"
)

// apply makes the objects committed. The ranges that refer to them follow in the same slot.
func (r *objectsCompacted) apply(d *Draft) error {
	for _, c := range r.Objects {
		old, ok := d.img.objects.get(c.ID)
		if !ok || old.State != Prepared {
			return fmt.Errorf("object %s is not prepared", c.ID)
		}
		o := *old
		o.State, o.Size, o.Kind = Committed, c.Size, c.Kind
		d.img.prepared.delete(c.ID)
		d.img.objects.set(c.ID, &o)
	}
	return nil
}

func (r *rangesReplaced) apply(d *Draft) error {
	refs := refCount{by: map[base.ObjectID]int32{}}
	for i := range r.Replaced {
		if err := r.Replaced[i].apply(d, &refs); err != nil {
			return err
		}
	}
	return refs.settle(d, r.MS)
}

func (r *replacedRanges) apply(d *Draft, refs *refCount) error {
	old, ok := d.img.streams.get(r.Stream)
	if !ok || r.Count == 0 || uint64(r.Count) > uint64(old.ranges.len()) {
		return fmt.Errorf("stream %d does not exist or does not have %d ranges", r.Stream, r.Count)
	}
	at, ok := old.ranges.find(r.First)
	if !ok {
		return fmt.Errorf("stream %d has no range that starts at %d", r.Stream, r.First)
	}
	n, end := 0, base.Offset(0)
	old.ranges.walk(at, func(g Range) bool { n, end = n+1, g.End; return n < int(r.Count) })
	if n < int(r.Count) {
		return fmt.Errorf("stream %d has %d ranges from %d, not %d", r.Stream, n, r.First, r.Count)
	}
	s := *old
	if r.Cleaned {
		s.CleanedTo = max(s.CleanedTo, end)
	}
	if len(r.New) == 0 {
		d.img.streams.set(s.ID, &s)
		return nil
	}
	if (at != spot{} && r.Begin != r.First) || at == (spot{}) && r.Begin > s.Start {
		return fmt.Errorf("stream %d: new ranges from %d in the place of %d leave a gap", r.Stream, r.Begin, r.First)
	}
	by := make([]Range, 0, len(r.New))
	next := r.Begin
	for _, p := range r.New {
		g := Range{OffsetRange: base.OffsetRange{Start: next, End: next + base.Offset(p.Count)}, Object: p.Object, Bytes: p.Bytes, MaxTimestamp: p.MaxTimestamp}
		if g.Empty() || len(by) == 0 && g.End <= s.Start {
			return fmt.Errorf("stream %d: new range %v, start %d", r.Stream, g.OffsetRange, s.Start)
		}
		by, next = append(by, g), g.End
		s.Bytes += p.Bytes
		refs.add(p.Object, 1)
	}
	if next != end {
		return fmt.Errorf("stream %d: new ranges up to %d in the place of ranges up to %d", r.Stream, next, end)
	}
	s.ranges = s.ranges.replace(at, int(r.Count), by, func(g Range) {
		s.Bytes -= g.Bytes
		refs.add(g.Object, -1)
	})
	d.img.streams.set(s.ID, &s)
	d.img.ranges += len(by) - int(r.Count)
	return nil
}

// refCount gathers how many references objects win or lose, in the order in which they were first named, which is the order of the marks.
type refCount struct {
	by    map[base.ObjectID]int32
	order []base.ObjectID
}

func (c *refCount) add(id base.ObjectID, n int32) {
	if _, ok := c.by[id]; !ok {
		c.order = append(c.order, id)
	}
	c.by[id] += n
}

// settle changes the objects; those that nothing refers to any more are marked.
func (c *refCount) settle(d *Draft, nowMS int64) error {
	for _, id := range c.order {
		old, ok := d.img.objects.get(id)
		if !ok || old.State != Committed || old.Refs+c.by[id] < 0 {
			return fmt.Errorf("object %s is not committed", id)
		}
		o := *old
		if o.Refs += c.by[id]; o.Refs == 0 {
			d.mark(o, nowMS)
			continue
		}
		d.img.objects.set(id, &o)
	}
	return nil
}
