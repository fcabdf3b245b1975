package handle

// The APIs of share groups (KIP-932). Packages group and share implement them and document each; here they get to know who is asking.
// ShareGroupHeartbeat (76), 1; ShareGroupDescribe (77), 1; ShareFetch (78), 1-2; ShareAcknowledge (79), 1-2; DescribeShareGroupOffsets (90),
// 0-1; AlterShareGroupOffsets (91), 0; DeleteShareGroupOffsets (92), 0.
//
// With NOT_LEADER the present leader and its endpoint are named (KIP-951). The requests by which brokers keep the state of share groups (83 to
// 87) are not offered: nodes have a protocol of their own.

import (
	"slices"

	"sluice/base"
	"sluice/broker/share"
	"sluice/edge/quota"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// findShareCoordinator finds the coordinators of share partitions, which are named "group:topic id:partition".
func (h *Handler) findShareCoordinator(c *call, req *msg.FindCoordinatorRequest) {
	h.opt.ShareStates.FindCoordinator(c.Version, c.Listener(), req, func(r *msg.FindCoordinatorResponse) {
		for i := range r.Coordinators {
			if o := &r.Coordinators[i]; !share.IsKey(o.Key) {
				text := "the key is not group:topic id:partition"
				o.ErrorCode, o.ErrorMessage, o.NodeId, o.Host, o.Port = int16(kerr.InvalidRequest), &text, int32(base.NoNode), "", -1
			}
		}
		c.reply(r)
	})
}

// sharing reports whether there are share groups in this cluster.
func (h *Handler) sharing() bool { return FeatureLevel(h.opt.Control.Image(), "share.version") >= 1 }

func (h *Handler) shareGroupHeartbeat(c *call, req *msg.ShareGroupHeartbeatRequest) {
	if !h.sharing() {
		c.reply(&msg.ShareGroupHeartbeatResponse{ErrorCode: int16(kerr.UnsupportedVersion)})
		return
	}
	h.opt.Groups.ShareGroupHeartbeat(c.caller(), req, func(r *msg.ShareGroupHeartbeatResponse) { c.reply(r) })
}

func (h *Handler) shareGroupDescribe(c *call, req *msg.ShareGroupDescribeRequest) {
	if !h.sharing() {
		resp := new(msg.ShareGroupDescribeResponse)
		resp.SetDefaults()
		for _, id := range req.GroupIds {
			out := add(&resp.Groups)
			out.GroupId, out.ErrorCode = id, int16(kerr.UnsupportedVersion)
		}
		c.reply(resp)
		return
	}
	h.opt.Groups.ShareGroupDescribe(c.caller(), req, func(r *msg.ShareGroupDescribeResponse) {
		for i := range r.Groups {
			out := &r.Groups[i]
			h.allowAll(c, req.IncludeAuthorizedOperations, out.ErrorCode, &out.AuthorizedOperations)
		}
		c.reply(r)
	})
}

func (h *Handler) describeShareGroupOffsets(c *call, req *msg.DescribeShareGroupOffsetsRequest) {
	img := h.opt.Control.Image()
	type topic = msg.DescribeShareGroupOffsetsRequestDescribeShareGroupOffsetsRequestTopic
	known := func(t *topic) bool {
		_, ok := img.TopicByName(t.TopicName)
		return ok
	}
	for i := range req.Groups {
		topics := &req.Groups[i].Topics
		merged(topics, func(t *topic) string { return t.TopicName }, func(t *topic) *[]int32 { return &t.Partitions }, known)
		for j := range *topics {
			if t := &(*topics)[j]; known(t) {
				once(&t.Partitions, same[int32])
			}
		}
	}
	h.opt.Groups.DescribeShareGroupOffsets(c.caller(), req, func(r *msg.DescribeShareGroupOffsetsResponse) { c.reply(r) })
}

func (h *Handler) alterShareGroupOffsets(c *call, req *msg.AlterShareGroupOffsetsRequest) {
	img := h.opt.Control.Image()
	type topic = msg.AlterShareGroupOffsetsRequestAlterShareGroupOffsetsRequestTopic
	type part = msg.AlterShareGroupOffsetsRequestAlterShareGroupOffsetsRequestPartition
	req.Topics = slices.DeleteFunc(req.Topics, func(t topic) bool {
		_, known := img.TopicByName(t.TopicName)
		return !known && len(t.Partitions) == 0
	})
	merged(&req.Topics, func(t *topic) string { return t.TopicName }, func(t *topic) *[]part { return &t.Partitions }, func(*topic) bool { return true })
	h.opt.Groups.AlterShareGroupOffsets(c.caller(), req, func(r *msg.AlterShareGroupOffsetsResponse) { c.reply(r) })
}

func (h *Handler) deleteShareGroupOffsets(c *call, req *msg.DeleteShareGroupOffsetsRequest) {
	h.opt.Groups.DeleteShareGroupOffsets(c.caller(), req, func(r *msg.DeleteShareGroupOffsetsResponse) { c.reply(r) })
}

func (h *Handler) shareFetch(c *call, req *msg.ShareFetchRequest) {
	if !h.sharing() {
		c.reply(&msg.ShareFetchResponse{ErrorCode: int16(kerr.UnsupportedVersion)})
		return
	}
	req.MaxBytes = int32(min(int(req.MaxBytes), c.limits.AtOnce(quota.Fetch)))
	var mayRead func(base.UUID) bool
	if readable := h.readable(c); readable != nil {
		mayRead = func(topic base.UUID) bool { return readable("", topic) }
	}
	h.opt.Shares.FetchWhere(c.Context(), c.Version, req, mayRead, func(resp *msg.ShareFetchResponse) {
		named, size := map[base.NodeID]bool{}, 0
		for i := range resp.Responses {
			t := &resp.Responses[i]
			for j := range t.Partitions {
				p := &t.Partitions[j]
				size += len(p.Records)
				hint, refused := h.shareLeader(c, t.TopicId, p.PartitionIndex, p.ErrorCode, p.AcknowledgeErrorCode)
				if !refused {
					continue
				}
				p.CurrentLeader.LeaderId, p.CurrentLeader.LeaderEpoch = int32(hint.leader), int32(hint.epoch)
				if hint.leader != base.NoNode && !named[hint.leader] {
					named[hint.leader] = true
					e := add(&resp.NodeEndpoints)
					e.NodeId, e.Rack, e.Host, e.Port = int32(hint.leader), rack(hint.node), hint.host, hint.port
				}
			}
		}
		c.throttleBy(c.limits.Add(quota.Fetch, size))
		c.reply(resp)
	})
}

func (h *Handler) shareAcknowledge(c *call, req *msg.ShareAcknowledgeRequest) {
	if !h.sharing() {
		c.reply(&msg.ShareAcknowledgeResponse{ErrorCode: int16(kerr.UnsupportedVersion)})
		return
	}
	h.opt.Shares.Acknowledge(c.Context(), c.Version, req, func(resp *msg.ShareAcknowledgeResponse) {
		named := map[base.NodeID]bool{}
		for i := range resp.Responses {
			t := &resp.Responses[i]
			for j := range t.Partitions {
				p := &t.Partitions[j]
				hint, refused := h.shareLeader(c, t.TopicId, p.PartitionIndex, p.ErrorCode)
				if !refused {
					continue
				}
				p.CurrentLeader.LeaderId, p.CurrentLeader.LeaderEpoch = int32(hint.leader), int32(hint.epoch)
				if hint.leader != base.NoNode && !named[hint.leader] {
					named[hint.leader] = true
					e := add(&resp.NodeEndpoints)
					e.NodeId, e.Rack, e.Host, e.Port = int32(hint.leader), rack(hint.node), hint.host, hint.port
				}
			}
		}
		c.reply(resp)
	})
}

// shareLeader returns whom an answer names as the leader of a partition: the one that is known, unless it is this node, where NOT_LEADER is answered, and nobody in
// every other refusal. refused is false if nothing was refused; nothing is said of a leader then. Nobody has to be said: the default of the fields is 0, and clients
// take that for a node, to which they turn for ever.
func (h *Handler) shareLeader(c *call, topic base.UUID, index int32, codes ...int16) (who leaderHint, refused bool) {
	for _, code := range codes {
		refused = refused || code != 0
		if code == int16(kerr.NotLeaderOrFollower) || code == int16(kerr.FencedLeaderEpoch) {
			if hint, ok := h.hint(h.opt.Control.Image(), topic, index, c.Listener()); ok && hint.leader != h.opt.Node.ID {
				return hint, true
			}
		}
	}
	return leaderHint{leader: noShareLeader, epoch: noShareLeader}, refused
}
