package txn

import (
	"context"
	"fmt"
	"maps"
	"slices"
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

// fakeCluster is a cluster of three nodes whose leaders the test names. It writes markers, too.
type fakeCluster struct {
	mu      sync.Mutex
	topics  map[string]int32
	leaders map[TopicPartition]base.NodeID // 1 if it is not here
	refuse  map[base.NodeID]kerr.Code      // what a node answers to markers; None: it writes them
	slow    map[TopicPartition]bool        // a partition whose leader gives no answer before it is asked no more
	written []written
	asked   map[base.NodeID]int    // requests for markers
	named   map[TopicPartition]int // requests for markers that name it
	nextID  int64
	idErr   error
}

type written struct {
	node      base.NodeID
	partition TopicPartition
	producer  identity
	commit    bool
	epoch     int32
	version   int8
}

func (c *fakeCluster) Partitions(topic string) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.topics[topic]
}

func (c *fakeCluster) Leader(string, int32) (base.NodeID, bool) { return 1, true }

func (c *fakeCluster) Endpoint(node base.NodeID, listener string) (string, int32, bool) {
	return "broker" + node.String(), 9092, listener == "in"
}

func (c *fakeCluster) CreateTopic(_ context.Context, name string, partitions int32, configs map[string]string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if name != Topic || configs["cleanup.policy"] != "compact" {
		panic("wrong topic")
	}
	c.topics[name] = partitions
	return nil
}

func (c *fakeCluster) leaderOf(p TopicPartition) (base.NodeID, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if node, ok := c.leaders[p]; ok {
		return node, true
	}
	return 1, p.Index < c.topics[p.Topic]
}

func (c *fakeCluster) producerID(context.Context) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nextID++
	return c.nextID, c.idErr
}

// change changes something of the cluster.
func (c *fakeCluster) change(fn func()) {
	c.mu.Lock()
	fn()
	c.mu.Unlock()
}

// markersAt writes markers on a node.
type markersAt struct {
	c    *fakeCluster
	node base.NodeID
}

func (m markersAt) WriteMarkers(ctx context.Context, req *msg.WriteTxnMarkersRequest, done func(*msg.WriteTxnMarkersResponse)) {
	m.c.mu.Lock()
	m.c.asked[m.node]++
	code, mute := m.c.refuse[m.node], false
	for _, tp := range namedBy(req) {
		m.c.named[tp]++
		mute = mute || m.c.slow[tp]
	}
	m.c.mu.Unlock()
	if mute {
		<-ctx.Done()
		done(&msg.WriteTxnMarkersResponse{})
		return
	}
	res := &msg.WriteTxnMarkersResponse{}
	for _, mk := range req.Markers {
		out := msg.WriteTxnMarkersResponseWritableTxnMarkerResult{ProducerId: mk.ProducerId}
		for _, t := range mk.Topics {
			topic := msg.WriteTxnMarkersResponseWritableTxnMarkerTopicResult{Name: t.Name}
			for _, i := range t.PartitionIndexes {
				tp := TopicPartition{t.Name, i}
				is := code
				if leader, _ := m.c.leaderOf(tp); leader != m.node {
					is = kerr.NotLeaderOrFollower
				}
				if is == kerr.None {
					m.c.change(func() {
						m.c.written = append(m.c.written, written{m.node, tp, identity{mk.ProducerId, mk.ProducerEpoch}, mk.TransactionResult, mk.CoordinatorEpoch, mk.TransactionVersion})
					})
				}
				topic.Partitions = append(topic.Partitions, msg.WriteTxnMarkersResponseWritableTxnMarkerPartitionResult{PartitionIndex: i, ErrorCode: int16(is)})
			}
			out.Topics = append(out.Topics, topic)
		}
		res.Markers = append(res.Markers, out)
	}
	done(res)
}

