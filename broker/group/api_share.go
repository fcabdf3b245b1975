package group

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/base"
	"sluice/broker/share"
	"sluice/broker/topicconfig"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// ShareStates keeps the state of share partitions. *share.Client implements it. The methods block; errors are *kerr.Error.
type ShareStates interface {
	Initialize(ctx context.Context, k share.Key, stateEpoch int32, start base.Offset) error
	Summary(ctx context.Context, k share.Key) (share.State, error)
	Delete(ctx context.Context, k share.Key) error
	// End returns the end of what can be read of a partition, -1 if it is not known.
	End(ctx context.Context, topic base.UUID, index int32) base.Offset
}

func (c *Coordinator) shareRules() shareRules {
	r := shareRules{sharesMax: c.config.ShareMaxSize, shareMS: c.opt.ShareMS}
	if r.shareMS == nil {
		r.shareMS = func(group, name string) int64 {
			var own map[string]string
			if c.opt.GroupConfig != nil {
				own = c.opt.GroupConfig(group)
			}
			return topicconfig.GroupInt(name, own, nil)
		}
	}
	return r
}

// goAside runs fn on a goroutine that Close waits for. False if the coordinator is closed.
func (c *Coordinator) goAside(fn func()) bool {
	c.aside.Lock()
	defer c.aside.Unlock()
	if c.aside.closed {
		return false
	}
	c.aside.running.Go(fn)
	return true
}

// insistDelay is the pause before a command that has to be taken in is submitted again.
const insistDelay = 100 * time.Millisecond

// insist submits a command that others wait for, again and again while the shard is too busy to take it in. Any other refusal means that it was carried out, or
// that the machine that waited for it is gone.
func insist[R any](c *Coordinator, group string, command any, reply func(R), fail func(kerr.Code)) {
	insistOn(c, func(refused func(kerr.Code)) { submit(c, group, command, reply, refused) }, fail)
}

func insistOn(c *Coordinator, try func(refused func(kerr.Code)), fail func(kerr.Code)) {
	try(func(code kerr.Code) {
		again := func() {
			select {
			case <-c.ctx.Done():
				fail(code)
			case <-time.After(insistDelay):
				insistOn(c, try, fail)
			}
		}
		if code != kerr.CoordinatorNotAvailable || !c.goAside(again) {
			fail(code)
		}
	})
}

// charge submits a command whose answer may charge the caller with work that others wait for. If the answer cannot be given the work is given back.
func charge[R any](c *Coordinator, group string, command any, reply func(R), fail func(kerr.Code)) {
	submit(c, group, command, reply, func(code kerr.Code) {
		if code == kerr.NotCoordinator { // the other codes are those of commands that were not taken in
			insist(c, group, &shareReturned{group, command}, func(codeResult) {}, func(kerr.Code) {})
		}
		fail(code)
	})
}

// sharesAtOnce bounds the share partitions of one request that the share coordinators are asked for at the same time.
const sharesAtOnce = 16

// eachShare calls fn for all partitions, several at a time, and returns when all are done.
func eachShare[T any](all []T, fn func(i int, t T)) {
	var wg sync.WaitGroup
	sem := make(chan struct{}, sharesAtOnce)
	for i, t := range all {
		sem <- struct{}{}
		wg.Go(func() {
			defer func() { <-sem }()
			fn(i, t)
		})
	}
	wg.Wait()
}

