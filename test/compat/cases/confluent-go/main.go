// Command confluent-go-cases runs the shared cases with confluentinc/confluent-kafka-go, which is librdkafka. It needs cgo, and is a module of its own for that.
package main

import (
	"context"
	"errors"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"suite"
)

type client struct {
	suite.Lacks
	seed string
	adm  *kafka.AdminClient
}

func main() { suite.Main(&client{}) }

func (c *client) Open(bootstrap string) (err error) {
	c.seed = bootstrap
	c.adm, err = kafka.NewAdminClient(c.config(kafka.ConfigMap{}))
	return err
}

// config adds what every client has. Metadata is asked for often: topics come and go in the cases.
func (c *client) config(more kafka.ConfigMap) *kafka.ConfigMap {
	all := kafka.ConfigMap{"bootstrap.servers": c.seed, "topic.metadata.refresh.interval.ms": 300, "topic.metadata.propagation.max.ms": 2000, "log_level": 0}
	for k, v := range more {
		all[k] = v
	}
	return &all
}

// own are codes of librdkafka for errors of the broker.
var own = map[kafka.ErrorCode]int{
	kafka.ErrUnknownTopic: 3, kafka.ErrUnknownPartition: 3, kafka.ErrFenced: 90, kafka.ErrAutoOffsetReset: 1, kafka.ErrNoent: 3,
}

func (c *client) Code(err error) (int, bool) {
	var ke kafka.Error
	if !errors.As(err, &ke) {
		return 0, false
	}
	if code, ok := own[ke.Code()]; ok {
		return code, true
	}
	return int(ke.Code()), ke.Code() > 0 || ke.Code() == kafka.ErrUnknown
}

// failed is the error of a result of the client's, nil where there is none.
func failed(e kafka.Error) error {
	if e.Code() == kafka.ErrNoError {
		return nil
	}
	return e
}

func partition(topic string, p int32, at int64) kafka.TopicPartition {
	return kafka.TopicPartition{Topic: &topic, Partition: p, Offset: kafka.Offset(at)}
}

func (c *client) Produce(ctx context.Context, p suite.Produce, rs ...suite.Record) ([]suite.Record, error) {
	conf := kafka.ConfigMap{"acks": p.Acks, "linger.ms": 5, "delivery.timeout.ms": 20000, "enable.idempotence": p.Idempotent, "partitioner": "murmur2_random"}
	if p.Codec != "" {
		conf["compression.type"] = p.Codec
	}
	if p.MaxBytes > 0 {
		conf["message.max.bytes"] = p.MaxBytes
	}
	if p.Partitioner == "round-robin" {
		return nil, suite.ErrLacks
	}
	producer, err := kafka.NewProducer(c.config(conf))
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	return send(ctx, producer, rs)
}

