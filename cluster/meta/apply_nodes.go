package meta

import (
	"fmt"

	"sluice/base"
)

func (r *clusterCreated) apply(d *Draft) error {
	if !d.img.cluster.IsZero() || r.ID.IsZero() {
		return fmt.Errorf("cluster %s exists, created again as %s", d.img.cluster, r.ID)
	}
	d.img.cluster, d.img.createdMS = r.ID, r.MS
	return nil
}

func (r *controllerChanged) apply(d *Draft) error {
	if r.Epoch < d.img.controller.Epoch {
		return fmt.Errorf("controller epoch goes back from %d to %d", d.img.controller.Epoch, r.Epoch)
	}
	node := d.img.controller.Node
	if r.Who != d.img.controller.Who {
		node = base.NoNode
	}
	d.img.controller = Controller{Epoch: r.Epoch, Who: r.Who, Node: node}
	return nil
}

func (r *controllerNamed) apply(d *Draft) error {
	if !d.img.Current(r.Node) {
		return fmt.Errorf("node %v is not current", r.Node)
	}
	d.img.controller.Node = r.Node.ID
	d.delta.Nodes[r.Node.ID] = struct{}{}
	return nil
}

func (r *nodeRegistered) apply(d *Draft) error {
	old, ok := d.img.nodes.get(r.Node.ID)
	switch {
	case ok && (!old.Fenced || old.Epoch >= r.Node.Epoch):
		return fmt.Errorf("node %d has epoch %d, not fenced or not older than %d", r.Node.ID, old.Epoch, r.Node.Epoch)
	case !ok && r.Node.ID != d.img.nextNode:
		return fmt.Errorf("node id %d is not the next one, %d", r.Node.ID, d.img.nextNode)
	case r.Node.Epoch != d.img.nextNodeEpoch:
		return fmt.Errorf("node epoch %d is not the next one, %d", r.Node.Epoch, d.img.nextNodeEpoch)
	}
	if !ok {
		d.img.nextNode++
	}
	d.img.nextNodeEpoch++
	d.putNode(&Node{ID: r.Node.ID, Epoch: r.Node.Epoch, Incarnation: r.Incarnation, Name: r.Name, Zone: r.Zone, Endpoints: r.Endpoints,
		WAL: r.WAL, RegisteredMS: r.MS, Applied: d.img.pos})
	return nil
}

// apply ends the epoch: what its rescue needs moves there, and nobody is served by it any more.
func (r *nodeFenced) apply(d *Draft) error {
	old, ok := d.img.nodes.get(r.Node.ID)
	if !ok || old.Epoch != r.Node.Epoch || old.Fenced {
		return fmt.Errorf("node %v is not current", r.Node)
	}
	n := *old
	d.putRescue(&Rescue{Victim: r.Node, Incarnation: n.Incarnation, Name: n.Name, WAL: n.WAL, WALTrim: n.WALTrim, LastUpload: n.LastUpload,
		FencedMS: r.MS, lastSkips: n.lastSkips})
	n.Fenced, n.WALTrim, n.LastUpload, n.lastSkips = true, 0, 0, nil
	d.putNode(&n)
	if d.img.controller.Node == n.ID {
		d.img.controller.Node = base.NoNode
	}
	d.stopServing(func(p *Partition) bool {
		if p.Leader != n.ID || p.State == Assigned {
			return false
		}
		s, ok := d.img.streams.get(p.Data)
		return ok && s.Owner == n.ID && s.OwnerEpoch == n.Epoch
	})
	return nil
}

// stopServing puts the partitions that match back to Assigned. It looks at all partitions: once per fenced node.
func (d *Draft) stopServing(match func(*Partition) bool) {
	changed := map[uint64]*Partition{}
	d.img.partitions.all(func(k uint64, p *Partition) bool {
		if match(p) {
			changed[k] = p
		}
		return true
	})
	for k, old := range changed {
		p := *old
		p.State = Assigned
		d.putPartition(uint32(k>>32), &p)
	}
}

func (r *nodeUpdated) apply(d *Draft) error {
	old, ok := d.img.nodes.get(r.Node.ID)
	if !ok || old.Epoch != r.Node.Epoch || old.Fenced {
		return fmt.Errorf("node %v is not current", r.Node)
	}
	n := *old
	n.Name, n.Zone, n.Endpoints = r.Name, r.Zone, r.Endpoints
	d.putNode(&n)
	return nil
}

func (r *nodeApplied) apply(d *Draft) error {
	old, ok := d.img.nodes.get(r.Node.ID)
	if !ok || old.Epoch != r.Node.Epoch || r.Pos > d.img.pos {
		return fmt.Errorf("node %v cannot have applied position %d", r.Node, r.Pos)
	}
	n := *old
	n.Applied = max(n.Applied, r.Pos)
	d.img.nodes.set(n.ID, &n) // no delta: nobody follows this
	return nil
}

func (r *rescueGranted) apply(d *Draft) error {
	old, ok := d.img.rescues.get(rescueKey(r.Victim))
	if !ok || old.State == RescueDone || r.Grant != d.img.nextGrant {
		return fmt.Errorf("rescue of %v cannot be granted with number %d", r.Victim, r.Grant)
	}
	d.img.nextGrant++
	c := *old
	c.State, c.Rescuer, c.Grant = RescueGranted, r.Rescuer, r.Grant
	d.putRescue(&c)
	return nil
}

// apply closes every stream that the victim still owns: all it acknowledged is committed now.
func (r *rescueCompleted) apply(d *Draft) error {
	old, ok := d.img.rescues.get(rescueKey(r.Victim))
	if !ok || old.State != RescueGranted {
		return fmt.Errorf("rescue of %v is not granted", r.Victim)
	}
	var owned []*Stream
	d.img.streams.all(func(_ base.StreamID, s *Stream) bool {
		if s.State == Open && s.Owner == r.Victim.ID && s.OwnerEpoch == r.Victim.Epoch {
			owned = append(owned, s)
		}
		return true
	})
	for _, s := range owned {
		d.closeStream(*s)
	}
	c := *old
	c.State = RescueDone
	d.putRescue(&c)
	return nil
}

func (r *rescueForgotten) apply(d *Draft) error {
	old, ok := d.img.rescues.get(rescueKey(r.Victim))
	if !ok || old.State != RescueDone {
		return fmt.Errorf("rescue of %v is not done", r.Victim)
	}
	d.img.rescues.delete(rescueKey(r.Victim))
	d.delta.Rescues = true
	return nil
}

func (r *configsSet) apply(d *Draft) error {
	if r.Kind == TopicConfig {
		return fmt.Errorf("topic %s: a topic's configurations are set by its number", r.Name)
	}
	key := configKey(r.Kind, r.Name)
	d.delta.Configs = true
	d.img.configsPos = d.img.pos
	if len(r.Configs) == 0 {
		d.img.configs.delete(key)
		return nil
	}
	d.img.configs.set(key, &ConfigResource{Kind: r.Kind, Name: r.Name, Configs: r.Configs, Pos: d.img.pos})
	return nil
}

func (r *producerIDsAllocated) apply(d *Draft) error {
	if r.First != d.img.nextProducerID || r.Count == 0 {
		return fmt.Errorf("producer ids from %d are not the next, %d", r.First, d.img.nextProducerID)
	}
	d.img.nextProducerID += int64(r.Count)
	return nil
}
