package crash

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/history"
)

// clients are the clients of a world. Each runs on goroutines of its own until stopped.
type clients struct {
	addr       string
	topic      string
	partitions int32
	rec        *history.Recorder
	complain   func(format string, args ...any) // about what must not happen; keeps going

	processes atomic.Int32
}

func (c *clients) process() history.Process { return history.Process(c.processes.Add(1)) }

func (c *clients) tp(partition int32) history.TopicPartition {
	return history.TopicPartition{Topic: c.topic, Index: partition}
}

// options are what all clients have in common: they find a broker that is back quickly.
func (c *clients) options(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(c.addr),
		kgo.DialTimeout(2 * time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return 30 * time.Millisecond }),
		kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.RetryTimeout(time.Hour),
	}, more...)
}

// producer sends values without end and without giving one up.
type producer struct {
	c       *clients
	client  *kgo.Client
	process history.Process
	stop    chan struct{}
	done    chan struct{}
}

// unfinishedMax bounds the sends of one producer that are not acknowledged.
const unfinishedMax = 2000

// codecs are what producers compress with; every second one does not.
var codecs = []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}

func (c *clients) produce(seed uint64) (*producer, error) {
	codec := kgo.NoCompression()
	if seed%2 == 0 {
		codec = codecs[seed/2%uint64(len(codecs))]
	}
	client, err := kgo.NewClient(c.options(
		kgo.ProducerBatchCompression(codec),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(16<<10),
		kgo.ProducerLinger(0),
		kgo.StopProducerOnDataLossDetected(),
		kgo.RecordRetries(math.MaxInt),
		kgo.UnknownTopicRetries(-1),
		kgo.ProduceRequestTimeout(10*time.Second),
	)...)
	if err != nil {
		return nil, err
	}
	p := &producer{c: c, client: client, process: c.process(), stop: make(chan struct{}), done: make(chan struct{})}
	go p.run(rand.New(rand.NewPCG(seed, 2)))
	return p, nil
}

func (p *producer) run(rnd *rand.Rand) {
	defer close(p.done)
	room := make(chan struct{}, unfinishedMax)
	for {
		for range 1 + rnd.IntN(40) {
			select {
			case room <- struct{}{}:
			case <-p.stop:
				return
			}
			p.send(int32(rnd.IntN(int(p.c.partitions))), rnd.IntN(1500), func() { <-room })
		}
		select {
		case <-time.After(time.Duration(rnd.IntN(12)) * time.Millisecond):
		case <-p.stop:
			return
		}
	}
}

func (p *producer) send(partition int32, padding int, done func()) history.Value {
	v := p.c.rec.Invoke(p.process, p.c.tp(partition))
	r := &kgo.Record{Topic: p.c.topic, Partition: partition, Value: encode(v, padding)}
	p.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		defer done()
		if err == nil {
			p.c.rec.Acknowledged(v, r.Offset)
			return
		}
		p.c.rec.Unclear(v)
		if !errors.Is(err, kgo.ErrClientClosed) {
			p.c.complain("producer %d: value %d: %v", p.process, v, err)
		}
	})
	return v
}

// sendUncounted sends a value whose acknowledgement is not recorded: the caller says how it ended.
func (p *producer) sendUncounted(acked func()) history.Value {
	v := p.c.rec.Invoke(p.process, p.c.tp(0))
	p.client.Produce(context.Background(), &kgo.Record{Topic: p.c.topic, Partition: 0, Value: encode(v, 9000)}, func(_ *kgo.Record, err error) {
		if err != nil {
			p.c.complain("producer %d: value %d: %v", p.process, v, err)
		}
		acked()
	})
	return v
}

// halt stops sending and waits until everything that was sent is acknowledged; an error if that takes longer than within.
func (p *producer) halt(within time.Duration) error {
	close(p.stop)
	<-p.done
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	err := p.client.Flush(ctx)
	if err != nil {
		err = fmt.Errorf("producer %d still has %d records that are not acknowledged after %v: %w", p.process, p.client.BufferedProduceRecords(), within, err)
	}
	p.client.Close()
	return err
}

// abandon stops at once; what is in flight may have happened or not.
func (p *producer) abandon() {
	close(p.stop)
	<-p.done
	p.client.Close()
}

func encode(v history.Value, padding int) []byte {
	return append(strconv.AppendInt(nil, int64(v), 10), strings.Repeat(".", padding+1)...)
}

func decode(b []byte) (history.Value, error) {
	digits, _, _ := strings.Cut(string(b), ".")
	n, err := strconv.ParseInt(digits, 10, 64)
	return history.Value(n), err
}

func (c *clients) records(fetches kgo.Fetches) []history.Record {
	recs := make([]history.Record, 0, fetches.NumRecords())
	fetches.EachRecord(func(r *kgo.Record) {
		v, err := decode(r.Value)
		if err != nil {
			c.complain("record at %s-%d@%d is not one of ours: %.40q", r.Topic, r.Partition, r.Offset, r.Value)
			v = -1
		}
		recs = append(recs, history.Record{Partition: c.tp(r.Partition), Offset: r.Offset, Value: v})
	})
	return recs
}

