package handle

import (
	"slices"

	"sluice/broker/auth"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

type (
	fetchedGroup    = msg.OffsetFetchRequestOffsetFetchRequestGroup
	fetchedTopics   = msg.OffsetFetchRequestOffsetFetchRequestTopics
	fetchedTopic    = msg.OffsetFetchRequestOffsetFetchRequestTopic
	offsetsOfTopics = msg.OffsetFetchResponseOffsetFetchResponseTopics
	offsetsOfTopic  = msg.OffsetFetchResponseOffsetFetchResponseTopic
)

// guardOffsetFetch asks for Describe of each group, and of each topic; where all topics of a group were asked for, those that the client may not
// see are left out. What it needs after the answer it works out before, or without the session's memory: the answer may come from another
// goroutine.
func guardOffsetFetch(g *gate, req *msg.OffsetFetchRequest) msg.Message {
	if g.c.Version < 8 {
		return guardOneOffsetFetch(g, req)
	}
	a, who, host := g.a, g.c.session.who, g.c.session.host
	hidden := map[string][]fetchedTopics{}
	groups := split(&req.Groups, func(f *fetchedGroup) bool {
		if !g.group(auth.Describe, f.GroupId) {
			return false
		}
		if f.Topics != nil {
			hidden[f.GroupId] = split(&f.Topics, func(t *fetchedTopics) bool {
				if g.c.Version >= 10 {
					return g.topicID(auth.Describe, t.TopicId)
				}
				return g.topic(auth.Describe, t.Name)
			})
		}
		return true
	})
	asked := map[string]bool{}
	for _, f := range req.Groups {
		asked[f.GroupId] = f.Topics != nil
	}
	img := g.h.opt.Control.Image()
	g.after(func(m msg.Message) {
		resp := m.(*msg.OffsetFetchResponse)
		for i := range resp.Groups {
			out := &resp.Groups[i]
			if out.ErrorCode == 0 && !asked[out.GroupId] {
				out.Topics = slices.DeleteFunc(out.Topics, func(t offsetsOfTopics) bool {
					name := t.Name
					if known, ok := img.TopicByID(t.TopicId); ok {
						name = known.Name
					}
					return !a.Allowed(who, host, auth.Describe, auth.Topic, name)
				})
			}
			for _, t := range hidden[out.GroupId] {
				o := add(&out.Topics)
				o.Name, o.TopicId = t.Name, t.TopicId
				for _, index := range t.PartitionIndexes {
					p := add(&o.Partitions)
					p.PartitionIndex, p.CommittedOffset, p.CommittedLeaderEpoch, p.Metadata, p.ErrorCode = index, -1, -1, new(string), topicRefused
				}
			}
		}
		for _, f := range groups {
			out := add(&resp.Groups)
			out.GroupId, out.ErrorCode = f.GroupId, groupRefused
		}
	})
	return nil
}

// guardOneOffsetFetch is for versions that ask for one group.
func guardOneOffsetFetch(g *gate, req *msg.OffsetFetchRequest) msg.Message {
	if !g.group(auth.Describe, req.GroupId) {
		resp := new(msg.OffsetFetchResponse)
		resp.SetDefaults()
		if resp.ErrorCode = groupRefused; g.c.Version < 2 {
			hideOffsets(resp, req.Topics, groupRefused)
		}
		return resp
	}
	if req.Topics == nil {
		a, who, host := g.a, g.c.session.who, g.c.session.host
		g.after(func(m msg.Message) {
			resp := m.(*msg.OffsetFetchResponse)
			resp.Topics = slices.DeleteFunc(resp.Topics, func(t offsetsOfTopic) bool {
				return !a.Allowed(who, host, auth.Describe, auth.Topic, t.Name)
			})
		})
		return nil
	}
	rest := split(&req.Topics, func(t *fetchedTopic) bool { return g.topic(auth.Describe, t.Name) })
	if len(rest) > 0 {
		g.after(func(m msg.Message) {
			if resp := m.(*msg.OffsetFetchResponse); resp.ErrorCode == int16(kerr.None) {
				hideOffsets(resp, rest, topicRefused)
			}
		})
	}
	return nil
}

func hideOffsets(resp *msg.OffsetFetchResponse, topics []fetchedTopic, code int16) {
	for _, t := range topics {
		o := add(&resp.Topics)
		o.Name = t.Name
		for _, index := range t.PartitionIndexes {
			p := add(&o.Partitions)
			p.PartitionIndex, p.CommittedOffset, p.CommittedLeaderEpoch, p.Metadata, p.ErrorCode = index, -1, -1, new(string), code
		}
	}
}
