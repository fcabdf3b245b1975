package explore

import (
	"fmt"

	"sluice/cluster/meta"
)

// rescueSteps: a process asks for the rescue of a fenced one, seals its WAL, uploads piece by piece what is not committed, and ends it.
// With a fault it forgets all that and begins anew, under the same grant.
func (c *cluster) rescueSteps(add Add[*cluster], i int8) {
	r := c.procs[i].rescue
	if !c.env.rescuers[i] {
		return
	}
	if r.phase != idle && r.phase < removing && c.faults > 0 {
		add(func(c *cluster) error {
			c.faults--
			c.procs[i].rescue = rescue{again: true}
			return nil
		}, "%s starts over", names[i])
	}
	switch r.phase {
	case idle:
		for open := range c.meta.img.Rescues() {
			if open.State == meta.RescueDone {
				c.cleanUpStep(add, i, open)
			} else {
				c.grantStep(add, i, open)
			}
		}
	case walking, sealing:
		c.sealSteps(add, i)
	case reading:
		add(func(c *cluster) error { return c.readPiece(i) }, "%s reads slots from %d to %d", names[i], r.at, r.end)
	case preparing, putting, committing:
		c.pieceSteps(add, i)
	default:
		c.completeSteps(add, i)
	}
}

func (c *cluster) grantStep(add Add[*cluster], i int8, open meta.Rescue) {
	fresh := open.State == meta.RescuePending || open.State == meta.RescueGranted && open.Rescuer != c.env.nodes[i]
	if fresh && c.grants == 0 || open.Victim == c.env.nodes[i] {
		return
	}
	victim := c.env.procOf(open.Victim)
	add(func(c *cluster) error {
		a := c.execute(call{kind: callGrant, proc: i, victim: victim})
		if a.code != meta.None {
			c.procs[i].over = a.code == meta.StaleEpoch
			return nil
		}
		if fresh {
			c.grants--
		}
		g := a.res.(*meta.Granted).Rescue
		again := c.procs[i].rescue.again
		c.procs[i].rescue = rescue{phase: walking, victim: victim, grant: int8(g.Grant), last: int8(g.LastUpload), at: int8(g.WALTrim), end: int8(g.WALTrim), again: again}
		if c.env.mistake == walkFromStart {
			c.procs[i].rescue.end = 0
		}
		for slot, rec := range c.wals[victim] {
			if c.env.mistake == fromSeal && open.State == meta.RescueGranted && rec.value == seal {
				c.procs[i].rescue.at, c.procs[i].rescue.end = int8(slot), int8(slot)
			}
		}
		return nil
	}, "%s is granted the rescue of %s", names[i], names[victim])
}

// cleanUpStep: whoever completed a rescue may be gone before it removed the WAL.
func (c *cluster) cleanUpStep(add Add[*cluster], i int8, open meta.Rescue) {
	victim := c.env.procOf(open.Victim)
	add(func(c *cluster) error {
		c.procs[i].rescue = rescue{phase: removing, victim: victim}
		return nil
	}, "%s finds the rescue of %s done", names[i], names[victim])
}

// sealSteps: walk to the first empty slot, put a seal there, go on if it was filled meanwhile.
func (c *cluster) sealSteps(add Add[*cluster], i int8) {
	r := c.procs[i].rescue
	slot := c.wals[r.victim][r.end]
	if r.phase == walking {
		add(func(c *cluster) error {
			r := &c.procs[i].rescue
			switch slot.value {
			case seal:
				r.phase = reading
			case 0:
				if r.phase = sealing; c.env.mistake == lastSlotUnsealed {
					r.phase = reading
				}
			default:
				if r.end++; r.end == slotsMax {
					return fmt.Errorf("the model's WAL is too short")
				}
			}
			return nil
		}, "%s looks at slot %d of %s's WAL", names[i], r.end, names[r.victim])
		return
	}
	q := call{kind: callSeal, victim: r.victim, trim: r.end}
	c.calls(add, q, func(c *cluster, _ answer) error { c.procs[i].rescue.phase = walking; return nil },
		"%s puts a seal into slot %d of %s's WAL", names[i], r.end, names[r.victim])
}

// valid reports whether the rescue's grant is the newest of a rescue that goes on.
func (c *cluster) valid(i int8) bool {
	r := c.procs[i].rescue
	open, ok := c.meta.img.Rescue(c.env.nodes[r.victim])
	return ok && open.State == meta.RescueGranted && open.Grant == uint64(r.grant) && c.meta.img.Current(open.Rescuer)
}

