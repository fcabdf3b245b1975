package explore

import (
	"errors"
	"fmt"

	"sluice/base"
	"sluice/cluster/meta"
)

// execute lets the controller decide a call and returns its answer. Equal calls to equal images are decided once.
func (c *cluster) execute(q call) answer {
	if q.kind == callSeal {
		if slot := &c.wals[q.victim][q.trim]; slot.value == 0 {
			*slot = record{value: seal}
		}
		return answer{}
	}
	key := request{c.meta, q}
	a, ok := c.env.memo[key]
	if !ok {
		a = c.env.decide(c.meta, q)
		c.env.memo[key] = a
	}
	c.meta = a.after
	c.remove(q, a)
	return a
}

func (e *env) decide(at *image, q call) answer {
	d := at.img.Draft()
	recs, res, err := d.Execute(e.command(at.img, q), 1)
	code := meta.CodeOf(err)
	if err != nil && code == meta.None {
		panic(err)
	}
	if len(recs) == 0 {
		return answer{code, at, res}
	}
	after := d.Image()
	replayed, err := at.img.Apply(at.img.Pos(), recs)
	if err != nil || string(replayed.AppendSnapshot(nil)) != string(after.AppendSnapshot(nil)) {
		panic(fmt.Sprintf("I8: replaying the records of %v gives another image: %v", q, err))
	}
	if _, err := after.Apply(at.img.Pos(), recs); err == nil {
		panic("I8: records were applied twice")
	}
	return answer{code, e.intern(after), res}
}

// command turns a call into the command it stands for.
func (e *env) command(img *meta.Image, q call) meta.Command {
	node, victim := e.nodes[q.proc], e.nodes[q.victim]
	switch q.kind {
	case callPrepare:
		return &meta.PrepareObjects{Node: node, Count: 1 + int32(min(q.compact.cut, 1))}
	case callCommit:
		return e.commit(img, q)
	case callGrant:
		return &meta.GrantRescue{Victim: victim, Rescuer: node}
	case callComplete:
		return &meta.CompleteRescue{Victim: victim, Grant: uint64(q.grant)}
	case callForget:
		return &meta.ForgetRescue{Victim: victim}
	case callOpen:
		return &meta.OpenPartitions{Node: node, Partitions: []meta.OpenPartition{{Partition: e.partition(q.part), Expected: base.StreamEpoch(q.epoch)}}}
	case callFence:
		return &meta.FenceNode{Node: victim}
	case callAssign:
		return &meta.AssignPartitions{Partitions: []meta.PartitionLeader{{Partition: e.partition(q.part), Leader: node.ID}}}
	case callMove:
		return &meta.MovePartitions{Partitions: []meta.PartitionLeader{{Partition: e.partition(q.part), Leader: node.ID}}}
	case callHandOver:
		end := base.Offset(q.end)
		if p, _ := img.Partition(e.topic, int32(q.part)); e.mistake == handOverEarly {
			s, _ := img.Stream(p.Data)
			end = s.CommittedEnd
		}
		return &meta.HandOver{Node: node, Partitions: []meta.HandedOver{{Partition: e.partition(q.part), Epoch: base.StreamEpoch(q.epoch), DataEnd: end}}}
	case callClose:
		p, _ := img.Partition(e.topic, int32(q.part))
		epoch := base.StreamEpoch(q.epoch)
		return &meta.CloseStreams{Node: node, Closes: []meta.StreamClose{{Stream: p.Data, Epoch: epoch, End: base.Offset(q.end)}, {Stream: p.Meta, Epoch: epoch}}}
	case callTrim:
		p, _ := img.Partition(e.topic, int32(q.part))
		return &meta.TrimStreams{Node: node, Trims: []meta.StreamTrim{{Stream: p.Data, Epoch: base.StreamEpoch(q.epoch), Start: base.Offset(q.end)}}}
	case callCompact:
		return e.compaction(img, q)
	case callExpire:
		return &meta.ExpireObjects{Limit: 100}
	case callReport:
		o, _ := img.Object(base.ObjectID(q.object))
		return &meta.ReportApplied{Node: node, Pos: o.MarkedPos}
	case callRemove:
		return &meta.RemoveObjects{Objects: []base.ObjectID{base.ObjectID(q.object)}}
	}
	panic("no such call")
}

