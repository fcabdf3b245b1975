package meta

import (
	"sync"
	"testing"

	"sluice/base"
)

// grown returns an image with one topic of that many partitions, all open, and so many committed uploads that touch each.
func grown(partitions, uploads int) *Image {
	d := Empty().Draft()
	d.emit(CreateCluster(base.UUID{1}, [32]byte{7}, 1))
	run := func(cmd Command) Result {
		_, res, err := d.Execute(cmd, 1)
		if err != nil {
			panic(err)
		}
		return res
	}
	node := run(&Register{Incarnation: base.UUID{2}, Reclaim: base.NoNode}).(*Registered).Node
	topic := base.UUID{3}
	run(&CreateTopics{Topics: []NewTopic{{Name: "t", Partitions: int32(partitions), ID: topic}}})
	run(openAll(node, topic, partitions))
	for i := range uploads {
		run(uploadAll(d.img, node, topic, run(&PrepareObjects{Node: node, Count: 1}).(*ObjectsPrepared).First, uint64(i)+1))
	}
	return d.Image()
}

func openAll(node NodeRef, topic base.UUID, n int) *OpenPartitions {
	cmd := &OpenPartitions{Node: node}
	for i := range n {
		cmd.Partitions = append(cmd.Partitions, OpenPartition{PartitionID{topic, int32(i)}, -1})
	}
	return cmd
}

func uploadAll(img *Image, node NodeRef, topic base.UUID, id base.ObjectID, number uint64) *CommitUpload {
	o := UploadObject{ID: id, Size: 1 << 20}
	for p := range img.PartitionsOf(topic) {
		s, _ := img.Stream(p.Data)
		o.Ranges = append(o.Ranges, UploadRange{Stream: s.ID, Epoch: s.Epoch, Range: base.OffsetRange{Start: s.CommittedEnd, End: s.CommittedEnd + 100}, Bytes: 10000, MaxTimestamp: 1_700_000_000_000})
	}
	return &CommitUpload{Node: node, Number: number, Objects: []UploadObject{o}}
}

func currentNode(img *Image) NodeRef {
	for n := range img.Nodes() {
		return n.Ref()
	}
	panic("no node")
}

// Records are bounded, also when one command touches very much, and the image does not grow with what is in the uploads.
func TestLargeCommandsAreSplit(t *testing.T) {
	const n = 10_000
	img := grown(n, 1)
	node := currentNode(img)
	topic, _ := img.TopicByName("t")
	check := func(cmd Command, least int) {
		t.Helper()
		recs, _, err := Decide(img, cmd, 1)
		if err != nil || len(recs) < least {
			t.Fatalf("%s: %d records, %v", CommandName(cmd), len(recs), err)
		}
		for _, r := range recs {
			if b := AppendRecord(nil, r); len(b) > 64<<10 {
				t.Fatalf("%s: a record %s of %d bytes", CommandName(cmd), RecordName(r), len(b))
			}
		}
	}
	check(&CreateTopics{Topics: []NewTopic{{Name: "u", Partitions: n, ID: base.UUID{9}}}}, 10)
	img2, err := img.Apply(img.Pos(), must(Decide(img, &PrepareObjects{Node: node, Count: 1}, 1)))
	if err != nil {
		t.Fatal(err)
	}
	img = img2
	check(uploadAll(img, node, topic.ID, 2, 2), 10)
	trim, cl := &TrimStreams{Node: node}, &CloseStreams{Node: node}
	for p := range img.PartitionsOf(topic.ID) {
		trim.Trims = append(trim.Trims, StreamTrim{p.Data, 0, 50})
		cl.Closes = append(cl.Closes, StreamClose{p.Data, 0, 100})
	}
	check(trim, 10)
	check(cl, 10)
}

func must(recs []Record, _ Result, err error) []Record {
	if err != nil {
		panic(err)
	}
	return recs
}

