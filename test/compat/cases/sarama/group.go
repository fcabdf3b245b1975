package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"suite"
)

// member is in a group, and the handler of its generations.
type member struct {
	group  sarama.ConsumerGroup
	queue  chan *sarama.ConsumerMessage
	errs   chan error
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	session sarama.ConsumerGroupSession
	claims  int
}

var strategies = map[string]sarama.BalanceStrategy{
	"range": sarama.NewBalanceStrategyRange(), "roundrobin": sarama.NewBalanceStrategyRoundRobin(), "sticky": sarama.NewBalanceStrategySticky(),
}

func (c *client) Join(ctx context.Context, g suite.Group) (suite.Member, error) {
	if g.KIP848 || g.Regex || strategies[g.Balancer] == nil {
		return nil, suite.ErrLacks
	}
	cfg := config()
	cfg.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategies[g.Balancer]}
	cfg.Consumer.Group.InstanceId = g.Instance
	cfg.Consumer.Offsets.AutoCommit.Enable = g.AutoCommit
	cfg.Consumer.Offsets.AutoCommit.Interval = 200 * time.Millisecond
	if g.Committed {
		cfg.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	group, err := sarama.NewConsumerGroup(c.seeds, g.Name, cfg)
	if err != nil {
		return nil, err
	}
	m := &member{group: group, queue: make(chan *sarama.ConsumerMessage), errs: make(chan error, 64), ended: make(chan struct{})}
	ctx, m.cancel = context.WithCancel(ctx)
	go func() {
		for range group.Errors() { // what ends a session is tried again
		}
	}()
	go func() {
		defer close(m.ended)
		for ctx.Err() == nil {
			if err := group.Consume(ctx, g.Topics, m); err != nil && ctx.Err() == nil {
				time.Sleep(50 * time.Millisecond) // the group is tried again
			}
		}
	}()
	return m, nil
}

func (m *member) Setup(s sarama.ConsumerGroupSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.session, m.claims = s, 0
	for _, ps := range s.Claims() {
		m.claims += len(ps)
	}
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.session, m.claims = nil, 0
	return nil
}

func (m *member) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for {
		select {
		case msg, ok := <-c.Messages():
			if !ok {
				return nil
			}
			select {
			case m.queue <- msg:
				s.MarkMessage(msg, "")
			case <-s.Context().Done():
				return nil
			}
		case <-s.Context().Done():
			return nil
		}
	}
}

func (m *member) Poll(ctx context.Context) ([]suite.Record, error) { return poll(ctx, m.queue, m.errs) }

func (m *member) Assigned() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.claims
}

func (m *member) Commit(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session != nil {
		m.session.Commit()
	}
	return nil
}

func (m *member) Leave() error {
	m.cancel()
	err := m.group.Close()
	<-m.ended
	return err
}

type txn struct{ p sarama.AsyncProducer }

func (c *client) Transact(ctx context.Context, id string, timeout time.Duration) (suite.Txn, error) {
	cfg := config()
	cfg.Producer.Idempotent, cfg.Net.MaxOpenRequests = true, 1
	cfg.Producer.Transaction.ID, cfg.Producer.Transaction.Timeout = id, timeout
	p, err := sarama.NewAsyncProducer(c.seeds, cfg)
	for errors.Is(err, sarama.ErrConcurrentTransactions) && ctx.Err() == nil { // the transaction of the one before is being ended
		p, err = sarama.NewAsyncProducer(c.seeds, cfg)
	}
	if err != nil {
		return nil, err
	}
	return &txn{p: p}, nil
}

func (x *txn) Begin() error { return x.p.BeginTxn() }

func (x *txn) Produce(ctx context.Context, rs ...suite.Record) (failed error) {
	go func() {
		for _, r := range rs {
			x.p.Input() <- message(r)
		}
	}()
	for range rs {
		select {
		case <-x.p.Successes():
		case e := <-x.p.Errors():
			failed = e.Err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return failed
}

func (x *txn) Offsets(_ context.Context, group string, _ suite.Member, topic string, p int32, offset int64) error {
	return x.p.AddOffsetsToTxn(map[string][]*sarama.PartitionOffsetMetadata{topic: {{Partition: p, Offset: offset}}}, group)
}

func (x *txn) Commit(context.Context) error { return x.p.CommitTxn() }
func (x *txn) Abort(context.Context) error  { return x.p.AbortTxn() }
func (x *txn) Close() {
	x.p.AsyncClose()
	go func() {
		for range x.p.Errors() { // until it is closed
		}
	}()
	for range x.p.Successes() {
	}
}
