package explore

import (
	"fmt"

	"sluice/base"
	"sluice/cluster/meta"
)

// Images that lag behind. A process whose bounds say so has an image of its own, which is as old as it likes; it reads with that one. An object
// that nothing refers to any more is marked, and may be deleted when every unfenced node has reported a position past the mark; the
// grace time is any time. A read takes its time too: it learns where a record lies, and gets the object later, which may be gone by
// then. That is no harm if its node has a newer image meanwhile, for it looks there again.
//
// What is not looked at are reads of nodes that are fenced: those hand out nothing, because they have no contact.

func (c *cluster) lagging() bool { return c.env.lags != [procsMax]bool{} }

// fingerprintMarks adds which node's reported position is past which mark, in the order of the marks, which marks are of one record, and the
// next object's id: images that differ in these have another future, though what they hold is the same.
func (e *env) fingerprintMarks(img *meta.Image, put func(...int64)) {
	put(e.nextObject(img))
	last := base.MetaPos(0)
	for o := range img.Destroying() {
		past := int64(0)
		for n := range img.Nodes() {
			past <<= 1
			if n.Applied >= o.MarkedPos {
				past |= 1
			}
		}
		past <<= 1
		if o.MarkedPos == last {
			past |= 1
		}
		last = o.MarkedPos
		put(int64(o.ID), past)
	}
}

// nextObject is the id that the next object gets. Objects that have left the image do not tell.
func (e *env) nextObject(img *meta.Image) int64 {
	for _, n := range e.nodes {
		if img.Current(n) {
			_, res, err := img.Draft().Execute(&meta.PrepareObjects{Node: n, Count: 1}, 1)
			if err != nil {
				panic(err)
			}
			return int64(res.(*meta.ObjectsPrepared).First)
		}
	}
	return 0
}

// viewSteps: a process catches up with the newest image, tells how far it is, and reads.
func (c *cluster) viewSteps(add Add[*cluster], i int8) {
	if c.views[i] != c.meta {
		add(func(c *cluster) error { c.views[i] = c.meta; return nil }, "%s catches up", names[i])
	}
	if o := c.newestMark(i); o != 0 {
		add(func(c *cluster) error { c.execute(call{kind: callReport, proc: i, object: o}); return nil }, "%s reports its position, past the mark of object %d", names[i], o)
	}
	c.readSteps(add, i)
}

// newestMark returns the last marked object whose mark the process's image has and which it has not reported. 0: none.
func (c *cluster) newestMark(i int8) int8 {
	n, _ := c.meta.img.Node(c.env.nodes[i].ID)
	newest := int8(0)
	for o := range c.meta.img.Destroying() {
		seen, ok := c.views[i].img.Object(o.ID)
		if n.Applied < o.MarkedPos && (ok && seen.State == meta.Destroying || c.env.mistake == positionAssumed) {
			newest = int8(o.ID)
		}
	}
	return newest
}

// readSteps: a read of each committed offset of the process's image. It finds the object now and gets it later.
func (c *cluster) readSteps(add Add[*cluster], i int8) {
	if r := c.procs[i].read; r.object != 0 {
		add(func(c *cluster) error { return c.get(i) }, "%s gets object %d for offset %d of partition %d", names[i], r.object, r.off, r.part)
		return
	}
	if c.reads[i] == 0 {
		return
	}
	for part := range int8(c.env.parts) {
		s := c.seen(i, part)
		for off := int8(s.Start); off < int8(s.CommittedEnd); off++ {
			add(func(c *cluster) error {
				c.reads[i]--
				c.procs[i].read = c.locate(i, part, off)
				return nil
			}, "%s looks for offset %d of partition %d", names[i], off, part)
		}
	}
}

// seen is the stream of a partition in the process's own image.
func (c *cluster) seen(i, part int8) meta.Stream {
	p, _ := c.views[i].img.Partition(c.env.topic, int32(part))
	s, _ := c.views[i].img.Stream(p.Data)
	return s
}

// locate says where the process's image has an offset; none if it was trimmed.
func (c *cluster) locate(i, part, off int8) lookup {
	s := c.seen(i, part)
	if off < int8(s.Start) {
		return lookup{}
	}
	for r := range c.views[i].img.RangesOf(s.ID, base.Offset(off)) {
		return lookup{part, off, int8(r.Object)}
	}
	return lookup{}
}

