package crash

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"sluice/test/broker"
	"sluice/test/clients"
)

// copying is a broker that is killed, and clients that copy a topic in transactions.
type copying struct {
	*world
	produced int
	copiers  int
}

// produce adds records to the topic that is copied.
func (c *copying) produce(n int) {
	c.t.Helper()
	cl := c.dial(kgo.DefaultProduceTopic("from"))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
	defer cancel()
	for range n {
		v := fmt.Append(nil, c.produced)
		cl.Produce(ctx, &kgo.Record{Key: v, Value: v}, func(_ *kgo.Record, err error) {
			if err != nil {
				c.complainf("produce: %v", err)
			}
		})
		c.produced++
	}
	if err := cl.Flush(ctx); err != nil {
		c.t.Fatal(err)
	}
}

func (c *copying) dial(opts ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.Addrs...), kgo.MetadataMinAge(20*time.Millisecond))...)
	if err != nil {
		c.t.Fatal(err)
	}
	return cl
}

// copy keeps a copier running, with another client after each that ends: of the same transactional id, so that it fences what the one before has open. The
// clients take turns in the version of the protocol.
func (c *copying) copy(ctx context.Context, id string, done chan<- struct{}) {
	defer close(done)
	for life := 0; ctx.Err() == nil; life++ {
		opts := []kgo.Opt{kgo.RetryTimeout(10 * time.Second), kgo.TransactionTimeout(20 * time.Second), kgo.SessionTimeout(6 * time.Second)}
		if life%2 == 1 {
			opts = append(opts, kgo.MaxVersions(kversion.V3_7_0()))
		}
		one, cancel := context.WithTimeout(ctx, time.Duration(2+life%3)*time.Second)
		if err := clients.Copy(one, c.Addrs, "copy", id, "from", "to", opts...); err != nil {
			c.t.Logf("%s, life %d: %v", id, life, err) // a client that the broker's death has ended
		}
		cancel()
	}
}

// await reads the copies until each record is there, and fails if one is there twice.
func (c *copying) await() {
	c.t.Helper()
	cl := c.dial(kgo.ConsumeTopics("to"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	seen := map[string]int{}
	for len(seen) < c.produced && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if seen[string(r.Value)]++; seen[string(r.Value)] == 2 {
				c.t.Errorf("record %s was copied twice, offset %d of partition %d", r.Value, r.Offset, r.Partition)
			}
		})
	}
	if len(seen) != c.produced {
		c.t.Errorf("%d of %d records were copied", len(seen), c.produced)
	}
}

// atRest checks that no transaction stays open, and that nothing holds back who reads what is committed.
func (c *copying) atRest() {
	c.t.Helper()
	cl := c.dial()
	defer cl.Close()
	adm := kadm.NewClient(cl)
	ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
	defer cancel()
	for ; ; time.Sleep(100 * time.Millisecond) {
		open, err := adm.ListTransactions(ctx, nil, []string{"Ongoing", "PrepareCommit", "PrepareAbort"})
		if err == nil && len(open) == 0 {
			break
		}
		if ctx.Err() != nil {
			c.t.Fatalf("transactions that do not end: %+v, %v", open, err)
		}
	}
	stable, err := adm.ListCommittedOffsets(ctx, "to")
	ends, err2 := adm.ListEndOffsets(ctx, "to")
	if err != nil || err2 != nil {
		c.t.Fatal(err, err2)
	}
	ends.Each(func(end kadm.ListedOffset) {
		if s, _ := stable.Lookup("to", end.Partition); s.Offset != end.Offset {
			c.t.Errorf("partition %d is stable up to %d of %d", end.Partition, s.Offset, end.Offset)
		}
	})
}

// TestTransactions kills the broker, which coordinates, leads and keeps offsets all in one, while clients copy a topic exactly once. A round takes longer than
// those of other tests, so there are a quarter as many.
func TestTransactions(t *testing.T) {
	for _, test := range []struct {
		name string
		opt  broker.Options
	}{
		{"file WAL", broker.Options{Args: quick("offsets.topic.num.partitions=3", "transaction.state.log.num.partitions=3")}},
		{"s3 WAL", broker.Options{WAL: "s3", Args: quick("wal-s3-puts-per-second=50", "offsets.topic.num.partitions=3", "transaction.state.log.num.partitions=3")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &copying{world: newWorld(t, test.opt, 1)}
			adm := kadm.NewClient(c.dial())
			defer adm.Close()
			if _, err := adm.CreateTopics(t.Context(), 4, 1, nil, "from", "to"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var done []chan struct{}
			for i := range 2 {
				done = append(done, make(chan struct{}))
				go c.copy(ctx, fmt.Sprint("copier-", i), done[i])
			}
			for range (rounds(t) + 3) / 4 {
				c.produce(300)
				c.random(100*time.Millisecond, 1500*time.Millisecond)
				c.kill()
				c.random(0, 200*time.Millisecond)
				c.restart()
			}
			c.await()
			cancel()
			for _, d := range done {
				<-d
			}
			c.atRest()
			c.broker.Verify()
			for _, s := range c.complaints {
				t.Errorf("client: %s", s)
			}
		})
	}
}
