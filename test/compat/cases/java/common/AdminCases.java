import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.resource.*;

/** Cases about admin calls that all versions have, and about the errors they get. */
final class AdminCases {
    static void add() {
        topics();
        errors();
        configs();
        groups();
        acls();
        Kit.add("admin-misc/log-dirs", () -> {
            String topic = Kit.filled("dirs", 2);
            Kit.check(Api.inLogDirs().stream().filter(tp -> tp.topic().equals(topic)).count(), 2L, "partitions in the log directories");
        });
        Kit.add("admin-misc/describe-cluster", () -> {
            var d = Kit.admin.describeCluster();
            Kit.check(Kit.get(d.controller()).id(), Kit.broker(), "controller");
            Kit.check(!Kit.get(d.clusterId()).isEmpty(), "there is a cluster id");
        });
    }

    static void topics() {
        Kit.add("admin-topics/create-and-describe", () -> {
            String topic = Kit.topic("created", 3);
            var d = Api.describe(topic);
            Kit.check(d.partitions().size(), 3, "partitions");
            for (var p : d.partitions()) {
                Kit.check(p.leader().id(), Kit.broker(), "leader");
                Kit.check(p.replicas().size() + " " + p.isr().size(), "1 1", "replicas and those in sync");
            }
            Kit.check(d.isInternal(), false, "internal");
        });
        Kit.add("admin-topics/list", () -> {
            String topic = Kit.topic("listed", 1);
            Kit.until(() -> Kit.get(Kit.admin.listTopics().names()).contains(topic), "the topic to be listed");
        });
        Kit.add("admin-topics/delete", () -> {
            String topic = Kit.topic("deleted", 1);
            Kit.get(Kit.admin.deleteTopics(List.of(topic)).all());
            Kit.until(() -> !Kit.get(Kit.admin.listTopics().names()).contains(topic), "the topic to go");
        });
        Kit.add("admin-topics/create-validate-only", () -> {
            String topic = Kit.name("validated");
            Kit.get(Kit.admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1)), new CreateTopicsOptions().validateOnly(true)).all());
            Kit.check(Kit.get(Kit.admin.listTopics().names()).contains(topic), false, "the topic is there");
        });
        Kit.add("admin-topics/create-with-config", () -> {
            String topic = Kit.topic("configured", 1, "retention.ms", "12345678", "cleanup.policy", "compact");
            var found = Kit.configs(Kit.topicResource(topic));
            Kit.check(found.get("retention.ms") + " " + found.get("cleanup.policy"), "12345678 compact", "configs");
        });
        Kit.add("admin-topics/create-with-assignment", () -> {
            Kit.create(new NewTopic(Kit.name("assigned"), Map.of(0, List.of(Kit.broker()), 1, List.of(Kit.broker()))));
            Kit.check(Api.describe(Kit.name("assigned")).partitions().size(), 2, "partitions");
        });
        Kit.add("admin-topics/recreate", () -> {
            String topic = Kit.filled("recreated", 1);
            Kit.get(Kit.admin.deleteTopics(List.of(topic)).all());
            Kit.until(() -> !Kit.get(Kit.admin.listTopics().names()).contains(topic), "the topic to go");
            Kit.create(new NewTopic(topic, 1, (short) 1));
            Kit.check(Kit.send(topic, List.of("v")), List.of(0L), "offset");
        });
        Kit.add("admin-topics/create-partitions", () -> {
            String topic = Kit.topic("grown", 2);
            Kit.get(Kit.admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all());
            Kit.until(() -> Api.describe(topic).partitions().size() == 5, "the new partitions");
        });
        Kit.add("admin-topics/delete-records", () -> {
            var tp = new TopicPartition(Kit.filled("recordsdeleted", 1), 0);
            Kit.check(Kit.get(Kit.admin.deleteRecords(Map.of(tp, RecordsToDelete.beforeOffset(4))).lowWatermarks().get(tp)).lowWatermark(), 4L, "first");
            Kit.check(Kit.get(Kit.admin.deleteRecords(Map.of(tp, RecordsToDelete.beforeOffset(-1))).lowWatermarks().get(tp)).lowWatermark(), 10L, "first");
        });
    }

    static NewTopic plain(String name) { return new NewTopic(name, 1, (short) 1); }

    static void errors() {
        Kit.add("errors/topic-exists", () -> {
            String topic = Kit.topic("exists", 1);
            Kit.refused("TopicExistsException", () -> Kit.create(plain(topic)));
        });
        Kit.add("errors/invalid-topic-name", () -> Kit.refused("InvalidTopicException", () -> Kit.create(plain("no spaces"))));
        Kit.add("errors/long-topic-name", () -> Kit.refused("InvalidTopicException", () -> Kit.create(plain("x".repeat(250)))));
        Kit.add("errors/colliding-topic-name", () -> {
            Kit.topic("with.dot", 1);
            Kit.refused("InvalidTopicException", () -> Kit.create(plain(Kit.name("with_dot"))));
        });
        Kit.add("errors/invalid-replication-factor", () ->
            Kit.refused("InvalidReplicationFactorException", () -> Kit.create(new NewTopic(Kit.name("replicas"), 1, (short) 30))));
        Kit.add("errors/invalid-partition-count", () ->
            Kit.refused("InvalidPartitionsException", () -> Kit.create(new NewTopic(Kit.name("none"), 0, (short) 1))));
        Kit.add("errors/assignment-to-unknown-broker", () ->
            Kit.refused("InvalidReplicaAssignmentException", () -> Kit.create(new NewTopic(Kit.name("nowhere"), Map.of(0, List.of(4711))))));
        Kit.add("errors/invalid-config-value", () ->
            Kit.refused("InvalidConfigurationException", () -> Kit.create(plain(Kit.name("bad")).configs(Map.of("retention.ms", "soon")))));
        Kit.add("errors/unknown-config", () ->
            Kit.refused("InvalidConfigurationException", () -> Kit.create(plain(Kit.name("bad")).configs(Map.of("no.such.config", "1")))));
        Kit.add("errors/delete-unknown-topic", () ->
            Kit.refused("UnknownTopicOrPartitionException", () -> Kit.get(Kit.admin.deleteTopics(List.of(Kit.name("nosuch"))).all())));
        Kit.add("errors/describe-unknown-topic", () -> Kit.refused("UnknownTopicOrPartitionException", () -> Api.describe(Kit.name("nosuch"))));
        Kit.add("errors/fewer-partitions", () -> {
            String topic = Kit.topic("fewer", 3);
            Kit.refused("InvalidPartitionsException", () -> Kit.get(Kit.admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all()));
        });
        Kit.add("errors/delete-records-beyond-the-end", () -> {
            var tp = new TopicPartition(Kit.filled("beyond", 1), 0);
            Kit.refused("OffsetOutOfRangeException", () -> Kit.get(Kit.admin.deleteRecords(Map.of(tp, RecordsToDelete.beforeOffset(50))).all()));
        });
        Kit.add("errors/describe-config-of-unknown-topic", () ->
            Kit.refused("UnknownTopicOrPartitionException", () -> Kit.configs(Kit.topicResource(Kit.name("nosuch")))));
        Kit.add("errors/delete-unknown-group", () ->
            Kit.refused("GroupIdNotFoundException", () -> Kit.get(Kit.admin.deleteConsumerGroups(List.of(Kit.name("nosuch"))).all())));
        Kit.add("errors/delete-group-with-members", () -> {
            String topic = Kit.filled("gfull", 1);
            var m = GroupCases.member(topic, "g-full");
            Kit.share(topic, 1, m);
            Kit.refused("GroupNotEmptyException", () -> Kit.get(Kit.admin.deleteConsumerGroups(List.of(Kit.name("g-full"))).all()));
            m.leave();
        });
    }

    static void configs() {
        Kit.add("admin-configs/describe-topic-defaults", () -> {
            var found = Kit.configs(Kit.topicResource(Kit.topic("plain", 1)));
            Map<String, String> want = Map.of("retention.ms", "604800000", "cleanup.policy", "delete", "max.message.bytes", "1048588",
                "compression.type", "producer", "message.timestamp.type", "CreateTime", "min.insync.replicas", "1");
            want.forEach((n, v) -> Kit.check(found.get(n), v, n));
        });
        Kit.add("admin-configs/sources", () -> {
            String topic = Kit.topic("sources", 1, "retention.ms", "5");
            var found = Kit.get(Kit.admin.describeConfigs(List.of(Kit.topicResource(topic))).all()).get(Kit.topicResource(topic));
            Kit.check(found.get("retention.ms").source().name(), "DYNAMIC_TOPIC_CONFIG", "source of what was set");
            Kit.check(found.get("retention.bytes").source().name(), "DEFAULT_CONFIG", "source of what was not");
            Kit.check(found.get("retention.ms").isReadOnly(), false, "read only");
        });
        Kit.add("admin-configs/describe-broker", () -> {
            var found = Kit.configs(new ConfigResource(ConfigResource.Type.BROKER, "" + Kit.broker()));
            Kit.check(found.get("num.partitions"), "1", "num.partitions");
            Kit.check(found.get("advertised.listeners") != null, "there are listeners");
        });
    }

    static String committed(String what, long offset) throws Exception {
        String topic = Kit.filled(what, 1), group = Kit.name("g-" + what);
        try (var c = Kit.consumer("group.id", group)) {
            c.assign(List.of(new TopicPartition(topic, 0)));
            c.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(offset)));
        }
        return group;
    }

    static void groups() {
        Kit.add("admin-groups/list", () -> {
            String group = committed("glisted", 4);
            Kit.check(Kit.get(Kit.admin.listConsumerGroups().all()).stream().anyMatch(g -> g.groupId().equals(group)), "the group is listed");
        });
        Kit.add("admin-groups/describe-empty", () -> {
            String group = committed("gdescribed", 4);
            var d = Kit.get(Kit.admin.describeConsumerGroups(List.of(group)).all()).get(group);
            Kit.check(d.state().toString() + " " + d.members().size(), "Empty 0", "state and members");
            Kit.check(d.coordinator().id(), Kit.broker(), "coordinator");
        });
        Kit.add("groups-classic/group-is-described", () -> {
            String topic = Kit.filled("gstable", 2);
            var m = GroupCases.member(topic, "g-stable", "client.id", "me");
            Kit.share(topic, 2, m);
            var d = Kit.get(Kit.admin.describeConsumerGroups(List.of(Kit.name("g-stable"))).all()).get(Kit.name("g-stable"));
            Kit.check(d.state().toString(), "Stable", "state");
            Kit.check(d.partitionAssignor(), "range", "assignor");
            var member = d.members().iterator().next();
            Kit.check(member.clientId(), "me", "client id");
            Kit.check(member.host(), "/127.0.0.1", "host");
            Kit.check(member.assignment().topicPartitions().size(), 2, "partitions");
            m.leave();
        });
        Kit.add("admin-groups/delete", () -> {
            String group = committed("gdeleted", 4);
            Kit.get(Kit.admin.deleteConsumerGroups(List.of(group)).all());
            Kit.check(Kit.get(Kit.admin.listConsumerGroups().all()).stream().anyMatch(g -> g.groupId().equals(group)), false, "the group is listed");
        });
        Kit.add("admin-offsets/list-group-offsets", () -> {
            String group = committed("goffsets", 7);
            var found = Kit.get(Kit.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
            Kit.check(found.get(new TopicPartition(Kit.name("goffsets"), 0)).offset(), 7L, "offset");
        });
        Kit.add("admin-offsets/offsets-of-unknown-group", () ->
            Kit.check(Kit.get(Kit.admin.listConsumerGroupOffsets(Kit.name("nosuch")).partitionsToOffsetAndMetadata()).size(), 0, "number of offsets"));
    }

    static void acls() {
        var pattern = new ResourcePattern(ResourceType.TOPIC, "t", PatternType.LITERAL);
        var binding = new AclBinding(pattern, new AccessControlEntry("User:u", "*", AclOperation.READ, AclPermissionType.ALLOW));
        Kit.add("admin-acls/describe-without-authorizer", () ->
            Kit.refused("SecurityDisabledException", () -> Kit.get(Kit.admin.describeAcls(AclBindingFilter.ANY).values())));
        Kit.add("admin-acls/create-without-authorizer", () ->
            Kit.refused("SecurityDisabledException", () -> Kit.get(Kit.admin.createAcls(List.of(binding)).all())));
        Kit.add("admin-acls/delete-without-authorizer", () ->
            Kit.refused("SecurityDisabledException", () -> Kit.get(Kit.admin.deleteAcls(List.of(AclBindingFilter.ANY)).all())));
    }
}
