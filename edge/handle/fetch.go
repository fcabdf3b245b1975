package handle

// Fetch (key 1), versions 4-18. Sessions, limits, waiting and contact are package fetch's. The records of the answer are written to the
// socket from the memory they lie in. Who is above his quota gets what was read for him, and waits after it: Kafka keeps it back, but reading
// it again would cost requests to the bucket. With NOT_LEADER the present leader and its endpoint are named (KIP-951).

import (
	"sluice/base"
	"sluice/broker/auth"
	"sluice/edge/kafka"
	"sluice/edge/quota"
	"sluice/wire/kbin"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func (h *Handler) fetch(c *call, req *msg.FetchRequest) {
	req.MaxBytes = int32(min(int(req.MaxBytes), c.limits.AtOnce(quota.Fetch)))
	h.opt.Fetcher.FetchWhere(c.Context(), c.Version, req, h.readable(c), func(resp *msg.FetchResponse, release func()) {
		if c.Version >= 16 {
			h.hintLeaders(c, resp)
		}
		segments := c.gather(resp)
		if c.limits.Limited(quota.Fetch) {
			size := 0
			for _, s := range segments {
				size += len(s)
			}
			c.throttleBy(c.limits.Add(quota.Fetch, size))
		}
		if c.throttle > 0 {
			tellThrottle(resp, c.throttle)
			segments = c.gather(resp)
		}
		c.Reply(kafka.Reply{Segments: segments, Release: release})
	})
}

// gather encodes an answer around the records, which stay where they are.
func (c *call) gather(resp *msg.FetchResponse) [][]byte {
	var g kbin.Gather
	g.SetScratch(c.responseHeader(g.Scratch()))
	resp.AppendGather(&g, c.Version)
	return g.Segments()
}

// readable says which topics the client may read, in whatever way they are named; nil means all. A topic that is named by an id and does not
// exist is left to others to judge.
func (h *Handler) readable(c *call) func(name string, id base.UUID) bool {
	a := h.authorizer()
	if a == nil || a.Super(c.session.who) {
		return nil
	}
	g := &gate{h, c, a}
	byName := c.Key == msg.KeyFetch && c.Version < 13
	return func(name string, id base.UUID) bool {
		if name == "" && (!byName || !id.IsZero()) { // no id is one that does not exist
			return g.topicID(auth.Read, id)
		}
		return g.topic(auth.Read, name)
	}
}

// hintLeaders adds endpoints for the leaders that the answer names.
func (h *Handler) hintLeaders(c *call, resp *msg.FetchResponse) {
	img := h.opt.Control.Image()
	named := map[base.NodeID]bool{}
	for i := range resp.Responses {
		t := &resp.Responses[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if p.ErrorCode != int16(kerr.NotLeaderOrFollower) && p.ErrorCode != int16(kerr.FencedLeaderEpoch) {
				continue
			}
			hint, ok := h.hint(img, t.TopicId, p.PartitionIndex, c.Listener())
			if !ok || hint.leader == h.opt.Node.ID && p.ErrorCode == int16(kerr.NotLeaderOrFollower) {
				continue
			}
			p.CurrentLeader.LeaderId, p.CurrentLeader.LeaderEpoch = int32(hint.leader), int32(hint.epoch)
			if !named[hint.leader] {
				named[hint.leader] = true
				e := add(&resp.NodeEndpoints)
				e.NodeId, e.Rack, e.Host, e.Port = int32(hint.leader), rack(hint.node), hint.host, hint.port
			}
		}
	}
}
