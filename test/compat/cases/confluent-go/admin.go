package main

import (
	"context"
	"slices"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"suite"
)

// firstOf is the error of a call, or of its only result.
func firstOf(err error, results []kafka.TopicResult) error {
	if err != nil || len(results) == 0 {
		return err
	}
	return failed(results[0].Error)
}

func (c *client) CreateTopic(ctx context.Context, t suite.Topic) error {
	spec := kafka.TopicSpecification{Topic: t.Name, NumPartitions: int(t.Partitions), ReplicationFactor: int(t.Replicas), Config: t.Configs}
	switch {
	case spec.NumPartitions < -1: // it refuses that itself
		return suite.ErrLacks
	case spec.NumPartitions == 0:
		spec.NumPartitions = -1
	}
	if spec.ReplicationFactor == 0 {
		spec.ReplicationFactor = -1
	}
	if t.Assignment != nil {
		spec.NumPartitions, spec.ReplicationFactor = len(t.Assignment), 0
		spec.ReplicaAssignment = make([][]int32, len(t.Assignment))
		for p, replicas := range t.Assignment {
			if int(p) >= len(spec.ReplicaAssignment) {
				return suite.ErrLacks
			}
			spec.ReplicaAssignment[p] = replicas
		}
	}
	all, err := c.adm.CreateTopics(ctx, []kafka.TopicSpecification{spec}, kafka.SetAdminValidateOnly(t.ValidateOnly))
	return firstOf(err, all)
}

func (c *client) DeleteTopic(ctx context.Context, name string) error {
	all, err := c.adm.DeleteTopics(ctx, []string{name})
	return firstOf(err, all)
}

func (c *client) SetPartitions(ctx context.Context, topic string, count int) error {
	all, err := c.adm.CreatePartitions(ctx, []kafka.PartitionsSpecification{{Topic: topic, IncreaseTo: count}})
	return firstOf(err, all)
}

func (c *client) ListTopics(context.Context) (all []string, err error) {
	md, err := c.adm.GetMetadata(nil, true, 10_000)
	if err != nil {
		return nil, err
	}
	for name := range md.Topics {
		all = append(all, name)
	}
	return all, nil
}

// describe asks for one topic; the client's GetMetadata would make it.
func (c *client) describe(ctx context.Context, topic string) (kafka.TopicDescription, error) {
	all, err := c.adm.DescribeTopics(ctx, kafka.NewTopicCollectionOfTopicNames([]string{topic}))
	if err != nil {
		return kafka.TopicDescription{}, err
	}
	t := all.TopicDescriptions[0]
	return t, failed(t.Error)
}

func ids(nodes []kafka.Node) (all []int32) {
	for _, n := range nodes {
		all = append(all, int32(n.ID))
	}
	return all
}

func (c *client) Partitions(ctx context.Context, topic string) (all []suite.Partition, err error) {
	t, err := c.describe(ctx, topic)
	for _, p := range t.Partitions {
		one := suite.Partition{ID: int32(p.Partition), Leader: -1, Replicas: ids(p.Replicas), ISR: ids(p.Isr)}
		if p.Leader != nil {
			one.Leader = int32(p.Leader.ID)
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b suite.Partition) int { return int(a.ID - b.ID) })
	return all, err
}

func (c *client) TopicID(ctx context.Context, topic string) (string, error) {
	t, err := c.describe(ctx, topic)
	return t.TopicID.String(), err
}

func (c *client) Cluster(ctx context.Context) (out suite.Cluster, err error) {
	all, err := c.adm.DescribeCluster(ctx)
	if err != nil {
		return out, err
	}
	if all.ClusterID != nil {
		out.ID = *all.ClusterID
	}
	if all.Controller != nil {
		out.Controller = int32(all.Controller.ID)
	}
	out.Brokers = ids(all.Nodes)
	return out, nil
}

func resource(kind int, name string) (kafka.ConfigResource, error) {
	r := kafka.ConfigResource{Type: kafka.ResourceTopic, Name: name}
	switch kind {
	case suite.TopicConfig:
	case suite.BrokerConfig:
		r.Type = kafka.ResourceBroker
	default:
		return r, suite.ErrLacks
	}
	return r, nil
}

