package lead

import (
	"slices"

	"sluice/base"
	"sluice/cluster/meta"
)

// A partition may have to leave the volume it is on, not this node: the class that its topic asks for has changed, or the volume drains. It is
// moved as to another node, but its heir is this one: HandOver opens it on the volume where it belongs, under the next epoch.

// misplaced reports whether a partition that is served here belongs on another volume of this node.
func (m *machine) misplaced(id meta.PartitionID, p meta.Partition) bool {
	return m.spread[id] || m.img.Misplaced(p)
}

// volumesChanged looks at everything that is served, after something about this node has changed.
func (m *machine) volumesChanged(old *meta.Image, a *actions) {
	m.spreadOut(old)
	for t, parts := range m.held {
		for i, e := range parts {
			if e.phase == serving {
				m.look(meta.PartitionID{Topic: t, Index: i}, a)
			}
		}
	}
}

// spreadOut chooses partitions that are to leave fuller volumes for those that can be used since this image, so that these carry their part.
func (m *machine) spreadOut(old *meta.Image) {
	self, _ := m.img.Node(m.self.ID)
	was, _ := old.Node(m.self.ID)
	on := map[base.NodeEpoch][]meta.PartitionID{}
	classes := map[string]int{} // active volumes of a class, where there is a new one
	for _, v := range self.Volumes {
		if before, ok := was.Volume(v.Epoch); v.State == meta.VolumeActive && (!ok || before.State != meta.VolumeActive) {
			classes[v.Class()] = 0
		}
	}
	if len(classes) == 0 {
		return
	}
	for t, parts := range m.held {
		for i, e := range parts {
			id := meta.PartitionID{Topic: t, Index: i}
			if p, ok := m.img.Partition(t, i); ok && e.phase == serving && !m.img.Misplaced(p) {
				data, _ := m.img.Stream(p.Data)
				on[data.OwnerEpoch] = append(on[data.OwnerEpoch], id)
			}
		}
	}
	total := map[string]int{}
	for _, v := range self.Volumes {
		if _, ok := classes[v.Class()]; ok && v.State == meta.VolumeActive {
			classes[v.Class()]++
			total[v.Class()] += len(on[v.Epoch])
		}
	}
	for _, v := range self.Volumes {
		n := classes[v.Class()]
		if n == 0 || v.State != meta.VolumeActive {
			continue
		}
		fair := (total[v.Class()] + n - 1) / n
		for _, id := range slices.Clone(on[v.Epoch])[min(fair, len(on[v.Epoch])):] {
			m.spread[id] = true
		}
	}
}
