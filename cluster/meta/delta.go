package meta

import "sluice/base"

// Delta is what changed between two images that follow each other, so that followers need not compare them.
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

// DeltaFrom returns what changed since old, which must be the image before this one as Subscribe delivers them. It returns nil
// where that is not known; then anything may have changed.
func (img *Image) DeltaFrom(old *Image) *Delta {
	if old == nil || img.delta == nil || img.delta.From != old.pos {
		return nil
	}
	return img.delta
}

// MergedWith returns an image equal to img whose delta reaches back to where the delta of the image before it begins, so that a
// follower may skip that image.
func (img *Image) MergedWith(before *Image) *Image {
	c := *img
	c.delta = nil
	if before.delta != nil && img.delta != nil && img.delta.From == before.pos {
		c.delta = before.delta.merge(img.delta)
	}
	return &c
}

func newDelta(from base.MetaPos) *Delta {
	return &Delta{From: from, Topics: map[base.UUID]struct{}{}, Partitions: map[PartitionID]struct{}{}, Nodes: map[base.NodeID]struct{}{}}
}

func (d *Delta) merge(e *Delta) *Delta {
	m := newDelta(d.From)
	m.To, m.Rescues, m.Configs = e.To, d.Rescues || e.Rescues, d.Configs || e.Configs
	for _, x := range []*Delta{d, e} {
		union(m.Topics, x.Topics)
		union(m.Partitions, x.Partitions)
		union(m.Nodes, x.Nodes)
	}
	return m
}

func union[K comparable](dst, src map[K]struct{}) {
	for k := range src {
		dst[k] = struct{}{}
	}
}
