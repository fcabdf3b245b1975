package node

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/base"
)

// cleaned waits until every partition of a topic is uploaded and compacted up to its end.
func (c *cluster) cleaned(topic string) {
	c.t.Helper()
	for deadline := time.Now().Add(25 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		done := true
		for p := range c.node.lead.Directory().All() {
			id, name, index := p.ID()
			img := c.node.member.Image()
			mp, ok := img.Partition(id, index)
			s, ok2 := img.Stream(mp.Data)
			if _, hw, _, _ := p.Bounds(); name == topic && (!ok || !ok2 || s.CommittedEnd != hw || s.CleanedTo != hw) {
				done = false
			}
		}
		if done {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatal("not compacted in time")
		}
	}
}

// readCompacted reads a topic from its start up to one record per partition that is written now, and returns the records of every key.
func (c *cluster) readCompacted(topic string, partitions int32) map[string][]*kgo.Record {
	c.t.Helper()
	end := fmt.Sprint("end-", base.NewUUID())
	producer := c.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for p := range partitions {
		if err := producer.ProduceSync(c.ctx(), &kgo.Record{Topic: topic, Partition: p, Key: []byte(end), Value: []byte(end)}).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
	}
	cl := c.client(reader(topic)...)
	defer cl.Close()
	got := map[string][]*kgo.Record{}
	for seen := int32(0); seen < partitions; {
		fetches := cl.PollFetches(c.ctx())
		if err := fetches.Err(); err != nil {
			c.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if string(r.Key) == end {
				seen++
			} else if got[string(r.Key)] = append(got[string(r.Key)], r); len(r.Key) > 4 && string(r.Key[:4]) == "end-" {
				delete(got, string(r.Key))
			}
		})
	}
	return got
}

