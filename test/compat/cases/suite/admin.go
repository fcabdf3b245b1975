package suite

import (
	"slices"
	"strings"
)

func topicCases() []Case {
	return append(topicChangeCases(), createCases()...)
}

func createCases() []Case {
	return []Case{
		{"admin-topics/create", func(t *T) {
			topic := t.topic("", 3)
			ps, err := t.Client.Partitions(t, topic)
			t.Must("describe topic", err)
			cluster, err := t.Client.Cluster(t)
			t.Must("describe cluster", err)
			for i, p := range ps {
				t.Equal("partition", p.ID, int32(i))
				t.True("the leader is a broker", slices.Contains(cluster.Brokers, p.Leader))
				t.Equal("replicas", p.Replicas, []int32{p.Leader})
				t.Equal("in sync", p.ISR, []int32{p.Leader})
			}
		}},
		{"admin-topics/create-again", func(t *T) {
			t.Code("create again", t.Client.CreateTopic(t, Topic{Name: t.topic("", 1), Partitions: 1, Replicas: 1}), 36)
		}},
		{"admin-topics/create-with-configs", func(t *T) {
			topic := t.topic("", 1, "retention.ms=123456", "cleanup.policy=compact,delete")
			got := t.configs(TopicConfig, topic)
			t.Equal("retention.ms", got["retention.ms"].Value, "123456")
			t.Equal("cleanup.policy", got["cleanup.policy"].Value, "compact,delete")
		}},
		{"admin-topics/create-assigned", func(t *T) {
			cluster, err := t.Client.Cluster(t)
			t.Must("describe cluster", err)
			at := []int32{cluster.Brokers[0]}
			t.Must("create", t.Client.CreateTopic(t, Topic{Name: t.ID(""), Assignment: map[int32][]int32{0: at, 1: at}}))
			t.awaitPartitions(t.ID(""), 2)
			ps, err := t.Client.Partitions(t, t.ID(""))
			t.Must("describe topic", err)
			t.Equal("replicas", ps[1].Replicas, at)
		}},
		{"admin-topics/create-assigned-to-nobody", func(t *T) {
			t.Code("create", t.Client.CreateTopic(t, Topic{Name: t.ID(""), Assignment: map[int32][]int32{0: {4711}}}), 39)
		}},
		{"admin-topics/validate-only", func(t *T) {
			t.Must("validate", t.Client.CreateTopic(t, Topic{Name: t.ID(""), Partitions: 1, Replicas: 1, ValidateOnly: true}))
			t.True("it is not there", !slices.Contains(t.topics(), t.ID("")))
		}},
	}
}

