package meta

import (
	"sluice/base"
	"sluice/base/seeded"
)

func (m *MovePartitions) decide(d *Draft, _ int64) (Result, *Rejection) {
	if len(m.Partitions) > MaxCommandPartitions {
		return nil, reject(TooLarge, "%d partitions moved at once, at most %d are possible", len(m.Partitions), MaxCommandPartitions)
	}
	once := distinct[PartitionID](len(m.Partitions))
	var assigned, targeted []assignedPart
	res := each(m.Partitions, func(o PartitionLeader) *Rejection {
		p, at, rej := d.img.lookup(o.Partition)
		if rej == nil {
			rej = once(o.Partition)
		}
		if rej != nil {
			return rej
		}
		if o.Leader == p.Leader || o.Leader == base.NoNode {
			if p.Target != base.NoNode {
				targeted = append(targeted, assignedPart{at, base.NoNode})
			}
			return nil
		}
		if n, ok := d.img.nodes.get(o.Leader); !ok || n.Fenced {
			return reject(InvalidAssignment, "node %d is not registered or is fenced", o.Leader)
		}
		data, _ := d.img.streams.get(p.Data)
		aux, _ := d.img.streams.get(p.Meta)
		owner := NodeRef{data.Owner, data.OwnerEpoch}
		switch {
		case data.State == Closed && aux.State == Closed:
			assigned = append(assigned, assignedPart{at, o.Leader})
		case data.State != aux.State || !d.img.Current(owner):
			return reject(StreamsNotClosed, "still open for node %d epoch %d, which is closing or gone", owner.ID, owner.Epoch)
		case p.Target != o.Leader:
			targeted = append(targeted, assignedPart{at, o.Leader})
		}
		return nil
	})
	emitSplit(d, assigned, func(chunk []assignedPart) Record { return &partitionsAssigned{Partitions: chunk} })
	emitSplit(d, targeted, func(chunk []assignedPart) Record { return &partitionsTargeted{Partitions: chunk} })
	return res, nil
}

func (m *HandOver) decide(d *Draft, _ int64) (Result, *Rejection) {
	if rej := d.img.current(m.Node); rej != nil {
		return nil, rej
	}
	if len(m.Partitions) > MaxCommandPartitions {
		return nil, reject(TooLarge, "%d partitions handed over at once, at most %d are possible", len(m.Partitions), MaxCommandPartitions)
	}
	once := distinct[PartitionID](len(m.Partitions))
	var handed []handedPart
	pl := newPlacer(d.img)
	res := each(m.Partitions, func(o HandedOver) *Rejection {
		p, at, rej := d.img.lookup(o.Partition)
		if rej == nil {
			rej = once(o.Partition)
		}
		if rej == nil {
			rej = d.img.mayHandOver(p, m.Node, o)
		}
		if rej == nil {
			pl.leaves(p)
			handed = append(handed, handedPart{part: at, Epoch: o.Epoch + 1, To: pl.on(d.img.heir(p, m.Node), at.Num)})
		}
		return rej
	})
	emitSplit(d, handed, func(chunk []handedPart) Record { return &partitionsHandedOver{From: m.Node, Partitions: chunk} })
	return res, nil
}

// mayHandOver checks that the node epoch has both streams open under the epoch, and that everything is committed.
func (img *Image) mayHandOver(p *Partition, node NodeRef, o HandedOver) *Rejection {
	if p.LeaderEpoch != o.Epoch {
		return reject(StaleEpoch, "the leader epoch is %d, not %d", p.LeaderEpoch, o.Epoch)
	}
	data, _ := img.streams.get(p.Data)
	aux, _ := img.streams.get(p.Meta)
	for _, s := range [...]*Stream{data, aux} {
		if s.State != Open || !img.owns(node, s) {
			return reject(NotOwner, "stream %d is %s, its owner is node %d epoch %d", s.ID, s.State, s.Owner, s.OwnerEpoch)
		}
	}
	if seeded.Bug(seeded.HandOverUnchecked) {
		return nil
	}
	if data.CommittedEnd != o.DataEnd || aux.CommittedEnd != o.MetaEnd {
		return reject(NotCommitted, "committed up to %d and %d, it cannot be handed over at %d and %d", data.CommittedEnd, aux.CommittedEnd, o.DataEnd, o.MetaEnd)
	}
	return nil
}

// heir returns who gets a partition: its target or, where that is not wanted any more or gone, the node that has it.
func (img *Image) heir(p *Partition, from NodeRef) *Node {
	if n, ok := img.nodes.get(p.Target); ok && !n.Fenced {
		return n
	}
	n, _ := img.nodes.get(from.ID)
	return n
}
