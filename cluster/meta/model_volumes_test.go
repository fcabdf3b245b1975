package meta

import (
	"fmt"
	"strings"

	"sluice/base"
)

// volume picks one of the volumes of a node, which is mostly its first; the node itself if it has none.
func (d *driver) volume(ref NodeRef) NodeRef {
	n, ok := d.img.Node(ref.ID)
	if !ok || n.Epoch != ref.Epoch {
		return ref
	}
	v, _ := pick(d, "volume", n.Volumes)
	return NodeRef{ref.ID, v.Epoch}
}

// volumes adds, prepares, drains and removes volumes.
func (d *driver) volumes() {
	ref := d.node()
	n, ok := d.img.Node(ref.ID)
	if !ok {
		return
	}
	if d.rarely(3) || len(n.Volumes) == 1 {
		url := []string{"s3", "file:///a", "file:///b", "mem://", "file:///a?segment=1MiB"}[d.int("url", 0, 4)]
		if res, err := d.submit(&AddVolume{Node: ref, URL: url}); err == nil {
			epoch := res.(*VolumeAdded).Epoch
			if again, err := d.submit(&AddVolume{Node: ref, URL: url}); err != nil || again.(*VolumeAdded).Epoch != epoch {
				d.t.Fatalf("a volume that was added again is %v, %v, not %d", again, err, epoch)
			}
			for _, v := range n.Volumes {
				if v.Epoch != epoch && strings.TrimSuffix(v.URL, "?segment=1MiB") == strings.TrimSuffix(url, "?segment=1MiB") {
					d.t.Fatalf("volume %d was added at %s, where volume %d is", epoch, url, v.Epoch)
				}
			}
			d.made(ref, epoch)
		}
		return
	}
	v := d.volume(ref).Epoch
	before := d.img
	switch d.int("volume change", 0, 3) {
	case 0:
		d.made(ref, v)
	case 1:
		_, err := d.submit(&SetVolume{Node: ref, Volume: v, State: VolumeDraining})
		if err == nil && before.usable(n.ID, v) == 0 {
			d.t.Fatalf("the last active volume of %+v is draining", n)
		}
	case 2:
		_, _ = d.submit(&SetVolume{Node: ref, Volume: v, State: VolumeActive})
	case 3:
		d.removeVolume(ref, v)
	}
}

// made says that a volume is there, most of the time.
func (d *driver) made(ref NodeRef, epoch base.NodeEpoch) {
	if d.rarely(4) {
		return
	}
	_, err := d.submit(&SetVolume{Node: ref, Volume: epoch, State: VolumeActive, Made: true})
	if n, _ := d.img.Node(ref.ID); err == nil {
		if v, ok := n.Volume(epoch); !ok || v.State != VolumeActive {
			d.t.Fatalf("volume %d is there, but the node is %+v", epoch, n)
		}
	}
}

func (d *driver) removeVolume(ref NodeRef, epoch base.NodeEpoch) {
	before, gone := d.img, NodeRef{ref.ID, epoch}
	_, err := d.submit(&RemoveVolume{Node: ref, Volume: epoch})
	old, _ := before.Node(ref.ID)
	v, had := old.Volume(epoch)
	if err != nil || !had || !before.Current(ref) {
		return
	}
	d.accepted["volume removed"]++
	n, _ := d.img.Node(ref.ID)
	r, ok := d.img.Rescue(gone)
	if _, still := n.Volume(epoch); still || !ok || r.WAL != v.URL || r.WALTrim != v.Trim || r.LastUpload != v.LastUpload || r.State != RescuePending ||
		before.OpenStreams(gone) > 0 || n.Fenced || n.Incarnation == r.Incarnation {
		d.t.Fatalf("volume %+v was removed: node %+v, rescue %+v", v, n, r)
	}
	if n.Epoch != epoch && d.img.Current(gone) {
		d.t.Fatalf("volume %v is removed and current", gone)
	}
	at := d.img.Pos()
	if _, err := d.submit(&RemoveVolume{Node: ref, Volume: epoch}); err != nil || d.img.Pos() != at {
		d.t.Fatalf("a volume that was removed again: %v", err)
	}
}

// usable counts the active volumes of a node, without one of them.
func (img *Image) usable(id base.NodeID, but base.NodeEpoch) (count int) {
	n, _ := img.Node(id)
	for _, v := range n.Volumes {
		if v.State == VolumeActive && v.Epoch != but {
			count++
		}
	}
	return count
}

// holds reports, by a slow reading, whether a stream lies on a volume of the node under its present epoch.
func (img *Image) holds(ref NodeRef, s Stream) bool {
	n, ok := img.Node(ref.ID)
	if !ok || n.Fenced || n.Epoch != ref.Epoch || s.Owner != ref.ID {
		return false
	}
	for _, v := range n.Volumes {
		if v.Epoch == s.OwnerEpoch {
			return true
		}
	}
	return false
}

// checkPlaced checks that streams of a topic were opened where they belong, by the image before.
func (d *driver) checkPlaced(before *Image, topic base.UUID, to base.NodeID, streams ...Stream) {
	n, _ := before.Node(to)
	t, _ := before.TopicByID(topic)
	want, fallback := t.Configs[WALClassConfig], ""
	has := map[string]bool{}
	for _, v := range n.Volumes {
		if v.State == VolumeActive {
			has[v.Class()] = true
			if fallback == "" {
				fallback = v.Class()
			}
		}
	}
	if !has[want] {
		if want != "" {
			d.accepted["class missing"]++
		}
		want = fallback
	}
	for _, s := range streams {
		v, ok := n.Volume(s.OwnerEpoch)
		if !ok || v.State != VolumeActive || v.Class() != want || s.OwnerEpoch != streams[0].OwnerEpoch {
			d.t.Fatalf("%+v was opened on %+v of %+v, the class should be %s", s, v, n, want)
		}
		if s.OwnerEpoch != n.Epoch {
			d.accepted["other volume"]++
		}
	}
}

// checkVolumes checks what holds of volumes in every image.
func checkVolumes(img *Image, bad func(string, ...any)) {
	owner := map[base.NodeEpoch]string{}
	once := func(epoch base.NodeEpoch, who string, ref NodeRef) {
		if img.EpochOver(ref) {
			bad("volume %d is of %s, and over", epoch, who)
		}
		if was, ok := owner[epoch]; ok || epoch >= img.nextNodeEpoch {
			bad("volume %d is of %s and of %s, the next is %d", epoch, who, was, img.nextNodeEpoch)
		}
		owner[epoch] = who
	}
	for r := range img.Rescues() {
		once(r.Victim.Epoch, fmt.Sprintf("rescue %v", r.Victim), r.Victim)
	}
	for n := range img.Nodes() {
		for _, v := range n.Volumes {
			if !n.Fenced {
				once(v.Epoch, fmt.Sprintf("node %v", n.Ref()), NodeRef{n.ID, v.Epoch})
			}
		}
		if !n.Fenced && img.usable(n.ID, 0) == 0 || len(n.Volumes) == 0 {
			bad("node %v has no volume it can use: %+v", n.Ref(), n.Volumes)
		}
	}
	for t := range img.Topics() {
		for p := range img.PartitionsOf(t.ID) {
			data, _ := img.Stream(p.Data)
			aux, _ := img.Stream(p.Meta)
			if data.State == Open && aux.State == Open && data.OwnerEpoch != aux.OwnerEpoch {
				bad("partition %s/%d lies on volumes %d and %d", t.Name, p.Index, data.OwnerEpoch, aux.OwnerEpoch)
			}
		}
	}
}