// ShareGroupHeartbeat serves ShareGroupHeartbeat, version 1.
func (c *Coordinator) ShareGroupHeartbeat(info CallInfo, req *msg.ShareGroupHeartbeatRequest, reply func(*msg.ShareGroupHeartbeatResponse)) {
	answer := func(r shareBeatResult) { reply(shareBeatResponse(r)) }
	refuse := func(code kerr.Code, format string) {
		answer(shareBeatResult{beatResult: *refuseBeat(code, "%s", format)})
	}
	switch {
	case c.opt.Shares == nil:
		refuse(kerr.UnsupportedVersion, "")
		return
	case strings.TrimSpace(req.GroupId) == "":
		refuse(kerr.InvalidRequest, "GroupId can't be empty.")
		return
	case strings.TrimSpace(req.MemberId) == "":
		refuse(kerr.InvalidRequest, "MemberId can't be empty.")
		return
	case len(req.MemberId) > share.MemberIDMax:
		refuse(kerr.InvalidRequest, "MemberId is too long.")
		return
	case req.RackId != nil && strings.TrimSpace(*req.RackId) == "":
		refuse(kerr.InvalidRequest, "RackId can't be empty.")
		return
	case req.MemberEpoch < epochLeave:
		refuse(kerr.InvalidRequest, "MemberEpoch is invalid.")
		return
	case req.MemberEpoch == epochJoin && len(req.SubscribedTopicNames) == 0:
		refuse(kerr.InvalidRequest, "SubscribedTopicNames must be set in first request.")
		return
	}
	cmd := &shareBeat{client: info.client(), group: req.GroupId, member: req.MemberId, epoch: req.MemberEpoch}
	if req.RackId != nil {
		rack := *req.RackId
		cmd.rack = &rack
	}
	if req.SubscribedTopicNames != nil {
		topics := slices.Clone(req.SubscribedTopicNames)
		cmd.topics = &topics
	}
	fail := func(code kerr.Code) { refuse(code, "") }
	charge(c, cmd.group, cmd, func(r shareBeatResult) {
		if len(r.begin) == 0 || !c.goAside(func() { c.beginShares(cmd, r, answer) }) {
			answer(r)
		}
	}, fail)
}

// beginShares has the state of partitions begin, and then carries out the heartbeat once more.
func (c *Coordinator) beginShares(cmd *shareBeat, r shareBeatResult, answer func(shareBeatResult)) {
	var mu sync.Mutex
	var begun []partitionID
	eachShare(r.begin, func(_ int, p partitionID) {
		err := c.opt.Shares.Initialize(c.ctx, share.Key{Group: cmd.group, Topic: p.Topic, Index: p.Index}, r.stateEpoch, share.NoOffset)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			begun = append(begun, p)
		} else {
			c.log.Info("cannot begin a share partition", "group", cmd.group, "topic", p.Topic, "partition", p.Index, "error", err)
		}
	})
	original := func(kerr.Code) { answer(r) }
	insist(c, cmd.group, &shareBegun{cmd.group, begun}, func(s codeResult) {
		if s.code != kerr.None || len(begun) == 0 {
			answer(r)
			return
		}
		again := *cmd
		if again.epoch != epochJoin {
			again.epoch = r.epoch
		}
		charge(c, cmd.group, &again, func(second shareBeatResult) {
			switch {
			case second.code != kerr.None:
				answer(r)
				return
			case len(second.begin) > 0: // more topics meanwhile: with the next heartbeat
				insist(c, cmd.group, &shareBegun{cmd.group, nil}, func(codeResult) {}, func(kerr.Code) {})
			}
			if second.assigned == nil {
				second.assigned = r.assigned
			}
			answer(second)
		}, original)
	}, original)
}

func shareBeatResponse(r shareBeatResult) *msg.ShareGroupHeartbeatResponse {
	res := &msg.ShareGroupHeartbeatResponse{
		ErrorCode: int16(r.code), ErrorMessage: pointer(r.message), MemberId: pointer(r.member), MemberEpoch: r.epoch, HeartbeatIntervalMs: r.beatMS,
	}
	if r.assigned != nil {
		res.Assignment = &msg.ShareGroupHeartbeatResponseAssignment{}
		makeSlice(&res.Assignment.TopicPartitions, 0)
		for _, run := range byTopic(*r.assigned, func(p partitionID) partitionID { return p }) {
			growSlice(&res.Assignment.TopicPartitions)
			out := &res.Assignment.TopicPartitions[len(res.Assignment.TopicPartitions)-1]
			out.TopicId, out.Partitions = run[0].Topic, indexes(run)
		}
	}
	return res
}

