package clients

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/history"
)

// Transact sends in transactions of one id until it is halted, some of which it aborts, and reads meanwhile what is committed, in some transactions and between
// others. A client that fails is replaced by another one of the id, which fences it; so does the last one, so that nothing stays open. The readers of the set
// have to want what is committed, see Set.Committed.
func (c *Set) Transact(seed uint64, id string) *Reader {
	reach := c.Options() // where the brokers are now
	return Go(func(ctx context.Context) {
		for life := uint64(0); ; life++ {
			err := c.transact(ctx, reach, rand.New(rand.NewPCG(seed, life)), id)
			switch {
			case err != nil:
				c.Rec.Fault("the end of a transactional client")
			case ctx.Err() != nil:
				return
			}
			if ctx.Err() != nil {
				c.fence(reach, id)
				return
			}
		}
	})
}

// fenceWithin bounds how long it takes to end what the last client has left open; the broker does it later, if need be.
const fenceWithin = 30 * time.Second

// fence ends a transaction that may be open.
func (c *Set) fence(reach []kgo.Opt, id string) {
	client, err := kgo.NewClient(append(reach[:len(reach):len(reach)], kgo.TransactionalID(id), kgo.TransactionTimeout(transactionTimeout))...)
	if err != nil {
		c.Complain("transactional client %s: %v", id, err)
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), fenceWithin)
	defer cancel()
	_, _, _ = client.ProducerID(ctx) // an error is as good: then it is open for as long as it may be
}

// AwaitEvery waits until the history has something for every check that needs no final read.
func (c *Set) AwaitEvery(ctx context.Context) error {
	for {
		report := history.Check(c.Rec, history.Want{Every: true, NoFinalRead: true})
		if len(report.Missing) == 0 {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the clients have done too little: %v", report.Missing)
		}
	}
}

const (
	transactionTimeout = 20 * time.Second
	// transactionLimit is how long one may be open: Kafka looks every ten seconds, and not while it is down.
	transactionLimit = transactionTimeout + 10*time.Second + time.Minute
)

// transact is the life of one client.
func (c *Set) transact(ctx context.Context, reach []kgo.Opt, rnd *rand.Rand, id string) error {
	client, err := kgo.NewClient(append(reach[:len(reach):len(reach)], c.fromStart(), kgo.TransactionalID(id), kgo.TransactionTimeout(transactionTimeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.RetryTimeout(10*time.Second), kgo.RecordDeliveryTimeout(15*time.Second))...)
	if err != nil {
		return err
	}
	defer client.Close()
	process := c.process()
	for ctx.Err() == nil {
		if err := c.oneTransaction(ctx, client, process, rnd); err != nil {
			return err
		}
		select {
		case <-time.After(time.Duration(rnd.Int64N(int64(50 * time.Millisecond)))):
		case <-ctx.Done():
		}
	}
	return nil
}

func (c *Set) oneTransaction(ctx context.Context, client *kgo.Client, process history.Process, rnd *rand.Rand) error {
	if err := client.BeginTransaction(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	txn := c.Rec.BeginBy(process, transactionLimit)
	failed := kgo.AbortingFirstErrPromise(client)
	for range 1 + rnd.IntN(8) {
		partition := int32(rnd.IntN(int(c.Partitions)))
		v, done := c.Rec.InvokeIn(txn, process, c.tp(partition)), failed.Promise()
		client.Produce(context.Background(), &kgo.Record{Topic: c.Topic, Partition: partition, Value: encode(v, rnd.IntN(100))}, func(r *kgo.Record, err error) {
			if err == nil {
				c.Rec.Acknowledged(v, r.Offset)
			} else {
				c.Rec.Unclear(v)
			}
			done(r, err)
		})
	}
	if rnd.IntN(2) == 0 {
		soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		if recs := c.records(client.PollFetches(soon)); len(recs) > 0 {
			c.Rec.PolledIn(txn, process, recs)
		}
		cancel()
	}
	broken := failed.Err() // waits for all
	outcome, try := history.OK, kgo.TryCommit
	if broken != nil || rnd.IntN(4) == 0 {
		outcome, try = history.Fail, kgo.TryAbort
	}
	c.Rec.Ending(txn)
	if err := client.EndTransaction(context.Background(), try); err != nil {
		c.Rec.End(txn, history.Info)
		return fmt.Errorf("end: %w", err)
	}
	c.Rec.End(txn, outcome)
	return broken
}
