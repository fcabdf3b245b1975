package meta

import (
	"slices"

	"sluice/base"
)

// Delta is what changed between two images, so that followers need not compare them.
type Delta struct {
	From, To base.MetaPos
	// Topics that were created, deleted, grown or configured. The partitions of a topic that was created, deleted or grown are not
	// listed in Partitions.
	Topics map[base.UUID]struct{}
	// Partitions whose leader, epoch or state, or the state or end of whose streams changed by anything but an upload or a trim.
	Partitions map[PartitionID]struct{}
	Nodes      map[base.NodeID]struct{}
	Rescues    bool
	Configs    bool // of anything but topics
}

// What an image knows of how it came about: the newest deltasMax deltas, fewer if those before the newest hold more than deltaItemsMax items
// together, so that what is kept is some hundred kilobytes at most.
const (
	deltasMax     = 32
	deltaItemsMax = 4096
)

// history returns the deltas in before, as many of them as are kept, and the newest. Each begins where the one before it ends.
func history(before []*Delta, newest *Delta) []*Delta {
	from, items := len(before), 0
	for from > 0 && len(before)-from < deltasMax-1 {
		if items += before[from-1].items(); items > deltaItemsMax {
			break
		}
		from--
	}
	return append(slices.Clone(before[from:]), newest)
}

func (d *Delta) items() int { return len(d.Topics) + len(d.Partitions) + len(d.Nodes) }

// DeltaFrom returns what changed since old, an image of the same cluster, so that who skips an image now and then, or takes some from
// Subscribe and some from elsewhere, need not compare everything. It returns nil where that is not known, for it is known of the last images
// only; then anything may have changed.
func (img *Image) DeltaFrom(old *Image) *Delta {
	if old == nil {
		return nil
	}
	switch ds := img.since(old.pos); len(ds) {
	case 0:
		return nil
	case 1:
		return ds[0]
	default:
		return merge(ds)
	}
}

// since returns the deltas that lead from pos to the image, nil if they are not known.
func (img *Image) since(pos base.MetaPos) []*Delta {
	for i := len(img.deltas) - 1; i >= 0 && img.deltas[i].From >= pos; i-- {
		if img.deltas[i].From == pos {
			return img.deltas[i:]
		}
	}
	return nil
}

// MergedWith returns an image equal to img that also knows what changed since the image before the image before, so that a follower may skip
// that one; and, if before was made by MergedWith, since the one with which that began.
func (img *Image) MergedWith(before *Image) *Image {
	since, past := img.since(before.pos), before.deltas
	if since == nil || len(past) == 0 {
		return img
	}
	if !before.merged {
		past = past[len(past)-1:]
	}
	c := *img
	c.deltas, c.merged = slices.Concat(past, since), true
	if over := len(c.deltas) - deltasMax; over > 0 {
		c.deltas = append([]*Delta{merge(c.deltas[:over+1])}, c.deltas[over+1:]...)
	}
	return &c
}

func newDelta(from base.MetaPos) *Delta {
	return &Delta{From: from, Topics: map[base.UUID]struct{}{}, Partitions: map[PartitionID]struct{}{}, Nodes: map[base.NodeID]struct{}{}}
}

// merge returns one delta for several, each of which begins where the one before it ends.
func merge(ds []*Delta) *Delta {
	m := newDelta(ds[0].From)
	m.To = ds[len(ds)-1].To
	for _, d := range ds {
		m.Rescues, m.Configs = m.Rescues || d.Rescues, m.Configs || d.Configs
		union(m.Topics, d.Topics)
		union(m.Partitions, d.Partitions)
		union(m.Nodes, d.Nodes)
	}
	return m
}

func union[K comparable](dst, src map[K]struct{}) {
	for k := range src {
		dst[k] = struct{}{}
	}
}
