package explore

import (
	"fmt"

	"sluice/base"
	"sluice/cluster/meta"
)

var names = [procsMax]string{"A", "B", "C"}

// Steps adds everything that can happen next.
func (c *cluster) Steps(add Add[*cluster]) {
	for i := range int8(procsMax) {
		if !c.procs[i].over {
			c.ownerSteps(add, i)
			c.uploadSteps(add, i)
			c.rescueSteps(add, i)
			c.compactSteps(add, i)
		}
		if c.env.lags[i] && c.meta.img.Current(c.env.nodes[i]) {
			c.viewSteps(add, i)
		}
	}
	c.controllerSteps(add)
	c.lateSteps(add)
}

// append puts a record into the next slot of the process's WAL, and acknowledges it.
func (c *cluster) append(i, part int8) error {
	p := &c.procs[i]
	r := &p.roles[part]
	slot := &c.wals[i][p.next]
	if slot.value != 0 {
		if slot.value != seal {
			return fmt.Errorf("slot %d of %s's WAL is taken by a record", p.next, names[i])
		}
		p.over = true
		return nil
	}
	c.values++
	*slot = record{c.values, part, r.epoch, r.next}
	if c.acked[part][r.next] != 0 {
		return fmt.Errorf("I2: offset %d of partition %d is acknowledged twice, as record %d and as %d", r.next, part, c.acked[part][r.next], c.values)
	}
	pt, _ := c.meta.img.Partition(c.env.topic, int32(part))
	if s, _ := c.meta.img.Stream(pt.Data); s.Epoch != base.StreamEpoch(r.epoch) || s.State != meta.Open {
		return fmt.Errorf("I3: %s is acknowledged under epoch %d of partition %d, which is %v under epoch %d", names[i], r.epoch, part, s.State, s.Epoch)
	}
	c.acked[part][r.next] = c.values
	r.next++
	p.next++
	p.left--
	return nil
}

// uploadSteps: a process freezes what its WAL holds, prepares, puts and commits it, and trims the WAL.
func (c *cluster) uploadSteps(add Add[*cluster], i int8) {
	p := &c.procs[i]
	for k := range c.env.uploads {
		u := p.uploads[k]
		if u.phase == idle {
			if p.frozen < p.next && p.number < c.env.uploadsAll {
				add(func(c *cluster) error { c.freeze(i, k); return nil }, "%s freezes slots %d to %d as upload %d", names[i], p.frozen, p.next-1, p.number+1)
			}
			break // the next ones are alike
		}
	}
	for k := range c.env.uploads {
		c.uploadStep(add, i, k)
	}
	if p.deleted < p.trim {
		add(func(c *cluster) error { c.deleteSlots(i, c.procs[i].trim); return nil }, "%s deletes the slots below %d", names[i], p.trim)
	}
}

func (c *cluster) freeze(i, k int8) {
	p := &c.procs[i]
	p.number++
	p.uploads[k] = upload{phase: preparing, number: p.number, from: p.frozen, to: p.next}
	p.frozen = p.next
}

func (c *cluster) deleteSlots(i, to int8) {
	c.procs[i].deleted = to
	for slot := int8(1); slot < to; slot++ {
		c.wals[i][slot] = record{}
	}
}

// blocks is what the slots [from, to) of a WAL hold.
func (c *cluster) blocks(i, from, to int8) (held content) {
	copy(held[:], c.wals[i][from:to])
	return held
}

func (c *cluster) uploadStep(add Add[*cluster], i, k int8) {
	u := c.procs[i].uploads[k]
	over := func(c *cluster, a answer) bool {
		if a.code == meta.StaleEpoch {
			c.procs[i].over = true
		}
		return a.code != meta.None
	}
	switch u.phase {
	case preparing:
		c.calls(add, call{kind: callPrepare, proc: i}, func(c *cluster, a answer) error {
			if !over(c, a) {
				c.procs[i].uploads[k].object = int8(a.res.(*meta.ObjectsPrepared).First)
				c.procs[i].uploads[k].phase = putting
			}
			return nil
		}, "%s prepares an object for upload %d", names[i], u.number)
	case putting:
		add(func(c *cluster) error {
			c.objects[u.object], c.put[u.object] = c.blocks(i, u.from, u.to), true
			c.procs[i].uploads[k].phase = committing
			if c.env.mistake == trimAhead {
				c.procs[i].trim = max(c.procs[i].trim, u.to)
			}
			return nil
		}, "%s puts the object of upload %d", names[i], u.number)
	case committing:
		q := call{kind: callCommit, proc: i, victim: i, number: u.number, trim: u.to, object: u.object, held: c.objects[u.object]}
		c.calls(add, q, func(c *cluster, a answer) error {
			p := &c.procs[i]
			switch {
			case a.code == meta.ObjectNotPrepared:
				p.uploads[k].phase = preparing
			case a.code == meta.UploadGap && c.env.uploads > 1: // sent before its turn: once more
			case a.code == meta.None:
				p.uploads[k] = upload{}
				p.trim = max(p.trim, u.to)
				p.settle(q.held)
			case !over(c, a) || !p.over:
				return fmt.Errorf("commit %d of %s is refused: %v", u.number, names[i], a.code)
			}
			return nil
		}, "%s commits upload %d", names[i], u.number)
	}
}

// controllerSteps: nodes are fenced, partitions whose streams are closed are given away, objects expire.
func (c *cluster) controllerSteps(add Add[*cluster]) {
	simple := func(q call, name string, args ...any) {
		add(func(c *cluster) error {
			if a := c.execute(q); a.code != meta.None {
				return fmt.Errorf("%v", a.code)
			}
			return nil
		}, name, args...)
	}
	for i := range int8(procsMax) {
		if c.env.fences[i] && c.meta.img.Current(c.env.nodes[i]) {
			simple(call{kind: callFence, victim: i}, "%s is fenced", names[i])
		}
	}
	for part := range int8(c.env.parts) {
		p, _ := c.meta.img.Partition(c.env.topic, int32(part))
		n, ok := c.meta.img.Node(p.Leader)
		if ok && !n.Fenced || !c.closed(p) {
			continue
		}
		for i := range int8(procsMax) {
			if c.env.appends[i] > 0 && c.meta.img.Current(c.env.nodes[i]) {
				simple(call{kind: callAssign, proc: i, part: part}, "partition %d is given to %s", part, names[i])
			}
		}
	}
	c.moveSteps(add)
	if c.expiries > 0 && c.meta.img.PreparedCount() > 0 {
		add(func(c *cluster) error { c.expiries--; c.execute(call{kind: callExpire}); return nil }, "the prepared objects expire")
	}
	if c.lagging() {
		c.deleteSteps(add)
		return
	}
	for o := range c.meta.img.Destroying() {
		if c.put[o.ID] {
			add(func(c *cluster) error { c.put[o.ID], c.objects[o.ID] = false, content{}; return nil }, "object %d is deleted", o.ID)
		}
	}
}
