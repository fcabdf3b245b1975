package share

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/broker/partition/memlog"
	"sluice/broker/topicconfig"
	"sluice/wire/batch"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memStore is a store in memory that can be told to fail.
type memStore struct {
	mu     sync.Mutex
	state  State
	err    error
	writes int
	wrote  chan struct{} // closed by the next write
}

// await returns when the state is as wanted.
func (s *memStore) await(want func(State) bool) {
	for {
		s.mu.Lock()
		if s.wrote == nil {
			s.wrote = make(chan struct{})
		}
		done, wrote := want(s.state), s.wrote
		s.mu.Unlock()
		if done {
			return
		}
		<-wrote
	}
}

func (s *memStore) Read(context.Context, Key, int32) (State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.err
}

func (s *memStore) Write(_ context.Context, _ Key, w Write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.writes++
		s.state = snapshotValue{State: s.state}.apply(updateValue{start: w.Start, complete: w.Complete, batches: w.Batches}).State
	}
	if s.wrote != nil {
		close(s.wrote)
		s.wrote = nil
	}
	return s.err
}

func (s *memStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *memStore) start() base.Offset {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Start
}

// stage is a manager of one partition. Tests of it run in virtual time: locks and waits end when they are to, and not when the machine is busy.
type stage struct {
	readable func(base.UUID) bool // nil: all
	t        *testing.T
	m        *Manager
	p        *partition.Partition
	store    *memStore
	group    GroupConfig
	dead     DeadLetters
	// partitions is how many the last answer had.
	partitions int
}

var topic = base.UUID{7}

func (s *stage) Get(id base.UUID, index int32) (*partition.Partition, error) {
	if id != topic {
		return nil, kerr.Errorf(kerr.UnknownTopicID, "no such topic")
	}
	if index != 0 {
		return nil, kerr.Errorf(kerr.NotLeaderOrFollower, "elsewhere")
	}
	return s.p, nil
}

func newStage(t *testing.T) *stage {
	wal := &memlog.WAL{}
	stop := wal.Auto()
	t.Cleanup(stop)
	cfg := topicconfig.Default()
	p, err := partition.Open(t.Context(), partition.Options{
		Topic: topic, Name: "t", Epoch: 4, EpochStarts: []partition.EpochStart{{Epoch: 4}}, Config: &cfg, Data: wal.New(0), Meta: wal.New(0),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, p: p, store: &memStore{state: State{Start: NoOffset, Complete: -1}}, group: DefaultGroupConfig()}
	s.group.Reset = ResetEarliest
	s.m = NewManager(Options{Directory: s, Store: s.store, Group: func(string) GroupConfig { return s.group }, Dead: s})
	t.Cleanup(s.m.Close)
	return s
}

func (s *stage) Open(ctx context.Context, name string) (int, error) { return s.dead.Open(ctx, name) }

func (s *stage) Append(ctx context.Context, name string, source int32, records []byte) error {
	return s.dead.Append(ctx, name, source, records)
}

// produce appends a batch of n records.
func (s *stage) produce(n int) {
	b := batch.NewBuilder(batch.Options{})
	for i := range n {
		b.Add(batch.Record{Timestamp: 1, Value: fmt.Append(nil, i)})
	}
	s.append(b.Bytes())
}

func (s *stage) append(records []byte) {
	done := make(chan error, 1)
	s.p.Append(partition.AppendRequest{Batch: records}, func(r partition.AppendResult) { done <- r.Err })
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
}

// fetch fetches and renders the answer.
func (s *stage) fetch(ctx context.Context, member string, epoch int32, acks ...msg.ShareFetchRequestAcknowledgementBatch) string {
	s.t.Helper()
	group := "g"
	req := &msg.ShareFetchRequest{
		GroupId: &group, MemberId: &member, ShareSessionEpoch: epoch, MaxWaitMs: 100, MinBytes: 1, MaxBytes: 1 << 20, MaxRecords: 100, BatchSize: 100,
	}
	if epoch != epochFinal || len(acks) > 0 {
		req.Topics = []msg.ShareFetchRequestFetchTopic{{TopicId: topic, Partitions: []msg.ShareFetchRequestFetchPartition{{AcknowledgementBatches: acks}}}}
	}
	answer := make(chan *msg.ShareFetchResponse, 1)
	s.m.FetchWhere(ctx, 2, req, s.readable, func(r *msg.ShareFetchResponse) { answer <- r })
	r := <-answer
	if r.ErrorCode != 0 {
		return kerr.Code(r.ErrorCode).String()
	}
	out := ""
	s.partitions = 0
	for _, t := range r.Responses {
		s.partitions += len(t.Partitions)
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 || p.AcknowledgeErrorCode != 0 {
				out += fmt.Sprintf("%s/%s ", kerr.Code(p.ErrorCode), kerr.Code(p.AcknowledgeErrorCode))
			}
			for _, a := range p.AcquiredRecords {
				out += fmt.Sprintf("%d-%d×%d ", a.FirstOffset, a.LastOffset, a.DeliveryCount)
			}
			if len(p.Records) > 0 {
				out += fmt.Sprintf("%d batches ", count(s.t, p.Records))
			}
		}
	}
	return out
}