func topicChangeCases() []Case {
	return []Case{
		{"admin-topics/delete", func(t *T) {
			topic := t.topic("", 2)
			t.Until("it is listed", func() bool { return slices.Contains(t.topics(), topic) })
			t.Must("delete", t.Client.DeleteTopic(t, topic))
			t.Until("it is gone", func() bool { return !slices.Contains(t.topics(), topic) })
		}},
		{"admin-topics/delete-unknown", func(t *T) { t.Code("delete", t.Client.DeleteTopic(t, t.ID("nowhere")), 3) }},
		{"admin-topics/recreate", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 10)
			t.Must("delete", t.Client.DeleteTopic(t, topic))
			t.Until("it is gone", func() bool { return !slices.Contains(t.topics(), topic) })
			t.Equal("name", t.topic("", 1), topic)
			t.fill(topic, 0, 50, 3)
			got := t.consume(topic, 0, Earliest, 3)
			t.Equal("values", values(got), count(50, 3))
			t.Equal("first offset", got[0].Offset, int64(0))
		}},
		{"admin-topics/recreated-has-another-id", func(t *T) {
			topic := t.topic("", 1)
			first, err := t.Client.TopicID(t, topic)
			t.Must("topic id", err)
			t.Must("delete", t.Client.DeleteTopic(t, topic))
			t.Until("it is gone", func() bool { return !slices.Contains(t.topics(), topic) })
			t.topic("", 1)
			second, err := t.Client.TopicID(t, topic)
			t.Must("topic id", err)
			t.True("two ids", first != second && first != "" && second != "")
		}},
		{"admin-topics/more-partitions", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 5)
			t.Must("add partitions", t.Client.SetPartitions(t, topic, 4))
			t.awaitPartitions(topic, 4)
			t.fill(topic, 3, 5, 5)
			t.Equal("values", values(t.consume(topic, 3, Earliest, 5)), count(5, 5))
			t.Equal("values", values(t.consume(topic, 0, Earliest, 5)), count(0, 5))
		}},
		{"admin-topics/fewer-partitions", func(t *T) { t.Code("set partitions", t.Client.SetPartitions(t, t.topic("", 3), 2), 37) }},
		{"admin-topics/partitions-of-unknown", func(t *T) { t.Code("set partitions", t.Client.SetPartitions(t, t.ID("nowhere"), 2), 3) }},
		{"admin-topics/invalid-name", func(t *T) {
			t.Code("create", t.Client.CreateTopic(t, Topic{Name: "a b/c", Partitions: 1, Replicas: 1}), 17)
		}},
		{"admin-topics/name-too-long", func(t *T) {
			t.Code("create", t.Client.CreateTopic(t, Topic{Name: strings.Repeat("x", 250), Partitions: 1, Replicas: 1}), 17)
		}},
		{"admin-topics/colliding-names", func(t *T) {
			t.Must("create", t.Client.CreateTopic(t, Topic{Name: t.ID("a.b"), Partitions: 1, Replicas: 1}))
			t.Code("create", t.Client.CreateTopic(t, Topic{Name: t.ID("a_b"), Partitions: 1, Replicas: 1}), 17)
		}},
		{"admin-topics/too-many-replicas", func(t *T) {
			t.Code("create", t.Client.CreateTopic(t, Topic{Name: t.ID(""), Partitions: 1, Replicas: 30}), 38)
		}},
		{"admin-topics/negative-partitions", func(t *T) {
			t.Code("create", t.Client.CreateTopic(t, Topic{Name: t.ID(""), Partitions: -5, Replicas: 1}), 37)
		}},
		{"admin-topics/unknown-config", func(t *T) {
			t.Code("create", t.Client.CreateTopic(t, Topic{Name: t.ID(""), Partitions: 1, Replicas: 1, Configs: pairs([]string{"no.such=1"})}), 40)
		}},
		{"admin-topics/invalid-config", func(t *T) {
			t.Code("create", t.Client.CreateTopic(t, Topic{Name: t.ID(""), Partitions: 1, Replicas: 1, Configs: pairs([]string{"retention.ms=soon"})}), 40)
		}},
	}
}

func (t *T) topics() []string {
	all, err := t.Client.ListTopics(t)
	t.Must("list topics", err)
	return all
}

func (t *T) configs(kind int, name string) map[string]ConfigValue {
	got, err := t.Client.DescribeConfigs(t, kind, name)
	t.Must("describe configs", err)
	return got
}

func (t *T) alter(kind int, name string, ops ...ConfigOp) {
	t.Must("alter configs", t.Client.IncrementalAlterConfigs(t, kind, name, ops...))
}

// awaitConfig waits until a changed value is seen.
func (t *T) awaitConfig(kind int, resource, name, want string) {
	t.Until(name+" is "+want, func() bool { return t.configs(kind, resource)[name].Value == want })
}

