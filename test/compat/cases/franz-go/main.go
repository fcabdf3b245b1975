// Command franz-go-cases runs the shared cases with twmb/franz-go. It is built twice: as it is, and with old.mod and the tag `old`.
package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"suite"
)

type client struct {
	suite.Lacks
	seed string
	cl   *kgo.Client
	adm  *kadm.Client
}

func main() { suite.Main(&client{}, own()...) }

func (c *client) Open(bootstrap string) (err error) {
	c.seed = bootstrap
	if c.cl, err = c.with(); err != nil {
		return err
	}
	c.adm = kadm.NewClient(c.cl)
	return nil
}

func (c *client) with(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.seed), kgo.MetadataMinAge(100 * time.Millisecond)}, opts...)...)
}

func (c *client) Code(err error) (int, bool) {
	var shards *kadm.ShardErrors
	if errors.As(err, &shards) {
		err = shards.Errs[0].Err
	}
	var ke *kerr.Error
	if !errors.As(err, &ke) {
		return 0, false
	}
	return int(ke.Code), true
}

var codecs = map[string]kgo.CompressionCodec{
	"": kgo.NoCompression(), "none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func producerOpts(p suite.Produce, manual bool) []kgo.Opt {
	opts := []kgo.Opt{kgo.ProducerBatchCompression(codecs[p.Codec]), kgo.ProducerLinger(5 * time.Millisecond)}
	if !p.Idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	switch p.Acks {
	case 0:
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()))
	case 1:
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()))
	default:
		opts = append(opts, kgo.RequiredAcks(kgo.AllISRAcks()))
	}
	switch {
	case manual:
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	case p.Partitioner == "round-robin":
		opts = append(opts, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	default:
		opts = append(opts, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	}
	if p.MaxBytes > 0 {
		opts = append(opts, kgo.ProducerBatchMaxBytes(int32(p.MaxBytes)))
	}
	return opts
}

func toRecord(r suite.Record) *kgo.Record {
	out := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: r.Time}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return out
}

func fromRecord(r *kgo.Record) suite.Record {
	out := suite.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Time: r.Timestamp}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, suite.Header{Key: h.Key, Value: h.Value})
	}
	return out
}

func produceAll(ctx context.Context, cl *kgo.Client, rs []suite.Record) (out []suite.Record, err error) {
	var krs []*kgo.Record
	for _, r := range rs {
		krs = append(krs, toRecord(r))
	}
	if err := cl.ProduceSync(ctx, krs...).FirstErr(); err != nil {
		return nil, err
	}
	for _, r := range krs {
		out = append(out, fromRecord(r))
	}
	return out, nil
}

func (c *client) Produce(ctx context.Context, p suite.Produce, rs ...suite.Record) ([]suite.Record, error) {
	cl, err := c.with(producerOpts(p, len(rs) > 0 && rs[0].Partition != suite.AnyPartition)...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	return produceAll(ctx, cl, rs)
}

func at(o int64) kgo.Offset {
	switch o {
	case suite.Earliest:
		return kgo.NewOffset().AtStart()
	case suite.Latest:
		return kgo.NewOffset().AtEnd()
	}
	return kgo.NewOffset().At(o)
}

func (c *client) Read(_ context.Context, f suite.Fetch, topic string, from map[int32]int64) (suite.Reader, error) {
	offsets := map[int32]kgo.Offset{}
	for p, o := range from {
		offsets[p] = at(o)
	}
	opts := []kgo.Opt{kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}), kgo.FetchMaxWait(100 * time.Millisecond), kgo.ConsumeResetOffset(kgo.NoResetOffset())}
	if f.Committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	if f.MaxBytes > 0 {
		opts = append(opts, kgo.FetchMaxPartitionBytes(int32(f.MaxBytes)), kgo.FetchMaxBytes(int32(f.MaxBytes)))
	}
	cl, err := c.with(opts...)
	if err != nil {
		return nil, err
	}
	return &reader{cl: cl}, nil
}

func (c *client) Consume(ctx context.Context, f suite.Fetch, topic string, partition int32, from int64, n int) (all []suite.Record, err error) {
	r, err := c.Read(ctx, f, topic, map[int32]int64{partition: from})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for len(all) < n && ctx.Err() == nil {
		rs, err := r.Poll(ctx)
		if err != nil {
			return all, err
		}
		all = append(all, rs...)
	}
	return all, ctx.Err()
}