// namedBy returns the partitions that a request names, each once.
func namedBy(req *msg.WriteTxnMarkersRequest) []TopicPartition {
	names := map[TopicPartition]bool{}
	for _, mk := range req.Markers {
		for _, t := range mk.Topics {
			for _, i := range t.PartitionIndexes {
				names[TopicPartition{t.Name, i}] = true
			}
		}
	}
	return slices.Collect(maps.Keys(names))
}

// stage is a coordinator with the only partition of its topic on logs in memory.
type stage struct {
	t          *testing.T
	cluster    *fakeCluster
	c          *Coordinator
	wal        *memlog.WAL
	stop       func() // of what makes appends durable
	data, meta *memlog.Log
	p          *partition.Partition
	epoch      base.StreamEpoch
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, wal: &memlog.WAL{}, cluster: &fakeCluster{
		topics: map[string]int32{Topic: 1, "x": 3, "y": 3}, leaders: map[TopicPartition]base.NodeID{},
		refuse: map[base.NodeID]kerr.Code{}, asked: map[base.NodeID]int{},
		slow: map[TopicPartition]bool{}, named: map[TopicPartition]int{}, nextID: 100,
	}}
	s.data, s.meta = s.wal.New(0), s.wal.New(0)
	s.c = New(Options{
		Cluster: s.cluster, ProducerID: s.cluster.producerID, Leaders: s.cluster.leaderOf,
		Markers:        func(node base.NodeID) MarkerWriter { return markersAt{s.cluster, node} },
		GroupPartition: func(group string) TopicPartition { return TopicPartition{"__consumer_offsets", int32(len(group))} },
	})
	t.Cleanup(s.c.Close)
	t.Cleanup(func() { s.stop() })
	s.open()
	return s
}

