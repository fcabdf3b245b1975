package handle

// The APIs of transactions. Package txn implements them and documents each. AddPartitionsToTxn (24), versions 0-5; AddOffsetsToTxn (25), 0-4; EndTxn (26), 0-5;
// DescribeTransactions (65), 0; ListTransactions (66), 0-2.

import "sluice/wire/msg"

func (h *Handler) addPartitionsToTxn(c *call, req *msg.AddPartitionsToTxnRequest) {
	h.opt.Txns.AddPartitionsToTxn(c.Version, req, func(r *msg.AddPartitionsToTxnResponse) { c.reply(r) })
}

func (h *Handler) addOffsetsToTxn(c *call, req *msg.AddOffsetsToTxnRequest) {
	h.opt.Txns.AddOffsetsToTxn(c.Version, req, func(r *msg.AddOffsetsToTxnResponse) { c.reply(r) })
}

func (h *Handler) endTxn(c *call, req *msg.EndTxnRequest) {
	h.opt.Txns.EndTxn(c.Version, req, func(r *msg.EndTxnResponse) { c.reply(r) })
}

func (h *Handler) describeTransactions(c *call, req *msg.DescribeTransactionsRequest) {
	h.opt.Txns.Describe(req, func(r *msg.DescribeTransactionsResponse) { c.reply(r) })
}

func (h *Handler) listTransactions(c *call, req *msg.ListTransactionsRequest) {
	h.opt.Txns.List(c.Version, req, func(r *msg.ListTransactionsResponse) { c.reply(r) })
}
