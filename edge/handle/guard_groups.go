package handle

import (
	"slices"

	"sluice/broker/auth"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

const groupRefused = int16(kerr.GroupAuthorizationFailed)

// Types of coordinators in FindCoordinator.
const (
	coordinatorGroup int8 = 0
	coordinatorTxn   int8 = 1
	coordinatorShare int8 = 2
)

func guardFindCoordinator(g *gate, req *msg.FindCoordinatorRequest) msg.Message {
	check := func(key string) int16 {
		switch {
		case req.KeyType == coordinatorGroup && !g.group(auth.Describe, key):
			return groupRefused
		case req.KeyType == coordinatorTxn && !g.txn(auth.Describe, key):
			return int16(kerr.TransactionalIDAuthorizationFailed)
		case req.KeyType == coordinatorShare && !g.cluster(auth.ClusterAction):
			return int16(kerr.ClusterAuthorizationFailed)
		}
		return 0
	}
	if g.c.Version < 4 {
		code := check(req.Key)
		if code == 0 {
			return nil
		}
		resp := new(msg.FindCoordinatorResponse)
		resp.SetDefaults()
		text := refusalText(kerr.Code(code))
		resp.ErrorCode, resp.ErrorMessage, resp.NodeId, resp.Port = code, &text, -1, -1
		return resp
	}
	codes := map[string]int16{}
	rest := split(&req.CoordinatorKeys, func(key *string) bool {
		codes[*key] = check(*key)
		return codes[*key] == 0
	})
	if len(rest) == 0 {
		return nil
	}
	refuse := func(resp *msg.FindCoordinatorResponse) *msg.FindCoordinatorResponse {
		for _, key := range rest {
			out := add(&resp.Coordinators)
			text := refusalText(kerr.Code(codes[key]))
			out.Key, out.ErrorCode, out.ErrorMessage, out.NodeId, out.Port = key, codes[key], &text, -1, -1
		}
		return resp
	}
	if len(req.CoordinatorKeys) == 0 {
		resp := new(msg.FindCoordinatorResponse)
		resp.SetDefaults()
		return refuse(resp)
	}
	g.after(func(m msg.Message) { refuse(m.(*msg.FindCoordinatorResponse)) })
	return nil
}

func guardJoinGroup(g *gate, req *msg.JoinGroupRequest) msg.Message {
	if g.group(auth.Read, req.GroupId) {
		return nil
	}
	resp := new(msg.JoinGroupResponse)
	resp.SetDefaults()
	resp.ErrorCode, resp.GenerationId, resp.MemberId = groupRefused, -1, req.MemberId
	if g.c.Version < 7 {
		resp.ProtocolName = new(string)
	}
	return resp
}

func guardSyncGroup(g *gate, req *msg.SyncGroupRequest) msg.Message {
	if g.group(auth.Read, req.GroupId) {
		return nil
	}
	resp := new(msg.SyncGroupResponse)
	resp.SetDefaults()
	resp.ErrorCode, resp.Assignment = groupRefused, []byte{}
	return resp
}

func guardHeartbeat(g *gate, req *msg.HeartbeatRequest) msg.Message {
	if g.group(auth.Read, req.GroupId) {
		return nil
	}
	return refused[msg.HeartbeatResponse](kerr.GroupAuthorizationFailed)
}

func guardLeaveGroup(g *gate, req *msg.LeaveGroupRequest) msg.Message {
	if g.group(auth.Read, req.GroupId) {
		return nil
	}
	return refused[msg.LeaveGroupResponse](kerr.GroupAuthorizationFailed)
}

type committedTopic = msg.OffsetCommitRequestOffsetCommitRequestTopic

func guardOffsetCommit(g *gate, req *msg.OffsetCommitRequest) msg.Message {
	refuse := func(resp *msg.OffsetCommitResponse, topics []committedTopic, code int16) *msg.OffsetCommitResponse {
		for _, t := range topics {
			out := add(&resp.Topics)
			out.Name, out.TopicId = t.Name, t.TopicId
			for _, p := range t.Partitions {
				o := add(&out.Partitions)
				o.PartitionIndex, o.ErrorCode = p.PartitionIndex, code
			}
		}
		return resp
	}
	fresh := func() *msg.OffsetCommitResponse {
		resp := new(msg.OffsetCommitResponse)
		resp.SetDefaults()
		return resp
	}
	if !g.group(auth.Read, req.GroupId) {
		return refuse(fresh(), req.Topics, groupRefused)
	}
	rest := split(&req.Topics, func(t *committedTopic) bool {
		if g.c.Version >= 10 {
			return g.topicID(auth.Read, t.TopicId)
		}
		return g.topic(auth.Read, t.Name)
	})
	switch {
	case len(rest) == 0:
	case len(req.Topics) == 0:
		return refuse(fresh(), rest, topicRefused)
	default:
		g.after(func(m msg.Message) { refuse(m.(*msg.OffsetCommitResponse), rest, topicRefused) })
	}
	return nil
}

func guardOffsetDelete(g *gate, req *msg.OffsetDeleteRequest) msg.Message {
	if !g.group(auth.Delete, req.GroupId) {
		return refused[msg.OffsetDeleteResponse](kerr.GroupAuthorizationFailed)
	}
	rest := split(&req.Topics, func(t *msg.OffsetDeleteRequestOffsetDeleteRequestTopic) bool { return g.topic(auth.Read, t.Name) })
	if len(rest) > 0 {
		g.after(func(m msg.Message) {
			resp := m.(*msg.OffsetDeleteResponse)
			for _, t := range rest {
				out := add(&resp.Topics)
				out.Name = t.Name
				for _, p := range t.Partitions {
					o := add(&out.Partitions)
					o.PartitionIndex, o.ErrorCode = p.PartitionIndex, topicRefused
				}
			}
		})
	}
	return nil
}

func guardDescribeGroups(g *gate, req *msg.DescribeGroupsRequest) msg.Message {
	bits := map[string]int32{}
	rest := split(&req.Groups, func(name *string) bool {
		if !g.group(auth.Describe, *name) {
			return false
		}
		if req.IncludeAuthorizedOperations {
			bits[*name] = g.bits(auth.Group, *name)
		}
		return true
	})
	g.after(func(m msg.Message) {
		resp := m.(*msg.DescribeGroupsResponse)
		for i := range resp.Groups {
			if out := &resp.Groups[i]; req.IncludeAuthorizedOperations && out.ErrorCode == 0 {
				out.AuthorizedOperations = bits[out.GroupId]
			}
		}
		for _, name := range rest {
			out := add(&resp.Groups)
			out.GroupId, out.ErrorCode, out.ErrorMessage = name, groupRefused, nil
		}
	})
	return nil
}

func guardListGroups(g *gate, _ *msg.ListGroupsRequest) msg.Message {
	if g.may(auth.Describe, auth.Cluster, auth.ClusterName) {
		return nil
	}
	a, s := g.a, g.c.session // the answer may come from another goroutine, which must not remember
	who, host := s.who, s.host
	g.after(func(m msg.Message) {
		resp := m.(*msg.ListGroupsResponse)
		resp.Groups = slices.DeleteFunc(resp.Groups, func(l msg.ListGroupsResponseListedGroup) bool {
			return !a.Allowed(who, host, auth.Describe, auth.Group, l.GroupId)
		})
	})
	return nil
}

func guardDeleteGroups(g *gate, req *msg.DeleteGroupsRequest) msg.Message {
	rest := split(&req.GroupsNames, func(name *string) bool { return g.group(auth.Delete, *name) })
	if len(rest) > 0 {
		g.after(func(m msg.Message) {
			resp := m.(*msg.DeleteGroupsResponse)
			for _, name := range rest {
				out := add(&resp.Results)
				out.GroupId, out.ErrorCode = name, groupRefused
			}
		})
	}
	return nil
}
