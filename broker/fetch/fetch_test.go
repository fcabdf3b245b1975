package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/broker/partition/memlog"
	"sluice/wire/batch"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

var ctx = context.Background()

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var topicID = base.UUID{1, 2, 3}

// node is some partitions of the topic "t" in memory.
type node struct {
	t     *testing.T
	wal   *memlog.WAL
	logs  []*memlog.Log
	parts []*partition.Partition
	f     *Fetcher

	mu      sync.Mutex // of what follows, and of parts where they change under a held fetch
	soon    bool
	changed chan struct{}
}

func newNode(t *testing.T, partitions int, opt Options) *node {
	n := &node{t: t, wal: &memlog.WAL{}}
	for i := range partitions {
		l := n.wal.New(0)
		p, err := partition.Open(ctx, partition.Options{Topic: topicID, Name: "t", Index: int32(i), Epoch: 1, Data: l, Meta: n.wal.New(0)})
		if err != nil {
			t.Fatal(err)
		}
		n.logs, n.parts = append(n.logs, l), append(n.parts, p)
	}
	opt.Directory = n
	n.f = New(opt)
	return n
}

func (n *node) Get(id base.UUID, index int32) (*partition.Partition, error) {
	if id != topicID {
		return nil, kerr.UnknownTopicID.Err()
	}
	return n.GetByName("t", index)
}

func (n *node) Coming(topic base.UUID, index int32) bool { return n.ComingByName("t", index) }

func (n *node) ComingByName(_ string, index int32) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.soon && n.parts[index] == nil
}

func (n *node) Changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.changed == nil {
		n.changed = make(chan struct{})
	}
	return n.changed
}

// change changes what the directory says, and tells who waits.
func (n *node) change(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
	if n.changed != nil {
		close(n.changed)
		n.changed = nil
	}
}

func (n *node) GetByName(name string, index int32) (*partition.Partition, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name != "t" || int(index) >= len(n.parts) {
		return nil, kerr.UnknownTopicOrPartition.Err()
	}
	if n.parts[index] == nil {
		return nil, kerr.NotLeaderOrFollower.Err()
	}
	return n.parts[index], nil
}

// write appends a batch with one value of size bytes and returns the size of the batch.
func (n *node) write(index, size int) int {
	n.t.Helper()
	b := batch.NewBuilder(batch.Options{})
	b.Add(batch.Record{Timestamp: time.Now().UnixMilli(), Value: bytes.Repeat([]byte{'x'}, size)})
	raw := b.Bytes()
	n.parts[index].Append(partition.AppendRequest{Batch: raw}, func(r partition.AppendResult) {
		if r.Err != nil {
			n.t.Error(r.Err)
		}
	})
	n.wal.Complete(1)
	return len(raw)
}

type result struct {
	resp *msg.FetchResponse
	c    chan struct{}
}

// fetch starts a fetch.
func (n *node) fetch(version int16, req *msg.FetchRequest) *result {
	r := &result{c: make(chan struct{})}
	n.f.Fetch(ctx, version, req, func(resp *msg.FetchResponse, release func()) {
		r.resp = resp
		for _, t := range resp.Responses {
			for i := range t.Partitions { // what aliases is gone after release
				t.Partitions[i].Records = [][]byte{bytes.Join(t.Partitions[i].Records, nil)}
			}
		}
		release()
		close(r.c)
	})
	return r
}

func (r *result) answered() bool {
	select {
	case <-r.c:
		return true
	default:
		return false
	}
}

// String shows an answer: per partition index, number of bytes, and error.
func (r *result) String() string {
	<-r.c
	var s []string
	if r.resp.ErrorCode != 0 {
		s = append(s, kerr.Code(r.resp.ErrorCode).String())
	}
	for _, t := range r.resp.Responses {
		for _, p := range t.Partitions {
			e := ""
			if p.ErrorCode != 0 {
				e = " " + kerr.Code(p.ErrorCode).String()
			}
			s = append(s, fmt.Sprintf("%s%d:%d%s", t.Topic, p.PartitionIndex, len(p.Records[0]), e))
		}
	}
	return strings.Join(s, ", ")
}

