package explore

import (
	"fmt"

	"sluice/base"
	"sluice/cluster/meta"
)

// ownerSteps: a process opens or takes what it leads, appends, and closes or hands over.
func (c *cluster) ownerSteps(add Add[*cluster], i int8) {
	p := &c.procs[i]
	for part := range int8(c.env.parts) {
		r := p.roles[part]
		pt, _ := c.meta.img.Partition(c.env.topic, int32(part))
		switch {
		case r.open:
			paused := r.leaving != noCall && (c.env.mistake != appendAfterSent || !r.sent)
			if p.left > 0 && p.next < slotsMax && !paused {
				add(func(c *cluster) error { return c.append(i, part) }, "%s appends to partition %d", names[i], part)
			}
			c.leaveSteps(add, i, part, pt)
			c.trimSteps(add, i, part)
		case c.given(i, part, pt):
			add(func(c *cluster) error { c.take(i, part); return nil }, "%s takes partition %d, which is open for it", names[i], part)
		case r.opening:
			c.openSteps(add, i, part, r.expected)
		case pt.Leader == c.env.nodes[i].ID && c.closed(pt):
			c.openSteps(add, i, part, int8(pt.LeaderEpoch))
		}
	}
}

func (c *cluster) stream(part int8) meta.Stream {
	p, _ := c.meta.img.Partition(c.env.topic, int32(part))
	s, _ := c.meta.img.Stream(p.Data)
	return s
}

func (c *cluster) closed(p meta.Partition) bool {
	s, _ := c.meta.img.Stream(p.Data)
	return s.State == meta.Closed
}

// given reports whether the streams are open for the process under an epoch that it has not had yet: they were handed over, or the answer
// to its open was lost. It is what broker/lead decides.
func (c *cluster) given(i, part int8, p meta.Partition) bool {
	self := c.env.nodes[i]
	if c.env.mistake == takenEarly && p.Target == self.ID {
		return true
	}
	if n, _ := c.meta.img.Node(p.Leader); c.env.mistake == takenFenced && n.Fenced && c.env.appends[i] > 0 && c.procs[i].roles[part].spent == 0 {
		return true
	}
	s := c.stream(part)
	return p.Leader == self.ID && p.State != meta.Assigned && s.State == meta.Open && s.Owner == self.ID && s.OwnerEpoch == self.Epoch &&
		int8(s.Epoch) >= c.procs[i].roles[part].spent
}

// take attaches the streams at their committed end.
func (c *cluster) take(i, part int8) {
	s := c.stream(part)
	end := int8(s.CommittedEnd)
	c.procs[i].roles[part] = role{open: true, epoch: int8(s.Epoch), next: end, committed: end, spent: int8(s.Epoch) + 1}
}

func (c *cluster) openSteps(add Add[*cluster], i, part, expected int8) {
	q := call{kind: callOpen, proc: i, part: part, epoch: expected}
	lost := c.faults
	c.calls(add, q, func(c *cluster, a answer) error {
		r := &c.procs[i].roles[part]
		r.opening = false
		switch {
		case a.code == meta.StaleEpoch:
			c.procs[i].over = true
		case a.code != meta.None:
			return fmt.Errorf("open: %v", a.code)
		case a.res.(*meta.PartitionsOpened).Partitions[0].Err == nil:
			c.take(i, part)
		}
		return nil
	}, "%s opens partition %d", names[i], part)
	if r := c.procs[i].roles[part]; lost > 0 && !r.opening {
		// the same open is sent again even when the image has gone on: the answer is awaited under the epoch that was expected
		add(func(c *cluster) error {
			c.faults--
			c.execute(q)
			c.procs[i].roles[part].opening, c.procs[i].roles[part].expected = true, expected
			return nil
		}, "%s opens partition %d, the answer is lost and it insists", names[i], part)
	}
}

// leaveSteps: appends are paused; when everything is committed the hand-over or the close is sent, and from then on only its answer counts.
func (c *cluster) leaveSteps(add Add[*cluster], i, part int8, p meta.Partition) {
	r := c.procs[i].roles[part]
	pause := func(kind callKind, name string) {
		add(func(c *cluster) error {
			if kind == callClose {
				c.closes--
			}
			c.procs[i].roles[part].leaving = kind
			return nil
		}, name, names[i], part)
	}
	switch {
	case r.leaving == noCall:
		if p.Target != base.NoNode && p.Target != c.env.nodes[i].ID {
			pause(callHandOver, "%s pauses partition %d to hand it over")
		}
		if c.closes > 0 {
			pause(callClose, "%s pauses partition %d to close it")
		}
		return
	case !r.sent:
		if r.leaving == callHandOver {
			add(func(c *cluster) error { c.procs[i].roles[part].leaving = noCall; return nil }, "%s resumes partition %d", names[i], part)
		}
		if r.committed != r.next && c.env.mistake != handOverEarly {
			return
		}
		add(func(c *cluster) error {
			c.procs[i].roles[part].sent, c.procs[i].roles[part].end = true, r.next
			return nil
		}, "%s ends partition %d at offset %d", names[i], part, r.next)
		return
	}
	q := call{kind: r.leaving, proc: i, part: part, epoch: r.epoch, end: r.end}
	c.calls(add, q, func(c *cluster, a answer) error {
		if a.code != meta.None {
			c.procs[i].over = a.code == meta.StaleEpoch
			return nil
		}
		if err := a.res.(*meta.Outcomes).Errs[0]; err != nil && err.Code != meta.StaleEpoch && err.Code != meta.NotOwner {
			return fmt.Errorf("%v: %w", q, err)
		}
		c.procs[i].roles[part] = role{spent: r.spent}
		return nil
	}, "%s sends the %v", names[i], q)
}

// settle takes the answer to a commit: what was committed, or had been before, is.
func (p *proc) settle(held content) {
	for _, r := range held {
		if role := &p.roles[r.part]; r.value > 0 && role.open && role.epoch == r.epoch {
			role.committed = max(role.committed, r.base+1)
		}
	}
}

// moveSteps: the controller wants a partition to be moved, or not to be moved after all.
func (c *cluster) moveSteps(add Add[*cluster]) {
	if c.moves == 0 {
		return
	}
	for part := range int8(c.env.parts) {
		p, _ := c.meta.img.Partition(c.env.topic, int32(part))
		for i := range int8(procsMax) {
			if n := c.env.nodes[i]; c.env.appends[i] == 0 || !c.meta.img.Current(n) || p.Target == n.ID || p.Target == base.NoNode && p.Leader == n.ID {
				continue
			}
			add(func(c *cluster) error { c.moves--; c.execute(call{kind: callMove, proc: i, part: part}); return nil },
				"partition %d is to move to %s", part, names[i])
		}
	}
}
