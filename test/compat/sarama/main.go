// Command sarama-check checks a Kafka broker with IBM/sarama. Usage: sarama-check HOST:PORT
//
// It prints one line a check, `ok NAME` or `not ok NAME: why`, and exits with 1 if any failed.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

var (
	brokers []string
	run     = strconv.FormatInt(time.Now().UnixNano(), 36)
)

func config(version sarama.KafkaVersion) *sarama.Config {
	c := sarama.NewConfig()
	c.Version = version
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Return.Errors = true
	return c
}

func topic(name string, partitions int32, entries map[string]*string) (string, error) {
	adm, err := sarama.NewClusterAdmin(brokers, config(sarama.MaxVersion))
	if err != nil {
		return "", err
	}
	defer adm.Close()
	full := "sarama-" + name + "-" + run
	return full, adm.CreateTopic(full, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: entries}, false)
}

func produce(c *sarama.Config, messages []*sarama.ProducerMessage) error {
	p, err := sarama.NewSyncProducer(brokers, c)
	if err != nil {
		return err
	}
	defer p.Close()
	return p.SendMessages(messages)
}

func consume(c *sarama.Config, topic string, partition int32, count int) ([]*sarama.ConsumerMessage, error) {
	cons, err := sarama.NewConsumer(brokers, c)
	if err != nil {
		return nil, err
	}
	defer cons.Close()
	pc, err := cons.ConsumePartition(topic, partition, sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	defer pc.Close()
	var got []*sarama.ConsumerMessage
	timeout := time.After(time.Minute)
	for len(got) < count {
		select {
		case m := <-pc.Messages():
			got = append(got, m)
		case err := <-pc.Errors():
			return got, err
		case <-timeout:
			return got, fmt.Errorf("only %d of %d messages came", len(got), count)
		}
	}
	return got, nil
}

// roundTrip produces 1,000 messages with the configuration and reads them back.
func roundTrip(name string, c *sarama.Config) error {
	full, err := topic(name, 1, nil)
	if err != nil {
		return err
	}
	var sent []*sarama.ProducerMessage
	for i := range 1000 {
		sent = append(sent, &sarama.ProducerMessage{Topic: full, Key: sarama.StringEncoder(fmt.Sprint("k", i)), Value: sarama.StringEncoder(strings.Repeat(fmt.Sprint("value ", i), 10))})
	}
	if err := produce(c, sent); err != nil {
		return err
	}
	got, err := consume(c, full, 0, len(sent))
	if err != nil {
		return err
	}
	for i, m := range got {
		if want := strings.Repeat(fmt.Sprint("value ", i), 10); string(m.Value) != want || string(m.Key) != fmt.Sprint("k", i) || m.Offset != int64(i) {
			return fmt.Errorf("message %d is %q at offset %d", i, m.Value, m.Offset)
		}
	}
	return nil
}

func codecs() error {
	for _, codec := range []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD} {
		c := config(sarama.MaxVersion)
		c.Producer.Compression = codec
		if err := roundTrip("codec-"+codec.String(), c); err != nil {
			return fmt.Errorf("%v: %w", codec, err)
		}
	}
	return nil
}

// oldVersions: clients that are configured for an old release use its message versions without asking.
func oldVersions() error {
	for _, v := range []sarama.KafkaVersion{sarama.V2_1_0_0, sarama.V2_8_0_0, sarama.V3_6_0_0} {
		if err := roundTrip("version-"+v.String(), config(v)); err != nil {
			return fmt.Errorf("version %v: %w", v, err)
		}
	}
	return nil
}

func idempotent() error {
	full, err := topic("idempotent", 1, nil)
	if err != nil {
		return err
	}
	c := config(sarama.MaxVersion)
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
	p, err := sarama.NewAsyncProducer(brokers, c)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		for range 5000 {
			select {
			case <-p.Successes():
			case e := <-p.Errors():
				failed = errors.Join(failed, e)
			}
		}
	})
	for i := range 5000 {
		p.Input() <- &sarama.ProducerMessage{Topic: full, Value: sarama.StringEncoder(strconv.Itoa(i))}
	}
	wg.Wait()
	if err := errors.Join(failed, p.Close()); err != nil {
		return err
	}
	got, err := consume(c, full, 0, 5000)
	if err != nil {
		return err
	}
	for i, m := range got {
		if string(m.Value) != strconv.Itoa(i) {
			return fmt.Errorf("offset %d holds %s", i, m.Value)
		}
	}
	return nil
}

// member is a group member that notes its claims and counts messages.
type member struct {
	mu     sync.Mutex
	claims []int32
	got    int
}

func (m *member) Setup(s sarama.ConsumerGroupSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claims = nil
	for _, parts := range s.Claims() {
		m.claims = append(m.claims, parts...)
	}
	return nil
}
func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (m *member) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for msg := range c.Messages() {
		s.MarkMessage(msg, "")
		m.mu.Lock()
		m.got++
		m.mu.Unlock()
	}
	return nil
}

