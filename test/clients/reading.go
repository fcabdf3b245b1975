package clients

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/history"
)

// reading is what a client has got, and says whether it complains with reason.
type reading struct {
	c       *Set
	process history.Process
	next    map[history.TopicPartition]int64 // behind the last record that it got
}

func (c *Set) reading(process history.Process) *reading {
	return &reading{c: c, process: process, next: map[history.TopicPartition]int64{}}
}

// take looks at the errors and returns the records.
func (r *reading) take(fetches kgo.Fetches) []history.Record {
	r.errors(fetches)
	return r.records(fetches)
}

func (r *reading) records(fetches kgo.Fetches) []history.Record {
	recs := r.c.records(fetches)
	for _, rec := range recs {
		r.next[rec.Partition] = rec.Offset + 1
	}
	return recs
}

// errors complains of what retries cannot mend; a broker that is away is no news.
func (r *reading) errors(fetches kgo.Fetches) {
	fetches.EachError(func(topic string, partition int32, err error) {
		var lost *kgo.ErrDataLoss
		switch {
		case errors.As(err, &lost):
			if r.next[history.TopicPartition{Topic: topic, Index: partition}] > lost.ResetTo { // see doc.go
				r.c.Complain("consumer %d: %s-%d: %v", r.process, topic, partition, err)
			}
		case errors.Is(err, context.Canceled), errors.Is(err, kgo.ErrClientClosed), kerr.IsRetriable(err), kgo.IsRetryableBrokerErr(err):
		case errors.Is(err, kerr.OffsetOutOfRange):
			r.c.Complain("consumer %d: %s-%d: %v", r.process, topic, partition, err)
		}
	})
}

// records are what our producers have sent.
func (c *Set) records(fetches kgo.Fetches) []history.Record {
	recs := make([]history.Record, 0, fetches.NumRecords())
	if c.Read != nil {
		c.Read(fetches.NumRecords())
	}
	fetches.EachRecord(func(r *kgo.Record) {
		if r.Attrs.IsControl() {
			return
		}
		v, err := decode(r.Value)
		if err != nil {
			c.Complain("record at %s-%d@%d is not one of ours: %.40q", r.Topic, r.Partition, r.Offset, r.Value)
			v = -1
		}
		recs = append(recs, history.Record{Partition: c.tp(r.Partition), Offset: r.Offset, Value: v})
	})
	return recs
}