func count(t *testing.T, b []byte) (n int) {
	for _, err := range batch.All(b) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func ack(first, last int64, types ...int8) msg.ShareFetchRequestAcknowledgementBatch {
	return msg.ShareFetchRequestAcknowledgementBatch{FirstOffset: first, LastOffset: last, AcknowledgeTypes: types}
}

func (s *stage) want(want, got string) {
	s.t.Helper()
	if got != want {
		s.t.Fatalf("got %q, want %q", got, want)
	}
}

func TestFetchAndAcknowledge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		ctx := t.Context()
		s.produce(3)
		s.produce(2)
		s.want("SHARE_SESSION_NOT_FOUND", s.fetch(ctx, "a", 1))
		s.want("INVALID_REQUEST", s.fetch(ctx, "a", 0, ack(0, 0, 1)))
		s.want("0-4×1 2 batches ", s.fetch(ctx, "a", 0))
		s.want("INVALID_SHARE_SESSION_EPOCH", s.fetch(ctx, "a", 2))
		s.want("", s.fetch(ctx, "b", 0)) // nothing is left for it
		s.want("NONE/INVALID_RECORD_STATE ", s.fetch(ctx, "b", 1, ack(0, 0, 1)))
		s.want("NONE/INVALID_REQUEST ", s.fetch(ctx, "a", 1, ack(0, 5, 1)))
		s.want("NONE/INVALID_REQUEST ", s.fetch(ctx, "a", 2, ack(0, 1, 1, 1, 1)))
		s.want("NONE/INVALID_REQUEST ", s.fetch(ctx, "a", 3, ack(0, 1, 9)))
		s.want("2-2×2 1 batches ", s.fetch(ctx, "a", 4, ack(0, 2, 1, 1, 2), ack(3, 4, 3)))
		if s.store.start() != 2 {
			t.Fatal(s.store.state)
		}
		s.want("", s.fetch(ctx, "a", -1, ack(2, 2, 1)))
		if s.store.start() != 5 {
			t.Fatal(s.store.state)
		}
		s.want("SHARE_SESSION_NOT_FOUND", s.fetch(ctx, "a", 5))
	})
}

// Whoever may not read a topic any more gets nothing of it, although it is in his session.
func TestFetchAsksForTheWholeSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.produce(1)
		s.want("0-0×1 1 batches ", s.fetch(t.Context(), "a", 0))
		s.produce(1)
		s.readable = func(id base.UUID) bool { return id != topic }
		s.want("TOPIC_AUTHORIZATION_FAILED/NONE ", s.fetch(t.Context(), "a", 1))
		s.readable = func(base.UUID) bool { return true }
		s.want("1-1×1 1 batches ", s.fetch(t.Context(), "a", 2))
	})
}

// The first answer of a session has all of its partitions, those that follow only what there is to tell of.
func TestFirstAnswerIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		for epoch, want := range []int{1, 0} {
			s.fetch(t.Context(), "a", int32(epoch))
			if got := s.partitions; got != want {
				t.Errorf("at epoch %d: %d partitions in the answer, want %d", epoch, got, want)
			}
		}
	})
}

