package node

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

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
