package main

import (
	"context"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"suite"
)

func (c *client) CreateTopic(ctx context.Context, t suite.Topic) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.ValidateOnly, req.TimeoutMillis = t.ValidateOnly, 15000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = t.Name, t.Partitions, t.Replicas
	for p, replicas := range t.Assignment {
		topic.NumPartitions, topic.ReplicationFactor = -1, -1
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: p, Replicas: replicas})
	}
	for k, v := range t.Configs {
		topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: kmsg.StringPtr(v)})
	}
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.Topics[0].ErrorCode)
}

func (c *client) DeleteTopic(ctx context.Context, name string) error {
	resps, err := c.adm.DeleteTopics(ctx, name)
	if err != nil {
		return err
	}
	return resps[name].Err
}

func (c *client) ListTopics(ctx context.Context) (all []string, err error) {
	details, err := c.adm.ListTopics(ctx)
	return details.Names(), err
}

func (c *client) topic(ctx context.Context, name string) (kadm.TopicDetail, error) {
	md, err := c.adm.Metadata(ctx, name)
	if err != nil {
		return kadm.TopicDetail{}, err
	}
	return md.Topics[name], md.Topics[name].Err
}

func (c *client) Partitions(ctx context.Context, name string) (all []suite.Partition, err error) {
	t, err := c.topic(ctx, name)
	if err != nil {
		return nil, err
	}
	for _, p := range t.Partitions.Sorted() {
		all = append(all, suite.Partition{ID: p.Partition, Leader: p.Leader, Replicas: p.Replicas, ISR: p.ISR})
	}
	return all, nil
}

func (c *client) TopicID(ctx context.Context, name string) (string, error) {
	t, err := c.topic(ctx, name)
	return t.ID.String(), err
}

func (c *client) SetPartitions(ctx context.Context, topic string, count int) error {
	resps, err := c.adm.UpdatePartitions(ctx, count, topic)
	if err != nil {
		return err
	}
	return resps[topic].Err
}

func (c *client) Cluster(ctx context.Context) (suite.Cluster, error) {
	md, err := c.adm.BrokerMetadata(ctx)
	return suite.Cluster{ID: md.Cluster, Controller: md.Controller, Brokers: md.Brokers.NodeIDs()}, err
}

func (c *client) DescribeConfigs(ctx context.Context, kind int, name string) (map[string]suite.ConfigValue, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceType(kind), ResourceName: name}}
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return nil, err
	}
	all := map[string]suite.ConfigValue{}
	for _, e := range resp.Resources[0].Configs {
		v := suite.ConfigValue{Source: int(e.Source), ReadOnly: e.ReadOnly, Sensitive: e.IsSensitive}
		if e.Value != nil {
			v.Value = *e.Value
		}
		all[e.Name] = v
	}
	return all, kerr.ErrorForCode(resp.Resources[0].ErrorCode)
}

func (c *client) AlterConfigs(ctx context.Context, kind int, name string, configs map[string]string) error {
	if kind != suite.TopicConfig {
		return suite.ErrLacks
	}
	var all []kadm.AlterConfig
	for k, v := range configs {
		all = append(all, kadm.AlterConfig{Name: k, Value: &v})
	}
	resps, err := c.adm.AlterTopicConfigsState(ctx, all, name)
	if err != nil {
		return err
	}
	return resps[0].Err
}

func (c *client) IncrementalAlterConfigs(ctx context.Context, kind int, name string, ops ...suite.ConfigOp) error {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceType(kind), name
	for _, o := range ops {
		res.Configs = append(res.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: o.Name, Op: kmsg.IncrementalAlterConfigOp(o.Op), Value: &o.Value})
	}
	req.Resources = append(req.Resources, res)
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.Resources[0].ErrorCode)
}

func (c *client) ListOffset(ctx context.Context, topic string, p int32, at int64, committed bool) (int64, error) {
	var all kadm.ListedOffsets
	var err error
	switch {
	case at == suite.Earliest:
		all, err = c.adm.ListStartOffsets(ctx, topic)
	case at == suite.Latest && committed:
		all, err = c.adm.ListCommittedOffsets(ctx, topic)
	case at == suite.Latest:
		all, err = c.adm.ListEndOffsets(ctx, topic)
	case at == suite.MaxTimestamp:
		all, err = c.maxTimestamp(ctx, topic, p)
	default:
		all, err = c.adm.ListOffsetsAfterMilli(ctx, at, topic)
	}
	if err != nil {
		return 0, err
	}
	o, ok := all.Lookup(topic, p)
	if !ok {
		return 0, all.Error()
	}
	return o.Offset, o.Err
}

