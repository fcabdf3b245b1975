package group

import (
	"fmt"
	"slices"
	"strings"

	"sluice/base"
	"sluice/broker/share"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// DescribeShareGroupOffsets serves DescribeShareGroupOffsets, versions 0 and 1.
func (c *Coordinator) DescribeShareGroupOffsets(_ CallInfo, req *msg.DescribeShareGroupOffsetsRequest, reply func(*msg.DescribeShareGroupOffsetsResponse)) {
	res := &msg.DescribeShareGroupOffsetsResponse{}
	makeSlice(&res.Groups, len(req.Groups))
	all := newGather(len(req.Groups), func() { reply(res) })
	for i, g := range req.Groups {
		out := &res.Groups[i]
		out.GroupId = g.GroupId
		makeSlice(&out.Topics, 0)
		fail := func(code kerr.Code, why string) {
			out.ErrorCode, out.ErrorMessage = int16(code), pointer(why)
			all.done()
		}
		wanted := g.Topics
		submit(c, g.GroupId, &describeShare{out.GroupId}, func(r describeShareResult) {
			switch {
			case r.code != kerr.None && r.code != kerr.GroupIDNotFound: // of a group that there is not nothing is kept
				fail(r.code, r.message)
			case !c.goAside(func() {
				c.describeShareOffsets(out, wanted, r.topics)
				all.done()
			}):
				fail(kerr.CoordinatorNotAvailable, "")
			}
		}, func(code kerr.Code) { fail(code, "") })
	}
	all.done()
}

// shareOffset is a partition in the answer.
type shareOffset struct {
	key  share.Key
	into *msg.DescribeShareGroupOffsetsResponseDescribeShareGroupOffsetsResponsePartition
}

// describeShareOffsets fills in the topics that are wanted, or all of which state is kept.
func (c *Coordinator) describeShareOffsets(out *msg.DescribeShareGroupOffsetsResponseDescribeShareGroupOffsetsResponseGroup,
	wanted []msg.DescribeShareGroupOffsetsRequestDescribeShareGroupOffsetsRequestTopic, kept map[base.UUID]shareTopic) {
	view := c.opt.Cluster.Topics()
	if wanted == nil {
		for id, t := range kept {
			if name, ok := view.ByID(id); ok {
				wanted = append(wanted, msg.DescribeShareGroupOffsetsRequestDescribeShareGroupOffsetsRequestTopic{TopicName: name, Partitions: t.partitions})
			}
		}
		slices.SortFunc(wanted, func(a, b msg.DescribeShareGroupOffsetsRequestDescribeShareGroupOffsetsRequestTopic) int {
			return strings.Compare(a.TopicName, b.TopicName)
		})
	}
	var ask []shareOffset
	makeSlice(&out.Topics, len(wanted))
	for i, t := range wanted {
		o := &out.Topics[i]
		id, _, _ := view.ByName(t.TopicName)
		o.TopicName, o.TopicId = t.TopicName, id
		makeSlice(&o.Partitions, len(t.Partitions))
		for j, index := range t.Partitions {
			p := &o.Partitions[j]
			p.SetDefaults()
			p.PartitionIndex, p.StartOffset, p.Lag = index, -1, -1
			if _, have := slices.BinarySearch(kept[id].partitions, index); have {
				ask = append(ask, shareOffset{share.Key{Group: out.GroupId, Topic: id, Index: index}, p})
			}
		}
	}
	eachShare(ask, func(_ int, a shareOffset) {
		s, err := c.opt.Shares.Summary(c.ctx, a.key)
		if err != nil {
			a.into.ErrorCode, a.into.ErrorMessage = int16(kerr.CodeOf(err)), pointer(err.Error())
			return
		}
		a.into.StartOffset, a.into.LeaderEpoch = int64(s.Start), s.LeaderEpoch
		if s.Start < 0 {
			return
		}
		if end := c.opt.Shares.End(c.ctx, a.key.Topic, a.key.Index); end >= 0 {
			a.into.Lag = max(0, int64(end-s.Start)-int64(max(0, s.Complete)))
		}
	})
}

// AlterShareGroupOffsets serves AlterShareGroupOffsets, version 0: a group without members begins at other offsets. It is made if there is none.
func (c *Coordinator) AlterShareGroupOffsets(_ CallInfo, req *msg.AlterShareGroupOffsetsRequest, reply func(*msg.AlterShareGroupOffsetsResponse)) {
	res := &msg.AlterShareGroupOffsetsResponse{}
	group := req.GroupId
	view := c.opt.Cluster.Topics()
	makeSlice(&res.Responses, len(req.Topics))
	if group == "" {
		res.ErrorCode, res.ErrorMessage, res.Responses = int16(kerr.InvalidGroupID), pointer(noGroup), res.Responses[:0]
		reply(res)
		return
	}
	var set []alteredShare
	at := map[partitionID]int{} // of set; what stands twice has the last start
	anyKnown := false
	for i, t := range req.Topics {
		o := &res.Responses[i]
		id, n, ok := view.ByName(t.TopicName)
		o.TopicName, o.TopicId = t.TopicName, id
		anyKnown = anyKnown || ok
		makeSlice(&o.Partitions, len(t.Partitions))
		for j, p := range t.Partitions {
			out := &o.Partitions[j]
			out.SetDefaults()
			out.PartitionIndex = p.PartitionIndex
			if !ok || p.PartitionIndex < 0 || p.PartitionIndex >= n {
				out.ErrorCode, out.ErrorMessage = int16(kerr.UnknownTopicOrPartition), pointer("This server does not host this topic-partition.")
				continue
			}
			key := partitionID{Topic: id, Index: p.PartitionIndex}
			k, again := at[key]
			if !again {
				k, at[key] = len(set), len(set)
				set = append(set, alteredShare{partitionID: key})
			}
			set[k].start, set[k].out = base.Offset(p.StartOffset), append(set[k].out, out)
		}
	}
	if !anyKnown { // nobody looks at the group
		reply(res)
		return
	}
	fail := func(code kerr.Code) {
		res.ErrorCode, res.ErrorMessage = int16(code), pointer(alterRefusal(code, group))
		makeSlice(&res.Responses, 0)
		reply(res)
	}
	charge(c, group, &alterShare{group: group, create: true}, func(r alterShareResult) { // as in Kafka also where no partition is there
		if r.code != kerr.None {
			fail(r.code)
		} else if !c.goAside(func() { c.alterShares(group, r.epoch, set, func() { reply(res) }, fail) }) {
			fail(kerr.CoordinatorNotAvailable)
		}
	}, fail)
}

const noGroup = "The group id must not be empty."

// alterRefusal says why a share group is not altered.
func alterRefusal(code kerr.Code, group string) string {
	switch code {
	case kerr.GroupIDNotFound:
		return fmt.Sprintf("Group %s not found.", group)
	case kerr.NonEmptyGroup:
		return fmt.Sprintf("The group %s is not empty.", group)
	}
	return ""
}

// alteredShare is a partition whose start is to be set.
type alteredShare struct {
	partitionID
	start base.Offset
	out   []*msg.AlterShareGroupOffsetsResponseAlterShareGroupOffsetsResponsePartition
	ok    bool
}

func (c *Coordinator) alterShares(group string, epoch int32, set []alteredShare, done func(), fail func(kerr.Code)) {
	eachShare(set, func(i int, a alteredShare) {
		err := c.opt.Shares.Initialize(c.ctx, share.Key{Group: group, Topic: a.Topic, Index: a.Index}, epoch, a.start)
		set[i].ok = err == nil
		for _, out := range a.out {
			if err != nil {
				out.ErrorCode, out.ErrorMessage = int16(kerr.CodeOf(err)), pointer(err.Error())
			}
		}
	})
	var begun []partitionID
	for _, a := range set {
		if a.ok {
			begun = append(begun, a.partitionID)
		}
	}
	insist(c, group, &shareBegun{group, begun}, func(codeResult) { done() }, fail)
}

// DeleteShareGroupOffsets serves DeleteShareGroupOffsets, version 0: a group without members forgets topics.
func (c *Coordinator) DeleteShareGroupOffsets(_ CallInfo, req *msg.DeleteShareGroupOffsetsRequest, reply func(*msg.DeleteShareGroupOffsetsResponse)) {
	res := &msg.DeleteShareGroupOffsetsResponse{}
	group := req.GroupId
	if group == "" {
		res.ErrorCode, res.ErrorMessage = int16(kerr.InvalidGroupID), pointer(noGroup)
		makeSlice(&res.Responses, 0)
		reply(res)
		return
	}
	view := c.opt.Cluster.Topics()
	makeSlice(&res.Responses, len(req.Topics))
	for i, t := range req.Topics {
		o := &res.Responses[i]
		o.SetDefaults()
		id, _, ok := view.ByName(t.TopicName)
		if o.TopicName, o.TopicId = t.TopicName, id; !ok {
			o.ErrorCode, o.ErrorMessage = int16(kerr.UnknownTopicOrPartition), pointer("This server does not host this topic-partition.")
		}
	}
	fail := func(code kerr.Code) {
		res.ErrorCode, res.ErrorMessage = int16(code), pointer(alterRefusal(code, group))
		makeSlice(&res.Responses, 0)
		reply(res)
	}
	charge(c, group, &alterShare{group: group}, func(r alterShareResult) {
		if r.code != kerr.None {
			fail(r.code)
		} else if !c.goAside(func() { c.forgetShares(group, r.topics, res, func() { reply(res) }, fail) }) {
			fail(kerr.CoordinatorNotAvailable)
		}
	}, fail)
}

func (c *Coordinator) forgetShares(group string, kept map[base.UUID]shareTopic, res *msg.DeleteShareGroupOffsetsResponse, done func(), fail func(kerr.Code)) {
	var gone []base.UUID
	for i := range res.Responses {
		o := &res.Responses[i]
		if o.ErrorCode != 0 || slices.Contains(gone, o.TopicId) {
			continue
		}
		var keys []share.Key
		if len(kept[o.TopicId].partitions) == 0 {
			o.TopicId = base.UUID{}
			o.ErrorCode, o.ErrorMessage = int16(kerr.UnknownTopicOrPartition), pointer("There is no offset information to delete.")
			continue
		}
		for _, index := range kept[o.TopicId].partitions {
			keys = append(keys, share.Key{Group: group, Topic: o.TopicId, Index: index})
		}
		if code := c.deleteStates(keys); code != kerr.None {
			o.ErrorCode = int16(code)
			continue
		}
		gone = append(gone, o.TopicId)
	}
	answered := map[base.UUID]bool{} // what is forgotten is answered once, what is not each time that it is named
	res.Responses = slices.DeleteFunc(res.Responses, func(o msg.DeleteShareGroupOffsetsResponseDeleteShareGroupOffsetsResponseTopic) bool {
		again := answered[o.TopicId]
		answered[o.TopicId] = o.ErrorCode == 0
		return again && o.ErrorCode == 0
	})
	insist(c, group, &shareForgotten{group, gone}, func(codeResult) { done() }, fail)
}
