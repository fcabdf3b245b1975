package meta

import (
	"os"
	"testing"

	"sluice/base"
)

// A snapshot that a program wrote which knew one WAL per node is read.
func TestSnapshotOfOneVolume(t *testing.T) {
	b, err := os.ReadFile("testdata/snapshot-v2.bin")
	if err != nil {
		t.Fatal(err)
	}
	img, err := LoadSnapshot(b)
	if err != nil || b[0] != 2 {
		t.Fatalf("version %d: %v", b[0], err)
	}
	if got, want := dump(img), dump(grown(3, 2)); got != want {
		t.Fatalf("%s\nwant\n%s", got, want)
	}
}

// more adds a volume to a node, and says that it is there.
func (w *world) more(node NodeRef, url string) NodeRef {
	w.t.Helper()
	v := w.do(&AddVolume{Node: node, URL: url}).(*VolumeAdded).Epoch
	w.do(&SetVolume{Node: node, Volume: v, State: VolumeActive, Made: true})
	return NodeRef{node.ID, v}
}

// class changes the class that a topic asks for.
func (w *world) class(name, class string) {
	w.t.Helper()
	w.do(&AlterConfigs{Changes: []ConfigChange{{Kind: TopicConfig, Name: name, Configs: map[string]string{WALClassConfig: class}}}})
}

// hand hands all partitions of a topic over, which lie open and committed at their ends.
func (w *world) hand(node NodeRef, topic base.UUID) {
	w.t.Helper()
	cmd := &HandOver{Node: node}
	for p := range w.img.PartitionsOf(topic) {
		data, _ := w.img.Stream(p.Data)
		aux, _ := w.img.Stream(p.Meta)
		cmd.Partitions = append(cmd.Partitions, HandedOver{PartitionID{topic, p.Index}, p.LeaderEpoch, data.CommittedEnd, aux.CommittedEnd})
	}
	w.do(cmd)
}

func TestClassOfTopic(t *testing.T) {
	w := newWorld(t)
	node := w.register(base.NoNode)
	topic := w.topic("t", 2)
	s := w.open(node, topic)[0]
	if s.OwnerEpoch != node.Epoch {
		t.Fatalf("opened on %d", s.OwnerEpoch)
	}
	w.class("t", ClassS3)
	if p := w.at(topic, 0); w.img.Misplaced(p) {
		t.Fatal("a node that has one volume has no better one")
	}
	v := w.more(node, "s3")
	if p := w.at(topic, 0); !w.img.Misplaced(p) {
		t.Fatal("the topic asks for s3")
	}
	w.refused(&CommitUpload{Node: v, Number: 2}, UploadGap, base.Invalid)
	id := w.do(&PrepareObjects{Node: v, Count: 1}).(*ObjectsPrepared).First
	up := &CommitUpload{Node: v, Number: 1, Trim: 3, Objects: []UploadObject{{ID: id, Ranges: []UploadRange{{Stream: s.ID, Epoch: s.Epoch, Range: base.OffsetRange{End: 5}}}}}}
	if got := w.do(up).(*UploadDone).Verdicts; got[0] != VerdictNotOwned {
		t.Fatalf("an upload from a volume that the stream is not on: %v", got)
	}
	if o, _ := w.img.Object(id); o.Node != node {
		t.Fatalf("prepared by %v", o.Node)
	}
	w.hand(node, topic)
	p := w.at(topic, 0)
	if s, _ := w.img.Stream(p.Data); s.OwnerEpoch != v.Epoch || p.Leader != node.ID || p.State != Opening || w.img.Misplaced(p) || w.img.OpenStreams(v) != 4 || w.img.OpenStreams(node) != 0 {
		t.Fatalf("handed over to the other volume: %+v, %+v", p, s)
	}
	w.do(&ServePartitions{Node: node, Partitions: []EpochPartition{{PartitionID{topic, 0}, p.LeaderEpoch}}})
	w.class("t", "")
	if !w.img.Misplaced(p) {
		t.Fatal("without a class a topic belongs on the first volume's")
	}
}

