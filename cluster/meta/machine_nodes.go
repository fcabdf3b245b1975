package meta

import "sluice/base"

func (m *Register) decide(d *Draft, nowMS int64) (Result, *Rejection) {
	if m.Incarnation.IsZero() {
		return nil, reject(InvalidCommand, "registration without an incarnation")
	}
	if rej := nodeStrings(m.Name, m.Zone, m.WAL, m.Endpoints); rej != nil {
		return nil, rej
	}
	if known, rej := d.img.incarnation(m.Incarnation); rej != nil || known != nil {
		if rej != nil {
			return nil, rej
		}
		return &Registered{known.Ref()}, nil
	}
	id := d.img.nextNode
	switch {
	case m.Wanted && !d.img.unused(m.Reclaim):
		return nil, reject(InvalidCommand, "node id %d is not free: a node has it or had it, or it is above %d", m.Reclaim, MaxWantedNode)
	case m.Wanted:
		id = m.Reclaim
	case m.Reclaim != base.NoNode:
		old, ok := d.img.nodes.get(m.Reclaim)
		if !ok {
			return nil, reject(UnknownNode, "node %d cannot be reclaimed, it never was part of cluster %s or was unregistered", m.Reclaim, d.img.cluster)
		}
		if id = old.ID; !old.Fenced {
			d.emit(&nodeFenced{Node: old.Ref(), Why: "a new incarnation registered", MS: nowMS})
		}
	}
	ref := NodeRef{id, d.img.nextNodeEpoch}
	d.emit(&nodeRegistered{Node: ref, Incarnation: m.Incarnation, Name: m.Name, Zone: m.Zone, Endpoints: m.Endpoints, WAL: m.WAL, MS: nowMS})
	return &Registered{ref}, nil
}

// MaxWantedNode is the highest node id that can be asked for. The ids that are handed out follow it.
const MaxWantedNode base.NodeID = 1 << 24

// unused reports whether a node may ask for the id. Ids are handed out from 1 on and never twice; 0 can be asked for by the very first node.
func (img *Image) unused(id base.NodeID) bool {
	_, known := img.nodes.get(id)
	return !known && (id >= img.nextNode && id <= MaxWantedNode || id == 0 && img.nextNode == 1)
}

// incarnation finds the node that runs as the incarnation, or says that the incarnation is over.
func (img *Image) incarnation(u base.UUID) (*Node, *Rejection) {
	var found *Node
	img.nodes.all(func(_ base.NodeID, n *Node) bool {
		if n.Incarnation == u {
			found = n
		}
		return found == nil
	})
	over := found != nil && found.Fenced
	img.rescues.all(func(_ string, r *Rescue) bool {
		over = over || r.Incarnation == u
		return !over
	})
	if over {
		return nil, reject(StaleEpoch, "incarnation %s has been fenced: start anew", u)
	}
	return found, nil
}

func nodeStrings(name, zone, wal string, endpoints []Endpoint) *Rejection {
	if rej := tooLong(name, zone, wal); rej != nil {
		return rej
	}
	for _, e := range endpoints {
		if rej := tooLong(e.Name, e.Host); rej != nil {
			return rej
		}
	}
	if len(endpoints) > 64 {
		return reject(TooLarge, "%d endpoints, at most 64 are possible", len(endpoints))
	}
	return nil
}

func (m *UpdateNode) decide(d *Draft, _ int64) (Result, *Rejection) {
	if rej := d.img.current(m.Node); rej != nil {
		return nil, rej
	}
	if rej := nodeStrings(m.Name, m.Zone, "", m.Endpoints); rej != nil {
		return nil, rej
	}
	d.emit(&nodeUpdated{Node: m.Node, Name: m.Name, Zone: m.Zone, Endpoints: m.Endpoints})
	return &Done{}, nil
}

func (m *FenceNode) decide(d *Draft, nowMS int64) (Result, *Rejection) {
	n, ok := d.img.nodes.get(m.Node.ID)
	if !ok || n.Epoch < m.Node.Epoch {
		return nil, reject(UnknownNode, "node %d never had epoch %d", m.Node.ID, m.Node.Epoch)
	}
	if n.Epoch == m.Node.Epoch && !n.Fenced {
		d.emit(&nodeFenced{Node: m.Node, Why: m.Why[:min(len(m.Why), 256)], MS: nowMS})
	}
	return &Done{}, nil
}

func (m *DrainNode) decide(d *Draft, nowMS int64) (Result, *Rejection) {
	if rej := d.img.current(m.Node); rej != nil {
		return nil, rej
	}
	if n, _ := d.img.nodes.get(m.Node.ID); n.Draining != m.Drain {
		d.emit(&nodeDrained{Node: m.Node, Drain: m.Drain, Why: m.Why[:min(len(m.Why), 256)], MS: nowMS})
	}
	return &Done{}, nil
}

