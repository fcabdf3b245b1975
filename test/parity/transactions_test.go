package parity

import (
	"fmt"
	"time"

	"sluice/wire/kerr"
	"sluice/wire/msg"
)

var _ = add(map[string]func(*script){
	"txn-init":     txnInit,
	"txn-versions": txnVersions,
	"txn-fence":    txnFence,
	"txn-two":      txnVersionTwo,
	"txn-batch":    txnBatch,
	"txn-find":     txnFind,
	"txn-timeout":  txnTimeout,
})

// producing is a producer as InitProducerId names it.
type producing struct {
	id    int64
	epoch int16
}

func (p producing) with(change int16) producing { return producing{p.id, p.epoch + change} }

var noProducer = producing{-1, -1}

func initOf(id string, timeoutMS int32, p producing) *msg.InitProducerIdRequest {
	return &msg.InitProducerIdRequest{TransactionalId: &id, TransactionTimeoutMs: timeoutMS, ProducerId: p.id, ProducerEpoch: p.epoch}
}

// patiently repeats a request while a broker asks for that, and takes the last answer as a step.
func (s *script) patiently(name string, version int16, req msg.Message, codeOf func(msg.Message) int16) msg.Message {
	answer := s.tell(version, req)
	for deadline := time.Now().Add(settleMax); time.Now().Before(deadline); answer = s.tell(version, req) {
		switch kerr.Code(codeOf(answer)) {
		case kerr.ConcurrentTransactions, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator:
			time.Sleep(10 * time.Millisecond)
			continue
		}
		break
	}
	s.show(name, version, answer)
	return answer
}

func (s *script) initTxn(name string, version int16, id string, p producing) producing {
	s.tell(4, &msg.FindCoordinatorRequest{KeyType: 1, CoordinatorKeys: []string{id}}) // makes the topic
	answer := s.patiently(name, version, initOf(id, 60_000, p), func(m msg.Message) int16 { return m.(*msg.InitProducerIdResponse).ErrorCode })
	r := answer.(*msg.InitProducerIdResponse)
	return producing{r.ProducerId, r.ProducerEpoch}
}

// addOf asks to add partitions, in the form of any version.
func addOf(id string, p producing, topic string, partitions ...int32) *msg.AddPartitionsToTxnRequest {
	topics := []msg.AddPartitionsToTxnRequestAddPartitionsToTxnTopic{{Name: topic, Partitions: partitions}}
	return &msg.AddPartitionsToTxnRequest{
		V3AndBelowTransactionalId: id, V3AndBelowProducerId: p.id, V3AndBelowProducerEpoch: p.epoch, V3AndBelowTopics: topics,
		Transactions: []msg.AddPartitionsToTxnRequestAddPartitionsToTxnTransaction{{TransactionalId: id, ProducerId: p.id, ProducerEpoch: p.epoch, Topics: topics}},
	}
}

func addCode(m msg.Message) int16 {
	r := m.(*msg.AddPartitionsToTxnResponse)
	if len(r.ResultsByTopicV3AndBelow) > 0 {
		return r.ResultsByTopicV3AndBelow[0].ResultsByPartition[0].PartitionErrorCode
	}
	if len(r.ResultsByTransaction) > 0 {
		return r.ResultsByTransaction[0].TopicResults[0].ResultsByPartition[0].PartitionErrorCode
	}
	return r.ErrorCode
}

func (s *script) addTxn(name string, version int16, id string, p producing, topic string, partitions ...int32) {
	s.patiently(name, version, addOf(id, p, topic, partitions...), addCode)
}

func (s *script) endTxn(name string, version int16, id string, p producing, commit bool) producing {
	req := &msg.EndTxnRequest{TransactionalId: id, ProducerId: p.id, ProducerEpoch: p.epoch, Committed: commit}
	r := s.patiently(name, version, req, func(m msg.Message) int16 { return m.(*msg.EndTxnResponse).ErrorCode }).(*msg.EndTxnResponse)
	return producing{r.ProducerId, r.ProducerEpoch}
}

