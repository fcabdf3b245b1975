package metalog

import (
	"encoding/binary"
	"slices"
	"testing"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/slotlog"
	"sluice/test/fixture"
)

// formatImage is an image with something in it.
func formatImage(t testing.TB) *meta.Image {
	d := meta.Empty().Draft()
	do := func(cmd meta.Command) meta.Result {
		_, res, err := d.Execute(cmd, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	created := slices.Concat([]byte{1, 2, 49}, []byte{0xaa}, make([]byte, 15), []byte{2}, make([]byte, 31), []byte{0xbb}) // clusterCreated, docs/formats.md
	rec, _, err := meta.DecodeRecord(created)
	if err == nil {
		err = d.Apply(rec)
	}
	if err != nil {
		t.Fatal(err)
	}
	node := do(&meta.Register{Incarnation: base.UUID{1}, Reclaim: base.NoNode, Name: "n", Zone: "z", WAL: "s3"}).(*meta.Registered).Node
	do(&meta.CreateTopics{Topics: []meta.NewTopic{{Name: "orders", Partitions: 2, ID: base.UUID{2}, Configs: map[string]string{"retention.ms": "1"}}}})
	do(&meta.PrepareObjects{Node: node, Count: 3})
	return d.Image()
}

// What version 1 wrote is read for ever: the head of a slot, a snapshot, the mark.
func TestOldFormats(t *testing.T) {
	at := Position{Epoch: 3, Slot: 9}
	b := fixture.Bytes(t, "snapshot-v1", func() []byte { return encodeSnapshot(formatImage(t), at) })
	img, got, err := DecodeSnapshot(b)
	if err != nil || got != at {
		t.Fatalf("%v, %v", got, err)
	}
	topic, ok := img.TopicByName("orders")
	node, ok2 := img.Node(1)
	if !ok || !ok2 || topic.ID != (base.UUID{2}) || topic.Partitions != 2 || topic.Configs["retention.ms"] != "1" || node.Zone != "z" || img.PreparedCount() != 3 || img.ClusterID() != (base.UUID{0xaa}) {
		t.Errorf("%+v, %+v, %d prepared", topic, node, img.PreparedCount())
	}
	b = fixture.Bytes(t, "slot-payload-v1", func() []byte {
		return slices.Concat(slotHead{pos: 300, starts: true, prevEnd: 70}.append(nil), []byte{2, 2, 6, 0xac, 0x02, 2, 'm', 'e', 6})
	})
	info, recs, err := DecodeSlot(slotlog.Slot{Epoch: 4, Records: 1, Payload: b})
	if err != nil || info != (SlotInfo{300, true, 70}) || len(recs) != 1 || meta.RecordName(recs[0]) != "controllerChanged" {
		t.Errorf("%+v, %v, %v", info, recs, err)
	}
	m := mark{cluster: base.UUID{5}, place: "etcd://host:2379/sluice"}
	b = fixture.Bytes(t, "mark-v1", m.encode)
	if got, err := decodeMark(b); err != nil || got != m {
		t.Errorf("%+v, %v", got, err)
	}
}

// FuzzStored: slots, snapshots and marks are read, or Corrupt. Checksums are made right, so that what lies behind them is reached.
func FuzzStored(f *testing.F) {
	f.Add(encodeSnapshot(formatImage(f), Position{3, 9}))
	f.Add(slices.Concat(slotHead{pos: 300}.append(nil), []byte{2, 2, 6, 0xac, 0x02, 2, 'm', 'e', 6}))
	f.Add(mark{base.UUID{5}, "etcd://host"}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(err error) {
			if err != nil && !base.IsKind(err, base.Corrupt) {
				t.Fatal(err)
			}
		}
		for _, slot := range []uint64{0, 1} {
			_, _, err := DecodeSlot(slotlog.Slot{Slot: slot, Records: 1, Payload: b})
			check(err)
		}
		_, err := decodeMark(b)
		check(err)
		if len(b) > snapshotHeader {
			b = slices.Clone(b)
			sign(b)
		}
		img, _, err := DecodeSnapshot(b)
		check(err)
		if err == nil {
			if _, err := meta.LoadSnapshot(img.AppendSnapshot(nil)); err != nil {
				t.Fatalf("what was read and written again: %v", err)
			}
		}
	})
}

// sign gives a snapshot the length and the checksum that its bytes ask for.
func sign(b []byte) {
	binary.BigEndian.PutUint64(b[48:], uint64(len(b)-snapshotHeader))
	binary.BigEndian.PutUint32(b[56:], snapshotCRC(b))
}
