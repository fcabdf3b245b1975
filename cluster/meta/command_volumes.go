package meta

import "sluice/base"

// AddVolume gives a node another volume, which it has yet to make: then it says so with SetVolume. A URL that the node has a volume at is
// answered with that one, unless it is draining (VolumeBusy). The same place with other options is not another volume (VolumeBusy).
// Result: [VolumeAdded].
type AddVolume struct {
	Node NodeRef
	URL  string
}

// VolumeAdded is the result of AddVolume.
type VolumeAdded struct{ Epoch base.NodeEpoch }

// SetVolume changes what a volume is for: VolumeDraining has what is on it move to the node's other volumes, of which one must be active (else
// VolumeBusy), VolumeActive calls that off. Made comes from the node itself: the WAL of a volume that it prepared is there.
// Result: [Done].
type SetVolume struct {
	Node   NodeRef
	Volume base.NodeEpoch
	State  VolumeState
	Made   bool
}

// RemoveVolume takes a volume that is draining, or was never made, out of use for good, once no stream is open on it (else VolumeBusy). A [Rescue]
// of it appears, by which its WAL is sealed and removed. One that is gone is accepted. Result: [Done].
type RemoveVolume struct {
	Node   NodeRef
	Volume base.NodeEpoch
}

func (*AddVolume) commandType() commandType    { return typeAddVolume }
func (*SetVolume) commandType() commandType    { return typeSetVolume }
func (*RemoveVolume) commandType() commandType { return typeRemoveVolume }
func (*VolumeAdded) resultType() resultType    { return typeVolumeAddedResult }

func (m *AddVolume) code(c *coder) {
	c.nodeRef(&m.Node)
	c.string(&m.URL)
}

func (m *SetVolume) code(c *coder) {
	c.nodeRef(&m.Node)
	signed(c, &m.Volume)
	enum(c, &m.State, VolumeDraining)
	c.bool(&m.Made)
}

func (m *RemoveVolume) code(c *coder) {
	c.nodeRef(&m.Node)
	signed(c, &m.Volume)
}

func (r *VolumeAdded) code(c *coder) { signed(c, &r.Epoch) }