// request asks for partitions 0..len(offsets)-1.
func request(minBytes, waitMS int32, offsets ...int64) *msg.FetchRequest {
	req := &msg.FetchRequest{MinBytes: minBytes, MaxWaitMs: waitMS, MaxBytes: 16 << 20, SessionEpoch: -1}
	t := msg.FetchRequestFetchTopic{Topic: "t", TopicId: topicID}
	for i, o := range offsets {
		p := msg.FetchRequestFetchPartition{}
		p.SetDefaults()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = int32(i), o, 1<<20
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

const long = 60_000 // ms: longer than any test

func expect(t *testing.T, what string, r *result, wanted string) {
	t.Helper()
	if got := r.String(); got != wanted {
		t.Fatalf("%s: got %q, want %q", what, got, wanted)
	}
}

func TestEveryPartitionIsAnswered(t *testing.T) {
	n := newNode(t, 3, Options{})
	size := n.write(1, 10)
	n.parts[2] = nil
	expect(t, "by name", n.fetch(12, request(1, long, 0, 0, 0, 0)), fmt.Sprintf("t0:0, t1:%d, t2:0 NOT_LEADER_OR_FOLLOWER, t3:0 UNKNOWN_TOPIC_OR_PARTITION", size))
	r := n.fetch(13, request(1, long, 0, 0, 9))
	<-r.c
	if got := r.resp.Responses[0]; got.TopicId != topicID || len(got.Partitions) != 3 {
		t.Fatal(got)
	}
	req := request(1, long, 0)
	req.Topics[0].TopicId = base.UUID{9}
	r = n.fetch(17, req)
	<-r.c
	if c := r.resp.Responses[0].Partitions[0].ErrorCode; kerr.Code(c) != kerr.UnknownTopicID {
		t.Fatal(c)
	}
	for version, want := range map[int16]kerr.Code{12: kerr.UnknownTopicOrPartition, 13: kerr.UnknownTopicID} {
		req := request(1, long, 0)
		req.Topics[0].Topic, req.Topics[0].TopicId = "", base.UUID{}
		r := n.fetch(version, req)
		<-r.c
		if c := kerr.Code(r.resp.Responses[0].Partitions[0].ErrorCode); c != want {
			t.Errorf("version %d of no topic: %v", version, c)
		}
	}
	r = n.fetch(12, request(1, long, 5, 0))
	expect(t, "out of range", r, fmt.Sprintf("t0:0 OFFSET_OUT_OF_RANGE, t1:%d", size))
	if p := r.resp.Responses[0].Partitions[0]; p.HighWatermark != 0 || p.LogStartOffset != 0 || p.LastStableOffset != 0 {
		t.Fatal(p)
	}
	expect(t, "nothing asked", n.fetch(12, &msg.FetchRequest{MinBytes: 1, MaxWaitMs: long, SessionEpoch: -1}), "")
}

// A partition that is asked for twice is answered once, as it was wanted last.
func TestAPartitionTwice(t *testing.T) {
	n := newNode(t, 2, Options{})
	size := n.write(0, 10)
	req := request(1, long, 7, 0, 0)
	req.Topics[0].Partitions[2].Partition = 0
	expect(t, "in one topic", n.fetch(12, req), fmt.Sprintf("t0:%d, t1:0", size))
	req = request(1, long, 7, 0)
	req.Topics = append(req.Topics, request(1, long, 0).Topics...)
	expect(t, "in two", n.fetch(17, req), fmt.Sprintf("0:%d, 1:0", size))
}

// An isolation level that there is none of is no reason to tell what is not committed.
func TestUnknownIsolationLevel(t *testing.T) {
	n := newNode(t, 1, Options{})
	n.write(0, 10)
	for _, version := range []int16{4, 12, 13, 18} {
		req := request(1, long, 0)
		req.IsolationLevel = 2
		r := &msg.FetchResponse{}
		n.f.Fetch(ctx, version, req, func(resp *msg.FetchResponse, release func()) { r = resp; release() })
		told := 0
		for _, topic := range r.Responses {
			for _, p := range topic.Partitions {
				if told++; kerr.Code(p.ErrorCode) != kerr.UnknownServerError || p.Records != nil || p.AbortedTransactions == nil {
					t.Errorf("version %d: %+v", version, p)
				}
			}
		}
		if kerr.Code(r.ErrorCode) != kerr.UnknownServerError || (told == 1) != (version < 13) {
			t.Errorf("version %d: %v, %d partitions", version, r.ErrorCode, told)
		}
	}
	// Where nothing is there to be told, what is wrong with it is told.
	req := request(1, long, 0)
	req.IsolationLevel, req.Topics[0].Topic, req.Topics[0].Partitions[0].Partition = 2, "none", 7
	expect(t, "no such partition", n.fetch(12, req), "none7:0 UNKNOWN_TOPIC_OR_PARTITION")
}

func TestParkedFetchIsWokenByEnoughBytes(t *testing.T) {
	n := newNode(t, 2, Options{})
	a, b := n.fetch(12, request(1, long, 0, 0)), n.fetch(12, request(150, long, 0, 0))
	if a.answered() || b.answered() {
		t.Fatal("answered with nothing")
	}
	one := n.write(1, 1)
	expect(t, "one byte", a, fmt.Sprintf("t0:0, t1:%d", one))
	if b.answered() || one >= 150 {
		t.Fatal("answered with too little")
	}
	two := n.write(0, 50)
	n.write(0, 1)
	<-b.c
	if got := b.String(); !strings.HasSuffix(got, fmt.Sprintf("t1:%d", one)) || one+two < 150 && strings.HasPrefix(got, fmt.Sprintf("t0:%d,", two)) {
		t.Fatal(got)
	}
}

func TestDeadlineAndDisconnect(t *testing.T) {
	n := newNode(t, 1, Options{})
	expect(t, "no wait", n.fetch(12, request(1, 0, 0)), "t0:0")
	expect(t, "a short wait", n.fetch(12, request(1, 5, 0)), "t0:0")
	gone, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	n.f.Fetch(gone, 12, request(1, long, 0), func(_ *msg.FetchResponse, release func()) { release(); close(done) })
	cancel()
	<-done
}

func TestClosedPartitionWakes(t *testing.T) {
	n := newNode(t, 2, Options{})
	r := n.fetch(12, request(1, long, 0, 0))
	p := n.parts[1]
	n.parts[1] = nil
	p.Abandon(kerr.NotLeaderOrFollower, "moved")
	expect(t, "closed", r, "t0:0, t1:0 NOT_LEADER_OR_FOLLOWER")
}

func TestLimits(t *testing.T) {
	n := newNode(t, 3, Options{})
	size := n.write(0, 1000)
	for i := range 3 {
		n.write(i, 1000)
		n.write(i, 1000)
	}
	req := request(1, 0, 0, 0, 0)
	req.MaxBytes = 1
	seen := map[string]bool{}
	for range 3 {
		seen[n.fetch(12, req).String()] = true
	}
	for i := range 3 {
		parts := []string{"t0:0", "t1:0", "t2:0"}
		parts[i] = fmt.Sprintf("t%d:%d", i, size)
		if !seen[strings.Join(parts, ", ")] {
			t.Fatalf("partition %d had no turn: %v", i, seen)
		}
	}
	req = request(1, 0, 0)
	req.Topics[0].Partitions[0].PartitionMaxBytes = int32(2*size + 1)
	expect(t, "partition limit", n.fetch(12, req), fmt.Sprintf("t0:%d", 2*size))
	req.MinBytes, req.MaxWaitMs, req.MaxBytes = 1<<30, long, int32(size)
	expect(t, "min bytes above max bytes", n.fetch(12, req), fmt.Sprintf("t0:%d", size))
}

// TestAbortedTransactions: a reader of committed records is told of none that were aborted, unless there are records of which none may be returned: then nothing is
// told of transactions, as in Kafka.
func TestAbortedTransactions(t *testing.T) {
	n := newNode(t, 2, Options{})
	for i := range 2 {
		n.write(i, 1000)
	}
	for _, c := range []struct {
		what      string
		isolation int8
		offset    int64
		bytes     int32
		want      string
	}{
		{"a batch", 1, 0, 1 << 20, "[]"},
		{"less than a batch", 1, 0, 1, "null"},
		{"no bytes at all", 1, 0, 0, "[]"},
		{"at the end", 1, 1, 1, "[]"},
		{"of what is not committed either", 0, 0, 1 << 20, "null"},
	} {
		n.f.turn.Store(1) // partition 0 is first, and has its batch in any case
		req := request(1, 0, 0, c.offset)
		req.IsolationLevel, req.Topics[0].Partitions[1].PartitionMaxBytes = c.isolation, c.bytes
		r := n.fetch(12, req)
		<-r.c
		got, err := json.Marshal(r.resp.Responses[0].Partitions[1].AbortedTransactions)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v, want %s", c.what, got, err, c.want)
		}
	}
}

func TestColdReads(t *testing.T) {
	n := newNode(t, 2, Options{ColdReads: 1, ColdTimeout: time.Hour})
	size := n.write(0, 10)
	n.write(1, 10)
	gate := make(chan struct{})
	n.logs[0].SetCold(1, gate)
	slow := n.fetch(12, request(1, long, 0, 0))
	slower := n.fetch(12, request(1, long, 0))
	fast := request(1, long, 0, 0)
	fast.Topics[0].Partitions = fast.Topics[0].Partitions[1:]
	expect(t, "a tail read beside cold ones", n.fetch(12, fast), fmt.Sprintf("t1:%d", size))
	if slow.answered() || slower.answered() {
		t.Fatal("answered without the cold partition")
	}
	close(gate)
	expect(t, "cold", slow, fmt.Sprintf("t0:%d, t1:%d", size, size))
	expect(t, "cold", slower, fmt.Sprintf("t0:%d", size))
}

// TestColdReadsLeaveRoom: what a cold partition was counted with and does not need goes to one behind it that had none left.
func TestColdReadsLeaveRoom(t *testing.T) {
	n := newNode(t, 3, Options{})
	size := n.write(0, 10)
	for i := range 2 {
		n.write(1+i, 10)
		n.write(1+i, 10)
	}
	n.f.turn.Store(2) // partition 0 is first
	gate := make(chan struct{})
	n.logs[0].SetCold(1, gate)
	req := request(1, long, 0, 0, 0)
	req.MaxBytes = int32(3*size + size/2)
	r := n.fetch(12, req)
	close(gate)
	expect(t, "beside a cold one that took all the room", r, fmt.Sprintf("t0:%d, t1:%d, t2:0", size, 2*size))
}

// TestFirstRequestReadsFewCold: the request that makes a session has few of its partitions read from the bucket; the next ones the others, in turn.
func TestFirstRequestReadsFewCold(t *testing.T) {
	n := newNode(t, 5, Options{ColdPerFetch: 2})
	size, open := 0, make(chan struct{})
	close(open)
	for i := range 5 {
		size = n.write(i, 10)
		n.logs[i].SetCold(1, open)
	}
	n.f.turn.Store(4) // partition 0 is first
	create := request(1, long, 0, 0, 0, 0, 0)
	create.SessionEpoch = 0
	r := n.fetch(12, create)
	expect(t, "the first request", r, fmt.Sprintf("t0:%d, t1:%d, t2:0, t3:0, t4:0", size, size))
	next := incremental(r.resp.SessionId, 1, map[int32]int64{0: 1, 1: 1})
	next.MaxBytes = create.MaxBytes
	expect(t, "the next one", n.fetch(12, next), fmt.Sprintf("t2:%d, t3:%d, t4:%d", size, size, size))
}

func TestColdReadsTimeOut(t *testing.T) {
	n := newNode(t, 3, Options{ColdReads: 1, ColdPerFetch: 1, ColdTimeout: 5 * time.Millisecond})
	size := n.write(0, 10)
	for i := 1; i < 3; i++ {
		n.write(i, 10)
		n.logs[i].SetCold(1, make(chan struct{}))
	}
	expect(t, "bucket away", n.fetch(12, request(1, long, 0, 0, 0)), fmt.Sprintf("t0:%d, t1:0 KAFKA_STORAGE_ERROR, t2:0 KAFKA_STORAGE_ERROR", size))
}

// Clients say with the version of Fetch nothing of what they can decompress: some speak old versions and read zstd.
func TestOldClientsGetZstd(t *testing.T) {
	n := newNode(t, 1, Options{})
	b := batch.NewBuilder(batch.Options{Codec: batch.Zstd})
	b.Add(batch.Record{Timestamp: 1, Value: []byte("x")})
	n.parts[0].Append(partition.AppendRequest{Batch: b.Bytes()}, func(partition.AppendResult) {})
	n.wal.Complete(1)
	for version := int16(4); version <= 10; version++ {
		expect(t, fmt.Sprint("version ", version), n.fetch(version, request(1, long, 0)), fmt.Sprintf("t0:%d", len(b.Bytes())))
	}
}

func incremental(id, epoch int32, offsets map[int32]int64) *msg.FetchRequest {
	req := &msg.FetchRequest{MinBytes: 1, MaxBytes: 1 << 20, SessionId: id, SessionEpoch: epoch}
	for i, o := range offsets {
		p := msg.FetchRequestFetchPartition{}
		p.SetDefaults()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = i, o, 1<<20
		req.Topics = append(req.Topics, msg.FetchRequestFetchTopic{Topic: "t", TopicId: topicID, Partitions: []msg.FetchRequestFetchPartition{p}})
	}
	return req
}

func TestSession(t *testing.T) {
	n := newNode(t, 4, Options{})
	size := n.write(1, 10)
	create := request(1, 0, 0, 0, 0)
	create.SessionEpoch = 0
	r := n.fetch(12, create)
	expect(t, "create", r, fmt.Sprintf("t0:0, t1:%d, t2:0", size))
	id := r.resp.SessionId
	if id == 0 {
		t.Fatal("no session")
	}
	expect(t, "only what is new", n.fetch(12, incremental(id, 1, map[int32]int64{1: 1})), "")
	n.write(0, 10)
	n.write(2, 10)
	expect(t, "two have news", n.fetch(12, incremental(id, 2, nil)), fmt.Sprintf("t0:%d, t2:%d", size, size))
	n.write(1, 10)
	req := incremental(id, 3, map[int32]int64{0: 1, 2: 1})
	req.MaxBytes = 1
	expect(t, "the one that had no turn is first", n.fetch(12, req), fmt.Sprintf("t1:%d", size))
	n.write(3, 10)
	req = incremental(id, 4, map[int32]int64{3: 0, 1: 2})
	req.ForgottenTopicsData = []msg.FetchRequestForgottenTopic{{Topic: "t", Partitions: []int32{0}}}
	n.write(0, 10)
	expect(t, "one more, one less", n.fetch(12, req), fmt.Sprintf("t3:%d", size))
	if err := n.logs[2].Trim(ctx, 1); err != nil {
		t.Fatal(err)
	}
	expect(t, "a new log start is news", n.fetch(12, incremental(id, 5, map[int32]int64{3: 1})), "t2:0")

	p := n.parts[2]
	n.parts[2] = nil
	expect(t, "an error is told", n.fetch(12, incremental(id, 6, nil)), "t2:0 NOT_LEADER_OR_FOLLOWER")
	expect(t, "every time", n.fetch(12, incremental(id, 7, nil)), "t2:0 NOT_LEADER_OR_FOLLOWER")
	n.parts[2] = p
	expect(t, "so is its end", n.fetch(12, incremental(id, 8, nil)), "t2:0")
	expect(t, "nothing is new", n.fetch(12, incremental(id, 9, nil)), "")

	expect(t, "wrong epoch", n.fetch(12, incremental(id, 9, nil)), "INVALID_FETCH_SESSION_EPOCH")
	expect(t, "by topic id", n.fetch(13, incremental(id, 10, nil)), "FETCH_SESSION_TOPIC_ID_ERROR")
	expect(t, "unknown", n.fetch(12, incremental(id+1, 1, nil)), "FETCH_SESSION_ID_NOT_FOUND")
	end := incremental(id, 10, nil)
	end.ForgottenTopicsData = []msg.FetchRequestForgottenTopic{{Topic: "t", Partitions: []int32{1, 2, 3}}}
	r = n.fetch(12, end)
	expect(t, "empty", r, "")
	expect(t, "gone", n.fetch(12, incremental(id, 11, nil)), "FETCH_SESSION_ID_NOT_FOUND")
	if s, parts := n.f.sessions.counts(); s != 0 || parts != 0 || r.resp.SessionId != 0 {
		t.Fatal(s, parts)
	}
}

// TestSessionOrder: the partitions of a session have their turns in the order of their numbers, however the client names them, and end to end.
func TestSessionOrder(t *testing.T) {
	n := newNode(t, 4, Options{})
	for i := range 4 {
		n.write(i, 10)
	}
	create := request(1, 0, 0, 0, 0, 0)
	create.SessionEpoch = 0
	parts := create.Topics[0].Partitions
	parts[0], parts[1], parts[2], parts[3] = parts[2], parts[3], parts[1], parts[0]
	r := n.fetch(12, create)
	<-r.c
	var turns []string
	for epoch := 1; epoch <= 5; epoch++ {
		req := incremental(r.resp.SessionId, int32(epoch), nil)
		req.MaxBytes = 1
		turns = append(turns, n.fetch(12, req).String()[:2])
	}
	if got := strings.Join(turns, " "); got != "t0 t1 t2 t3 t0" {
		t.Errorf("turns: %s", got)
	}
}

func TestParkedSessionSurvivesItsNextRequest(t *testing.T) {
	n := newNode(t, 1, Options{})
	create := request(1, 0, 0)
	create.SessionEpoch = 0
	r := n.fetch(13, create)
	<-r.c
	req := incremental(r.resp.SessionId, 1, nil)
	req.MaxWaitMs = long
	a := n.fetch(13, req)
	size := n.write(0, 1)
	expect(t, "woken", a, fmt.Sprintf("0:%d", size))
	full := request(1, 0, 0)
	full.SessionId, full.SessionEpoch = r.resp.SessionId, -1
	expect(t, "ends the session", n.fetch(13, full), fmt.Sprintf("0:%d", size))
	expect(t, "gone", n.fetch(13, incremental(r.resp.SessionId, 2, nil)), "FETCH_SESSION_ID_NOT_FOUND")
}

func TestSessionsAreBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	n := newNode(t, 2, Options{Sessions: 2, SessionPartitions: 3, SessionIdle: time.Minute, Now: func() time.Time { return now }})
	create := func(offsets ...int64) int32 {
		req := request(1, 0, offsets...)
		req.SessionEpoch = 0
		r := n.fetch(12, req)
		<-r.c
		return r.resp.SessionId
	}
	a, b := create(0), create(0)
	if a == 0 || b == 0 || a == b || create(0) != 0 {
		t.Fatal("two sessions, not three", a, b)
	}
	now = now.Add(30 * time.Second)
	expect(t, "a is used", n.fetch(12, incremental(a, 1, nil)), "")
	now = now.Add(31 * time.Second)
	if create(0, 0) == 0 {
		t.Fatal("b was idle for a minute and should have gone")
	}
	expect(t, "b", n.fetch(12, incremental(b, 1, nil)), "FETCH_SESSION_ID_NOT_FOUND")
	expect(t, "a grows beyond the bound", n.fetch(12, incremental(a, 2, map[int32]int64{1: 0})), "FETCH_SESSION_ID_NOT_FOUND")
	if s, parts := n.f.sessions.counts(); s != 1 || parts != 2 {
		t.Fatal(s, parts)
	}
}

