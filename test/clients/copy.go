package clients

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// CopyOnce moves records from one topic to another, exactly once, until ctx ends: a transaction holds the copies and the offsets up to which they are made. All
// copiers of a group share the work. Errors are those that end a client; what is tried again is no error.
func CopyOnce(ctx context.Context, reach []kgo.Opt, group, id, from, to string, opts ...kgo.Opt) error {
	s, err := kgo.NewGroupTransactSession(append(append([]kgo.Opt{
		kgo.TransactionalID(id), kgo.ConsumerGroup(group), kgo.ConsumeTopics(from), kgo.RequireStableFetchOffsets(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DefaultProduceTopic(to),
		kgo.MetadataMinAge(20 * time.Millisecond), kgo.FetchMaxWait(50 * time.Millisecond), kgo.MaxConcurrentFetches(1), kgo.FetchMaxPartitionBytes(2000),
	}, reach...), opts...)...)
	if err != nil {
		return err
	}
	defer s.Close()
	for ctx.Err() == nil {
		fs := s.PollRecords(ctx, 100)
		if ctx.Err() != nil {
			break
		}
		if err := s.Begin(); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		failed := kgo.AbortingFirstErrPromise(s.Client())
		fs.EachRecord(func(r *kgo.Record) {
			s.Produce(ctx, &kgo.Record{Key: r.Key, Value: r.Value}, failed.Promise())
		})
		if _, err := s.End(ctx, kgo.TransactionEndTry(failed.Err() == nil)); err != nil && ctx.Err() == nil {
			return fmt.Errorf("end: %w", err)
		}
	}
	return nil
}

// Copy copies a topic exactly once until ctx ends, with another client after each that ends: of the same transactional id, so that it fences what the one before
// has open. reach is how the brokers are reached, see [Set.Reach].
// A client lives for life or up to twice as long. The clients take turns in the version of the protocol. ended is told what has ended a client before its time.
func Copy(ctx context.Context, reach []kgo.Opt, group, id, from, to string, life time.Duration, ended func(n int, err error)) {
	for n := 0; ctx.Err() == nil; n++ {
		opts := []kgo.Opt{kgo.RetryTimeout(10 * time.Second), kgo.TransactionTimeout(20 * time.Second), kgo.SessionTimeout(6 * time.Second)}
		if n%2 == 1 {
			opts = append(opts, kgo.MaxVersions(kversion.V3_7_0()))
		}
		one, cancel := context.WithTimeout(ctx, life+life/2*time.Duration(n%3))
		if err := CopyOnce(one, reach, group, id, from, to, opts...); err != nil {
			ended(n, err)
		}
		cancel()
	}
}

// CheckCopies reads what is committed in a topic until each of the values is there, and from there to its end, and returns what is wrong with them: twice there,
// or missing when ctx ends.
func CheckCopies(ctx context.Context, reach []kgo.Opt, topic string, values map[string]bool) error {
	return checkCopies(ctx, reach, topic, values, nil)
}

// checkCopies is CheckCopies, which tells how many there are when there are more.
func checkCopies(ctx context.Context, reach []kgo.Opt, topic string, values map[string]bool, copied func(n int)) error {
	cl, err := kgo.NewClient(append(reach[:len(reach):len(reach)], kgo.MetadataMinAge(20*time.Millisecond), kgo.ConsumeTopics(topic), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	c := copies{values: values, seen: map[string]int{}, next: map[int32]int64{}}
	for len(c.seen) < len(values) && ctx.Err() == nil {
		before := len(c.seen)
		cl.PollFetches(ctx).EachRecord(c.read)
		if copied != nil && len(c.seen) > before {
			copied(len(c.seen))
		}
	}
	if len(c.seen) != len(values) {
		return errors.Join(c.wrong, fmt.Errorf("%d of %d records were copied", len(c.seen), len(values)))
	}
	ends, err := listed(ctx, kadm.NewClient(cl).ListCommittedOffsets, topic)
	for _, end := range ends[topic] {
		for c.next[end.Partition] < end.Offset && err == nil {
			cl.PollFetches(ctx).EachRecord(c.read)
			err = ctx.Err()
		}
	}
	return errors.Join(c.wrong, err)
}

// listed asks for offsets of all partitions of a topic until it gets them: one that is moved has no leader for a moment.
func listed(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error), topic string) (kadm.ListedOffsets, error) {
	for {
		offsets, err := list(ctx, topic)
		if err == nil {
			err = offsets.Error()
		}
		if err == nil {
			return offsets, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// copies is what was read of them.
type copies struct {
	values map[string]bool
	seen   map[string]int
	next   map[int32]int64 // after the last record of a partition, markers included
	wrong  error
}

func (c *copies) read(r *kgo.Record) {
	c.next[r.Partition] = r.Offset + 1
	if r.Attrs.IsControl() {
		return
	}
	v := string(r.Value)
	if c.seen[v]++; c.seen[v] > 1 {
		c.wrong = errors.Join(c.wrong, fmt.Errorf("%q was copied %d times, the last time to offset %d of partition %d", v, c.seen[v], r.Offset, r.Partition))
	}
	if !c.values[v] {
		c.wrong = errors.Join(c.wrong, fmt.Errorf("%q is at offset %d of partition %d, and was never produced", v, r.Offset, r.Partition))
	}
}

// CheckAtRest waits until no transaction is open, of these ids or of any if there are none, and then checks that nothing holds back who reads what is
// committed of a topic. Ids matter where others go on: one of theirs may be open at every look.
func CheckAtRest(ctx context.Context, reach []kgo.Opt, topic string, ids ...string) error {
	cl, err := kgo.NewClient(append(reach[:len(reach):len(reach)], kgo.MetadataMinAge(20*time.Millisecond))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	for ; ; time.Sleep(100 * time.Millisecond) {
		open, err := adm.ListTransactions(ctx, nil, []string{"Ongoing", "PrepareCommit", "PrepareAbort"})
		maps.DeleteFunc(open, func(id string, _ kadm.ListedTransaction) bool { return len(ids) > 0 && !slices.Contains(ids, id) })
		if err == nil && len(open) == 0 {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("transactions that do not end: %+v, %w", open, err)
		}
	}
	stable, err := listed(ctx, adm.ListCommittedOffsets, topic)
	ends, err2 := listed(ctx, adm.ListEndOffsets, topic)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	ends.Each(func(end kadm.ListedOffset) {
		if s, _ := stable.Lookup(topic, end.Partition); s.Offset != end.Offset {
			err = errors.Join(err, fmt.Errorf("partition %d of %s is stable up to %d of %d", end.Partition, topic, s.Offset, end.Offset))
		}
	})
	return err
}
