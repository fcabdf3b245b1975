package clean

import (
	"context"
	"iter"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/broker/partition/memlog"
	"sluice/broker/topicconfig"
	"sluice/cluster/meta"
	"sluice/wire/batch"
)

var ctx = context.Background()

func TestDueAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := topicconfig.Config{
			Delete:         rapid.IntRange(0, 5).Draw(t, "delete") > 0,
			RetentionMS:    rapid.Int64Range(-1, 50).Draw(t, "retention.ms"),
			RetentionBytes: rapid.Int64Range(-1, 200).Draw(t, "retention.bytes"),
		}
		const now = 100
		var all []span
		at, total := base.Offset(0), int64(0)
		for range rapid.IntRange(0, 10).Draw(t, "spans") {
			s := span{base.OffsetRange{Start: at, End: at + base.Offset(rapid.IntRange(1, 5).Draw(t, "records"))}, rapid.Int64Range(0, 60).Draw(t, "bytes"), rapid.Int64Range(0, 120).Draw(t, "ts"), 0}
			all, at, total = append(all, s), s.End, total+s.bytes
		}
		upTo, ok := due(slices.Values(all), total, &cfg, now)
		if !ok {
			upTo = 0
		}
		left := int64(0)
		for _, s := range all {
			if s.Start >= upTo {
				left += s.bytes
			}
		}
		for i, s := range all {
			old := cfg.RetentionMS >= 0 && s.maxTimestamp < now-cfg.RetentionMS
			switch {
			case s.End <= upTo: // removed: it must have been due
				rest := int64(0)
				for _, r := range all[i+1:] {
					rest += r.bytes
				}
				if !cfg.Delete || !old && (cfg.RetentionBytes < 0 || rest < cfg.RetentionBytes) {
					t.Fatalf("span %d %+v went, %+v", i, s, cfg)
				}
			case s.Start == upTo && cfg.Delete: // the first that stays: it must not be due
				if old || cfg.RetentionBytes >= 0 && s.bytes > 0 && left-s.bytes >= cfg.RetentionBytes {
					t.Fatalf("span %d %+v stayed, %+v", i, s, cfg)
				}
			}
		}
	})
}

// rig is one partition with three committed ranges of two records each, of 10 bytes and the times 10, 20 and 30, and two records that
// are not uploaded.
type rig struct {
	img        *meta.Image
	node       meta.NodeRef
	p          *partition.Partition
	wal        *memlog.WAL
	data, meta *memlog.Log
	now        time.Time
	stop       func()
}