func (m *member) state() (claims, got int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.claims), m.got
}

func groups() error {
	for _, s := range []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange(), sarama.NewBalanceStrategyRoundRobin(), sarama.NewBalanceStrategySticky()} {
		if err := groupWith(s); err != nil {
			return fmt.Errorf("%s: %w", s.Name(), err)
		}
	}
	return nil
}

func groupWith(strategy sarama.BalanceStrategy) error {
	full, err := topic("group-"+strategy.Name(), 4, nil)
	if err != nil {
		return err
	}
	var sent []*sarama.ProducerMessage
	for i := range 400 {
		sent = append(sent, &sarama.ProducerMessage{Topic: full, Partition: int32(i % 4), Value: sarama.StringEncoder("x")})
	}
	if err := produce(config(sarama.MaxVersion), sent); err != nil {
		return err
	}
	c := config(sarama.MaxVersion)
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	c.Consumer.Group.Session.Timeout = 10 * time.Second
	c.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
	start := func() (*member, func() error, error) {
		g, err := sarama.NewConsumerGroup(brokers, "sarama-"+strategy.Name()+"-"+run, c)
		if err != nil {
			return nil, nil, err
		}
		m := &member{}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			for range g.Errors() {
			}
		})
		wg.Go(func() {
			for ctx.Err() == nil {
				_ = g.Consume(ctx, []string{full}, m) // ends at every rebalance
			}
		})
		return m, func() error { cancel(); err := g.Close(); wg.Wait(); return err }, nil
	}
	a, stopA, err := start()
	if err != nil {
		return err
	}
	defer stopA()
	b, stopB, err := start()
	if err != nil {
		return err
	}
	if err := until(func() bool { x, _ := a.state(); y, _ := b.state(); return x == 2 && y == 2 }); err != nil {
		return fmt.Errorf("two members: %w", err)
	}
	if err := until(func() bool { _, x := a.state(); _, y := b.state(); return x+y >= 400 }); err != nil {
		return fmt.Errorf("messages: %w", err)
	}
	if err := stopB(); err != nil {
		return err
	}
	if err := until(func() bool { x, _ := a.state(); return x == 4 }); err != nil {
		return fmt.Errorf("one member left: %w", err)
	}
	return nil
}

func until(condition func() bool) error {
	for deadline := time.Now().Add(45 * time.Second); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return errors.New("did not come about in 45 s")
		}
	}
	return nil
}

func admin() error {
	retention := "123456"
	full, err := topic("admin", 2, map[string]*string{"retention.ms": &retention})
	if err != nil {
		return err
	}
	adm, err := sarama.NewClusterAdmin(brokers, config(sarama.MaxVersion))
	if err != nil {
		return err
	}
	defer adm.Close()
	entries, err := adm.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: full, ConfigNames: []string{"retention.ms"}})
	if err != nil || len(entries) != 1 || entries[0].Value != retention {
		return fmt.Errorf("describe config: %v, %v", entries, err)
	}
	size := "4096"
	if err := adm.IncrementalAlterConfig(sarama.TopicResource, full, map[string]sarama.IncrementalAlterConfigsEntry{"max.message.bytes": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &size}}, false); err != nil {
		return fmt.Errorf("alter config: %w", err)
	}
	err = produce(config(sarama.MaxVersion), []*sarama.ProducerMessage{{Topic: full, Value: sarama.ByteEncoder(make([]byte, 10000))}})
	var errs sarama.ProducerErrors
	if !errors.As(err, &errs) || !errors.Is(errs[0].Err, sarama.ErrMessageSizeTooLarge) {
		return fmt.Errorf("a message over max.message.bytes: %v", err)
	}
	if err := adm.CreatePartitions(full, 3, nil, false); err != nil {
		return fmt.Errorf("create partitions: %w", err)
	}
	list, err := adm.ListConsumerGroups()
	if err != nil {
		return err
	}
	var names []string
	for name := range list {
		names = append(names, name)
	}
	if group := "sarama-range-" + run; !slices.Contains(names, group) {
		return fmt.Errorf("group %s is not listed: %v", group, names)
	} else if err := adm.DeleteConsumerGroup(group); err != nil {
		return fmt.Errorf("delete group: %w", err)
	}
	return adm.DeleteTopic(full)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: sarama-check HOST:PORT")
		os.Exit(2)
	}
	brokers = os.Args[1:]
	failed := false
	for _, c := range []struct {
		name string
		run  func() error
	}{{"codecs", codecs}, {"old versions", oldVersions}, {"idempotent", idempotent}, {"groups", groups}, {"admin", admin}} {
		if err := c.run(); err != nil {
			failed = true
			fmt.Printf("not ok %s: %v\n", c.name, err)
		} else {
			fmt.Printf("ok %s\n", c.name)
		}
	}
	if failed {
		os.Exit(1)
	}
}
