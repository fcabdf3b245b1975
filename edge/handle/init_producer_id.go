package handle

// InitProducerId (key 22), versions 0-5, for idempotent producers. Transactional ids are refused until there are transactions.

import (
	"context"
	stdsync "sync"

	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// producerIDs hands out producer ids from a block that the controller gave; what is left of it at the end is lost.
type producerIDs struct {
	mu        stdsync.Mutex
	next, end int64
}

func (h *Handler) initProducerID(c *call, req *msg.InitProducerIdRequest) *msg.InitProducerIdResponse {
	resp := new(msg.InitProducerIdResponse)
	resp.SetDefaults()
	resp.ProducerId, resp.ProducerEpoch = -1, -1
	if req.TransactionalId != nil {
		resp.ErrorCode = int16(kerr.InvalidRequest)
		h.log.Warn("refused a transactional producer: transactions are not implemented", "transactional_id", *req.TransactionalId, "client", c.client)
		return resp
	}
	if c.Version >= 3 && (req.ProducerId < 0) != (req.ProducerEpoch < 0) {
		resp.ErrorCode = int16(kerr.InvalidRequest) // both say which life of a producer goes on, or neither
		return resp
	}
	id, err := h.producerID(c.Context())
	if err != nil {
		// A client retries this one as it does no storage error here.
		resp.ErrorCode = int16(kerr.CoordinatorLoadInProgress)
		h.log.Warn("cannot hand out a producer id", "error", err)
		return resp
	}
	resp.ProducerId, resp.ProducerEpoch = id, 0
	return resp
}

// producerID returns an id that nobody had before. While a new block is fetched others wait for it.
func (h *Handler) producerID(ctx context.Context) (int64, error) {
	h.ids.mu.Lock()
	defer h.ids.mu.Unlock()
	if h.ids.next == h.ids.end {
		block, err := control.Do[meta.ProducerIDs](ctx, h.opt.Control, &meta.AllocateProducerIDs{Node: h.opt.Node})
		if err != nil {
			return -1, err
		}
		h.ids.next, h.ids.end = block.First, block.First+int64(block.Count)
	}
	h.ids.next++
	return h.ids.next - 1, nil
}