// TestCompactedTopic: of a compacted topic only the newest record of every key is left, at its offset, tombstones go in the end, and producers
// and readers go on, across crashes.
func TestCompactedTopic(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "log.cleaner.backoff.ms=20")
	c.start()
	c.createTopic("table", 2, "cleanup.policy=compact", "min.cleanable.dirty.ratio=0.01", "segment.ms=1", "delete.retention.ms=1")
	rnd := rand.New(rand.NewPCG(1, 2))
	newest := map[string]*kgo.Record{}
	const keys = 150
	producers := []*kgo.Client{c.client(), c.client(kgo.ProducerBatchCompression(kgo.ZstdCompression())), c.client(kgo.DisableIdempotentWrite(), kgo.ProducerBatchCompression(kgo.NoCompression()))}
	for round := range 6 {
		for i := range 600 {
			k := fmt.Sprint("key-", rnd.IntN(keys))
			r := &kgo.Record{Topic: "table", Key: []byte(k), Value: fmt.Appendf(nil, "value-%d-%d", round, i), Headers: []kgo.RecordHeader{{Key: "round", Value: []byte{byte(round)}}}}
			if rnd.IntN(5) == 0 {
				r.Value = nil
			}
			newest[k] = r
			producers[round%3].Produce(c.ctx(), r, func(r *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := producers[round%3].Flush(c.ctx()); err != nil {
			t.Fatal(err)
		}
		c.cleaned("table")
		if round == 3 {
			c.crash()
			c.start()
			for i := range producers { // those of before know where the broker was
				producers[i] = c.client()
			}
		}
	}
	c.crash() // nothing is left in memory
	c.start()
	got := c.readCompacted("table", 2)
	for k, w := range newest {
		g := got[k]
		switch {
		case len(g) == 0 && w.Value == nil:
		case len(g) != 1:
			t.Errorf("%s was read %d times", k, len(g))
		case string(g[0].Value) != string(w.Value) || g[0].Offset != w.Offset || g[0].Partition != w.Partition || !g[0].Timestamp.Equal(w.Timestamp) || g[0].Headers[0].Value[0] != w.Headers[0].Value[0]:
			t.Errorf("%s: read %q at %d, want %q at %d", k, g[0].Value, g[0].Offset, w.Value, w.Offset)
		}
		delete(got, k)
	}
	if len(got) > 0 {
		t.Errorf("read what was never written: %v", slices.Collect(maps.Keys(got)))
	}
	// The tombstones' time is over: the next pass removes them. What was written to see the end of the log has started one, or does now.
	time.Sleep(5 * time.Millisecond)
	c.readCompacted("table", 2)
	c.cleaned("table")
	c.crash()
	c.start()
	for k, g := range c.readCompacted("table", 2) {
		if g[0].Value == nil {
			t.Errorf("the tombstone of %s is still there", k)
		}
	}
}

// TestCommittedOffsetsAreCompacted: a million commits of a few groups leave __consumer_offsets with little to replay, and nothing of what was
// committed last is lost; groups that are deleted leave nothing.
func TestCommittedOffsetsAreCompacted(t *testing.T) {
	t.Parallel()
	commits := 1_000_000
	if testing.Short() {
		commits = 100_000
	}
	c := newCluster(t, "log.cleaner.backoff.ms=50", "offsets.topic.num.partitions=1")
	c.start()
	const partitions, groups = 500, 4
	c.createTopic("read", partitions)
	cl := c.client()
	topics, err := kadm.NewClient(cl).ListTopics(c.ctx(), "read")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range groups {
		wg.Go(func() {
			for i := range commits / partitions / groups {
				c.commitAll(cl, fmt.Sprint("group-", g), topics["read"], int64(i))
			}
		})
	}
	wg.Wait()
	adm := kadm.NewClient(cl)
	if _, err := adm.DeleteGroups(c.ctx(), "group-0"); err != nil {
		t.Fatal(err)
	}
	one, zero := "1", "0" // segment.ms, so that the head is compacted too
	if _, err := adm.AlterTopicConfigs(c.ctx(), []kadm.AlterConfig{{Name: "segment.ms", Value: &one}, {Name: "min.cleanable.dirty.ratio", Value: &zero}}, "__consumer_offsets"); err != nil {
		t.Fatal(err)
	}
	c.cleaned("__consumer_offsets")
	c.stop()
	c.start()
	fetched, err := kadm.NewClient(c.client()).FetchOffsets(c.ctx(), "group-1")
	if err != nil {
		t.Fatal(err)
	}
	for p := range int32(partitions) {
		if o, ok := fetched.Lookup("read", p); !ok || o.At != int64(commits/partitions/groups-1) {
			t.Fatalf("partition %d: committed %d", p, o.At)
		}
	}
	if gone, err := kadm.NewClient(c.client()).FetchOffsets(c.ctx(), "group-0"); err != nil || len(gone.Offsets()["read"]) != 0 {
		t.Fatalf("a deleted group has offsets: %v", err)
	}
	// What is left: the offsets of three groups, the tombstones of the fourth, and the last batches that were emptied.
	replayed := c.counter("sluice_coordinator_replayed_records_total")
	t.Logf("%d commits, %g records replayed", commits, replayed)
	if replayed < partitions*(groups-1) || replayed > partitions*groups+100 {
		t.Errorf("%g records were replayed", replayed)
	}
}

// commitAll commits the same offset for all partitions of a topic.
func (c *cluster) commitAll(cl *kgo.Client, group string, topic kadm.TopicDetail, at int64) {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.TopicID = topic.Topic, topic.ID
	for p := range topic.Partitions {
		r := kmsg.NewOffsetCommitRequestTopicPartition()
		r.Partition, r.Offset = p, at
		t.Partitions = append(t.Partitions, r)
	}
	req.Topics = append(req.Topics, t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	res, err := req.RequestWith(ctx, cl)
	if err != nil {
		c.t.Error(err)
		return
	}
	for _, p := range res.Topics[0].Partitions {
		if p.ErrorCode != 0 {
			c.t.Errorf("commit of %s: error %d", group, p.ErrorCode)
			return
		}
	}
}

// counter is the sum of a counter of the broker's.
func (c *cluster) counter(name string) (sum float64) {
	c.t.Helper()
	all, err := c.node.opt.Registry.Gather()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