func configCases() []Case {
	return append(alterCases(), []Case{
		{"admin-configs/defaults-of-a-topic", func(t *T) {
			got := t.configs(TopicConfig, t.topic("", 1))
			for name, want := range map[string]string{
				"retention.ms": "604800000", "cleanup.policy": "delete", "max.message.bytes": "1048588", "compression.type": "producer",
				"message.timestamp.type": "CreateTime", "min.insync.replicas": "1", "segment.bytes": "1073741824", "retention.bytes": "-1",
			} {
				t.Equal(name, got[name].Value, want)
				t.True(name+" comes from the defaults", got[name].Source == 5 || got[name].Source == -1 || name == "min.insync.replicas")
				t.True(name+" is open", !got[name].ReadOnly && !got[name].Sensitive)
			}
		}},
		{"admin-configs/source-of-a-topic", func(t *T) {
			got := t.configs(TopicConfig, t.topic("", 1, "retention.ms=1000"))["retention.ms"]
			t.Equal("value", got.Value, "1000")
			if got.Source < 0 {
				t.Skip("the client does not tell the source")
			}
			t.Equal("source", got.Source, 1)
		}},
		{"admin-configs/source-of-min-insync-replicas", func(t *T) {
			got := t.configs(TopicConfig, t.topic("", 1))["min.insync.replicas"]
			if got.Source < 0 {
				t.Skip("the client does not tell the source")
			}
			t.Equal("source: what is set for all brokers", got.Source, 3)
		}},
		{"admin-configs/of-an-unknown-topic", func(t *T) {
			_, err := t.Client.DescribeConfigs(t, TopicConfig, t.ID("nowhere"))
			t.Code("describe configs", err, 3)
		}},
		{"admin-configs/of-a-broker", func(t *T) {
			got := t.configs(BrokerConfig, t.broker())
			t.Equal("num.partitions", got["num.partitions"].Value, "1")
			t.True("node.id is read only", got["node.id"].ReadOnly)
			t.True("compression.type is open", !got["compression.type"].ReadOnly)
		}},
		{"admin-configs/of-an-unknown-broker", func(t *T) {
			_, err := t.Client.DescribeConfigs(t, BrokerConfig, "4711")
			t.True("an error", err != nil)
		}},
		{"admin-configs/of-a-group", func(t *T) {
			got := t.configs(GroupConfig, t.ID("g"))
			t.Equal("consumer.session.timeout.ms", got["consumer.session.timeout.ms"].Value, "45000")
			t.alter(GroupConfig, t.ID("g"), ConfigOp{OpSet, "consumer.session.timeout.ms", "50000"})
			t.awaitConfig(GroupConfig, t.ID("g"), "consumer.session.timeout.ms", "50000")
		}},
		{"admin-configs/broker-dynamic", func(t *T) {
			id := t.broker()
			t.alter(BrokerConfig, id, ConfigOp{OpSet, "log.cleaner.backoff.ms", "14000"})
			t.awaitConfig(BrokerConfig, id, "log.cleaner.backoff.ms", "14000")
			t.alter(BrokerConfig, id, ConfigOp{OpDelete, "log.cleaner.backoff.ms", ""})
			t.awaitConfig(BrokerConfig, id, "log.cleaner.backoff.ms", "15000")
		}},
		{"admin-configs/broker-read-only", func(t *T) {
			t.Code("alter", t.Client.IncrementalAlterConfigs(t, BrokerConfig, t.broker(), ConfigOp{OpSet, "node.id", "7"}), 42)
		}},
	}...)
}

func (t *T) broker() string {
	cluster, err := t.Client.Cluster(t)
	t.Must("describe cluster", err)
	return count(int(cluster.Brokers[0]), 1)[0]
}

func alterCases() []Case {
	return []Case{
		{"admin-configs/set", func(t *T) {
			topic := t.topic("", 1)
			t.alter(TopicConfig, topic, ConfigOp{OpSet, "retention.ms", "777"}, ConfigOp{OpSet, "segment.bytes", "2000000"})
			t.awaitConfig(TopicConfig, topic, "retention.ms", "777")
			t.awaitConfig(TopicConfig, topic, "segment.bytes", "2000000")
		}},
		{"admin-configs/delete", func(t *T) {
			topic := t.topic("", 1, "retention.ms=777")
			t.awaitConfig(TopicConfig, topic, "retention.ms", "777")
			t.alter(TopicConfig, topic, ConfigOp{OpDelete, "retention.ms", ""})
			t.awaitConfig(TopicConfig, topic, "retention.ms", "604800000")
		}},
		{"admin-configs/append-and-subtract", func(t *T) {
			topic := t.topic("", 1, "cleanup.policy=delete")
			t.alter(TopicConfig, topic, ConfigOp{OpAppend, "cleanup.policy", "compact"})
			t.awaitConfig(TopicConfig, topic, "cleanup.policy", "delete,compact")
			t.alter(TopicConfig, topic, ConfigOp{OpSubtract, "cleanup.policy", "delete"})
			t.awaitConfig(TopicConfig, topic, "cleanup.policy", "compact")
		}},
		{"admin-configs/append-to-no-list", func(t *T) {
			t.Code("append", t.Client.IncrementalAlterConfigs(t, TopicConfig, t.topic("", 1), ConfigOp{OpAppend, "retention.ms", "1"}), 40)
		}},
		{"admin-configs/replaces-all", func(t *T) {
			topic := t.topic("", 1, "retention.ms=777", "segment.bytes=2000000")
			t.Must("alter", t.Client.AlterConfigs(t, TopicConfig, topic, map[string]string{"retention.ms": "888"}))
			t.awaitConfig(TopicConfig, topic, "retention.ms", "888")
			t.awaitConfig(TopicConfig, topic, "segment.bytes", "1073741824")
		}},
		{"admin-configs/invalid-value", func(t *T) {
			t.Code("set", t.Client.IncrementalAlterConfigs(t, TopicConfig, t.topic("", 1), ConfigOp{OpSet, "cleanup.policy", "burn"}), 40)
		}},
		{"admin-configs/unknown-name", func(t *T) {
			t.Code("set", t.Client.IncrementalAlterConfigs(t, TopicConfig, t.topic("", 1), ConfigOp{OpSet, "no.such", "1"}), 40)
		}},
		{"admin-configs/alter-unknown-topic", func(t *T) {
			t.Code("set", t.Client.IncrementalAlterConfigs(t, TopicConfig, t.ID("nowhere"), ConfigOp{OpSet, "retention.ms", "1"}), 3)
		}},
		{"admin-configs/message-size-takes-effect", func(t *T) {
			topic := t.topic("", 1)
			t.produce(plain, Record{Topic: topic, Value: make([]byte, 5000)})
			t.alter(TopicConfig, topic, ConfigOp{OpSet, "max.message.bytes", "2000"})
			t.awaitConfig(TopicConfig, topic, "max.message.bytes", "2000")
			_, err := t.Client.Produce(t, plain, Record{Topic: topic, Value: make([]byte, 5000)})
			t.Code("produce", err, 10)
		}},
	}
}

