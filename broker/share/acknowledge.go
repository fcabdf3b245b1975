package share

import (
	"context"

	"sluice/base"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// wireBatch is a batch of acknowledgements as both requests have it.
type wireBatch msg.ShareAcknowledgeRequestAcknowledgementBatch

// ackRequests are the acknowledgements of a request.
type ackRequests struct {
	renew bool // the request may renew locks
	fixed bool // the group's locks can not be renewed
	of    []ackRequest
}

type ackRequest struct {
	place
	batches []ackBatch
	code    kerr.Code // not None: refused already
}

// add checks the acknowledgements of a partition.
func (a *ackRequests) add(p place, batches []wireBatch) {
	if len(batches) == 0 {
		return
	}
	out := ackRequest{place: p}
	last := int64(-1)
	for _, b := range batches {
		if b.FirstOffset < max(last, 0) || b.LastOffset < b.FirstOffset || len(b.AcknowledgeTypes) == 0 ||
			len(b.AcknowledgeTypes) > 1 && int64(len(b.AcknowledgeTypes)) != b.LastOffset-b.FirstOffset+1 {
			out.code = kerr.InvalidRequest
			break
		}
		if b.FirstOffset == last { // Kafka takes that for orderly, and then finds the record in another state
			out.code = kerr.InvalidRecordState
			break
		}
		last = b.LastOffset
		types := make([]AckType, len(b.AcknowledgeTypes))
		for i, t := range b.AcknowledgeTypes {
			types[i] = AckType(t)
			if t < int8(AckGap) || t > int8(AckRenew) || types[i] == AckRenew && !a.renew {
				out.code = kerr.InvalidRequest
			} else if types[i] == AckRenew && a.fixed {
				out.code = kerr.InvalidRecordState
			}
		}
		out.batches = append(out.batches, ackBatch{base.Offset(b.FirstOffset), base.Offset(b.LastOffset), types})
	}
	a.of = append(a.of, out)
}

// acknowledge hands acknowledgements to their share partitions. Every one is reported when it is durable or refused.
func (m *Manager) acknowledge(k sessionKey, acks ackRequests, results *ackResults) {
	for _, a := range acks.of {
		results.expect(a.place)
	}
	for _, a := range acks.of {
		if a.code != kerr.None {
			results.report(a.place, a.code)
			continue
		}
		sp, err := m.part(Key{k.group, a.topic, a.index}, false)
		if err != nil {
			results.report(a.place, err.Code)
			continue
		}
		sp.acknowledge(k.member, a.batches, func(code kerr.Code) {
			if code == kerr.None {
				m.count(a.batches)
			}
			results.report(a.place, code)
		})
	}
}

func (m *Manager) count(batches []ackBatch) {
	for _, b := range batches {
		n := float64(b.last-b.first+1) / float64(len(b.types))
		for _, t := range b.types {
			m.metrics.acknowledged.WithLabelValues(ackNames[t]).Add(n)
		}
	}
}

// Acknowledge serves ShareAcknowledge, versions 1 and 2. deliver is called exactly once. req is not used any more when it has returned.
func (m *Manager) Acknowledge(_ context.Context, version int16, req *msg.ShareAcknowledgeRequest, deliver func(*msg.ShareAcknowledgeResponse)) {
	k := sessionKey{text(req.GroupId), text(req.MemberId)}
	g := m.opt.Group(k.group)
	res := &msg.ShareAcknowledgeResponse{}
	s, err := m.beginAcknowledge(k, req)
	if err != nil {
		res.ErrorCode, res.ErrorMessage = int16(err.Code), pointer(err.Message)
		deliver(res)
		return
	}
	res.AcquisitionLockTimeoutMs = int32(g.LockDuration.Milliseconds())
	acks := ackRequests{renew: req.IsRenewAck && version >= 2, fixed: g.RenewDisabled}
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			batches := make([]wireBatch, len(p.AcknowledgementBatches))
			for k, b := range p.AcknowledgementBatches {
				batches[k] = wireBatch(b)
			}
			acks.add(place{t.TopicId, p.PartitionIndex}, batches)
		}
	}
	results := &ackResults{}
	m.acknowledge(k, acks, results)
	results.then(func(codes map[place]kerr.Code, order []place) {
		if req.ShareSessionEpoch == epochFinal {
			m.close(s)
		}
		for _, p := range order {
			addAcknowledged(res, p, codes[p])
		}
		deliver(res)
	})
}

func (m *Manager) beginAcknowledge(k sessionKey, req *msg.ShareAcknowledgeRequest) (*session, *kerr.Error) {
	if err := k.check(); err != nil {
		return nil, err
	}
	if req.ShareSessionEpoch == epochInitial {
		return nil, kerr.Errorf(kerr.InvalidShareSessionEpoch, "a share session begins with a fetch")
	}
	return m.find(k, req.ShareSessionEpoch)
}

func addAcknowledged(res *msg.ShareAcknowledgeResponse, p place, code kerr.Code) {
	i := 0
	for i < len(res.Responses) && res.Responses[i].TopicId != p.topic {
		i++
	}
	if i == len(res.Responses) {
		res.Responses = append(res.Responses, msg.ShareAcknowledgeResponseShareAcknowledgeTopicResponse{TopicId: p.topic})
	}
	t := &res.Responses[i]
	t.Partitions = append(t.Partitions, msg.ShareAcknowledgeResponsePartitionData{})
	out := &t.Partitions[len(t.Partitions)-1]
	out.SetDefaults()
	out.PartitionIndex, out.ErrorCode = p.index, int16(code)
	if code != kerr.None {
		out.ErrorMessage = pointer(code.String())
	}
}