func (s *stage) open() {
	s.epoch++
	s.stop = s.wal.Auto()
	cfg := topicconfig.Default()
	p, err := partition.Open(s.t.Context(), partition.Options{
		Name: Topic, Epoch: s.epoch, EpochStarts: []partition.EpochStart{{Epoch: s.epoch}}, Config: &cfg, Data: s.data, Meta: s.meta,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.p = p
	s.c.OnServing(p)
	synctest.Wait()
}

// crash loses what is not durable, and opens the partition again.
func (s *stage) crash() {
	var logs []*memlog.Log
	s.stop()
	s.wal, logs = s.wal.Crash(s.data, s.meta)
	s.data, s.meta = logs[0], logs[1]
	s.p.Abandon(kerr.NotLeaderOrFollower, "crash")
	s.c.OnClosed(s.p)
	s.open()
}

// ask makes a call and waits until it is answered.
func ask[R any](t *testing.T, call func(reply func(R))) R {
	t.Helper()
	answered := make(chan R, 2)
	call(func(r R) { answered <- r })
	select {
	case r := <-answered:
		return r
	case <-time.After(time.Minute):
		t.Fatal("no answer")
		panic("unreachable")
	}
}

func (s *stage) init(id string, timeoutMS int32, expected identity) (identity, kerr.Code) {
	s.t.Helper()
	res := ask(s.t, func(reply func(*msg.InitProducerIdResponse)) {
		s.c.InitProducerID(5, &msg.InitProducerIdRequest{TransactionalId: &id, TransactionTimeoutMs: timeoutMS, ProducerId: expected.id, ProducerEpoch: expected.epoch}, reply)
	})
	return identity{res.ProducerId, res.ProducerEpoch}, kerr.Code(res.ErrorCode)
}

var nobody = identity{noID, noEpoch}

func (s *stage) add(id string, who identity, partitions ...TopicPartition) []kerr.Code {
	s.t.Helper()
	return ask(s.t, func(reply func([]kerr.Code)) {
		s.c.AddPartitions(2, AddPartitions{TransactionalID: id, ProducerID: who.id, Epoch: who.epoch, Partitions: partitions}, reply)
	})
}

func (s *stage) end(version int16, id string, who identity, commit bool) (identity, kerr.Code) {
	s.t.Helper()
	res := ask(s.t, func(reply func(*msg.EndTxnResponse)) {
		s.c.EndTxn(version, &msg.EndTxnRequest{TransactionalId: id, ProducerId: who.id, ProducerEpoch: who.epoch, Committed: commit}, reply)
	})
	return identity{res.ProducerId, res.ProducerEpoch}, kerr.Code(res.ErrorCode)
}

func (s *stage) state(id string) msg.DescribeTransactionsResponseTransactionState {
	s.t.Helper()
	res := ask(s.t, func(reply func(*msg.DescribeTransactionsResponse)) {
		s.c.Describe(&msg.DescribeTransactionsRequest{TransactionalIds: []string{id}}, reply)
	})
	return res.TransactionStates[0]
}

// begin makes a producer with an ongoing transaction.
func (s *stage) begin(id string, partitions ...TopicPartition) identity {
	s.t.Helper()
	who, code := s.init(id, 60_000, nobody)
	if code != kerr.None {
		s.t.Fatal(code)
	}
	if codes := s.add(id, who, partitions...); slices.ContainsFunc(codes, func(c kerr.Code) bool { return c != kerr.None }) {
		s.t.Fatal(codes)
	}
	return who
}

// lastEpoch makes a producer that has the last epoch of its producer id, by a record that 32,765 beginnings anew would have left.
func (s *stage) lastEpoch(id string) identity {
	s.t.Helper()
	who, _ := s.init(id, 60_000, nobody)
	for range 3 {
		next, code := s.init(id, 60_000, who)
		if code != kerr.None || next.id != who.id || next.epoch != who.epoch+1 {
			s.t.Fatalf("%v after %v: %v", next, who, code)
		}
		who = next
	}
	who.epoch = epochMax - 1
	v := value{producerID: who.id, previousID: who.id, nextID: noID, epoch: who.epoch, lastEpoch: who.epoch - 1, timeoutMS: 60_000, startMS: noTime, updateMS: time.Now().UnixMilli()}
	b := batch.NewBuilder(batch.Options{})
	r := record(id, v)
	b.Add(batch.Record{Timestamp: v.updateMS, Key: r.Key, Value: r.Value})
	s.p.Append(partition.AppendRequest{Batch: b.Bytes(), Origin: partition.Coordinator}, func(partition.AppendResult) {})
	synctest.Wait()
	s.crash()
	return who
}

func (s *stage) wantState(id string, want state) {
	s.t.Helper()
	synctest.Wait()
	if got := s.state(id); got.TransactionState != want.String() {
		s.t.Fatalf("%s is %s, not %v", id, got.TransactionState, want)
	}
}

var x0, x1, y2 = TopicPartition{"x", 0}, TopicPartition{"x", 1}, TopicPartition{"y", 2}

// A commit is told to the leaders of all partitions, in one request for each node, and only then is the transaction complete.
func TestCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.cluster.leaders[x1], s.cluster.leaders[y2] = 2, 2
		who := s.begin("a", x0, x1, y2)
		next, code := s.end(5, "a", who, true)
		if code != kerr.None || next != (identity{who.id, who.epoch + 1}) {
			t.Fatalf("%v, %v", next, code)
		}
		s.wantState("a", completeCommit)
		if n := s.cluster.asked[2]; n != 1 {
			t.Errorf("%d requests to node 2", n)
		}
		if len(s.cluster.written) != 3 {
			t.Fatalf("%+v", s.cluster.written)
		}
		for _, w := range s.cluster.written {
			if w.producer != next || !w.commit || w.epoch != 1 || w.version != 2 {
				t.Errorf("%+v", w)
			}
		}
		if again, code := s.end(5, "a", who, true); code != kerr.None || again != next {
			t.Errorf("the retry gave %v, %v", again, code)
		}
		if _, code := s.end(5, "a", who, false); code != kerr.InvalidTxnState {
			t.Errorf("an abort after the commit: %v", code)
		}
		s.add("a", next, x0)
		for _, commit := range []bool{true, false} {
			if _, code := s.end(5, "a", who, commit); code != kerr.ProducerFenced {
				t.Errorf("the retry, come late, with commit %v: %v", commit, code)
			}
		}
		s.wantState("a", ongoing) // a late request ends nothing but its own transaction
	})
}

