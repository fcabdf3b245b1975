package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// TestExactlyOnce copies a topic in transactions, some of which are aborted, with brokers that come and go meanwhile: who reads what is
// committed gets every record once, by clients with transactions of version 1 and 2.
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]kgo.Opt{"v1": {kgo.MaxVersions(kversion.V3_8_0())}, "v2": nil} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, "transaction.state.log.num.partitions=3")
			c.start()
			const records = 60
			c.fill("in", records)
			admin := kadm.NewClient(c.client())
			if _, err := admin.CreateTopic(c.ctx(), 2, 1, nil, "out"); err != nil {
				t.Fatal(err)
			}
			c.copyTopic(records, opts, func(turn int) {
				switch turn {
				case 2:
					c.crash()
				case 4:
					c.stop()
				default:
					return
				}
				c.start()
			})
			if got := c.committed("out", records); !slices.Equal(got, want(records)) {
				t.Fatalf("%d records of %d, or not in order of their values: %v", len(got), records, got)
			}
			if all := c.all("out"); len(all) <= records {
				t.Fatalf("%d records are in the log: nothing was ever aborted", len(all))
			}
			offsets, err := kadm.NewClient(c.client()).FetchOffsets(c.ctx(), "copier")
			if err != nil {
				t.Fatal(err)
			}
			sum := int64(0)
			offsets.Each(func(o kadm.OffsetResponse) {
				if o.Err != nil {
					t.Fatal(o.Err)
				}
				sum += o.At
			})
			if sum < records { // markers take offsets as well, in topics that are written in transactions; this one is not
				t.Fatalf("the group has come to %d of %d", sum, records)
			}
		})
	}
}

func want(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("%03d", i))
	}
	return out
}

// fill writes the values 000 to n-1 to a new topic.
func (c *cluster) fill(topic string, n int) {
	c.t.Helper()
	cl := c.client()
	if _, err := kadm.NewClient(cl).CreateTopic(c.ctx(), 2, 1, nil, topic); err != nil {
		c.t.Fatal(err)
	}
	for _, v := range want(n) {
		if err := cl.ProduceSync(c.ctx(), &kgo.Record{Topic: topic, Key: []byte(v), Value: []byte(v)}).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// copyTopic copies "in" to "out", a few records at a time; every third transaction is aborted. between is called after each.
func (c *cluster) copyTopic(records int, opts []kgo.Opt, between func(turn int)) {
	c.t.Helper()
	session := func() *kgo.GroupTransactSession {
		all := append([]kgo.Opt{
			kgo.SeedBrokers(c.node.Info().Kafka), kgo.TransactionalID("copy"), kgo.ConsumerGroup("copier"), kgo.InstanceID("copier"), kgo.ConsumeTopics("in"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.RequireStableFetchOffsets(), kgo.MetadataMinAge(20 * time.Millisecond), kgo.RetryTimeout(20 * time.Second), kgo.SessionTimeout(6 * time.Second), kgo.HeartbeatInterval(200 * time.Millisecond),
		}, opts...)
		s, err := kgo.NewGroupTransactSession(all...)
		if err != nil {
			c.t.Fatal(err)
		}
		return s
	}
	s := session()
	defer func() { s.Close() }()
	seen := map[string]bool{}
	for turn, deadline := 0, time.Now().Add(90*time.Second); len(seen) < records; turn++ {
		if time.Now().After(deadline) {
			c.t.Fatalf("%d of %d records are copied", len(seen), records)
		}
		copied, err := copySome(c.ctx(), s, turn%3 == 1)
		if err != nil { // the broker is another one now, at another address
			c.t.Logf("turn %d: %v", turn, err)
			s.Close()
			s = session()
		}
		maps.Copy(seen, copied)
		old := c.node
		between(turn)
		if c.node != old {
			s.Close()
			s = session()
		}
	}
}

// copySome copies what one poll gives in one transaction. It returns the values that are committed.
func copySome(ctx context.Context, s *kgo.GroupTransactSession, abort bool) (map[string]bool, error) {
	poll, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	fetches := s.PollRecords(poll, 7)
	if err := fetches.Err0(); err != nil {
		return nil, err
	}
	if err := s.Begin(); err != nil {
		return nil, err
	}
	values := map[string]bool{}
	produced := kgo.AbortingFirstErrPromise(s.Client())
	for r := range fetches.RecordsAll() {
		values[string(r.Value)] = true
		s.Produce(ctx, &kgo.Record{Topic: "out", Key: r.Key, Value: r.Value}, produced.Promise())
	}
	if err := s.Client().Flush(ctx); err != nil { // also of those that are aborted
		return nil, err
	}
	failed := produced.Err()
	committed, err := s.End(ctx, kgo.TransactionEndTry(!abort && failed == nil))
	if err = errors.Join(failed, err); err != nil || !committed {
		return nil, err
	}
	return values, nil
}

// committed reads what is committed of a topic, up to n values, and whatever follows at once; sorted.
func (c *cluster) committed(topic string, n int) (values []string) {
	c.t.Helper()
	cl := c.client(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(50*time.Millisecond))
	for ctx := c.ctx(); ; {
		wait := ctx
		if len(values) >= n { // more would be too many
			var cancel context.CancelFunc
			wait, cancel = context.WithTimeout(ctx, time.Second)
			defer cancel()
		}
		fetches := cl.PollFetches(wait)
		if err := fetches.Err0(); errors.Is(err, context.DeadlineExceeded) {
			break
		}
		for r := range fetches.RecordsAll() {
			values = append(values, string(r.Value))
		}
	}
	slices.Sort(values)
	return values
}

// all reads everything up to the end of a topic, committed or not.
func (c *cluster) all(topic string) (values []string) {
	c.t.Helper()
	cl := c.client(kgo.ConsumeTopics(topic))
	ends, err := kadm.NewClient(cl).ListEndOffsets(c.ctx(), topic)
	if err != nil {
		c.t.Fatal(err)
	}
	left := 0
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left++
		}
	})
	ctx := c.ctx()
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			c.t.Fatal(err)
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			end, _ := ends.Lookup(p.Topic, p.Partition)
			for _, r := range p.Records {
				values = append(values, string(r.Value))
				if r.Offset >= end.Offset-2 { // a marker is last
					left--
				}
			}
		})
	}
	return values
}

