package meta

import (
	"fmt"
	"slices"

	"sluice/base"
)

func (r *objectsPrepared) apply(d *Draft) error {
	if r.First != d.img.nextObject || r.Count == 0 || r.Count > MaxPrepare {
		return fmt.Errorf("%d objects from %d do not follow %d", r.Count, r.First, d.img.nextObject)
	}
	for range r.Count {
		o := &Object{ID: d.img.nextObject, Node: r.Node, PreparedMS: r.MS}
		d.img.objects.set(o.ID, o)
		d.img.prepared.set(o.ID, struct{}{})
		d.img.nextObject++
	}
	return nil
}

func (r *uploadCommitted) apply(d *Draft) error {
	if err := r.advance(d); err != nil {
		return err
	}
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
	for _, id := range r.Unused {
		old, ok := d.img.objects.get(id)
		if !ok || old.State != Prepared {
			return fmt.Errorf("object %s is not prepared", id)
		}
		d.mark(*old, r.MS)
	}
	return nil
}

// advance moves the number and the trim of the volume, which lie in its rescue if that is over.
func (r *uploadCommitted) advance(d *Draft) error {
	check := func(number uint64, trim base.WALPos) error {
		if r.Number != number+1 || r.Trim < trim {
			return fmt.Errorf("upload %d with trim %d of node %v does not follow %d with %d", r.Number, r.Trim, r.Node, number, trim)
		}
		return nil
	}
	if n, v, err := d.img.volumeOf(r.Node); err == nil {
		if err := check(v.LastUpload, v.Trim); err != nil {
			return err
		}
		c := *v
		c.LastUpload, c.Trim, c.lastSkips = r.Number, r.Trim, r.Skips
		d.img.nodes.set(n.ID, n.withVolume(c)) // no delta: nobody follows this
		return nil
	}
	v, ok := d.img.rescues.get(rescueKey(r.Node))
	if !ok || v.State != RescueGranted {
		return fmt.Errorf("volume %v is neither in use nor being rescued", r.Node)
	}
	if err := check(v.LastUpload, v.WALTrim); err != nil {
		return err
	}
	c := *v
	c.LastUpload, c.WALTrim, c.lastSkips = r.Number, r.Trim, r.Skips
	d.img.rescues.set(rescueKey(c.Victim), &c)
	return nil
}

func (r *rangesCommitted) apply(d *Draft) error {
	refs := map[base.ObjectID]int32{}
	for _, c := range r.Ranges {
		old, ok := d.img.streams.get(c.Stream)
		if !ok || c.Count == 0 {
			return fmt.Errorf("stream %d does not exist or nothing is committed to it", c.Stream)
		}
		if o, ok := d.img.objects.get(c.Object); !ok || o.State != Committed {
			return fmt.Errorf("stream %d: object %s is not committed", c.Stream, c.Object)
		}
		s := *old
		end := s.CommittedEnd + base.Offset(c.Count)
		if end <= s.CommittedEnd {
			return fmt.Errorf("stream %d: %d offsets from %d overflow", c.Stream, c.Count, s.CommittedEnd)
		}
		s.ranges = s.ranges.append(Range{OffsetRange: base.OffsetRange{Start: s.CommittedEnd, End: end}, Object: c.Object, Bytes: c.Bytes,
			MaxTimestamp: c.MaxTimestamp})
		s.CommittedEnd = end
		s.Bytes += c.Bytes
		d.img.streams.set(s.ID, &s)
		refs[c.Object]++
	}
	d.img.ranges += len(r.Ranges)
	for id, n := range refs {
		old, _ := d.img.objects.get(id)
		o := *old
		o.Refs += n
		d.img.objects.set(id, &o)
	}
	return nil
}

func (r *streamsTrimmed) apply(d *Draft) error {
	for _, c := range r.Streams {
		old, ok := d.img.streams.get(c.Stream)
		if !ok || c.Start > old.CommittedEnd {
			return fmt.Errorf("stream %d cannot be trimmed to %d", c.Stream, c.Start)
		}
		if c.Start <= old.Start {
			continue
		}
		s := *old
		s.Start = c.Start
		d.dropRanges(&s, func(dropped func(Range)) rangeList { return s.ranges.dropBelow(s.Start, dropped) }, r.MS)
		d.pruneEpochs(&s)
	}
	return nil
}

// pruneEpochs leaves out the epochs that end at or below the start of a partition's data stream.
func (d *Draft) pruneEpochs(s *Stream) {
	old, ok := d.img.partitions.get(partitionKey(s.topicNum, s.Partition))
	if !ok || old.Data != s.ID {
		return
	}
	k := 0
	for k+1 < len(old.EpochStarts) && old.EpochStarts[k+1].Start <= s.Start {
		k++
	}
	if k == 0 {
		return
	}
	p := *old
	p.EpochStarts = slices.Clone(p.EpochStarts[k:])
	d.putPartition(s.topicNum, &p)
}

func (r *streamsClosed) apply(d *Draft) error {
	for _, id := range r.Streams {
		s, ok := d.img.streams.get(id)
		if !ok {
			return fmt.Errorf("stream %d does not exist", id)
		}
		if s.State == Open {
			d.closeStream(*s)
		}
	}
	return nil
}

// closeStream closes an open stream. Its partition is not served any more, and a move that was wanted is off.
func (d *Draft) closeStream(s Stream) {
	if !d.img.gone(s.topicNum) {
		d.img.countOpen(&s, -1)
	}
	s.State = Closed
	d.img.streams.set(s.ID, &s)
	if old, ok := d.img.partitions.get(partitionKey(s.topicNum, s.Partition)); ok {
		p := *old
		p.State, p.Target = Assigned, base.NoNode
		d.putPartition(s.topicNum, &p)
	}
}

func (r *objectsMarked) apply(d *Draft) error {
	for _, id := range r.Objects {
		o, ok := d.img.objects.get(id)
		if !ok || o.State != Prepared {
			return fmt.Errorf("object %s is not prepared", id)
		}
		d.mark(*o, r.MS)
	}
	return nil
}

func (r *objectsRemoved) apply(d *Draft) error {
	for _, id := range r.Objects {
		o, ok := d.img.objects.get(id)
		if !ok || o.State != Destroying {
			return fmt.Errorf("object %s is not destroying", id)
		}
		d.img.marks.delete(o.mark)
		d.img.objects.delete(id)
	}
	return nil
}