// While one leader does not answer or is another one now, the transaction is not complete and its producer is told to wait.
func TestMarkersAreToldUntilAllAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.cluster.leaders[x1], s.cluster.leaders[y2] = 2, base.NoNode
		s.cluster.refuse[2] = kerr.NotLeaderOrFollower
		who := s.begin("a", x0, x1, y2)
		next, _ := s.end(5, "a", who, false)
		time.Sleep(10 * time.Second)
		s.wantState("a", prepareAbort)
		if got := s.state("a").Topics; len(got) != 2 {
			t.Errorf("open are %+v", got)
		}
		if codes := s.add("a", next, x0); codes[0] != kerr.ConcurrentTransactions {
			t.Errorf("%v", codes)
		}
		if _, code := s.init("a", 60_000, nobody); code != kerr.ConcurrentTransactions {
			t.Errorf("%v", code)
		}
		s.cluster.change(func() { s.cluster.leaders[x1], s.cluster.leaders[y2] = 3, 1 })
		time.Sleep(2 * time.Second)
		s.wantState("a", completeAbort)
		if codes := s.add("a", next, x0); codes[0] != kerr.None {
			t.Errorf("%v", codes)
		}
	})
}

// A topic that is deleted while a transaction has data in it holds nothing up.
func TestDeletedTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.cluster.refuse[1] = kerr.UnknownTopicOrPartition
		who := s.begin("a", x0, y2)
		s.end(5, "a", who, true)
		time.Sleep(time.Second)
		s.wantState("a", prepareCommit)
		s.cluster.change(func() { delete(s.cluster.topics, "x"); s.cluster.refuse[1] = kerr.None })
		time.Sleep(2 * time.Second)
		s.wantState("a", completeCommit)
		if len(s.cluster.written) != 1 || s.cluster.written[0].partition != y2 {
			t.Errorf("%+v", s.cluster.written)
		}
		if codes := s.add("a", identity{who.id, who.epoch + 1}, x0, y2); !slices.Equal(codes, []kerr.Code{kerr.UnknownTopicOrPartition, kerr.OperationNotAttempted}) {
			t.Errorf("%v", codes)
		}
	})
}

// A producer adds no topic to its transaction that only coordinators write to; other nodes do.
func TestInternalTopicsAreNotAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		who := s.begin("a", x0)
		offsets := TopicPartition{internal[0], 0}
		s.cluster.change(func() { s.cluster.topics[offsets.Topic], s.cluster.leaders[offsets] = 1, 1 })
		added := func(version int16, topics ...string) (text string) {
			req := &msg.AddPartitionsToTxnRequest{V3AndBelowTransactionalId: "a", V3AndBelowProducerId: who.id, V3AndBelowProducerEpoch: who.epoch}
			for _, name := range topics {
				req.V3AndBelowTopics = append(req.V3AndBelowTopics, msg.AddPartitionsToTxnRequestAddPartitionsToTxnTopic{Name: name, Partitions: []int32{0}})
			}
			req.V3AndBelowTopics = append(req.V3AndBelowTopics, msg.AddPartitionsToTxnRequestAddPartitionsToTxnTopic{Name: "nothing of it"})
			res := ask(t, func(reply func(*msg.AddPartitionsToTxnResponse)) { s.c.AddPartitionsToTxn(version, req, reply) })
			for _, r := range res.ResultsByTopicV3AndBelow {
				for _, p := range r.ResultsByPartition {
					text += fmt.Sprintf("%s %v;", r.Name, kerr.Code(p.PartitionErrorCode))
				}
			}
			return text
		}
		if got, want := added(3, "x", offsets.Topic), "x OPERATION_NOT_ATTEMPTED;"+offsets.Topic+" TOPIC_AUTHORIZATION_FAILED;"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if codes := s.add("a", who, offsets); codes[0] != kerr.None {
			t.Errorf("added by a node: %v", codes)
		}
	})
}

