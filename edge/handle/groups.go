package handle

// The APIs of consumer groups and committed offsets. Package group implements them and documents each; here they get to know who
// is asking. OffsetCommit (8), versions 2-10; OffsetFetch (9), 1-10; FindCoordinator (10), 0-6; JoinGroup (11), 0-9;
// Heartbeat (12), 0-4; LeaveGroup (13), 0-5; SyncGroup (14), 0-5; DescribeGroups (15), 0-6; ListGroups (16), 0-5;
// DeleteGroups (42), 0-2; OffsetDelete (47), 0; ConsumerGroupHeartbeat (68), 0-1; ConsumerGroupDescribe (69), 0-1.
//
// FindCoordinator knows coordinators of groups, of transactions and, from version 6, of share partitions.

import (
	"net"

	"sluice/broker/auth"
	"sluice/broker/group"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// caller says whose request it is.
func (c *call) caller() group.CallInfo {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		host = c.RemoteAddr().String()
	}
	return group.CallInfo{ClientID: c.client, ClientHost: host, Version: c.Version, Listener: c.Listener()}
}

func (h *Handler) offsetCommit(c *call, req *msg.OffsetCommitRequest) {
	img := h.opt.Control.Image()
	find := func(t *committedTopic) (absent, meta.Topic) {
		if c.Version < 10 {
			return byName(img, t.Name)
		}
		topic, ok := img.TopicByID(t.TopicId)
		if !ok {
			return absent{id: t.TopicId, code: kerr.UnknownTopicID}, topic
		}
		return absent{id: t.TopicId, code: kerr.UnknownTopicOrPartition}, topic
	}
	type part = msg.OffsetCommitRequestOffsetCommitRequestPartition
	rest := sift(&req.Topics, find, func(t *committedTopic) *[]part { return &t.Partitions }, func(p *part) int32 { return p.PartitionIndex })
	reply := func(r *msg.OffsetCommitResponse) {
		type topic = msg.OffsetCommitResponseOffsetCommitResponseTopic
		type part = msg.OffsetCommitResponseOffsetCommitResponsePartition
		inFront(rest, &r.Topics, func(a absent) topic { return topic{Name: a.name, TopicId: a.id} },
			func(a, b *topic) bool { return a.Name == b.Name && a.TopicId == b.TopicId }, func(t *topic) *[]part { return &t.Partitions },
			func(index int32, code kerr.Code) part { return part{PartitionIndex: index, ErrorCode: int16(code)} })
		c.reply(r)
	}
	if len(req.Topics) == 0 {
		reply(new(msg.OffsetCommitResponse))
		return
	}
	h.opt.Groups.OffsetCommit(c.caller(), req, reply)
}

func (h *Handler) offsetFetch(c *call, req *msg.OffsetFetchRequest) {
	h.opt.Groups.OffsetFetch(c.caller(), req, func(r *msg.OffsetFetchResponse) { c.reply(r) })
}

// keyTypeTransaction is the type of a transaction's coordinator in FindCoordinator.
const keyTypeTransaction int8 = 1

func (h *Handler) findCoordinator(c *call, req *msg.FindCoordinatorRequest) {
	if req.KeyType == keyTypeTransaction {
		h.opt.Txns.FindCoordinator(c.Version, c.Listener(), req, func(r *msg.FindCoordinatorResponse) { c.reply(r) })
		return
	}
	if req.KeyType == coordinatorShare && c.Version >= 6 {
		h.findShareCoordinator(c, req)
		return
	}
	h.opt.Groups.FindCoordinator(c.caller(), req, func(r *msg.FindCoordinatorResponse) { c.reply(r) })
}

func (h *Handler) joinGroup(c *call, req *msg.JoinGroupRequest) {
	h.opt.Groups.Join(c.caller(), req, func(r *msg.JoinGroupResponse) { c.reply(r) })
}

func (h *Handler) heartbeat(c *call, req *msg.HeartbeatRequest) {
	h.opt.Groups.Heartbeat(c.caller(), req, func(r *msg.HeartbeatResponse) { c.reply(r) })
}

func (h *Handler) leaveGroup(c *call, req *msg.LeaveGroupRequest) {
	h.opt.Groups.Leave(c.caller(), req, func(r *msg.LeaveGroupResponse) { c.reply(r) })
}

func (h *Handler) syncGroup(c *call, req *msg.SyncGroupRequest) {
	h.opt.Groups.Sync(c.caller(), req, func(r *msg.SyncGroupResponse) { c.reply(r) })
}

