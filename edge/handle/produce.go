package handle

// Produce (key 0), versions 3-13; 0 to 2 are advertised (see ApiVersions) and refused.
//
// acks 1 and all both mean durable in the WAL; with acks 0 there is no answer, and a connection whose batch was refused is closed.
// A request may wait for room before any of its batches gets an offset, at most for its own timeout. The first batch of a transaction in a
// partition waits for the transaction's coordinator (produce_txn.go).
//
// While a partition is being moved or opened its batches are held for a moment: the connection is not read on, so that their order stays.
// Then they are appended here, or refused with NOT_LEADER_OR_FOLLOWER and the new leader's name and endpoint (KIP-951, version 10).

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// produceTimeoutMax bounds the wait for room, whatever the request asks for.
const produceTimeoutMax = 5 * time.Minute

// produceCall is a Produce on its way. The request is answered by whoever completes the last of its batches.
type produceCall struct {
	h    *Handler
	call *call
	acks int16
	resp msg.ProduceResponse
	txn  bool         // there are transactional batches
	left atomic.Int32 // batches that are not completed, and one for the handler itself
}

type (
	producedTopic     = msg.ProduceResponseTopicProduceResponse
	producedPartition = msg.ProduceResponsePartitionProduceResponse
)

func (h *Handler) produce(c *call, req *msg.ProduceRequest) {
	p := &produceCall{h: h, call: c, acks: req.Acks}
	p.left.Store(1)
	p.prepare(req)
	switch refused := p.admit(req); {
	case refused != kerr.None:
		p.refuseAll(refused)
		if refused == kerr.InvalidRequiredAcks || refused == kerr.InvalidProducerIDMapping {
			p.tellWrong(req)
		}
	default:
		p.append(req)
	}
	p.completed()
}

// prepare makes the answer's skeleton, in the order of the request.
func (p *produceCall) prepare(req *msg.ProduceRequest) {
	// Kafka leaves topics without partitions out.
	req.TopicData = slices.DeleteFunc(req.TopicData, func(t msg.ProduceRequestTopicProduceData) bool { return len(t.PartitionData) == 0 })
	p.resp.Responses = make([]producedTopic, len(req.TopicData))
	for i := range req.TopicData {
		t, out := &req.TopicData[i], &p.resp.Responses[i]
		out.Name, out.TopicId = t.Name, t.TopicId
		out.PartitionResponses = make([]producedPartition, len(t.PartitionData))
		for j := range t.PartitionData {
			o := &out.PartitionResponses[j]
			o.SetDefaults()
			o.Index, o.BaseOffset = t.PartitionData[j].Index, -1
			p.txn = p.txn || isTransactional(t.PartitionData[j].Records)
		}
	}
}

// needed is how many bytes of a request go to one room.
type needed struct {
	room  partition.Room
	bytes int
}

// rooms returns where the batches of a request go. What is not served here goes nowhere, or is on its way and is not waited for.
func (p *produceCall) rooms(req *msg.ProduceRequest) (all []needed) {
	for i := range req.TopicData {
		t := &req.TopicData[i]
		for j := range t.PartitionData {
			part, err := p.find(t, t.PartitionData[j].Index)
			if err != nil || part.Room() == nil {
				continue
			}
			k := slices.IndexFunc(all, func(n needed) bool { return n.room == part.Room() })
			if k < 0 {
				k = len(all)
				all = append(all, needed{room: part.Room()})
			}
			all[k].bytes += len(t.PartitionData[j].Records)
		}
	}
	return all
}

// admit checks what concerns the whole request, and waits for room wherever something of it goes.
func (p *produceCall) admit(req *msg.ProduceRequest) kerr.Code {
	switch {
	case p.txn && (req.TransactionalId == nil || p.h.opt.TxnClient == nil):
		return kerr.TransactionalIDAuthorizationFailed
	case p.txn && !p.sameProducer(req):
		return kerr.InvalidProducerIDMapping
	case req.Acks < -1 || req.Acks > 1:
		return kerr.InvalidRequiredAcks
	}
	rooms := p.rooms(req)
	if len(rooms) == 0 {
		return kerr.None
	}
	timeout := min(time.Duration(max(req.TimeoutMs, 0))*time.Millisecond, produceTimeoutMax)
	ctx, cancel := context.WithTimeout(p.call.Context(), timeout)
	defer cancel()
	for _, n := range rooms {
		if err := n.room.Admit(ctx, n.bytes); err != nil {
			if base.IsKind(err, base.Fenced) || base.IsKind(err, base.Closed) || base.IsKind(err, base.Failed) {
				return kerr.NotLeaderOrFollower
			}
			return kerr.RequestTimedOut // nothing was appended; clients try again
		}
	}
	return kerr.None
}

