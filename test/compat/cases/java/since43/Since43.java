import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;

/** Cases for what clients can since 3.0 to 4.3: groups of KIP-848, transactions as admins see them, the quorum, groups' configs. */
final class Since43 {
    static final Object[] NEW = {"group.protocol", "consumer"};

    static void add() {
        groups();
        transactions();
        other();
    }

    static void groups() {
        for (String assignor : List.of("uniform", "range"))
            GroupCases.twoMembers("groups-consumer/two-members-" + assignor, "group.protocol", "consumer", "group.remote.assignor", assignor);
        GroupCases.bothProtocols("groups-consumer", NEW);
        Kit.add("groups-consumer/group-is-described", () -> {
            String topic = Kit.filled("described848", 2), group = Kit.name("g-described848");
            var m = GroupCases.member(topic, "g-described848", "group.protocol", "consumer", "client.id", "me");
            Kit.share(topic, 2, m);
            var d = Kit.get(Kit.admin.describeConsumerGroups(List.of(group)).all()).get(group);
            Kit.check(d.groupState() + " " + d.type() + " " + d.partitionAssignor(), "Stable Consumer uniform", "state, type and assignor");
            Kit.check(d.groupEpoch().isPresent() && d.targetAssignmentEpoch().isPresent(), "there are epochs");
            var member = d.members().iterator().next();
            Kit.check(member.clientId() + " " + member.assignment().topicPartitions().size(), "me 2", "client and partitions");
            m.leave();
            Kit.until(() -> Kit.get(Kit.admin.describeConsumerGroups(List.of(group)).all()).get(group).groupState() == GroupState.EMPTY, "no members");
        });
        Kit.add("groups-consumer/server-side-pattern", () -> {
            Kit.filled("re2-a", 1);
            Kit.filled("re2-b", 1);
            var m = new Kit.Member(Kit.consumer("group.protocol", "consumer", "group.id", Kit.name("g-re2")),
                c -> c.subscribe(new SubscriptionPattern(Kit.name("re2-.*"))));
            Kit.until(() -> m.records.size() == 20, "records of both topics");
            m.leave();
        });
        Kit.add("errors/invalid-server-side-pattern", () -> {
            var m = new Kit.Member(Kit.consumer("group.protocol", "consumer", "group.id", Kit.name("g-badre2")),
                c -> c.subscribe(new SubscriptionPattern("(unclosed")));
            Kit.until(() -> m.error.get() != null, "an error");
            Kit.check(m.error.get().getClass().getSimpleName(), "InvalidRegularExpression", "error");
        });
        Kit.add("errors/unknown-remote-assignor", () -> {
            var m = GroupCases.member(Kit.topic("noassignor", 1), "g-noassignor", "group.protocol", "consumer", "group.remote.assignor", "nosuch");
            Kit.until(() -> m.error.get() != null, "an error");
            Kit.check(m.error.get().getClass().getSimpleName(), "UnsupportedAssignorException", "error");
        });
        Kit.add("groups-consumer/classic-group-is-taken-over", () -> {
            String topic = Kit.filled("takeover", 4);
            var old = GroupCases.member(topic, "g-takeover", "partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
            Kit.share(topic, 4, old);
            var young = GroupCases.member(topic, "g-takeover", NEW);
            Kit.share(topic, 4, old, young);
            old.leave();
            Kit.share(topic, 4, young);
            young.leave();
        });
        Kit.add("groups-consumer/static-member-keeps-its-partitions", () -> {
            String topic = Kit.filled("static848", 2);
            var a = GroupCases.member(topic, "g-static848", "group.protocol", "consumer", "group.instance.id", "a");
            var b = GroupCases.member(topic, "g-static848", "group.protocol", "consumer", "group.instance.id", "b");
            Kit.share(topic, 2, a, b);
            var had = b.assigned;
            b.leave();
            var again = GroupCases.member(topic, "g-static848", "group.protocol", "consumer", "group.instance.id", "b");
            Kit.until(() -> again.assigned.equals(had), "the member to get its partitions again");
            a.leave();
            again.leave();
        });
        Kit.add("admin-groups/list-by-type-and-state", () -> {
            String topic = Kit.filled("gtypes", 1), group = Kit.name("g-types");
            var m = GroupCases.member(topic, "g-types", NEW);
            Kit.share(topic, 1, m);
            AdminCases.committed("gtypes-classic", 3);
            var some = Kit.get(Kit.admin.listGroups(new ListGroupsOptions().withTypes(Set.of(GroupType.CONSUMER)).inGroupStates(Set.of(GroupState.STABLE))).all());
            Kit.check(some.stream().anyMatch(g -> g.groupId().equals(group)), "the group is listed");
            Kit.check(some.stream().allMatch(g -> g.type().equals(Optional.of(GroupType.CONSUMER))), "all are of the type");
            m.leave();
        });
        Kit.add("errors/describe-unknown-group", () -> Kit.refused("GroupIdNotFoundException", () ->
            Kit.get(Kit.admin.describeConsumerGroups(List.of(Kit.name("nosuch"))).all())));
        Kit.add("admin-configs/group", () -> {
            var of = new ConfigResource(ConfigResource.Type.GROUP, Kit.name("g-config"));
            Since28.set(of, "consumer.session.timeout.ms", "50000", AlterConfigOp.OpType.SET);
            Kit.until(() -> "50000".equals(Kit.configs(of).get("consumer.session.timeout.ms")), "the new value");
            Kit.refused("InvalidConfigurationException", () -> Since28.set(of, "consumer.session.timeout.ms", "1", AlterConfigOp.OpType.SET));
        });
    }

    static void transactions() {
        Kit.add("admin-misc/describe-transaction", () -> {
            String topic = Kit.topic("txdescribed", 1), txn = Kit.name("tx-described");
            try (var p = Kit.transactional("tx-described")) {
                p.beginTransaction();
                Kit.send(p, topic, List.of("v"));
                var d = Kit.get(Kit.admin.describeTransactions(List.of(txn)).all()).get(txn);
                Kit.check(d.state() + " " + d.topicPartitions(), "Ongoing [" + topic + "-0]", "state and partitions");
                p.commitTransaction();
                Kit.until(() -> Kit.get(Kit.admin.describeTransactions(List.of(txn)).all()).get(txn).state() == TransactionState.COMPLETE_COMMIT, "the end");
            }
            Kit.check(Kit.get(Kit.admin.listTransactions().all()).stream().anyMatch(t -> t.transactionalId().equals(txn)), "the transaction is listed");
        });
        Kit.add("errors/describe-unknown-transaction", () -> Kit.refused("TransactionalIdNotFoundException", () ->
            Kit.get(Kit.admin.describeTransactions(List.of(Kit.name("nosuch"))).all())));
        Kit.add("admin-misc/describe-producers", () -> {
            String topic = Kit.topic("producers", 1);
            Kit.send(topic, List.of("a", "b"));
            var found = Kit.get(Kit.admin.describeProducers(List.of(new TopicPartition(topic, 0))).partitionResult(new TopicPartition(topic, 0)));
            Kit.check(found.activeProducers().size(), 1, "producers");
            var p = found.activeProducers().get(0);
            Kit.check(p.lastSequence() + " " + p.currentTransactionStartOffset(), "1 OptionalLong.empty", "sequence and transaction");
        });
        Kit.add("admin-misc/abort-transaction", () -> {
            String topic = Kit.topic("txaborted", 1);
            var tp = new TopicPartition(topic, 0);
            var p = Kit.transactional("tx-aborted");
            p.beginTransaction();
            Kit.send(p, topic, List.of("v"));
            var state = Kit.get(Kit.admin.describeProducers(List.of(tp)).partitionResult(tp)).activeProducers().get(0);
            Kit.get(Kit.admin.abortTransaction(new AbortTransactionSpec(tp, state.producerId(), (short) state.producerEpoch(),
                state.coordinatorEpoch().orElse(0))).all());
            Kit.send(topic, List.of("after"));
            Kit.check(Kit.values(Kit.read(topic, 1, (Object[]) DataCases.COMMITTED)), List.of("after"), "values");
            p.close(Duration.ZERO);
        });
        Kit.add("admin-misc/fence-producers", () -> {
            String topic = Kit.topic("txfenced", 1);
            var p = Kit.transactional("tx-fenced");
            Kit.get(Kit.admin.fenceProducers(List.of(Kit.name("tx-fenced"))).all());
            p.beginTransaction();
            Kit.refused("InvalidProducerEpochException", () -> { Kit.send(p, topic, List.of("v")); p.commitTransaction(); });
            p.close(Duration.ZERO);
        });
    }

    static void other() {
        Kit.add("admin-offsets/max-timestamp", () -> {
            String topic = Kit.topic("maxtime", 1);
            try (var p = Kit.producer()) {
                for (long t : new long[] {5, 9, 7}) Kit.get(p.send(new ProducerRecord<>(topic, 0, 1700000000000L + t, null, "v")));
            }
            Kit.check(Since28.listed(new TopicPartition(topic, 0), OffsetSpec.maxTimestamp()), 1L, "offset");
        });
        Kit.add("admin-offsets/local-and-tiered", () -> {
            var tp = new TopicPartition(Kit.filled("tiered", 1), 0);
            Kit.check(Since28.listed(tp, OffsetSpec.earliestLocal()), 0L, "earliest local");
            Kit.check(Since28.listed(tp, OffsetSpec.latestTiered()), -1L, "latest tiered");
        });
        Kit.add("admin-misc/quorum", () -> {
            var q = Kit.get(Kit.admin.describeMetadataQuorum().quorumInfo());
            Kit.check(q.leaderId(), Kit.broker(), "leader");
            Kit.check(q.voters().size(), 1, "voters");
        });
        Kit.add("admin-misc/client-metrics", () -> {
            var of = new ConfigResource(ConfigResource.Type.CLIENT_METRICS, Kit.name("metrics"));
            Since28.set(of, "interval.ms", "30000", AlterConfigOp.OpType.SET);
            Kit.until(() -> Kit.get(Kit.admin.listConfigResources(Set.of(ConfigResource.Type.CLIENT_METRICS), new ListConfigResourcesOptions()).all()).contains(of),
                "the resource to be listed");
            Kit.check(Kit.configs(of).get("interval.ms"), "30000", "interval");
            Kit.refused("InvalidRequestException", () -> Since28.set(of, "interval.ms", "1", AlterConfigOp.OpType.SET));
        });
        Kit.add("admin-topics/describe-by-id", () -> {
            String topic = Kit.topic("byid", 2);
            Uuid id = Api.describe(topic).topicId();
            var found = Kit.get(Kit.admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds()).get(id);
            Kit.check(found.name() + " " + found.partitions().size(), topic + " 2", "name and partitions");
            Kit.refused("UnknownTopicIdException", () ->
                Kit.get(Kit.admin.describeTopics(TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).allTopicIds()));
        });
        Kit.add("admin-topics/delete-by-id", () -> {
            String topic = Kit.topic("delbyid", 1);
            Kit.get(Kit.admin.deleteTopics(TopicCollection.ofTopicIds(List.of(Api.describe(topic).topicId()))).all());
            Kit.until(() -> !Kit.get(Kit.admin.listTopics().names()).contains(topic), "the topic to go");
        });
        Kit.add("metadata/same-topic-id-everywhere", () -> {
            String topic = Kit.topic("topicid", 1);
            Uuid listed = Kit.get(Kit.admin.listTopics().namesToListings()).get(topic).topicId();
            Kit.check(Api.describe(topic).topicId(), listed, "id");
            Kit.check(!listed.equals(Uuid.ZERO_UUID), "there is an id");
        });
        Kit.add("admin-misc/cluster-with-fenced-brokers", () -> Kit.check(
            Kit.get(Kit.admin.describeCluster(new DescribeClusterOptions().includeFencedBrokers(true)).nodes()).size(), 1, "brokers"));
    }
}
