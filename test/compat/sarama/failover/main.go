// Command failover keeps a producer and a group running, or reads a topic, with IBM/sarama: see failover_test.go for the lines it speaks.
//
//	failover load HOST:PORT,... TOPIC GROUP
//	failover read HOST:PORT,... TOPIC COUNT
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

const partitions = 6

var stdout sync.Mutex

func say(format string, args ...any) {
	stdout.Lock()
	defer stdout.Unlock()
	fmt.Printf(format+"\n", args...)
}

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Net.MaxOpenRequests = 1
	c.Metadata.Retry.Max = 100
	c.Producer.Idempotent = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Retry.Max = 600 // the default of 3 is for less than a second
	c.Consumer.Return.Errors = true
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Interval = 500 * time.Millisecond
	return c
}

func produce(brokers []string, topic string, finish <-chan struct{}) error {
	p, err := sarama.NewAsyncProducer(brokers, config())
	if err != nil {
		return err
	}
	var outcomes sync.WaitGroup
	outcomes.Go(func() {
		for m := range p.Successes() {
			value, _ := m.Value.Encode() // a string has no error
			say("acked %d %d %s", m.Partition, m.Offset, value)
		}
	})
	outcomes.Go(func() {
		for e := range p.Errors() {
			say("error delivery to partition %d: %v", e.Msg.Partition, e.Err)
		}
	})
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ; n++ {
		select {
		case <-finish:
			p.AsyncClose()
			outcomes.Wait()
			return nil
		case <-pace.C:
			p.Input() <- &sarama.ProducerMessage{Topic: topic, Partition: int32(n % partitions), Value: sarama.StringEncoder(strconv.Itoa(n))}
		}
	}
}

type member struct{}

func (member) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (member) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (member) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for m := range c.Messages() {
		say("consumed %d %d", m.Partition, m.Offset)
		s.MarkMessage(m, "")
	}
	return nil
}

// consume joins the group anew whenever a session ends, as sarama leaves to its user.
func consume(ctx context.Context, brokers []string, topic, group string) error {
	g, err := sarama.NewConsumerGroup(brokers, group, config())
	if err != nil {
		return err
	}
	var noted sync.WaitGroup
	noted.Go(func() {
		for err := range g.Errors() {
			log.Printf("group: %v", err)
		}
	})
	for ctx.Err() == nil {
		if err := g.Consume(ctx, []string{topic}, member{}); err != nil {
			log.Printf("session: %v", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	err = g.Close()
	noted.Wait()
	return err
}

func load(brokers []string, topic, group string) error {
	finish := make(chan struct{})
	ctx, leave := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := produce(brokers, topic, finish); err != nil {
			say("error producer: %v", err)
		}
		say("flushed")
	})
	running.Go(func() {
		if err := consume(ctx, brokers, topic, group); err != nil {
			say("error group: %v", err)
		}
	})
	in := bufio.NewReader(os.Stdin)
	_, _ = in.ReadString('\n') // the end of the input ends everything as well
	close(finish)
	_, err := io.Copy(io.Discard, in)
	leave()
	running.Wait()
	return err
}

func read(brokers []string, topic, count string) error {
	want, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	c, err := sarama.NewConsumer(brokers, config())
	if err != nil {
		return err
	}
	messages := make(chan *sarama.ConsumerMessage)
	for p := range int32(partitions) {
		pc, err := c.ConsumePartition(topic, p, sarama.OffsetOldest)
		if err != nil {
			return err
		}
		go func() {
			for m := range pc.Messages() {
				messages <- m
			}
		}()
	}
	for range want {
		m := <-messages
		say("read %d %d %s", m.Partition, m.Offset, m.Value)
	}
	return nil // the process ends
}

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: failover load|read HOST:PORT,... TOPIC GROUP|COUNT")
	}
	sarama.Logger = log.New(os.Stderr, "", log.Ltime|log.Lmicroseconds)
	brokers := strings.Split(os.Args[2], ",")
	do := read
	if os.Args[1] == "load" {
		do = load
	}
	if err := do(brokers, os.Args[3], os.Args[4]); err != nil {
		log.Fatal(err)
	}
}