// A fetch that finds nothing waits for what is produced, and for what another gives back.
func TestFetchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.m.opt.MaxWait = time.Minute
		wait := func(member string, epoch int32) chan string {
			answer := make(chan string, 1)
			group := "g"
			req := &msg.ShareFetchRequest{
				GroupId: &group, MemberId: &member, ShareSessionEpoch: epoch, MaxWaitMs: 60_000, MinBytes: 1, MaxBytes: 1 << 20, MaxRecords: 100, BatchSize: 100,
				Topics: []msg.ShareFetchRequestFetchTopic{{TopicId: topic, Partitions: []msg.ShareFetchRequestFetchPartition{{}}}},
			}
			s.m.Fetch(t.Context(), 2, req, func(r *msg.ShareFetchResponse) {
				out := ""
				for _, t := range r.Responses {
					for _, a := range t.Partitions[0].AcquiredRecords {
						out += fmt.Sprintf("%d-%d×%d ", a.FirstOffset, a.LastOffset, a.DeliveryCount)
					}
				}
				answer <- out
			})
			return answer
		}
		a := wait("a", 0)
		s.produce(2)
		s.want("0-1×1 ", <-a)
		b := wait("b", 0)
		s.want("", s.fetch(t.Context(), "a", -1, ack(0, 0, 1)))
		s.want("1-1×2 ", <-b) // its session was closed: what it still held comes back
	})
}

// The first request of a session forgets nothing, also if it says so.
func TestFirstRequestForgetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.produce(1)
		for epoch, want := range []int{1, 0} { // partitions answered: all, and then those with news
			group, member, answer := "g", "a", make(chan int, 1)
			req := &msg.ShareFetchRequest{
				GroupId: &group, MemberId: &member, ShareSessionEpoch: int32(epoch), MaxBytes: 1 << 20, MaxRecords: 100, BatchSize: 100,
				Topics:              []msg.ShareFetchRequestFetchTopic{{TopicId: topic, Partitions: []msg.ShareFetchRequestFetchPartition{{}}}},
				ForgottenTopicsData: []msg.ShareFetchRequestForgottenTopic{{TopicId: topic, Partitions: []int32{0}}},
			}
			s.m.Fetch(t.Context(), 2, req, func(r *msg.ShareFetchResponse) { answer <- len(r.Responses) })
			if got := <-answer; got != want {
				t.Errorf("epoch %d: %d topics, want %d", epoch, got, want)
			}
		}
	})
}

// When the connection of a member ends, what it holds comes back.
func TestSessionEndsWithItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.produce(2)
		ctx, hangUp := context.WithCancel(t.Context())
		s.want("0-1×1 1 batches ", s.fetch(ctx, "a", 0))
		s.want("", s.fetch(t.Context(), "b", 0))
		hangUp()
		for epoch := int32(1); ; epoch++ {
			if got := s.fetch(t.Context(), "b", epoch); got != "" {
				s.want("0-1×2 1 batches ", got)
				return
			}
		}
	})
}

// An acknowledgement that could not be made durable is refused; the records are delivered again when the lock has ended.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.group.LockDuration = 300 * time.Millisecond
		s.produce(2)
		s.want("0-1×1 1 batches ", s.fetch(t.Context(), "a", 0))
		s.store.fail(kerr.Errorf(kerr.CoordinatorNotAvailable, "gone"))
		s.want("NONE/COORDINATOR_NOT_AVAILABLE ", s.fetch(t.Context(), "a", 1, ack(0, 1, 1)))
		s.store.fail(nil)
		epoch := int32(2)
		for ; ; epoch++ {
			if got := s.fetch(t.Context(), "a", epoch); got != "" {
				s.want("0-1×2 1 batches ", got)
				break
			}
		}
		// The group was begun anew elsewhere: what this node knows of the share partition is over, and the next fetch reads the state.
		s.store.fail(kerr.Errorf(kerr.FencedStateEpoch, "anew"))
		s.want("NOT_LEADER_OR_FOLLOWER/FENCED_STATE_EPOCH ", s.fetch(t.Context(), "a", epoch+1, ack(0, 1, 1)))
		s.store.fail(nil)
		s.want("0-1×2 1 batches ", s.fetch(t.Context(), "a", epoch+2))
	})
}

func TestPartitionIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.produce(1)
		s.want("0-0×1 1 batches ", s.fetch(t.Context(), "a", 0))
		s.m.OnClosed(s.p)
		s.want("NONE/UNKNOWN_TOPIC_OR_PARTITION 0-0×1 1 batches ", s.fetch(t.Context(), "a", 1, ack(0, 0, 1))) // available again, as it was durable
	})
}
