package handle

// Produce (key 0), versions 3-13; 0 to 2 are advertised (see ApiVersions) and refused.
//
// acks 1 and all both mean durable in the WAL; with acks 0 there is no answer, and a connection whose batch was refused is closed.
// A request may wait for room before any of its batches gets an offset, at most for its own timeout. Batches of transactions are
// refused until there are transactions.

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/broker/partition"
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
	left atomic.Int32 // batches that are not completed, and one for the handler itself
}

type (
	producedTopic     = msg.ProduceResponseTopicProduceResponse
	producedPartition = msg.ProduceResponsePartitionProduceResponse
)

func (h *Handler) produce(c *call, req *msg.ProduceRequest) {
	p := &produceCall{h: h, call: c, acks: req.Acks}
	p.left.Store(1)
	bytes := p.prepare(req)
	switch refused := h.admit(c, req, bytes); {
	case refused != kerr.None:
		p.refuseAll(refused)
	default:
		p.append(req)
	}
	p.completed()
}

// prepare makes the answer's skeleton, in the order of the request, and counts the bytes to be appended.
func (p *produceCall) prepare(req *msg.ProduceRequest) (bytes int) {
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
			bytes += len(t.PartitionData[j].Records)
		}
	}
	return bytes
}

// admit checks what concerns the whole request, and waits for room.
func (h *Handler) admit(c *call, req *msg.ProduceRequest, bytes int) kerr.Code {
	switch {
	case req.Acks < -1 || req.Acks > 1:
		return kerr.InvalidRequiredAcks
	case req.TransactionalId != nil:
		return kerr.TransactionalIDAuthorizationFailed
	case bytes == 0:
		return kerr.None
	}
	timeout := min(time.Duration(max(req.TimeoutMs, 0))*time.Millisecond, produceTimeoutMax)
	ctx, cancel := context.WithTimeout(c.Context(), timeout)
	defer cancel()
	if err := h.opt.Admit(ctx, bytes); err != nil {
		if base.IsKind(err, base.Fenced) || base.IsKind(err, base.Closed) || base.IsKind(err, base.Failed) {
			return kerr.NotLeaderOrFollower
		}
		return kerr.RequestTimedOut // nothing was appended; clients try again
	}
	return kerr.None
}

func (p *produceCall) refuseAll(code kerr.Code) {
	for i := range p.resp.Responses {
		for j := range p.resp.Responses[i].PartitionResponses {
			p.resp.Responses[i].PartitionResponses[j].ErrorCode = int16(code)
		}
	}
}

// append appends every batch of the request.
func (p *produceCall) append(req *msg.ProduceRequest) {
	for i := range req.TopicData {
		t, out := &req.TopicData[i], &p.resp.Responses[i]
		for j := range t.PartitionData {
			o := &out.PartitionResponses[j]
			part, err := p.find(t, o.Index)
			if err != nil {
				p.fill(o, partition.AppendResult{Base: -1, LogAppendTime: -1, LogStart: -1, Err: err})
				p.hintLeader(o, out)
				continue
			}
			p.left.Add(1)
			part.Append(partition.AppendRequest{Batch: t.PartitionData[j].Records, Version: p.call.Version}, func(r partition.AppendResult) {
				p.fill(o, r)
				p.completed()
			})
		}
	}
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
		p.call.reply(&p.resp)
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

// hintLeader names the present leader of a partition that this node does not lead (KIP-951).
func (p *produceCall) hintLeader(o *producedPartition, t *producedTopic) {
	if p.call.Version < 10 || o.ErrorCode != int16(kerr.NotLeaderOrFollower) {
		return
	}
	img := p.h.opt.Control.Image()
	id := t.TopicId
	if p.call.Version < 13 {
		topic, _ := img.TopicByName(t.Name)
		id = topic.ID
	}
	now, ok := img.Partition(id, o.Index)
	leader, code := p.h.leader(img, now)
	if !ok || code != kerr.None {
		return
	}
	o.CurrentLeader.LeaderId, o.CurrentLeader.LeaderEpoch = int32(leader), int32(now.LeaderEpoch)
	for i := range p.resp.NodeEndpoints {
		if p.resp.NodeEndpoints[i].NodeId == int32(leader) {
			return
		}
	}
	if n, ok := img.Node(leader); ok {
		e := add(&p.resp.NodeEndpoints)
		e.NodeId, e.Rack = int32(leader), rack(n)
		e.Host, e.Port = endpoint(n, p.call.Listener())
	}
}
