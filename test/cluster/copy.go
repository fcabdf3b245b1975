package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/clients"
)

// The topics of which one is copied to the other in transactions, while brokers die and partitions move.
const (
	copiedTopic = "copied"
	copiesTopic = "copies"
)

// copying is a producer of records and the clients that copy each exactly once.
type copying struct {
	w        *world
	producer *clients.Reader
	copiers  []*clients.Reader
	values   map[string]bool // what was produced; read when the producer has ended
}

// copy begins to produce and to copy.
func (w *world) copy(copiers int) *copying {
	w.t.Helper()
	client, err := kgo.NewClient(append(w.Options(), kgo.DefaultProduceTopic(copiedTopic))...)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), servedWithin)
	defer cancel()
	if _, err := kadm.NewClient(client).CreateTopics(ctx, 4, 1, nil, copiedTopic, copiesTopic); err != nil {
		w.t.Fatal(err)
	}
	c := &copying{w: w, values: map[string]bool{}}
	c.producer = clients.Go(func(ctx context.Context) { c.produce(ctx, client) })
	for i := range copiers {
		id := fmt.Sprint("copier-", i)
		c.copiers = append(c.copiers, clients.Go(func(ctx context.Context) {
			clients.Copy(ctx, w.Addrs, "copy", id, copiedTopic, copiesTopic, func(life int, err error) {
				w.t.Logf("%s, life %d: %v", id, life, err) // a client that was fenced, or that the death of brokers has ended
			})
		}))
	}
	w.t.Cleanup(c.halt)
	return c
}

// produce sends a record every now and then until ctx ends, and sees to the last of them.
func (c *copying) produce(ctx context.Context, client *kgo.Client) {
	defer client.Close()
	for ctx.Err() == nil {
		v := fmt.Append(nil, len(c.values))
		c.values[string(v)] = true
		client.Produce(context.Background(), &kgo.Record{Key: v, Value: v}, func(_ *kgo.Record, err error) {
			if err != nil {
				c.w.complainf("produce what is copied: %v", err)
			}
		})
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
	defer cancel()
	if err := client.Flush(ctx); err != nil {
		c.w.complainf("produce what is copied: %v", err)
	}
}

// halt ends the clients.
func (c *copying) halt() {
	c.producer.Halt()
	for _, r := range c.copiers {
		r.Halt()
	}
}

// check waits for the copies of all and for the ends of all transactions. Then each copy must be there once.
func (c *copying) check() {
	c.w.t.Helper()
	c.producer.Halt()
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	err := clients.CheckCopies(ctx, c.w.Addrs, copiesTopic, c.values)
	c.halt()
	if err == nil {
		err = clients.CheckAtRest(ctx, c.w.Addrs, copiesTopic)
	}
	if err == nil {
		err = clients.CheckCopies(ctx, c.w.Addrs, copiesTopic, c.values)
	}
	if err != nil {
		c.w.t.Errorf("copies in transactions: %v (seed %d)", err, c.w.seed)
		c.w.dump()
	}
	c.w.t.Logf("%d records were copied in transactions", len(c.values))
}