func (h *Handler) describeGroups(c *call, req *msg.DescribeGroupsRequest) {
	h.opt.Groups.Describe(c.caller(), req, func(r *msg.DescribeGroupsResponse) {
		for i := range r.Groups {
			out := &r.Groups[i]
			h.allowAll(c, req.IncludeAuthorizedOperations, out.ErrorCode, &out.AuthorizedOperations)
		}
		c.reply(r)
	})
}

// allowAll says of a group that was described that the client may do everything to it, if it may and has asked. A guard says so of who may not.
func (h *Handler) allowAll(c *call, asked bool, code int16, operations *int32) {
	if a := h.authorizer(); asked && code == 0 && (a == nil || a.Super(c.session.who)) {
		*operations = groupOperations
	}
}

func (h *Handler) listGroups(c *call, req *msg.ListGroupsRequest) {
	h.opt.Groups.List(c.caller(), req, func(r *msg.ListGroupsResponse) { c.reply(r) })
}

func (h *Handler) deleteGroups(c *call, req *msg.DeleteGroupsRequest) {
	once(&req.GroupsNames, same[string])
	h.opt.Groups.DeleteGroups(c.caller(), req, func(r *msg.DeleteGroupsResponse) { c.reply(r) })
}

func (h *Handler) offsetDelete(c *call, req *msg.OffsetDeleteRequest) {
	rest := siftDeleted(h.opt.Control.Image(), req)
	h.opt.Groups.OffsetDelete(c.caller(), req, func(r *msg.OffsetDeleteResponse) {
		if r.ErrorCode == int16(kerr.None) {
			rest.inFront(r)
		}
		c.reply(r)
	})
}

// notDeleted are the partitions of an OffsetDelete that are not there.
type notDeleted []absent

// siftDeleted leaves the partitions that are there, and returns the others.
func siftDeleted(img *meta.Image, req *msg.OffsetDeleteRequest) notDeleted {
	type topic = msg.OffsetDeleteRequestOffsetDeleteRequestTopic
	type part = msg.OffsetDeleteRequestOffsetDeleteRequestPartition
	return sift(&req.Topics, func(t *topic) (absent, meta.Topic) { return byName(img, t.Name) },
		func(t *topic) *[]part { return &t.Partitions }, func(p *part) int32 { return p.PartitionIndex })
}

func (n notDeleted) inFront(r *msg.OffsetDeleteResponse) {
	type topic = msg.OffsetDeleteResponseOffsetDeleteResponseTopic
	type part = msg.OffsetDeleteResponseOffsetDeleteResponsePartition
	inFront(n, &r.Topics, func(a absent) topic { return topic{Name: a.name} }, func(a, b *topic) bool { return a.Name == b.Name },
		func(t *topic) *[]part { return &t.Partitions },
		func(index int32, code kerr.Code) part { return part{PartitionIndex: index, ErrorCode: int16(code)} })
}

// consuming reports whether groups of the consumer protocol are in use.
func (h *Handler) consuming() bool { return FeatureLevel(h.opt.Control.Image(), "group.version") >= 1 }

func (h *Handler) consumerGroupHeartbeat(c *call, req *msg.ConsumerGroupHeartbeatRequest) {
	if !h.consuming() {
		resp := new(msg.ConsumerGroupHeartbeatResponse)
		resp.SetDefaults()
		resp.ErrorCode = int16(kerr.UnsupportedVersion)
		c.reply(resp)
		return
	}
	info := c.caller()
	if a := h.authorizer(); a != nil {
		who, host := c.session.who, c.session.host
		info.Describes = func(topic string) bool { return a.Allowed(who, host, auth.Describe, auth.Topic, topic) }
	}
	h.opt.Groups.ConsumerGroupHeartbeat(info, req, func(r *msg.ConsumerGroupHeartbeatResponse) { c.reply(r) })
}

func (h *Handler) consumerGroupDescribe(c *call, req *msg.ConsumerGroupDescribeRequest) {
	if !h.consuming() {
		resp := new(msg.ConsumerGroupDescribeResponse)
		resp.SetDefaults()
		for _, id := range req.GroupIds {
			out := add(&resp.Groups)
			out.GroupId, out.ErrorCode = id, int16(kerr.UnsupportedVersion)
		}
		c.reply(resp)
		return
	}
	h.opt.Groups.ConsumerGroupDescribe(c.caller(), req, func(r *msg.ConsumerGroupDescribeResponse) {
		for i := range r.Groups {
			out := &r.Groups[i]
			h.allowAll(c, req.IncludeAuthorizedOperations, out.ErrorCode, &out.AuthorizedOperations)
		}
		c.reply(r)
	})
}