// fetchErrors complains of what retries cannot mend; a broker that is away is no news.
func (c *clients) fetchErrors(who history.Process, fetches kgo.Fetches) {
	fetches.EachError(func(topic string, partition int32, err error) {
		var lost *kgo.ErrDataLoss
		switch {
		case errors.As(err, &lost):
			c.complain("consumer %d: %s-%d: %v", who, topic, partition, err)
		case errors.Is(err, context.Canceled), errors.Is(err, kgo.ErrClientClosed), kerr.IsRetriable(err), kgo.IsRetryableBrokerErr(err):
		case errors.Is(err, kerr.OffsetOutOfRange):
			c.complain("consumer %d: %s-%d: %v", who, topic, partition, err)
		}
	})
}

// tail reads all partitions from the start, for ever.
type tail struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (c *clients) fromStart() kgo.Opt {
	all := map[int32]kgo.Offset{}
	for i := range c.partitions {
		all[i] = kgo.NewOffset().At(0)
	}
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.topic: all})
}

func (c *clients) tail() (*tail, error) {
	client, err := kgo.NewClient(c.options(c.fromStart(), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxWait(200*time.Millisecond))...)
	if err != nil {
		return nil, err
	}
	process := c.process()
	return start(func(ctx context.Context) {
		defer client.Close()
		for ctx.Err() == nil {
			fetches := client.PollFetches(ctx)
			c.fetchErrors(process, fetches)
			if recs := c.records(fetches); len(recs) > 0 {
				c.rec.Polled(process, recs)
			}
		}
	}), nil
}

// member reads as a member of a group that commits now and then.
func (c *clients) member(group string) (*tail, error) {
	process := c.process()
	jump := func(context.Context, *kgo.Client, map[string][]int32) { c.rec.Assigned(process) }
	client, err := kgo.NewClient(c.options(
		kgo.ConsumeTopics(c.topic), kgo.ConsumerGroup(group), kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(200*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AutoCommitInterval(200*time.Millisecond),
		kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(time.Second), kgo.RebalanceTimeout(10*time.Second),
		kgo.OnPartitionsAssigned(jump), kgo.OnPartitionsRevoked(jump), kgo.OnPartitionsLost(jump),
	)...)
	if err != nil {
		return nil, err
	}
	return start(func(ctx context.Context) {
		defer client.CloseAllowingRebalance()
		for ctx.Err() == nil {
			fetches := client.PollFetches(ctx)
			c.fetchErrors(process, fetches)
			if recs := c.records(fetches); len(recs) > 0 {
				c.rec.Polled(process, recs)
			}
			client.AllowRebalance()
		}
	}), nil
}

// committer commits a number that grows, and reads it back: what is read is never below what was acknowledged, nor above what was tried.
func (c *clients) committer(group string) (*tail, error) {
	client, err := kgo.NewClient(c.options()...)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var acked, tried int64
	return start(func(ctx context.Context) {
		defer client.Close()
		adm := kadm.NewClient(client)
		for n := int64(1); ctx.Err() == nil; n++ {
			mu.Lock()
			tried = n
			mu.Unlock()
			var o kadm.Offsets
			o.Add(kadm.Offset{Topic: c.topic, Partition: 0, At: n, LeaderEpoch: -1})
			if res, err := adm.CommitOffsets(ctx, group, o); err == nil && res.Error() == nil {
				mu.Lock()
				acked = n
				mu.Unlock()
			}
			c.readBack(ctx, adm, group, &mu, &acked, &tried)
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}), nil
}

func (c *clients) readBack(ctx context.Context, adm *kadm.Client, group string, mu *sync.Mutex, acked, tried *int64) {
	mu.Lock()
	low := *acked
	mu.Unlock()
	res, err := adm.FetchOffsets(ctx, group)
	if err != nil || res.Error() != nil {
		return
	}
	mu.Lock()
	defer mu.Unlock()
	got := int64(-1)
	if o, ok := res.Lookup(c.topic, 0); ok {
		got = o.At
	}
	if low > 0 && got < low || got > *tried {
		c.complain("group %s: offset %d was acknowledged and %d was tried, %d is read", group, low, *tried, got)
	}
}

func start(run func(ctx context.Context)) *tail {
	ctx, cancel := context.WithCancel(context.Background())
	t := &tail{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		run(ctx)
	}()
	return t
}

func (t *tail) halt() {
	t.cancel()
	<-t.done
}

// readAll reads every partition from the start to its end, as the final read.
func (c *clients) readAll(ctx context.Context) error {
	client, err := kgo.NewClient(c.options(c.fromStart(), kgo.ConsumeResetOffset(kgo.NoResetOffset()))...)
	if err != nil {
		return err
	}
	defer client.Close()
	listed, err := kadm.NewClient(client).ListEndOffsets(ctx, c.topic)
	if err != nil {
		return fmt.Errorf("list end offsets: %w", err)
	}
	ends := map[int32]int64{}
	for i := range c.partitions {
		o, ok := listed.Lookup(c.topic, i)
		if !ok || o.Err != nil {
			return fmt.Errorf("end offset of %s-%d: %w", c.topic, i, o.Err)
		}
		if o.Offset > 0 {
			ends[i] = o.Offset
		}
	}
	process := c.process()
	c.rec.PolledFinally(process, nil)
	for len(ends) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("the final read does not come to an end, these are missing: %v", ends)
		}
		c.fetchErrors(process, fetches)
		recs := c.records(fetches)
		c.rec.PolledFinally(process, recs)
		for _, r := range recs {
			if r.Offset+1 >= ends[r.Partition.Index] {
				delete(ends, r.Partition.Index)
			}
		}
	}
	return nil
}