// emptyGroup makes a group of committed offsets alone.
func (t *T) emptyGroup() string {
	t.Must("commit", t.Client.CommitOffsets(t, t.ID("g"), t.topic("", 1), map[int32]Committed{0: {Offset: 3}}))
	return t.ID("g")
}

func adminGroupCases() []Case {
	return append(groupOffsetCases(), []Case{
		{"admin-groups/list", func(t *T) {
			g := t.emptyGroup()
			t.Until("it is listed", func() bool {
				all, err := t.Client.ListGroups(t)
				t.Must("list groups", err)
				_, ok := all[g]
				return ok
			})
		}},
		{"admin-groups/describe-empty", func(t *T) {
			got, err := t.Client.DescribeGroup(t, t.emptyGroup())
			t.Must("describe group", err)
			t.Equal("state", got.State, "Empty")
			t.Equal("members", got.Members, 0)
		}},
		{"admin-groups/delete", func(t *T) {
			g := t.emptyGroup()
			t.Must("delete", t.Client.DeleteGroup(t, g))
			all, err := t.Client.ListGroups(t)
			t.Must("list groups", err)
			_, ok := all[g]
			t.True("it is gone", !ok)
			got, err := t.Client.FetchOffsets(t, g, t.ID(""), 0)
			t.Must("fetch offsets", err)
			t.Equal("offsets", len(got), 0)
		}},
		{"admin-groups/delete-unknown", func(t *T) { t.Code("delete", t.Client.DeleteGroup(t, t.ID("nobody")), 69) }},
		{"admin-groups/delete-with-members", func(t *T) {
			m := t.join(t.group(Group{}, t.topic("", 1)))
			t.settle("it has the partition", shares([]Member{m}, 1), m)
			t.Code("delete", t.Client.DeleteGroup(t, t.ID("g")), 68)
		}},
	}...)
}

func groupOffsetCases() []Case {
	return []Case{
		{"admin-groups/delete-offsets", func(t *T) {
			g, topic := t.emptyGroup(), t.ID("")
			t.Must("delete offsets", t.Client.DeleteOffsets(t, g, topic, 0))
			got, err := t.Client.FetchOffsets(t, g, topic, 0)
			t.Must("fetch offsets", err)
			t.Equal("offsets", len(got), 0)
		}},
		{"admin-groups/delete-offsets-of-members", func(t *T) {
			topic := t.topic("", 1)
			m := t.join(t.group(Group{}, topic))
			t.settle("it has the partition", shares([]Member{m}, 1), m)
			t.fill(topic, 0, 0, 1)
			t.drain(1, m)
			t.Must("commit", m.Commit(t))
			t.Code("delete offsets", t.Client.DeleteOffsets(t, t.ID("g"), topic, 0), 86)
		}},
		{"admin-groups/alter-offsets-of-members", func(t *T) {
			topic := t.topic("", 1)
			m := t.join(t.group(Group{}, topic))
			t.settle("it has the partition", shares([]Member{m}, 1), m)
			t.Code("commit", t.Client.CommitOffsets(t, t.ID("g"), topic, map[int32]Committed{0: {Offset: 0}}), 25)
		}},
		{"admin-groups/reset-to-earliest", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 10)
			g := t.group(Group{}, topic)
			m := t.join(g)
			t.drain(10, m)
			t.Must("commit", m.Commit(t))
			t.Must("leave", m.Leave())
			t.Must("reset", t.Client.CommitOffsets(t, g.Name, topic, map[int32]Committed{0: {Offset: t.offset(topic, 0, Earliest, false)}}))
			t.Equal("values", t.drain(10, t.join(g)), count(0, 10))
		}},
	}
}