// send produces records and waits until each is acknowledged.
func send(ctx context.Context, producer *kafka.Producer, rs []suite.Record) ([]suite.Record, error) {
	delivered := make(chan kafka.Event, len(rs))
	for i, r := range rs {
		m := &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &r.Topic, Partition: r.Partition}, Key: r.Key, Value: r.Value, Timestamp: r.Time, Opaque: i}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
		if err := producer.Produce(m, delivered); err != nil {
			return nil, err
		}
	}
	out := make([]suite.Record, len(rs))
	var first error
	for range rs {
		select {
		case e := <-delivered:
			m := e.(*kafka.Message)
			if m.TopicPartition.Error != nil && first == nil {
				first = m.TopicPartition.Error
			}
			i := m.Opaque.(int)
			out[i] = rs[i]
			out[i].Partition, out[i].Offset = m.TopicPartition.Partition, int64(m.TopicPartition.Offset)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return out, first
}

func record(m *kafka.Message) suite.Record {
	r := suite.Record{Topic: *m.TopicPartition.Topic, Partition: m.TopicPartition.Partition, Offset: int64(m.TopicPartition.Offset), Key: m.Key, Value: m.Value, Time: m.Timestamp}
	for _, h := range m.Headers {
		r.Headers = append(r.Headers, suite.Header{Key: h.Key, Value: h.Value})
	}
	return r
}

// consumer is a consumer of partitions, or a member of a group.
type consumer struct{ *kafka.Consumer }

func (c *client) consumer(f suite.Fetch, more kafka.ConfigMap) (*consumer, error) {
	conf := kafka.ConfigMap{"group.id": "nobody", "enable.auto.commit": false, "auto.offset.reset": "error", "fetch.wait.max.ms": 100, "check.crcs": true,
		"isolation.level": "read_uncommitted", "fetch.error.backoff.ms": 50}
	if f.Committed {
		conf["isolation.level"] = "read_committed"
	}
	if f.MaxBytes > 0 {
		conf["max.partition.fetch.bytes"] = f.MaxBytes
	}
	for k, v := range more {
		conf[k] = v
	}
	one, err := kafka.NewConsumer(c.config(conf))
	if err != nil {
		return nil, err
	}
	return &consumer{one}, nil
}

// Poll takes what is there within 200 ms, and what follows at once.
func (c *consumer) Poll(ctx context.Context) (all []suite.Record, err error) {
	for wait := 200; len(all) < 10_000; wait = 20 {
		switch e := c.Consumer.Poll(wait).(type) {
		case nil:
			return all, ctx.Err()
		case *kafka.Message:
			if e.TopicPartition.Error != nil {
				return all, e.TopicPartition.Error
			}
			all = append(all, record(e))
		case kafka.Error:
			if !e.IsRetriable() && e.Code() != kafka.ErrAllBrokersDown && e.Code() != kafka.ErrTransport {
				return all, e
			}
		}
	}
	return all, nil
}

func (c *consumer) Pause(topic string, p int32) error {
	return c.Consumer.Pause([]kafka.TopicPartition{partition(topic, p, 0)})
}

func (c *consumer) Resume(topic string, p int32) error {
	return c.Consumer.Resume([]kafka.TopicPartition{partition(topic, p, 0)})
}

func (c *consumer) Seek(topic string, p int32, offset int64) error {
	_, err := c.SeekPartitions([]kafka.TopicPartition{partition(topic, p, offset)})
	return err
}

func (c *consumer) Close() { _ = c.Consumer.Close() }

func (c *client) Read(_ context.Context, f suite.Fetch, topic string, at map[int32]int64) (suite.Reader, error) {
	one, err := c.consumer(f, nil)
	if err != nil {
		return nil, err
	}
	var all []kafka.TopicPartition
	for p, offset := range at { // Earliest and Latest are librdkafka's numbers too
		all = append(all, partition(topic, p, offset))
	}
	return one, one.Assign(all)
}

func (c *client) Consume(ctx context.Context, f suite.Fetch, topic string, p int32, at int64, n int) (all []suite.Record, err error) {
	r, err := c.Read(ctx, f, topic, map[int32]int64{p: at})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for len(all) < n && err == nil {
		var some []suite.Record
		some, err = r.Poll(ctx)
		all = append(all, some...)
	}
	return all[:min(n, len(all))], err
}

// strategies are librdkafka's names.
var strategies = map[string]string{"range": "range", "roundrobin": "roundrobin", "cooperative": "cooperative-sticky"}

func (c *client) Join(_ context.Context, g suite.Group) (suite.Member, error) {
	conf := kafka.ConfigMap{"group.id": g.Name, "auto.offset.reset": "earliest", "enable.auto.commit": g.AutoCommit, "auto.commit.interval.ms": 200}
	if g.Instance != "" {
		conf["group.instance.id"] = g.Instance
	}
	switch strategy, ok := strategies[g.Balancer]; {
	case g.KIP848:
		conf["group.protocol"] = "consumer"
		if g.Balancer != "" {
			conf["group.remote.assignor"] = g.Balancer
		}
	case !ok:
		return nil, suite.ErrLacks
	default:
		conf["partition.assignment.strategy"], conf["heartbeat.interval.ms"], conf["session.timeout.ms"] = strategy, 200, 10_000
	}
	one, err := c.consumer(suite.Fetch{Committed: g.Committed}, conf)
	if err != nil {
		return nil, err
	}
	return member{one}, one.SubscribeTopics(g.Topics, nil)
}

type member struct{ *consumer }

func (m member) Assigned() int {
	all, _ := m.Assignment()
	return len(all)
}

func (m member) Commit(context.Context) error {
	_, err := m.consumer.Commit()
	return err
}

func (m member) Leave() error {
	if m.IsClosed() {
		return nil
	}
	return m.consumer.Consumer.Close()
}

type txn struct{ *kafka.Producer }

func (c *client) Transact(ctx context.Context, id string, timeout time.Duration) (suite.Txn, error) {
	p, err := kafka.NewProducer(c.config(kafka.ConfigMap{"transactional.id": id, "transaction.timeout.ms": int(timeout.Milliseconds()), "linger.ms": 1, "partitioner": "murmur2_random"}))
	if err != nil {
		return nil, err
	}
	if err := p.InitTransactions(ctx); err != nil {
		p.Close()
		return nil, err
	}
	return txn{p}, nil
}

func (x txn) Begin() error                     { return x.BeginTransaction() }
func (x txn) Commit(ctx context.Context) error { return x.CommitTransaction(ctx) }
func (x txn) Abort(ctx context.Context) error  { return x.AbortTransaction(ctx) }
func (x txn) Produce(ctx context.Context, rs ...suite.Record) error {
	_, err := send(ctx, x.Producer, rs)
	if fatal := x.GetFatalError(); err != nil && fatal != nil { // records are only said to be given up
		return fatal
	}
	return err
}

func (x txn) Offsets(ctx context.Context, group string, m suite.Member, topic string, p int32, offset int64) error {
	meta, err := kafka.NewTestConsumerGroupMetadata(group)
	if m != nil {
		meta, err = m.(member).GetConsumerGroupMetadata()
	}
	if err != nil {
		return err
	}
	return x.SendOffsetsToTransaction(ctx, []kafka.TopicPartition{partition(topic, p, offset)}, meta)
}
