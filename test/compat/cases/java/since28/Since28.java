import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.*;

/** Cases for what clients can since 2.4 to 2.8: cooperative and static members, incremental configs, offsets of groups, quotas, features. */
final class Since28 {
    static void add() throws Exception {
        GroupCases.twoMembers("groups-classic/two-members-cooperative-sticky", "partition.assignment.strategy",
            "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
        statics();
        configs();
        offsets();
        quotas();
        other();
        Reauthentication.add();
    }

    static Kit.Member instance(String topic, String group, String id) {
        return GroupCases.member(topic, group, "group.instance.id", id, "session.timeout.ms", "30000");
    }

    static void statics() {
        Kit.add("static-membership/keeps-its-partitions", () -> {
            String topic = Kit.filled("static", 2);
            var a = instance(topic, "static", "a");
            var b = instance(topic, "static", "b");
            Kit.share(topic, 2, a, b);
            var had = b.assigned;
            var others = a.assigned;
            b.leave();
            b = instance(topic, "static", "b");
            var again = b;
            Kit.until(() -> again.assigned.equals(had), "the member to get its partitions again");
            Kit.check(a.assigned, others, "partitions of the one that stayed");
            a.leave();
            b.leave();
        });
        Kit.add("static-membership/same-instance-fences", () -> {
            String topic = Kit.filled("fence", 1);
            var old = instance(topic, "fence", "x");
            Kit.share(topic, 1, old);
            var young = instance(topic, "fence", "x");
            Kit.until(() -> old.error.get() != null, "the older member to be fenced");
            Kit.check(old.error.get().getClass().getSimpleName(), "FencedInstanceIdException", "error");
            Kit.share(topic, 1, young);
            young.leave();
        });
        Kit.add("static-membership/described-and-removed", () -> {
            String topic = Kit.filled("removed", 1), group = Kit.name("removed");
            var m = instance(topic, "removed", "r");
            Kit.share(topic, 1, m);
            m.leave();
            var d = Kit.get(Kit.admin.describeConsumerGroups(List.of(group)).all()).get(group);
            Kit.check(d.members().iterator().next().groupInstanceId(), Optional.of("r"), "instance");
            Kit.get(Kit.admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("r")))).all());
            d = Kit.get(Kit.admin.describeConsumerGroups(List.of(group)).all()).get(group);
            Kit.check(d.state() + " " + d.members().size(), "Empty 0", "state and members");
        });
    }

    static void set(ConfigResource of, String name, String value, AlterConfigOp.OpType op) throws Exception {
        Kit.get(Kit.admin.incrementalAlterConfigs(Map.of(of, List.of(new AlterConfigOp(new ConfigEntry(name, value), op)))).all());
    }

    static void config(String of, String name, String want) throws Exception {
        Kit.until(() -> want.equals(Kit.configs(Kit.topicResource(of)).get(name)), name + " to be " + want);
    }

    static void configs() {
        Kit.add("admin-configs/set-and-take-away", () -> {
            String topic = Kit.topic("altered", 1, "max.message.bytes", "5000");
            set(Kit.topicResource(topic), "retention.ms", "777", AlterConfigOp.OpType.SET);
            config(topic, "retention.ms", "777");
            set(Kit.topicResource(topic), "retention.ms", null, AlterConfigOp.OpType.DELETE);
            config(topic, "retention.ms", "604800000");
            config(topic, "max.message.bytes", "5000");
        });
        Kit.add("admin-configs/append-and-subtract", () -> {
            String topic = Kit.topic("appended", 1);
            set(Kit.topicResource(topic), "cleanup.policy", "compact", AlterConfigOp.OpType.APPEND);
            config(topic, "cleanup.policy", "delete,compact");
            set(Kit.topicResource(topic), "cleanup.policy", "delete", AlterConfigOp.OpType.SUBTRACT);
            config(topic, "cleanup.policy", "compact");
        });
        Kit.add("errors/alter-config-invalid-value", () -> {
            var of = Kit.topicResource(Kit.topic("altered-bad", 1));
            Kit.refused("InvalidConfigurationException", () -> set(of, "retention.ms", "soon", AlterConfigOp.OpType.SET));
            Kit.refused("InvalidConfigurationException", () -> set(of, "retention.ms", "5", AlterConfigOp.OpType.APPEND));
        });
        Kit.add("errors/alter-config-of-unknown-topic", () -> Kit.refused("UnknownTopicOrPartitionException", () ->
            set(Kit.topicResource(Kit.name("nosuch")), "retention.ms", "5", AlterConfigOp.OpType.SET)));
        Kit.add("admin-configs/synonyms-and-documentation", () -> {
            var of = Kit.topicResource(Kit.topic("synonyms", 1, "retention.ms", "5"));
            var found = Kit.get(Kit.admin.describeConfigs(List.of(of), new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true))
                .all()).get(of).get("retention.ms");
            Kit.check(found.type(), ConfigEntry.ConfigType.LONG, "type");
            Kit.check(found.synonyms().get(0).value(), "5", "first synonym");
            Kit.check(found.documentation() != null && !found.documentation().isEmpty(), "there is documentation");
        });
    }

    static void offsets() {
        Kit.add("admin-offsets/alter-group-offsets", () -> {
            String group = AdminCases.committed("galter", 7);
            var tp = new TopicPartition(Kit.name("galter"), 0);
            Kit.get(Kit.admin.alterConsumerGroupOffsets(group, Map.of(tp, new OffsetAndMetadata(2))).all());
            Kit.check(Kit.get(Kit.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).get(tp).offset(), 2L, "offset");
        });
        Kit.add("admin-offsets/delete-group-offsets", () -> {
            String group = AdminCases.committed("gdeloff", 7);
            Kit.get(Kit.admin.deleteConsumerGroupOffsets(group, Set.of(new TopicPartition(Kit.name("gdeloff"), 0))).all());
            Kit.check(Kit.get(Kit.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).size(), 0, "number of offsets");
        });
        Kit.add("errors/delete-offsets-of-subscribed-topic", () -> {
            String topic = Kit.filled("gsubscribed", 1);
            var m = GroupCases.member(topic, "g-subscribed");
            Kit.share(topic, 1, m);
            Kit.refused("GroupSubscribedToTopicException", () ->
                Kit.get(Kit.admin.deleteConsumerGroupOffsets(Kit.name("g-subscribed"), Set.of(new TopicPartition(topic, 0))).all()));
            m.leave();
        });
        Kit.add("admin-offsets/earliest-and-latest", () -> {
            var tp = new TopicPartition(Kit.filled("specs", 1), 0);
            Kit.check(listed(tp, OffsetSpec.earliest()), 0L, "earliest");
            Kit.check(listed(tp, OffsetSpec.latest()), 10L, "latest");
        });
        Kit.add("admin-offsets/for-a-time", () -> {
            String topic = Kit.topic("fortime", 1);
            try (var p = Kit.producer()) {
                for (long t : new long[] {5, 7, 9}) Kit.get(p.send(new ProducerRecord<>(topic, 0, 1700000000000L + t, null, "v")));
            }
            Kit.check(listed(new TopicPartition(topic, 0), OffsetSpec.forTimestamp(1700000000006L)), 1L, "offset");
        });
    }

    static long listed(TopicPartition tp, OffsetSpec spec) throws Exception {
        return Kit.get(Kit.admin.listOffsets(Map.of(tp, spec)).partitionResult(tp)).offset();
    }

    static void quotas() {
        Kit.add("admin-quotas/set-and-take-away", () -> {
            var entity = new ClientQuotaEntity(Map.of("client-id", Kit.name("quota")));
            var filter = ClientQuotaFilter.contains(List.of(ClientQuotaFilterComponent.ofEntity("client-id", Kit.name("quota"))));
            for (Double rate : new Double[] {123456.0, null}) {
                Kit.get(Kit.admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity,
                    List.of(new ClientQuotaAlteration.Op("producer_byte_rate", rate))))).all());
                Map<ClientQuotaEntity, Map<String, Double>> want = rate == null ? Map.of() : Map.of(entity, Map.of("producer_byte_rate", rate));
                Kit.until(() -> Kit.get(Kit.admin.describeClientQuotas(filter).entities()).equals(want), "quotas " + want);
            }
        });
        Kit.add("errors/unknown-quota", () -> Kit.refused("InvalidRequestException", () ->
            Kit.get(Kit.admin.alterClientQuotas(List.of(new ClientQuotaAlteration(new ClientQuotaEntity(Map.of("client-id", "c")),
                List.of(new ClientQuotaAlteration.Op("no_such_quota", 1.0))))).all())));
    }

    static void other() {
        Kit.add("admin-misc/features", () -> {
            var names = Kit.get(Kit.admin.describeFeatures().featureMetadata()).finalizedFeatures().keySet();
            Kit.check(names.containsAll(Set.of("metadata.version", "group.version", "transaction.version")), "all features are in " + names);
        });
        Kit.add("admin-misc/scram-users", () -> Kit.check(Kit.get(Kit.admin.describeUserScramCredentials().all()).keySet(), Set.of("scram"), "users"));
        Kit.add("admin-misc/no-reassignments", () -> Kit.check(Kit.get(Kit.admin.listPartitionReassignments().reassignments()).size(), 0, "reassignments"));
        Kit.add("admin-misc/elect-leaders", () -> {
            var tp = new TopicPartition(Kit.topic("elected", 1), 0);
            var found = Kit.get(Kit.admin.electLeaders(ElectionType.PREFERRED, Set.of(tp)).partitions()).get(tp);
            Kit.check(found.map(e -> e.getClass().getSimpleName()).orElse("none"), "ElectionNotNeededException", "error");
        });
        Kit.add("errors/compacted-topic-wants-keys", () -> {
            String topic = Kit.topic("compacted", 1, "cleanup.policy", "compact");
            try (var p = Kit.producer()) {
                Kit.refused("InvalidRecordException", () -> Kit.get(p.send(new ProducerRecord<>(topic, 0, null, "v"))));
                Kit.check(Kit.get(p.send(new ProducerRecord<>(topic, 0, "k", "v"))).offset(), 0L, "offset");
            }
        });
        Kit.add("admin-topics/default-partitions-and-replicas", () -> {
            Kit.create(new NewTopic(Kit.name("defaults"), Optional.empty(), Optional.empty()));
            Kit.check(Api.describe(Kit.name("defaults")).partitions().size(), 1, "partitions");
        });
        Kit.add("admin-misc/authorized-operations-without-authorizer", () -> {
            String topic = Kit.topic("operations", 1);
            var d = Kit.get(Kit.admin.describeCluster(new DescribeClusterOptions().includeAuthorizedOperations(true)).authorizedOperations());
            Kit.check(d.contains(org.apache.kafka.common.acl.AclOperation.ALTER), "cluster operations " + d);
        });
    }
}
