package meta

import "sluice/base"

func (m *OpenPartitions) decide(d *Draft, _ int64) (Result, *Rejection) {
	if rej := d.img.current(m.Node); rej != nil {
		return nil, rej
	}
	if len(m.Partitions) > MaxCommandPartitions {
		return nil, reject(TooLarge, "%d partitions opened at once, at most %d are possible", len(m.Partitions), MaxCommandPartitions)
	}
	res := &PartitionsOpened{Partitions: make([]OpenedPartition, len(m.Partitions))}
	once := distinct[PartitionID](len(m.Partitions))
	n, _ := d.img.nodes.get(m.Node.ID)
	pl, open := newPlacer(d.img), map[NodeRef][]openedPart{}
	for i, o := range m.Partitions {
		p, at, rej := d.img.lookup(o.Partition)
		if rej == nil {
			rej = once(o.Partition)
		}
		fresh := false
		if rej == nil {
			fresh, rej = d.img.mayOpen(p, m.Node, o.Expected)
		}
		if res.Partitions[i].Err = rej; rej == nil && fresh {
			to := pl.on(n, at.Num)
			open[to] = append(open[to], openedPart{part: at, Epoch: o.Expected + 1, Serve: m.ServeEmpty && d.img.empty(p)})
		}
	}
	for _, v := range n.Volumes { // in an order that does not change
		to := NodeRef{n.ID, v.Epoch}
		emitSplit(d, open[to], func(chunk []openedPart) Record { return &partitionsOpened{Node: to, Partitions: chunk} })
	}
	for i, o := range m.Partitions {
		if out := &res.Partitions[i]; out.Err == nil {
			p, _ := d.img.partition(o.Partition)
			data, _ := d.img.streams.get(p.Data)
			aux, _ := d.img.streams.get(p.Meta)
			out.Partition, out.Data, out.Meta = *p, *data, *aux
			out.Data.ranges, out.Meta.ranges = rangeList{}, rangeList{}
		}
	}
	return res, nil
}

// mayOpen checks one partition. fresh is false when this very open was done before: the same owner, one epoch later, still open.
// The owner has not used that epoch then, for it never learned it.
func (img *Image) mayOpen(p *Partition, node NodeRef, expected base.StreamEpoch) (fresh bool, rej *Rejection) {
	data, _ := img.streams.get(p.Data)
	aux, _ := img.streams.get(p.Meta)
	ours := img.owns(node, data)
	switch {
	case p.Leader != node.ID:
		return false, reject(NotLeader, "the leader is node %d, not %d", p.Leader, node.ID)
	case p.LeaderEpoch == expected+1 && ours && data.State == Open && aux.State == Open:
		return false, nil
	case p.LeaderEpoch != expected:
		return false, reject(StaleEpoch, "the leader epoch is %d, not %d", p.LeaderEpoch, expected)
	case data.State != Closed || aux.State != Closed:
		return false, reject(StreamsNotClosed, "still open for node %d epoch %d", data.Owner, data.OwnerEpoch)
	}
	return true, nil
}

// empty reports whether nothing was ever committed to the partition.
func (img *Image) empty(p *Partition) bool {
	data, _ := img.streams.get(p.Data)
	aux, _ := img.streams.get(p.Meta)
	return data.CommittedEnd == 0 && aux.CommittedEnd == 0
}

func (m *ServePartitions) decide(d *Draft, _ int64) (Result, *Rejection) {
	if rej := d.img.current(m.Node); rej != nil {
		return nil, rej
	}
	var serve []part
	res := each(m.Partitions, func(o EpochPartition) *Rejection {
		p, at, rej := d.img.lookup(o.Partition)
		if rej != nil {
			return rej
		}
		data, _ := d.img.streams.get(p.Data)
		switch {
		case p.LeaderEpoch != o.Epoch:
			return reject(StaleEpoch, "the leader epoch is %d, not %d", p.LeaderEpoch, o.Epoch)
		case p.Leader != m.Node.ID || !d.img.owns(m.Node, data) || p.State == Assigned:
			return reject(NotLeader, "node %d has not opened the partition", m.Node.ID)
		case p.State == Opening:
			serve = append(serve, at)
		}
		return nil
	})
	emitSplit(d, serve, func(chunk []part) Record { return &partitionsServed{Partitions: chunk} })
	return res, nil
}

func (m *AssignPartitions) decide(d *Draft, _ int64) (Result, *Rejection) {
	if len(m.Partitions) > MaxCommandPartitions {
		return nil, reject(TooLarge, "%d partitions assigned at once, at most %d are possible", len(m.Partitions), MaxCommandPartitions)
	}
	var moved []assignedPart
	res := each(m.Partitions, func(o PartitionLeader) *Rejection {
		p, at, rej := d.img.lookup(o.Partition)
		if rej != nil {
			return rej
		}
		if n, ok := d.img.nodes.get(o.Leader); o.Leader != base.NoNode && (!ok || n.Fenced) {
			return reject(InvalidAssignment, "node %d is not registered or is fenced", o.Leader)
		}
		data, _ := d.img.streams.get(p.Data)
		aux, _ := d.img.streams.get(p.Meta)
		switch {
		case p.Leader == o.Leader:
			return nil
		case data.State != Closed || aux.State != Closed:
			return reject(StreamsNotClosed, "still open for node %d epoch %d", data.Owner, data.OwnerEpoch)
		}
		moved = append(moved, assignedPart{at, o.Leader})
		return nil
	})
	emitSplit(d, moved, func(chunk []assignedPart) Record { return &partitionsAssigned{Partitions: chunk} })
	return res, nil
}
