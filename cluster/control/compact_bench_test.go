package control

import (
	"encoding/binary"
	"testing"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/compact"
)

// largeImage returns an image of so many nodes and topics of 100 partitions, with so many uploads of each node that touch all it leads.
func largeImage(b *testing.B, nodes, topics, uploads int) *meta.Image {
	img, err := meta.Empty().Apply(0, []meta.Record{meta.CreateCluster(base.UUID{1}, [32]byte{7}, 1)})
	if err != nil {
		b.Fatal(err)
	}
	d := img.Draft()
	run := func(cmd meta.Command) meta.Result {
		_, res, err := d.Execute(cmd, 1)
		if err != nil {
			b.Fatal(err)
		}
		return res
	}
	var refs []meta.NodeRef
	for i := range nodes {
		refs = append(refs, run(&meta.Register{Incarnation: base.UUID{2, byte(i), 1}, Reclaim: base.NoNode, WAL: "s3://wal"}).(*meta.Registered).Node)
	}
	for i := range topics {
		id := base.UUID{3}
		binary.BigEndian.PutUint32(id[4:], uint32(i))
		run(&meta.CreateTopics{Topics: []meta.NewTopic{{Name: id.String(), Partitions: 100, ID: id}}})
	}
	for _, ref := range refs {
		open := &meta.OpenPartitions{Node: ref}
		for p := range d.View().PartitionsLedBy(ref.ID) {
			open.Partitions = append(open.Partitions, meta.OpenPartition{Partition: meta.PartitionID{Topic: p.Topic, Index: p.Index}, Expected: -1})
		}
		opened := run(open).(*meta.PartitionsOpened).Partitions
		for n := range base.Offset(uploads) {
			o := meta.UploadObject{ID: run(&meta.PrepareObjects{Node: ref, Count: 1}).(*meta.ObjectsPrepared).First, Size: 1 << 20}
			for _, p := range opened {
				o.Ranges = append(o.Ranges, meta.UploadRange{Stream: p.Data.ID, Range: base.OffsetRange{Start: 100 * n, End: 100*n + 100}, Bytes: 10_000})
			}
			run(&meta.CommitUpload{Node: ref, Number: uint64(n) + 1, Objects: []meta.UploadObject{o}})
		}
	}
	return d.Image()
}

// BenchmarkLookAfter makes the view of one of so many nodes from 100,000 streams with ten ranges each. The rest of the work, looking at
// everybody else's ranges, is the same for all.
func BenchmarkLookAfter(b *testing.B) {
	for _, nodes := range []int{1, 100} {
		img := largeImage(b, nodes, 1000, 10)
		b.Run(map[int]string{1: "1node", 100: "100nodes"}[nodes], func(b *testing.B) {
			b.ReportAllocs()
			var v compact.View
			for b.Loop() {
				v = lookAfter(img, 1)
			}
			ranges := 0
			for _, o := range v.Objects {
				ranges += len(o.Ranges)
			}
			b.ReportMetric(float64(ranges), "ranges")
		})
	}
}
