package main

import (
	"context"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"suite"
)

// sessionCases: what franz-go has of its own for offsets in transactions.
func sessionCases() []suite.Case {
	return []suite.Case{
		{Name: "transactions/session-commits", Run: func(t *suite.T) { session(t, kgo.TryCommit, 20) }},
		{Name: "transactions/session-aborts", Run: func(t *suite.T) { session(t, kgo.TryAbort, 0) }},
	}
}

// session copies 20 records in one transaction with their offsets.
func session(t *suite.T, how kgo.TransactionEndTry, want int64) {
	c := t.Client.(*client)
	from, to, group := t.Topic("from", 1), t.Topic("to", 1), t.ID("g")
	var rs []suite.Record
	for i := range 20 {
		rs = append(rs, suite.Record{Topic: from, Value: []byte(strconv.Itoa(i))})
	}
	_, err := c.Produce(t, suite.Produce{Acks: -1}, rs...)
	t.Must("produce", err)
	s, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(c.seed), kgo.TransactionalID(t.ID("x")), kgo.ConsumerGroup(group), kgo.ConsumeTopics(from),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RequireStableFetchOffsets(), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	t.Must("open a session", err)
	defer s.Close()
	t.Must("begin", s.Begin())
	for got := 0; got < 20; {
		ctx, cancel := context.WithTimeout(t, 20*time.Second)
		fetches := s.PollFetches(ctx)
		cancel()
		t.Must("poll", fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			got++
			s.Produce(t, &kgo.Record{Topic: to, Value: r.Value}, nil)
		})
	}
	committed, err := s.End(t, how)
	t.Must("end", err)
	t.Equal("committed", committed, how == kgo.TryCommit)
	t.Until("the offset is what it must be", func() bool {
		offsets, err := c.FetchOffsets(t, group, from, 0)
		t.Must("fetch offsets", err)
		return offsets[0].Offset == want
	})
	_, err = c.Produce(t, suite.Produce{Acks: -1}, suite.Record{Topic: to, Value: []byte("last")})
	t.Must("produce", err)
	out, err := c.Consume(t, suite.Fetch{Committed: true}, to, 0, suite.Earliest, int(want)+1)
	t.Must("consume", err)
	t.Equal("last value", string(out[want].Value), "last")
}
