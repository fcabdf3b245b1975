package clients

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The topics of which one is copied to the other in transactions.
const (
	CopiedTopic = "copied"
	CopiesTopic = "copies"
)

// Copying is a producer of records and the clients that copy each of them exactly once.
type Copying struct {
	c        *Set
	producer *Reader
	copiers  []*Reader
	ids      []string        // transactional, of the copiers
	values   map[string]bool // what was produced; read when the producer has ended
	// Copied is told each time more copies have been read by Finish, if it is not nil.
	Copied func(n int)
}

// StartCopying makes the two topics, and begins to produce a record every so often and to copy, each copier with one client after the other, see [Copy]. ended is told what has ended a copier before its time.
func (c *Set) StartCopying(ctx context.Context, copiers int, every, life time.Duration, ended func(id string, n int, err error)) (*Copying, error) {
	client, err := kgo.NewClient(c.Options(kgo.DefaultProduceTopic(CopiedTopic))...)
	if err != nil {
		return nil, err
	}
	if _, err := kadm.NewClient(client).CreateTopics(ctx, 4, 1, nil, CopiedTopic, CopiesTopic); err != nil {
		client.Close()
		return nil, err
	}
	all := &Copying{c: c, values: map[string]bool{}}
	all.producer = Go(func(ctx context.Context) { all.produce(ctx, client, every) })
	for i := range copiers {
		id := fmt.Sprint("copier-", i)
		all.ids = append(all.ids, id)
		all.copiers = append(all.copiers, Go(func(ctx context.Context) {
			Copy(ctx, append(c.Reach(), kgo.FetchMaxWait(c.wait(50*time.Millisecond))), "copy", id, CopiedTopic, CopiesTopic, life, func(n int, err error) { ended(id, n, err) })
		}))
	}
	return all, nil
}

// flushWithin bounds the time that the last records of what is copied take.
const flushWithin = 2 * time.Minute

// produce sends a record every now and then until ctx ends, and sees to the last of them.
func (a *Copying) produce(ctx context.Context, client *kgo.Client, every time.Duration) {
	defer client.Close()
	for ctx.Err() == nil {
		v := fmt.Append(nil, len(a.values))
		a.values[string(v)] = true
		client.Produce(context.Background(), &kgo.Record{Key: v, Value: v}, func(_ *kgo.Record, err error) {
			if err != nil {
				a.c.Complain("produce what is copied: %v", err)
			}
		})
		select {
		case <-time.After(every):
		case <-ctx.Done():
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushWithin)
	defer cancel()
	if err := client.Flush(ctx); err != nil {
		a.c.Complain("produce what is copied: %v", err)
	}
}

// Halt ends the clients.
func (a *Copying) Halt() {
	a.producer.Halt()
	for _, r := range a.copiers {
		r.Halt()
	}
}

// Finish produces no more, waits for the copies of all and for the ends of the copiers' transactions, and ends the clients. Then each copy must be there once. It returns how
// many records were copied.
func (a *Copying) Finish(ctx context.Context) (int, error) {
	a.producer.Halt()
	reach := a.c.Reach()
	err := checkCopies(ctx, reach, CopiesTopic, a.values, a.Copied)
	a.Halt()
	if err == nil {
		err = CheckAtRest(ctx, reach, CopiesTopic, a.ids...)
	}
	if err == nil {
		err = checkCopies(ctx, reach, CopiesTopic, a.values, a.Copied)
	}
	return len(a.values), err
}