// get ends a read, or has it look again where the object is gone.
func (c *cluster) get(i int8) error {
	r := &c.procs[i].read
	defer func(was lookup) {
		if *r == was {
			*r = lookup{}
		}
	}(*r)
	if c.put[r.object] {
		return c.holds(r.object, r.part, r.off)
	}
	if s := c.stream(r.part); c.env.mistake == sourcesUnseen && r.off >= int8(s.Start) && !c.removed[r.part][r.off] {
		return fmt.Errorf("G10: %s is told that there is nothing at offset %d of partition %d", names[i], r.off, r.part)
	}
	again := c.locate(i, r.part, r.off)
	if again == *r {
		return fmt.Errorf("I7: object %d is gone, and the image of %s still says that offset %d of partition %d lies there", r.object, names[i], r.off, r.part)
	}
	*r = again
	return nil
}

// holds checks that an object has the record that was acknowledged at an offset, or that a compaction has removed that.
func (c *cluster) holds(object, part, off int8) error {
	for _, rec := range c.objects[object] {
		if rec.value > 0 && rec.part == part && rec.base == off && rec.value == c.acked[part][off] {
			return nil
		}
	}
	if c.removed[part][off] {
		return nil
	}
	return fmt.Errorf("I6: a reader of object %d does not find offset %d of partition %d", object, off, part)
}

// checkViews checks I7: what the images of nodes that may serve refer to is there, and has the records.
func (c *cluster) checkViews() error {
	for i := range int8(procsMax) {
		if !c.env.lags[i] || !c.meta.img.Current(c.env.nodes[i]) {
			continue
		}
		for part := range int8(c.env.parts) {
			s := c.seen(i, part)
			for off := int8(s.Start); off < int8(s.CommittedEnd); off++ {
				at := c.locate(i, part, off)
				if !c.put[at.object] {
					return fmt.Errorf("I7: object %d is gone, and the image of %s refers to it for offset %d of partition %d", at.object, names[i], off, part)
				}
				if err := c.holds(at.object, part, off); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// deleteSteps: the oldest mark is past, as far as the unfenced nodes have said; the object is deleted, and leaves the image. Between the two
// the controller may be gone. Nodes whose image is never old have always reported.
func (c *cluster) deleteSteps(add Add[*cluster]) {
	for o := range c.meta.img.Destroying() {
		for i, n := range c.env.nodes {
			known, _ := c.meta.img.Node(n.ID)
			if c.env.lags[i] && (!known.Fenced || c.env.mistake == fencedAwaited) && known.Applied < o.MarkedPos && c.env.mistake != positionsIgnored {
				return
			}
		}
		id := int8(o.ID)
		forget := func(c *cluster, lost bool) error {
			c.put[id], c.objects[id] = false, content{}
			if lost {
				c.faults--
				return nil
			}
			if c.env.mistake != positionsIgnored && c.env.mistake != fencedAwaited && !c.reported(id) {
				return fmt.Errorf("I7: object %d is deleted at a mark that not all have reported", id)
			}
			if a := c.execute(call{kind: callRemove, object: id}); a.code != meta.None {
				return fmt.Errorf("object %d cannot be removed: %v", id, a.code)
			}
			return nil
		}
		add(func(c *cluster) error { return forget(c, false) }, "object %d is deleted", id)
		if c.faults > 0 && c.put[id] {
			add(func(c *cluster) error { return forget(c, true) }, "object %d is deleted, and the controller dies", id)
		}
		return
	}
}

// reported has the nodes whose image is never old report, and asks the image whether that makes it all: the rule of control's life cycle.
func (c *cluster) reported(id int8) bool {
	for i, n := range c.env.nodes {
		if !c.env.lags[i] && c.meta.img.Current(n) {
			c.execute(call{kind: callReport, proc: int8(i), object: id})
		}
	}
	o, _ := c.meta.img.Object(base.ObjectID(id))
	return o.MarkedPos <= c.meta.img.AppliedByAll()
}
