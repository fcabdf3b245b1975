package clients

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The topics whose records do not stay: of the one the newest of each key do, of the other those that are young.
const (
	NewestTopic = "newest"
	YoungTopic  = "young"
)

const (
	keepingPartitions = 2
	keepingKeys       = 7
	// tombstonesStay is for how long at least; whoever reads all quicker than that misses none of those that delete what it has read.
	tombstonesStay = 2 * time.Minute
)

// Keeping is a producer of records in topics that are compacted (G8) or have a retention (G9), and what has to be there in the end.
type Keeping struct {
	c         *Set
	client    *kgo.Client
	retention time.Duration // 0: nothing is too old
	producer  *Reader
	book      *keepingBook
}

// StartKeeping makes the topics and begins to produce, a few records every so often. Without a retention there is only the compacted one.
func (c *Set) StartKeeping(ctx context.Context, every, retention time.Duration, seed uint64) (*Keeping, error) {
	client, err := kgo.NewClient(c.Options(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordRetries(math.MaxInt), kgo.UnknownTopicRetries(-1),
		kgo.ProduceRequestTimeout(10*time.Second))...)
	if err != nil {
		return nil, err
	}
	k := &Keeping{c: c, client: client, retention: retention, book: newKeepingBook()}
	if err := k.create(ctx); err != nil {
		client.Close()
		return nil, err
	}
	k.producer = Go(func(ctx context.Context) { k.produce(ctx, every, rand.New(rand.NewPCG(seed, 0))) })
	return k, nil
}

func (k *Keeping) create(ctx context.Context) error {
	set := func(v string) *string { return &v }
	adm := kadm.NewClient(k.client)
	_, err := adm.CreateTopics(ctx, keepingPartitions, 1, map[string]*string{
		"cleanup.policy": set("compact"), "min.cleanable.dirty.ratio": set("0.01"), "delete.retention.ms": set(strconv.FormatInt(tombstonesStay.Milliseconds(), 10)),
	}, NewestTopic)
	if err == nil && k.retention > 0 {
		_, err = adm.CreateTopics(ctx, keepingPartitions, 1, map[string]*string{"retention.ms": set(strconv.FormatInt(k.retention.Milliseconds(), 10))}, YoungTopic)
	}
	return err
}

func (k *Keeping) topics() []string {
	if k.retention > 0 {
		return []string{NewestTopic, YoungTopic}
	}
	return []string{NewestTopic}
}

// produce sends until ctx ends. Every sixth record of the compacted topic deletes its key.
func (k *Keeping) produce(ctx context.Context, every time.Duration, rnd *rand.Rand) {
	for ctx.Err() == nil {
		for _, topic := range k.topics() {
			for range 1 + rnd.IntN(4) {
				key := rnd.IntN(keepingKeys)
				k.send(topic, int32(key%keepingPartitions), strconv.Itoa(key), time.Now(), topic == NewestTopic && rnd.IntN(6) == 0)
			}
		}
		select {
		case <-time.After(time.Duration(rnd.Int64N(int64(every)))):
		case <-ctx.Done():
		}
	}
}

func (k *Keeping) send(topic string, partition int32, key string, at time.Time, tombstone bool) {
	r := &kgo.Record{Topic: topic, Partition: partition, Key: []byte(key), Value: k.book.next(), Timestamp: at}
	if tombstone {
		r.Value = nil
	}
	k.book.sent(r)
	k.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		if err != nil {
			k.c.Complain("produce what is cleaned: %v", err)
			return
		}
		k.book.acknowledged(r)
	})
}

// lastKey is that of the last record of each partition: who has read it has read all.
const lastKey = "last"

// lastStays is how far ahead of its time the last record is: whoever reads for longer than the retention would wait for it in vain. (An hour would be refused.)
const lastStays = 30 * time.Minute

// Finish sends no more, reads the topics from the start to their ends and compares. It returns how many records were sent, and how many of them are gone.
func (k *Keeping) Finish(ctx context.Context) (sent, gone int, err error) {
	k.producer.Halt()
	defer k.client.Close()
	for _, topic := range k.topics() {
		for p := range int32(keepingPartitions) {
			k.send(topic, p, lastKey, time.Now().Add(lastStays), false)
		}
	}
	if err := k.client.Flush(ctx); err != nil {
		return 0, 0, fmt.Errorf("the last records: %w", err)
	}
	for {
		began := time.Now()
		got, err := k.read(ctx)
		if err != nil {
			return 0, 0, err
		}
		if now := time.Now(); now.Sub(began) < tombstonesStay/2 {
			sent, gone, err = k.book.compare(got, now.Add(-k.retention))
			return sent, gone, err
		}
	}
}

// read reads the topics to their ends.
func (k *Keeping) read(ctx context.Context) (got []*kgo.Record, err error) {
	from := map[string]map[int32]kgo.Offset{}
	for _, topic := range k.topics() {
		from[topic] = map[int32]kgo.Offset{}
		for p := range int32(keepingPartitions) {
			from[topic][p] = kgo.NewOffset().AtStart()
		}
	}
	client, err := kgo.NewClient(k.c.Options(kgo.ConsumePartitions(from), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(k.c.wait(200*time.Millisecond)))...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	for left := len(from) * keepingPartitions; left > 0; {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			got = append(got, r)
			if string(r.Key) == lastKey {
				left--
			}
		})
		if ctx.Err() != nil {
			return nil, errors.New("what is cleaned cannot be read to its end")
		}
	}
	return got, nil
}
