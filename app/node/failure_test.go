package node

import (
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore/fault"
	"sluice/storage/wal/disk/memdisk"
)

// badDisk is a disk in memory on which a directory goes bad.
type badDisk struct {
	*memdisk.Disk
	fault atomic.Pointer[diskFault]
	hits  atomic.Int64
}

type diskFault struct {
	dir  string
	op   string // empty: every operation
	with error
}

func newBadDisk() *badDisk {
	d := &badDisk{Disk: memdisk.New()}
	d.SetHook(func(op memdisk.Op) error {
		if f := d.fault.Load(); f != nil && (f.op == "" || f.op == op.Kind) && strings.HasPrefix(op.Path, f.dir) {
			d.hits.Add(1)
			return f.with
		}
		return nil
	})
	return d
}

// twoDisks starts a broker with a WAL on each of two disks, and a topic with partitions on both.
func twoDisks(t *testing.T, settings ...string) (*cluster, *badDisk) {
	d := newBadDisk()
	c := newCluster(t, append([]string{"wal=" + walOn("a") + "," + walOn("b"), "data=/data", "upload-interval=1h"}, settings...)...)
	c.files, c.store = d, fault.New(c.store, 1)
	c.start()
	c.createTopic("moves", 6)
	return c, d
}

// writeLate has every partition of the topic append something; what becomes of it is for the client to find out.
func (c *cluster) writeLate() *kgo.Client {
	cl := c.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for p := range int32(6) {
		cl.Produce(c.ctx(), &kgo.Record{Topic: "moves", Partition: p, Value: []byte("late")}, nil)
	}
	return cl
}

func walOn(disk string) string { return "file:///" + disk + "/wal?segment=1MiB&capacity=16MiB" }

// onlyHas waits until the node has one volume left, on which everything is served.
func (c *cluster) onlyHas(disk string, topics ...string) {
	c.t.Helper()
	until(c.t, c.node, "everything is on disk "+disk, func(img *meta.Image) bool {
		self, _ := img.Node(c.node.self.ID)
		return len(self.Volumes) == 1 && self.Volumes[0].URL == walOn(disk) &&
			!slices.ContainsFunc(topics, func(topic string) bool { return slices.Contains(volumesOf(img, topic), "none") })
	})
}

// startWith starts the broker anew with other WALs.
func (c *cluster) startWith(wal string) {
	c.t.Helper()
	for i, v := range c.set {
		if v.Name == "wal" && v.Text != "" {
			c.set[i].Text = wal
		}
	}
	c.start()
}

// wantBesideLate reads the values 0 to n-1, and perhaps some of what writeLate did.
func (c *cluster) wantBesideLate(n int) {
	c.t.Helper()
	seen, cl := map[string]int{}, c.client(reader("moves")...)
	for len(seen) < n {
		fetches := cl.PollFetches(c.ctx())
		if err := fetches.Err(); err != nil {
			c.t.Fatalf("after %d of %d values: %v", len(seen), n, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if v := string(r.Value); v != "late" {
				seen[v]++
			}
		})
	}
	c.wantEach(seen, 0, n)
}

// A disk of two fails under load, in one of several ways: the broker goes on with the other one. Idempotent producers lose, repeat and reorder nothing, a
// group goes on, and a start without the disk finds everything.
func TestVolumeFails(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]diskFault{
		"writes fail":                {"/a/", "WriteDurable", syscall.EIO},
		"no room for what it has":    {"/a/", "WriteDurable", syscall.ENOSPC},
		"it is dead":                 {"/a/", "", syscall.EIO},
		"the second of them is dead": {"/b/", "", syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			c, d := twoDisks(t)
			self := c.node.self
			moves := c.load("moves", 6)
			moves.more(200)
			member := c.client(append(reader("moves"), kgo.ConsumerGroup("watchers"), kgo.DisableAutoCommit())...)
			c.consume(member, 100)
			d.fault.Store(&f)
			left := "b"
			if f.dir == "/b/" {
				left = "a"
			}
			c.onlyHas(left, "moves", "__consumer_offsets")
			moves.more(200)
			c.consume(member, 100)
			if err := member.CommitUncommittedOffsets(c.ctx()); err != nil {
				t.Fatal(err)
			}
			moves.end()
			if err := c.node.Err(); err != nil || d.hits.Load() == 0 {
				t.Fatalf("%d faults; %v", d.hits.Load(), err)
			}
			c.crash()
			c.startWith(walOn(left))
			if c.node.self.ID != self.ID {
				t.Fatalf("node %v came back as %v", self.ID, c.node.self.ID)
			}
			moves.end()
		})
	}
}

