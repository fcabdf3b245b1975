package main

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/IBM/sarama"
	"suite"
)

func (c *client) CreateTopic(_ context.Context, t suite.Topic) error {
	d := &sarama.TopicDetail{NumPartitions: t.Partitions, ReplicationFactor: t.Replicas, ReplicaAssignment: t.Assignment, ConfigEntries: map[string]*string{}}
	if t.Assignment != nil {
		d.NumPartitions, d.ReplicationFactor = -1, -1
	}
	for k, v := range t.Configs {
		d.ConfigEntries[k] = &v
	}
	return c.adm.CreateTopic(t.Name, d, t.ValidateOnly)
}

func (c *client) DeleteTopic(_ context.Context, name string) error { return c.adm.DeleteTopic(name) }

func (c *client) ListTopics(context.Context) ([]string, error) {
	all, err := c.adm.ListTopics()
	return slices.Collect(maps.Keys(all)), err
}

func (c *client) topic(name string) (*sarama.TopicMetadata, error) {
	md, err := c.adm.DescribeTopics([]string{name})
	if err != nil {
		return nil, err
	}
	return md[0], kerr(md[0].Err)
}

func (c *client) Partitions(_ context.Context, name string) (all []suite.Partition, err error) {
	t, err := c.topic(name)
	if err != nil {
		return nil, err
	}
	for _, p := range t.Partitions {
		all = append(all, suite.Partition{ID: p.ID, Leader: p.Leader, Replicas: p.Replicas, ISR: p.Isr})
	}
	slices.SortFunc(all, func(a, b suite.Partition) int { return int(a.ID - b.ID) })
	return all, nil
}

func (c *client) TopicID(_ context.Context, name string) (string, error) {
	t, err := c.topic(name)
	if err != nil {
		return "", err
	}
	return string(t.Uuid[:]), nil
}

func (c *client) SetPartitions(_ context.Context, topic string, count int) error {
	return c.adm.CreatePartitions(topic, int32(count), nil, false)
}

func (c *client) Cluster(context.Context) (out suite.Cluster, err error) {
	brokers, controller, err := c.adm.DescribeCluster()
	out.Controller = controller
	for _, b := range brokers {
		out.Brokers = append(out.Brokers, b.ID())
	}
	return out, err
}

func (c *client) DescribeConfigs(_ context.Context, kind int, name string) (map[string]suite.ConfigValue, error) {
	entries, err := c.adm.DescribeConfig(sarama.ConfigResource{Type: sarama.ConfigResourceType(kind), Name: name})
	all := map[string]suite.ConfigValue{}
	for _, e := range entries {
		all[e.Name] = suite.ConfigValue{Value: e.Value, Source: int(e.Source), ReadOnly: e.ReadOnly, Sensitive: e.Sensitive}
	}
	return all, c.textual(err)
}

func (c *client) AlterConfigs(_ context.Context, kind int, name string, configs map[string]string) error {
	all := map[string]*string{}
	for k, v := range configs {
		all[k] = &v
	}
	return c.textual(c.adm.AlterConfig(sarama.ConfigResourceType(kind), name, all, false))
}

func (c *client) IncrementalAlterConfigs(_ context.Context, kind int, name string, ops ...suite.ConfigOp) error {
	all := map[string]sarama.IncrementalAlterConfigsEntry{}
	for _, o := range ops {
		all[o.Name] = sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperation(o.Op), Value: &o.Value}
	}
	return c.textual(c.adm.IncrementalAlterConfig(sarama.ConfigResourceType(kind), name, all, false))
}

func (c *client) DeleteRecords(_ context.Context, topic string, p int32, before int64) (int64, error) {
	if err := c.adm.DeleteRecords(topic, map[int32]int64{p: before}); err != nil {
		return 0, err
	}
	return c.cl.GetOffset(topic, p, sarama.OffsetOldest)
}

func (c *client) CommitOffsets(_ context.Context, group, topic string, offsets map[int32]suite.Committed) error {
	b, err := c.cl.Coordinator(group)
	if err != nil {
		return err
	}
	req := &sarama.OffsetCommitRequest{Version: 7, ConsumerGroup: group, ConsumerGroupGeneration: sarama.GroupGenerationUndefined}
	for p, o := range offsets {
		req.AddBlockWithLeaderEpoch(topic, p, o.Offset, -1, 0, o.Metadata)
	}
	resp, err := b.CommitOffset(req)
	if err != nil {
		return err
	}
	for _, e := range resp.Errors[topic] {
		err = errors.Join(err, kerr(e))
	}
	return err
}