func (c *cluster) readPiece(i int8) error {
	r := &c.procs[i].rescue
	if r.at >= r.end {
		r.phase = completing
		return nil
	}
	r.to = min(r.end, r.at+c.env.piece)
	if c.env.vary && r.again {
		r.to = min(r.end, r.at+c.env.piece+1)
	}
	for slot := r.at; slot < r.to; slot++ {
		if c.wals[r.victim][slot].value > 0 {
			continue
		}
		if c.valid(i) {
			return fmt.Errorf("I1: %s cannot read slot %d of %s's WAL, which ends at %d", names[i], slot, names[r.victim], r.end)
		}
		*r = rescue{}
		return nil
	}
	r.piece, r.phase = c.blocks(r.victim, r.at, r.to), preparing
	if c.env.mistake == completeEarly {
		r.phase = completing
	}
	return nil
}

func (c *cluster) pieceSteps(add Add[*cluster], i int8) {
	r := c.procs[i].rescue
	switch r.phase {
	case preparing:
		c.calls(add, call{kind: callPrepare, proc: i}, func(c *cluster, a answer) error {
			if a.code != meta.None {
				c.procs[i].over = true
				return nil
			}
			c.procs[i].rescue.object, c.procs[i].rescue.phase = int8(a.res.(*meta.ObjectsPrepared).First), putting
			return nil
		}, "%s prepares an object for slots %d to %d of %s", names[i], r.at, r.to-1, names[r.victim])
	case putting:
		add(func(c *cluster) error {
			c.objects[r.object], c.put[r.object] = r.piece, true
			c.procs[i].rescue.phase = committing
			return nil
		}, "%s puts object %d", names[i], r.object)
	case committing:
		q := call{kind: callCommit, proc: i, victim: r.victim, grant: r.grant, number: r.last + 1, trim: r.to, object: r.object, held: r.piece}
		c.calls(add, q, func(c *cluster, a answer) error {
			n := &c.procs[i].rescue
			switch a.code {
			case meta.None:
				// as cluster/rescue does: the number says nothing of the piece's end
				if open, ok := c.meta.img.Rescue(c.env.nodes[r.victim]); c.env.mistake != duplicateTrusted && (!ok || open.LastUpload != uint64(r.last+1) || int8(open.WALTrim) != r.to) {
					*n = rescue{again: true}
					return nil
				}
				n.at, n.last, n.phase, n.piece, n.object = r.to, r.last+1, reading, content{}, 0
			case meta.ObjectNotPrepared:
				n.phase = preparing
			case meta.VoidGrant:
				*n = rescue{}
			case meta.StaleEpoch:
				c.procs[i].over = true
			default:
				return fmt.Errorf("commit %d of %s's rescue is refused: %v", r.last+1, names[r.victim], a.code)
			}
			return nil
		}, "%s commits slots %d to %d of %s as upload %d", names[i], r.at, r.to-1, names[r.victim], r.last+1)
	}
}

func (c *cluster) completeSteps(add Add[*cluster], i int8) {
	r := c.procs[i].rescue
	switch r.phase {
	case completing:
		q := call{kind: callComplete, proc: i, victim: r.victim, grant: r.grant}
		c.calls(add, q, func(c *cluster, a answer) error {
			n := &c.procs[i].rescue
			switch n.phase = removing; a.code {
			case meta.None:
			case meta.StaleEpoch:
				c.procs[i].over = true
			default:
				*n = rescue{}
			}
			return nil
		}, "%s completes the rescue of %s", names[i], names[r.victim])
	case removing:
		add(func(c *cluster) error {
			for slot := 1; slot < slotsMax; slot++ {
				if s := &c.wals[r.victim][slot]; s.value > 0 {
					*s = record{}
				}
			}
			c.procs[i].rescue.phase = forgetting
			return nil
		}, "%s removes the WAL of %s", names[i], names[r.victim])
	case forgetting:
		c.calls(add, call{kind: callForget, proc: i, victim: r.victim}, func(c *cluster, a answer) error {
			if a.code != meta.None {
				return fmt.Errorf("the rescue of %s cannot be forgotten: %v", names[r.victim], a.code)
			}
			c.procs[i].rescue = rescue{}
			return nil
		}, "%s forgets the rescue of %s", names[i], names[r.victim])
	}
}