func newRig(t *testing.T, overrides map[string]string) *rig {
	img, err := meta.Empty().Apply(0, []meta.Record{meta.CreateCluster(base.NewUUID(), [32]byte{}, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{img: img, wal: &memlog.WAL{}, now: time.UnixMilli(40)}
	r.data, r.meta = r.wal.New(0), r.wal.New(0)
	r.node = r.must(t, &meta.Register{Incarnation: base.NewUUID(), Reclaim: base.NoNode, Name: "n", WAL: "mem://"}).(*meta.Registered).Node
	id := r.must(t, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: "t", Partitions: 1}}}).(*meta.TopicsCreated).Topics[0].ID
	open := r.must(t, &meta.OpenPartitions{Node: r.node, Partitions: []meta.OpenPartition{{Partition: meta.PartitionID{Topic: id}, Expected: -1}}}).(*meta.PartitionsOpened).Partitions[0]
	cfg, err := topicconfig.Parse(overrides, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.p, err = partition.Open(ctx, partition.Options{Topic: id, Name: "t", Epoch: open.Partition.LeaderEpoch, Config: &cfg, Data: r.data, Meta: r.meta,
		SnapshotBytes: 1, Now: func() time.Time { return r.now }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(4) {
		b := batch.NewBuilder(batch.Options{Idempotent: true, ProducerID: 1, BaseSequence: int32(2 * i)})
		b.Add(batch.Record{Timestamp: 10 * (i + 1), Key: []byte("k")})
		b.Add(batch.Record{Timestamp: 10 * (i + 1), Key: []byte("k")})
		r.p.Append(partition.AppendRequest{Batch: b.Bytes()}, func(res partition.AppendResult) {
			if res.Err != nil {
				t.Error(res.Err)
			}
		})
	}
	r.wal.Complete(100)
	r.stop = r.wal.Auto()
	ids := r.must(t, &meta.PrepareObjects{Node: r.node, Count: 3}).(*meta.ObjectsPrepared)
	up := &meta.CommitUpload{Node: r.node, Number: 1, Trim: 1}
	for i := range base.Offset(3) {
		obj := meta.UploadObject{ID: ids.First + base.ObjectID(i), Size: 10, Ranges: []meta.UploadRange{
			{Stream: open.Data.ID, Epoch: open.Data.Epoch, Range: base.OffsetRange{Start: 2 * i, End: 2*i + 2}, Bytes: 10, MaxTimestamp: int64(10 * (i + 1))}}}
		if i == 2 {
			obj.Ranges = append(obj.Ranges, meta.UploadRange{Stream: open.Meta.ID, Epoch: open.Meta.Epoch, Range: base.OffsetRange{Start: 0, End: 2}, Bytes: 1, MaxTimestamp: 1})
		}
		up.Objects = append(up.Objects, obj)
	}
	r.must(t, up)
	return r
}

func (r *rig) must(t *testing.T, cmd meta.Command) meta.Result {
	t.Helper()
	d := r.img.Draft()
	_, res, err := d.Execute(meta.Fill(cmd, base.NewUUID), 15)
	if err != nil {
		t.Fatal(err)
	}
	r.img = d.Image()
	return res
}

func (r *rig) cleaner() *Cleaner {
	return Start(Options{
		Partitions: func() iter.Seq[*partition.Partition] { return slices.Values([]*partition.Partition{r.p}) },
		Image:      func() *meta.Image { return r.img },
		Interval:   time.Hour,
		Now:        func() time.Time { return r.now },
	})
}

func TestRetention(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, tc := range []struct {
		what      string
		overrides map[string]string
		nowMS     int64
		start     base.Offset
	}{
		{"nothing is due", map[string]string{"retention.ms": "30"}, 40, 0},
		{"one range is due", map[string]string{"retention.ms": "29"}, 40, 2},
		{"everything is due, but only what is committed goes", map[string]string{"retention.ms": "5"}, 1000, 6},
		{"for ever", map[string]string{"retention.ms": "-1"}, 1 << 40, 0},
		{"by size", map[string]string{"retention.bytes": "15", "retention.ms": "-1"}, 40, 2},
		{"by size, all", map[string]string{"retention.bytes": "0"}, 40, 6},
		{"compacted", map[string]string{"cleanup.policy": "compact", "retention.ms": "1"}, 1000, 0},
	} {
		r := newRig(t, tc.overrides)
		r.now = time.UnixMilli(tc.nowMS)
		c := r.cleaner()
		c.Check(ctx)
		c.Check(ctx)
		c.Close()
		if start, hw, _, _ := r.p.Bounds(); start != tc.start || hw != 8 {
			t.Errorf("%s: log start %d, want %d", tc.what, start, tc.start)
		}
		// The first append has made a snapshot. To trim beyond what that covers takes another, which replaces it.
		if at := r.meta.Start(); at != min(tc.start/6, 1) {
			t.Errorf("%s: meta stream starts at %d", tc.what, at)
		}
		r.stop()
	}
}

func TestIdleProducersExpire(t *testing.T) {
	r := newRig(t, map[string]string{"retention.ms": "-1"})
	defer r.stop()
	c := r.cleaner()
	defer c.Close()
	c.ExpireProducers()
	if n := r.p.ProducerCount(); n != 1 {
		t.Fatal(n)
	}
	r.now = r.now.Add(24*time.Hour + time.Millisecond)
	c.ExpireProducers()
	if n := r.p.ProducerCount(); n != 0 {
		t.Fatal(n)
	}
}
