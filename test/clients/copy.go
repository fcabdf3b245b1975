package clients

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Copy moves records from one topic to another, exactly once, until ctx ends: a transaction holds the copies and the offsets up to which they are made. All
// copiers of a group share the work. Errors are those that end a client; what is tried again is no error.
func Copy(ctx context.Context, seeds []string, group, id, from, to string, opts ...kgo.Opt) error {
	s, err := kgo.NewGroupTransactSession(append([]kgo.Opt{
		kgo.SeedBrokers(seeds...), kgo.TransactionalID(id), kgo.ConsumerGroup(group), kgo.ConsumeTopics(from), kgo.RequireStableFetchOffsets(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DefaultProduceTopic(to),
		kgo.MetadataMinAge(20 * time.Millisecond), kgo.FetchMaxWait(50 * time.Millisecond), kgo.MaxConcurrentFetches(1), kgo.FetchMaxPartitionBytes(2000),
	}, opts...)...)
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
