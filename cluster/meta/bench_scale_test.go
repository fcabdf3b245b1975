package meta

import (
	"encoding/binary"
	"runtime"
	"testing"

	"sluice/base"
)

// scaled returns an image with so many nodes and topics of 100 partitions each, all open and served by the leaders that the placement
// chose, and one committed upload per node that touches all it leads.
func scaled(nodes, topics int) *Image {
	const perTopic = 100
	d := Empty().Draft()
	d.emit(CreateCluster(base.UUID{1}, [32]byte{7}, 1))
	run := func(cmd Command) Result {
		_, res, err := d.Execute(cmd, 1)
		if err != nil {
			panic(err)
		}
		return res
	}
	var refs []NodeRef
	for i := range nodes {
		refs = append(refs, run(&Register{Incarnation: base.UUID{2, byte(i), 1}, Reclaim: base.NoNode, Name: "broker", Zone: "zone-a",
			WAL: "s3://bucket/wal", Endpoints: []Endpoint{{"PLAINTEXT", "host.example", 9092}, {PeerEndpoint, "host.example", 9091}}}).(*Registered).Node)
	}
	for i := range topics {
		id := base.UUID{3}
		binary.BigEndian.PutUint32(id[4:], uint32(i))
		run(&CreateTopics{Topics: []NewTopic{{Name: "topic-" + id.String(), Partitions: perTopic, ID: id}}})
	}
	for _, ref := range refs {
		open, serve := &OpenPartitions{Node: ref}, &ServePartitions{Node: ref}
		o := UploadObject{ID: run(&PrepareObjects{Node: ref, Count: 1}).(*ObjectsPrepared).First, Size: 1 << 20}
		for p := range d.img.PartitionsLedBy(ref.ID) {
			id := PartitionID{p.Topic, p.Index}
			open.Partitions = append(open.Partitions, OpenPartition{id, -1})
			serve.Partitions = append(serve.Partitions, EpochPartition{id, 0})
			o.Ranges = append(o.Ranges, UploadRange{Stream: p.Data, Range: base.OffsetRange{End: 100}, Bytes: 10000, MaxTimestamp: 1_700_000_000_000})
		}
		run(open)
		run(serve)
		run(&CommitUpload{Node: ref, Number: 1, Objects: []UploadObject{o}})
	}
	return d.Image()
}

// ledBy returns the first n partitions of a node.
func ledBy(img *Image, id base.NodeID, n int) []Partition {
	var out []Partition
	for p := range img.PartitionsLedBy(id) {
		if out = append(out, p); len(out) == n {
			break
		}
	}
	return out
}

func nodeRef(img *Image, id base.NodeID) NodeRef {
	n, _ := img.Node(id)
	return n.Ref()
}

func benchDecide(b *testing.B, img *Image, cmd Command) {
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		recs, _, err := Decide(img, cmd, 1)
		if err != nil {
			b.Fatal(err)
		}
		size = 0
		for _, r := range recs {
			size += len(AppendRecord(nil, r))
		}
	}
	b.ReportMetric(float64(size), "logB/op")
}

// moveAway moves a thousand partitions of node 1 to all the others.
func moveAway(img *Image) (*MovePartitions, *HandOver) {
	move, hand := &MovePartitions{}, &HandOver{Node: nodeRef(img, 1)}
	for i, p := range ledBy(img, 1, 1000) {
		id := PartitionID{p.Topic, p.Index}
		move.Partitions = append(move.Partitions, PartitionLeader{id, base.NodeID(2 + i%(img.nodes.len()-1))})
		hand.Partitions = append(hand.Partitions, HandedOver{id, 0, 100, 0})
	}
	return move, hand
}

func BenchmarkMovePartitions1000(b *testing.B) {
	img := scaled(20, 200)
	move, _ := moveAway(img)
	benchDecide(b, img, move)
}

func BenchmarkHandOver1000(b *testing.B) {
	img := scaled(20, 200)
	move, hand := moveAway(img)
	img, _ = img.Apply(img.Pos(), must(Decide(img, move, 1)))
	recs, res, _ := Decide(img, hand, 1)
	for _, rej := range res.(*Outcomes).Errs {
		if rej != nil {
			b.Fatal(rej)
		}
	}
	if after, _ := img.Apply(img.Pos(), recs); after.Led(1) != 0 || after.OpenStreams(hand.Node) != 0 {
		b.Fatalf("node 1 leads %d, %d open", after.Led(1), after.OpenStreams(hand.Node))
	}
	benchDecide(b, img, hand)
}

// BenchmarkCreate10000On100Nodes is BenchmarkCreateTopics10000 where the placement has something to choose from.
func BenchmarkCreate10000On100Nodes(b *testing.B) {
	benchDecide(b, scaled(100, 100), &CreateTopics{Topics: []NewTopic{{Name: "u", Partitions: 10_000, ID: base.UUID{9}}}})
}

// BenchmarkFenceNode looks at all partitions of the cluster.
func BenchmarkFenceNode(b *testing.B) {
	img := scaled(100, 1000)
	benchDecide(b, img, &FenceNode{Node: nodeRef(img, 1)})
}

// BenchmarkDeleteTopic takes a topic with 10,000 partitions out of the counts.
func BenchmarkDeleteTopic(b *testing.B) {
	benchDecide(b, grown(10_000, 0), &DeleteTopics{Topics: []TopicRef{{Name: "t"}}})
}

// BenchmarkImageMemory is what every broker holds of a cluster with 100 nodes and 100,000 partitions, and what starting from it costs.
func BenchmarkImageMemory(b *testing.B) {
	snapshot := scaled(100, 1000).AppendSnapshot(nil)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	used, n := uint64(0), 0
	for b.Loop() {
		b.StopTimer()
		before := heap()
		b.StartTimer()
		img, err := LoadSnapshot(snapshot)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		used += heap() - before
		n += img.PartitionCount()
		b.StartTimer()
	}
	b.ReportMetric(float64(used)/float64(n), "heapB/partition")
	b.ReportMetric(float64(len(snapshot))/100_000, "snapshotB/partition")
}