type reader struct {
	cl      *kgo.Client
	group   bool
	manual  bool
	mu      sync.Mutex
	mine    map[string]bool
	closing sync.Once
}

func (r *reader) Poll(ctx context.Context) (all []suite.Record, err error) {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	fetches := r.cl.PollFetches(ctx)
	fetches.EachError(func(_ string, _ int32, e error) {
		if !errors.Is(e, context.DeadlineExceeded) && !errors.Is(e, context.Canceled) && !kerr.IsRetriable(e) {
			err = e
		}
	})
	for it := fetches.RecordIter(); !it.Done(); {
		all = append(all, fromRecord(it.Next()))
	}
	return all, err
}

func (r *reader) Pause(topic string, p int32) error {
	r.cl.PauseFetchPartitions(map[string][]int32{topic: {p}})
	return nil
}

func (r *reader) Resume(topic string, p int32) error {
	r.cl.ResumeFetchPartitions(map[string][]int32{topic: {p}})
	return nil
}

func (r *reader) Seek(topic string, p int32, o int64) error {
	r.cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {p: {Epoch: -1, Offset: o}}})
	return nil
}

func (r *reader) Close() { r.closing.Do(r.cl.Close) }

var balancers = map[string]kgo.GroupBalancer{
	"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(), "sticky": kgo.StickyBalancer(), "cooperative": kgo.CooperativeStickyBalancer(),
}

func (c *client) Join(_ context.Context, g suite.Group) (suite.Member, error) {
	r := &reader{group: true, mine: map[string]bool{}}
	note := func(on bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, change map[string][]int32) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for t, ps := range change {
				for _, p := range ps {
					key := t + "/" + strings.Repeat("x", int(p))
					if on {
						r.mine[key] = true
					} else {
						delete(r.mine, key)
					}
				}
			}
		}
	}
	opts := []kgo.Opt{
		kgo.ConsumerGroup(g.Name), kgo.ConsumeTopics(g.Topics...), kgo.FetchMaxWait(100 * time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(note(true)), kgo.OnPartitionsRevoked(note(false)), kgo.OnPartitionsLost(note(false)), kgo.HeartbeatInterval(300 * time.Millisecond),
	}
	if g.KIP848 {
		next := serverSide(g.Balancer)
		if next == nil {
			return nil, suite.ErrLacks
		}
		opts = append(opts, next...)
	} else {
		opts = append(opts, kgo.Balancers(balancers[g.Balancer]))
	}
	if g.Regex {
		opts = append(opts, kgo.ConsumeRegex())
	}
	if g.Instance != "" {
		opts = append(opts, kgo.InstanceID(g.Instance))
	}
	if g.AutoCommit {
		opts = append(opts, kgo.AutoCommitInterval(200*time.Millisecond))
	} else {
		opts = append(opts, kgo.DisableAutoCommit())
	}
	if g.Committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	var err error
	r.cl, err = c.with(opts...)
	return r, err
}

func (r *reader) Assigned() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.mine)
}

func (r *reader) Commit(ctx context.Context) error { return r.cl.CommitUncommittedOffsets(ctx) }

func (r *reader) Leave() error {
	r.Close()
	return nil
}

type txn struct{ cl *kgo.Client }

func (c *client) Transact(ctx context.Context, id string, timeout time.Duration) (suite.Txn, error) {
	cl, err := c.with(kgo.TransactionalID(id), kgo.TransactionTimeout(timeout), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		return nil, err
	}
	for {
		_, _, err := cl.ProducerID(ctx)
		if err == nil {
			return &txn{cl}, nil
		}
		// An old version gives up, without a code, while the transaction of the one before is being ended.
		if _, known := c.Code(err); known || ctx.Err() != nil {
			cl.Close()
			return nil, err
		}
	}
}

func (x *txn) Begin() error { return x.cl.BeginTransaction() }
func (x *txn) Produce(ctx context.Context, rs ...suite.Record) error {
	_, err := produceAll(ctx, x.cl, rs)
	return err
}
func (x *txn) Offsets(context.Context, string, suite.Member, string, int32, int64) error {
	return suite.ErrLacks // there is GroupTransactSession for it
}
func (x *txn) Commit(ctx context.Context) error { return x.cl.EndTransaction(ctx, kgo.TryCommit) }
func (x *txn) Abort(ctx context.Context) error  { return x.cl.EndTransaction(ctx, kgo.TryAbort) }
func (x *txn) Close()                           { x.cl.Close() }
