package txn

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/base"
	"sluice/wire/kbin"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// fakePeers answers for other nodes after a second.
type fakePeers struct {
	mu     sync.Mutex
	sizes  []int // transactions in each request
	err    error
	answer kerr.Code
	mute   bool
	short  bool // one answer too few
}

func (p *fakePeers) AddPartitions(ctx context.Context, node base.NodeID, body []byte) ([]byte, error) {
	r := kbin.NewReader(body)
	req := &msg.AddPartitionsToTxnRequest{}
	if req.Decode(&r, AddPartitionsVersion); r.Err() != nil || node != 2 {
		panic("malformed")
	}
	p.mu.Lock()
	p.sizes = append(p.sizes, len(req.Transactions))
	err, code, mute, short := p.err, p.answer, p.mute, p.short
	p.mu.Unlock()
	if mute {
		<-ctx.Done()
		return nil, base.Wrap(base.Undetermined, ctx.Err())
	}
	time.Sleep(time.Second)
	res := &msg.AddPartitionsToTxnResponse{}
	for _, t := range req.Transactions {
		out := msg.AddPartitionsToTxnResponseAddPartitionsToTxnResult{TransactionalId: t.TransactionalId}
		var asked []TopicPartition
		for _, topic := range t.Topics {
			for _, i := range topic.Partitions {
				asked = append(asked, TopicPartition{topic.Name, i})
			}
		}
		codes := all(code, AddPartitions{Partitions: asked})
		out.TopicResults = topicResults(AddPartitionsVersion, t.Topics, codes, false)
		res.ResultsByTransaction = append(res.ResultsByTransaction, out)
	}
	if short {
		res.ResultsByTransaction = res.ResultsByTransaction[1:]
	}
	return res.Append(nil, AddPartitionsVersion), err
}

// Questions go together while others are under way, each is answered once, and what a node says is told in the words of participants.
func TestClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peers := &fakePeers{}
		c := NewClient(ClientOptions{
			Node: 1, Peers: peers,
			Coordinator: func(id string) (base.NodeID, bool) {
				return map[string]base.NodeID{"here": 1, "there": 2}[id], id != "nowhere"
			},
			Local: func(r AddPartitions, done func([]kerr.Code)) {
				done([]kerr.Code{kerr.None, kerr.ProducerFenced, kerr.OperationNotAttempted})
			},
		})
		three := []TopicPartition{{"a", 0}, {"b", 1}, {"a", 2}}
		answers := make(chan []kerr.Code, 100)
		ask := func(id string) {
			c.AddPartitions(t.Context(), AddPartitions{TransactionalID: id, Partitions: three}, func(codes []kerr.Code) { answers <- codes })
		}
		want := func(codes ...kerr.Code) {
			t.Helper()
			if got := <-answers; !slices.Equal(got, codes) {
				t.Errorf("%v, want %v", got, codes)
			}
		}
		ask("nowhere")
		want(kerr.CoordinatorNotAvailable, kerr.CoordinatorNotAvailable, kerr.CoordinatorNotAvailable)
		ask("here")
		want(kerr.None, kerr.InvalidProducerEpoch, kerr.CoordinatorNotAvailable)
		for range callsMax + 20 {
			ask("there")
			synctest.Wait()
		}
		for range callsMax + 20 {
			want(kerr.None, kerr.None, kerr.None)
		}
		if len(peers.sizes) != callsMax+1 || peers.sizes[callsMax] != 20 {
			t.Errorf("requests of %v", peers.sizes)
		}
		set := func(fn func()) {
			peers.mu.Lock()
			fn()
			peers.mu.Unlock()
		}
		for _, s := range []struct {
			set  func()
			want kerr.Code
		}{
			{func() { peers.answer = kerr.ProducerFenced }, kerr.InvalidProducerEpoch},
			{func() { peers.answer = kerr.UnknownTopicOrPartition }, kerr.CoordinatorNotAvailable},
			{func() { peers.answer = kerr.TransactionAbortable }, kerr.TransactionAbortable},
			{func() { peers.err = base.Errorf(base.Unavailable, "no connection") }, kerr.CoordinatorNotAvailable},
			{func() { peers.err = base.Errorf(base.Undetermined, "lost") }, kerr.NetworkException},
			{func() { peers.err, peers.short = nil, true }, kerr.NetworkException},
			{func() { peers.mute = true }, kerr.NetworkException},
		} {
			set(s.set)
			ask("there")
			want(s.want, s.want, s.want)
		}
		ask("there")
		synctest.Wait()
		c.Close()
		want(kerr.NetworkException, kerr.NetworkException, kerr.NetworkException)
		ask("there")
		want(kerr.CoordinatorNotAvailable, kerr.CoordinatorNotAvailable, kerr.CoordinatorNotAvailable)
	})
}

// A partition that is not there, and a question, have each partition looked at by itself; otherwise topics are answered as they were asked for.
func TestTopicResults(t *testing.T) {
	asked := []msg.AddPartitionsToTxnRequestAddPartitionsToTxnTopic{{Name: "a", Partitions: []int32{0, 0}}, {Name: "b"}, {Name: "a", Partitions: []int32{1}}}
	text := func(codes []kerr.Code, verify bool) string {
		s := ""
		for _, r := range topicResults(5, asked, codes, verify) {
			s += r.Name
			for _, p := range r.ResultsByPartition {
				s += fmt.Sprintf(" %d:%d", p.PartitionIndex, p.PartitionErrorCode)
			}
			s += ";"
		}
		return s
	}
	unknown := []kerr.Code{kerr.OperationNotAttempted, kerr.OperationNotAttempted, kerr.UnknownTopicOrPartition}
	for _, tc := range []struct {
		codes  []kerr.Code
		verify bool
		want   string
	}{
		{make([]kerr.Code, 3), false, "a 0:0 0:0;b;a 1:0;"},
		{make([]kerr.Code, 3), true, "a 0:0 1:0;"},
		{unknown, false, "a 0:55 1:3;"},
		{[]kerr.Code{kerr.TopicAuthorizationFailed, kerr.TopicAuthorizationFailed, kerr.OperationNotAttempted}, false, "a 0:29 1:55;"},
	} {
		if got := text(tc.codes, tc.verify); got != tc.want {
			t.Errorf("%v %v: %q, want %q", tc.codes, tc.verify, got, tc.want)
		}
	}
}
