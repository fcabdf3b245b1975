package group

import (
	"bytes"

	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// Join serves JoinGroup, versions 0 to 9.
func (c *Coordinator) Join(info CallInfo, req *msg.JoinGroupRequest, reply func(*msg.JoinGroupResponse)) {
	cmd := &joinCommand{
		client: info.client(), group: req.GroupId, identity: identity{req.MemberId, instanceOf(req.GroupInstanceId)},
		sessionTimeoutMS: req.SessionTimeoutMs, rebalanceTimeoutMS: req.RebalanceTimeoutMs,
		protocolType: req.ProtocolType, protocols: make([]protocol, len(req.Protocols)), reason: text(req.Reason),
		idRequired: info.Version >= 4, canSkip: info.Version >= 9,
	}
	if info.Version == 0 {
		cmd.rebalanceTimeoutMS = req.SessionTimeoutMs
	}
	for i, p := range req.Protocols {
		cmd.protocols[i] = protocol{p.Name, bytes.Clone(p.Metadata)}
	}
	answer := func(r joinResult) { reply(joinResponse(r, info.Version)) }
	submit(c, cmd.group, cmd, answer, func(code kerr.Code) {
		answer(joinResult{code: code, generation: -1, member: cmd.identity.member})
	})
}

func joinResponse(r joinResult, version int16) *msg.JoinGroupResponse {
	res := &msg.JoinGroupResponse{
		ErrorCode: int16(r.code), GenerationId: r.generation, Leader: r.leader, SkipAssignment: r.skip, MemberId: r.member,
	}
	if r.code == kerr.None {
		res.ProtocolType, res.ProtocolName = &r.protocolType, &r.protocol
	} else if version < 7 {
		res.ProtocolName = new(string) // null is not allowed yet
	}
	if r.protocol == "" && version >= 7 {
		res.ProtocolName = nil // one without a name is none to Kafka
	}
	makeSlice(&res.Members, len(r.members))
	for i, m := range r.members {
		out := &res.Members[i]
		out.MemberId, out.GroupInstanceId, out.Metadata = m.id, m.instance.pointer(), m.metadata
	}
	return res
}

// Sync serves SyncGroup, versions 0 to 5.
func (c *Coordinator) Sync(info CallInfo, req *msg.SyncGroupRequest, reply func(*msg.SyncGroupResponse)) {
	cmd := &syncCommand{
		group: req.GroupId, identity: identity{req.MemberId, instanceOf(req.GroupInstanceId)}, generation: req.GenerationId,
		protocolType: text(req.ProtocolType), protocol: text(req.ProtocolName), assignments: make([]assignment, len(req.Assignments)),
	}
	for i, a := range req.Assignments {
		cmd.assignments[i] = assignment{a.MemberId, bytes.Clone(a.Assignment)}
	}
	answer := func(r syncResult) {
		res := &msg.SyncGroupResponse{ErrorCode: int16(r.code), Assignment: r.assignment}
		if res.Assignment == nil {
			res.Assignment = []byte{}
		}
		if r.code == kerr.None {
			res.ProtocolType, res.ProtocolName = &r.protocolType, &r.protocol
		}
		reply(res)
	}
	if info.Version >= 5 && (req.ProtocolType == nil || req.ProtocolName == nil) { // they may be null in the schema, but have to be there
		answer(syncResult{code: kerr.InconsistentGroupProtocol})
		return
	}
	submit(c, cmd.group, cmd, answer, func(code kerr.Code) { answer(syncResult{code: code}) })
}

// Heartbeat serves Heartbeat, versions 0 to 4.
func (c *Coordinator) Heartbeat(_ CallInfo, req *msg.HeartbeatRequest, reply func(*msg.HeartbeatResponse)) {
	cmd := &heartbeatCommand{req.GroupId, identity{req.MemberId, instanceOf(req.GroupInstanceId)}, req.GenerationId}
	answer := func(r codeResult) { reply(&msg.HeartbeatResponse{ErrorCode: int16(r.code)}) }
	submit(c, cmd.group, cmd, answer, func(code kerr.Code) {
		if code == kerr.CoordinatorLoadInProgress {
			code = kerr.None // sessions begin anew when the group is loaded; no reason to alarm the member
		}
		answer(codeResult{code})
	})
}

// Leave serves LeaveGroup, versions 0 to 5; from version 3 a request names several members.
func (c *Coordinator) Leave(info CallInfo, req *msg.LeaveGroupRequest, reply func(*msg.LeaveGroupResponse)) {
	cmd := &leaveCommand{group: req.GroupId}
	if info.Version < 3 {
		cmd.members = []leavingMember{{identity: identity{member: req.MemberId}}}
	}
	for _, m := range req.Members {
		cmd.members = append(cmd.members, leavingMember{identity{m.MemberId, instanceOf(m.GroupInstanceId)}, text(m.Reason)})
	}
	answer := func(r leaveResult) {
		res := &msg.LeaveGroupResponse{ErrorCode: int16(r.code)}
		switch {
		case info.Version < 3 && r.code == kerr.None:
			res.ErrorCode = int16(r.members[0])
		case info.Version >= 3:
			makeSlice(&res.Members, len(r.members))
			for i, code := range r.members {
				out := &res.Members[i]
				out.MemberId, out.GroupInstanceId, out.ErrorCode = req.Members[i].MemberId, req.Members[i].GroupInstanceId, int16(code)
			}
		}
		reply(res)
	}
	submit(c, cmd.group, cmd, answer, func(code kerr.Code) { answer(leaveResult{code: code}) })
}

// text is the string a nullable field holds; null and empty mean the same here.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func pointer(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// makeSlice makes a slice of n elements without naming its type.
func makeSlice[S ~[]E, E any](s *S, n int) { *s = make(S, n) }