func TestFewestStreams(t *testing.T) {
	w := newWorld(t)
	node := w.register(base.NoNode)
	volumes := []NodeRef{node, w.more(node, "file:///b"), w.more(node, "s3"), w.more(node, "file:///c")}
	w.open(node, w.topic("t", 9))
	for i, want := range []int{6, 6, 0, 6} {
		if got := w.img.OpenStreams(volumes[i]); got != want {
			t.Errorf("volume %d: %d streams, want %d", i, got, want)
		}
	}
}

// A node has one volume at a place, whatever the options in its URL.
func TestOneVolumeAtAPlace(t *testing.T) {
	w := newWorld(t)
	node := w.register(base.NoNode)
	a := w.more(node, "file:///a?segment=1MiB")
	w.refused(&AddVolume{Node: node, URL: "file:///a"}, VolumeBusy, base.Exists)
	w.refused(&AddVolume{Node: node, URL: "file:///a?segment=2MiB"}, VolumeBusy, base.Exists)
	if again := w.do(&AddVolume{Node: node, URL: "file:///a?segment=1MiB"}).(*VolumeAdded).Epoch; again != a.Epoch {
		t.Fatalf("volume %d, added again, is %d", a.Epoch, again)
	}
	w.more(node, "file:///aa")
	w.do(&SetVolume{Node: node, Volume: a.Epoch, State: VolumeDraining})
	w.do(&RemoveVolume{Node: node, Volume: a.Epoch})
	w.more(node, "file:///a?segment=2MiB")
}

// Draining: nothing is opened on the volume, what is on it is misplaced, and when it is empty it goes, by a rescue that finds nothing.
func TestDrainVolume(t *testing.T) {
	w := newWorld(t)
	node := w.register(base.NoNode)
	topic := w.topic("t", 2)
	w.open(node, topic)
	drain := func(v NodeRef) *SetVolume { return &SetVolume{Node: node, Volume: v.Epoch, State: VolumeDraining} }
	w.refused(drain(node), VolumeBusy, base.Exists)
	w.refused(drain(NodeRef{node.ID, 99}), UnknownVolume, base.NotFound)
	b := NodeRef{node.ID, w.do(&AddVolume{Node: node, URL: "file:///b"}).(*VolumeAdded).Epoch}
	w.refused(drain(node), VolumeBusy, base.Exists)
	w.refused(drain(b), VolumeBusy, base.Exists)
	w.refused(&SetVolume{Node: node, Volume: b.Epoch, State: VolumeActive}, VolumeBusy, base.Exists)
	w.do(&SetVolume{Node: node, Volume: b.Epoch, State: VolumeActive, Made: true})
	w.do(drain(node))
	w.refused(&AddVolume{Node: node, URL: "mem://x"}, VolumeBusy, base.Exists)
	w.refused(&RemoveVolume{Node: node, Volume: node.Epoch}, VolumeBusy, base.Exists)
	if !w.img.Misplaced(w.at(topic, 0)) {
		t.Fatal("it lies on a volume that drains")
	}
	w.hand(node, topic)
	w.refused(drain(b), VolumeBusy, base.Exists)
	w.do(&RemoveVolume{Node: node, Volume: node.Epoch})
	r, _ := w.img.Rescue(node)
	if n, _ := w.img.Node(node.ID); len(n.Volumes) != 1 || n.Volumes[0].Epoch != b.Epoch || r.State != RescuePending || !r.Incarnation.IsZero() {
		t.Fatalf("%+v, %+v", n, r)
	}
	w.refused(&CommitUpload{Node: node, Number: 1}, StaleEpoch, base.Fenced)
	g := w.do(&GrantRescue{Victim: node, Rescuer: node}).(*Granted).Rescue
	w.do(&CompleteRescue{Victim: node, Grant: g.Grant})
	if s, _ := w.img.Stream(w.at(topic, 1).Data); s.State != Open || s.OwnerEpoch != b.Epoch {
		t.Fatalf("the rescue of a volume has closed what is on another: %+v", s)
	}
	w.do(&ForgetRescue{Victim: node})
	w.do(&ServePartitions{Node: node, Partitions: []EpochPartition{{PartitionID{topic, 0}, 1}}}) // the node is what it was
	w.do(&FenceNode{Node: node})
	if _, ok := w.img.Rescue(node); ok || w.img.RescueCount() != 1 || w.img.Current(b) {
		t.Fatal("a node that is fenced has one volume to rescue")
	}
}

