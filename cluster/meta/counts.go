package meta

import "sluice/base"

// The counts of what a node leads and has open are derived from partitions and streams and kept beside them: every apply function that
// changes a leader, or opens or closes a stream, changes them too. What belongs to a deleted topic does not count.

// opened is how many streams a volume has open.
type opened struct {
	node base.NodeID
	n    int
}

// Led returns how many partitions have the node as their leader, open or not. Cheap.
func (img *Image) Led(id base.NodeID) int {
	n, _ := img.led.get(id)
	return n
}

// OpenOn returns how many streams are open on all volumes of a node, two per partition. Cheap.
func (img *Image) OpenOn(n *Node) (count int) {
	for _, v := range n.Volumes {
		count += img.OpenStreams(NodeRef{n.ID, v.Epoch})
	}
	return count
}

// OpenStreams returns how many streams are open on a volume, which is named by its node and its epoch. Cheap.
func (img *Image) OpenStreams(ref NodeRef) int {
	o, _ := img.open.get(ref.Epoch)
	if o.node != ref.ID {
		return 0
	}
	return o.n
}

func (img *Image) countLed(id base.NodeID, by int) {
	if id == base.NoNode {
		return
	}
	n, _ := img.led.get(id)
	if n += by; n == 0 {
		img.led.delete(id)
		return
	}
	img.led.set(id, n)
}

func (img *Image) countOpen(s *Stream, by int) {
	o, _ := img.open.get(s.OwnerEpoch)
	if o.n += by; o.n == 0 {
		img.open.delete(s.OwnerEpoch)
		return
	}
	o.node = s.Owner
	img.open.set(s.OwnerEpoch, o)
}

// gone reports whether the topic of that number is deleted.
func (img *Image) gone(num uint32) bool {
	t, ok := img.topics.get(num)
	return !ok || t.deleted
}

// uncount takes the partitions of a topic that is being deleted out of the counts. It looks at each of them.
func (d *Draft) uncount(num uint32) {
	d.img.partitions.each(partitionKey(num, 0), func(k uint64, p *Partition) bool {
		if uint32(k>>32) != num {
			return false
		}
		d.img.countLed(p.Leader, -1)
		for _, id := range [...]base.StreamID{p.Data, p.Meta} {
			if s, _ := d.img.streams.get(id); s.State == Open {
				d.img.countOpen(s, -1)
			}
		}
		return true
	})
}
