package meta

import "sluice/base"

// The commit of an upload is checked in this order, and the order matters:
//
//  1. The sender: the node epoch is current and not fenced, and has the volume, or the grant is the newest of a rescue that goes on and its holder is
//     current. So a zombie learns that it is one, whatever else it got wrong.
//  2. The number: not above the last committed one means that this upload took effect before; it is answered as then, before
//     anything else could refuse it, for its objects are no longer prepared and its ranges no longer above the committed ends.
//     A number that leaves a gap is an error of the sender.
//  3. The objects: every one still prepared. One that expired may have been deleted meanwhile; nothing of the upload is committed
//     and the bytes go up again under a new id.
//  4. The ranges, one by one, against the committed end that the ranges before it leave: of a deleted stream, skipped; of a stream
//     that is not open on that volume under that stream epoch, skipped; wholly below the committed end, skipped; beginning above
//     it, an error, for something between was lost by the sender; else committed from the committed end on.
//
// Then number and trim move, also if every range was skipped: what the WAL holds below the trim is committed or of no use.
type uploadPlan struct {
	res     UploadDone
	skips   []skip
	ranges  []committedRange
	objects []committedObject
	unused  []base.ObjectID
	ends    map[base.StreamID]base.Offset
}

func (m *CommitUpload) decide(d *Draft, nowMS int64) (Result, *Rejection) {
	last, trim, skips, rej := d.img.uploads(m.Node, m.Grant)
	if rej != nil {
		return nil, rej
	}
	count := 0
	for _, o := range m.Objects {
		count += len(o.Ranges)
	}
	switch {
	case m.Number <= last:
		return duplicate(count, m.Number == last, skips), nil
	case m.Number != last+1:
		return nil, reject(UploadGap, "upload %d of node %d epoch %d does not follow %d", m.Number, m.Node.ID, m.Node.Epoch, last)
	case count > MaxUploadRanges || len(m.Objects) > MaxPrepare:
		return nil, reject(TooLarge, "upload of %d objects with %d ranges", len(m.Objects), count)
	}
	once := distinct[base.ObjectID](len(m.Objects))
	for _, o := range m.Objects {
		if rej := once(o.ID); rej != nil {
			return nil, rej
		}
		if p, ok := d.img.objects.get(o.ID); !ok || p.State != Prepared {
			return nil, reject(ObjectNotPrepared, "object %s is not prepared, or has expired: upload anew", o.ID)
		}
	}
	plan, rej := m.plan(d.img, count)
	if rej != nil {
		return nil, rej
	}
	d.emit(&uploadCommitted{Node: m.Node, Number: m.Number, Trim: max(m.Trim, trim), Objects: plan.objects, Unused: plan.unused,
		Skips: plan.skips, MS: nowMS})
	emitSplit(d, plan.ranges, func(chunk []committedRange) Record { return &rangesCommitted{Ranges: chunk} })
	return &plan.res, nil
}

// uploads checks the sender and returns where the uploads from the volume stand.
func (img *Image) uploads(node NodeRef, grant uint64) (last uint64, trim base.WALPos, skips []skip, rej *Rejection) {
	if grant == 0 {
		n, rej := img.sender(node)
		if rej != nil {
			return 0, 0, nil, rej
		}
		v := n.volume(node.Epoch)
		if v == nil {
			return 0, 0, nil, reject(StaleEpoch, "node %d has no volume %d any more", node.ID, node.Epoch)
		}
		return v.LastUpload, v.Trim, v.lastSkips, nil
	}
	if rej := img.grant(node, grant); rej != nil {
		return 0, 0, nil, rej
	}
	r, _ := img.rescues.get(rescueKey(node))
	return r.LastUpload, r.WALTrim, r.lastSkips, nil
}

// duplicate answers an upload that took effect before. Verdicts are kept of the last one only: nobody waits for an older one, for
// the next is sent only after the answer to it.
func duplicate(count int, last bool, skips []skip) *UploadDone {
	res := &UploadDone{Duplicate: true, Verdicts: make([]Verdict, count)}
	if last {
		for _, s := range skips {
			if int(s.index) < count {
				res.Verdicts[s.index] = s.verdict
			}
		}
	}
	return res
}

func (m *CommitUpload) plan(img *Image, count int) (*uploadPlan, *Rejection) {
	p := &uploadPlan{ends: make(map[base.StreamID]base.Offset, count), ranges: make([]committedRange, 0, count)}
	p.res.Verdicts = make([]Verdict, 0, count)
	for _, o := range m.Objects {
		if o.Size < 0 || o.Kind > SO {
			return nil, reject(InvalidCommand, "object %s: size %d, kind %d", o.ID, o.Size, o.Kind)
		}
		before := len(p.ranges)
		for _, r := range o.Ranges {
			if rej := p.add(img, m.Node, o.ID, r); rej != nil {
				return nil, rej
			}
		}
		if len(p.ranges) == before {
			p.unused = append(p.unused, o.ID)
		} else {
			p.objects = append(p.objects, committedObject{ID: o.ID, Size: o.Size, Kind: o.Kind})
		}
	}
	return p, nil
}

// add decides one range.
func (p *uploadPlan) add(img *Image, node NodeRef, object base.ObjectID, r UploadRange) *Rejection {
	if r.Range.Empty() || r.Range.Start < 0 || r.Bytes < 0 {
		return reject(InvalidCommand, "stream %d: range %v of %d bytes", r.Stream, r.Range, r.Bytes)
	}
	s, ok := img.stream(r.Stream)
	switch {
	case !ok:
		p.skip(VerdictDeleted)
		return nil
	case s.State != Open || s.Owner != node.ID || s.OwnerEpoch != node.Epoch || s.Epoch != r.Epoch:
		p.skip(VerdictNotOwned)
		return nil
	}
	end, ok := p.ends[r.Stream]
	if !ok {
		end = s.CommittedEnd
	}
	switch {
	case r.Range.End <= end:
		p.skip(VerdictBelow)
		return nil
	case r.Range.Start > end:
		return reject(UploadGap, "stream %d: range %v begins above the committed end %d", r.Stream, r.Range, end)
	}
	p.res.Verdicts = append(p.res.Verdicts, VerdictCommitted)
	p.ends[r.Stream] = r.Range.End
	p.ranges = append(p.ranges, committedRange{Stream: r.Stream, Count: uint64(r.Range.End - end), Object: object, Bytes: r.Bytes,
		MaxTimestamp: r.MaxTimestamp})
	return nil
}

func (p *uploadPlan) skip(v Verdict) {
	p.skips = append(p.skips, skip{index: uint32(len(p.res.Verdicts)), verdict: v})
	p.res.Verdicts = append(p.res.Verdicts, v)
}

func (m *PrepareObjects) decide(d *Draft, nowMS int64) (Result, *Rejection) {
	n, rej := d.img.sender(m.Node)
	if rej != nil {
		return nil, rej
	}
	if m.Count < 1 || m.Count > MaxPrepare {
		return nil, reject(InvalidCommand, "%d objects to prepare, possible are 1 to %d", m.Count, MaxPrepare)
	}
	first := d.img.nextObject
	d.emit(&objectsPrepared{Node: n.Ref(), First: first, Count: uint32(m.Count), MS: nowMS})
	return &ObjectsPrepared{First: first, Count: m.Count}, nil
}
