package parity

import (
	"slices"
	"strconv"

	"sluice/wire/msg"
)

var _ = add(map[string]func(*script){
	"configs": configResources,
})

// Types of configuration resources.
const (
	topicResource         int8 = 2
	brokerResource        int8 = 4
	loggerResource        int8 = 8
	clientMetricsResource int8 = 16
	groupResource         int8 = 32
)

// Operations on configurations.
const (
	opSet int8 = iota
	opDelete
	opAppend
	opSubtract
)

type configOp = msg.IncrementalAlterConfigsRequestAlterableConfig

func set(name, value string) configOp { return configOp{Name: name, Value: &value} }

func configResources(s *script) {
	node := strconv.Itoa(int(s.broker.Node))
	alter := func(step string, kind int8, name string, ops ...configOp) {
		s.ask(step, 1, &msg.IncrementalAlterConfigsRequest{Resources: []msg.IncrementalAlterConfigsRequestAlterConfigsResource{{ResourceType: kind, ResourceName: name, Configs: ops}}})
	}
	describe := func(step string, kind int8, name string) { s.describeConfigs(step, kind, name, false) }
	topic, group, subscription := s.create("t", 1), s.topic("group"), s.topic("metrics")
	describe("of an unknown group", groupResource, group)
	alter("group", groupResource, group, set("consumer.session.timeout.ms", "50000"), set("share.isolation.level", "read_committed"))
	s.describeConfigs("of a group", groupResource, group, true)
	for _, kv := range [][2]string{{"consumer.session.timeout.ms", "1"}, {"consumer.session.timeout.ms", "70000"}, {"consumer.heartbeat.interval.ms", "16000"}, {"no.such", "1"},
		{"share.auto.offset.reset", "by_duration:PT1H"}, {"share.auto.offset.reset", "by_duration:-PT1H"}, {"share.auto.offset.reset", "sometime"}, {"share.isolation.level", "other"},
		{"streams.num.standby.replicas", "2"}, {"streams.num.standby.replicas", "3"}, {"share.record.lock.duration.ms", "14000"}, {"share.delivery.count.limit", "11"},
		{"share.partition.max.record.locks", "99"}, {"consumer.assignment.interval.ms", "15001"}, {"share.renew.acknowledge.enable", "perhaps"}} {
		alter("group "+kv[0]+"="+kv[1], groupResource, group, set(kv[0], kv[1]))
	}
	alter("group append", groupResource, group, configOp{Name: "consumer.session.timeout.ms", ConfigOperation: opAppend, Value: ptr("1")})
	alter("group delete", groupResource, group, configOp{Name: "consumer.session.timeout.ms", ConfigOperation: opDelete})
	alter("no group", groupResource, "", set("consumer.session.timeout.ms", "50000"))
	describe("of no group", groupResource, "")

	describe("of an unknown subscription", clientMetricsResource, subscription)
	alter("subscription", clientMetricsResource, subscription, set("interval.ms", "1000"), set("metrics", "org.apache.kafka.producer.,org.apache.kafka.consumer."), set("match", "client_id=a.*,client_software_name=java"))
	s.describeConfigs("of a subscription", clientMetricsResource, subscription, true)
	for _, kv := range [][2]string{{"interval.ms", "99"}, {"interval.ms", "3600001"}, {"interval.ms", "x"}, {"match", "client_id"}, {"match", "color=red"}, {"match", "client_id=["}, {"match", "client_id=a=b"}, {"metrics", ""}, {"no.such", "1"}} {
		alter("subscription "+kv[0]+"="+kv[1], clientMetricsResource, subscription, set(kv[0], kv[1]))
	}
	alter("no subscription", clientMetricsResource, "", set("interval.ms", "1000"))
	describe("of no subscription", clientMetricsResource, "")

	for _, kv := range [][2]string{{"no.such.broker.config", "1"}, {"broker.id", "5"}, {"log.retention.ms", "x"}, {"num.partitions", "5"}, {"log.cleaner.threads", "2"}, {"max.connections", "-1"}} {
		alter("broker "+kv[0]+"="+kv[1], brokerResource, node, set(kv[0], kv[1]))
	}
	alter("broker delete", brokerResource, node, configOp{Name: "log.cleaner.threads", ConfigOperation: opDelete})
	alter("an unknown broker", brokerResource, "7777", set("log.cleaner.threads", "1"))
	alter("a broker of no number", brokerResource, "x", set("log.cleaner.threads", "1"))
	alter("an unknown logger", loggerResource, node, set("no.such.logger", "DEBUG"))
	alter("a level that is none", loggerResource, node, set("root", "LOUD"))
	alter("a level", loggerResource, node, set("root", "INFO"))
	alter("a logger deleted", loggerResource, node, configOp{Name: "root", ConfigOperation: opDelete})
	alter("a logger of another broker", loggerResource, "7777", set("root", "INFO"))
	alter("an unknown kind", 3, "x", set("a", "b"))
	alter("an unknown topic", topicResource, s.topic("unknown"), set("retention.ms", "1"))
	alter("a topic, twice", topicResource, topic, set("retention.ms", "1"), set("retention.ms", "2"))
	describe("of an unknown kind", 3, "x")
	describe("of a topic", topicResource, topic)
	alter("several of a topic", topicResource, topic, set("retention.ms", "7200000"), set("cleanup.policy", "compact"), set("compression.type", "zstd"), set("min.insync.replicas", "1"))
	s.describeConfigs("of a topic that has some", topicResource, topic, true)
	for _, kv := range [][2]string{{"retention.ms", "-2"}, {"cleanup.policy", "shred"}, {"cleanup.policy", ""}, {"max.message.bytes", "-1"}, {"segment.bytes", "10"}, {"no.such", "1"},
		{"message.timestamp.type", "Never"}, {"min.cleanable.dirty.ratio", "1.1"}, {"remote.storage.enable", "false"}, {"flush.ms", "-1"}, {"compression.gzip.level", "10"}, {"preallocate", "maybe"}} {
		alter("topic "+kv[0]+"="+kv[1], topicResource, topic, set(kv[0], kv[1]))
	}
}

