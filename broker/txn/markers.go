package txn

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// MarkerWriter writes markers into the partitions that one node leads. done is called exactly once, maybe before WriteMarkers returns, with what came of
// it for each partition; where the marker is durable that is NONE, and for __consumer_offsets the group coordinator has heeded it too.
type MarkerWriter interface {
	WriteMarkers(ctx context.Context, req *msg.WriteTxnMarkersRequest, done func(*msg.WriteTxnMarkersResponse))
}

// Leaders finds the leader of a partition. exists is false where the partition is known not to exist; a node of base.NoNode means that none leads it
// at the moment.
type Leaders func(p TopicPartition) (node base.NodeID, exists bool)

// WriterOf returns what writes markers on a node.
type WriterOf func(node base.NodeID) MarkerWriter

const (
	markersMax       = 5000                  // partitions in one request
	markerTimeout    = 30 * time.Second      // of one request
	markerRetryMin   = 20 * time.Millisecond // before a partition is tried again
	markerRetryMax   = time.Second
	markerWarnAfter  = 30 * time.Second      // of trying in vain
	markersVersion   = 2                     // of WriteTxnMarkers, between nodes
	transactionsSent = 500                   // in one request
	markerPatience   = 20 * time.Millisecond // of what waits for a request to the same node, before it goes beside it
	requestsMax      = 16                    // to one node at a time
)

// life is the time in which one machine owns its partition. What a machine that is gone has asked for is not done any more.
type life struct{ over atomic.Bool }

// sender tells verdicts to the leaders of partitions, until they are told or the machine that asked is gone.
//
// To one node there is at most one request under way that names a partition, so what is asked for twice (by a machine, and by its successor of the
// same process) arrives in order. What comes while one is under way waits for it a little, to go with others, and then goes in a request of its own,
// without the partitions that are being told: a partition that is slow holds up what was told with it, and nothing after.
type sender struct {
	leaders Leaders
	writer  WriterOf
	log     *slog.Logger
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu struct {
		sync.Mutex
		nodes  map[base.NodeID]*queue
		closed bool
	}
}

// queue is what one node is to be told.
type queue struct {
	parcels []parcel                    // not under way
	busy    map[TopicPartition]struct{} // named by requests that are under way
	flights int                         // those requests
	due     *time.Timer                 // of the next request beside them; not nil while there are any
	rested  bool                        // the timer has fired since the last request, or one has come back
}

// parcel is the part of a delivery that goes to one node.
type parcel struct {
	*delivery
	life       *life
	told       func(partitions []TopicPartition)
	partitions []TopicPartition
	attempt    int
	warned     bool
}

func newSender(leaders Leaders, writer WriterOf, log *slog.Logger) *sender {
	s := &sender{leaders: leaders, writer: writer, log: log}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.mu.nodes = map[base.NodeID]*queue{}
	return s
}

// Close stops telling and waits for the goroutines.
func (s *sender) Close() {
	s.mu.Lock()
	s.mu.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
}

// send begins to tell a verdict. told is called with partitions that know it, each once.
func (s *sender) send(d *delivery, l *life, told func(partitions []TopicPartition)) {
	s.route(parcel{delivery: d, life: l, told: told, partitions: d.partition})
}

// route hands a parcel to the leaders of its partitions as they are now.
func (s *sender) route(p parcel) {
	if p.life.over.Load() {
		return
	}
	byNode := map[base.NodeID][]TopicPartition{}
	var order []base.NodeID
	var gone []TopicPartition
	for _, tp := range p.partitions {
		node, exists := s.leaders(tp)
		if !exists {
			gone = append(gone, tp)
			continue
		}
		if _, ok := byNode[node]; !ok {
			order = append(order, node)
		}
		byNode[node] = append(byNode[node], tp)
	}
	if len(gone) > 0 {
		s.log.Info("partitions of a transaction that is ending do not exist any more", "transactional_id", p.id, "partitions", len(gone), "first", gone[0].Topic)
		p.told(gone)
	}
	for _, node := range order {
		part := p
		if part.partitions = byNode[node]; node == base.NoNode {
			s.later(part)
			continue
		}
		s.enqueue(node, part)
	}
}

// later routes a parcel again after a while, the longer the more often it came back.
func (s *sender) later(p parcel) {
	if since := time.Since(p.began); since > markerWarnAfter && !p.warned {
		p.warned = true
		s.log.Warn("a transaction's end cannot be told to all partitions yet", "transactional_id", p.id, "partitions", len(p.partitions), "first", p.partitions[0], "for", since.Round(time.Second))
	}
	delay := min(markerRetryMin<<min(p.attempt, 10), markerRetryMax)
	p.attempt++
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return
	}
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		select {
		case <-time.After(delay/2 + rand.N(delay/2+1)):
			s.route(p)
		case <-s.ctx.Done():
		}
	}()
}

func (s *sender) enqueue(node base.NodeID, p parcel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return
	}
	q := s.mu.nodes[node]
	if q == nil {
		q = &queue{busy: map[TopicPartition]struct{}{}}
		s.mu.nodes[node] = q
	}
	q.parcels = append(q.parcels, p)
	s.pump(node, q)
}