func (c *client) maxTimestamp(ctx context.Context, topic string, p int32) (kadm.ListedOffsets, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp = p, -3
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{rp}}}
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return nil, err
	}
	got := resp.Topics[0].Partitions[0]
	return kadm.ListedOffsets{topic: {p: {Topic: topic, Partition: p, Offset: got.Offset, Timestamp: got.Timestamp, Err: kerr.ErrorForCode(got.ErrorCode)}}}, nil
}

func (c *client) DeleteRecords(ctx context.Context, topic string, p int32, before int64) (int64, error) {
	var os kadm.Offsets
	os.AddOffset(topic, p, before, -1)
	resps, err := c.adm.DeleteRecords(ctx, os)
	if err != nil {
		return 0, err
	}
	return resps[topic][p].LowWatermark, resps[topic][p].Err
}

func (c *client) CommitOffsets(ctx context.Context, group, topic string, offsets map[int32]suite.Committed) error {
	var os kadm.Offsets
	for p, o := range offsets {
		os.Add(kadm.Offset{Topic: topic, Partition: p, At: o.Offset, LeaderEpoch: -1, Metadata: o.Metadata})
	}
	resps, err := c.adm.CommitOffsets(ctx, group, os)
	if err != nil {
		return err
	}
	return resps.Error()
}

func (c *client) FetchOffsets(ctx context.Context, group, topic string, ps ...int32) (map[int32]suite.Committed, error) {
	resps, err := c.adm.FetchOffsets(ctx, group)
	if err != nil {
		return nil, err
	}
	all := map[int32]suite.Committed{}
	for _, p := range ps {
		if o, ok := resps.Lookup(topic, p); ok && o.At >= 0 {
			all[p] = suite.Committed{Offset: o.At, Metadata: o.Metadata}
		}
	}
	return all, resps.Error()
}

func (c *client) DeleteOffsets(ctx context.Context, group, topic string, p int32) error {
	resps, err := c.adm.DeleteOffsets(ctx, group, set(topic, p))
	if err != nil {
		return err
	}
	return resps[topic][p]
}

func set(topic string, p int32) kadm.TopicsSet {
	s := kadm.TopicsSet{}
	s.Add(topic, p)
	return s
}

func (c *client) ListGroups(ctx context.Context) (map[string]string, error) {
	listed, err := c.adm.ListGroups(ctx)
	all := map[string]string{}
	for name, g := range listed {
		all[name] = g.State
	}
	return all, err
}

func (c *client) DescribeGroup(ctx context.Context, group string) (suite.GroupInfo, error) {
	if g, ok, err := c.describeNext(ctx, group); ok {
		return g, err
	}
	all, err := c.adm.DescribeGroups(ctx, group)
	if err != nil {
		return suite.GroupInfo{}, err
	}
	g := all[group]
	info := suite.GroupInfo{State: g.State, ProtocolType: g.ProtocolType, Protocol: g.Protocol, Members: len(g.Members)}
	for _, m := range g.Members {
		if m.InstanceID != nil {
			info.Instances = append(info.Instances, *m.InstanceID)
		}
	}
	return info, g.Err
}

func (c *client) DeleteGroup(ctx context.Context, group string) error {
	resps, err := c.adm.DeleteGroups(ctx, group)
	if err != nil {
		return err
	}
	return resps[group].Err
}

func (c *client) RemoveMember(ctx context.Context, group, instance string) error {
	resps, err := c.adm.LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs(instance))
	if err != nil {
		return err
	}
	return resps.Error()
}

func (c *client) LogDirs(ctx context.Context, topic string) (dirs int, size int64, err error) {
	all, err := c.adm.DescribeAllLogDirs(ctx, nil)
	for _, d := range all {
		dirs += len(d)
		d.EachPartition(func(p kadm.DescribedLogDirPartition) {
			if p.Topic == topic {
				size += p.Size
			}
		})
	}
	return dirs, size, err
}

func (c *client) Reassign(ctx context.Context, topic string, p int32, replicas []int32) error {
	var req kadm.AlterPartitionAssignmentsReq
	req.Assign(topic, p, slices.Clone(replicas))
	resps, err := c.adm.AlterPartitionAssignments(ctx, req)
	if err != nil {
		return err
	}
	return resps[topic][p].Err
}

