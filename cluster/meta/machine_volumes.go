package meta

// maxVolumes bounds the volumes of a node.
const maxVolumes = 64

func (m *AddVolume) decide(d *Draft, _ int64) (Result, *Rejection) {
	if rej := d.img.current(m.Node); rej != nil {
		return nil, rej
	}
	if rej := tooLong(m.URL); rej != nil {
		return nil, rej
	}
	n, _ := d.img.nodes.get(m.Node.ID)
	for _, v := range n.Volumes {
		switch {
		case WALPlace(v.URL) != WALPlace(m.URL):
		case v.State == VolumeDraining:
			return nil, reject(VolumeBusy, "node %d drains the volume at %s: add it again when it is gone, or call the drain off", n.ID, v.URL)
		case v.URL != m.URL:
			return nil, reject(VolumeBusy, "node %d has volume %d there, with other options, at %s: drain that one first", n.ID, v.Epoch, v.URL)
		default:
			return &VolumeAdded{v.Epoch}, nil
		}
	}
	if len(n.Volumes) >= maxVolumes {
		return nil, reject(TooLarge, "node %d has %d volumes, more are not possible", n.ID, len(n.Volumes))
	}
	epoch := d.img.nextNodeEpoch
	d.emit(&volumeAdded{Volume: NodeRef{n.ID, epoch}, URL: m.URL})
	return &VolumeAdded{epoch}, nil
}

// found finds a volume of the node that a command comes from.
func (img *Image) found(node, volume NodeRef) (*Node, *Volume, *Rejection) {
	if rej := img.current(node); rej != nil {
		return nil, nil, rej
	}
	n, _ := img.nodes.get(node.ID)
	if v := n.volume(volume.Epoch); v != nil && volume.ID == node.ID {
		return n, v, nil
	}
	return nil, nil, reject(UnknownVolume, "node %d has no volume %d", node.ID, volume.Epoch)
}

func (m *SetVolume) decide(d *Draft, _ int64) (Result, *Rejection) {
	n, v, rej := d.img.found(m.Node, NodeRef{m.Node.ID, m.Volume})
	switch {
	case rej != nil:
		return nil, rej
	case m.State != VolumeActive && m.State != VolumeDraining:
		return nil, reject(InvalidCommand, "volume state %d", m.State)
	case v.State == VolumePreparing && m.State == VolumeDraining:
		return nil, reject(VolumeBusy, "volume %d of node %d is being prepared", v.Epoch, n.ID)
	case v.State == VolumePreparing && !m.Made:
		return nil, reject(VolumeBusy, "volume %d of node %d is being prepared, only the node can say that it is there", v.Epoch, n.ID)
	case m.State == VolumeDraining && n.othersActive(v) == 0:
		return nil, reject(VolumeBusy, "volume %d is the only one that node %d can use: add another one first", v.Epoch, n.ID)
	case v.State != m.State:
		d.emit(&volumeSet{Volume: NodeRef{n.ID, v.Epoch}, State: m.State})
	}
	return &Done{}, nil
}

// othersActive counts the active volumes besides v.
func (n *Node) othersActive(v *Volume) (count int) {
	for i := range n.Volumes {
		if n.Volumes[i].State == VolumeActive && n.Volumes[i].Epoch != v.Epoch {
			count++
		}
	}
	return count
}

func (m *RemoveVolume) decide(d *Draft, nowMS int64) (Result, *Rejection) {
	ref := NodeRef{m.Node.ID, m.Volume}
	n, v, rej := d.img.found(m.Node, ref)
	switch {
	case rej != nil && rej.Code == UnknownVolume && m.Volume < d.img.nextNodeEpoch:
		return &Done{}, nil // done before
	case rej != nil:
		return nil, rej
	case v.State == VolumeActive || len(n.Volumes) == 1:
		return nil, reject(VolumeBusy, "volume %d of node %d is %s: drain it first", v.Epoch, n.ID, v.State)
	case d.img.OpenStreams(ref) > 0:
		return nil, reject(VolumeBusy, "volume %d of node %d has %d open streams", v.Epoch, n.ID, d.img.OpenStreams(ref))
	}
	d.emit(&volumeRemoved{Volume: ref, MS: nowMS})
	return &Done{}, nil
}
