package meta

import (
	"errors"
	"fmt"
	"slices"

	"sluice/base"
)

func (r *clusterCreated) apply(d *Draft) error {
	if !d.img.cluster.IsZero() || r.ID.IsZero() {
		return fmt.Errorf("cluster %s exists, created again as %s", d.img.cluster, r.ID)
	}
	d.img.cluster, d.img.createdMS, d.img.secret = r.ID, r.MS, r.Secret
	return nil
}

func (r *secretDrawn) apply(d *Draft) error {
	if r.Secret == [32]byte{} || d.img.secret != [32]byte{} {
		return errors.New("the cluster has a secret, or is given none")
	}
	d.img.secret = r.Secret
	return nil
}

func (r *controllerChanged) apply(d *Draft) error {
	if r.Epoch < d.img.controller.Epoch {
		return fmt.Errorf("controller epoch goes back from %d to %d", d.img.controller.Epoch, r.Epoch)
	}
	node := r.Node
	if old := d.img.controller; node == base.NoNode && r.Who == old.Who {
		node = old.Node // a roll
	}
	if n, ok := d.img.nodes.get(node); !ok || n.Fenced {
		node = base.NoNode // the process may not know yet that it was fenced
	}
	d.setController(node)
	d.img.controller.Epoch, d.img.controller.Who = r.Epoch, r.Who
	return nil
}

// setController changes which node the controller is.
func (d *Draft) setController(node base.NodeID) {
	for _, id := range [...]base.NodeID{d.img.controller.Node, node} {
		if id != base.NoNode && d.img.controller.Node != node {
			d.delta.Nodes[id] = struct{}{}
		}
	}
	d.img.controller.Node = node
}

func (r *controllerNamed) apply(d *Draft) error {
	if !d.img.Current(r.Node) {
		return fmt.Errorf("node %v is not current", r.Node)
	}
	d.setController(r.Node.ID)
	return nil
}

func (r *nodeRegistered) apply(d *Draft) error {
	old, ok := d.img.nodes.get(r.Node.ID)
	switch {
	case ok && (!old.Fenced || old.Epoch >= r.Node.Epoch):
		return fmt.Errorf("node %d has epoch %d, not fenced or not older than %d", r.Node.ID, old.Epoch, r.Node.Epoch)
	case !ok && r.Node.ID != d.img.nextNode && !d.img.unused(r.Node.ID):
		return fmt.Errorf("node id %d is neither the next one, %d, nor one to be asked for", r.Node.ID, d.img.nextNode)
	case r.Node.Epoch != d.img.nextNodeEpoch:
		return fmt.Errorf("node epoch %d is not the next one, %d", r.Node.Epoch, d.img.nextNodeEpoch)
	}
	if !ok {
		d.img.nextNode = max(d.img.nextNode, r.Node.ID+1)
	}
	d.img.nextNodeEpoch++
	d.putNode(&Node{ID: r.Node.ID, Epoch: r.Node.Epoch, Incarnation: r.Incarnation, Name: r.Name, Zone: r.Zone, Endpoints: r.Endpoints,
		Volumes: []Volume{{Epoch: r.Node.Epoch, URL: r.WAL}}, RegisteredMS: r.MS, Applied: d.img.pos})
	return nil
}

// apply ends the epoch: what its rescue needs moves there, and nobody is served by it any more.
func (r *nodeFenced) apply(d *Draft) error {
	old, ok := d.img.nodes.get(r.Node.ID)
	if !ok || old.Epoch != r.Node.Epoch || old.Fenced {
		return fmt.Errorf("node %v is not current", r.Node)
	}
	n := *old
	n.Fenced, n.Volumes = true, slices.Clone(n.Volumes)
	for i, v := range n.Volumes {
		d.putRescue(rescueOf(old, v, n.Incarnation, r.MS))
		n.Volumes[i] = Volume{Epoch: v.Epoch, URL: v.URL, State: v.State}
	}
	d.putNode(&n)
	if d.img.controller.Node == n.ID {
		d.setController(base.NoNode)
	}
	d.changePartitions(func(p *Partition) {
		if p.Leader == n.ID {
			p.State, p.Target = Assigned, base.NoNode
		}
		if p.Target == n.ID {
			p.Target = base.NoNode
		}
	})
	return nil
}

// changePartitions applies change, which may touch State, Target and Leader, to all partitions of the cluster: once per node that goes.
func (d *Draft) changePartitions(change func(*Partition)) {
	type changed struct {
		key uint64
		p   Partition
	}
	var list []changed
	var p Partition
	d.img.partitions.all(func(k uint64, old *Partition) bool {
		p = *old
		if change(&p); p.State != old.State || p.Target != old.Target || p.Leader != old.Leader {
			list = append(list, changed{k, p})
		}
		return true
	})
	for _, c := range list {
		num, p := uint32(c.key>>32), c.p
		if old, _ := d.img.partitions.get(c.key); old.Leader != p.Leader && !d.img.gone(num) {
			d.img.countLed(old.Leader, -1)
			d.img.countLed(p.Leader, 1)
		}
		d.putPartition(num, &p)
	}
}

func (r *nodeDrained) apply(d *Draft) error {
	old, ok := d.img.nodes.get(r.Node.ID)
	if !ok || old.Epoch != r.Node.Epoch || old.Fenced {
		return fmt.Errorf("node %v is not current", r.Node)
	}
	n := *old
	n.Draining = r.Drain
	d.putNode(&n)
	return nil
}

func (r *nodeUnregistered) apply(d *Draft) error {
	old, ok := d.img.nodes.get(r.Node.ID)
	if !ok || old.Epoch != r.Node.Epoch || !old.Fenced {
		return fmt.Errorf("node %v is not fenced", r.Node)
	}
	d.changePartitions(func(p *Partition) {
		if p.Leader == r.Node.ID {
			p.Leader = base.NoNode
		}
	})
	d.img.nodes.delete(r.Node.ID)
	d.delta.Nodes[r.Node.ID] = struct{}{}
	if key := configKey(BrokerConfig, r.Node.ID.String()); d.img.configs.has(key) {
		d.img.configs.delete(key)
		d.img.configsPos, d.img.goneConfig, d.delta.Configs = d.img.pos, d.img.pos, true
	}
	return nil
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
		if d.img.configs.has(key) {
			d.img.configs.delete(key)
			d.img.goneConfig = d.img.pos
		}
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
