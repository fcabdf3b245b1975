import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Cases about share groups. */
final class ShareCases {
    interface Use { void of(String topic, String group) throws Exception; }

    /** A case with a topic of ten records, and a group that reads it from the start. */
    static void share(String name, Use use) {
        Kit.add("groups-share/" + name, () -> {
            String topic = Kit.filled("share-" + name, 1), group = Kit.name("share-" + name);
            Since28.set(new ConfigResource(ConfigResource.Type.GROUP, group), "share.auto.offset.reset", "earliest", AlterConfigOp.OpType.SET);
            use.of(topic, group);
        });
    }

    static KafkaShareConsumer<String, String> consumer(String topic, String group, Object... more) {
        Properties p = Kit.props(more);
        p.put("group.id", group);
        var c = new KafkaShareConsumer<>(p, new StringDeserializer(), new StringDeserializer());
        c.subscribe(List.of(topic));
        return c;
    }

    static KafkaShareConsumer<String, String> explicit(String topic, String group, Object... more) {
        Object[] all = Arrays.copyOf(more, more.length + 2);
        all[more.length] = "share.acknowledgement.mode";
        all[more.length + 1] = "explicit";
        return consumer(topic, group, all);
    }

    interface Each { void of(ConsumerRecord<String, String> r); }

    /** Polls until records have come; each is handed on as it comes. */
    static List<String> take(KafkaShareConsumer<String, String> c, int count, Each each) throws Exception {
        List<String> got = new ArrayList<>();
        Kit.until(() -> {
            c.poll(Duration.ofMillis(200)).forEach(r -> { got.add(r.value()); each.of(r); });
            return got.size() >= count;
        }, count + " records, after " + got);
        return got;
    }

    static void add() {
        reading();
        acknowledging();
        admin();
    }

    static void reading() {
        share("receive-all", (topic, group) -> {
            try (var c = consumer(topic, group)) {
                Kit.check(take(c, 10, r -> {}), Kit.numbers(0, 10), "values");
                Kit.check(c.subscription(), Set.of(topic), "subscription");
            }
        });
        share("what-is-acknowledged-does-not-come-again", (topic, group) -> {
            try (var c = consumer(topic, group)) {
                take(c, 10, r -> {});
                for (var e : c.commitSync().values()) Kit.check(e, Optional.empty(), "error of the commit");
            }
            Kit.send(topic, List.of("next"));
            try (var c = consumer(topic, group)) {
                Kit.check(take(c, 1, r -> {}), List.of("next"), "values");
            }
        });
        share("two-members-share-one-partition", (topic, group) -> {
            Kit.send(topic, Kit.numbers(10, 500));
            try (var a = consumer(topic, group, "max.poll.records", "10"); var b = consumer(topic, group, "max.poll.records", "10")) {
                List<String> all = new ArrayList<>();
                Kit.until(() -> {
                    for (var c : List.of(a, b)) c.poll(Duration.ofMillis(100)).forEach(r -> all.add(r.value()));
                    return all.size() >= 500;
                }, "all records");
                Kit.check(Set.copyOf(all), Set.copyOf(Kit.numbers(0, 500)), "values");
                Kit.check(all.size(), 500, "deliveries");
            }
        });
        share("two-groups-each-get-all", (topic, group) -> {
            Since28.set(new ConfigResource(ConfigResource.Type.GROUP, group + "2"), "share.auto.offset.reset", "earliest", AlterConfigOp.OpType.SET);
            for (String g : List.of(group, group + "2"))
                try (var c = consumer(topic, g)) {
                    Kit.check(take(c, 10, r -> {}), Kit.numbers(0, 10), "values of " + g);
                }
        });
    }