// A node that is fenced leaves one rescue per volume; each closes what was on its volume.
func TestRescuePerVolume(t *testing.T) {
	w := newWorld(t)
	node, other := w.register(base.NoNode), w.register(base.NoNode)
	w.do(&DrainNode{Node: other, Drain: true})
	v := w.more(node, "s3")
	onFile, onS3 := w.topic("f", 1), w.topic("s", 1)
	w.class("s", ClassS3)
	w.open(node, onFile)
	w.open(node, onS3)
	w.do(&FenceNode{Node: node})
	if w.img.RescueCount() != 2 || w.img.Current(v) || w.img.Current(node) {
		t.Fatalf("%d rescues", w.img.RescueCount())
	}
	w.refused(&PrepareObjects{Node: v, Count: 1}, StaleEpoch, base.Fenced)
	g := w.do(&GrantRescue{Victim: v, Rescuer: other}).(*Granted).Rescue
	w.do(&CompleteRescue{Victim: v, Grant: g.Grant})
	a, _ := w.img.Stream(w.at(onFile, 0).Data)
	b, _ := w.img.Stream(w.at(onS3, 0).Data)
	if a.State != Open || b.State != Closed {
		t.Fatalf("%+v, %+v", a, b)
	}
	w.do(&ForgetRescue{Victim: v})
	w.refused(&UnregisterNode{ID: node.ID}, RescueRunning, base.Unavailable)
}

// New partitions of a topic that asks for a class of WAL go to nodes that have it, as long as one of those takes partitions; of others anywhere.
func TestNewPartitionsGoWhereTheirClassIs(t *testing.T) {
	w := newWorld(t)
	plain, with := w.register(base.NoNode), w.register(base.NoNode)
	w.more(with, "s3")
	create := func(name, class string) base.UUID {
		id := base.NewUUID()
		w.do(&CreateTopics{Topics: []NewTopic{{Name: name, Partitions: 4, ID: id, Configs: map[string]string{WALClassConfig: class}}}})
		return id
	}
	led := func(topic base.UUID) map[base.NodeID]int {
		n := map[base.NodeID]int{}
		for p := range w.img.PartitionsOf(topic) {
			n[p.Leader]++
		}
		return n
	}
	if n := led(create("with", ClassS3)); n[with.ID] != 4 {
		t.Errorf("s3: %v", n)
	}
	if n := led(create("plain", ClassFile)); n[plain.ID] != 4 {
		t.Errorf("file: %v", n)
	}
	if n := led(create("any", "")); n[plain.ID] != 2 || n[with.ID] != 2 {
		t.Errorf("no class: %v", n)
	}
	w.do(&CreatePartitions{Topics: []MorePartitions{{Topic: TopicRef{Name: "with"}, Count: 8}}})
	topic, _ := w.img.TopicByName("with")
	if n := led(topic.ID); n[with.ID] != 8 {
		t.Errorf("more of s3: %v", n)
	}
	w.do(&DrainNode{Node: with, Drain: true})
	if n := led(create("none", ClassS3)); n[plain.ID] != 4 {
		t.Errorf("s3 with its only node draining: %v", n)
	}
}
