package node

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// protocols are clients of both versions of the transaction protocol.
var protocols = map[string][]kgo.Opt{"v2": nil, "v1": {kgo.MaxVersions(kversion.V3_7_0())}}

// writeTxn writes one record to each of some partitions in a transaction, and ends it.
func writeTxn(cl *kgo.Client, topic string, partitions int32, value string, end kgo.TransactionEndTry) error {
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for p := range partitions {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: p, Value: []byte(value)}).FirstErr(); err != nil {
			return fmt.Errorf("produce to %d: %w", p, err)
		}
	}
	return cl.EndTransaction(ctx, end)
}

// readValues reads a topic from its start until there are so many records, and sorts their values.
func (c *cluster) readValues(topic string, want int, opts ...kgo.Opt) []string {
	c.t.Helper()
	cl := c.client(append(opts, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(c.ctx(), 20*time.Second)
	defer cancel()
	var values []string
	for len(values) < want {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			c.t.Fatalf("read %d records, not %d: %v", len(values), want, values)
		}
		fs.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	slices.Sort(values)
	return values
}

func readCommitted() kgo.Opt { return kgo.FetchIsolationLevel(kgo.ReadCommitted()) }

func TestTransactions(t *testing.T) {
	t.Parallel()
	for name, opts := range protocols {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, "transaction.state.log.num.partitions=2")
			c.start()
			c.createTopic("t", 3)
			c.createTopic("empty", 1)
			opts := append([]kgo.Opt{kgo.TransactionalID("id"), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)
			cl := c.client(opts...)
			for i := range 6 {
				end := kgo.TransactionEndTry(i%2 == 0)
				if err := writeTxn(cl, "t", 3, fmt.Sprintf("%d-%v", i, end), end); err != nil {
					t.Fatalf("transaction %d: %v", i, err)
				}
			}
			want := []string{"0-true", "0-true", "0-true", "2-true", "2-true", "2-true", "4-true", "4-true", "4-true"}
			if got := c.readValues("t", 9, readCommitted()); !slices.Equal(got, want) {
				t.Errorf("committed are %v", got)
			}
			if got := c.readValues("t", 18); len(got) != 18 {
				t.Errorf("all are %v", got)
			}
			// One more life of the id: what the first one has open is aborted, and it is fenced.
			if err := cl.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if err := cl.ProduceSync(c.ctx(), &kgo.Record{Topic: "t", Value: []byte("fenced")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			second := c.client(opts...)
			if err := writeTxn(second, "t", 1, "6-true", true); err != nil {
				t.Fatal(err)
			}
			if err := cl.EndTransaction(c.ctx(), true); err == nil {
				t.Error("the first producer could commit")
			}
			if got := c.readValues("t", 10, readCommitted()); !slices.Equal(got, append(want, "6-true")) {
				t.Errorf("committed are %v", got)
			}
			c.stop()
			c.start()
			if got := c.readValues("t", 10, readCommitted()); !slices.Equal(got, append(want, "6-true")) {
				t.Errorf("committed after a restart are %v", got)
			}
		})
	}
}

// A transaction that is not ended is aborted when its time is over.
func TestTransactionTimesOut(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.createTopic("t", 1)
	cl := c.client(kgo.TransactionalID("id"), kgo.TransactionTimeout(300*time.Millisecond))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(c.ctx(), &kgo.Record{Topic: "t", Value: []byte("open")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	plain := c.client()
	if err := plain.ProduceSync(c.ctx(), &kgo.Record{Topic: "t", Value: []byte("behind")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := c.readValues("t", 1, readCommitted()); !slices.Equal(got, []string{"behind"}) {
		t.Errorf("committed are %v", got)
	}
	if err := cl.EndTransaction(c.ctx(), true); err == nil {
		t.Error("the late commit succeeded")
	}
}

// A topic that is deleted inside a transaction holds neither its end nor its reader up, under the same name anew either.
func TestTopicDeletedInTransaction(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.createTopic("kept", 1)
	c.createTopic("gone", 1)
	cl := c.client(kgo.TransactionalID("id"))
	adm := kadm.NewClient(c.client())
	for i := range 3 {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{"kept", "gone"} {
			if err := cl.ProduceSync(c.ctx(), &kgo.Record{Topic: topic, Value: []byte{byte('a' + i)}}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := adm.DeleteTopics(c.ctx(), "gone"); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			c.createTopic("gone", 1)
		}
		if err := cl.EndTransaction(c.ctx(), true); err != nil {
			t.Fatalf("transaction %d: %v", i, err)
		}
		if got := c.readValues("kept", i+1, readCommitted()); !slices.Equal(got, []string{"a", "b", "c"}[:i+1]) {
			t.Errorf("committed are %v", got)
		}
		if i != 1 {
			c.createTopic("gone", 1)
		}
		cl.PurgeTopicsFromClient("gone")
	}
}
