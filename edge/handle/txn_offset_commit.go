package handle

// TxnOffsetCommit (key 28), versions 0-5; package group implements it.

import "sluice/wire/msg"

func (h *Handler) txnOffsetCommit(c *call, req *msg.TxnOffsetCommitRequest) {
	h.opt.Groups.TxnOffsetCommit(c.Context(), c.caller(), req, func(r *msg.TxnOffsetCommitResponse) { c.reply(r) })
}