// ShareGroupDescribe serves ShareGroupDescribe, version 1. AuthorizedOperations is left to the caller.
func (c *Coordinator) ShareGroupDescribe(_ CallInfo, req *msg.ShareGroupDescribeRequest, reply func(*msg.ShareGroupDescribeResponse)) {
	res := &msg.ShareGroupDescribeResponse{}
	makeSlice(&res.Groups, len(req.GroupIds))
	for i, name := range req.GroupIds {
		out := &res.Groups[i]
		out.SetDefaults()
		out.GroupId = name
		makeSlice(&out.Members, 0)
	}
	describeEach(c, req.GroupIds, func(name string) any { return &describeShare{name} }, func(i int, r describeShareResult) {
		out := &res.Groups[i]
		out.ErrorCode, out.ErrorMessage = int16(r.code), pointer(r.message)
		if r.code == kerr.None {
			out.GroupState, out.GroupEpoch, out.AssignmentEpoch, out.AssignorName = r.status, r.epoch, r.targetEpoch, shareAssignor
		}
		makeSlice(&out.Members, len(r.members))
		view := c.opt.Cluster.Topics()
		for j, mb := range r.members {
			o := &out.Members[j]
			o.MemberId, o.RackId, o.MemberEpoch, o.ClientId, o.ClientHost = mb.id, pointer(mb.rack), mb.epoch, mb.client.id, mb.client.host
			o.SubscribedTopicNames = mb.topics
			makeSlice(&o.Assignment.TopicPartitions, 0)
			for _, run := range byTopic(mb.assigned, func(p partitionID) partitionID { return p }) {
				if name, ok := view.ByID(run[0].Topic); ok {
					growSlice(&o.Assignment.TopicPartitions)
					t := &o.Assignment.TopicPartitions[len(o.Assignment.TopicPartitions)-1]
					t.TopicId, t.TopicName, t.Partitions = run[0].Topic, name, indexes(run)
				}
			}
		}
	}, func(i int, code kerr.Code) { res.Groups[i].ErrorCode = int16(code) }, func() { reply(res) })
}

// shareAssignor is the name of Kafka's one assignor of share groups.
const shareAssignor = "simple"

// endShare ends a share group: its state, then itself. then gets NOT_COORDINATOR and the like, or None; other is called if it is no share group.
func (c *Coordinator) endShare(group string, then func(kerr.Code), other func()) {
	if c.opt.Shares == nil {
		other()
		return
	}
	charge(c, group, &alterShare{group: group, remove: true}, func(r alterShareResult) {
		switch r.code {
		case kerr.None:
		case kerr.GroupIDNotFound:
			other()
			return
		default:
			then(r.code)
			return
		}
		if !c.goAside(func() { c.removeShares(group, r.topics, then) }) {
			then(kerr.CoordinatorNotAvailable)
		}
	}, then)
}

func (c *Coordinator) removeShares(group string, topics map[base.UUID]shareTopic, then func(kerr.Code)) {
	var keys []share.Key
	for id, t := range topics {
		for _, index := range t.partitions {
			keys = append(keys, share.Key{Group: group, Topic: id, Index: index})
		}
	}
	code := c.deleteStates(keys)
	insist(c, group, &shareRemoved{group, code == kerr.None}, func(codeResult) { then(code) }, then)
}

// deleteStates deletes the state of share partitions and returns the code of one that failed, if any.
func (c *Coordinator) deleteStates(keys []share.Key) kerr.Code {
	var mu sync.Mutex
	code := kerr.None
	eachShare(keys, func(_ int, k share.Key) {
		if err := c.opt.Shares.Delete(c.ctx, k); err != nil {
			mu.Lock()
			defer mu.Unlock()
			code = kerr.CodeOf(err)
		}
	})
	return code
}