// describe takes the state of ids as a step, once it is at rest.
func (s *script) describe(name string, ids ...string) {
	s.settle(name, 0, &msg.DescribeTransactionsRequest{TransactionalIds: ids}, func(m msg.Message) bool {
		for _, t := range m.(*msg.DescribeTransactionsResponse).TransactionStates {
			if t.TransactionState == "PrepareCommit" || t.TransactionState == "PrepareAbort" {
				return false
			}
		}
		return true
	})
}

func txnInit(s *script) {
	s.initTxn("warm", 4, s.topic("warm"), noProducer)
	s.versions(msg.KeyInitProducerId, func(v int16) {
		id := s.topic(fmt.Sprint("v", v))
		p := s.initTxn("new", v, id, noProducer)
		for _, timeout := range []int32{0, -1, 900_001, 900_000, 1} {
			s.ask(fmt.Sprint("timeout ", timeout), v, initOf(id, timeout, noProducer))
		}
		p = s.initTxn("again", v, id, noProducer)
		if v >= 3 {
			s.ask("of another id", v, initOf(id, 1000, producing{p.id + 1000, p.epoch}))
			s.ask("of a later epoch", v, initOf(id, 1000, p.with(1)))
			s.ask("of an earlier epoch", v, initOf(id, 1000, p.with(-1)))
			s.ask("id alone", v, initOf(id, 1000, producing{p.id, -1}))
			s.ask("epoch alone", v, initOf(id, 1000, producing{-1, p.epoch}))
			s.ask("going on", v, initOf(id, 1000, p))
			s.ask("going on, a retry", v, initOf(id, 1000, p))
			s.ask("going on from long ago", v, initOf(id, 1000, p.with(-1)))
			s.ask("a new one that goes on", v, initOf(id+"-new", 1000, producing{77, 7}))
		}
		s.ask("empty", v, initOf("", 1000, noProducer))
		s.describe("described", id)
	})
	s.ask("described", 0, &msg.DescribeTransactionsRequest{TransactionalIds: []string{"", s.topic("unknown")}})
	s.ask("described, none", 0, &msg.DescribeTransactionsRequest{})
}

// txnVersions goes through a transaction in every version, wrong requests first.
func txnVersions(s *script) {
	topic := s.create("t", 2)
	for v := int16(0); v <= 5; v++ {
		id := s.topic(fmt.Sprint("v", v))
		add, offsets := v, min(v, 4)
		p := s.initTxn("new", v, id, noProducer)
		s.ask("end before the beginning", v, &msg.EndTxnRequest{TransactionalId: id, ProducerId: p.id, ProducerEpoch: p.epoch, Committed: true})
		for _, wrong := range []struct {
			name string
			id   string
			p    producing
		}{
			{"an unknown id", s.topic("unknown"), p}, {"another producer id", id, producing{p.id + 1000, p.epoch}}, {"no producer", id, noProducer},
			{"a later epoch", id, p.with(1)}, {"an earlier epoch", id, p.with(-1)}, {"an empty id", "", p},
		} {
			s.ask("add with "+wrong.name, add, addOf(wrong.id, wrong.p, topic, 0))
			s.ask("offsets with "+wrong.name, offsets, &msg.AddOffsetsToTxnRequest{TransactionalId: wrong.id, ProducerId: wrong.p.id, ProducerEpoch: wrong.p.epoch, GroupId: "g"})
			s.ask("end with "+wrong.name, v, &msg.EndTxnRequest{TransactionalId: wrong.id, ProducerId: wrong.p.id, ProducerEpoch: wrong.p.epoch})
		}
		s.ask("add an unknown partition", add, addOf(id, p, topic, 0, 7))
		s.ask("add an unknown topic", add, addOf(id, p, s.topic("unknown"), 0))
		s.ask("add a negative partition", add, addOf(id, p, topic, -1))
		s.addTxn("add", add, id, p, topic, 0)
		s.addTxn("add again", add, id, p, topic, 0)
		s.addTxn("add another", add, id, p, topic, 1, 0)
		s.ask("add with an earlier epoch, ongoing", add, addOf(id, p.with(-1), topic, 0))
		s.ask("end with an earlier epoch, ongoing", v, &msg.EndTxnRequest{TransactionalId: id, ProducerId: p.id, ProducerEpoch: p.epoch - 1})
		s.describe("ongoing", id)
		s.endTxn("commit", v, id, p, true)
		s.describe("committed", id)
		s.endTxn("commit again", v, id, p, true)
		s.endTxn("abort after it", v, id, p, false)
		p = s.initTxn("another life", v, id, noProducer)
		s.addTxn("add", add, id, p, topic, 1)
		s.endTxn("abort", v, id, p, false)
		s.describe("aborted", id)
		s.endTxn("abort again", v, id, p, false)
		s.endTxn("commit after it", v, id, p, true)
		s.describe("at last", id)
	}
}