// pump sends a request if one may go now, and forgets the queue when nothing is left. The caller holds the lock.
func (s *sender) pump(node base.NodeID, q *queue) {
	if s.mu.closed || q.flights >= requestsMax || q.flights > 0 && !q.rested {
		return
	}
	batch := q.take()
	if len(batch) == 0 {
		if q.flights == 0 {
			delete(s.mu.nodes, node)
		} else if len(q.parcels) > 0 { // all of partitions that are being told: looked through again now and then, not for each that comes
			q.rested = false
			s.rest(node, q)
		}
		return
	}
	for _, p := range batch {
		for _, tp := range p.partitions {
			q.busy[tp] = struct{}{}
		}
	}
	q.flights++
	q.rested = false
	s.rest(node, q)
	s.running.Add(1)
	go s.work(node, q, batch)
}

// rest has the next request go after a while, should those under way take longer. The caller holds the lock.
func (s *sender) rest(node base.NodeID, q *queue) {
	if q.due != nil {
		q.due.Stop()
	}
	q.due = time.AfterFunc(markerPatience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		q.rested = true
		if q.flights > 0 {
			s.pump(node, q)
		}
	})
}

// work sends one request, and then what has waited for it.
func (s *sender) work(node base.NodeID, q *queue, batch []parcel) {
	defer s.running.Done()
	s.deliver(node, batch)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range batch {
		for _, tp := range p.partitions {
			delete(q.busy, tp)
		}
	}
	if q.flights--; q.flights == 0 {
		q.due.Stop()
	}
	q.rested = true
	s.pump(node, q)
}

// take takes out what the next request holds: in order, and without partitions that are being told something.
func (q *queue) take() (batch []parcel) {
	partitions := 0
	var kept []parcel
	held := map[TopicPartition]bool{} // by a parcel that stays: nothing overtakes it
	for i, p := range q.parcels {
		if len(batch) == transactionsSent || len(batch) > 0 && partitions+len(p.partitions) > markersMax {
			kept = append(kept, q.parcels[i:]...)
			break
		}
		if p.life.over.Load() {
			continue
		}
		now, stays := p, p
		now.partitions, stays.partitions = nil, nil
		for _, tp := range p.partitions {
			if _, busy := q.busy[tp]; busy || held[tp] {
				held[tp] = true
				stays.partitions = append(stays.partitions, tp)
			} else {
				now.partitions = append(now.partitions, tp)
			}
		}
		if len(now.partitions) > 0 {
			partitions += len(now.partitions)
			batch = append(batch, now)
		}
		if len(stays.partitions) > 0 {
			kept = append(kept, stays)
		}
	}
	q.parcels = kept
	return batch
}

// deliver sends one request and sees to what is said of each partition.
func (s *sender) deliver(node base.NodeID, batch []parcel) {
	req := &msg.WriteTxnMarkersRequest{Markers: make([]msg.WriteTxnMarkersRequestWritableTxnMarker, len(batch))}
	for i, p := range batch {
		m := &req.Markers[i]
		m.ProducerId, m.ProducerEpoch, m.TransactionResult = p.producer.id, p.producer.epoch, p.commit
		m.CoordinatorEpoch, m.TransactionVersion = p.epoch, int8(p.version)
		for _, tp := range p.partitions {
			if n := len(m.Topics); n == 0 || m.Topics[n-1].Name != tp.Topic {
				m.Topics = append(m.Topics, msg.WriteTxnMarkersRequestWritableTxnMarkerTopic{Name: tp.Topic})
			}
			t := &m.Topics[len(m.Topics)-1]
			t.PartitionIndexes = append(t.PartitionIndexes, tp.Index)
		}
	}
	ctx, cancel := context.WithTimeout(s.ctx, markerTimeout)
	defer cancel()
	answered := make(chan *msg.WriteTxnMarkersResponse, 1)
	s.writer(node).WriteMarkers(ctx, req, func(res *msg.WriteTxnMarkersResponse) { answered <- res })
	var res *msg.WriteTxnMarkersResponse
	select {
	case res = <-answered:
	case <-s.ctx.Done():
		return
	}
	for i, p := range batch {
		s.answered(p, codesOf(res, i))
	}
}

// codesOf returns what the i-th marker of a request was answered, by partition.
func codesOf(res *msg.WriteTxnMarkersResponse, i int) map[TopicPartition]kerr.Code {
	codes := map[TopicPartition]kerr.Code{}
	if res == nil || i >= len(res.Markers) {
		return codes
	}
	for _, t := range res.Markers[i].Topics {
		for _, p := range t.Partitions {
			codes[TopicPartition{t.Name, p.PartitionIndex}] = kerr.Code(p.ErrorCode)
		}
	}
	return codes
}

// answered tells the machine of the partitions that know the verdict and has the others tried again.
func (s *sender) answered(p parcel, codes map[TopicPartition]kerr.Code) {
	var told, again []TopicPartition
	for _, tp := range p.partitions {
		switch code, ok := codes[tp]; {
		case ok && code == kerr.None:
			told = append(told, tp)
		case ok && code == kerr.InvalidProducerEpoch:
			// The leader knows a higher epoch of the producer. It was given only after this transaction was complete, or its partition had
			// been told by an administrator: either way nothing of it is open there.
			s.log.Warn("a partition of a transaction that is ending knows a later epoch of its producer", "transactional_id", p.id, "topic", tp.Topic, "partition", tp.Index, "producer_id", p.producer.id, "epoch", p.producer.epoch)
			told = append(told, tp)
		case ok && (code == kerr.UnsupportedVersion || code == kerr.UnsupportedForMessageFormat):
			told = append(told, tp) // then it has no data of the transaction either
		default:
			again = append(again, tp)
		}
	}
	if len(told) > 0 && !p.life.over.Load() {
		p.told(told)
	}
	if len(again) > 0 {
		p.partitions = again
		s.later(p)
	}
}
