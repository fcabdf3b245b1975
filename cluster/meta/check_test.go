package meta

import (
	"fmt"
	"strings"

	"sluice/base"
)

// check returns what is wrong with an image, by the invariants in doc.go, found by looking at everything.
func check(img *Image) error {
	var wrong []string
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	refs, ranges := map[base.ObjectID]int32{}, 0
	img.streams.all(func(id base.StreamID, s *Stream) bool {
		if s.ID != id || s.Start < 0 || s.Start > s.CommittedEnd {
			bad("stream %d: start %d, committed end %d", id, s.Start, s.CommittedEnd)
		}
		if err := sound(s.ranges); err != nil || s.CleanedTo < 0 || s.CleanedTo > s.CommittedEnd {
			bad("stream %d: %v, cleaned up to %d", id, err, s.CleanedTo)
		}
		at, bytes, n := base.Offset(-1), int64(0), 0
		s.ranges.from(-1, func(r Range) bool {
			n++
			bytes += r.Bytes
			refs[r.Object]++
			if r.Empty() || at >= 0 && r.Start != at {
				bad("stream %d: range %v after %d", id, r.OffsetRange, at)
			}
			if at < 0 && (r.Start > s.Start || r.End <= s.Start) {
				bad("stream %d: first range %v, start %d", id, r.OffsetRange, s.Start)
			}
			at = r.End
			return true
		})
		ranges += n
		if n == 0 && s.Start != s.CommittedEnd || n > 0 && at != s.CommittedEnd || n != s.ranges.len() || bytes != s.Bytes {
			bad("stream %d: %d ranges up to %d, committed end %d, %d bytes of %d", id, n, at, s.CommittedEnd, bytes, s.Bytes)
		}
		if s.State == Open {
			n, ok := img.nodes.get(s.Owner)
			current := ok && img.holds(n.Ref(), *s)
			r, rescued := img.rescues.get(rescueKey(NodeRef{s.Owner, s.OwnerEpoch}))
			if !current && (!rescued || r.State == RescueDone) {
				bad("stream %d: open for node %d epoch %d, which is over and not to be rescued", id, s.Owner, s.OwnerEpoch)
			}
		}
		p, ok := img.partitions.get(partitionKey(s.topicNum, s.Partition))
		if !ok || p.Data != id && p.Meta != id || s.Epoch != p.LeaderEpoch {
			bad("stream %d: partition missing or of another epoch", id)
		} else if s.State == Open && s.Owner != p.Leader {
			bad("stream %d: open for node %d, but led by %d", id, s.Owner, p.Leader)
		}
		return true
	})
	if ranges != img.RangeCount() {
		bad("%d ranges, counted are %d", ranges, img.RangeCount())
	}
	checkMoves(img, bad)
	checkVolumes(img, bad)
	checkCounts(img, bad)
	prepared, destroying := 0, 0
	img.objects.all(func(id base.ObjectID, o *Object) bool {
		if o.Refs != refs[id] || (o.State == Committed) != (o.Refs > 0) {
			bad("object %s: %s, counts %d references of %d", id, o.State, o.Refs, refs[id])
		}
		delete(refs, id)
		switch o.State {
		case Prepared:
			prepared++
		case Destroying:
			destroying++
			if at, ok := img.marks.get(o.mark); !ok || at != id || o.MarkedPos > img.pos {
				bad("object %s: mark %d leads to %s", id, o.mark, at)
			}
		}
		return true
	})
	if len(refs) > 0 || prepared != img.PreparedCount() || destroying != img.DestroyingCount() {
		bad("%d objects referred to are missing, %d prepared of %d, %d destroying of %d", len(refs), prepared, img.PreparedCount(), destroying, img.DestroyingCount())
	}
	deleted, named := 0, 0
	img.topics.all(func(num uint32, t *Topic) bool {
		if t.deleted {
			deleted++
			return true
		}
		named++
		n := int32(0)
		for p := range img.PartitionsOf(t.ID) {
			if p.Index != n || p.Topic != t.ID {
				bad("topic %s: partition %d where %d should be", t.Name, p.Index, n)
			}
			n++
			for i := 1; i < len(p.EpochStarts); i++ {
				a, b := p.EpochStarts[i-1], p.EpochStarts[i]
				if a.Epoch >= b.Epoch || a.Start >= b.Start {
					bad("topic %s/%d: epoch starts %v", t.Name, p.Index, p.EpochStarts)
				}
			}
			if data, _ := img.streams.get(p.Data); p.State != Assigned && (data.State != Open || data.Owner != p.Leader) {
				bad("topic %s/%d: %s, but data stream %s", t.Name, p.Index, p.State, data.State)
			}
		}
		if a, ok := img.byName.get(t.Name); n != t.Partitions || !ok || a != t {
			bad("topic %s: %d partitions of %d", t.Name, n, t.Partitions)
		}
		if a, ok := img.byID.get(idKey(t.ID)); !ok || a != t {
			bad("topic %s: not found by its id", t.Name)
		}
		return true
	})
	if deleted != img.DeletedTopics() || named != img.TopicCount() || named != img.byID.len() {
		bad("%d deleted topics of %d, %d named of %d", deleted, img.DeletedTopics(), named, img.TopicCount())
	}
	if len(wrong) > 0 {
		return fmt.Errorf("image at %d: %s", img.pos, strings.Join(wrong, "; "))
	}
	return nil
}

