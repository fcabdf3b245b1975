package node

import (
	"context"
	"encoding/binary"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/base"
	"sluice/base/config"
	"sluice/cluster/meta"
	"sluice/storage/wal"
)

// volumesOf returns the class of WAL that each partition of a topic is on.
func volumesOf(img *meta.Image, topic string) (classes []string) {
	t, _ := img.TopicByName(topic)
	for p := range img.PartitionsOf(t.ID) {
		s, _ := img.Stream(p.Data)
		n, _ := img.Node(s.Owner)
		v, ok := n.Volume(s.OwnerEpoch)
		if s.State != meta.Open || p.State != meta.Serving || !ok {
			classes = append(classes, "none")
			continue
		}
		classes = append(classes, v.Class())
	}
	return classes
}

func all(classes []string, class string) bool {
	for _, c := range classes {
		if c != class {
			return false
		}
	}
	return len(classes) > 0
}

// setClass changes what class of WAL a topic asks for, as kafka-configs.sh does.
func (c *cluster) setClass(topic, class string) {
	c.t.Helper()
	res, err := kadm.NewClient(c.client()).AlterTopicConfigs(c.ctx(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: meta.WALClassConfig, Value: kadm.StringPtr(class)}}, topic)
	if err == nil && len(res) == 1 {
		err = res[0].Err
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func twoWALs(t *testing.T) string {
	return "wal=file://" + t.TempDir() + "/wal?segment=1MiB&capacity=16MiB,s3"
}

// A broker with two WALs puts topics where they ask to be, and finds everything after a crash.
func TestTwoWALs(t *testing.T) {
	c := newCluster(t, twoWALs(t), "wal-s3-puts-per-second=200", "upload-interval=1h", "data="+t.TempDir())
	first := c.start()
	id := first.self.ID
	c.createTopic("dir", 3)
	c.createTopic("bucket", 3, "sluice.wal.class=s3")
	c.createTopic("said", 2, "sluice.wal.class=file")
	for round := range 3 {
		for topic, class := range map[string]string{"dir": meta.ClassFile, "bucket": meta.ClassS3, "said": meta.ClassFile} {
			until(t, c.node, topic+" is on "+class, func(img *meta.Image) bool { return all(volumesOf(img, topic), class) })
			c.produce(c.client(), topic, round*300, 300)
			c.wantEach(c.consume(c.client(reader(topic)...), (round+1)*300), 0, (round+1)*300)
		}
		if round < 2 {
			c.crash()
			if again := c.start(); again.self.ID != id {
				t.Fatalf("node %v came back as %v", id, again.self.ID)
			}
		}
	}
}

// classLoad writes numbered records to every partition of a topic, in order and without duplicates on the part of the client, until it is stopped, and
// then checks that each partition has exactly those numbers, in order.
type classLoad struct {
	c      *cluster
	topic  string
	parts  int32
	sent   []int // by partition
	stop   context.CancelFunc
	ended  sync.WaitGroup
	failed atomic.Pointer[error]
	acked  atomic.Int64
}

func (c *cluster) load(topic string, parts int32) *classLoad {
	l := &classLoad{c: c, topic: topic, parts: parts, sent: make([]int, parts)}
	cl := c.client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(500))
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.ended.Go(func() {
		for ctx.Err() == nil {
			for p := range parts {
				v := binary.BigEndian.AppendUint64(nil, uint64(l.sent[p]))
				l.sent[p]++
				cl.Produce(context.Background(), &kgo.Record{Topic: topic, Partition: p, Value: v}, func(_ *kgo.Record, err error) {
					if err != nil {
						l.failed.Store(&err)
					}
					l.acked.Add(1)
				})
			}
		}
		if err := cl.Flush(c.ctx()); err != nil {
			l.failed.Store(&err)
		}
	})
	return l
}

// more waits until so many more records were acknowledged.
func (l *classLoad) more(n int64) {
	for to := l.acked.Load() + n; l.acked.Load() < to && l.failed.Load() == nil; {
		time.Sleep(5 * time.Millisecond)
	}
}

