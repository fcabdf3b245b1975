package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"suite"
)

func (c *client) CreateTopic(ctx context.Context, t suite.Topic) error {
	cfg := kafka.TopicConfig{Topic: t.Name, NumPartitions: int(t.Partitions), ReplicationFactor: int(t.Replicas)}
	for p, at := range t.Assignment {
		cfg.NumPartitions, cfg.ReplicationFactor = -1, -1
		a := kafka.ReplicaAssignment{Partition: int(p)}
		for _, b := range at {
			a.Replicas = append(a.Replicas, int(b))
		}
		cfg.ReplicaAssignments = append(cfg.ReplicaAssignments, a)
	}
	for k, v := range t.Configs {
		cfg.ConfigEntries = append(cfg.ConfigEntries, kafka.ConfigEntry{ConfigName: k, ConfigValue: v})
	}
	resp, err := c.cl.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{cfg}, ValidateOnly: t.ValidateOnly})
	if err != nil {
		return err
	}
	return resp.Errors[t.Name]
}

func (c *client) DeleteTopic(ctx context.Context, name string) error {
	resp, err := c.cl.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{name}})
	if err != nil {
		return err
	}
	return resp.Errors[name]
}

func (c *client) ListTopics(ctx context.Context) (all []string, err error) {
	md, err := c.cl.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return nil, err
	}
	for _, t := range md.Topics {
		all = append(all, t.Name)
	}
	return all, nil
}

func (c *client) Partitions(ctx context.Context, name string) (all []suite.Partition, err error) {
	md, err := c.cl.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{name}})
	if err != nil {
		return nil, err
	}
	ids := func(bs []kafka.Broker) (all []int32) {
		for _, b := range bs {
			all = append(all, int32(b.ID))
		}
		return all
	}
	for _, p := range md.Topics[0].Partitions {
		all = append(all, suite.Partition{ID: int32(p.ID), Leader: int32(p.Leader.ID), Replicas: ids(p.Replicas), ISR: ids(p.Isr)})
	}
	slices.SortFunc(all, func(a, b suite.Partition) int { return int(a.ID - b.ID) })
	return all, md.Topics[0].Error
}

func (c *client) SetPartitions(ctx context.Context, topic string, count int) error {
	resp, err := c.cl.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: int32(count)}}})
	if err != nil {
		return err
	}
	return resp.Errors[topic]
}

func (c *client) Cluster(ctx context.Context) (out suite.Cluster, err error) {
	md, err := c.cl.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return out, err
	}
	out = suite.Cluster{ID: md.ClusterID, Controller: int32(md.Controller.ID)}
	for _, b := range md.Brokers {
		out.Brokers = append(out.Brokers, int32(b.ID))
	}
	return out, nil
}

func (c *client) DescribeConfigs(ctx context.Context, kind int, name string) (map[string]suite.ConfigValue, error) {
	resp, err := c.cl.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceType(kind), ResourceName: name}}})
	if err != nil {
		return nil, err
	}
	all := map[string]suite.ConfigValue{}
	for _, e := range resp.Resources[0].ConfigEntries {
		all[e.ConfigName] = suite.ConfigValue{Value: e.ConfigValue, Source: int(e.ConfigSource), ReadOnly: e.ReadOnly, Sensitive: e.IsSensitive}
	}
	return all, resp.Resources[0].Error
}

func (c *client) IncrementalAlterConfigs(ctx context.Context, kind int, name string, ops ...suite.ConfigOp) error {
	res := kafka.IncrementalAlterConfigsRequestResource{ResourceType: kafka.ResourceType(kind), ResourceName: name}
	for _, o := range ops {
		res.Configs = append(res.Configs, kafka.IncrementalAlterConfigsRequestConfig{Name: o.Name, Value: o.Value, ConfigOperation: kafka.ConfigOperation(o.Op)})
	}
	resp, err := c.cl.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{res}})
	if err != nil {
		return err
	}
	return resp.Resources[0].Error
}

func (c *client) ListOffset(ctx context.Context, topic string, p int32, at int64, committed bool) (int64, error) {
	if at == suite.MaxTimestamp {
		return 0, suite.ErrLacks
	}
	req := &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {{Partition: int(p), Timestamp: at}}}}
	if committed {
		req.IsolationLevel = kafka.ReadCommitted
	}
	resp, err := c.cl.ListOffsets(ctx, req)
	if err != nil {
		return 0, err
	}
	got := resp.Topics[topic][0]
	switch {
	case got.Error != nil:
		return 0, got.Error
	case at == suite.Earliest:
		return got.FirstOffset, nil
	case at == suite.Latest:
		return got.LastOffset, nil
	}
	for o := range got.Offsets {
		return o, nil
	}
	return -1, nil
}