// commit is the command that commits what the call holds, from the WAL of the victim.
func (e *env) commit(img *meta.Image, q call) meta.Command {
	cmd := &meta.CommitUpload{Node: e.nodes[q.victim], Grant: uint64(q.grant), Number: uint64(q.number), Trim: base.WALPos(q.trim)}
	last, rescued := uint64(0), meta.Rescue{}
	if n, ok := img.Node(cmd.Node.ID); ok && !n.Fenced {
		last = n.Volumes[0].LastUpload
	} else if rescued, ok = img.Rescue(cmd.Node); ok {
		last = rescued.LastUpload
	}
	switch e.mistake {
	case noNumberCheck:
		cmd.Number = last + 1
	case noFenceCheck:
		if cmd.Grant == 0 && rescued.State == meta.RescueGranted {
			cmd.Grant = rescued.Grant
		}
	}
	o := meta.UploadObject{ID: base.ObjectID(q.object), Size: 1}
	for part := range int8(e.parts) {
		p, _ := img.Partition(e.topic, int32(part))
		for _, r := range q.held {
			if r.value == 0 || r.part != part {
				continue
			}
			end := base.OffsetRange{Start: base.Offset(r.base), End: base.Offset(r.base) + 1}
			if n := len(o.Ranges); n > 0 && o.Ranges[n-1].Stream == p.Data && o.Ranges[n-1].Epoch == base.StreamEpoch(r.epoch) && o.Ranges[n-1].Range.End == end.Start {
				o.Ranges[n-1].Range.End, o.Ranges[n-1].Bytes = end.End, o.Ranges[n-1].Bytes+1
				continue
			}
			o.Ranges = append(o.Ranges, meta.UploadRange{Stream: p.Data, Epoch: base.StreamEpoch(r.epoch), Range: end, Bytes: 1})
		}
	}
	cmd.Objects = []meta.UploadObject{o}
	return cmd
}

// calls adds the ways a call can go: it is answered; it is executed and the answer is lost; it is executed later, or never.
// Whoever sent it sends it again where the answer did not come.
func (c *cluster) calls(add Add[*cluster], q call, answered func(*cluster, answer) error, name string, args ...any) {
	add(func(c *cluster) error { return answered(c, c.execute(q)) }, name, args...)
	if c.faults == 0 {
		return
	}
	add(func(c *cluster) error { c.faults--; c.execute(q); return nil }, name+", the answer is lost", args...)
	for i := range c.late {
		if c.late[i].kind == noCall {
			add(func(c *cluster) error { c.faults--; c.late[i] = q; return nil }, name+", which will arrive later", args...)
			break
		}
	}
}

// lateSteps adds the arrival of late calls.
func (c *cluster) lateSteps(add Add[*cluster]) {
	for i, q := range c.late {
		if q.kind != noCall {
			add(func(c *cluster) error { c.execute(q); c.late[i] = call{}; return nil }, "the late %v arrives", q)
		}
	}
}

func (q call) String() string {
	who := string('A' + rune(q.proc))
	of := string('A' + rune(q.victim))
	switch q.kind {
	case callPrepare:
		return "prepare of " + who
	case callCommit:
		return fmt.Sprintf("commit %d of %s's WAL by %s", q.number, of, who)
	case callGrant:
		return fmt.Sprintf("grant of %s's rescue to %s", of, who)
	case callComplete:
		return fmt.Sprintf("completion of %s's rescue by %s", of, who)
	case callForget:
		return fmt.Sprintf("end of %s's rescue", of)
	case callOpen:
		return fmt.Sprintf("open of partition %d by %s", q.part, who)
	case callHandOver:
		return fmt.Sprintf("hand-over of partition %d by %s", q.part, who)
	case callClose:
		return fmt.Sprintf("close of partition %d by %s", q.part, who)
	case callTrim:
		return fmt.Sprintf("trim of partition %d to %d by %s", q.part, q.end, who)
	case callCompact:
		return fmt.Sprintf("compaction of partition %d, [%d, %d), by %s", q.compact.part, q.compact.start, q.compact.end, who)
	case callSeal:
		return fmt.Sprintf("seal in slot %d of %s's WAL", q.trim, of)
	}
	return fmt.Sprintf("call %d", q.kind)
}