func (c *client) DescribeConfigs(ctx context.Context, kind int, name string) (map[string]suite.ConfigValue, error) {
	r, err := resource(kind, name)
	if err != nil {
		return nil, err
	}
	results, err := c.adm.DescribeConfigs(ctx, []kafka.ConfigResource{r})
	if err != nil {
		return nil, err
	}
	all := map[string]suite.ConfigValue{}
	for _, e := range results[0].Config {
		all[e.Name] = suite.ConfigValue{Value: e.Value, Source: int(e.Source), ReadOnly: e.IsReadOnly, Sensitive: e.IsSensitive}
	}
	return all, failed(results[0].Error)
}

func (c *client) AlterConfigs(ctx context.Context, kind int, name string, configs map[string]string) error {
	r, err := resource(kind, name)
	if err != nil {
		return err
	}
	for k, v := range configs {
		r.Config = append(r.Config, kafka.ConfigEntry{Name: k, Value: v})
	}
	results, err := c.adm.AlterConfigs(ctx, []kafka.ConfigResource{r})
	if err != nil {
		return err
	}
	return failed(results[0].Error)
}

func (c *client) IncrementalAlterConfigs(ctx context.Context, kind int, name string, ops ...suite.ConfigOp) error {
	r, err := resource(kind, name)
	if err != nil {
		return err
	}
	for _, o := range ops {
		r.Config = append(r.Config, kafka.ConfigEntry{Name: o.Name, Value: o.Value, IncrementalOperation: kafka.AlterConfigOpType(o.Op)})
	}
	results, err := c.adm.IncrementalAlterConfigs(ctx, []kafka.ConfigResource{r})
	if err != nil {
		return err
	}
	return failed(results[0].Error)
}

func (c *client) ListOffset(ctx context.Context, topic string, p int32, at int64, committed bool) (int64, error) {
	level := kafka.IsolationLevelReadUncommitted
	if committed {
		level = kafka.IsolationLevelReadCommitted
	}
	spec := map[int64]kafka.OffsetSpec{suite.Earliest: kafka.EarliestOffsetSpec, suite.Latest: kafka.LatestOffsetSpec, suite.MaxTimestamp: kafka.MaxTimestampOffsetSpec}
	what, special := spec[at]
	if !special {
		what = kafka.NewOffsetSpecForTimestamp(at)
	}
	res, err := c.adm.ListOffsets(ctx, map[kafka.TopicPartition]kafka.OffsetSpec{partition(topic, p, 0): what}, kafka.SetAdminIsolationLevel(level))
	if err != nil {
		return 0, err
	}
	for _, r := range res.ResultInfos {
		return int64(r.Offset), failed(r.Error)
	}
	return 0, suite.ErrLacks
}

func (c *client) DeleteRecords(ctx context.Context, topic string, p int32, before int64) (int64, error) {
	res, err := c.adm.DeleteRecords(ctx, []kafka.TopicPartition{partition(topic, p, before)})
	if err != nil {
		return 0, err
	}
	r := res.DeleteRecordsResults[0]
	if r.TopicPartition.Error != nil {
		return 0, r.TopicPartition.Error
	}
	return int64(r.DeletedRecords.LowWatermark), nil
}

func (c *client) CommitOffsets(ctx context.Context, group, topic string, offsets map[int32]suite.Committed) error {
	g := kafka.ConsumerGroupTopicPartitions{Group: group}
	for p, o := range offsets {
		one := partition(topic, p, o.Offset)
		if o.Metadata != "" {
			one.Metadata = &o.Metadata
		}
		g.Partitions = append(g.Partitions, one)
	}
	res, err := c.adm.AlterConsumerGroupOffsets(ctx, []kafka.ConsumerGroupTopicPartitions{g})
	if err != nil {
		return err
	}
	for _, p := range res.ConsumerGroupsTopicPartitions[0].Partitions {
		if p.Error != nil {
			return p.Error
		}
	}
	return nil
}

func (c *client) FetchOffsets(ctx context.Context, group, topic string, ps ...int32) (map[int32]suite.Committed, error) {
	g := kafka.ConsumerGroupTopicPartitions{Group: group}
	for _, p := range ps {
		g.Partitions = append(g.Partitions, partition(topic, p, 0))
	}
	res, err := c.adm.ListConsumerGroupOffsets(ctx, []kafka.ConsumerGroupTopicPartitions{g})
	if err != nil {
		return nil, err
	}
	all := map[int32]suite.Committed{}
	for _, p := range res.ConsumerGroupsTopicPartitions[0].Partitions {
		if p.Error != nil {
			return nil, p.Error
		}
		if p.Offset >= 0 {
			o := suite.Committed{Offset: int64(p.Offset)}
			if p.Metadata != nil {
				o.Metadata = *p.Metadata
			}
			all[p.Partition] = o
		}
	}
	return all, nil
}

