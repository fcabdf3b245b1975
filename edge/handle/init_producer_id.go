package handle

// InitProducerId (key 22), versions 0-5: for idempotent producers any node gives an id; transactional ids have their coordinator.

import (
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func (h *Handler) initProducerID(c *call, req *msg.InitProducerIdRequest) {
	if req.TransactionalId != nil {
		h.opt.Txns.InitProducerID(c.Version, req, func(r *msg.InitProducerIdResponse) { c.reply(r) })
		return
	}
	resp := new(msg.InitProducerIdResponse)
	resp.SetDefaults()
	resp.ProducerId, resp.ProducerEpoch = -1, -1
	if c.Version >= 3 && (req.ProducerId == -1) != (req.ProducerEpoch == -1) {
		resp.ErrorCode = int16(kerr.InvalidRequest) // both say which life of a producer goes on, or neither
		c.reply(resp)
		return
	}
	id, err := h.opt.ProducerIDs.Next(c.Context())
	if err != nil {
		// A client retries this one as it does no storage error here.
		resp.ErrorCode = int16(kerr.CoordinatorLoadInProgress)
		h.log.Warn("cannot hand out a producer id", "error", err)
	} else {
		resp.ProducerId, resp.ProducerEpoch = id, 0
	}
	c.reply(resp)
}