func (c *client) CommitOffsets(ctx context.Context, group, topic string, offsets map[int32]suite.Committed) error {
	req := &kafka.OffsetCommitRequest{GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{}}
	for p, o := range offsets {
		req.Topics[topic] = append(req.Topics[topic], kafka.OffsetCommit{Partition: int(p), Offset: o.Offset, Metadata: o.Metadata})
	}
	resp, err := c.cl.OffsetCommit(ctx, req)
	if err != nil {
		return err
	}
	for _, p := range resp.Topics[topic] {
		err = errors.Join(err, p.Error)
	}
	return err
}

func (c *client) FetchOffsets(ctx context.Context, group, topic string, ps ...int32) (map[int32]suite.Committed, error) {
	req := &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{}}
	for _, p := range ps {
		req.Topics[topic] = append(req.Topics[topic], int(p))
	}
	resp, err := c.cl.OffsetFetch(ctx, req)
	if err != nil {
		return nil, err
	}
	all := map[int32]suite.Committed{}
	for _, p := range resp.Topics[topic] {
		if p.CommittedOffset >= 0 {
			all[int32(p.Partition)] = suite.Committed{Offset: p.CommittedOffset, Metadata: p.Metadata}
		}
	}
	return all, resp.Error
}

func (c *client) DeleteOffsets(ctx context.Context, group, topic string, p int32) error {
	resp, err := c.cl.OffsetDelete(ctx, &kafka.OffsetDeleteRequest{GroupID: group, Topics: map[string][]int{topic: {int(p)}}})
	if err != nil {
		return err
	}
	for _, d := range resp.Topics[topic] {
		err = errors.Join(err, d.Error)
	}
	return errors.Join(err, resp.Error)
}

func (c *client) ListGroups(ctx context.Context) (map[string]string, error) {
	resp, err := c.cl.ListGroups(ctx, &kafka.ListGroupsRequest{})
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, g := range resp.Groups {
		all[g.GroupID] = g.ProtocolType
	}
	return all, resp.Error
}

func (c *client) DescribeGroup(ctx context.Context, group string) (out suite.GroupInfo, err error) {
	resp, err := c.cl.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return out, err
	}
	g := resp.Groups[0] // it does not tell the protocol: a consumer's with the only balancer that the cases give
	return suite.GroupInfo{State: g.GroupState, ProtocolType: "consumer", Protocol: "range", Members: len(g.Members)}, g.Error
}

func (c *client) DeleteGroup(ctx context.Context, group string) error {
	resp, err := c.cl.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return err
	}
	return resp.Errors[group]
}

func (c *client) ElectLeader(ctx context.Context, topic string, p int32) error {
	resp, err := c.cl.ElectLeaders(ctx, &kafka.ElectLeadersRequest{Topic: topic, Partitions: []int{int(p)}, Timeout: 5 * time.Second})
	if err != nil {
		return err
	}
	return errors.Join(resp.Error, resp.PartitionResults[0].Error)
}

func (c *client) DescribeACLs(ctx context.Context) error {
	resp, err := c.cl.DescribeACLs(ctx, &kafka.DescribeACLsRequest{Filter: kafka.ACLFilter{
		ResourceTypeFilter: kafka.ResourceTypeAny, ResourcePatternTypeFilter: kafka.PatternTypeAny, Operation: kafka.ACLOperationTypeAny, PermissionType: kafka.ACLPermissionTypeAny}})
	if err != nil {
		return err
	}
	return resp.Error
}

func (c *client) CreateACL(ctx context.Context) error {
	resp, err := c.cl.CreateACLs(ctx, &kafka.CreateACLsRequest{ACLs: []kafka.ACLEntry{{ResourceType: kafka.ResourceTypeTopic, ResourceName: "t", ResourcePatternType: kafka.PatternTypeLiteral,
		Principal: "User:u", Host: "*", Operation: kafka.ACLOperationTypeRead, PermissionType: kafka.ACLPermissionTypeAllow}}})
	if err != nil {
		return err
	}
	return resp.Errors[0]
}
