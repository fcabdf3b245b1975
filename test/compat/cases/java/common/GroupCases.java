import java.util.*;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;

/** Cases about groups with several members. */
final class GroupCases {
    static void add() {
        for (String assignor : List.of("Range", "RoundRobin", "Sticky"))
            twoMembers("groups-classic/two-members-" + assignor.toLowerCase(), "partition.assignment.strategy",
                "org.apache.kafka.clients.consumer." + assignor + "Assignor");
        bothProtocols("groups-classic");
    }

    static Kit.Member member(String topic, String group, Object... more) {
        Object[] all = Arrays.copyOf(more, more.length + 2);
        all[more.length] = "group.id";
        all[more.length + 1] = Kit.name(group);
        return new Kit.Member(Kit.consumer(all), c -> c.subscribe(List.of(topic)));
    }

    static void twoMembers(String name, Object... more) {
        Kit.add(name, () -> {
            String what = name.replace('/', '-'), topic = Kit.filled(what, 4);
            var a = member(topic, what, more);
            Kit.share(topic, 4, a);
            var b = member(topic, what, more);
            Kit.share(topic, 4, a, b);
            b.leave();
            Kit.share(topic, 4, a);
            Set<String> all = new HashSet<>();
            Kit.until(() -> { all.addAll(a.records); all.addAll(b.records); return all.size() == 40; }, "all records");
            a.leave();
        });
    }

    /** Cases that are the same in the classic protocol and in that of KIP-848. */
    static void bothProtocols(String feature, Object... more) {
        Kit.add(feature + "/three-members-two-partitions", () -> {
            String what = feature + "-three", topic = Kit.filled(what, 2);
            Kit.Member[] members = {member(topic, what, more), member(topic, what, more), member(topic, what, more)};
            Kit.share(topic, 2, members);
            for (var m : members) m.leave();
        });
        Kit.add(feature + "/commit-and-resume", () -> {
            String what = feature + "-resume", topic = Kit.filled(what, 1);
            Object[] conf = Arrays.copyOf(more, more.length + 2);
            conf[more.length] = "group.id";
            conf[more.length + 1] = Kit.name(what);
            for (List<String> want : List.of(Kit.numbers(0, 10), List.of("more"))) {
                try (var c = Kit.consumer(conf)) {
                    c.subscribe(List.of(topic));
                    Kit.check(Kit.values(Kit.take(c, want.size())), want, "values");
                    c.commitSync();
                }
                Kit.send(topic, List.of("more"));
            }
        });
        Kit.add(feature + "/new-partitions-are-assigned", () -> {
            String what = feature + "-grow", topic = Kit.filled(what, 2);
            var m = member(topic, what, more);
            Kit.share(topic, 2, m);
            Kit.get(Kit.admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all());
            Kit.share(topic, 5, m);
            m.leave();
        });
        Kit.add(feature + "/pattern-finds-new-topics", () -> {
            String what = feature + "-patnew";
            Kit.filled(what + "-1", 1);
            Object[] conf = Arrays.copyOf(more, more.length + 2);
            conf[more.length] = "group.id";
            conf[more.length + 1] = Kit.name(what);
            var m = new Kit.Member(Kit.consumer(conf), c -> c.subscribe(Pattern.compile(Kit.name(what + "-.*")), new ReadCases.Nothing()));
            Kit.until(() -> m.records.size() == 10, "records of the first topic");
            Kit.filled(what + "-2", 1);
            Kit.until(() -> m.records.size() == 20, "records of the second topic");
            m.leave();
        });
        Kit.add(feature + "/rebalance-callbacks", () -> {
            String what = feature + "-callbacks", topic = Kit.filled(what, 2);
            var events = new ConcurrentLinkedQueue<String>();
            Object[] conf = Arrays.copyOf(more, more.length + 2);
            conf[more.length] = "group.id";
            conf[more.length + 1] = Kit.name(what);
            var m = new Kit.Member(Kit.consumer(conf), c -> c.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                public void onPartitionsRevoked(Collection<TopicPartition> p) { if (!p.isEmpty()) events.add("revoked " + p.size()); }
                public void onPartitionsAssigned(Collection<TopicPartition> p) { if (!p.isEmpty()) events.add("assigned " + p.size()); }
            }));
            Kit.share(topic, 2, m);
            m.leave();
            Kit.check(events.poll(), "assigned 2", "first event");
            Kit.check(Objects.requireNonNullElse(events.poll(), "revoked 2"), "revoked 2", "second event, which old clients lack");
        });
    }
}
