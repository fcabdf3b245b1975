package crash

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/broker"
	"sluice/test/clients"
)

// copying is a broker that is killed, and clients that copy a topic in transactions.
type copying struct {
	*world
	produced int
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

// copy keeps a copier running.
func (c *copying) copy(ctx context.Context, id string, done chan<- struct{}) {
	defer close(done)
	clients.Copy(ctx, c.Reach(), "copy", id, "from", "to", 2*time.Second, func(life int, err error) {
		c.t.Logf("%s, life %d: %v", id, life, err) // a client that the broker's death has ended
	})
}

// await reads the copies until each record is there, and fails if one is there twice.
func (c *copying) await() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	values := map[string]bool{}
	for i := range c.produced {
		values[fmt.Sprint(i)] = true
	}
	if err := clients.CheckCopies(ctx, c.Reach(), "to", values); err != nil {
		c.t.Error(err)
	}
}

// atRest checks that no transaction stays open, and that nothing holds back who reads what is committed.
func (c *copying) atRest() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
	defer cancel()
	if err := clients.CheckAtRest(ctx, c.Reach(), "to"); err != nil {
		c.t.Error(err)
	}
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
			c.await() // once more: a copy too many would have come last
			c.broker.Verify()
			for _, s := range c.complaints {
				t.Errorf("client: %s", s)
			}
		})
	}
}