    static void acknowledging() {
        share("release-brings-again", (topic, group) -> {
            try (var c = explicit(topic, group)) {
                take(c, 10, r -> c.acknowledge(r, AcknowledgeType.RELEASE));
                List<Short> counts = new ArrayList<>();
                Kit.check(take(c, 10, r -> { counts.add(r.deliveryCount().orElse((short) 0)); c.acknowledge(r, AcknowledgeType.ACCEPT); }),
                    Kit.numbers(0, 10), "values");
                Kit.check(Set.copyOf(counts), Set.of((short) 2), "delivery counts");
            }
        });
        share("reject-does-not-bring-again", (topic, group) -> {
            try (var c = explicit(topic, group)) {
                take(c, 10, r -> c.acknowledge(r, r.offset() % 2 == 0 ? AcknowledgeType.ACCEPT : AcknowledgeType.REJECT));
                c.commitSync();
                Kit.send(topic, List.of("next"));
                Kit.check(take(c, 1, r -> c.acknowledge(r)), List.of("next"), "values");
            }
        });
        share("released-till-the-limit", (topic, group) -> {
            int deliveries = 0;
            try (var c = explicit(topic, group)) {
                for (int i = 0; i < 5; i++) deliveries += take(c, 10, r -> c.acknowledge(r, AcknowledgeType.RELEASE)).size();
                c.commitSync();
                Kit.send(topic, List.of("next"));
                Kit.check(take(c, 1, r -> c.acknowledge(r)), List.of("next"), "values after five deliveries");
            }
            Kit.check(deliveries, 50, "deliveries");
        });
        share("closing-gives-back", (topic, group) -> {
            try (var c = explicit(topic, group)) {
                take(c, 10, r -> {});
            }
            try (var c = explicit(topic, group)) {
                Kit.check(take(c, 10, r -> c.acknowledge(r)), Kit.numbers(0, 10), "values");
            }
        });
        share("explicit-mode-wants-all-acknowledged", (topic, group) -> {
            try (var c = explicit(topic, group)) {
                take(c, 10, r -> {});
                Kit.refused("IllegalStateException", () -> c.poll(Duration.ofMillis(100)));
            }
        });
        share("reads-committed-only", (topic, group) -> {
            Since28.set(new ConfigResource(ConfigResource.Type.GROUP, group), "share.isolation.level", "read_committed", AlterConfigOp.OpType.SET);
            try (var p = Kit.transactional("tx-share"); var c = consumer(topic, group)) {
                p.beginTransaction();
                Kit.send(p, topic, List.of("aborted"));
                p.abortTransaction();
                p.beginTransaction();
                Kit.send(p, topic, List.of("committed"));
                p.commitTransaction();
                List<String> want = new ArrayList<>(Kit.numbers(0, 10));
                want.add("committed");
                Kit.check(take(c, 11, r -> {}), want, "values");
            }
        });
    }

    static void admin() {
        share("described", (topic, group) -> {
            try (var c = consumer(topic, group)) {
                take(c, 10, r -> {});
                var d = Kit.get(Kit.admin.describeShareGroups(List.of(group)).all()).get(group);
                Kit.check(d.groupState() + " " + d.members().size(), "Stable 1", "state and members");
            }
            Kit.until(() -> Kit.get(Kit.admin.describeShareGroups(List.of(group)).all()).get(group).groupState() == GroupState.EMPTY, "no members");
        });
        share("listed", (topic, group) -> {
            try (var c = consumer(topic, group)) {
                take(c, 10, r -> {});
                Kit.check(Kit.get(Kit.admin.listGroups(new ListGroupsOptions().withTypes(Set.of(GroupType.SHARE))).all()).stream()
                    .anyMatch(g -> g.groupId().equals(group)), "the group is listed");
            }
        });
        share("offsets", (topic, group) -> {
            var tp = new TopicPartition(topic, 0);
            try (var c = consumer(topic, group)) {
                take(c, 10, r -> {});
                c.commitSync();
            }
            Kit.get(Kit.admin.alterShareGroupOffsets(group, Map.of(tp, 4L)).all());
            Kit.check(startOffset(group, tp), 4L, "start offset");
            try (var c = consumer(topic, group)) {
                Kit.check(take(c, 6, r -> {}), Kit.numbers(4, 10), "values");
            }
        });
        share("offsets-deleted", (topic, group) -> {
            try (var c = consumer(topic, group)) {
                take(c, 10, r -> {});
                c.commitSync();
            }
            Kit.get(Kit.admin.deleteShareGroupOffsets(group, Set.of(topic)).all());
            Kit.check(Kit.get(Kit.admin.listShareGroupOffsets(Map.of(group, new ListShareGroupOffsetsSpec())).partitionsToOffsetInfo(group)).size(), 0, "offsets");
        });
        share("deleted", (topic, group) -> {
            try (var c = consumer(topic, group)) {
                take(c, 10, r -> {});
                Kit.refused("GroupNotEmptyException", () -> Kit.get(Kit.admin.deleteShareGroups(List.of(group)).all()));
            }
            Kit.get(Kit.admin.deleteShareGroups(List.of(group)).all());
            Kit.refused("GroupIdNotFoundException", () -> Kit.get(Kit.admin.describeShareGroups(List.of(group)).all()));
        });
    }

    static long startOffset(String group, TopicPartition tp) throws Exception {
        var found = Kit.get(Kit.admin.listShareGroupOffsets(Map.of(group, new ListShareGroupOffsetsSpec())).partitionsToOffsetInfo(group)).get(tp);
        return found == null ? -1 : found.startOffset();
    }
}