// Transactions go on across the failures of disks: coordinators, offsets and records are on both.
func TestExactlyOnceWhileVolumesFail(t *testing.T) {
	t.Parallel()
	c, d := twoDisks(t, "transaction.state.log.num.partitions=3")
	const records = 60
	c.fill("in", records)
	if _, err := kadm.NewClient(c.client()).CreateTopic(c.ctx(), 2, 1, nil, "out"); err != nil {
		t.Fatal(err)
	}
	c.copyTopic(records, nil, func(turn int) {
		switch turn {
		case 2:
			d.fault.Store(&diskFault{"/a/", "WriteDurable", syscall.EIO})
		case 5:
			c.onlyHas("b", "in", "out")
			if _, err := c.node.AddWAL(c.ctx(), walOn("c")); err != nil {
				t.Fatal(err)
			}
		case 7:
			d.fault.Store(&diskFault{"/b/", "", syscall.EIO})
		}
	})
	if err := c.writeLate().Flush(c.ctx()); err != nil { // what is never written to has not failed
		t.Fatal(err)
	}
	c.onlyHas("c", "in", "out")
	if got := c.committed("out", records); !slices.Equal(got, want(records)) {
		t.Fatalf("%d records of %d, or not in order of their values: %v", len(got), records, got)
	}
}

// What was acknowledged on a disk that has died is in memory only, and the bucket is away: it is there when the bucket is back. An orderly stop brings it to
// the bucket as well.
func TestVolumeFailsWithoutBucket(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		t.Run(map[bool]string{false: "comes back", true: "stopped"}[stopped], func(t *testing.T) {
			c, d := twoDisks(t)
			store := c.store.(*fault.Store)
			c.produce(c.client(), "moves", 0, 300)
			out := fault.Outage()
			out.Name = "outage"
			store.SetRules(out)
			d.fault.Store(&diskFault{"/a/", "", syscall.EIO})
			late := c.writeLate()
			for c.node.volumes.all()[0].fault.Load() == nil {
				time.Sleep(time.Millisecond)
			}
			for store.Fired("outage") == 0 {
				time.Sleep(time.Millisecond)
			}
			store.SetRules()
			if stopped {
				late.Close()
				c.stop()
				c.startWith(walOn("b"))
			} else {
				c.onlyHas("b", "moves")
				if err := late.Flush(c.ctx()); err != nil {
					t.Fatal(err)
				}
			}
			c.wantBesideLate(300)
		})
	}
}

// The last disk that is left takes the broker with it, as the only one does, also when others are there that drain.
func TestLastVolumeFails(t *testing.T) {
	for _, two := range []bool{false, true} {
		t.Run(map[bool]string{false: "one", true: "two"}[two], func(t *testing.T) {
			c, d := twoDisks(t)
			if !two {
				c.stop()
				c.startWith(walOn("a"))
			}
			c.produce(c.client(), "moves", 0, 300)
			d.fault.Store(&diskFault{"/", "WriteDurable", syscall.EIO})
			late := c.writeLate()
			<-c.node.Failed()
			late.Close()
			if err := c.node.Err(); !base.IsKind(err, base.Failed) {
				t.Fatal(err)
			}
			d.fault.Store(nil)
			c.crash()
			c.start()
			c.wantBesideLate(300)
		})
	}
}
