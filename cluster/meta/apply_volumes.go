package meta

import (
	"fmt"
	"slices"

	"sluice/base"
)

// volumeAdded gives a node another volume, which it has yet to make.
type volumeAdded struct {
	Volume NodeRef
	URL    string
}

type volumeSet struct {
	Volume NodeRef
	State  VolumeState
}

// volumeRemoved takes a volume out of use for good. It is sealed and removed as that of a fenced node is, though nothing is left in it.
type volumeRemoved struct {
	Volume NodeRef
	MS     int64
}

func (r *volumeAdded) apply(d *Draft) error {
	old, ok := d.img.nodes.get(r.Volume.ID)
	if !ok || old.Fenced || r.Volume.Epoch != d.img.nextNodeEpoch {
		return fmt.Errorf("volume %d of node %d: the node is gone, or the next epoch is %d", r.Volume.Epoch, r.Volume.ID, d.img.nextNodeEpoch)
	}
	d.img.nextNodeEpoch++
	n := *old
	n.Volumes = append(slices.Clone(n.Volumes), Volume{Epoch: r.Volume.Epoch, URL: r.URL, State: VolumePreparing})
	d.putNode(&n)
	return nil
}

// volumeOf finds the volume of a node that lives.
func (img *Image) volumeOf(ref NodeRef) (*Node, *Volume, error) {
	if n, ok := img.nodes.get(ref.ID); ok && !n.Fenced {
		if v := n.volume(ref.Epoch); v != nil {
			return n, v, nil
		}
	}
	return nil, nil, fmt.Errorf("node %d has no volume %d", ref.ID, ref.Epoch)
}

func (r *volumeSet) apply(d *Draft) error {
	n, v, err := d.img.volumeOf(r.Volume)
	if err != nil {
		return err
	}
	c := *v
	c.State = r.State
	d.putNode(n.withVolume(c))
	return nil
}

func (r *volumeRemoved) apply(d *Draft) error {
	old, v, err := d.img.volumeOf(r.Volume)
	if err != nil {
		return err
	}
	if d.img.OpenStreams(r.Volume) > 0 || len(old.Volumes) == 1 {
		return fmt.Errorf("volume %d of node %d is in use", r.Volume.Epoch, r.Volume.ID)
	}
	d.putRescue(rescueOf(old, *v, base.UUID{}, r.MS))
	n := *old
	n.Volumes = slices.DeleteFunc(slices.Clone(n.Volumes), func(v Volume) bool { return v.Epoch == r.Volume.Epoch })
	d.putNode(&n)
	return nil
}

// rescueOf is what remains to be done for a volume that is over. incarnation is that of the node if it is over with it.
func rescueOf(n *Node, v Volume, incarnation base.UUID, ms int64) *Rescue {
	return &Rescue{Victim: NodeRef{n.ID, v.Epoch}, Incarnation: incarnation, Name: n.Name, WAL: v.URL, WALTrim: v.Trim, LastUpload: v.LastUpload,
		FencedMS: ms, lastSkips: v.lastSkips}
}

func (*volumeAdded) recordType() recordType   { return typeVolumeAdded }
func (*volumeSet) recordType() recordType     { return typeVolumeSet }
func (*volumeRemoved) recordType() recordType { return typeVolumeRemoved }

func (r *volumeAdded) code(c *coder) {
	c.nodeRef(&r.Volume)
	c.string(&r.URL)
}

func (r *volumeSet) code(c *coder) {
	c.nodeRef(&r.Volume)
	enum(c, &r.State, VolumeDraining)
}

func (r *volumeRemoved) code(c *coder) {
	c.nodeRef(&r.Volume)
	signed(c, &r.MS)
}
