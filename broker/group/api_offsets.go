package group

import (
	"cmp"
	"slices"
	"sync"

	"sluice/base"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// OffsetCommit serves OffsetCommit, versions 2 to 10; from version 10 topics are named by id.
func (c *Coordinator) OffsetCommit(info CallInfo, req *msg.OffsetCommitRequest, reply func(*msg.OffsetCommitResponse)) {
	cmd := &commitCommand{
		group: req.GroupId, identity: identity{req.MemberId, instanceOf(req.GroupInstanceId)}, generation: req.GenerationIdOrMemberEpoch,
		retentionMS: -1, missing: kerr.IllegalGeneration,
	}
	if info.Version <= 4 {
		cmd.retentionMS = req.RetentionTimeMs
	}
	if cmd.rigid = info.Version < 9; !cmd.rigid {
		cmd.missing = kerr.GroupIDNotFound
	}
	res := &msg.OffsetCommitResponse{}
	makeSlice(&res.Topics, len(req.Topics))
	for i, t := range req.Topics {
		name, id, code := c.resolve(t.Name, t.TopicId, info.Version >= 10)
		out := &res.Topics[i]
		out.Name, out.TopicId = t.Name, t.TopicId
		makeSlice(&out.Partitions, len(t.Partitions))
		for j, p := range t.Partitions {
			out.Partitions[j].PartitionIndex = p.PartitionIndex
			cmd.offsets = append(cmd.offsets, commitOffset{
				partition: partitionKey{name, p.PartitionIndex}, topicID: id, offset: p.CommittedOffset,
				epoch: p.CommittedLeaderEpoch, metadata: text(p.CommittedMetadata), code: code,
			})
		}
	}
	fill := func(code func(i int) kerr.Code) {
		i := 0
		for t := range res.Topics {
			for p := range res.Topics[t].Partitions {
				res.Topics[t].Partitions[p].ErrorCode = int16(code(i))
				i++
			}
		}
		reply(res)
	}
	submit(c, cmd.group, cmd,
		func(r commitResult) { fill(func(i int) kerr.Code { return r.codes[i] }) },
		func(code kerr.Code) { fill(func(int) kerr.Code { return code }) })
}

// resolve finds the other half of a topic's name and id; both must be known to commit for it.
func (c *Coordinator) resolve(name string, id base.UUID, byID bool) (string, base.UUID, kerr.Code) {
	if byID {
		name, ok := c.opt.Cluster.TopicName(id)
		if !ok {
			return "", id, kerr.UnknownTopicID
		}
		return name, id, kerr.None
	}
	id, ok := c.opt.Cluster.TopicID(name)
	if !ok {
		return name, id, kerr.UnknownTopicOrPartition
	}
	return name, id, kerr.None
}

// knownFirst puts topics with ids that are not known last, as Kafka does in its answer.
func (c *Coordinator) knownFirst(info CallInfo, topics []msg.OffsetFetchRequestOffsetFetchRequestTopics) {
	if info.Version < 10 {
		return
	}
	known, unknown := topics[:0], topics[:0:0]
	for _, t := range topics {
		if _, ok := c.opt.Cluster.TopicName(t.TopicId); ok {
			known = append(known, t)
		} else {
			unknown = append(unknown, t)
		}
	}
	copy(topics[len(known):], unknown)
}

// OffsetFetch serves OffsetFetch, versions 1 to 10; from version 8 a request names several groups, from version 10 topics by id.
func (c *Coordinator) OffsetFetch(info CallInfo, req *msg.OffsetFetchRequest, reply func(*msg.OffsetFetchResponse)) {
	if info.Version < 8 {
		c.fetchOne(info, req, reply)
		return
	}
	res := &msg.OffsetFetchResponse{}
	makeSlice(&res.Groups, len(req.Groups))
	all := newGather(len(req.Groups), func() { reply(res) })
	for i, g := range req.Groups {
		out := &res.Groups[i]
		out.GroupId = g.GroupId
		c.knownFirst(info, g.Topics)
		cmd := &fetchCommand{group: g.GroupId, all: g.Topics == nil, requireStable: req.RequireStable, member: text(g.MemberId), epoch: g.MemberEpoch}
		makeSlice(&out.Topics, len(g.Topics))
		for j, t := range g.Topics {
			name, id, code := c.resolve(t.Name, t.TopicId, info.Version >= 10)
			o := &out.Topics[j]
			o.Name, o.TopicId = t.Name, t.TopicId
			makeSlice(&o.Partitions, len(t.PartitionIndexes))
			for k, index := range t.PartitionIndexes {
				p := &o.Partitions[k]
				p.PartitionIndex, p.CommittedOffset, p.CommittedLeaderEpoch, p.Metadata = index, -1, -1, new(string)
				if info.Version >= 10 && code != kerr.None {
					p.ErrorCode = int16(code)
				}
				cmd.partitions = append(cmd.partitions, fetchPartition{partitionKey{name, index}, id})
			}
		}
		submit(c, g.GroupId, cmd, func(r fetchResult) {
			if r.code != kerr.None {
				out.ErrorCode = int16(r.code)
				out.Topics = out.Topics[:0]
				all.done()
				return
			}
			if cmd.all {
				out.Topics = out.Topics[:0]
				c.fillAll(r.offsets, info.Version >= 10, func(name string, id base.UUID, offsets []fetchedOffset) {
					growSlice(&out.Topics)
					o := &out.Topics[len(out.Topics)-1]
					o.Name, o.TopicId = name, id
					makeSlice(&o.Partitions, len(offsets))
					for k, f := range offsets {
						p := &o.Partitions[k]
						p.PartitionIndex, p.CommittedOffset, p.CommittedLeaderEpoch, p.Metadata, p.ErrorCode = f.partition.index, f.offset, f.epoch, &f.metadata, int16(f.code)
					}
				})
				all.done()
				return
			}
			i := 0
			for t := range out.Topics {
				for k := range out.Topics[t].Partitions {
					p := &out.Topics[t].Partitions[k]
					if f := &r.offsets[i]; p.ErrorCode == 0 {
						p.CommittedOffset, p.CommittedLeaderEpoch, p.Metadata, p.ErrorCode = f.offset, f.epoch, &f.metadata, int16(f.code)
					}
					i++
				}
			}
			all.done()
		}, func(code kerr.Code) {
			out.ErrorCode = int16(code)
			out.Topics = out.Topics[:0]
			all.done()
		})
	}
	all.done()
}

// fillAll groups offsets by topic. Where topics are named by id, those that are not known any more are left out.
func (c *Coordinator) fillAll(offsets []fetchedOffset, byID bool, topic func(name string, id base.UUID, offsets []fetchedOffset)) {
	for len(offsets) > 0 {
		name := offsets[0].partition.topic
		n := slices.IndexFunc(offsets, func(f fetchedOffset) bool { return f.partition.topic != name })
		if n < 0 {
			n = len(offsets)
		}
		id, known := c.opt.Cluster.TopicID(name)
		if known || !byID {
			topic(name, id, offsets[:n])
		}
		offsets = offsets[n:]
	}
}

// fetchOne serves versions 1 to 7, which name one group.
func (c *Coordinator) fetchOne(info CallInfo, req *msg.OffsetFetchRequest, reply func(*msg.OffsetFetchResponse)) {
	cmd := &fetchCommand{group: req.GroupId, all: req.Topics == nil && info.Version >= 2, requireStable: req.RequireStable, epoch: -1}
	for _, t := range req.Topics {
		_, id, _ := c.resolve(t.Name, base.UUID{}, false)
		for _, index := range t.PartitionIndexes {
			cmd.partitions = append(cmd.partitions, fetchPartition{partitionKey{t.Name, index}, id})
		}
	}
	answer := func(offsets []fetchedOffset, code kerr.Code) {
		res := &msg.OffsetFetchResponse{ErrorCode: int16(code)}
		topic := func(name string, offsets []fetchedOffset) {
			growSlice(&res.Topics)
			o := &res.Topics[len(res.Topics)-1]
			o.Name = name
			makeSlice(&o.Partitions, len(offsets))
			for k, f := range offsets {
				p := &o.Partitions[k]
				p.PartitionIndex, p.CommittedOffset, p.CommittedLeaderEpoch, p.Metadata, p.ErrorCode = f.partition.index, f.offset, f.epoch, &f.metadata, int16(f.code)
				if info.Version < 2 {
					p.ErrorCode = int16(code) // there is no other place for it yet
				}
			}
		}
		if cmd.all || len(offsets) != len(cmd.partitions) {
			c.fillAll(offsets, false, func(name string, _ base.UUID, offsets []fetchedOffset) { topic(name, offsets) })
		} else { // as they were asked for, topics twice and without partitions included
			for _, t := range req.Topics {
				n := len(t.PartitionIndexes)
				topic(t.Name, offsets[:n])
				offsets = offsets[n:]
			}
		}
		reply(res)
	}
	submit(c, cmd.group, cmd, func(r fetchResult) { answer(r.offsets, kerr.None) }, func(code kerr.Code) {
		var none []fetchedOffset
		for _, p := range cmd.partitions {
			none = append(none, fetchedOffset{partition: p.partition, offset: -1, epoch: -1})
		}
		if info.Version >= 2 {
			none = nil
		}
		answer(none, code)
	})
}

// OffsetDelete serves OffsetDelete, version 0.
func (c *Coordinator) OffsetDelete(_ CallInfo, req *msg.OffsetDeleteRequest, reply func(*msg.OffsetDeleteResponse)) {
	cmd := &deleteOffsetsCommand{group: req.GroupId}
	res := &msg.OffsetDeleteResponse{}
	if req.GroupId == "" {
		res.ErrorCode = int16(kerr.InvalidGroupID)
		reply(res)
		return
	}
	makeSlice(&res.Topics, len(req.Topics))
	var targets []*int16 // where the outcome of each partition of cmd goes
	for i, t := range req.Topics {
		out := &res.Topics[i]
		out.Name = t.Name
		makeSlice(&out.Partitions, len(t.Partitions))
		_, known := c.opt.Cluster.TopicID(t.Name)
		for j, p := range t.Partitions {
			out.Partitions[j].PartitionIndex = p.PartitionIndex
			if !known {
				out.Partitions[j].ErrorCode = int16(kerr.UnknownTopicOrPartition)
				continue
			}
			cmd.partitions = append(cmd.partitions, partitionKey{t.Name, p.PartitionIndex})
			targets = append(targets, &out.Partitions[j].ErrorCode)
		}
	}
	answer := func(r deleteOffsetsResult) {
		if r.code != kerr.None {
			res.ErrorCode = int16(r.code)
			res.Topics = res.Topics[:0]
		}
		for i, code := range r.codes {
			*targets[i] = int16(code)
		}
		reply(res)
	}
	submit(c, cmd.group, cmd, answer, func(code kerr.Code) { answer(deleteOffsetsResult{code: code}) })
}

// growSlice appends a zero element without naming its type.
func growSlice[S ~[]E, E any](s *S) {
	var zero E
	*s = append(*s, zero)
}

// gather calls back when n calls, and whoever made it, are done.
type gather struct {
	mu   sync.Mutex
	left int
	then func()
}

func newGather(n int, then func()) *gather { return &gather{left: n + 1, then: then} }

func (g *gather) done() {
	g.mu.Lock()
	g.left--
	last := g.left == 0
	g.mu.Unlock()
	if last {
		g.then()
	}
}

// with runs fn under the gather's lock, for results that go to one place.
func (g *gather) with(fn func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fn()
}

func compareGroups(a, b listedGroup) int { return cmp.Compare(a.group, b.group) }
