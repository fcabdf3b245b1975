package meta

import (
	"runtime"
	"testing"

	"sluice/base"
)

// merged returns the compaction of the n ranges of every stream of the topic from range number from on into one range each, all in one object.
func merged(img *Image, node NodeRef, topic base.UUID, id base.ObjectID, from, n int) *CommitCompaction {
	cmd := &CommitCompaction{Node: node, Objects: []CompactedObject{{ID: id, Size: 1 << 20}}}
	for p := range img.PartitionsOf(topic) {
		s, _ := img.Stream(p.Data)
		r, i := Replacement{Stream: s.ID}, 0
		f := NewRange{Object: id, MaxTimestamp: 1_700_000_000_000}
		for g := range s.Held() {
			if i == from {
				r.Range.Start = g.Start
			}
			if i >= from && i < from+n {
				r.Range.End = g.End
				r.Sources = append(r.Sources, g.Object)
				f.Bytes += g.Bytes
			}
			i++
		}
		f.Range = r.Range
		r.New = []NewRange{f}
		cmd.Replacements = append(cmd.Replacements, r)
	}
	return cmd
}

// prepared returns the image with one object more that is prepared.
func prepared(img *Image, node NodeRef) (*Image, base.ObjectID) {
	recs, res, err := Decide(img, &PrepareObjects{Node: node, Count: 1}, 1)
	if err != nil {
		panic(err)
	}
	img, err = img.Apply(img.Pos(), recs)
	if err != nil {
		panic(err)
	}
	return img, res.(*ObjectsPrepared).First
}