// refusalTexts are told with the refusal of a whole request, where Kafka has one.
var refusalTexts = map[kerr.Code]*string{kerr.InvalidProducerIDMapping: text("the transactional batches of the request are of more than one producer")}

func text(s string) *string { return &s }

func (p *produceCall) refuseAll(code kerr.Code) {
	for i := range p.resp.Responses {
		for j := range p.resp.Responses[i].PartitionResponses {
			p.resp.Responses[i].PartitionResponses[j].ErrorCode = int16(code)
			p.resp.Responses[i].PartitionResponses[j].ErrorMessage = refusalTexts[code]
		}
	}
}

// tellWrong says what is wrong with parts of a request by themselves, where all of it is refused: that is looked at before, as in Kafka.
func (p *produceCall) tellWrong(req *msg.ProduceRequest) {
	for i := range req.TopicData {
		for j := range req.TopicData[i].PartitionData {
			if code := p.wrong(&req.TopicData[i], j); code != kerr.None {
				o := &p.resp.Responses[i].PartitionResponses[j]
				o.ErrorCode, o.ErrorMessage = int16(code), nil
			}
		}
	}
}

// wrong says what is wrong with a part of a request by itself: its partition is not known, or its records are none that a request may hold.
func (p *produceCall) wrong(t *msg.ProduceRequestTopicProduceData, at int) kerr.Code {
	_, err := p.find(t, t.PartitionData[at].Index)
	if code := codeOf(err); code == kerr.UnknownTopicOrPartition || code == kerr.UnknownTopicID {
		return code
	}
	if wrong := partition.CheckRequest(t.PartitionData[at].Records, p.call.Version); wrong != nil && err == nil {
		return wrong.Code
	}
	return kerr.None
}

// producedBatch is a batch that has not been appended yet.
type producedBatch struct {
	topic *msg.ProduceRequestTopicProduceData
	at    int // in the topic
	out   *producedPartition
	// verified is the partition that gave the guard, if the batch is of a transaction and the coordinator has said yes.
	verified *partition.Partition
	guard    partition.Guard
	stale    int // how often a marker took the guard away
}

func (b *producedBatch) records() []byte { return b.topic.PartitionData[b.at].Records }

// append appends every batch of the request: what can be at once, then what the coordinator had to be asked about, then what was held.
func (p *produceCall) append(req *msg.ProduceRequest) {
	var held, unverified []producedBatch
	for i := range req.TopicData {
		t, out := &req.TopicData[i], &p.resp.Responses[i]
		for j := range t.PartitionData {
			held, unverified = p.sort(producedBatch{topic: t, at: j, out: &out.PartitionResponses[j]}, true, held, unverified)
		}
	}
	if len(unverified) > 0 {
		held = append(held, p.appendVerified(req, unverified, true)...)
	}
	if len(held) == 0 {
		return
	}
	p.h.hold(p.call.Context(), func() bool {
		held = p.again(req, held, true)
		return len(held) > 0
	})
	p.again(req, held, false)
}

// again tries to append what was held, and returns what still is.
func (p *produceCall) again(req *msg.ProduceRequest, batches []producedBatch, mayHold bool) (held []producedBatch) {
	var unverified []producedBatch
	for _, b := range batches {
		held, unverified = p.sort(b, mayHold, held, unverified)
	}
	if len(unverified) > 0 {
		held = append(held, p.appendVerified(req, unverified, mayHold)...)
	}
	return held
}

// appended says what has become of a batch.
type appended uint8

const (
	isDone       appended = iota // appended, or refused
	isHeld                       // its partition is on its way; nothing was done
	isUnverified                 // the coordinator has to be asked; nothing was done
)

