package handle

// TxnOffsetCommit (key 28), versions 0-5; package group implements it.

import (
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func (h *Handler) txnOffsetCommit(c *call, req *msg.TxnOffsetCommitRequest) {
	img := h.opt.Control.Image()
	type part = msg.TxnOffsetCommitRequestTxnOffsetCommitRequestPartition
	rest := sift(&req.Topics, func(t *txnOffsets) (absent, meta.Topic) { return byName(img, t.Name) },
		func(t *txnOffsets) *[]part { return &t.Partitions }, func(p *part) int32 { return p.PartitionIndex })
	reply := func(r *msg.TxnOffsetCommitResponse) {
		type topic = msg.TxnOffsetCommitResponseTxnOffsetCommitResponseTopic
		type part = msg.TxnOffsetCommitResponseTxnOffsetCommitResponsePartition
		inFront(rest, &r.Topics, func(a absent) topic { return topic{Name: a.name} }, func(a, b *topic) bool { return a.Name == b.Name },
			func(t *topic) *[]part { return &t.Partitions },
			func(index int32, code kerr.Code) part { return part{PartitionIndex: index, ErrorCode: int16(code)} })
		c.reply(r)
	}
	if len(req.Topics) == 0 {
		reply(new(msg.TxnOffsetCommitResponse))
		return
	}
	h.opt.Groups.TxnOffsetCommit(c.Context(), c.caller(), req, reply)
}
