package bench

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/base"
)

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// batchOverhead is room for the head of a batch and of each record in it, so that a batch of one record of BatchBytes fits.
const batchOverhead = 512

// inFlightBytes bounds what one producer's client buffers without a rate.
const inFlightBytes = 64 << 20

// produceAll runs all producers until ctx ends and their last acknowledgements have come.
func (r *run) produceAll(ctx context.Context, start time.Time) error {
	one := r.produceKgo
	if r.opt.Client == "raw" {
		one = r.produceRaw
	}
	return all(r.opt.Producers, func(i int) error { return one(ctx, start, i) })
}

// all runs n functions at once and returns their errors joined.
func all(n int, fn func(i int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (r *run) produceKgo(ctx context.Context, start time.Time, i int) error {
	opts := append(r.opt.connect(),
		kgo.ProducerLinger(r.opt.Linger),
		kgo.ProducerBatchMaxBytes(int32(r.opt.BatchBytes+batchOverhead)),
		kgo.ProducerBatchCompression(codecs[r.opt.Compression]),
		kgo.MaxBufferedRecords(1<<20),
		kgo.MaxBufferedBytes(max(inFlightBytes, 4*r.opt.BatchBytes)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(map[string]kgo.Acks{"all": kgo.AllISRAcks(), "1": kgo.LeaderAck(), "0": kgo.NoAck()}[r.opt.Acks]),
	)
	if !r.opt.Idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(5))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return base.Errorf(base.Invalid, "producer: %w", err)
	}
	defer cl.Close()

	values := sync.Pool{New: func() any { return r.newValue() }}
	pace := newPacer(start, float64(r.opt.Rate)/float64(r.opt.Producers), float64(i)/float64(r.opt.Producers))
	targets := r.targets(i)
	// Without a rate, consecutive records stay on one partition for a batch's worth, as Kafka's sticky partitioner does.
	stick := 1
	if r.opt.Rate == 0 {
		stick = max(r.opt.BatchBytes/r.opt.RecordSize, 1)
	}
	for n := 0; ; n++ {
		intended, ok := pace.take(ctx)
		if !ok {
			break
		}
		value := values.Get().([]byte)
		stamp(value, intended, uint64(n))
		to := targets[n/stick%len(targets)]
		cl.Produce(ctx, &kgo.Record{Topic: to.topic, Partition: to.partition, Value: value}, func(rec *kgo.Record, err error) {
			now := time.Now()
			values.Put(rec.Value) //nolint:staticcheck // a slice header per record is cheap beside the record
			switch {
			case err == nil:
				r.acked.add(sample{now.Sub(intended), 1, int64(r.opt.RecordSize), r.measured(intended, now)})
			case ctx.Err() == nil:
				r.acked.fail(err)
			}
		})
	}
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainMax)
	defer cancel()
	if err := cl.Flush(flush); err != nil {
		return base.Errorf(base.Unavailable, "the last records were not acknowledged within %v: %w", drainMax, err)
	}
	return nil
}

// newValue makes a record value of random bytes, so that a compressing broker or client gains nothing by accident.
func (r *run) newValue() []byte {
	value := make([]byte, r.opt.RecordSize)
	seed := uint64(0x9e3779b97f4a7c15)
	for i := range value {
		seed ^= seed << 13
		seed ^= seed >> 7
		seed ^= seed << 17
		value[i] = byte(seed)
	}
	return value
}

// target is a partition to produce to.
type target struct {
	topic     string
	partition int32
}

// targets returns the partitions of producer or consumer i of n: all partitions dealt round-robin, each to at least one.
func (r *run) targets(i int) []target { return deal(r.partitions(), i, r.opt.Producers) }

func (r *run) partitions() []target {
	var all []target
	for _, topic := range r.topics {
		for p := range r.opt.Partitions {
			all = append(all, target{topic, int32(p)})
		}
	}
	return all
}

func deal(all []target, i, n int) []target {
	if n >= len(all) {
		return all[i%len(all) : i%len(all)+1]
	}
	var mine []target
	for k := i; k < len(all); k += n {
		mine = append(mine, all[k])
	}
	return mine
}

// consumer reads until its context ends.
type consumer interface {
	consume(ctx context.Context) error
}

// openConsumers prepares the consumers so that they miss nothing that is produced from now on; in catch-up they start at the
// beginning.
func (r *run) openConsumers(ctx context.Context) ([]consumer, error) {
	all := r.partitions()
	n := min(r.opt.Consumers, len(all))
	var out []consumer
	for i := range n {
		mine := deal(all, i, n)
		var c consumer
		var err error
		if r.opt.Client == "raw" {
			c, err = r.openRawConsumer(ctx, mine)
		} else {
			c, err = r.openKgoConsumer(ctx, mine)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (r *run) consumeAll(ctx context.Context, consumers []consumer) error {
	return all(len(consumers), func(i int) error { return consumers[i].consume(ctx) })
}

type kgoConsumer struct {
	run *run
	cl  *kgo.Client
}

func (r *run) openKgoConsumer(ctx context.Context, parts []target) (consumer, error) {
	from := map[string]map[int32]kgo.Offset{}
	ends, err := r.startOffsets(ctx, parts)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if from[p.topic] == nil {
			from[p.topic] = map[int32]kgo.Offset{}
		}
		from[p.topic][p.partition] = kgo.NewOffset().At(ends[p])
	}
	cl, err := kgo.NewClient(append(r.opt.connect(), kgo.ConsumePartitions(from), kgo.FetchMaxWait(500*time.Millisecond))...)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "consumer: %w", err)
	}
	return &kgoConsumer{r, cl}, nil
}

func (c *kgoConsumer) consume(ctx context.Context) error {
	defer c.cl.Close()
	for {
		fetches := c.cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		now := time.Now()
		var samples []sample
		fetches.EachError(func(_ string, _ int32, err error) { c.run.read.fail(err) })
		fetches.EachRecord(func(rec *kgo.Record) {
			intended := now
			if !c.run.opt.CatchUp && len(rec.Value) >= minRecord {
				intended = intendedOf(rec.Value)
			}
			samples = append(samples, sample{now.Sub(intended), 1, int64(len(rec.Value)), c.run.measured(intended, now)})
		})
		c.run.read.add(samples...)
	}
}
