package handle

// ListConfigResources (key 74), versions 0-1. Version 0 asks for client metrics only.

import (
	"strconv"

	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// Types of configuration resources.
const (
	topicResource         int8 = 2
	brokerResource        int8 = 4
	brokerLoggerResource  int8 = 8
	clientMetricsResource int8 = 16
	groupResource         int8 = 32
)

func (h *Handler) listConfigResources(c *call, req *msg.ListConfigResourcesRequest) *msg.ListConfigResourcesResponse {
	img := h.opt.Control.Image()
	resp := new(msg.ListConfigResourcesResponse)
	resp.SetDefaults()
	types := req.ResourceTypes
	switch {
	case c.Version == 0:
		types = []int8{clientMetricsResource}
	case len(types) == 0:
		types = []int8{topicResource, brokerResource, brokerLoggerResource, clientMetricsResource, groupResource}
	}
	seen := map[int8]bool{}
	for _, kind := range types {
		if seen[kind] {
			continue
		}
		seen[kind] = true
		names, ok := configResources(img, kind)
		if !ok {
			resp.ConfigResources, resp.ErrorCode = nil, int16(kerr.UnsupportedVersion)
			return resp
		}
		for _, name := range names {
			r := add(&resp.ConfigResources)
			r.ResourceName, r.ResourceType = name, kind
		}
	}
	return resp
}

func configResources(img *meta.Image, kind int8) (names []string, known bool) {
	switch kind {
	case topicResource:
		for t := range img.Topics() {
			names = append(names, t.Name)
		}
	case brokerResource, brokerLoggerResource:
		for _, n := range liveNodes(img) {
			names = append(names, strconv.Itoa(int(n.ID)))
		}
	case clientMetricsResource:
		for r := range img.ConfigResources(meta.ClientMetricsConfig) {
			names = append(names, r.Name)
		}
	case groupResource:
		for r := range img.ConfigResources(meta.GroupConfig) {
			names = append(names, r.Name)
		}
	default:
		return nil, false
	}
	return names, true
}