// TestHammer parks fetches at partitions that are written to, and checks that each sees all records in order and that none gets stuck.
func TestHammer(t *testing.T) {
	const writes, readers = 300, 4
	n := newNode(t, 3, Options{})
	stop := n.wal.Auto()
	defer stop()
	read := make(chan error, readers)
	for k := range readers {
		go func() { read <- consume(n, writes, int32(1+k*60)) }()
	}
	for i := range writes * 3 {
		b := batch.NewBuilder(batch.Options{})
		b.Add(batch.Record{Timestamp: time.Now().UnixMilli(), Value: []byte("x")})
		n.parts[i%3].Append(partition.AppendRequest{Batch: b.Bytes()}, func(partition.AppendResult) {})
	}
	for range readers {
		if err := <-read; err != nil {
			t.Fatal(err)
		}
	}
}

// consume reads writes records of each partition.
func consume(n *node, writes int64, minBytes int32) error {
	offsets := []int64{0, 0, 0}
	for offsets[0] < writes || offsets[1] < writes || offsets[2] < writes {
		r := n.fetch(12, request(minBytes, 50, offsets...))
		<-r.c
		for _, p := range r.resp.Responses[0].Partitions {
			for b, err := range batch.All(p.Records[0]) {
				if err != nil || b.BaseOffset() != offsets[p.PartitionIndex] || b.LastOffset() >= p.HighWatermark {
					return fmt.Errorf("partition %d: batch at %d, want %d: %v", p.PartitionIndex, b.BaseOffset(), offsets[p.PartitionIndex], err)
				}
				offsets[p.PartitionIndex] = b.NextOffset()
			}
		}
	}
	return nil
}

