package handle

// WriteTxnMarkers (key 27), versions 1-2: transaction markers for partitions that this node leads. Transaction coordinators send them between
// nodes; clients do to abort a transaction that nobody knows of any more (kafka-transactions --abort).

import "sluice/wire/msg"

func (h *Handler) writeTxnMarkers(c *call, req *msg.WriteTxnMarkersRequest) {
	h.opt.Markers.WriteMarkers(c.Context(), req, func(r *msg.WriteTxnMarkersResponse) { c.reply(r) })
}
