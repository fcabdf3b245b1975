package handle

// UnregisterBroker (key 64), version 0. Forgets a broker that is gone for good. Kafka forgets a running one too, which then cannot go
// on; here a broker that lives, or whose acknowledged records are not all in the bucket yet, is refused with INVALID_REQUEST and the
// reason.

import (
	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func (h *Handler) unregisterBroker(c *call, req *msg.UnregisterBrokerRequest) *msg.UnregisterBrokerResponse {
	resp := new(msg.UnregisterBrokerResponse)
	resp.SetDefaults()
	resp.ErrorMessage = nil
	if err := h.unregister(c, base.NodeID(req.BrokerId)); err != nil {
		resp.ErrorCode, resp.ErrorMessage = int16(codeOf(err)), messageOf(err)
		return resp
	}
	h.log.Info("a broker was unregistered", "node", req.BrokerId, "client", c.client)
	return resp
}

func (h *Handler) unregister(c *call, id base.NodeID) error {
	n, ok := h.opt.Control.Image().Node(id)
	switch {
	case !ok:
		return kerr.Errorf(kerr.BrokerIDNotRegistered, "Broker ID %d is not currently registered", id)
	case !n.Fenced:
		return kerr.Errorf(kerr.InvalidRequest, "Broker %d is running: stop it first", id)
	}
	_, err := control.Do[meta.Done](c.Context(), h.opt.Control, &meta.UnregisterNode{ID: id})
	switch meta.CodeOf(err) {
	case meta.None:
		return err
	case meta.UnknownNode:
		return kerr.Errorf(kerr.BrokerIDNotRegistered, "%v", err)
	}
	return kerr.Errorf(kerr.InvalidRequest, "%v", err)
}