// appendOne appends one batch.
func (p *produceCall) appendOne(b *producedBatch, mayHold bool) (outcome appended) {
	part, err := p.find(b.topic, b.out.Index)
	if err != nil {
		if mayHold && kerr.CodeOf(err) == kerr.NotLeaderOrFollower && p.coming(b.topic, b.out.Index) {
			return isHeld
		}
		p.fill(b.out, partition.AppendResult{Base: -1, LogAppendTime: -1, LogStart: -1, Err: err})
		return isDone
	}
	if mayHold && part.Paused() {
		return isHeld
	}
	if p.txn && b.verified != part && p.unverified(b, part) {
		return isUnverified
	}
	p.left.Add(1)
	out := b.out // not b, which would be allocated
	mayAsk := p.txn && b.stale < staleMax && isTransactional(b.records())
	part.Append(partition.AppendRequest{Batch: b.records(), Version: p.call.Version, Transactional: p.txn, Guard: b.guard}, func(r partition.AppendResult) {
		switch { // these two are before Append has returned
		case r.Held && mayHold:
			outcome = isHeld
			p.left.Add(-1)
			return
		case mayAsk && kerr.CodeOf(r.Err) == kerr.InvalidTxnState:
			outcome = isUnverified
			p.left.Add(-1)
			return
		}
		p.fill(out, r)
		p.completed()
	})
	if outcome == isUnverified {
		b.stale++
		b.verified = nil
	}
	return outcome
}

func (p *produceCall) coming(t *msg.ProduceRequestTopicProduceData, index int32) bool {
	if p.call.Version >= 13 {
		return p.h.opt.Directory.Coming(t.TopicId, index)
	}
	return p.h.opt.Directory.ComingByName(t.Name, index)
}

func (p *produceCall) find(t *msg.ProduceRequestTopicProduceData, index int32) (*partition.Partition, error) {
	name := t.Name
	if p.call.Version >= 13 {
		topic, _ := p.h.opt.Control.Image().TopicByID(t.TopicId)
		name = topic.Name
	}
	if isInternal(name) { // only the coordinators write there
		return nil, kerr.InvalidTopicException.Err()
	}
	if p.call.Version >= 13 {
		return p.h.opt.Directory.Get(t.TopicId, index)
	}
	return p.h.opt.Directory.GetByName(name, index)
}

// fill writes the outcome of one batch into the answer.
func (p *produceCall) fill(o *producedPartition, r partition.AppendResult) {
	o.BaseOffset, o.LogAppendTimeMs, o.LogStartOffset = int64(r.Base), r.LogAppendTime, int64(r.LogStart)
	if r.Err == nil {
		return
	}
	o.BaseOffset, o.ErrorCode, o.ErrorMessage = -1, int16(codeOf(r.Err)), kerr.MessageOf(r.Err)
	for _, e := range r.RecordErrors {
		re := add(&o.RecordErrors)
		re.BatchIndex, re.BatchIndexErrorMessage = e.Index, &e.Message
	}
}

// completed counts one batch down and answers when it was the last.
func (p *produceCall) completed() {
	if p.left.Add(-1) > 0 {
		return
	}
	if p.acks != 0 {
		p.hintLeaders()
		p.call.reply(&p.resp)
		return
	}
	if p.call.denied {
		p.call.Abort("a batch was refused and acks is 0: the client may not write there")
		return
	}
	for i := range p.resp.Responses {
		for j := range p.resp.Responses[i].PartitionResponses {
			if code := p.resp.Responses[i].PartitionResponses[j].ErrorCode; code != 0 {
				p.call.Abort("a batch was refused and acks is 0: " + kerr.Code(code).String())
				return
			}
		}
	}
	p.call.NoReply()
}

// hintLeaders names the present leaders of partitions that this node does not lead (KIP-951).
func (p *produceCall) hintLeaders() {
	if p.call.Version < 10 {
		return
	}
	var img *meta.Image
	named := map[base.NodeID]bool{}
	for i := range p.resp.Responses {
		t := &p.resp.Responses[i]
		for j := range t.PartitionResponses {
			o := &t.PartitionResponses[j]
			if o.ErrorCode != int16(kerr.NotLeaderOrFollower) {
				continue
			}
			if img == nil {
				img = p.h.opt.Control.Image()
			}
			id := t.TopicId
			if p.call.Version < 13 {
				topic, _ := img.TopicByName(t.Name)
				id = topic.ID
			}
			hint, ok := p.h.hint(img, id, o.Index, p.call.Listener())
			if !ok || hint.leader == p.h.opt.Node.ID { // it is here, and takes nothing just now: the client asks again after a pause
				continue
			}
			o.CurrentLeader.LeaderId, o.CurrentLeader.LeaderEpoch = int32(hint.leader), int32(hint.epoch)
			if !named[hint.leader] {
				named[hint.leader] = true
				e := add(&p.resp.NodeEndpoints)
				e.NodeId, e.Rack, e.Host, e.Port = int32(hint.leader), rack(hint.node), hint.host, hint.port
			}
		}
	}
}