// TestOpenTransaction: a transaction that is left behind holds readers of committed records back, is told of, and ends by its timeout.
func TestOpenTransaction(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "transaction.state.log.num.partitions=1")
	c.start()
	cl := c.client(kgo.TransactionalID("left"), kgo.TransactionTimeout(10*time.Second))
	admin := kadm.NewClient(c.client())
	if _, err := admin.CreateTopic(c.ctx(), 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(c.ctx(), &kgo.Record{Topic: "t", Value: []byte("1")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	last := func() (committed, all int64) {
		c, err1 := admin.ListCommittedOffsets(c.ctx(), "t")
		a, err2 := admin.ListEndOffsets(context.Background(), "t")
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		lc, _ := c.Lookup("t", 0)
		la, _ := a.Lookup("t", 0)
		return lc.Offset, la.Offset
	}
	if lso, hw := last(); lso != 0 || hw != 1 {
		t.Fatal(lso, hw)
	}
	producers, err := admin.DescribeProducers(c.ctx(), kadm.TopicsSet{"t": {0: {}}})
	if err != nil {
		t.Fatal(err)
	}
	p := producers["t"].Partitions[0]
	if p.Err != nil || len(p.ActiveProducers) != 1 {
		t.Fatalf("%+v", p)
	}
	for _, a := range p.ActiveProducers {
		if a.CurrentTxnStartOffset != 0 || a.LastSequence != 0 || a.CoordinatorEpoch != -1 {
			t.Fatalf("%+v", a)
		}
	}
	deadline := time.Now().Add(60 * time.Second)
	for lso, hw := last(); lso != 2; lso, hw = last() {
		if time.Now().After(deadline) {
			t.Fatal("the transaction was not aborted", lso, hw)
		}
		time.Sleep(50 * time.Millisecond)
	}
	err = cl.ProduceSync(c.ctx(), &kgo.Record{Topic: "t", Value: []byte("2")}).FirstErr()
	if !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidTxnState) {
		t.Fatalf("the producer goes on in a transaction that was aborted: %v", err)
	}
}

// TestSilentProducersAreForgotten: by the settings that the broker was started with.
func TestSilentProducersAreForgotten(t *testing.T) {
	c := newCluster(t, "producer.id.expiration.ms=1", "producer.id.expiration.check.interval.ms=10")
	c.start()
	admin := kadm.NewClient(c.client())
	if _, err := admin.CreateTopic(c.ctx(), 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
	if err := c.client().ProduceSync(c.ctx(), &kgo.Record{Topic: "t", Value: []byte("1")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		producers, err := admin.DescribeProducers(c.ctx(), kadm.TopicsSet{"t": {0: {}}})
		if err != nil {
			t.Fatal(err)
		}
		p := producers["t"].Partitions[0]
		if p.Err == nil && len(p.ActiveProducers) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", p)
		}
	}
}