// describeConfigs describes a resource, with synonyms, when what was changed is in force; with set, when something is set for it.
func (s *script) describeConfigs(step string, kind int8, name string, set bool) {
	s.published()
	req := &msg.DescribeConfigsRequest{IncludeSynonyms: true, Resources: []msg.DescribeConfigsRequestDescribeConfigsResource{{ResourceType: kind, ResourceName: name}}}
	s.settle(step, 4, req, func(m msg.Message) bool {
		const byDefault = 5
		return !set || slices.ContainsFunc(m.(*msg.DescribeConfigsResponse).Results[0].Configs, func(c msg.DescribeConfigsResponseDescribeConfigsResourceResult) bool {
			return c.ConfigSource != byDefault
		})
	})
}

var _ = add(map[string]func(*script){
	"logdirs": logDirs,
})

func logDirs(s *script) {
	topic := s.create("t", 2)
	type dir = msg.AlterReplicaLogDirsRequestAlterReplicaLogDir
	type dirTopic = msg.AlterReplicaLogDirsRequestAlterReplicaLogDirTopic
	described := s.tell(4, &msg.DescribeLogDirsRequest{}).(*msg.DescribeLogDirsResponse)
	here := described.Results[0].LogDir
	s.versions(msg.KeyAlterReplicaLogDirs, func(v int16) {
		move := func(step, path, name string, partitions ...int32) {
			s.ask(step, v, &msg.AlterReplicaLogDirsRequest{Dirs: []dir{{Path: path, Topics: []dirTopic{{Name: name, Partitions: partitions}}}}})
		}
		move("to where it is", here, topic, 0, 1)
		move("to nowhere", "/no/such/dir", topic, 0)
		move("an unknown partition", here, topic, 2)
		move("an unknown topic", here, s.topic("unknown"), 0)
		move("an unknown topic to nowhere", "/no/such/dir", s.topic("unknown"), 0)
		move("a bad name", here, "bad name!", 0)
		s.ask("nothing", v, &msg.AlterReplicaLogDirsRequest{})
	})
	s.versions(msg.KeyDescribeLogDirs, func(v int16) {
		ask := func(step string, topics []msg.DescribeLogDirsRequestDescribableLogDirTopic) {
			s.ask(step, v, &msg.DescribeLogDirsRequest{Topics: topics})
		}
		ask("a topic", []msg.DescribeLogDirsRequestDescribableLogDirTopic{{Topic: topic, Partitions: []int32{0, 1}}})
		ask("one partition", []msg.DescribeLogDirsRequestDescribableLogDirTopic{{Topic: topic, Partitions: []int32{1}}})
		ask("an unknown topic", []msg.DescribeLogDirsRequestDescribableLogDirTopic{{Topic: s.topic("unknown"), Partitions: []int32{0}}})
		ask("no topics", []msg.DescribeLogDirsRequestDescribableLogDirTopic{})
	})
}