// A fetch of a partition that is on its way is held until it is here, or elsewhere.
func TestHeldWhilePartitionsMove(t *testing.T) {
	n := newNode(t, 2, Options{HoldMax: time.Minute})
	size := n.write(0, 10)
	n.write(1, 10)
	p := n.parts[1]
	n.change(func() { n.parts[1], n.soon = nil, true })
	r := n.fetch(13, request(int32(size+1), 0, 0, 0))
	if r.answered() {
		t.Fatal("sent away from a partition that is coming", r)
	}
	expect(t, "enough without it", n.fetch(13, request(1, long, 0, 0)), fmt.Sprintf("0:%d, 1:0 NOT_LEADER_OR_FOLLOWER", size))
	n.change(func() {})
	if r.answered() {
		t.Fatal("answered although nothing came", r)
	}
	n.change(func() { n.parts[1] = p })
	expect(t, "it came", r, fmt.Sprintf("0:%d, 1:%d", size, size))

	n.change(func() { n.parts[1] = nil })
	r = n.fetch(13, request(int32(size+1), long, 1, 0))
	n.change(func() { n.soon = false })
	expect(t, "it went elsewhere", r, "0:0, 1:0 NOT_LEADER_OR_FOLLOWER")

	n.f.opt.HoldMax = time.Millisecond
	n.change(func() { n.soon = true })
	expect(t, "it never came", n.fetch(13, request(int32(size+1), long, 1, 0)), "0:0, 1:0 NOT_LEADER_OR_FOLLOWER")
}

func TestNothingIsHandedOutWithoutContact(t *testing.T) {
	var why error
	n := newNode(t, 1, Options{Contact: func() error { return why }})
	size := n.write(0, 10)
	expect(t, "in contact", n.fetch(12, request(1, long, 0)), fmt.Sprintf("t0:%d", size))
	why = base.Errorf(base.Unavailable, "no contact for a session")
	expect(t, "out of contact", n.fetch(12, request(1, long, 0)), "t0:0 NOT_LEADER_OR_FOLLOWER")
	n.logs[0].SetCold(1, nil)
	expect(t, "cold and out of contact", n.fetch(12, request(1, long, 0)), "t0:0 NOT_LEADER_OR_FOLLOWER")
	why = nil
	n.logs[0].SetCold(0, nil)
	expect(t, "again", n.fetch(12, request(1, long, 0)), fmt.Sprintf("t0:%d", size))
}
