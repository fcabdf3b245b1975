package txn

import (
	"context"
	"sync"
	"time"

	"sluice/base"
	"sluice/wire/kbin"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// TopicPartition names a partition.
type TopicPartition struct {
	Topic string
	Index int32
}

// AddPartitions asks for partitions to be in the ongoing transaction of a producer.
type AddPartitions struct {
	TransactionalID string
	ProducerID      int64
	Epoch           int16
	// VerifyOnly asks whether the partitions are in it, and adds none.
	VerifyOnly bool
	Partitions []TopicPartition
}

// Peers carries a question to the transaction coordinator of another node. It blocks; body is a request of version
// [AddPartitionsVersion], the answer a response of it.
type Peers interface {
	AddPartitions(ctx context.Context, node base.NodeID, body []byte) ([]byte, error)
}

// AddPartitionsVersion is the version of AddPartitionsToTxn that nodes speak with each other: several transactions in one request.
const AddPartitionsVersion int16 = 5

// ClientOptions are what a Client works with. All are required.
type ClientOptions struct {
	Node base.NodeID // this one
	// Coordinator returns the node that coordinates a transactional id, false if none does at the moment.
	Coordinator func(transactionalID string) (base.NodeID, bool)
	// Local answers for this node.
	Local func(r AddPartitions, done func([]kerr.Code))
	Peers Peers
}

const (
	callsMax    = 64               // requests to one node under way, each of which may wait for a transaction to end; what comes meanwhile goes together into the next
	callTimeout = 10 * time.Second // of one request
	queueMax    = 1 << 16          // questions that wait for one node
)

// Client asks transaction coordinators, of this node and of others. It is safe for concurrent use.
type Client struct {
	opt    ClientOptions
	ctx    context.Context // of calls; ends with Close
	cancel context.CancelFunc
	calls  sync.WaitGroup

	mu struct {
		sync.Mutex
		nodes  map[base.NodeID]*outbox
		closed bool
	}
}

// outbox is what waits for one node.
type outbox struct {
	queue   []question
	running int
}

type question struct {
	AddPartitions
	done func([]kerr.Code)
}

// NewClient returns a client. The caller closes it.
func NewClient(opt ClientOptions) *Client {
	c := &Client{opt: opt}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.mu.nodes = map[base.NodeID]*outbox{}
	return c
}

// Close fails what is under way and what comes, and waits for the goroutines.
func (c *Client) Close() {
	c.mu.Lock()
	c.mu.closed = true
	c.mu.Unlock()
	c.cancel()
	c.calls.Wait()
}

// AddPartitions adds partitions to the ongoing transaction of a transactional id, or begins one with them; with VerifyOnly it checks that
// they are in it. done is called exactly once, maybe before the call returns, with a code for each partition in the order given:
//
//   - None.
//   - CONCURRENT_TRANSACTIONS, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, NETWORK_EXCEPTION: may be tried again; after
//     the last two, partitions may have been added all the same, which does no harm.
//   - INVALID_PRODUCER_EPOCH: another producer of the transactional id has taken its place.
//   - TRANSACTION_ABORTABLE: the partition is not in the transaction (VerifyOnly). Clients that do not know this code are told INVALID_TXN_STATE.
//   - INVALID_PRODUCER_ID_MAPPING, INVALID_REQUEST: the producer id is not that of the transactional id.
//
// Questions for the same node travel together while others are under way. What ends the wait is the client's own timeout, ten seconds; ctx is
// for the values it carries.
func (c *Client) AddPartitions(_ context.Context, r AddPartitions, done func([]kerr.Code)) {
	node, ok := c.opt.Coordinator(r.TransactionalID)
	switch {
	case !ok:
		done(all(kerr.CoordinatorNotAvailable, r))
	case node == c.opt.Node:
		c.opt.Local(r, func(codes []kerr.Code) { done(forParticipant(codes)) })
	default:
		c.enqueue(node, question{r, done})
	}
}

// all is one code for every partition.
func all(code kerr.Code, r AddPartitions) []kerr.Code {
	codes := make([]kerr.Code, len(r.Partitions))
	for i := range codes {
		codes[i] = code
	}
	return codes
}

// forParticipant turns a fenced producer into what Produce and TxnOffsetCommit call it. A coordinator that has not heard of a topic yet, whose leader asks,
// soon will.
func forParticipant(codes []kerr.Code) []kerr.Code {
	for i, code := range codes {
		switch code {
		case kerr.ProducerFenced:
			codes[i] = kerr.InvalidProducerEpoch
		case kerr.UnknownTopicOrPartition, kerr.OperationNotAttempted:
			codes[i] = kerr.CoordinatorNotAvailable
		}
	}
	return codes
}

func (c *Client) enqueue(node base.NodeID, q question) {
	c.mu.Lock()
	if c.mu.closed {
		c.mu.Unlock()
		q.done(all(kerr.CoordinatorNotAvailable, q.AddPartitions))
		return
	}
	box := c.mu.nodes[node]
	if box == nil {
		box = &outbox{}
		c.mu.nodes[node] = box
	}
	full := len(box.queue) >= queueMax
	if !full {
		box.queue = append(box.queue, q)
		if box.running < callsMax {
			box.running++
			c.calls.Add(1)
			go c.send(node, box)
		}
	}
	c.mu.Unlock()
	if full {
		q.done(all(kerr.CoordinatorNotAvailable, q.AddPartitions))
	}
}

// send sends what waits for a node, until nothing does.
func (c *Client) send(node base.NodeID, box *outbox) {
	defer c.calls.Done()
	for {
		c.mu.Lock()
		batch := box.queue
		box.queue = nil
		if len(batch) == 0 {
			box.running--
			if box.running == 0 && c.mu.nodes[node] == box {
				delete(c.mu.nodes, node)
			}
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		results := c.ask(node, batch)
		for i, q := range batch {
			q.done(forParticipant(results[i]))
		}
	}
}

// ask asks one node and returns the codes of each question.
func (c *Client) ask(node base.NodeID, batch []question) [][]kerr.Code {
	ctx, cancel := context.WithTimeout(c.ctx, callTimeout)
	defer cancel()
	body, err := c.opt.Peers.AddPartitions(ctx, node, encodeQuestions(batch))
	var results [][]kerr.Code
	code := kerr.NetworkException
	switch {
	case err == nil:
		results, err = decodeAnswers(body, batch)
	case base.IsKind(err, base.Unavailable):
		code = kerr.CoordinatorNotAvailable
	}
	if err != nil {
		results = make([][]kerr.Code, len(batch))
		for i, q := range batch {
			results[i] = all(code, q.AddPartitions)
		}
	}
	return results
}

// encodeQuestions makes one request; its transactions are in the order of the questions, the partitions of each in runs of a topic.
func encodeQuestions(batch []question) []byte {
	req := &msg.AddPartitionsToTxnRequest{}
	req.SetDefaults()
	req.Transactions = make([]msg.AddPartitionsToTxnRequestAddPartitionsToTxnTransaction, len(batch))
	for i, q := range batch {
		t := &req.Transactions[i]
		t.TransactionalId, t.ProducerId, t.ProducerEpoch, t.VerifyOnly = q.TransactionalID, q.ProducerID, q.Epoch, q.VerifyOnly
		for _, p := range q.Partitions {
			if n := len(t.Topics); n == 0 || t.Topics[n-1].Name != p.Topic {
				t.Topics = append(t.Topics, msg.AddPartitionsToTxnRequestAddPartitionsToTxnTopic{Name: p.Topic})
			}
			last := &t.Topics[len(t.Topics)-1]
			last.Partitions = append(last.Partitions, p.Index)
		}
	}
	return req.Append(nil, AddPartitionsVersion)
}

// decodeAnswers reads the codes back, which are in the order of the request.
func decodeAnswers(body []byte, batch []question) ([][]kerr.Code, error) {
	r := kbin.NewReader(body)
	res := &msg.AddPartitionsToTxnResponse{}
	res.Decode(&r, AddPartitionsVersion)
	if err := r.Err(); err != nil {
		return nil, base.Wrap(base.Undetermined, err)
	}
	results := make([][]kerr.Code, len(batch))
	for i, q := range batch {
		if res.ErrorCode != 0 {
			results[i] = all(kerr.Code(res.ErrorCode), q.AddPartitions)
			continue
		}
		if i >= len(res.ResultsByTransaction) {
			return nil, base.Errorf(base.Undetermined, "%d answers to %d questions", len(res.ResultsByTransaction), len(batch))
		}
		for _, t := range res.ResultsByTransaction[i].TopicResults {
			for _, p := range t.ResultsByPartition {
				results[i] = append(results[i], kerr.Code(p.PartitionErrorCode))
			}
		}
		if len(results[i]) != len(q.Partitions) {
			return nil, base.Errorf(base.Undetermined, "%d codes for %d partitions", len(results[i]), len(q.Partitions))
		}
	}
	return results, nil
}