func (c *client) ListGroups(ctx context.Context) (map[string]string, error) {
	res, err := c.adm.ListConsumerGroups(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, g := range res.Valid {
		all[g.GroupID] = g.State.String()
	}
	return all, nil
}

func (c *client) DescribeGroup(ctx context.Context, group string) (out suite.GroupInfo, err error) {
	res, err := c.adm.DescribeConsumerGroups(ctx, []string{group}, kafka.SetAdminRequestTimeout(10*time.Second))
	if err != nil {
		return out, err
	}
	g := res.ConsumerGroupDescriptions[0]
	out = suite.GroupInfo{State: g.State.String(), Protocol: g.PartitionAssignor, Members: len(g.Members)}
	if !g.IsSimpleConsumerGroup { // it tells no other type
		out.ProtocolType = "consumer"
	}
	for _, m := range g.Members {
		if m.GroupInstanceID != "" {
			out.Instances = append(out.Instances, m.GroupInstanceID)
		}
	}
	return out, failed(g.Error)
}

func (c *client) DeleteGroup(ctx context.Context, group string) error {
	res, err := c.adm.DeleteConsumerGroups(ctx, []string{group})
	if err != nil {
		return err
	}
	return failed(res.ConsumerGroupResults[0].Error)
}

var everyACL = kafka.ACLBindingFilter{Type: kafka.ResourceAny, ResourcePatternType: kafka.ResourcePatternTypeAny, Operation: kafka.ACLOperationAny, PermissionType: kafka.ACLPermissionTypeAny}

func (c *client) DescribeACLs(ctx context.Context) error {
	res, err := c.adm.DescribeACLs(ctx, everyACL)
	if err != nil {
		return err
	}
	return failed(res.Error)
}

func (c *client) CreateACL(ctx context.Context) error {
	res, err := c.adm.CreateACLs(ctx, kafka.ACLBindings{{Type: kafka.ResourceTopic, Name: "t", ResourcePatternType: kafka.ResourcePatternTypeLiteral,
		Principal: "User:u", Host: "*", Operation: kafka.ACLOperationRead, PermissionType: kafka.ACLPermissionTypeAllow}})
	if err != nil {
		return err
	}
	return failed(res[0].Error)
}

func (c *client) DeleteACLs(ctx context.Context) error {
	res, err := c.adm.DeleteACLs(ctx, kafka.ACLBindingFilters{everyACL})
	if err != nil {
		return err
	}
	return failed(res[0].Error)
}

func (c *client) AlterScram(ctx context.Context, user, password string, remove bool) error {
	var set []kafka.UserScramCredentialUpsertion
	var gone []kafka.UserScramCredentialDeletion
	if remove {
		gone = append(gone, kafka.UserScramCredentialDeletion{User: user, Mechanism: kafka.ScramMechanismSHA256})
	} else {
		set = append(set, kafka.UserScramCredentialUpsertion{User: user, Password: []byte(password), Salt: []byte("a salt of some bytes"),
			ScramCredentialInfo: kafka.ScramCredentialInfo{Mechanism: kafka.ScramMechanismSHA256, Iterations: 8192}})
	}
	res, err := c.adm.AlterUserScramCredentials(ctx, set, gone)
	if err != nil {
		return err
	}
	return failed(res.Errors[user])
}

func (c *client) DescribeScram(ctx context.Context, user string) (int, error) {
	res, err := c.adm.DescribeUserScramCredentials(ctx, []string{user})
	if err != nil {
		return 0, err
	}
	d := res.Descriptions[user]
	if err := failed(d.Error); err != nil {
		return 0, err
	}
	return d.ScramCredentialInfos[0].Iterations, nil
}

func (c *client) ElectLeader(ctx context.Context, topic string, p int32) error {
	res, err := c.adm.ElectLeaders(ctx, kafka.NewElectLeadersRequest(kafka.ElectionTypePreferred, []kafka.TopicPartition{partition(topic, p, 0)}))
	if err != nil {
		return err
	}
	if len(res.TopicPartitions) == 0 {
		return nil
	}
	return res.TopicPartitions[0].Error
}