// checkMoves looks at leaders and targets.
func checkMoves(img *Image, bad func(string, ...any)) {
	img.partitions.all(func(k uint64, p *Partition) bool {
		if img.gone(uint32(k >> 32)) {
			return true
		}
		if _, ok := img.nodes.get(p.Leader); !ok && p.Leader != base.NoNode {
			bad("partition %x: leader %d is not registered", k, p.Leader)
		}
		if p.Target == base.NoNode {
			return true
		}
		data, _ := img.streams.get(p.Data)
		aux, _ := img.streams.get(p.Meta)
		if to, ok := img.nodes.get(p.Target); !ok || to.Fenced || p.Target == p.Leader {
			bad("partition %x: target %d is gone, or the leader", k, p.Target)
		}
		from := NodeRef{data.Owner, data.OwnerEpoch}
		if data.State != Open || aux.State != Open || from != (NodeRef{aux.Owner, aux.OwnerEpoch}) || !img.Current(from) {
			bad("partition %x: target %d, but nobody who could hand it over", k, p.Target)
		}
		return true
	})
}

// checkCounts counts again what nodes lead and have open.
func checkCounts(img *Image, bad func(string, ...any)) {
	led, open := map[base.NodeID]int{}, map[NodeRef]int{}
	for t := range img.Topics() {
		for p := range img.PartitionsOf(t.ID) {
			if p.Leader != base.NoNode {
				led[p.Leader]++
			}
			for _, id := range []base.StreamID{p.Data, p.Meta} {
				if s, _ := img.Stream(id); s.State == Open {
					open[NodeRef{s.Owner, s.OwnerEpoch}]++
				}
			}
		}
	}
	for id, n := range led {
		if img.Led(id) != n {
			bad("node %d leads %d partitions, counted are %d", id, n, img.Led(id))
		}
	}
	for ref, n := range open {
		if img.OpenStreams(ref) != n {
			bad("node %v has %d streams open, counted are %d", ref, n, img.OpenStreams(ref))
		}
	}
	if len(led) != img.led.len() || len(open) != img.open.len() {
		bad("%d leaders, counted are %d; %d owners, counted are %d", len(led), img.led.len(), len(open), img.open.len())
	}
}

// dump shows every field of everything, indexes included, so that two images are equal exactly if their dumps are.
func dump(img *Image) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v, %d ranges\n", img.scalars, img.ranges)
	dumpTree(&b, "node", &img.nodes)
	dumpTree(&b, "rescue", &img.rescues)
	dumpTree(&b, "topic", &img.topics)
	dumpTree(&b, "by id", &img.byID)
	dumpTree(&b, "by name", &img.byName)
	dumpTree(&b, "partition", &img.partitions)
	dumpTree(&b, "object", &img.objects)
	dumpTree(&b, "config", &img.configs)
	img.streams.all(func(id base.StreamID, s *Stream) bool {
		flat := *s
		flat.ranges = rangeList{}
		fmt.Fprintf(&b, "stream %+v", flat)
		s.ranges.from(-1, func(r Range) bool { fmt.Fprintf(&b, " %+v", r); return true })
		b.WriteByte('\n')
		return true
	})
	img.led.all(func(k base.NodeID, n int) bool { fmt.Fprintln(&b, "led", k, n); return true })
	img.open.all(func(k base.NodeEpoch, o opened) bool { fmt.Fprintln(&b, "open", k, o); return true })
	img.collisions.all(func(k, v string) bool { fmt.Fprintln(&b, "collision", k, v); return true })
	img.prepared.all(func(k base.ObjectID, _ struct{}) bool { fmt.Fprintln(&b, "prepared", k); return true })
	img.marks.all(func(k uint64, v base.ObjectID) bool { fmt.Fprintln(&b, "mark", k, v); return true })
	img.deleted.all(func(k uint32, _ struct{}) bool { fmt.Fprintln(&b, "deleted", k); return true })
	return b.String()
}

func dumpTree[K ordered, V any](b *strings.Builder, what string, t *tree[K, *V]) {
	t.all(func(k K, v *V) bool {
		fmt.Fprintf(b, "%s %+v: %+v\n", what, k, *v)
		return true
	})
}
