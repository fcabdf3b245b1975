package txn

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"sluice/broker/coord"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// FindCoordinator serves FindCoordinator, versions 0 to 6, for transactional ids.
func (c *Coordinator) FindCoordinator(version int16, listener string, req *msg.FindCoordinatorRequest, reply func(*msg.FindCoordinatorResponse)) {
	c.host.FindCoordinator(version, listener, req, reply)
}

// fenced is what a version of an API calls a fenced producer; from says since when it knows the name.
func fenced(code kerr.Code, version, from int16) int16 {
	if code == kerr.ProducerFenced && version < from {
		code = kerr.InvalidProducerEpoch
	}
	return int16(code)
}

// InitProducerID serves InitProducerId, versions 0 to 5, with a transactional id.
func (c *Coordinator) InitProducerID(version int16, req *msg.InitProducerIdRequest, reply func(*msg.InitProducerIdResponse)) {
	cmd := &initCommand{id: *req.TransactionalId, timeoutMS: req.TransactionTimeoutMs, freshID: noID}
	answer := func(r initResult) {
		res := &msg.InitProducerIdResponse{}
		res.SetDefaults()
		res.ErrorCode, res.ProducerId, res.ProducerEpoch = fenced(r.code, version, 4), r.producer.id, r.producer.epoch
		reply(res)
	}
	if version >= 3 && (req.ProducerId != noID || req.ProducerEpoch != noEpoch) {
		cmd.expected = &identity{req.ProducerId, req.ProducerEpoch}
	}
	switch {
	case cmd.id == "", cmd.expected != nil && (cmd.expected.id == noID || cmd.expected.epoch == noEpoch):
		answer(failedInit(kerr.InvalidRequest))
		return
	}
	fail := func(code kerr.Code) { answer(failedInit(code)) }
	submit(c, cmd.id, cmd, func(r initResult) {
		if !r.needID {
			answer(r)
			return
		}
		again := *cmd
		c.again(&again.freshID, func() { submit(c, again.id, &again, answer, fail) }, fail)
	}, fail)
}

// again puts a producer id into a command and has it made once more.
func (c *Coordinator) again(id *int64, submit func(), fail func(kerr.Code)) {
	c.withID(func(fresh int64, err error) {
		if err != nil {
			fail(kerr.CoordinatorLoadInProgress) // which clients try again
			return
		}
		*id = fresh
		submit()
	})
}

// EndTxn serves EndTxn, versions 0 to 5.
func (c *Coordinator) EndTxn(version int16, req *msg.EndTxnRequest, reply func(*msg.EndTxnResponse)) {
	cmd := &endCommand{id: req.TransactionalId, producer: identity{req.ProducerId, req.ProducerEpoch}, commit: req.Committed, freshID: noID}
	if version >= 5 {
		cmd.version = 2
	}
	answer := func(r endResult) {
		res := &msg.EndTxnResponse{}
		res.SetDefaults()
		res.ErrorCode, res.ProducerId, res.ProducerEpoch = fenced(r.code, version, 2), r.producer.id, r.producer.epoch
		reply(res)
	}
	fail := func(code kerr.Code) { answer(failedEnd(code)) }
	if cmd.id == "" {
		fail(kerr.InvalidRequest)
		return
	}
	submit(c, cmd.id, cmd, func(r endResult) {
		if !r.needID {
			answer(r)
			return
		}
		again := *cmd
		c.again(&again.freshID, func() { submit(c, again.id, &again, answer, fail) }, fail)
	}, fail)
}

// AddPartitions adds partitions to a transaction that this node coordinates, or looks whether they are in it, on behalf of a client that speaks a version of
// the protocol, 0 or 2. done gets a code for each partition in order. A partition that does not exist is the end of it for all.
func (c *Coordinator) AddPartitions(version int16, r AddPartitions, done func([]kerr.Code)) {
	codes := all(kerr.OperationNotAttempted, r)
	wrong := false
	for i, p := range r.Partitions {
		switch {
		case version == 0 && slices.Contains(internal, p.Topic): // a producer writes no such records
			codes[i], wrong = kerr.TopicAuthorizationFailed, true
		case p.Index < 0 || p.Index >= c.opt.Cluster.Partitions(p.Topic):
			codes[i], wrong = kerr.UnknownTopicOrPartition, true
		}
	}
	switch {
	case wrong:
		done(codes)
		return
	case r.TransactionalID == "":
		done(all(kerr.InvalidRequest, r))
		return
	}
	c.addKnown(version, r, done)
}

// internal are the topics that only coordinators write to. They add them to transactions themselves.
var internal = []string{"__consumer_offsets", Topic, "__share_group_state"}