// Images are read, forked and decided against by many goroutines at once while the next ones are made (for the race detector).
func TestImagesAreShared(t *testing.T) {
	img := grown(50, 3)
	node := currentNode(img)
	want := dump(img)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			cur := img
			for range 20 {
				recs, res, err := Decide(cur, &PrepareObjects{Node: node, Count: 1}, 1)
				if err != nil {
					panic(err)
				}
				next, err := cur.Apply(cur.Pos(), recs)
				if err != nil {
					panic(err)
				}
				topic, _ := next.TopicByName("t")
				n, _ := next.Node(node.ID)
				recs, _, err = Decide(next, uploadAll(next, node, topic.ID, res.(*ObjectsPrepared).First, n.Volumes[0].LastUpload+1), 1)
				if err != nil {
					panic(err)
				}
				if cur, err = next.Apply(next.Pos(), recs); err != nil {
					panic(err)
				}
			}
		})
		wg.Go(func() {
			for range 5 {
				if dump(img) != want {
					panic("a shared image changed")
				}
			}
		})
	}
	wg.Wait()
	if dump(img) != want {
		t.Fatal("a shared image changed")
	}
}

func BenchmarkCreateTopics10000(b *testing.B) {
	img := grown(1, 0)
	cmd := &CreateTopics{Topics: []NewTopic{{Name: "u", Partitions: 10_000, ID: base.UUID{9}}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Decide(img, cmd, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen10000(b *testing.B) {
	img := grown(1, 0)
	node := currentNode(img)
	topic := base.UUID{9}
	img, _ = img.Apply(img.Pos(), must(Decide(img, &CreateTopics{Topics: []NewTopic{{Name: "u", Partitions: 10_000, ID: topic}}}, 1)))
	cmd := openAll(node, topic, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Decide(img, cmd, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func benchCommit(b *testing.B, partitions, uploads int) {
	img := grown(partitions, uploads)
	node := currentNode(img)
	img, _ = img.Apply(img.Pos(), must(Decide(img, &PrepareObjects{Node: node, Count: 1}, 1)))
	topic, _ := img.TopicByName("t")
	cmd := uploadAll(img, node, topic.ID, base.ObjectID(uploads)+1, uint64(uploads)+1)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Decide(img, cmd, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommitUpload1(b *testing.B)     { benchCommit(b, 1, 1000) }
func BenchmarkCommitUpload10000(b *testing.B) { benchCommit(b, 10_000, 20) }

// BenchmarkApplyRecord is the cost of one small record on a large image, draft and all: what an idle follower pays per slot.
func BenchmarkApplyRecord(b *testing.B) {
	img := grown(10_000, 5)
	recs := []Record{&producerIDsAllocated{Node: currentNode(img), First: img.nextProducerID, Count: 1000}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := img.Apply(img.Pos(), recs); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApplyTouch is the same for a record that changes one stream among 20,000: the copied path of a tree.
func BenchmarkApplyTouch(b *testing.B) {
	img := grown(10_000, 5)
	recs := []Record{&streamsTrimmed{Streams: []trimmedStream{{9999, 1}}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := img.Apply(img.Pos(), recs); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFork(b *testing.B) {
	img := grown(10_000, 1)
	b.ReportAllocs()
	for b.Loop() {
		_ = img.fork()
	}
}

func BenchmarkLocate(b *testing.B) {
	img := grown(1000, 1000)
	topic, _ := img.TopicByName("t")
	p, _ := img.Partition(topic.ID, 500)
	b.ReportAllocs()
	i := base.Offset(0)
	for b.Loop() {
		loc, err := img.Locate(p.Data, i*777%100_000, 4)
		if err != nil || len(loc.Objects) == 0 {
			b.Fatal(loc, err)
		}
		i++
	}
}

func BenchmarkSnapshot(b *testing.B) {
	img := grown(10_000, 20)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = img.AppendSnapshot(buf[:0])
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkLoadSnapshot(b *testing.B) {
	buf := grown(10_000, 20).AppendSnapshot(nil)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := LoadSnapshot(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeRecords(b *testing.B) {
	img := grown(10_000, 1)
	node := currentNode(img)
	img, _ = img.Apply(img.Pos(), must(Decide(img, &PrepareObjects{Node: node, Count: 1}, 1)))
	topic, _ := img.TopicByName("t")
	recs := must(Decide(img, uploadAll(img, node, topic.ID, 2, 2), 1))
	var buf []byte
	for _, r := range recs {
		buf = AppendRecord(buf, r)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeRecords(buf, len(recs)); err != nil {
			b.Fatal(err)
		}
	}
}
