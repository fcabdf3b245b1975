package node

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/cluster/meta"
	"sluice/test/clients"
)

// copied reads topic out until it has every value once, and nothing twice.
func (c *cluster) copied(n *Node, want int) {
	c.t.Helper()
	cl := c.at(n, kgo.ConsumeTopics("out"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), readCommitted())
	ctx := c.within(60 * time.Second)
	seen := map[string]int{}
	total := 0
	for total < want && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			total++
			if seen[string(r.Value)]++; seen[string(r.Value)] > 1 {
				c.t.Errorf("%s was copied twice", r.Value)
			}
		})
	}
	if len(seen) != want {
		c.t.Fatalf("%d of %d were copied", len(seen), want)
	}
}

// moveAll moves every partition of some topics to a node.
func (c *cluster) moveAll(asked, to *Node, topics ...string) {
	c.t.Helper()
	var req kadm.AlterPartitionAssignmentsReq
	for _, name := range topics {
		t, ok := asked.member.Image().TopicByName(name)
		for p := range t.Partitions {
			if ok {
				req.Assign(name, p, []int32{int32(to.self.ID)})
			}
		}
	}
	adm := kadm.NewClient(c.at(asked))
	defer adm.Close()
	res, err := adm.AlterPartitionAssignments(c.ctx(), req)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := res.Error(); err != nil {
		c.t.Fatal(err)
	}
}

// copyOn copies until ctx ends. The client gives up a request if the broker it asks for a coordinator is gone and the next one knows of none yet, which nobody
// does until the dead node is fenced; as an application would, the copier begins anew then, with the same transactional id, so that what it left open is aborted.
func copyOn(ctx context.Context, reach []kgo.Opt, id string, opts ...kgo.Opt) error {
	for {
		if err := clients.CopyOnce(ctx, reach, "copy", id, "in", "out", opts...); !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
	}
}

// Transactions span nodes: coordinators, leaders and group coordinators of three move while two clients copy, and then one node dies.
func TestTransactionsAcrossNodes(t *testing.T) {
	for name, opts := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, append(clusterSettings(t, "s3"), "transaction.state.log.num.partitions=6")...)
			a := c.start()
			b, d := c.another(), c.another()
			c.createTopic("in", 6)
			c.createTopic("out", 6)
			spread := func() {
				until(t, a, "partitions on all nodes", func(img *meta.Image) bool {
					for _, n := range []*Node{a, b, d} {
						if img.Led(n.self.ID) == 0 {
							return false
						}
					}
					return true
				})
			}
			spread()
			const records = 600
			plain := c.at(a, kgo.DefaultProduceTopic("in"))
			for i := range records {
				plain.Produce(c.ctx(), &kgo.Record{Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)}, nil)
			}
			if err := plain.Flush(c.ctx()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(c.ctx())
			defer cancel()
			reach := []kgo.Opt{kgo.SeedBrokers(a.Info().Kafka, b.Info().Kafka)}
			done := make(chan error, 2)
			for i := range 2 {
				go func() { done <- copyOn(ctx, reach, fmt.Sprint("copier-", i), opts...) }()
			}
			for i := range 6 { // coordinators and leaders move while they are at work
				time.Sleep(50 * time.Millisecond)
				c.moveAll(a, []*Node{a, b, d}[i%3], "__transaction_state", "__consumer_offsets", "out")
			}
			crash(d)
			c.copied(a, records)
			cancel()
			for range 2 {
				if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("copier: %v", err)
				}
			}
		})
	}
}