// Whoever takes the partition over tells the verdict under its own epoch; what its predecessor has under way is not told on.
func TestSuccessorTellsTheVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.cluster.refuse[1] = kerr.NotLeaderOrFollower
		who := s.begin("a", x0, x1)
		next, _ := s.end(5, "a", who, true)
		s.crash()
		time.Sleep(5 * time.Second)
		s.cluster.change(func() { s.cluster.refuse[1] = kerr.None })
		time.Sleep(2 * time.Second)
		s.wantState("a", completeCommit)
		if len(s.cluster.written) != 2 {
			t.Errorf("%+v", s.cluster.written)
		}
		for _, w := range s.cluster.written {
			if w.epoch != 2 || w.producer != next || !w.commit {
				t.Errorf("%+v", w)
			}
		}
	})
}

// A partition whose leader says nothing is asked by one request at a time, until the end of which no other one names it. Transactions without it end
// meanwhile, on the same node, and so do the other partitions of those that have it.
func TestSlowPartitionHoldsUpItselfAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.cluster.slow[x0] = true
		a, b, c := s.begin("a", x0), s.begin("b", x1), s.begin("c", x0, x1)
		s.end(5, "a", a, true)
		s.end(5, "b", b, true)
		s.end(5, "c", c, true)
		time.Sleep(2 * time.Second)
		s.wantState("a", prepareCommit)
		s.wantState("b", completeCommit)
		s.wantState("c", prepareCommit)
		for range 3 {
			b = s.begin("b", x1)
			s.end(5, "b", b, true)
			time.Sleep(time.Second)
			s.wantState("b", completeCommit)
		}
		if n := s.cluster.named[x0]; n != 1 {
			t.Errorf("%d requests name the slow partition", n)
		}
		told := 0
		for _, w := range s.cluster.written {
			if w.partition == x1 && w.producer.id == c.id {
				told++
			}
		}
		if told != 1 {
			t.Errorf("the other partition of a transaction with the slow one was told %d times", told)
		}
		s.cluster.change(func() { s.cluster.slow[x0] = false })
		time.Sleep(markerTimeout + 2*time.Second)
		s.wantState("a", completeCommit)
		s.wantState("c", completeCommit)
	})
}

// A transaction that is open for too long is aborted, and its producer is fenced, also by a coordinator that has come meanwhile.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		who := s.begin("a", x0)
		time.Sleep(40 * time.Second)
		s.crash()
		time.Sleep(19 * time.Second)
		s.wantState("a", ongoing)
		time.Sleep(2 * time.Second)
		s.wantState("a", completeAbort)
		for version, want := range map[int16]kerr.Code{0: kerr.InvalidProducerEpoch, 4: kerr.ProducerFenced, 5: kerr.ProducerFenced} {
			if _, code := s.end(version, "a", who, true); code != want {
				t.Errorf("version %d: the commit that came too late: %v", version, code)
			}
		}
		if codes := s.add("a", who, x1); codes[0] != kerr.ProducerFenced {
			t.Errorf("%v", codes)
		}
		if got, code := s.init("a", 60_000, who); code != kerr.None || got != (identity{who.id, who.epoch + 1}) {
			t.Errorf("it begins anew as %v, %v", got, code)
		}
	})
}

// A new producer of the same id aborts what the one before has open, and fences it.
func TestFencing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		old := s.begin("a", x0)
		if _, code := s.init("a", 60_000, nobody); code != kerr.ConcurrentTransactions {
			t.Fatal(code)
		}
		s.wantState("a", completeAbort)
		fresh, code := s.init("a", 60_000, nobody)
		if code != kerr.None || fresh != (identity{old.id, old.epoch + 2}) {
			t.Fatalf("%v, %v", fresh, code)
		}
		s.add("a", fresh, x0)
		if _, code := s.end(5, "a", old, true); code != kerr.ProducerFenced {
			t.Errorf("a commit of the old one: %v", code)
		}
		if _, code := s.init("a", 60_000, old); code != kerr.ProducerFenced {
			t.Errorf("a beginning anew of the old one: %v", code)
		}
		s.wantState("a", ongoing) // it does no harm
		if _, code := s.end(5, "a", fresh, true); code != kerr.None {
			t.Errorf("%v", code)
		}
	})
}