// One command that replaces ranges of 10,000 streams makes records of bounded size and is small itself: what travels is a stream, the
// objects it was in and the one it is in.
func TestLargeCompactionIsSplit(t *testing.T) {
	const n = 10_000
	img := grown(n, 8)
	node := currentNode(img)
	topic, _ := img.TopicByName("t")
	img, id := prepared(img, node)
	cmd := merged(img, node, topic.ID, id, 0, 8)
	extra := 3000
	recs, res, err := Decide(img, &PrepareObjects{Node: node, Count: int32(extra)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if img, err = img.Apply(img.Pos(), recs); err != nil {
		t.Fatal(err)
	}
	for i := range extra { // some of use, one per stream; the others unused
		o := res.(*ObjectsPrepared).First + base.ObjectID(i)
		cmd.Objects = append(cmd.Objects, CompactedObject{ID: o, Size: 1, Kind: SO})
		if i%2 == 0 {
			cmd.Replacements[i].New[0].Object = o
		}
	}
	b := AppendCommand(nil, cmd)
	if len(b) > 60*n {
		t.Errorf("the command has %d bytes", len(b))
	}
	recs, res, err = Decide(img, cmd, 1)
	if err != nil {
		t.Fatal(err)
	}
	size, kinds := 0, map[string]int{}
	for _, r := range recs {
		b := AppendRecord(nil, r)
		if len(b) > 64<<10 {
			t.Errorf("a record %s of %d bytes", RecordName(r), len(b))
		}
		size += len(b)
		kinds[RecordName(r)]++
	}
	if kinds["rangesReplaced"] < n*2/recordItems || kinds["objectsCompacted"] != 2 || kinds["objectsMarked"] != 2 || size > 30*n {
		t.Errorf("records %v of %d bytes", kinds, size)
	}
	for _, v := range res.(*CompactionDone).Verdicts {
		if v != CompactReplaced {
			t.Fatal(v)
		}
	}
	if img, err = img.Apply(img.Pos(), recs); err != nil {
		t.Fatal(err)
	}
	if err := check(img); err != nil {
		t.Fatal(err)
	}
	if img.DestroyingCount() != 8+extra/2 {
		t.Fatalf("%d objects are destroying", img.DestroyingCount())
	}
}

// tiered uploads to all partitions of a topic and, as a compactor would, merges the newest ranges of all streams whenever eight of one
// tier have come together. It returns the image, and how many ranges a stream has.
func tiered(partitions, uploads int, compact bool) (*Image, int) {
	const fan = 8
	img := grown(partitions, 0)
	node, topic := currentNode(img), base.UUID{3}
	apply := func(cmd Command) {
		next, err := img.Apply(img.Pos(), must(Decide(img, cmd, 1)))
		if err != nil {
			panic(err)
		}
		img = next
	}
	var id base.ObjectID
	var tiers []int // of the ranges of each stream, oldest first
	for i := range uploads {
		img, id = prepared(img, node)
		apply(uploadAll(img, node, topic, id, uint64(i)+1))
		tiers = append(tiers, 0)
		for n := len(tiers); compact && n >= fan && tiers[n-fan] == tiers[n-1]; n = len(tiers) {
			img, id = prepared(img, node)
			apply(merged(img, node, topic, id, n-fan, fan))
			tiers = append(tiers[:n-fan], tiers[n-fan]+1)
		}
		if ids := marked(img); len(ids) > 0 { // the life cycle deletes them after their grace
			apply(&RemoveObjects{Objects: ids})
		}
	}
	return img, len(tiers)
}

func marked(img *Image) (ids []base.ObjectID) {
	for o := range img.Destroying() {
		ids = append(ids, o.ID)
	}
	return ids
}

// With compaction, ranges, objects and so the image grow with the logarithm of the uploads.
func TestCompactionBoundsTheImage(t *testing.T) {
	size := func(uploads int) int {
		img, ranges := tiered(20, uploads, true)
		if err := check(img); err != nil {
			t.Fatal(err)
		}
		for s := range img.Streams() {
			if s.Ranges() != ranges && s.Ranges() != 0 || s.ID%2 == 1 && s.CommittedEnd != base.Offset(100*uploads) || s.ranges.len() > 0 && len(s.ranges.chunks) > 2 {
				t.Fatalf("stream %+v", s)
			}
		}
		if img.ObjectCount() != ranges {
			t.Fatalf("%d objects, %d ranges per stream", img.ObjectCount(), ranges)
		}
		return len(img.AppendSnapshot(nil))
	}
	if a, b := size(63), size(511); b > 2*a { // seven of each tier; eight times the uploads is a tier more
		t.Fatalf("%d bytes after 63 uploads, %d after 511", a, b)
	}
}

// BenchmarkCompact10000 decides and applies one command that merges eight ranges of each of 10,000 streams.
func BenchmarkCompact10000(b *testing.B) {
	img, id := prepared(grown(10_000, 20), currentNode(grown(1, 0)))
	topic, _ := img.TopicByName("t")
	cmd := merged(img, currentNode(img), topic.ID, id, 4, 8)
	benchDecide(b, img, cmd)
	b.ReportMetric(float64(len(AppendCommand(nil, cmd))), "commandB")
}

// BenchmarkApplyCompact10000 is what a follower does with its records, decoding included.
func BenchmarkApplyCompact10000(b *testing.B) {
	img, id := prepared(grown(10_000, 20), currentNode(grown(1, 0)))
	topic, _ := img.TopicByName("t")
	recs := must(Decide(img, merged(img, currentNode(img), topic.ID, id, 4, 8), 1))
	var buf []byte
	for _, r := range recs {
		buf = AppendRecord(buf, r)
	}
	b.ReportAllocs()
	for b.Loop() {
		recs, err := DecodeRecords(buf, len(recs))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := img.Apply(img.Pos(), recs); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkImageAfterUploads is what every broker holds after 1,000 uploads that touch 1,000 streams each, less what it held before: with
// nothing compacted, and with merges of eight ranges into one.
func BenchmarkImageAfterUploads(b *testing.B) {
	const streams, uploads = 1000, 1000
	for _, compact := range []bool{false, true} {
		name := map[bool]string{false: "kept", true: "compacted"}[compact]
		b.Run(name, func(b *testing.B) {
			heap := func() uint64 {
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return m.HeapAlloc
			}
			empty := grown(streams, 0)
			without := len(empty.AppendSnapshot(nil))
			for b.Loop() {
				before := heap()
				img, ranges := tiered(streams, uploads, compact)
				after := heap()
				b.ReportMetric(float64(ranges), "ranges/stream")
				b.ReportMetric(float64(after-before)/streams, "heapB/stream")
				b.ReportMetric(float64(len(img.AppendSnapshot(nil))-without)/streams, "snapshotB/stream")
			}
			runtime.KeepAlive(empty)
		})
	}
}