// txnFence has a second producer of an id come.
func txnFence(s *script) {
	topic := s.create("t", 1)
	for _, v := range []int16{0, 3, 4, 5} {
		id := s.topic(fmt.Sprint("v", v))
		old := s.initTxn("first", v, id, noProducer)
		s.addTxn("add", 3, id, old, topic, 0)
		s.ask("second, while a transaction is open", v, initOf(id, 60_000, noProducer))
		s.describe("it is aborted", id)
		fresh := s.initTxn("second", v, id, noProducer)
		for _, e := range []int16{1, 2, 4, 5} {
			s.ask("the first commits", e, &msg.EndTxnRequest{TransactionalId: id, ProducerId: old.id, ProducerEpoch: old.epoch, Committed: true})
		}
		for _, a := range []int16{0, 2, 3, 4, 5} {
			s.ask("the first adds", a, addOf(id, old, topic, 0))
		}
		if v >= 3 {
			s.ask("the first begins anew", v, initOf(id, 60_000, old))
		}
		s.addTxn("the second adds", 3, id, fresh, topic, 0)
		s.endTxn("the second commits", 4, id, fresh, true)
		s.describe("at last", id)
	}
}

// txnVersionTwo ends transactions by version 5 in every state, as the same producer, as one that retries, and as a later one.
func txnVersionTwo(s *script) {
	topic := s.create("t", 1)
	for _, state := range []string{"Empty", "Ongoing", "CompleteCommit", "CompleteAbort"} {
		for _, commit := range []bool{true, false} {
			for _, change := range []int16{-1, 0, 1} {
				id := s.topic(fmt.Sprintf("%s-%v-%d", state, commit, change))
				p := s.initTxn("new", 5, id, noProducer)
				p = s.initTxn("again", 5, id, noProducer)
				if state != "Empty" {
					s.addTxn("add", 4, id, p, topic, 0)
				}
				if state == "CompleteCommit" || state == "CompleteAbort" {
					p = s.endTxn("end", 5, id, p, state == "CompleteCommit")
					s.describe("ended", id)
				}
				name := fmt.Sprintf("%s, commit %v, epoch %+d", state, commit, change)
				s.endTxn(name, 5, id, p.with(change), commit)
				s.describe(name+", then", id)
			}
		}
	}
}

