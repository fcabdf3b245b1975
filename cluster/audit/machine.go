package audit

import (
	"fmt"
	"slices"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/object"
)

// held is a range of a stream, seen from the object that holds it.
type held struct {
	stream base.StreamID
	rng    base.OffsetRange
}

// catalogue is an image arranged by object. It does not change once made.
type catalogue struct {
	img    *meta.Image
	ranges map[base.ObjectID][]held // ascending by stream and offset
	count  int                      // of ranges
	bytes  int64                    // of committed objects
	wrong  []Finding                // what the image alone shows
}

// newCatalogue arranges the image and checks what can be seen without a request: invariants 5 and 9 of package meta.
func newCatalogue(img *meta.Image) *catalogue {
	c := &catalogue{img: img, ranges: make(map[base.ObjectID][]held, img.ObjectCount())}
	for s := range img.AllStreams() {
		c.stream(&s)
	}
	for o := range img.Objects() {
		if o.State == meta.Committed {
			c.bytes += o.Size
		}
		if n := len(c.ranges[o.ID]); o.State == meta.Committed && n != int(o.Refs) || o.State != meta.Committed && n != 0 {
			c.add(finding(DanglingReference, "%s, counts %d references, and %d ranges name it", o.State, o.Refs, n).about(o.ID).at(c.key(o.ID), ""))
		}
	}
	return c
}

// stream checks that the ranges of a stream are in order and cover it. Those of deleted topics go from the front, without moving the start.
func (c *catalogue) stream(s *meta.Stream) {
	_, live := c.img.Stream(s.ID)
	at, first := s.Start, true
	for r := range s.EachRange() {
		c.count++
		c.ranges[r.Object] = append(c.ranges[r.Object], held{s.ID, r.OffsetRange})
		where := c.where(s.ID, r.OffsetRange)
		switch {
		case r.Start > at && (live || !first):
			c.add(finding(RangeNotCovered, "offsets [%d, %d) are in no range", at, r.Start).of(s.ID, base.OffsetRange{Start: at, End: r.Start}).at("", where))
		case r.Empty(), r.Start < at && !first:
			c.add(finding(Overlap, "the range is empty, or begins before %d, where the one before it ends", at).of(s.ID, r.OffsetRange).at("", where))
		}
		if o, ok := c.img.Object(r.Object); !ok || o.State != meta.Committed {
			f := finding(DanglingReference, "the range lies in object %s, which the metadata does not have as committed", r.Object)
			c.add(f.of(s.ID, r.OffsetRange).at(c.key(r.Object), where))
		}
		at, first = r.End, false
	}
	if at != s.CommittedEnd && live {
		r := base.OffsetRange{Start: min(at, s.CommittedEnd), End: max(at, s.CommittedEnd)}
		c.add(finding(RangeNotCovered, "the ranges end at %d, the committed end is %d", at, s.CommittedEnd).of(s.ID, r).at("", c.where(s.ID, r)))
	}
}

func (c *catalogue) add(f Finding) { c.wrong = append(c.wrong, f) }

func (c *catalogue) key(id base.ObjectID) string { return object.Key(c.img.ClusterID(), id) }

// where names a range of a stream for people.
func (c *catalogue) where(id base.StreamID, r base.OffsetRange) string {
	return fmt.Sprintf("%s offsets %v", StreamName(c.img, id), r)
}

// StreamName names a stream for people: by topic and partition, where it belongs to a topic that is not deleted.
func StreamName(img *meta.Image, id base.StreamID) string {
	s, ok := img.Stream(id)
	if !ok {
		return fmt.Sprintf("stream %d (deleted)", id)
	}
	t, _ := img.TopicByID(s.Topic)
	p, _ := img.Partition(s.Topic, s.Partition)
	if p.Meta == id {
		return fmt.Sprintf("%s/%d (meta stream %d)", t.Name, s.Partition, id)
	}
	return fmt.Sprintf("%s/%d (stream %d)", t.Name, s.Partition, id)
}

// role says what the records of a stream are.
type role uint8

const (
	roleUnknown role = iota // of a deleted topic
	roleData                // Kafka record batches
	roleMeta                // producer snapshots
)

// profile is what is known about a stream when its blocks are checked.
type profile struct {
	role   role
	start  base.Offset
	clean  base.Offset // below, gaps are what key compaction left
	epoch  base.StreamEpoch
	starts []meta.EpochStart
}

func (c *catalogue) profile(id base.StreamID) profile {
	s, ok := c.img.Stream(id)
	if !ok {
		return profile{epoch: 1<<31 - 1, clean: 1<<63 - 1}
	}
	p, _ := c.img.Partition(s.Topic, s.Partition)
	out := profile{role: roleMeta, start: s.Start, clean: s.CleanedTo, epoch: s.Epoch}
	if p.Data == id {
		out.role, out.starts = roleData, p.EpochStarts
	}
	return out
}

