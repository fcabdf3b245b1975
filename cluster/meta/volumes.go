package meta

import (
	"slices"
	"strings"

	"sluice/base"
	"sluice/base/seeded"
)

// A node writes to one or more volumes: WALs of its own, each with its own order of blocks, numbers of uploads and trim. A volume is named by an
// epoch. The one that a node registers with has the node's epoch, those that are added later draw theirs from the same counter, so
// that node id and epoch name one WAL of the cluster for ever. The owner of a stream is such a pair: it says where the stream's
// uncommitted records are, and who may append to it.

// VolumeState says what a volume is for.
type VolumeState uint8

const (
	// VolumeActive: streams may be opened on it.
	VolumeActive VolumeState = iota
	// VolumePreparing: the node has yet to make the WAL. No stream is opened on it.
	VolumePreparing
	// VolumeDraining: no stream is opened on it any more; those that are will be moved to others, then it is removed.
	VolumeDraining
)

func (s VolumeState) String() string {
	return [...]string{"active", "preparing", "draining"}[min(s, VolumeDraining)]
}

// Volume is one WAL of a node.
type Volume struct {
	Epoch      base.NodeEpoch // names it, together with the node's id
	URL        string
	State      VolumeState
	Trim       base.WALPos
	LastUpload uint64 // number of the last committed upload; 0: none

	lastSkips []skip // verdicts other than VerdictCommitted of the last upload, for duplicates of it
}

// Class returns the class of the WAL.
func (v *Volume) Class() string { return WALClass(v.URL) }

// The classes of WALs, as [WALClassConfig] names them.
const (
	ClassFile = "file"
	ClassS3   = "s3"
)

// WALClassConfig is the configuration of a topic that says on which class of WAL its partitions are to be; empty: what the broker has first.
const WALClassConfig = "sluice.wal.class"

// WALClass returns the class that a WAL at url has: in a directory, for which memory stands in tests, or in a bucket of any kind.
func WALClass(url string) string {
	if strings.HasPrefix(url, "file://") || strings.HasPrefix(url, "mem://") {
		return ClassFile
	}
	return ClassS3
}

// WALPlace returns the URL of a WAL without its options: a node has one volume at a place.
func WALPlace(url string) string {
	place, _, _ := strings.Cut(url, "?")
	return place
}

// Volume returns the node's volume with that epoch.
func (n *Node) Volume(epoch base.NodeEpoch) (Volume, bool) {
	if v := n.volume(epoch); v != nil {
		return *v, true
	}
	return Volume{}, false
}

// volume returns the volume with that epoch, nil if there is none. It must not be changed.
func (n *Node) volume(epoch base.NodeEpoch) *Volume {
	if i := slices.IndexFunc(n.Volumes, func(v Volume) bool { return v.Epoch == epoch }); i >= 0 {
		return &n.Volumes[i]
	}
	return nil
}

// Holds reports whether the node, under its present epoch, is the owner that a stream names.
func (n *Node) Holds(s *Stream) bool {
	return !n.Fenced && s.Owner == n.ID && n.volume(s.OwnerEpoch) != nil
}

// Offers reports whether a topic that asks for this class of WAL gets it on the node: one of its volumes has it, and takes streams or soon will.
func (n *Node) Offers(class string) bool {
	return class == "" || slices.ContainsFunc(n.Volumes, func(v Volume) bool { return v.State != VolumeDraining && v.Class() == class })
}

// withVolume returns a copy of the node in which the volume with that epoch is v.
func (n *Node) withVolume(v Volume) *Node {
	c := *n
	c.Volumes = slices.Clone(n.Volumes)
	for i := range c.Volumes {
		if c.Volumes[i].Epoch == v.Epoch {
			c.Volumes[i] = v
		}
	}
	return &c
}

// place is a volume for a topic on a node: an active one of the class that the topic asks for, or else of the first active volume's class; of
// several the one on which the fewest streams are open, and then the first. more counts streams that are to be opened besides.
func (img *Image) place(n *Node, class string, more map[base.NodeEpoch]int) *Volume {
	var best *Volume
	for _, want := range [...]string{class, ""} {
		for i := range n.Volumes {
			v := &n.Volumes[i]
			if v.State != VolumeActive {
				continue
			}
			if want == "" {
				want = v.Class()
			}
			if v.Class() == want && (best == nil || img.load(n, v, more) < img.load(n, best, more)) {
				best = v
			}
		}
		if best != nil {
			return best
		}
	}
	panic("BUG: meta: node " + n.ID.String() + " has no active volume")
}

func (img *Image) load(n *Node, v *Volume, more map[base.NodeEpoch]int) int {
	return img.OpenStreams(NodeRef{n.ID, v.Epoch}) + more[v.Epoch]
}

// placer places the partitions of one command, each with those before it in mind.
type placer struct {
	img  *Image
	more map[base.NodeEpoch]int
}

func newPlacer(img *Image) placer { return placer{img, map[base.NodeEpoch]int{}} }

// leaves counts a partition off the volume it is on.
func (pl placer) leaves(p *Partition) {
	data, _ := pl.img.streams.get(p.Data)
	pl.more[data.OwnerEpoch] -= 2
}

// on chooses the volume of a node for a partition of the topic with that number.
func (pl placer) on(n *Node, num uint32) NodeRef {
	t, _ := pl.img.topics.get(num)
	v := pl.img.place(n, t.Configs[WALClassConfig], pl.more)
	pl.more[v.Epoch] += 2
	return NodeRef{n.ID, v.Epoch}
}

// Misplaced reports whether an open partition should be on another volume of its leader: the one it is on is draining or has another class
// than its topic asks for, and there is a better one.
func (img *Image) Misplaced(p Partition) bool {
	n, ok := img.nodes.get(p.Leader)
	s, open := img.stream(p.Data)
	if !ok || !open || s.State != Open || !n.Holds(s) {
		return false
	}
	t, _ := img.topics.get(s.topicNum)
	at, best := n.volume(s.OwnerEpoch), img.place(n, t.Configs[WALClassConfig], nil)
	return at.State == VolumeDraining && best.State == VolumeActive || at.Class() != best.Class()
}

// holder returns the node whose present epoch ref names, or one of whose volumes; nil if that is over.
func (img *Image) holder(ref NodeRef) *Node {
	n, ok := img.nodes.get(ref.ID)
	if !ok || n.Fenced && !seeded.Bug(seeded.FencedCommits) || n.Epoch != ref.Epoch && n.volume(ref.Epoch) == nil {
		return nil
	}
	return n
}

// sender checks who a command about streams comes from: a node under its epoch, or one of its volumes under its own.
func (img *Image) sender(ref NodeRef) (*Node, *Rejection) {
	if n := img.holder(ref); n != nil {
		return n, nil
	}
	if rej := img.current(ref); rej != nil {
		return nil, rej
	}
	panic("BUG: meta: a current node that is not")
}

// owns reports whether ref, a node or one of its volumes, owns a stream: a node whatever lies on its volumes.
func (img *Image) owns(ref NodeRef, s *Stream) bool {
	if s.Owner != ref.ID {
		return false
	}
	n, ok := img.nodes.get(ref.ID)
	return s.OwnerEpoch == ref.Epoch || ok && n.Epoch == ref.Epoch && n.Holds(s)
}