func (c *Coordinator) addKnown(version int16, r AddPartitions, done func([]kerr.Code)) {
	cmd := &addCommand{
		id: r.TransactionalID, producer: identity{r.ProducerID, r.Epoch}, verify: r.VerifyOnly, version: version, partitions: slices.Clone(r.Partitions),
	}
	submit(c, cmd.id, cmd, func(res addResult) {
		if res.codes != nil {
			done(res.codes)
			return
		}
		done(all(res.code, r))
	}, func(code kerr.Code) { done(all(code, r)) })
}

// AddPartitionsToTxn serves AddPartitionsToTxn, versions 0 to 5. From version 4 on a request holds several transactions, by clients that speak version 2
// of the protocol or by other nodes.
func (c *Coordinator) AddPartitionsToTxn(version int16, req *msg.AddPartitionsToTxnRequest, reply func(*msg.AddPartitionsToTxnResponse)) {
	protocol := int16(2)
	if version < 4 {
		protocol = 0
		req.Transactions = []msg.AddPartitionsToTxnRequestAddPartitionsToTxnTransaction{{
			TransactionalId: req.V3AndBelowTransactionalId, ProducerId: req.V3AndBelowProducerId, ProducerEpoch: req.V3AndBelowProducerEpoch, Topics: req.V3AndBelowTopics,
		}}
	}
	res := &msg.AddPartitionsToTxnResponse{}
	res.SetDefaults()
	results := make([]msg.AddPartitionsToTxnResponseAddPartitionsToTxnResult, len(req.Transactions))
	wait := newGather(len(results), func() {
		if version < 4 {
			res.ResultsByTopicV3AndBelow = results[0].TopicResults
		} else {
			res.ResultsByTransaction = results
		}
		reply(res)
	})
	for i, t := range req.Transactions {
		r := AddPartitions{TransactionalID: t.TransactionalId, ProducerID: t.ProducerId, Epoch: t.ProducerEpoch, VerifyOnly: t.VerifyOnly}
		for _, topic := range t.Topics {
			for _, index := range topic.Partitions {
				r.Partitions = append(r.Partitions, TopicPartition{topic.Name, index})
			}
		}
		c.AddPartitions(protocol, r, func(codes []kerr.Code) {
			results[i].TransactionalId, results[i].TopicResults = r.TransactionalID, topicResults(version, t.Topics, codes, r.VerifyOnly)
			wait.done()
		})
	}
	wait.done()
}

// topicResults answers topics as they were asked for. Where partitions were looked at one by one, because one is not there or not a producer's, or to verify them,
// each stands once, and topics without any are left out.
func topicResults(version int16, topics []msg.AddPartitionsToTxnRequestAddPartitionsToTxnTopic, codes []kerr.Code, verify bool) []addedTopic {
	apart := verify || slices.Contains(codes, kerr.UnknownTopicOrPartition) || slices.Contains(codes, kerr.TopicAuthorizationFailed)
	out, at, seen := []addedTopic{}, map[string]int{}, map[TopicPartition]bool{}
	i := 0
	for _, t := range topics {
		to, again := at[t.Name]
		if !again || !apart {
			to, at[t.Name] = len(out), len(out)
			out = append(out, addedTopic{Name: t.Name, ResultsByPartition: []addedPartition{}})
		}
		for _, index := range t.Partitions {
			code := codes[i]
			i++
			if p := (TopicPartition{t.Name, index}); !apart || !seen[p] {
				seen[p] = true
				out[to].ResultsByPartition = append(out[to].ResultsByPartition, addedPartition{PartitionIndex: index, PartitionErrorCode: fenced(code, version, 2)})
			}
		}
	}
	if apart {
		out = slices.DeleteFunc(out, func(t addedTopic) bool { return len(t.ResultsByPartition) == 0 })
	}
	return out
}

type (
	addedTopic     = msg.AddPartitionsToTxnResponseAddPartitionsToTxnTopicResult
	addedPartition = msg.AddPartitionsToTxnResponseAddPartitionsToTxnPartitionResult
)

// AddOffsetsToTxn serves AddOffsetsToTxn, versions 0 to 4.
func (c *Coordinator) AddOffsetsToTxn(version int16, req *msg.AddOffsetsToTxnRequest, reply func(*msg.AddOffsetsToTxnResponse)) {
	answer := func(code kerr.Code) {
		res := &msg.AddOffsetsToTxnResponse{}
		res.SetDefaults()
		res.ErrorCode = fenced(code, version, 2)
		reply(res)
	}
	if req.TransactionalId == "" {
		answer(kerr.InvalidRequest)
		return
	}
	r := AddPartitions{
		TransactionalID: req.TransactionalId, ProducerID: req.ProducerId, Epoch: req.ProducerEpoch,
		Partitions: []TopicPartition{c.opt.GroupPartition(req.GroupId)},
	}
	c.addKnown(0, r, func(codes []kerr.Code) { answer(codes[0]) })
}

