// Command kafka-go-cases runs the shared cases with segmentio/kafka-go.
package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"suite"
)

type client struct {
	suite.Lacks
	seed string
	cl   *kafka.Client
}

func main() { suite.Main(&client{}) }

func (c *client) Open(bootstrap string) error {
	c.seed = bootstrap
	// Metadata is asked for often: topics come and go in the cases.
	c.cl = &kafka.Client{Addr: kafka.TCP(bootstrap), Timeout: 20 * time.Second, Transport: &kafka.Transport{MetadataTTL: 200 * time.Millisecond}}
	return nil
}

func (c *client) Code(err error) (int, bool) {
	var too kafka.MessageTooLargeError
	if errors.As(err, &too) {
		return int(kafka.MessageSizeTooLarge), true
	}
	var many kafka.WriteErrors
	if errors.As(err, &many) {
		for _, e := range many {
			if e != nil {
				err = e
				break
			}
		}
	}
	var ke kafka.Error
	if !errors.As(err, &ke) {
		return 0, false
	}
	return int(ke), true
}

var codecs = map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}

// fixed sends each message to the partition it names.
type fixed struct{}

func (fixed) Balance(m kafka.Message, _ ...int) int {
	return int(m.WriterData.(suite.Record).Partition)
}

func (c *client) Produce(ctx context.Context, p suite.Produce, rs ...suite.Record) (out []suite.Record, err error) {
	if p.Idempotent {
		return nil, suite.ErrLacks
	}
	done := make(chan []kafka.Message, len(rs)+1)
	w := &kafka.Writer{Addr: c.cl.Addr, RequiredAcks: kafka.RequiredAcks(p.Acks), Compression: codecs[p.Codec], BatchTimeout: 5 * time.Millisecond,
		BatchSize: 10000, BatchBytes: 1 << 20, Transport: c.cl.Transport, MaxAttempts: 5, Balancer: fixed{}, Completion: func(ms []kafka.Message, _ error) { done <- ms }}
	defer w.Close()
	if p.MaxBytes > 0 {
		w.BatchBytes = int64(p.MaxBytes)
	}
	if len(rs) > 0 && rs[0].Partition == suite.AnyPartition {
		w.Balancer = kafka.Murmur2Balancer{Consistent: true}
		if p.Partitioner == "round-robin" {
			w.Balancer = &kafka.RoundRobin{}
		}
	}
	var ms []kafka.Message
	for i, r := range rs {
		r.Offset = int64(i) // its place, for the answer
		m := kafka.Message{Topic: r.Topic, Key: r.Key, Value: r.Value, Time: r.Time, WriterData: r}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
		ms = append(ms, m)
	}
	if err := w.WriteMessages(ctx, ms...); err != nil {
		return nil, err
	}
	out = make([]suite.Record, len(rs))
	for n := 0; n < len(rs); {
		select {
		case some := <-done:
			n += len(some)
			for _, m := range some {
				r := m.WriterData.(suite.Record)
				i := r.Offset
				r.Partition, r.Offset = int32(m.Partition), m.Offset
				out[i] = r
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return out, nil
}

func record(m kafka.Message) suite.Record {
	r := suite.Record{Topic: m.Topic, Partition: int32(m.Partition), Offset: m.Offset, Key: m.Key, Value: m.Value, Time: m.Time}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, suite.Header{Key: h.Key, Value: h.Value})
	}
	return r
}

// reader forwards what readers of partitions read.
type reader struct {
	parts  map[int32]*kafka.Reader
	queue  chan kafka.Message
	errs   chan error
	cancel context.CancelFunc
}

func readerOf(seed, topic string, partition int, f suite.Fetch) *kafka.Reader {
	cfg := kafka.ReaderConfig{Brokers: []string{seed}, Topic: topic, Partition: partition, MaxWait: 100 * time.Millisecond, MinBytes: 1, MaxBytes: 1 << 20,
		ReadBackoffMin: 10 * time.Millisecond, OffsetOutOfRangeError: true, ReadLagInterval: -1}
	if f.Committed {
		cfg.IsolationLevel = kafka.ReadCommitted
	}
	if f.MaxBytes > 0 {
		cfg.MaxBytes = f.MaxBytes
	}
	return kafka.NewReader(cfg)
}

func (c *client) Read(_ context.Context, f suite.Fetch, topic string, from map[int32]int64) (suite.Reader, error) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &reader{parts: map[int32]*kafka.Reader{}, queue: make(chan kafka.Message), errs: make(chan error, 16), cancel: cancel}
	for p, at := range from {
		one := readerOf(c.seed, topic, int(p), f)
		r.parts[p] = one
		if err := one.SetOffset(at); err != nil { // Earliest and Latest are kafka-go's FirstOffset and LastOffset
			return nil, err
		}
		go forward(ctx, one, r.queue, r.errs)
	}
	return r, nil
}

