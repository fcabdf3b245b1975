package clients

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// AccountsTopic is where money is. Each of its partitions is an account, each record is what was put in or taken out.
const (
	AccountsTopic = "accounts"
	accounts      = 4
)

// Bank is tellers who move money between accounts, in transactions that take from one what they give to another, and an auditor who reads what is committed.
type Bank struct {
	c       *Set
	every   time.Duration
	tellers []*Reader
	auditor *Reader
	books   *books
}

// StartBank makes the topic, and has each teller move money every so often. ended is told what has ended a client before its time.
func (c *Set) StartBank(ctx context.Context, tellers int, every time.Duration, seed uint64, ended func(id string, err error)) (*Bank, error) {
	client, err := kgo.NewClient(c.Options()...)
	if err != nil {
		return nil, err
	}
	_, err = kadm.NewClient(client).CreateTopics(ctx, accounts, 1, nil, AccountsTopic)
	client.Close()
	if err != nil {
		return nil, err
	}
	b := &Bank{c: c, every: every, books: newBooks()}
	for i := range tellers {
		id := fmt.Sprint("teller-", i)
		b.tellers = append(b.tellers, Go(func(ctx context.Context) {
			for life := uint64(0); ctx.Err() == nil; life++ {
				if err := b.teller(ctx, id, rand.New(rand.NewPCG(seed+uint64(i), life))); err != nil {
					ended(id, err)
				}
			}
		}))
	}
	b.auditor = Go(b.audit)
	return b, nil
}

// teller is the life of a client. The next one of its id ends what it leaves open.
func (b *Bank) teller(ctx context.Context, id string, rnd *rand.Rand) error {
	client, err := kgo.NewClient(b.c.Options(kgo.TransactionalID(id), kgo.TransactionTimeout(transactionTimeout), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RetryTimeout(10*time.Second), kgo.RecordDeliveryTimeout(15*time.Second))...)
	if err != nil {
		return err
	}
	defer client.Close()
	for ctx.Err() == nil {
		if err := b.transfer(client, rnd); err != nil {
			return err
		}
		select {
		case <-time.After(time.Duration(rnd.Int64N(int64(b.every)))):
		case <-ctx.Done():
		}
	}
	return nil
}

// transfer moves money once, or thinks better of it.
func (b *Bank) transfer(client *kgo.Client, rnd *rand.Rand) error {
	if err := client.BeginTransaction(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	id := b.books.begin()
	from := rnd.Int32N(accounts)
	to, amount := (from+1+rnd.Int32N(accounts-1))%accounts, 1+rnd.Int64N(100)
	failed := kgo.AbortingFirstErrPromise(client)
	for account, change := range map[int32]int64{from: -amount, to: amount} {
		client.Produce(context.Background(), &kgo.Record{Topic: AccountsTopic, Partition: account, Key: strconv.AppendInt(nil, id, 10), Value: strconv.AppendInt(nil, change, 10)}, failed.Promise())
	}
	outcome, try := committed, kgo.TryCommit
	if err := failed.Err(); err != nil || rnd.IntN(4) == 0 {
		outcome, try = aborted, kgo.TryAbort
	}
	if err := client.EndTransaction(context.Background(), try); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	b.books.end(id, outcome)
	return nil
}

// reader reads what is committed of all accounts from the start.
func (b *Bank) reader() (*kgo.Client, error) {
	all := map[int32]kgo.Offset{}
	for i := range int32(accounts) {
		all[i] = kgo.NewOffset().At(0)
	}
	return kgo.NewClient(b.c.Options(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{AccountsTopic: all}), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxWait(b.c.wait(200*time.Millisecond)))...)
}

func (b *Bank) audit(ctx context.Context) {
	client, err := b.reader()
	if err != nil {
		b.c.Complain("a client: %v", err)
		return
	}
	defer client.Close()
	for ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				b.books.saw(r.Key)
			}
		})
	}
}

// Finish ends the clients, reads all accounts and compares. It returns how many transfers there are.
func (b *Bank) Finish(ctx context.Context) (int, error) {
	for _, t := range b.tellers {
		t.Halt()
	}
	b.auditor.Halt()
	if err := CheckAtRest(ctx, b.c.Reach(), AccountsTopic); err != nil {
		return 0, err
	}
	client, err := b.reader()
	if err != nil {
		return 0, err
	}
	defer client.Close()
	ends, err := listed(ctx, kadm.NewClient(client).ListCommittedOffsets, AccountsTopic)
	if err != nil {
		return 0, err
	}
	var entries []entry
	next := map[int32]int64{}
	for _, end := range ends[AccountsTopic] {
		for next[end.Partition] < end.Offset {
			client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				next[r.Partition] = r.Offset + 1
				if !r.Attrs.IsControl() {
					entries = append(entries, entry{r.Partition, string(r.Key), string(r.Value)})
				}
			})
			if ctx.Err() != nil {
				return 0, fmt.Errorf("the accounts cannot be read: %w", ctx.Err())
			}
		}
	}
	return b.books.balance(entries)
}