func (c *client) FetchOffsets(_ context.Context, group, topic string, ps ...int32) (map[int32]suite.Committed, error) {
	resp, err := c.adm.ListConsumerGroupOffsets(group, map[string][]int32{topic: ps})
	if err != nil {
		return nil, err
	}
	all := map[int32]suite.Committed{}
	for _, p := range ps {
		if b := resp.GetBlock(topic, p); b != nil && b.Offset >= 0 {
			all[p] = suite.Committed{Offset: b.Offset, Metadata: b.Metadata}
		}
	}
	return all, kerr(resp.Err)
}

func (c *client) DeleteOffsets(_ context.Context, group, topic string, p int32) error {
	return c.adm.DeleteConsumerGroupOffset(group, topic, p)
}

func (c *client) ListGroups(context.Context) (map[string]string, error) {
	return c.adm.ListConsumerGroups()
}

func (c *client) DescribeGroup(_ context.Context, group string) (out suite.GroupInfo, err error) {
	all, err := c.adm.DescribeConsumerGroups([]string{group})
	if err != nil {
		return out, err
	}
	g := all[0]
	out = suite.GroupInfo{State: g.State, ProtocolType: g.ProtocolType, Protocol: g.Protocol, Members: len(g.Members)}
	for _, m := range g.Members {
		if m.GroupInstanceId != nil {
			out.Instances = append(out.Instances, *m.GroupInstanceId)
		}
	}
	return out, kerr(g.Err)
}

func (c *client) DeleteGroup(_ context.Context, group string) error {
	return c.adm.DeleteConsumerGroup(group)
}

func (c *client) RemoveMember(_ context.Context, group, instance string) error {
	resp, err := c.adm.RemoveMemberFromConsumerGroup(group, []string{instance})
	if err != nil {
		return err
	}
	for _, m := range resp.Members {
		err = errors.Join(err, kerr(m.Err))
	}
	return errors.Join(err, kerr(resp.Err))
}

func (c *client) AlterQuota(_ context.Context, user, key string, value float64, remove bool) error {
	return c.textual(c.adm.AlterClientQuotas([]sarama.QuotaEntityComponent{{EntityType: sarama.QuotaEntityUser, MatchType: sarama.QuotaMatchExact, Name: user}},
		sarama.ClientQuotasOp{Key: key, Value: value, Remove: remove}, false))
}

func (c *client) DescribeQuotas(_ context.Context, user string) (map[string]float64, error) {
	all, err := c.adm.DescribeClientQuotas([]sarama.QuotaFilterComponent{{EntityType: sarama.QuotaEntityUser, MatchType: sarama.QuotaMatchExact, Match: user}}, true)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[0].Values, nil
}

func (c *client) AlterScram(_ context.Context, user, password string, remove bool) error {
	var resp []*sarama.AlterUserScramCredentialsResult
	var err error
	if remove {
		resp, err = c.adm.DeleteUserScramCredentials([]sarama.AlterUserScramCredentialsDelete{{Name: user, Mechanism: sarama.SCRAM_MECHANISM_SHA_256}})
	} else {
		resp, err = c.adm.UpsertUserScramCredentials([]sarama.AlterUserScramCredentialsUpsert{
			{Name: user, Mechanism: sarama.SCRAM_MECHANISM_SHA_256, Iterations: 8192, Salt: []byte("a salt of some bytes"), Password: []byte(password)}})
	}
	if err != nil {
		return err
	}
	return kerr(resp[0].ErrorCode)
}

func (c *client) DescribeScram(_ context.Context, user string) (int, error) {
	resp, err := c.adm.DescribeUserScramCredentials([]string{user})
	if err != nil {
		return 0, err
	}
	if resp[0].ErrorCode != sarama.ErrNoError {
		return 0, resp[0].ErrorCode
	}
	return int(resp[0].CredentialInfos[0].Iterations), nil
}

func (c *client) LogDirs(ctx context.Context, topic string) (dirs int, size int64, err error) {
	cluster, err := c.Cluster(ctx)
	if err != nil {
		return 0, 0, err
	}
	all, err := c.adm.DescribeLogDirs(cluster.Brokers)
	for _, ds := range all {
		dirs += len(ds)
		for _, d := range ds {
			for _, t := range d.Topics {
				for _, p := range t.Partitions {
					if t.Topic == topic {
						size += p.Size
					}
				}
			}
		}
	}
	return dirs, size, err
}

func (c *client) Reassigning(_ context.Context, topic string) (n int, err error) {
	all, err := c.adm.ListPartitionReassignments(topic, []int32{0})
	return len(all[topic]), err
}

func (c *client) Reassign(_ context.Context, topic string, _ int32, replicas []int32) error {
	return c.adm.AlterPartitionReassignments(topic, [][]int32{replicas})
}

// textual marks an error that has a text and no code.
func (c *client) textual(err error) error {
	if _, ok := c.Code(err); err == nil || ok {
		return err
	}
	return errors.Join(suite.ErrTextOnly, err)
}
