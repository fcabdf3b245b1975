// Command sarama-cases runs the shared cases with IBM/sarama. It is built twice: as it is, and with old.mod and the tag `old`.
package main

import (
	"context"
	"errors"
	"time"

	"github.com/IBM/sarama"
	"suite"
)

type client struct {
	suite.Lacks
	seeds []string
	cl    sarama.Client
	adm   sarama.ClusterAdmin
}

func main() { suite.Main(&client{}) }

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Transaction.Timeout = 40 * time.Second
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Return.Errors = true
	c.Consumer.MaxWaitTime = 100 * time.Millisecond
	c.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
	c.Metadata.AllowAutoTopicCreation = false
	c.Metadata.Retry.Backoff = 100 * time.Millisecond
	return c
}

func (c *client) Open(bootstrap string) (err error) {
	c.seeds = []string{bootstrap}
	if c.cl, err = sarama.NewClient(c.seeds, config()); err != nil {
		return err
	}
	c.adm, err = sarama.NewClusterAdminFromClient(c.cl)
	return err
}

func (c *client) Code(err error) (int, bool) {
	var many sarama.ProducerErrors
	if errors.As(err, &many) && len(many) > 0 {
		err = many[0].Err
	}
	var ke sarama.KError
	if !errors.As(err, &ke) {
		return 0, false
	}
	return int(ke), true
}

// kerr is nil for the code 0.
func kerr(e sarama.KError) error {
	if e == sarama.ErrNoError {
		return nil
	}
	return e
}

var codecs = map[string]sarama.CompressionCodec{
	"gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

func message(r suite.Record) *sarama.ProducerMessage {
	m := &sarama.ProducerMessage{Topic: r.Topic, Partition: r.Partition, Timestamp: r.Time}
	if r.Key != nil {
		m.Key = sarama.ByteEncoder(r.Key)
	}
	if r.Value != nil {
		m.Value = sarama.ByteEncoder(r.Value)
	}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
	}
	return m
}

func (c *client) Produce(_ context.Context, p suite.Produce, rs ...suite.Record) (out []suite.Record, err error) {
	cfg := config()
	cfg.Producer.RequiredAcks = sarama.RequiredAcks(p.Acks)
	cfg.Producer.Compression = codecs[p.Codec]
	if p.Idempotent {
		cfg.Producer.Idempotent, cfg.Net.MaxOpenRequests = true, 1
	}
	if p.MaxBytes > 0 {
		cfg.Producer.MaxMessageBytes = p.MaxBytes
	}
	if len(rs) > 0 && rs[0].Partition == suite.AnyPartition {
		if cfg.Producer.Partitioner = partitioner(p.Partitioner); cfg.Producer.Partitioner == nil {
			return nil, suite.ErrLacks
		}
	}
	producer, err := sarama.NewSyncProducer(c.seeds, cfg)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	var ms []*sarama.ProducerMessage
	for _, r := range rs {
		ms = append(ms, message(r))
	}
	if err := producer.SendMessages(ms); err != nil {
		return nil, err
	}
	for i, m := range ms {
		r := rs[i]
		r.Partition, r.Offset = m.Partition, m.Offset
		out = append(out, r)
	}
	return out, nil
}

func record(m *sarama.ConsumerMessage) suite.Record {
	r := suite.Record{Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Key: m.Key, Value: m.Value, Time: m.Timestamp}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, suite.Header{Key: string(h.Key), Value: h.Value})
	}
	return r
}

type reader struct {
	cons  sarama.Consumer
	parts map[int32]sarama.PartitionConsumer
	queue chan *sarama.ConsumerMessage
	errs  chan error
	done  chan struct{}
}

func (c *client) Read(ctx context.Context, f suite.Fetch, topic string, from map[int32]int64) (suite.Reader, error) {
	cfg := config()
	if f.Committed {
		cfg.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	if f.MaxBytes > 0 {
		cfg.Consumer.Fetch.Default = int32(f.MaxBytes)
	}
	cons, err := sarama.NewConsumer(c.seeds, cfg)
	if err != nil {
		return nil, err
	}
	r := &reader{cons: cons, parts: map[int32]sarama.PartitionConsumer{}, queue: make(chan *sarama.ConsumerMessage), errs: make(chan error, 16), done: make(chan struct{})}
	for p, at := range from {
		pc, err := cons.ConsumePartition(topic, p, at)
		for errors.Is(err, sarama.ErrNotLeaderForPartition) && ctx.Err() == nil { // it is new
			pc, err = cons.ConsumePartition(topic, p, at)
		}
		if err != nil {
			r.Close()
			return nil, err
		}
		r.parts[p] = pc
		go r.forward(pc)
	}
	return r, nil
}

func (r *reader) forward(pc sarama.PartitionConsumer) {
	for {
		select {
		case m, ok := <-pc.Messages():
			if !ok {
				return
			}
			select {
			case r.queue <- m:
			case <-r.done:
				return
			}
		case e, ok := <-pc.Errors():
			if ok {
				r.errs <- e
			}
		case <-r.done:
			return
		}
	}
}

func (r *reader) Poll(ctx context.Context) ([]suite.Record, error) { return poll(ctx, r.queue, r.errs) }

// poll takes what is there within 200 ms, and what follows at once.
func poll(ctx context.Context, queue chan *sarama.ConsumerMessage, errs chan error) (all []suite.Record, err error) {
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

func (r *reader) Pause(_ string, p int32) error {
	r.parts[p].Pause()
	return nil
}

func (r *reader) Resume(_ string, p int32) error {
	r.parts[p].Resume()
	return nil
}

func (r *reader) Seek(string, int32, int64) error { return suite.ErrLacks }

func (r *reader) Close() {
	close(r.done)
	for _, pc := range r.parts {
		pc.AsyncClose()
	}
	go r.cons.Close()
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
