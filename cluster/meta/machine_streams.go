package meta

import "sluice/base"

// owned checks that the node, or one of its volumes, has the stream open under the epoch. ok is false without a rejection for a deleted stream.
func (img *Image) owned(id base.StreamID, epoch base.StreamEpoch, node NodeRef) (s *Stream, ok bool, rej *Rejection) {
	s, ok = img.stream(id)
	switch {
	case !ok && id < img.nextStream:
		return nil, false, nil
	case !ok:
		return nil, false, reject(InvalidCommand, "stream %d never existed", id)
	case s.Epoch != epoch:
		return nil, false, reject(StaleEpoch, "stream %d: epoch %d is over, the present one is %d", id, epoch, s.Epoch)
	case !img.owns(node, s):
		return nil, false, reject(NotOwner, "stream %d is owned by node %d epoch %d", id, s.Owner, s.OwnerEpoch)
	}
	return s, true, nil
}

func (m *TrimStreams) decide(d *Draft, nowMS int64) (Result, *Rejection) {
	if _, rej := d.img.sender(m.Node); rej != nil {
		return nil, rej
	}
	if len(m.Trims) > 2*MaxCommandPartitions {
		return nil, reject(TooLarge, "%d streams trimmed at once, at most %d are possible", len(m.Trims), 2*MaxCommandPartitions)
	}
	var trims []trimmedStream
	res := each(m.Trims, func(t StreamTrim) *Rejection {
		s, ok, rej := d.img.owned(t.Stream, t.Epoch, m.Node)
		switch {
		case !ok:
			return rej
		case s.State != Open:
			return reject(NotOwner, "stream %d is closed", t.Stream)
		case t.Start > s.CommittedEnd:
			return reject(NotCommitted, "stream %d is committed up to %d, it cannot be trimmed to %d", t.Stream, s.CommittedEnd, t.Start)
		case t.Start > s.Start:
			trims = append(trims, trimmedStream{t.Stream, t.Start})
		}
		return nil
	})
	emitSplit(d, trims, func(chunk []trimmedStream) Record { return &streamsTrimmed{Streams: chunk, MS: nowMS} })
	return res, nil
}

func (m *CloseStreams) decide(d *Draft, _ int64) (Result, *Rejection) {
	if _, rej := d.img.sender(m.Node); rej != nil {
		return nil, rej
	}
	if len(m.Closes) > 2*MaxCommandPartitions {
		return nil, reject(TooLarge, "%d streams closed at once, at most %d are possible", len(m.Closes), 2*MaxCommandPartitions)
	}
	var closes []base.StreamID
	res := each(m.Closes, func(t StreamClose) *Rejection {
		s, ok, rej := d.img.owned(t.Stream, t.Epoch, m.Node)
		switch {
		case !ok:
			return rej
		case t.End != s.CommittedEnd:
			return reject(NotCommitted, "stream %d is committed up to %d, it cannot be closed at %d", t.Stream, s.CommittedEnd, t.End)
		case s.State == Open:
			closes = append(closes, t.Stream)
		}
		return nil
	})
	emitSplit(d, closes, func(chunk []base.StreamID) Record { return &streamsClosed{Streams: chunk} })
	return res, nil
}

func (m *ExpireObjects) decide(d *Draft, nowMS int64) (Result, *Rejection) {
	var ids []base.ObjectID
	for o := range d.img.Prepared() {
		if len(ids) >= int(m.Limit) || nowMS-o.PreparedMS < m.AgeMS {
			break
		}
		ids = append(ids, o.ID)
	}
	emitSplit(d, ids, func(chunk []base.ObjectID) Record { return &objectsMarked{Objects: chunk, MS: nowMS} })
	return &Worked{len(ids)}, nil
}

func (m *RemoveObjects) decide(d *Draft, _ int64) (Result, *Rejection) {
	once := distinct[base.ObjectID](len(m.Objects))
	var ids []base.ObjectID
	for _, id := range m.Objects {
		o, ok := d.img.objects.get(id)
		switch {
		case !ok || once(id) != nil:
			continue
		case o.State != Destroying:
			return nil, reject(InvalidCommand, "object %s is %s, it must not be removed", id, o.State)
		}
		ids = append(ids, id)
	}
	emitSplit(d, ids, func(chunk []base.ObjectID) Record { return &objectsRemoved{Objects: chunk} })
	return &Done{}, nil
}

// decide walks over the partitions of the oldest deleted topic and takes away as many as the limit allows, counting one for each
// partition and one for each range; of a partition that is too large on its own, only ranges.
func (m *ReapTopics) decide(d *Draft, nowMS int64) (Result, *Rejection) {
	num, _, ok := d.img.deleted.m.Min()
	if !ok || m.Limit < 1 {
		return &Worked{}, nil
	}
	budget, from, to, last := int(m.Limit), int32(-1), int32(-1), true
	d.img.partitions.each(partitionKey(num, 0), func(k uint64, p *Partition) bool {
		if uint32(k>>32) != num {
			return false
		}
		cost := 1 + d.img.rangesIn(p.Data) + d.img.rangesIn(p.Meta)
		if cost > budget && (from >= 0 || cost > int(m.Limit)) {
			last = false
			if from < 0 {
				from, to = p.Index, p.Index
			}
			return false
		}
		if from < 0 {
			from = p.Index
		}
		to, budget = p.Index+1, budget-cost
		return true
	})
	if from == to && !last {
		return d.reapRanges(partitionKey(num, from), int(m.Limit), nowMS), nil
	}
	d.emit(&partitionsReaped{Num: num, From: max(from, 0), To: max(to, 0), Last: last, MS: nowMS})
	return &Worked{int(m.Limit) - budget + 1}, nil
}

func (img *Image) rangesIn(id base.StreamID) int {
	s, _ := img.streams.get(id)
	return s.ranges.len()
}

func (d *Draft) reapRanges(key uint64, limit int, nowMS int64) Result {
	p, _ := d.img.partitions.get(key)
	for _, id := range [...]base.StreamID{p.Data, p.Meta} {
		if n := min(limit, d.img.rangesIn(id)); n > 0 {
			d.emit(&rangesReaped{Stream: id, Count: uint32(n), MS: nowMS})
			return &Worked{n}
		}
	}
	panic("BUG: meta: partition is too large to be reaped but has no ranges")
}