// epochAt returns the epoch that wrote an offset; ok is false where the image does not say.
func (p *profile) epochAt(o base.Offset) (e base.StreamEpoch, ok bool) {
	i, found := slices.BinarySearchFunc(p.starts, o, func(s meta.EpochStart, o base.Offset) int { return int(s.Start - o) })
	if !found {
		i--
	}
	for ; i+1 < len(p.starts) && i >= 0 && p.starts[i+1].Start == p.starts[i].Start; i++ {
	}
	if i < 0 || o < p.start {
		return 0, false
	}
	return p.starts[i].Epoch, true
}

// checkIndex compares the table of contents of an object with what the image says of it.
func (c *catalogue) checkIndex(o *meta.Object, x *object.Index) (out []Finding) {
	key := c.key(o.ID)
	if object.Kind(o.Kind) != x.Footer.Kind {
		out = append(out, finding(DamagedObject, "it says that it is of kind %d, the metadata says %d", x.Footer.Kind, o.Kind).about(o.ID).at(key, ""))
	}
	for _, h := range c.ranges[o.ID] {
		p := c.profile(h.stream)
		for _, f := range checkRange(h, &p, x) {
			out = append(out, f.about(o.ID).at(key, c.where(f.stream, f.rng)))
		}
	}
	return out
}

// checkRange looks for the range among the blocks.
func checkRange(h held, p *profile, x *object.Index) (out []Finding) {
	i, _ := x.Find(h.stream, h.rng.Start)
	at, blocks, last := h.rng.Start, 0, base.StreamEpoch(-1)
	for ; i < len(x.Entries) && x.Entries[i].Stream == h.stream && x.Entries[i].Range.Start < h.rng.End; i++ {
		e := &x.Entries[i]
		if gap := (base.OffsetRange{Start: at, End: e.Range.Start}); !gap.Empty() && gap.End > max(p.clean, p.start) {
			out = append(out, finding(RangeNotCovered, "the object has no block with offsets %v", gap).of(h.stream, gap))
		}
		first := max(e.Range.Start, h.rng.Start)
		if want, ok := p.epochAt(first); e.Epoch > p.epoch || e.Epoch < last || ok && want != e.Epoch {
			f := finding(WrongEpoch, "the block is of epoch %d; the stream's is %d, that of offset %d is %d, and that of the block before %d", e.Epoch, p.epoch, first, want, last)
			out = append(out, f.of(h.stream, e.Range))
		}
		at, last, blocks = e.Range.End, e.Epoch, blocks+1
	}
	switch rest := (base.OffsetRange{Start: at, End: h.rng.End}); {
	case blocks == 0:
		out = append(out, finding(RangeNotCovered, "the object has no block of these offsets").of(h.stream, h.rng))
	case !rest.Empty() && rest.End > max(p.clean, p.start):
		out = append(out, finding(RangeNotCovered, "the object ends before offsets %v", rest).of(h.stream, rest))
	}
	return out
}

// checkItems compares the records of one block with the ranges of its stream in the object, which ascend: none may lie across the end of
// one, and none may be missing.
func checkItems(ranges []held, p *profile, e *object.Entry, items []object.Item) (out []Finding) {
	at := e.Range.Start
	for i := range items {
		r := items[i].Range
		if gap := (base.OffsetRange{Start: at, End: r.Start}); !gap.Empty() && gap.End > max(p.clean, p.start) && within(ranges, gap) {
			out = append(out, finding(RangeNotCovered, "the block has no record with offsets %v", gap).of(e.Stream, gap))
		}
		at = r.End
		for _, h := range ranges {
			if r.Start < h.rng.Start && h.rng.Start < r.End && h.rng.Start > p.start || r.Start < h.rng.End && h.rng.End < r.End {
				out = append(out, finding(Overlap, "the record with offsets %v lies across the end of the range %v", r, h.rng).of(e.Stream, r))
			}
		}
	}
	return out
}

// within reports whether any of the offsets is in a range that counts.
func within(ranges []held, r base.OffsetRange) bool {
	return slices.ContainsFunc(ranges, func(h held) bool { return h.rng.Start < r.End && r.Start < h.rng.End })
}

// ofStream returns the ranges of one stream.
func ofStream(ranges []held, id base.StreamID) []held {
	i, _ := slices.BinarySearchFunc(ranges, id, func(h held, id base.StreamID) int {
		if h.stream < id {
			return -1
		}
		return 1
	})
	k := i
	for k < len(ranges) && ranges[k].stream == id {
		k++
	}
	return ranges[i:k]
}
