package node

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/base"
	"sluice/base/config"
	"sluice/cluster/meta"
	"sluice/storage/objstore/fault"
)

// another starts one more broker of the cluster, which the test does not stop by itself.
func (c *cluster) another() *Node {
	c.t.Helper()
	set := c.set
	c.set = append(c.set[:len(c.set):len(c.set)], config.Value{Name: "data", Text: c.t.TempDir(), From: "test"})
	n, err := c.open()
	c.set = set
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if n.member.Contact() == nil || n.Err() == nil { // not crashed by the test
			n.Shutdown(ctx)
		}
	})
	return n
}

func crash(n *Node) {
	n.fail(base.Errorf(base.Failed, "crashed by the test"))
	n.volumes.set.Abandon()
	n.abandon()
}

// until waits until a node's image is as wanted.
func until(t *testing.T, n *Node, what string, ok func(*meta.Image) bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !ok(n.member.Image()) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (c *cluster) at(n *Node, opts ...kgo.Opt) *kgo.Client {
	opts = append([]kgo.Opt{kgo.SeedBrokers(n.Info().Kafka), kgo.RetryTimeout(40 * time.Second), kgo.MetadataMinAge(20 * time.Millisecond)}, opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	return cl
}

// clusterSettings are those of a cluster. Its sessions are the usual ones: a process that is gone is noticed long before, and one that is only slow on a busy
// machine is not given up.
func clusterSettings(t *testing.T, wal string) []string {
	return []string{"wal=" + wal, "wal-s3-puts-per-second=1000", "data=" + t.TempDir()}
}

func TestBrokersShareTheLoad(t *testing.T) {
	t.Parallel()
	for _, wal := range []string{"s3", "file://" + t.TempDir() + "?shared=true&segment=1MiB&capacity=16MiB"} {
		t.Run(wal[:2], func(t *testing.T) {
			c := newCluster(t, clusterSettings(t, wal)...)
			a := c.start()
			b, d := c.another(), c.another()
			for _, n := range []*Node{a, b, d} {
				until(t, n, "three nodes", func(img *meta.Image) bool {
					live := 0
					for o := range img.Nodes() {
						if !o.Fenced {
							live++
						}
					}
					return live == 3
				})
			}
			c.createTopic("shared", 9)
			for _, n := range []*Node{a, b, d} {
				if led := d.member.Image().Led(n.self.ID); led != 3 {
					t.Fatalf("node %d leads %d partitions", n.self.ID, led)
				}
			}
			producer := c.at(b)
			c.produce(producer, "shared", 0, 900)
			c.wantEach(c.consume(c.at(a, reader("shared")...), 900), 0, 900)

			crash(d)
			c.produce(producer, "shared", 900, 300)
			c.wantEach(c.consume(c.at(b, reader("shared")...), 1200), 0, 1200)
			until(t, a, "the dead node leads nothing", func(img *meta.Image) bool { return img.Led(d.self.ID) == 0 })

			c.node = nil // the controller
			crash(a)
			c.produce(producer, "shared", 1200, 300)
			c.wantEach(c.consume(c.at(b, reader("shared")...), 1500), 0, 1500)
		})
	}
}

// A broker that is shut down hands everything over first: producers and a group notice nothing.
func TestShutdownHandsOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t, clusterSettings(t, "s3")...)
	a := c.start()
	b := c.another()
	c.createTopic("going", 20)
	producer := c.at(b, kgo.ProducerLinger(0))
	var failed atomic.Pointer[error]
	sent := 0
	send := func() {
		v := fmt.Sprintf("value-%06d", sent)
		sent++
		producer.Produce(context.Background(), &kgo.Record{Topic: "going", Key: []byte(v), Value: []byte(v)}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	down := make(chan error, 1)
	c.node = nil
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		down <- a.Shutdown(ctx)
	}()
	for over := false; !over; {
		send()
		select {
		case err := <-down:
			if over = true; err != nil {
				t.Fatal(err)
			}
		case <-time.After(time.Millisecond):
		}
	}
	for range 50 {
		send()
	}
	if err := producer.Flush(c.ctx()); err != nil {
		t.Fatal(err)
	}
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
	img := b.member.Image()
	if img.Led(b.self.ID) != img.PartitionCount() || !b.member.IsController() {
		t.Fatalf("leads %d of %d partitions, controller: %v", img.Led(b.self.ID), img.PartitionCount(), b.member.IsController())
	}
	c.wantEach(c.consume(c.at(b, reader("going")...), sent), 0, sent)
}

// Clocks that are years apart, and a controller's role that goes from one to the other: what is uploaded under one clock has expired, or is
// not yet due, under the other. Nothing is lost, and nothing stands still.
func TestClocksYearsApart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, clusterSettings(t, "s3")...)
	const year = 365 * 24 * time.Hour
	var nodes []*Node
	for i, skew := range []time.Duration{year, -year} {
		c.now = func() time.Time { return time.Now().Add(skew) }
		if i == 0 {
			nodes = append(nodes, c.start())
		} else {
			nodes = append(nodes, c.another())
		}
	}
	c.createTopic("timeless", 6)
	producer := c.at(nodes[0])
	const rounds = 8
	for round := range rounds {
		c.produce(producer, "timeless", round*200, 100)
		to := nodes[(round+1)%2]
		if err := nodes[round%2].member.Transfer(c.ctx(), to.self.ID); err != nil {
			t.Fatal(err)
		}
		c.produce(producer, "timeless", round*200+100, 100)
		for _, n := range nodes { // puts are committed, late or anew
			if err := n.volumes.open[0].engine.Flush(c.ctx()); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.wantEach(c.consume(c.at(nodes[1], reader("timeless")...), rounds*200), 0, rounds*200)
	c.node = nil
	crash(nodes[0])
	c.produce(producer, "timeless", rounds*200, 100)
	c.wantEach(c.consume(c.at(nodes[1], reader("timeless")...), rounds*200+100), 0, rounds*200+100)
}

// A broker with a WAL of its own that is stopped in order, and never starts again, can be unregistered, and nothing is left of it.
func TestUnregisterBrokerWithLocalWAL(t *testing.T) {
	dir := t.TempDir()
	wal := func(name string) string { return "file://" + dir + "/" + name + "?segment=1MiB&capacity=16MiB" }
	c := newCluster(t, "wal="+wal("a"), "data="+t.TempDir())
	first := c.start()
	c.set = append(c.set, config.Value{Name: "wal", Text: wal("b"), From: "test"})
	second := c.another()
	id := second.Info().Node
	c.createTopic("t", 6)
	cl := c.at(first)
	c.produce(cl, "t", 0, 60)
	if err := second.Shutdown(c.ctx()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir + "/b"); err != nil {
		t.Fatal(err)
	}
	until(t, first, "the broker is fenced, and its partitions have others", func(img *meta.Image) bool {
		n, ok := img.Node(id)
		return ok && n.Fenced && img.OpenOn(&n) == 0 && img.Led(id) == 0
	})
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.BrokerID = int32(id)
	resp, err := req.RequestWith(c.ctx(), cl)
	if err != nil || resp.ErrorCode != 0 {
		t.Fatalf("%v, %+v", err, resp)
	}
	until(t, first, "nothing is left of it", func(img *meta.Image) bool {
		for range img.Rescues() {
			return false
		}
		_, ok := img.Node(id)
		return !ok
	})
	c.produce(cl, "t", 60, 60)
	c.wantEach(c.consume(c.at(first, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), 120), 0, 120)
}

// A bucket that does not answer a put while a broker starts is not there, which may be otherwise the next time; nothing is said of what it can do.
func TestStartWithoutAnswers(t *testing.T) {
	c := newCluster(t, "wal=s3", "store-timeout=1s", "data="+t.TempDir())
	faulty := fault.New(c.store, 1)
	c.store = faulty
	faulty.SetRules(fault.Rule{Op: fault.Put, Effect: fault.Hang})
	if _, err := c.open(); !base.IsKind(err, base.Unavailable) {
		t.Fatalf("kind %v: %v", base.KindOf(err), err)
	}
	faulty.SetRules()
	c.start()
}