func forward(ctx context.Context, r *kafka.Reader, queue chan kafka.Message, errs chan error) {
	for ctx.Err() == nil {
		m, err := r.FetchMessage(ctx)
		if err != nil {
			if ctx.Err() == nil {
				select {
				case errs <- err:
				case <-ctx.Done():
				}
				time.Sleep(50 * time.Millisecond) // the reader is asked again
			}
			continue
		}
		select {
		case queue <- m:
		case <-ctx.Done():
		}
	}
}

func (r *reader) Poll(ctx context.Context) ([]suite.Record, error) { return poll(ctx, r.queue, r.errs) }

// poll takes what is there within 200 ms, and what follows at once.
func poll(ctx context.Context, queue chan kafka.Message, errs chan error) (all []suite.Record, err error) {
	wait := time.NewTimer(200 * time.Millisecond)
	defer wait.Stop()
	for len(all) < 10000 {
		select {
		case m := <-queue:
			all = append(all, record(m))
			wait.Reset(20 * time.Millisecond)
		case err := <-errs:
			return all, err
		case <-wait.C:
			return all, nil
		case <-ctx.Done():
			return all, ctx.Err()
		}
	}
	return all, nil
}

func (r *reader) Pause(string, int32) error       { return suite.ErrLacks }
func (r *reader) Resume(string, int32) error      { return suite.ErrLacks }
func (r *reader) Seek(string, int32, int64) error { return suite.ErrLacks }

func (r *reader) Close() {
	r.cancel()
	for _, one := range r.parts {
		go one.Close()
	}
}

func (c *client) Consume(ctx context.Context, f suite.Fetch, topic string, partition int32, from int64, n int) (all []suite.Record, err error) {
	r, err := c.Read(ctx, f, topic, map[int32]int64{partition: from})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for len(all) < n && err == nil {
		var rs []suite.Record
		rs, err = r.Poll(ctx)
		all = append(all, rs...)
	}
	return all[:min(n, len(all))], err
}

// member is in a group: it reads the partitions of each generation.
type member struct {
	group *kafka.ConsumerGroup
	queue chan kafka.Message
	errs  chan error
	stop  context.CancelFunc
	ended chan struct{}

	mu     sync.Mutex
	gen    *kafka.Generation
	polled map[string]map[int]int64
}

var balancers = map[string]kafka.GroupBalancer{"range": kafka.RangeGroupBalancer{}, "roundrobin": kafka.RoundRobinGroupBalancer{}}

func (c *client) Join(_ context.Context, g suite.Group) (suite.Member, error) {
	if g.KIP848 || g.Regex || g.AutoCommit || g.Instance != "" || balancers[g.Balancer] == nil {
		return nil, suite.ErrLacks
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: g.Name, Brokers: []string{c.seed}, Topics: g.Topics, GroupBalancers: []kafka.GroupBalancer{balancers[g.Balancer]},
		HeartbeatInterval: 200 * time.Millisecond, StartOffset: kafka.FirstOffset, JoinGroupBackoff: 100 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	m := &member{group: group, queue: make(chan kafka.Message), errs: make(chan error, 16), ended: make(chan struct{}), polled: map[string]map[int]int64{}}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	go func() {
		defer close(m.ended)
		for ctx.Err() == nil {
			gen, err := group.Next(ctx)
			if err != nil {
				continue // it joins again
			}
			m.begin(gen, c.seed, suite.Fetch{Committed: g.Committed})
		}
	}()
	return m, nil
}

func (m *member) begin(gen *kafka.Generation, seed string, f suite.Fetch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gen, m.polled = gen, map[string]map[int]int64{}
	for topic, parts := range gen.Assignments {
		for _, p := range parts {
			gen.Start(func(ctx context.Context) {
				r := readerOf(seed, topic, p.ID, f)
				defer r.Close()
				if r.SetOffset(p.Offset) == nil {
					forward(ctx, r, m.queue, m.errs)
				}
			})
		}
	}
}

func (m *member) Poll(ctx context.Context) ([]suite.Record, error) {
	rs, err := poll(ctx, m.queue, m.errs)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range rs {
		if m.polled[r.Topic] == nil {
			m.polled[r.Topic] = map[int]int64{}
		}
		m.polled[r.Topic][int(r.Partition)] = r.Offset + 1
	}
	return rs, err
}

func (m *member) Assigned() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gen != nil {
		for _, ps := range m.gen.Assignments {
			n += len(ps)
		}
	}
	return n
}

func (m *member) Commit(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gen.CommitOffsets(m.polled)
}

func (m *member) Leave() error {
	m.stop()
	err := m.group.Close()
	<-m.ended
	return err
}