// Check checks the invariants in one state.
func (c *cluster) Check() error {
	img := c.meta.img
	if err := c.checkViews(); err != nil {
		return err
	}
	for part := range c.env.parts {
		p, _ := img.Partition(c.env.topic, int32(part))
		s, _ := img.Stream(p.Data)
		for off, value := range c.acked[part] {
			if value == 0 || base.Offset(off) < s.Start {
				continue
			}
			var err error
			if base.Offset(off) < s.CommittedEnd {
				err = c.committed(s, part, off, value)
			} else {
				err = c.inWAL(s, part, off, value)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// committed checks that an acknowledged record can be read from its object.
func (c *cluster) committed(s meta.Stream, part, off int, value int8) error {
	for r := range c.meta.img.RangesOf(s.ID, base.Offset(off)) {
		for _, rec := range c.objects[r.Object] {
			if rec.value > 0 && int(rec.part) == part && int(rec.base) == off && c.put[r.Object] {
				if c.removed[part][off] {
					return fmt.Errorf("I6: the record at offset %d of partition %d was removed, and is back in object %d", off, part, r.Object)
				}
				if rec.value != value {
					return fmt.Errorf("I2: offset %d of partition %d was acknowledged as record %d and is committed as %d", off, part, value, rec.value)
				}
				return nil
			}
		}
		if c.removed[part][off] {
			return nil
		}
		return fmt.Errorf("I6: offset %d of partition %d is committed in object %d, which does not hold it", off, part, r.Object)
	}
	return errors.New("I6: a committed offset has no range")
}

// inWAL checks that an acknowledged record that is not committed lies where its owner's rescuer would find it.
func (c *cluster) inWAL(s meta.Stream, part, off int, value int8) error {
	lost := func(why string) error {
		return fmt.Errorf("I1: record %d, acknowledged at offset %d of partition %d, is lost: it is not committed, and %s", value, off, part, why)
	}
	if s.State != meta.Open {
		return lost("the stream is closed")
	}
	owner := meta.NodeRef{ID: s.Owner, Epoch: s.OwnerEpoch}
	trim := base.WALPos(0)
	if n, _ := c.meta.img.Node(s.Owner); n.Ref() == owner && !n.Fenced {
		trim = n.Volumes[0].Trim
	} else if r, ok := c.meta.img.Rescue(owner); ok && r.State != meta.RescueDone {
		trim = r.WALTrim
	} else {
		return lost("its owner's rescue is over")
	}
	wal := &c.wals[c.env.procOf(owner)]
	for slot := int(trim); slot < slotsMax; slot++ {
		switch r := wal[slot]; {
		case r.value == 0:
			return lost(fmt.Sprintf("slot %d of the WAL is empty", slot))
		case r.value == seal:
			return lost(fmt.Sprintf("the WAL is sealed at slot %d", slot))
		case r.value == value:
			return nil
		}
	}
	return lost("no slot of the WAL from the trim on holds it")
}

// End checks that nobody is stuck: every rescue that could still be granted came to its end, and somebody leads every partition.
func (c *cluster) End() error {
	img := c.meta.img
	for r := range img.Rescues() {
		if c.grants == 0 && (r.State == meta.RescuePending || r.State == meta.RescueGranted && !img.Current(r.Rescuer)) {
			return nil
		}
		return fmt.Errorf("the rescue of node %d is %v for ever", r.Victim.ID, r.State)
	}
	if c.lagging() && img.DestroyingCount() > 0 {
		return fmt.Errorf("I7: %d objects are never deleted", img.DestroyingCount())
	}
	for i, n := range c.env.nodes {
		if c.env.appends[i] == 0 || !img.Current(n) {
			continue
		}
		for part := range c.env.parts {
			if p, _ := img.Partition(c.env.topic, int32(part)); c.closed(p) {
				return fmt.Errorf("partition %d is closed for ever", part)
			}
		}
	}
	return nil
}