// The epochs of a producer id run out: the next one has another id, and neither a retry nor an old producer is taken for it.
func TestEpochsRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		who := s.lastEpoch("a")
		s.add("a", who, x0)
		next, code := s.end(5, "a", who, true)
		if code != kerr.None || next.id == who.id || next.epoch != 0 {
			t.Fatalf("%v, %v", next, code)
		}
		s.wantState("a", completeCommit)
		if got := s.cluster.written[0].producer; got != (identity{who.id, epochMax}) {
			t.Errorf("the marker carries %v", got)
		}
		if again, code := s.end(5, "a", who, true); code != kerr.None || again != next {
			t.Errorf("the retry gave %v, %v", again, code)
		}
		if _, code := s.end(5, "a", who, false); code != kerr.InvalidTxnState {
			t.Errorf("an abort by the old one: %v", code)
		}
		if codes := s.add("a", who, x0); codes[0] != kerr.InvalidProducerIDMapping {
			t.Errorf("%v", codes)
		}
		if codes := s.add("a", next, x0); codes[0] != kerr.None {
			t.Errorf("%v", codes)
		}
	})
}

// A transaction that times out at the last epoch ends, too, and its successor has another producer id.
func TestTimeoutAtTheLastEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		who := s.lastEpoch("a")
		s.add("a", who, x0)
		s.cluster.change(func() { s.cluster.idErr = base.Errorf(base.Unavailable, "no controller") })
		time.Sleep(70 * time.Second)
		s.wantState("a", ongoing)
		s.cluster.change(func() { s.cluster.idErr = nil })
		time.Sleep(2 * time.Second)
		s.wantState("a", completeAbort)
		if st := s.state("a"); st.ProducerId == who.id || st.ProducerEpoch != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// Version 4 and below of EndTxn: the epoch stays, a retry looks like any request, nothing is told about the producer.
func TestClassicProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.cluster.refuse[1] = kerr.NotLeaderOrFollower
		who := s.begin("a", x0)
		if next, code := s.end(4, "a", who, true); code != kerr.None || next != nobody {
			t.Fatalf("%v, %v", next, code)
		}
		if _, code := s.end(4, "a", who, true); code != kerr.ConcurrentTransactions {
			t.Errorf("a retry: %v", code)
		}
		if _, code := s.end(4, "a", who, false); code != kerr.InvalidTxnState {
			t.Errorf("an abort: %v", code)
		}
		s.cluster.change(func() { s.cluster.refuse[1] = kerr.None })
		time.Sleep(2 * time.Second)
		if _, code := s.end(4, "a", who, true); code != kerr.None {
			t.Errorf("a retry: %v", code)
		}
		if w := s.cluster.written[0]; w.producer != who || w.version != 0 {
			t.Errorf("%+v", w)
		}
		if codes := s.add("a", who, x1); codes[0] != kerr.None {
			t.Errorf("%v", codes)
		}
	})
}

// Ids that nobody uses are forgotten; those with a transaction are not.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.init("idle", 60_000, nobody)
		time.Sleep(6 * 24 * time.Hour)
		s.init("used", 60_000, nobody)
		time.Sleep(25 * time.Hour)
		if got := s.state("idle").ErrorCode; got != int16(kerr.TransactionalIDNotFound) {
			t.Errorf("idle: %d", got)
		}
		s.crash()
		if got := s.state("idle").ErrorCode; got != int16(kerr.TransactionalIDNotFound) {
			t.Errorf("idle after a crash: %d", got)
		}
		s.wantState("used", empty)
	})
}

