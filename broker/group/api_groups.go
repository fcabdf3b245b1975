package group

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"sluice/base"
	"sluice/broker/coord"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// What ListGroups calls groups, by their protocol.
const (
	typeName         = "classic"
	consumerTypeName = "consumer"
)

// operationsUnknown stands where the operations a client may do are not told.
const operationsUnknown int32 = math.MinInt32

// Describe serves DescribeGroups, versions 0 to 6. AuthorizedOperations is left to the caller.
func (c *Coordinator) Describe(info CallInfo, req *msg.DescribeGroupsRequest, reply func(*msg.DescribeGroupsResponse)) {
	res := &msg.DescribeGroupsResponse{}
	makeSlice(&res.Groups, len(req.Groups))
	all := newGather(len(req.Groups), func() { reply(res) })
	for i, name := range req.Groups {
		out := &res.Groups[i]
		out.GroupId, out.AuthorizedOperations = name, operationsUnknown
		submit(c, name, &describeCommand{name}, func(r describeResult) {
			out.GroupState, out.ProtocolType, out.ProtocolData = r.state.String(), r.protocolType, r.protocol
			if !r.found && info.Version >= 6 {
				out.ErrorCode = int16(kerr.GroupIDNotFound)
				out.ErrorMessage = pointer(fmt.Sprintf("Group %s not found.", name))
				if r.other {
					out.ErrorMessage = pointer(notClassic(name))
				}
			}
			makeSlice(&out.Members, len(r.members))
			for j, m := range r.members {
				o := &out.Members[j]
				o.MemberId, o.GroupInstanceId, o.ClientId, o.ClientHost = m.id, m.instance.pointer(), m.client.id, m.client.host
				o.MemberMetadata, o.MemberAssignment = notNil(m.metadata), notNil(m.assignment)
			}
			all.done()
		}, func(code kerr.Code) {
			out.ErrorCode = int16(code)
			all.done()
		})
	}
	all.done()
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// List serves ListGroups, versions 0 to 5: the groups this node coordinates, ascending. Names of states and types are taken in any case.
func (c *Coordinator) List(_ CallInfo, req *msg.ListGroupsRequest, reply func(*msg.ListGroupsResponse)) {
	res := &msg.ListGroupsResponse{}
	makeSlice(&res.Groups, 0)
	cmd := &listCommand{}
	for _, s := range req.StatesFilter {
		cmd.states = append(cmd.states, strings.ToLower(strings.TrimSpace(s)))
	}
	shards := c.host.Shards()
	var listed []listedGroup
	all := newGather(len(shards), func() {
		slices.SortFunc(listed, compareGroups)
		if res.ErrorCode == 0 {
			makeSlice(&res.Groups, len(listed))
			for i, g := range listed {
				o := &res.Groups[i]
				o.GroupId, o.ProtocolType, o.GroupState, o.GroupType = g.group, g.protocolType, g.state, g.typ
			}
		}
		reply(res)
	})
	for _, s := range shards {
		s.Submit(coord.Call{Command: cmd, Reply: func(r any) {
			all.with(func() {
				for _, g := range r.(listResult).groups {
					if len(req.TypesFilter) == 0 || slices.ContainsFunc(req.TypesFilter, func(t string) bool { return strings.EqualFold(t, g.typ) }) {
						listed = append(listed, g)
					}
				}
			})
			all.done()
		}, Fail: func(code kerr.Code) {
			if code != kerr.NotCoordinator { // moved away just now: another node lists them
				all.with(func() { res.ErrorCode = int16(code) })
			}
			all.done()
		}})
	}
	all.done()
}

// DeleteGroups serves DeleteGroups, versions 0 to 2.
func (c *Coordinator) DeleteGroups(_ CallInfo, req *msg.DeleteGroupsRequest, reply func(*msg.DeleteGroupsResponse)) {
	res := &msg.DeleteGroupsResponse{}
	makeSlice(&res.Results, len(req.GroupsNames))
	all := newGather(len(req.GroupsNames), func() { reply(res) })
	for i, name := range req.GroupsNames {
		out := &res.Results[i]
		out.GroupId = name
		answer := func(code kerr.Code) {
			out.ErrorCode = int16(code)
			all.done()
		}
		c.endShare(name, answer, func() {
			submit(c, name, &deleteGroupCommand{name}, func(r codeResult) { answer(r.code) }, answer)
		})
	}
	all.done()
}

// keyTypeGroup is the type of a group's coordinator in FindCoordinator.
const keyTypeGroup int8 = 0

// FindCoordinator serves FindCoordinator, versions 0 to 6, for groups: one key up to version 3, several from version 4. The first group to be
// looked for creates __consumer_offsets. Keys of any other type get INVALID_REQUEST: whoever knows that type is asked elsewhere.
func (c *Coordinator) FindCoordinator(info CallInfo, req *msg.FindCoordinatorRequest, reply func(*msg.FindCoordinatorResponse)) {
	if req.KeyType == keyTypeGroup {
		c.host.FindCoordinator(info.Version, info.Listener, req, reply)
		return
	}
	text := fmt.Sprintf("there is no coordinator of type %d here", req.KeyType)
	res := &msg.FindCoordinatorResponse{ErrorCode: int16(kerr.InvalidRequest), ErrorMessage: &text, NodeId: int32(base.NoNode), Port: -1}
	if info.Version >= 4 {
		res = &msg.FindCoordinatorResponse{}
		makeSlice(&res.Coordinators, len(req.CoordinatorKeys))
		for i, key := range req.CoordinatorKeys {
			res.Coordinators[i] = msg.FindCoordinatorResponseCoordinator{
				Key: key, ErrorCode: int16(kerr.InvalidRequest), ErrorMessage: &text, NodeId: int32(base.NoNode), Port: -1}
		}
	}
	reply(res)
}