// Describe serves DescribeTransactions, version 0.
func (c *Coordinator) Describe(req *msg.DescribeTransactionsRequest, reply func(*msg.DescribeTransactionsResponse)) {
	res := &msg.DescribeTransactionsResponse{}
	res.SetDefaults()
	res.TransactionStates = make([]msg.DescribeTransactionsResponseTransactionState, len(req.TransactionalIds))
	wait := newGather(len(req.TransactionalIds), func() { reply(res) })
	for i, id := range req.TransactionalIds {
		out := &res.TransactionStates[i]
		out.SetDefaults()
		out.TransactionalId, out.Topics = id, []msg.DescribeTransactionsResponseTopicData{}
		answer := func(d described) {
			if out.ErrorCode = int16(d.code); d.code == kerr.None {
				out.TransactionState, out.TransactionTimeoutMs, out.TransactionStartTimeMs = d.state.String(), d.timeoutMS, d.startMS
				out.ProducerId, out.ProducerEpoch = d.producerID, d.epoch
				for _, p := range d.partitions {
					if n := len(out.Topics); n == 0 || out.Topics[n-1].Topic != p.Topic {
						out.Topics = append(out.Topics, msg.DescribeTransactionsResponseTopicData{Topic: p.Topic})
					}
					t := &out.Topics[len(out.Topics)-1]
					t.Partitions = append(t.Partitions, p.Index)
				}
			}
			wait.done()
		}
		if id == "" {
			answer(described{code: kerr.InvalidRequest})
			continue
		}
		submit(c, id, &describeCommand{id}, answer, func(code kerr.Code) { answer(described{code: code}) })
	}
	wait.done()
}

// List serves ListTransactions, versions 0 to 2: the transactional ids this node coordinates, ascending. A pattern is a regular expression (RE2) for the
// whole id.
func (c *Coordinator) List(version int16, req *msg.ListTransactionsRequest, reply func(*msg.ListTransactionsResponse)) {
	res := &msg.ListTransactionsResponse{}
	res.SetDefaults()
	res.UnknownStateFilters, res.TransactionStates = []string{}, []msg.ListTransactionsResponseTransactionState{}
	cmd := &listCommand{producerIDs: req.ProducerIdFilters, durationMS: -1}
	if version >= 1 {
		cmd.durationMS = req.DurationFilter
	}
	for _, name := range req.StateFilters {
		if cmd.states == nil {
			cmd.states = []state{}
		}
		if i := slices.Index(stateNames[:], name); i >= 0 {
			cmd.states = append(cmd.states, state(i))
		} else if name != "Dead" && name != "PrepareEpochFence" && !slices.Contains(res.UnknownStateFilters, name) { // no id is listed in these
			res.UnknownStateFilters = append(res.UnknownStateFilters, name)
		}
	}
	if version >= 2 && req.TransactionalIdPattern != nil && *req.TransactionalIdPattern != "" {
		var err error
		if cmd.pattern, err = regexp.Compile("^(?:" + *req.TransactionalIdPattern + ")$"); err != nil {
			res.ErrorCode, res.UnknownStateFilters = int16(kerr.InvalidRegularExpression), []string{}
			reply(res)
			return
		}
	}
	shards := c.host.Shards()
	var found []listed
	wait := newGather(len(shards), func() {
		slices.SortFunc(found, func(a, b listed) int { return strings.Compare(a.id, b.id) })
		for _, l := range found {
			if res.ErrorCode == 0 {
				res.TransactionStates = append(res.TransactionStates, msg.ListTransactionsResponseTransactionState{
					TransactionalId: l.id, ProducerId: l.producerID, TransactionState: l.state.String(),
				})
			}
		}
		reply(res)
	})
	for _, s := range shards {
		s.Submit(coord.Call{Command: cmd, Reply: func(r any) {
			wait.with(func() { found = append(found, r.([]listed)...) })
			wait.done()
		}, Fail: func(code kerr.Code) {
			if code != kerr.NotCoordinator { // moved away just now: another node lists them
				wait.with(func() { res.ErrorCode = int16(code) })
			}
			wait.done()
		}})
	}
	wait.done()
}

// gather calls finish when it was told n+1 times that something is done.
type gather struct {
	mu     sync.Mutex
	left   int
	finish func()
}

func newGather(n int, finish func()) *gather { return &gather{left: n + 1, finish: finish} }

// with runs fn under the lock.
func (g *gather) with(fn func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fn()
}

func (g *gather) done() {
	g.mu.Lock()
	g.left--
	last := g.left == 0
	g.mu.Unlock()
	if last {
		g.finish()
	}
}
