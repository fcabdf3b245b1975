package meta

import (
	"sluice/base"
)

// Draft is an image under construction. It belongs to one goroutine.
type Draft struct {
	img   *Image
	past  []*Delta // of the image it started from
	delta *Delta
	out   []Record // of the command being executed
}

// Draft starts a draft from img, which stays as it is.
func (img *Image) Draft() *Draft {
	return &Draft{img: img.fork(), past: img.deltas, delta: newDelta(img.pos)}
}

// Image finishes the draft and returns the image, which knows its delta from the one that the draft started from, and from some before
// that. The draft must not be used any more.
func (d *Draft) Image() *Image {
	img := d.img
	d.delta.To = img.pos
	img.deltas = history(d.past, d.delta)
	d.img = nil
	return img
}

// View returns the present state of the draft, to be read before the draft's next change only.
func (d *Draft) View() *Image { return d.img }

// Apply applies one record. An error has kind Corrupt; the draft is then of no use any more.
func (d *Draft) Apply(r Record) error {
	if d.img.cluster.IsZero() && r.recordType() != typeClusterCreated {
		return base.Errorf(base.Corrupt, "metadata record %d: %s before the cluster was created", d.img.pos, RecordName(r))
	}
	d.img.pos++
	if r.recordType().changesHeld() {
		d.img.heldPos = d.img.pos
	}
	if err := r.apply(d); err != nil {
		return base.Errorf(base.Corrupt, "metadata record %d, %s: %w", d.img.pos-1, RecordName(r), err)
	}
	return nil
}

// Apply returns the image after the records, the first of which must be number at of the cluster's records. The image itself
// stays as it is, whatever the records hold.
func (img *Image) Apply(at base.MetaPos, recs []Record) (*Image, error) {
	if at != img.pos {
		return nil, base.Errorf(base.Corrupt, "records from position %d do not follow the image at %d", at, img.pos)
	}
	d := img.Draft()
	for _, r := range recs {
		if err := d.Apply(r); err != nil {
			return nil, err
		}
	}
	return d.Image(), nil
}

// emit applies a record that a command decided on. A record that cannot be applied was decided wrongly: it must not reach the log.
func (d *Draft) emit(r Record) {
	if err := d.Apply(r); err != nil {
		panic("BUG: meta: " + err.Error())
	}
	d.out = append(d.out, r)
}

func (d *Draft) putTopic(t *Topic) {
	d.img.topics.set(t.num, t)
	if !t.deleted {
		d.img.byID.set(idKey(t.ID), t)
		d.img.byName.set(t.Name, t)
	}
	d.delta.Topics[t.ID] = struct{}{}
}

func (d *Draft) putPartition(num uint32, p *Partition) {
	d.img.partitions.set(partitionKey(num, p.Index), p)
	d.delta.Partitions[PartitionID{p.Topic, p.Index}] = struct{}{}
}

func (d *Draft) putNode(n *Node) {
	d.img.nodes.set(n.ID, n)
	d.delta.Nodes[n.ID] = struct{}{}
}

func (d *Draft) putRescue(r *Rescue) {
	d.img.rescues.set(rescueKey(r.Victim), r)
	d.delta.Rescues = true
}

// mark makes an object destroying, at the end of the queue.
func (d *Draft) mark(o Object, nowMS int64) {
	if o.State == Prepared {
		d.img.prepared.delete(o.ID)
	}
	o.State, o.Refs, o.MarkedMS, o.MarkedPos, o.mark = Destroying, 0, nowMS, d.img.pos, d.img.nextMark
	d.img.nextMark++
	d.img.marks.set(o.mark, o.ID)
	d.img.objects.set(o.ID, &o)
}

// unref takes one reference away from an object; the last one marks it.
func (d *Draft) unref(id base.ObjectID, nowMS int64) {
	old, ok := d.img.objects.get(id)
	if !ok || old.State != Committed || old.Refs <= 0 {
		panic("BUG: meta: range of an object that is not committed: " + id.String())
	}
	o := *old
	if o.Refs--; o.Refs == 0 {
		d.mark(o, nowMS)
		return
	}
	d.img.objects.set(id, &o)
}

// dropRanges puts back a stream whose ranges were cut, after giving up the references of those that went.
func (d *Draft) dropRanges(s *Stream, cut func(func(Range)) rangeList, nowMS int64) {
	s.ranges = cut(func(r Range) {
		s.Bytes -= r.Bytes
		d.img.ranges--
		d.unref(r.Object, nowMS)
	})
	d.img.streams.set(s.ID, s)
}