func (c *client) Reassigning(ctx context.Context, topic string) (n int, err error) {
	resps, err := c.adm.ListPartitionReassignments(ctx, set(topic, 0))
	return len(resps[topic]), err
}

func (c *client) ElectLeader(ctx context.Context, topic string, p int32) error {
	resps, err := c.adm.ElectLeaders(ctx, kadm.ElectPreferredReplica, set(topic, p))
	if err != nil {
		return err
	}
	return resps[topic][p].Err
}

func (c *client) Producers(ctx context.Context, topic string, p int32) (all []suite.ProducerState, err error) {
	resps, err := c.adm.DescribeProducers(ctx, set(topic, p))
	if err != nil {
		return nil, err
	}
	for _, d := range resps[topic].Partitions[p].ActiveProducers {
		all = append(all, suite.ProducerState{ID: d.ProducerID, Epoch: int32(d.ProducerEpoch), LastSequence: d.LastSequence, TxnStart: d.CurrentTxnStartOffset})
	}
	return all, resps[topic].Partitions[p].Err
}

func (c *client) DescribeTxn(ctx context.Context, id string) (string, error) {
	resps, err := c.adm.DescribeTransactions(ctx, id)
	if err != nil {
		return "", err
	}
	return resps[id].State, resps[id].Err
}

func (c *client) ListTxns(ctx context.Context) (map[string]string, error) {
	listed, err := c.adm.ListTransactions(ctx, nil, nil)
	all := map[string]string{}
	for id, x := range listed {
		all[id] = x.State
	}
	return all, err
}

func (c *client) DescribeACLs(ctx context.Context) error {
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType, req.Operation, req.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

func acl() *kadm.ACLBuilder {
	return kadm.NewACLs().Topics("t").Allow("User:u").AllowHosts("*").Operations(kadm.OpRead).ResourcePatternType(kadm.ACLPatternLiteral)
}

func (c *client) CreateACL(ctx context.Context) error {
	resps, err := c.adm.CreateACLs(ctx, acl())
	if err != nil {
		return err
	}
	return resps[0].Err
}

func (c *client) DeleteACLs(ctx context.Context) error {
	resps, err := c.adm.DeleteACLs(ctx, acl())
	if err != nil {
		return err
	}
	return resps[0].Err
}

func (c *client) AlterQuota(ctx context.Context, user, key string, value float64, remove bool) error {
	resps, err := c.adm.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{
		Entity: kadm.ClientQuotaEntity{{Type: "user", Name: &user}}, Ops: []kadm.AlterClientQuotaOp{{Key: key, Value: value, Remove: remove}},
	}})
	if err != nil {
		return err
	}
	return resps[0].Err
}

func (c *client) DescribeQuotas(ctx context.Context, user string) (map[string]float64, error) {
	resps, err := c.adm.DescribeClientQuotas(ctx, true, []kadm.DescribeClientQuotaComponent{{Type: "user", MatchName: &user, MatchType: kmsg.QuotasMatchTypeExact}})
	all := map[string]float64{}
	for _, d := range resps {
		for _, v := range d.Values {
			all[v.Key] = v.Value
		}
	}
	return all, err
}

func (c *client) AlterScram(ctx context.Context, user, password string, remove bool) error {
	var del []kadm.DeleteSCRAM
	var up []kadm.UpsertSCRAM
	if remove {
		del = append(del, kadm.DeleteSCRAM{User: user, Mechanism: kadm.ScramSha256})
	} else {
		up = append(up, kadm.UpsertSCRAM{User: user, Mechanism: kadm.ScramSha256, Iterations: 8192, Password: password})
	}
	resps, err := c.adm.AlterUserSCRAMs(ctx, del, up)
	if err != nil {
		return err
	}
	return resps[user].Err
}

func (c *client) DescribeScram(ctx context.Context, user string) (int, error) {
	resps, err := c.adm.DescribeUserSCRAMs(ctx, user)
	if err != nil {
		return 0, err
	}
	if resps[user].Err != nil {
		return 0, resps[user].Err
	}
	return int(resps[user].CredInfos[0].Iterations), nil
}

func (c *client) Features(ctx context.Context) (map[string]int, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "cases", strconv.Itoa(1)
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return nil, err
	}
	all := map[string]int{}
	for _, f := range resp.FinalizedFeatures {
		all[f.Name] = int(f.MaxVersionLevel)
	}
	return all, kerr.ErrorForCode(resp.ErrorCode)
}