func (l *classLoad) end() {
	l.c.t.Helper()
	l.stop()
	l.ended.Wait()
	if err := l.failed.Load(); err != nil {
		l.c.t.Fatalf("produce: %v", *err)
	}
	next, left := make([]int, l.parts), 0
	for _, n := range l.sent {
		left += n
	}
	cl := l.c.client(reader(l.topic)...)
	for left > 0 {
		fetches := cl.PollFetches(l.c.ctx())
		if err := fetches.Err(); err != nil {
			l.c.t.Fatalf("%d records are left: %v", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if got := int(binary.BigEndian.Uint64(r.Value)); got != next[r.Partition] || r.Offset != int64(got) {
				l.c.t.Fatalf("partition %d, offset %d: record %d where %d is due", r.Partition, r.Offset, got, next[r.Partition])
			}
			next[r.Partition]++
			left--
		})
	}
}

// The class of a topic changes while idempotent producers write to it: nothing is lost, reordered or duplicated.
func TestClassChangesUnderLoad(t *testing.T) {
	c := newCluster(t, twoWALs(t), "wal-s3-puts-per-second=500", "data="+t.TempDir())
	c.start()
	c.createTopic("moves", 4)
	c.createTopic("stays", 2)
	moves, stays := c.load("moves", 4), c.load("stays", 2)
	moves.more(200)
	for _, class := range []string{meta.ClassS3, meta.ClassFile, meta.ClassS3, ""} {
		c.setClass("moves", class)
		want := class
		if want == "" {
			want = meta.ClassFile
		}
		until(t, c.node, "class "+want, func(img *meta.Image) bool { return all(volumesOf(img, "moves"), want) })
		moves.more(200)
		if !all(volumesOf(c.node.member.Image(), "stays"), meta.ClassFile) {
			t.Fatal("a topic moved that nobody touched")
		}
	}
	moves.end()
	stays.end()
	p, _ := c.node.member.Image().TopicByName("stays")
	for p := range c.node.member.Image().PartitionsOf(p.ID) {
		if p.LeaderEpoch != 0 {
			t.Fatalf("%+v was opened again", p)
		}
	}
}

// A WAL is added and another one drained while producers write. The drained one goes, with its files, and a start from the other one alone finds
// everything.
func TestAddAndDrainUnderLoad(t *testing.T) {
	dir := t.TempDir()
	url := func(name string) string { return "file://" + dir + "/" + name + "?segment=1MiB&capacity=16MiB" }
	c := newCluster(t, "wal="+url("a"), "data="+t.TempDir())
	n := c.start()
	first := n.self
	c.createTopic("moves", 6)
	load := c.load("moves", 6)
	load.more(200)
	volume, err := n.AddWAL(c.ctx(), url("b"))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := n.AddWAL(c.ctx(), url("b")); err != nil || again != volume {
		t.Fatalf("added again: %v, %v", again, err)
	}
	second := meta.NodeRef{ID: first.ID, Epoch: volume}
	until(t, n, "the new volume carries half", func(img *meta.Image) bool { return img.OpenStreams(first) == 6 && img.OpenStreams(second) == 6 })
	load.more(200)
	if _, err := n.member.Submit(c.ctx(), &meta.SetVolume{Node: first, Volume: first.Epoch, State: meta.VolumeDraining}); err != nil {
		t.Fatal(err)
	}
	until(t, n, "the first volume goes", func(img *meta.Image) bool {
		node, _ := img.Node(first.ID)
		return len(node.Volumes) == 1 && img.OpenStreams(second) == 12 && img.RescueCount() == 0
	})
	load.more(200)
	load.end()
	if open := n.volumes.all(); len(open) != 1 || open[0].ref != second {
		t.Fatalf("open are %s", n.volumes.String())
	}
	if left, _ := filepath.Glob(dir + "/a/*/*.seg"); len(left) > 0 {
		t.Fatalf("files are left: %q", left)
	}
	c.crash()
	for i, v := range c.set {
		if v.Name == "wal" {
			c.set[i].Text = url("b")
		}
	}
	if again := c.start(); again.self.ID != first.ID {
		t.Fatalf("node %v came back as %v", first.ID, again.self.ID)
	}
	load.end()
}

