package clients

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/test/history"
)

// watermarks is what one reader was told of partitions, one answer after the other: nothing lies beyond the high watermark, or beyond the last stable offset for who
// reads what is committed; neither goes back, whichever broker answers; the last stable offset is not above the high watermark.
type watermarks struct {
	complain    func(format string, args ...any)
	high, solid map[history.TopicPartition]int64
}

// saw takes down an answer. end is behind the last record in it, 0 if there is none.
func (w *watermarks) saw(broker int32, p history.TopicPartition, committed bool, high, solid, end int64) {
	switch {
	case end > high:
		w.complain("broker %d returned %v up to %d, where the high watermark is %d", broker, p, end, high)
	case committed && end > solid:
		w.complain("broker %d returned %v up to %d to a reader of what is committed, where the last stable offset is %d", broker, p, end, solid)
	case solid > high:
		w.complain("broker %d says that the last stable offset of %v is %d, and the high watermark %d", broker, p, solid, high)
	case high < w.high[p]:
		w.complain("broker %d says that the high watermark of %v is %d; it was %d", broker, p, high, w.high[p])
	case solid < w.solid[p]:
		w.complain("broker %d says that the last stable offset of %v is %d; it was %d", broker, p, solid, w.solid[p])
	}
	w.high[p], w.solid[p] = max(w.high[p], high), max(w.solid[p], solid)
}

// Watch asks every broker for records of the topics, at random offsets and without the checks of a client, and looks at what comes with them. With
// [Set.Marks] it is in the history, too.
func (c *Set) Watch(seed uint64, pause time.Duration, topics ...string) (*Reader, error) {
	client, err := kgo.NewClient(c.Options(kgo.RetryTimeout(2 * time.Second))...)
	if err != nil {
		return nil, err
	}
	w := &watermarks{complain: c.Complain, high: map[history.TopicPartition]int64{}, solid: map[history.TopicPartition]int64{}}
	rnd, process := rand.New(rand.NewPCG(seed, 7)), c.process()
	return Go(func(ctx context.Context) {
		defer client.Close()
		for ctx.Err() == nil {
			select {
			case <-time.After(time.Duration(rnd.Int64N(int64(pause)))):
			case <-ctx.Done():
				return
			}
			c.watchOnce(ctx, client, w, rnd, process, topics[rnd.IntN(len(topics))])
		}
	}), nil
}

// askWithin bounds a question of a watcher: a broker that does not answer must not keep it from asking the others.
const askWithin = 3 * time.Second

func (c *Set) watchOnce(ctx context.Context, client *kgo.Client, w *watermarks, rnd *rand.Rand, process history.Process, topic string) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	name := kmsg.NewMetadataRequestTopic()
	name.Topic = &topic
	ask := kmsg.NewPtrMetadataRequest()
	ask.Topics = append(ask.Topics, name)
	meta, err := ask.RequestWith(ctx, client)
	if err != nil || len(meta.Brokers) == 0 || len(meta.Topics) != 1 || len(meta.Topics[0].Partitions) == 0 {
		return
	}
	broker := meta.Brokers[rnd.IntN(len(meta.Brokers))].NodeID
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel = 0, 0, 1<<20, int8(rnd.IntN(2))
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic, meta.Topics[0].TopicID
	for _, p := range meta.Topics[0].Partitions {
		fp := kmsg.NewFetchRequestTopicPartition()
		fp.Partition, fp.PartitionMaxBytes = p.Partition, 1<<20
		high := w.high[history.TopicPartition{Topic: topic, Index: p.Partition}]
		fp.FetchOffset = max(0, high-rnd.Int64N(100))
		t.Partitions = append(t.Partitions, fp)
	}
	req.Topics = append(req.Topics, t)
	since := c.Rec.Clock()
	answer, err := client.Broker(int(broker)).Request(ctx, req)
	if err != nil {
		return
	}
	for _, t := range answer.(*kmsg.FetchResponse).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				continue
			}
			tp, committed, end := history.TopicPartition{Topic: topic, Index: p.Partition}, req.IsolationLevel == 1, endOf(p.RecordBatches)
			w.saw(broker, tp, committed, p.HighWatermark, p.LastStableOffset, end)
			if c.Marks {
				c.Rec.Saw(process, tp, since, history.Marks{Low: p.LogStartOffset, Stable: p.LastStableOffset, High: p.HighWatermark, Last: max(end, 0) - 1, Committed: committed})
			}
		}
	}
}

// endOf returns the offset behind the last whole batch, 0 if there is none.
func endOf(batches []byte) (end int64) {
	const header, lastDelta = 61, 23
	for len(batches) >= header {
		size := 12 + int(binary.BigEndian.Uint32(batches[8:]))
		if size > len(batches) {
			return end
		}
		end = int64(binary.BigEndian.Uint64(batches)) + int64(binary.BigEndian.Uint32(batches[lastDelta:])) + 1
		batches = batches[size:]
	}
	return end
}
