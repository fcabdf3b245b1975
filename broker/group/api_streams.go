package group

import (
	"cmp"
	"slices"

	"sluice/broker/group/task"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func (c *Coordinator) streamsRules() streamsRules {
	return streamsRules{streamersMax: c.config.StreamsMaxSize, streams: c.shareRules().shareMS}
}

// InternalTopic is a topic that a streams group needs and that is not there.
type InternalTopic struct {
	Name       string
	Partitions int32
	Configs    map[string]string
}

// StreamsMissingTopics is the status code in the answer to a heartbeat that says that internal topics are missing.
const StreamsMissingTopics = statusMissingInternal

// StreamsGroupHeartbeat serves StreamsGroupHeartbeat, version 0. The topics that reply gets are missing: it is the caller's part to have them created,
// if the client may do that.
func (c *Coordinator) StreamsGroupHeartbeat(info CallInfo, req *msg.StreamsGroupHeartbeatRequest, reply func(*msg.StreamsGroupHeartbeatResponse, []InternalTopic)) {
	cmd := &streamsBeat{
		client: info.client(), group: req.GroupId, member: req.MemberId, epoch: req.MemberEpoch, endpointEpoch: req.EndpointInformationEpoch,
		instance: req.InstanceId, rack: req.RackId, rebalanceMS: req.RebalanceTimeoutMs, process: req.ProcessId,
		offsets: req.TaskOffsets != nil || req.TaskEndOffsets != nil, shutdown: req.ShutdownApplication,
		owned: [roles]*[]task.ID{ownedTasks(req.ActiveTasks), ownedTasks(req.StandbyTasks), ownedTasks(req.WarmupTasks)},
	}
	if req.Topology != nil {
		cmd.topology = requestTopology(req.Topology)
	}
	if e := req.UserEndpoint; e != nil {
		cmd.endpoint = &endpoint{e.Host, e.Port}
	}
	if req.ClientTags != nil {
		tags := requestSettings(req.ClientTags)
		slices.SortFunc(tags, func(a, b setting) int { return cmp.Compare(a.key, b.key) })
		cmd.tags = &tags
	}
	answer := func(r streamsBeatResult) {
		var topics []InternalTopic
		for _, t := range r.create {
			topic := InternalTopic{t.name, t.partitions, map[string]string{}}
			for _, s := range t.configs {
				topic.Configs[s.key] = s.value
			}
			topics = append(topics, topic)
		}
		reply(streamsResponse(r), topics)
	}
	submit(c, cmd.group, cmd, answer, func(code kerr.Code) { answer(streamsBeatResult{code: code}) })
}

func ownedTasks(runs []msg.StreamsGroupHeartbeatRequestTaskIds) *[]task.ID {
	if runs == nil {
		return nil
	}
	ids := []task.ID{}
	for _, run := range runs {
		for _, p := range run.Partitions {
			ids = append(ids, task.ID{Subtopology: run.SubtopologyId, Partition: p})
		}
	}
	slices.SortFunc(ids, task.ID.Compare)
	return &ids
}

func requestSettings(all []msg.StreamsGroupHeartbeatRequestKeyValue) (out []setting) {
	for _, kv := range all {
		out = append(out, setting{kv.Key, kv.Value})
	}
	return out
}

func requestTopology(req *msg.StreamsGroupHeartbeatRequestTopology) *topology {
	topics := func(all []msg.StreamsGroupHeartbeatRequestTopicInfo) (out []internalTopic) {
		for _, t := range all {
			out = append(out, internalTopic{t.Name, t.Partitions, t.ReplicationFactor, requestSettings(t.TopicConfigs)})
		}
		return out
	}
	t := &topology{epoch: req.Epoch}
	for _, s := range req.Subtopologies {
		sub := subtopology{
			id: s.SubtopologyId, sources: slices.Clone(s.SourceTopics), regexes: slices.Clone(s.SourceTopicRegex), changelogs: topics(s.StateChangelogTopics),
			sinks: slices.Clone(s.RepartitionSinkTopics), repartitions: topics(s.RepartitionSourceTopics),
		}
		for _, g := range s.CopartitionGroups {
			sub.copartitions = append(sub.copartitions, copartition{slices.Clone(g.SourceTopics), slices.Clone(g.SourceTopicRegex), slices.Clone(g.RepartitionSourceTopics)})
		}
		t.subs = append(t.subs, sub)
	}
	t.sort()
	return t
}

func streamsResponse(r streamsBeatResult) *msg.StreamsGroupHeartbeatResponse {
	res := new(msg.StreamsGroupHeartbeatResponse)
	res.SetDefaults()
	res.ErrorCode, res.ErrorMessage, res.MemberId, res.MemberEpoch = int16(r.code), pointer(r.message), r.member, r.epoch
	res.HeartbeatIntervalMs, res.EndpointInformationEpoch = r.beatMS, r.endpointEpoch
	makeSlice(&res.Status, len(r.status)) // never null, as in Kafka
	if r.code != kerr.None {
		return res
	}
	for i, s := range r.status {
		res.Status[i].StatusCode, res.Status[i].StatusDetail = s.code, s.detail
	}
	if r.tasks != nil {
		for role, out := range []*[]msg.StreamsGroupHeartbeatResponseTaskIds{&res.ActiveTasks, &res.StandbyTasks, &res.WarmupTasks} {
			runs := bySubtopology(r.tasks[role], func(id task.ID) task.ID { return id })
			makeSlice(out, len(runs))
			for i, run := range runs {
				(*out)[i].SubtopologyId, (*out)[i].Partitions = run[0].Subtopology, taskPartitions(run)
			}
		}
	}
	if r.endpoints != nil {
		makeSlice(&res.PartitionsByUserEndpoint, len(r.endpoints))
		for i, e := range r.endpoints {
			out := &res.PartitionsByUserEndpoint[i]
			out.UserEndpoint.Host, out.UserEndpoint.Port = e.endpoint.host, e.endpoint.port
			out.ActivePartitions, out.StandbyPartitions = endpointPartitions(e.active), endpointPartitions(e.standby)
		}
	}
	return res
}

func taskPartitions(run []task.ID) []int32 {
	all := make([]int32, len(run))
	for i, id := range run {
		all[i] = id.Partition
	}
	return all
}

func endpointPartitions(all []topicPartitions) []msg.StreamsGroupHeartbeatResponseTopicPartition {
	out := make([]msg.StreamsGroupHeartbeatResponseTopicPartition, len(all))
	for i, t := range all {
		out[i].Topic, out[i].Partitions = t.topic, t.partitions
	}
	return out
}

// StreamsGroupDescribe serves StreamsGroupDescribe, version 0. AuthorizedOperations is left to the caller.
func (c *Coordinator) StreamsGroupDescribe(_ CallInfo, req *msg.StreamsGroupDescribeRequest, reply func(*msg.StreamsGroupDescribeResponse)) {
	res := &msg.StreamsGroupDescribeResponse{}
	makeSlice(&res.Groups, len(req.GroupIds))
	for i, name := range req.GroupIds {
		out := &res.Groups[i]
		out.SetDefaults()
		out.GroupId = name
		makeSlice(&out.Members, 0)
	}
	describeEach(c, req.GroupIds, func(name string) any { return &describeStreams{name} }, func(i int, r describeStreamsResult) {
		out := &res.Groups[i]
		out.ErrorCode, out.ErrorMessage = int16(r.code), pointer(r.message)
		out.GroupState, out.GroupEpoch, out.AssignmentEpoch = r.status, r.epoch, r.targetEpoch
		if r.topology != nil {
			out.Topology = describedTopology(r.topology)
		}
		makeSlice(&out.Members, len(r.members))
		for j, s := range r.members {
			describeStreamer(&out.Members[j], s)
		}
	}, func(i int, code kerr.Code) { res.Groups[i].ErrorCode = int16(code) }, func() { reply(res) })
}

func describeStreamer(o *msg.StreamsGroupDescribeResponseMember, s describedStreamer) {
	o.SetDefaults()
	o.MemberId, o.MemberEpoch, o.InstanceId, o.RackId = s.id, s.epoch, pointer(s.instance), pointer(s.rack)
	o.ClientId, o.ClientHost, o.TopologyEpoch, o.ProcessId = s.client.id, s.client.host, s.topologyEpoch, s.process
	if s.endpoint.host != "" {
		o.UserEndpoint = &msg.StreamsGroupDescribeResponseEndpoint{Host: s.endpoint.host, Port: s.endpoint.port}
	}
	o.ClientTags = describedSettings(s.tags)
	makeSlice(&o.TaskOffsets, 0)
	makeSlice(&o.TaskEndOffsets, 0)
	o.Assignment, o.TargetAssignment = describedTasks(s.assigned.ids()), describedTasks(s.target)
}

func describedTasks(s taskSets) (out msg.StreamsGroupDescribeResponseAssignment) {
	for role, to := range []*[]msg.StreamsGroupDescribeResponseTaskIds{&out.ActiveTasks, &out.StandbyTasks, &out.WarmupTasks} {
		runs := bySubtopology(s[role], func(id task.ID) task.ID { return id })
		makeSlice(to, len(runs))
		for i, run := range runs {
			(*to)[i].SubtopologyId, (*to)[i].Partitions = run[0].Subtopology, taskPartitions(run)
		}
	}
	return out
}

func describedSettings(all []setting) []msg.StreamsGroupDescribeResponseKeyValue {
	out := make([]msg.StreamsGroupDescribeResponseKeyValue, len(all))
	for i, s := range all {
		out[i].Key, out[i].Value = s.key, s.value
	}
	return out
}

func describedTopology(t *topology) *msg.StreamsGroupDescribeResponseTopology {
	sorted := func(names []string) []string {
		names = append([]string{}, names...)
		slices.Sort(names)
		return names
	}
	topics := func(all []internalTopic) []msg.StreamsGroupDescribeResponseTopicInfo {
		out := make([]msg.StreamsGroupDescribeResponseTopicInfo, len(all))
		for i, t := range all {
			out[i] = msg.StreamsGroupDescribeResponseTopicInfo{Name: t.name, Partitions: t.partitions, ReplicationFactor: t.factor, TopicConfigs: describedSettings(t.configs)}
		}
		slices.SortFunc(out, func(a, b msg.StreamsGroupDescribeResponseTopicInfo) int { return cmp.Compare(a.Name, b.Name) })
		return out
	}
	out := &msg.StreamsGroupDescribeResponseTopology{Epoch: t.epoch}
	makeSlice(&out.Subtopologies, len(t.subs))
	for i := range t.subs {
		s, o := &t.subs[i], &out.Subtopologies[i]
		o.SubtopologyId, o.SourceTopics, o.RepartitionSinkTopics = s.id, sorted(s.sources), sorted(s.sinks)
		o.StateChangelogTopics, o.RepartitionSourceTopics = topics(s.changelogs), topics(s.repartitions)
	}
	return out
}