// A directory is one volume, whatever options it is named with, and one that is refused is left as it was.
func TestOneDirectoryIsOneVolume(t *testing.T) {
	dir := "file://" + t.TempDir()
	c := newCluster(t, "wal="+dir+"/a?shared=true", "data="+t.TempDir())
	n := c.start()
	for _, url := range []string{dir + "/a", dir + "/a/?segment=1MiB", dir + "/b/../a?shared=true&capacity=16MiB"} {
		if v, err := n.AddWAL(c.ctx(), url); !base.IsKind(err, base.Exists) {
			t.Errorf("%s was added to %s as volume %v: %v", url, n.volumes.String(), v, err)
		}
	}
	if is, err := wal.Identify(c.ctx(), dir+"/a?shared=true", wal.Options{FS: n.files()}); err != nil || is.Node != base.NoNode {
		t.Errorf("the shared directory says that it belongs to node %v, %v", is.Node, err)
	}
}

// A broker that was not told that a directory is shared does not take it from the others, neither at its start nor as another WAL.
func TestSharedDirectoryIsNotTaken(t *testing.T) {
	t.Parallel()
	dir := "file://" + t.TempDir()
	c := newCluster(t, "wal="+dir+"/a?shared=true", "data="+t.TempDir())
	n := c.start()
	c.createTopic("t", 1)
	c.produce(c.client(), "t", 0, 100)
	told := c.set
	with := func(wal string) {
		c.set = append(told[:len(told):len(told)], config.Value{Name: "wal", Text: wal, From: "test"})
	}
	with(dir + "/b")
	other := c.another()
	if v, err := other.AddWAL(c.ctx(), dir+"/a"); !base.IsKind(err, base.Invalid) {
		t.Errorf("the directory of others was added as volume %v: %v", v, err)
	}
	nodes := slices.Collect(n.member.Image().Nodes())
	with(dir + "/a")
	c.set = append(c.set, config.Value{Name: "data", Text: t.TempDir(), From: "test"})
	if third, err := c.open(); !base.IsKind(err, base.Invalid) {
		t.Errorf("a broker has started in the directory of others: %v", err)
		if err == nil {
			crash(third)
		}
	}
	if now := slices.Collect(n.member.Image().Nodes()); len(now) != len(nodes) {
		t.Errorf("%+v have become %+v", nodes, now)
	}
	c.set = told
	c.crash()
	c.start()
	c.wantEach(c.consume(c.client(reader("t")...), 100), 0, 100)
}

// What a broker that is gone had on a WAL in the bucket is served by another one at once; what it had in a directory of its own waits for it, and
// nothing of either is lost.
func TestBucketDoesNotWaitForDirectory(t *testing.T) {
	t.Parallel()
	c := newCluster(t, twoWALs(t), "wal-s3-puts-per-second=500", "balance=false", "upload-interval=1h", "data="+t.TempDir())
	gone := c.start()
	c.createTopic("dir", 2)
	c.createTopic("bucket", 2, "sluice.wal.class=s3")
	producer := c.client()
	c.produce(producer, "dir", 0, 200)
	c.produce(producer, "bucket", 0, 200)
	set := c.set
	c.set = append(c.set[:len(c.set):len(c.set)], config.Value{Name: "wal", Text: "s3", From: "test"})
	other := c.another()
	c.set = set
	c.node = nil
	crash(gone)
	until(t, other, "the bucket's topic has moved", func(img *meta.Image) bool {
		topic, _ := img.TopicByName("bucket")
		for p := range img.PartitionsOf(topic.ID) {
			if p.Leader != other.self.ID || p.State != meta.Serving {
				return false
			}
		}
		return true
	})
	c.wantEach(c.consume(c.at(other, reader("bucket")...), 200), 0, 200)
	topic, _ := other.member.Image().TopicByName("dir")
	for p := range other.member.Image().PartitionsOf(topic.ID) {
		if s, _ := other.member.Image().Stream(p.Data); s.State != meta.Open || s.OwnerEpoch != gone.self.Epoch {
			t.Fatalf("%+v was closed although its WAL is out of reach", s)
		}
	}
	if back := c.start(); back.self.ID != gone.self.ID {
		t.Fatalf("node %v came back as %v", gone.self.ID, back.self.ID)
	}
	c.wantEach(c.consume(c.at(other, reader("dir")...), 200), 0, 200)
}