func TestListAndFind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		a := s.begin("orders-1", x0)
		time.Sleep(time.Second)
		s.begin("orders-2", x1)
		s.init("idle", 60_000, nobody)
		list := func(version int16, req *msg.ListTransactionsRequest) (ids []string, code kerr.Code, unknown []string) {
			res := ask(t, func(reply func(*msg.ListTransactionsResponse)) { s.c.List(version, req, reply) })
			for _, st := range res.TransactionStates {
				ids = append(ids, st.TransactionalId)
			}
			return ids, kerr.Code(res.ErrorCode), res.UnknownStateFilters
		}
		pattern := func(p string) *msg.ListTransactionsRequest {
			return &msg.ListTransactionsRequest{DurationFilter: -1, TransactionalIdPattern: &p}
		}
		for _, c := range []struct {
			version int16
			req     *msg.ListTransactionsRequest
			want    []string
		}{
			{0, &msg.ListTransactionsRequest{}, []string{"idle", "orders-1", "orders-2"}},
			{0, &msg.ListTransactionsRequest{StateFilters: []string{"Ongoing"}}, []string{"orders-1", "orders-2"}},
			{0, &msg.ListTransactionsRequest{ProducerIdFilters: []int64{a.id}}, []string{"orders-1"}},
			{1, &msg.ListTransactionsRequest{StateFilters: []string{"Ongoing"}, DurationFilter: 500}, []string{"orders-1"}},
			{2, pattern("orders-.*"), []string{"orders-1", "orders-2"}},
			{2, pattern("orders"), nil},
			{1, pattern("orders"), []string{"idle", "orders-1", "orders-2"}},
		} {
			if got, code, _ := list(c.version, c.req); code != kerr.None || !slices.Equal(got, c.want) {
				t.Errorf("version %d, %+v: %v, %v", c.version, c.req, got, code)
			}
		}
		if _, code, _ := list(2, pattern("(")); code != kerr.InvalidRegularExpression {
			t.Errorf("%v", code)
		}
		if got, _, unknown := list(0, &msg.ListTransactionsRequest{StateFilters: []string{"Odd", "Dead"}}); len(got) > 0 || !slices.Equal(unknown, []string{"Odd"}) {
			t.Errorf("%v, %v", got, unknown)
		}
		res := ask(t, func(reply func(*msg.FindCoordinatorResponse)) {
			s.c.FindCoordinator(4, "in", &msg.FindCoordinatorRequest{KeyType: 1, CoordinatorKeys: []string{"a", "b"}}, reply)
		})
		if len(res.Coordinators) != 2 || res.Coordinators[1].NodeId != 1 || res.Coordinators[1].Key != "b" {
			t.Errorf("%+v", res)
		}
	})
}

// Requests that are wrong in themselves.
func TestWrongRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		for _, c := range []struct {
			id       string
			timeout  int32
			expected identity
			want     kerr.Code
		}{
			{"", 1, nobody, kerr.InvalidRequest}, {"a", 0, nobody, kerr.InvalidTransactionTimeout}, {"a", 900_001, nobody, kerr.InvalidTransactionTimeout},
			{"a", 1, identity{5, noEpoch}, kerr.InvalidRequest}, {"a", 1, identity{noID, 5}, kerr.InvalidRequest}, {"a", 900_000, identity{5, 5}, kerr.None},
			{"a", 1, identity{5, 5}, kerr.ProducerFenced},
		} {
			if _, code := s.init(c.id, c.timeout, c.expected); code != c.want {
				t.Errorf("%+v: %v", c, code)
			}
		}
		if _, code := s.end(5, "", nobody, true); code != kerr.InvalidRequest {
			t.Errorf("%v", code)
		}
		if _, code := s.end(5, "unknown", nobody, true); code != kerr.InvalidProducerIDMapping {
			t.Errorf("%v", code)
		}
		if codes := s.add("unknown", nobody, x0); codes[0] != kerr.InvalidProducerIDMapping {
			t.Errorf("%v", codes)
		}
		s.c.OnClosed(s.p)
		if _, code := s.end(5, "a", nobody, true); code != kerr.NotCoordinator {
			t.Errorf("%v", code)
		}
	})
}