func (m *UnregisterNode) decide(d *Draft, _ int64) (Result, *Rejection) {
	n, ok := d.img.nodes.get(m.ID)
	switch {
	case !ok:
		return nil, reject(UnknownNode, "node %d is not registered", m.ID)
	case !n.Fenced:
		return nil, reject(NodeLive, "node %d is live: stop it first", m.ID)
	}
	var open *Rescue
	var alone []Rescue
	d.img.rescues.all(func(_ string, r *Rescue) bool {
		switch {
		case r.Victim.ID != m.ID:
		case m.local != nil && m.local(r.WAL) && d.img.OpenStreams(r.Victim) == 0:
			alone = append(alone, *r)
		case r.State != RescueDone:
			open = r
		}
		return open == nil
	})
	switch {
	case open != nil:
		return nil, reject(RescueRunning, "the rescue of node %d epoch %d is %s, not done", m.ID, open.Victim.Epoch, open.State)
	case d.img.OpenOn(n) > 0:
		return nil, reject(RescueRunning, "node %d has %d open streams", m.ID, d.img.OpenOn(n))
	}
	for _, r := range alone {
		if r.State != RescueDone {
			d.emit(&rescueGranted{Victim: r.Victim, Rescuer: n.Ref(), Grant: d.img.nextGrant})
			d.emit(&rescueCompleted{Victim: r.Victim})
		}
		d.emit(&rescueForgotten{Victim: r.Victim})
	}
	d.emit(&nodeUnregistered{Node: n.Ref()})
	return &Done{}, nil
}

func (m *ReportApplied) decide(d *Draft, _ int64) (Result, *Rejection) {
	if rej := d.img.current(m.Node); rej != nil {
		return nil, rej
	}
	if m.Pos > d.img.pos {
		return nil, reject(InvalidCommand, "node %d reports position %d, the newest is %d", m.Node.ID, m.Pos, d.img.pos)
	}
	n, _ := d.img.nodes.get(m.Node.ID)
	if at, ok := d.img.awaited(n.Applied); ok && m.Pos >= at {
		d.emit(&nodeApplied{Node: m.Node, Pos: m.Pos})
	}
	return &Done{}, nil
}

// awaited returns the position of the oldest mark that a node which has applied up to applied has not seen.
func (img *Image) awaited(applied base.MetaPos) (at base.MetaPos, ok bool) {
	for o := range img.Destroying() {
		if o.MarkedPos > applied {
			return o.MarkedPos, true
		}
	}
	return 0, false
}

// NewestMark returns the position of the newest mark; ok is false if no object waits to be deleted.
func (img *Image) NewestMark() (at base.MetaPos, ok bool) {
	_, id, ok := img.marks.m.Max()
	if !ok {
		return 0, false
	}
	o, _ := img.objects.get(id)
	return o.MarkedPos, true
}

func (m *NameController) decide(d *Draft, _ int64) (Result, *Rejection) {
	if rej := d.img.current(m.Node); rej != nil {
		return nil, rej
	}
	if d.img.controller.Node != m.Node.ID {
		d.emit(&controllerNamed{Node: m.Node})
	}
	return &Done{}, nil
}

func (m *GrantRescue) decide(d *Draft, _ int64) (Result, *Rejection) {
	if rej := d.img.current(m.Rescuer); rej != nil {
		return nil, rej
	}
	r, ok := d.img.rescues.get(rescueKey(m.Victim))
	if !ok {
		return nil, reject(UnknownRescue, "node %d epoch %d is not fenced, or was rescued", m.Victim.ID, m.Victim.Epoch)
	}
	if r.State == RescuePending || r.State == RescueGranted && r.Rescuer != m.Rescuer {
		d.emit(&rescueGranted{Victim: m.Victim, Rescuer: m.Rescuer, Grant: d.img.nextGrant})
		r, _ = d.img.rescues.get(rescueKey(m.Victim))
	}
	return &Granted{*r}, nil
}

// grant checks that the number is the newest grant of a rescue that still goes on, and that its holder has not been fenced.
func (img *Image) grant(victim NodeRef, number uint64) *Rejection {
	r, ok := img.rescues.get(rescueKey(victim))
	switch {
	case !ok:
		return reject(VoidGrant, "grant %d: node %d epoch %d is not being rescued", number, victim.ID, victim.Epoch)
	case r.State != RescueGranted || r.Grant != number:
		return reject(VoidGrant, "grant %d for node %d epoch %d: the rescue is %s with grant %d", number, victim.ID, victim.Epoch, r.State, r.Grant)
	}
	return img.current(r.Rescuer)
}

func (m *CompleteRescue) decide(d *Draft, _ int64) (Result, *Rejection) {
	if r, ok := d.img.rescues.get(rescueKey(m.Victim)); ok && r.State == RescueDone && r.Grant == m.Grant {
		return &Done{}, nil
	}
	if rej := d.img.grant(m.Victim, m.Grant); rej != nil {
		return nil, rej
	}
	d.emit(&rescueCompleted{Victim: m.Victim})
	return &Done{}, nil
}

func (m *ForgetRescue) decide(d *Draft, _ int64) (Result, *Rejection) {
	r, ok := d.img.rescues.get(rescueKey(m.Victim))
	if !ok {
		return &Done{}, nil
	}
	if r.State != RescueDone {
		return nil, reject(RescueRunning, "the rescue of node %d epoch %d is %s, not done", m.Victim.ID, m.Victim.Epoch, r.State)
	}
	d.emit(&rescueForgotten{Victim: m.Victim})
	return &Done{}, nil
}

func (m *AllocateProducerIDs) decide(d *Draft, _ int64) (Result, *Rejection) {
	if rej := d.img.current(m.Node); rej != nil {
		return nil, rej
	}
	first := d.img.nextProducerID
	d.emit(&producerIDsAllocated{Node: m.Node, First: first, Count: producerBlock})
	return &ProducerIDs{First: first, Count: producerBlock}, nil
}
