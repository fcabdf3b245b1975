package handle

// DescribeCluster (key 60), versions 0-2. Only brokers are described: there are no controllers that clients could reach.

import (
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

const (
	brokerEndpoints     = 1
	controllerEndpoints = 2
)

func (h *Handler) describeCluster(c *call, req *msg.DescribeClusterRequest) *msg.DescribeClusterResponse {
	img := h.opt.Control.Image()
	resp := new(msg.DescribeClusterResponse)
	resp.SetDefaults()
	if c.Version >= 1 && req.EndpointType != brokerEndpoints {
		code, text := kerr.UnsupportedEndpointType, "there is no such type of endpoint"
		if req.EndpointType == controllerEndpoints {
			code, text = kerr.MismatchedEndpointType, "this is a broker: only brokers can be described"
		}
		resp.ErrorCode, resp.ErrorMessage = int16(code), &text
		return resp
	}
	resp.EndpointType = brokerEndpoints
	resp.ClusterId = img.ClusterID().String()
	resp.ControllerId = int32(h.controller(img))
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	for n := range img.Nodes() {
		if n.Fenced && !req.IncludeFencedBrokers {
			continue
		}
		b := add(&resp.Brokers)
		b.BrokerId, b.Rack, b.IsFenced = int32(n.ID), rack(n), n.Fenced
		b.Host, b.Port = endpoint(n, c.Listener())
	}
	return resp
}