// txnBatch adds and verifies for several transactions at once. A request for none is not compared: Kafka never answers it.
func txnBatch(s *script) {
	topic := s.create("t", 3)
	a, b := s.topic("a"), s.topic("b")
	pa, pb := s.initTxn("a", 5, a, noProducer), s.initTxn("b", 5, b, noProducer)
	for _, v := range []int16{4, 5} {
		both := addOf(a, pa, topic, 0)
		both.Transactions = append(both.Transactions, addOf(b, pb.with(3), topic, 0).Transactions...)
		s.patiently("one right, one wrong", v, both, addCode)
		for _, c := range []struct {
			name string
			id   string
			p    producing
			at   []int32
		}{
			{"is in", a, pa, []int32{0}}, {"one is in", a, pa, []int32{0, 1}}, {"is not in", a, pa, []int32{2}}, {"no transaction", b, pb, []int32{0}},
			{"unknown id", s.topic("unknown"), pa, []int32{0}}, {"wrong epoch", a, pa.with(1), []int32{0}}, {"wrong producer id", a, producing{pa.id + 1000, 0}, []int32{0}},
		} {
			req := addOf(c.id, c.p, topic, c.at...)
			req.Transactions[0].VerifyOnly = true
			s.ask("verify: "+c.name, v, req)
		}
	}
	list := func(name string, v int16, change func(*msg.ListTransactionsRequest)) {
		req := &msg.ListTransactionsRequest{DurationFilter: -1, ProducerIdFilters: []int64{pa.id, pb.id}}
		change(req)
		s.ask(name, v, req)
	}
	s.versions(msg.KeyListTransactions, func(v int16) {
		list("list both", v, func(*msg.ListTransactionsRequest) {})
		list("list open ones", v, func(r *msg.ListTransactionsRequest) { r.StateFilters = []string{"Ongoing"} })
		list("list unknown states", v, func(r *msg.ListTransactionsRequest) { r.StateFilters = []string{"ongoing", "Nonsense", "Dead"} })
		list("list long ones", v, func(r *msg.ListTransactionsRequest) { r.DurationFilter = 3_600_000 })
		list("list those of any length", v, func(r *msg.ListTransactionsRequest) { r.DurationFilter = 0 })
		list("list by pattern", v, func(r *msg.ListTransactionsRequest) { r.TransactionalIdPattern = ptr(".*-a") })
		list("list by part of a pattern", v, func(r *msg.ListTransactionsRequest) { r.TransactionalIdPattern = ptr("txn") })
		list("list by an empty pattern", v, func(r *msg.ListTransactionsRequest) { r.TransactionalIdPattern = ptr("") })
		list("list by a wrong pattern", v, func(r *msg.ListTransactionsRequest) { r.TransactionalIdPattern = ptr("(") })
	})
	s.endTxn("a ends", 5, a, pa, false)
	s.describe("both", a, b)
}

func txnFind(s *script) {
	s.initTxn("warm", 4, s.topic("warm"), noProducer)
	s.versions(msg.KeyFindCoordinator, func(v int16) {
		s.ask("of a transactional id", v, &msg.FindCoordinatorRequest{Key: "a", KeyType: 1, CoordinatorKeys: []string{"a", "b"}})
	})
}

// txnTimeout lets a transaction time out and sees what its producer may still do.
func txnTimeout(s *script) {
	topic := s.create("t", 1)
	ids := []string{s.topic("one"), s.topic("two")}
	var ps []producing
	for i, id := range ids {
		p := s.initTxn("warm", 5, id, noProducer)
		p = producing{p.id, p.epoch}
		r := s.ask("begin", 5, initOf(id, 100, noProducer)).(*msg.InitProducerIdResponse)
		p = producing{r.ProducerId, r.ProducerEpoch}
		s.addTxn("add", int16(3+i), id, p, topic, 0)
		ps = append(ps, p)
	}
	s.settleLong("it is aborted", &msg.DescribeTransactionsRequest{TransactionalIds: ids})
	for i, id := range ids {
		v := []int16{4, 5}[i]
		s.ask("a late commit", v, &msg.EndTxnRequest{TransactionalId: id, ProducerId: ps[i].id, ProducerEpoch: ps[i].epoch, Committed: true})
		s.ask("a late addition", int16(3+i), addOf(id, ps[i], topic, 0))
		s.ask("a late abort", v, &msg.EndTxnRequest{TransactionalId: id, ProducerId: ps[i].id, ProducerEpoch: ps[i].epoch})
		s.ask("it goes on", 5, initOf(id, 60_000, ps[i]))
	}
}

// settleLong waits until transactions are aborted, for which Kafka looks now and then.
func (s *script) settleLong(name string, req *msg.DescribeTransactionsRequest) {
	for deadline := time.Now().Add(4 * settleMax); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		done := true
		for _, t := range s.tell(0, req).(*msg.DescribeTransactionsResponse).TransactionStates {
			done = done && t.TransactionState == "CompleteAbort"
		}
		if done {
			break
		}
	}
	s.ask(name, 0, req)
}
