package node

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupConfig sets configurations of a group, each NAME=VALUE.
func (c *cluster) groupConfig(group string, configs ...string) {
	c.t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	for _, kv := range configs {
		k, v, _ := strings.Cut(kv, "=")
		r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: k, Value: &v})
	}
	req.Resources = append(req.Resources, r)
	res, err := req.RequestWith(c.ctx(), c.client())
	if err == nil {
		err = kerr.ErrorForCode(res.Resources[0].ErrorCode)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// sharing reads as a member of a share group until enough says so. Each record is acknowledged as does says.
func (c *cluster) sharing(n *Node, group, topic string, does func(*kgo.Record) kgo.AckStatus, enough func() bool) {
	c.t.Helper()
	cl := c.at(n, kgo.ShareGroup(group), kgo.ConsumeTopics(topic), kgo.FetchMaxWait(100*time.Millisecond))
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for !enough() {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			c.t.Fatal("the share group did not get on")
		}
		fetches.EachRecord(func(r *kgo.Record) { r.Ack(does(r)) })
		if err := cl.FlushAcks(ctx); err != nil {
			c.t.Fatal(err)
		}
	}
	cl.Close()
}

// TestDeadLetters: what members reject is in the topic for dead letters, once, with what the group is configured to have there, whichever brokers lead the
// two topics; nothing else is.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	c := newCluster(t, append(clusterSettings(t, "file://"+t.TempDir()+"?shared=true"), "errors.deadletterqueue.auto.create.topics.enable=true", "num.partitions=3")...)
	c.start()
	c.another()
	const records = 60
	c.createTopic("in", 5)
	c.groupConfig("g", "share.auto.offset.reset=earliest", "errors.deadletterqueue.topic.name=dlq.g", "errors.deadletterqueue.copy.record.enable=true")
	c.produce(c.client(), "in", 0, records)
	seen, want := map[string]bool{}, map[string]string{}
	c.sharing(c.node, "g", "in", func(r *kgo.Record) kgo.AckStatus {
		seen[string(r.Value)] = true
		if r.Offset%2 == 0 {
			return kgo.AckAccept
		}
		want[string(r.Value)] = fmt.Sprintf("in %d %d g 1 Offset rejected by client. in partition %d", r.Partition, r.Offset, r.Partition%3)
		return kgo.AckReject
	}, func() bool { return len(seen) == records })
	got := map[string]string{}
	reading := c.client(reader("dlq.g")...)
	for len(got) < len(want) {
		fetches := reading.PollFetches(c.ctx())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if got[string(r.Value)] != "" || string(r.Key) != string(r.Value) {
				t.Errorf("%q %q: twice, or with another key", r.Key, r.Value)
			}
			var text []string
			for _, h := range r.Headers {
				text = append(text, string(h.Value))
			}
			got[string(r.Value)] = fmt.Sprintf("%s in partition %d", strings.Join(text, " "), r.Partition)
		})
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestShareGroupOutlivesBrokers: of three brokers one after the other dies under a share group, whatever it led and coordinated. Every record is delivered,
// and what was acknowledged, and said to be, is not delivered again.
func TestShareGroupOutlivesBrokers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, append(clusterSettings(t, "file://"+t.TempDir()+"?shared=true"), "share.coordinator.state.topic.num.partitions=6")...)
	c.start()
	nodes := []*Node{c.another(), c.another()}
	c.createTopic("in", 6)
	c.groupConfig("g", "share.auto.offset.reset=earliest")
	const records, perTurn = 300, 60
	c.produce(c.client(), "in", 0, records)
	done := map[string]bool{}
	for turn := 1; len(done) < records; turn++ {
		var acked []string
		cl := c.at(c.node, kgo.ShareGroup("g"), kgo.ConsumeTopics("in"), kgo.FetchMaxWait(100*time.Millisecond), kgo.ShareMaxRecords(20))
		for start := len(done); len(done) < records && len(done) < start+perTurn; {
			fetches := cl.PollFetches(c.ctx())
			acked = acked[:0]
			fetches.EachRecord(func(r *kgo.Record) {
				if done[string(r.Value)] {
					t.Fatalf("%s was acknowledged and is delivered again", r.Value)
				}
				acked = append(acked, string(r.Value))
				r.Ack(kgo.AckAccept)
			})
			if err := cl.FlushAcks(c.ctx()); err != nil {
				t.Fatal(err)
			}
			for _, v := range acked {
				done[v] = true
			}
		}
		if len(nodes) > 0 {
			crash(nodes[0])
			nodes = nodes[1:]
		}
		cl.Close()
	}
}
