import java.time.Duration;
import java.util.*;
import java.util.concurrent.atomic.AtomicReference;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/** Cases about one consumer: where it starts, how it moves, what it commits, what it can ask. */
final class ReadCases {
    static void add() {
        consume();
        offsets();
        metadata();
    }

    static void consume() {
        Kit.add("consume/earliest", () -> {
            try (var c = Kit.consumer("group.id", Kit.name("g-earliest"))) {
                c.subscribe(List.of(Kit.filled("earliest", 1)));
                Kit.check(Kit.values(Kit.take(c, 10)), Kit.numbers(0, 10), "values");
            }
        });
        Kit.add("consume/latest", () -> {
            String topic = Kit.filled("latest", 1);
            try (var c = Kit.consumer("group.id", Kit.name("g-latest"), "auto.offset.reset", "latest")) {
                c.subscribe(List.of(topic));
                Kit.until(() -> c.poll(Duration.ofMillis(100)).isEmpty() && !c.assignment().isEmpty(), "an assignment");
                Kit.check(c.position(new TopicPartition(topic, 0)), 10L, "position");
                Kit.send(topic, List.of("new"));
                Kit.check(Kit.values(Kit.take(c, 1)), List.of("new"), "values");
            }
        });
        Kit.add("consume/from-offset", () -> {
            String topic = Kit.filled("fromoffset", 1);
            try (var c = Kit.reader(topic)) {
                c.seek(new TopicPartition(topic, 0), 7);
                Kit.check(Kit.values(Kit.take(c, 3)), Kit.numbers(7, 10), "values");
            }
        });
        Kit.add("consume/seek-back", () -> {
            String topic = Kit.filled("seekback", 1);
            try (var c = Kit.reader(topic)) {
                Kit.take(c, 10);
                c.seek(new TopicPartition(topic, 0), 4);
                Kit.check(Kit.values(Kit.take(c, 6)), Kit.numbers(4, 10), "values");
            }
        });
        Kit.add("consume/seek-to-end-and-beginning", () -> {
            String topic = Kit.filled("seekends", 1);
            try (var c = Kit.reader(topic)) {
                c.seekToEnd(c.assignment());
                Kit.check(c.poll(Duration.ofMillis(500)).count(), 0, "records at the end");
                c.seekToBeginning(c.assignment());
                Kit.check(Kit.values(Kit.take(c, 10)), Kit.numbers(0, 10), "values");
            }
        });
        Kit.add("consume/position", () -> {
            String topic = Kit.filled("position", 1);
            try (var c = Kit.reader(topic)) {
                Kit.check(c.position(new TopicPartition(topic, 0)), 0L, "position before");
                Kit.take(c, 10);
                Kit.check(c.position(new TopicPartition(topic, 0)), 10L, "position after");
            }
        });
        Kit.add("consume/pause-and-resume", () -> {
            String topic = Kit.filled("pause", 2);
            var paused = List.of(new TopicPartition(topic, 0));
            try (var c = Kit.consumer()) {
                c.assign(List.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1)));
                c.seekToBeginning(c.assignment());
                c.pause(paused);
                for (var r : Kit.take(c, 10)) Kit.check(r.partition(), 1, "partition");
                Kit.check(c.poll(Duration.ofMillis(500)).count(), 0, "records of the paused partition");
                c.resume(paused);
                for (var r : Kit.take(c, 10)) Kit.check(r.partition(), 0, "partition");
            }
        });
        Kit.add("consume/subscribe-pattern", () -> {
            Kit.filled("pat-a", 1);
            Kit.filled("pat-b", 1);
            Kit.filled("other-pat", 1);
            try (var c = Kit.consumer("group.id", Kit.name("g-pattern"))) {
                c.subscribe(Pattern.compile(Kit.name("pat-.*")), new Nothing());
                Set<String> topics = new TreeSet<>();
                for (var r : Kit.take(c, 20)) topics.add(r.topic());
                Kit.check(topics, Set.of(Kit.name("pat-a"), Kit.name("pat-b")), "topics");
            }
        });
        Kit.add("consume/change-subscription", () -> {
            String a = Kit.filled("change-a", 1), b = Kit.filled("change-b", 1);
            try (var c = Kit.consumer("group.id", Kit.name("g-change"))) {
                c.subscribe(List.of(a));
                for (var r : Kit.take(c, 10)) Kit.check(r.topic(), a, "topic");
                c.subscribe(List.of(b));
                for (var r : Kit.take(c, 10)) Kit.check(r.topic(), b, "topic");
            }
        });
        Kit.add("consume/max-poll-records", () -> {
            String topic = Kit.filled("maxpoll", 1);
            try (var c = Kit.reader(topic, "max.poll.records", "3")) {
                List<Integer> counts = new ArrayList<>();
                int sum = 0;
                for (int n; sum < 10; sum += n) if ((n = c.poll(Duration.ofSeconds(20)).count()) > 0) counts.add(n);
                Kit.check(counts, List.of(3, 3, 3, 1), "records of the polls");
            }
        });
        Kit.add("consume/small-fetches", () -> {
            String topic = Kit.topic("smallfetch", 1);
            for (int i = 0; i < 500; i += 50) Kit.send(topic, Kit.numbers(i, i + 50), "linger.ms", "5");
            try (var c = Kit.reader(topic, "max.partition.fetch.bytes", "300")) {
                Kit.check(Kit.values(Kit.take(c, 500)), Kit.numbers(0, 500), "values");
            }
        });
        Kit.add("consume/fetch-min-bytes-waits", () -> {
            String topic = Kit.filled("minbytes", 1);
            try (var c = Kit.reader(topic, "fetch.min.bytes", "1000000", "fetch.max.wait.ms", "1000")) {
                Kit.check(Kit.values(Kit.take(c, 10)), Kit.numbers(0, 10), "values");
            }
        });
        Kit.add("errors/offset-out-of-range-resets", () -> {
            String topic = Kit.filled("outofrange", 1);
            try (var c = Kit.reader(topic)) {
                c.seek(new TopicPartition(topic, 0), 1000);
                Kit.check(Kit.values(Kit.take(c, 10)), Kit.numbers(0, 10), "values");
            }
        });
        Kit.add("errors/offset-out-of-range-without-reset", () -> {
            String topic = Kit.filled("outofrange2", 1);
            try (var c = Kit.reader(topic, "auto.offset.reset", "none")) {
                c.seek(new TopicPartition(topic, 0), 1000);
                Kit.refused("OffsetOutOfRangeException", () -> Kit.take(c, 1));
            }
        });
        Kit.add("errors/no-offset-without-reset", () -> {
            String topic = Kit.filled("nooffset", 1);
            try (var c = Kit.consumer("auto.offset.reset", "none", "group.id", Kit.name("g-nooffset"))) {
                c.assign(List.of(new TopicPartition(topic, 0)));
                Kit.refused("NoOffsetForPartitionException", () -> Kit.take(c, 1));
            }
        });
    }

    static final class Nothing implements ConsumerRebalanceListener {
        public void onPartitionsRevoked(Collection<TopicPartition> p) {}
        public void onPartitionsAssigned(Collection<TopicPartition> p) {}
    }

    interface Use { void of(KafkaConsumer<String, String> c, String topic, TopicPartition tp) throws Exception; }

    /** A case with a consumer that has a group, and partition 0 of a topic with ten records. */
    static void committing(String name, Use use) {
        Kit.add(name, () -> {
            String what = name.replace('/', '-'), topic = Kit.filled(what, 1);
            try (var c = Kit.consumer("group.id", Kit.name("g-" + what))) {
                var tp = new TopicPartition(topic, 0);
                c.assign(List.of(tp));
                use.of(c, topic, tp);
            }
        });
    }

    static void offsets() {
        committing("offsets/commit-and-resume", (c, topic, tp) -> {
            Kit.take(c, 10);
            c.commitSync();
            Kit.send(topic, List.of("next"));
            try (var again = Kit.consumer("group.id", Kit.name("g-offsets-commit-and-resume"))) {
                again.assign(List.of(tp));
                Kit.check(Kit.values(Kit.take(again, 1)), List.of("next"), "values");
            }
        });
        committing("offsets/commit-chosen-offset", (c, topic, tp) -> {
            c.commitSync(Map.of(tp, new OffsetAndMetadata(3)));
            Kit.check(Api.committed(c, tp), 3L, "committed offset");
            Kit.check(Kit.values(Kit.take(c, 7)), Kit.numbers(3, 10), "values");
        });
        committing("offsets/commit-backwards", (c, topic, tp) -> {
            for (long offset : new long[] {8, 2}) {
                c.commitSync(Map.of(tp, new OffsetAndMetadata(offset)));
                Kit.check(Api.committed(c, tp), offset, "committed offset");
            }
        });
        committing("offsets/commit-async", (c, topic, tp) -> {
            Kit.take(c, 10);
            AtomicReference<Object> told = new AtomicReference<>();
            c.commitAsync((offsets, e) -> told.set(e == null ? offsets.get(tp).offset() : e));
            Kit.until(() -> { c.poll(Duration.ofMillis(50)); return told.get() != null; }, "the callback");
            Kit.check(told.get(), 10L, "what the callback is told");
            Kit.check(Api.committed(c, tp), 10L, "committed offset");
        });
        committing("offsets/metadata", (c, topic, tp) -> {
            c.commitSync(Map.of(tp, new OffsetAndMetadata(5, "what I thought")));
            Kit.check(Api.committedWhole(c, tp).metadata(), "what I thought", "metadata");
        });
        committing("offsets/leader-epoch", (c, topic, tp) -> {
            c.commitSync(Map.of(tp, new OffsetAndMetadata(5, Optional.of(0), "")));
            Kit.check(Api.committedWhole(c, tp).leaderEpoch(), Optional.of(0), "leader epoch");
        });
        committing("errors/metadata-of-offset-too-large", (c, topic, tp) ->
            Kit.refused("OffsetMetadataTooLarge", () -> c.commitSync(Map.of(tp, new OffsetAndMetadata(5, "x".repeat(5000))))));
        committing("offsets/none-committed", (c, topic, tp) -> Kit.check(Api.committed(c, tp), null, "committed offset"));
        committing("offsets/beginning-and-end", (c, topic, tp) -> {
            Kit.check(c.beginningOffsets(List.of(tp)), Map.of(tp, 0L), "first offset");
            Kit.check(c.endOffsets(List.of(tp)), Map.of(tp, 10L), "end offset");
        });
        Kit.add("offsets/commit-on-close", () -> {
            String topic = Kit.filled("auto", 1), group = Kit.name("g-auto");
            try (var c = Kit.consumer("group.id", group, "enable.auto.commit", "true")) {
                c.subscribe(List.of(topic));
                Kit.take(c, 10);
            }
            try (var c = Kit.consumer("group.id", group)) {
                Kit.check(Api.committed(c, new TopicPartition(topic, 0)), 10L, "committed offset");
            }
        });
        Kit.add("offsets/for-times", () -> {
            String topic = Kit.topic("times", 1);
            var tp = new TopicPartition(topic, 0);
            try (var p = Kit.producer(); var c = Kit.reader(topic)) {
                for (int i = 0; i < 5; i++) Kit.get(p.send(new ProducerRecord<>(topic, 0, 1700000000000L + i * 1000, null, "" + i)));
                long[][] want = {{-5000, 0}, {0, 0}, {1500, 2}, {4000, 4}};
                for (long[] w : want) {
                    var found = c.offsetsForTimes(Map.of(tp, 1700000000000L + w[0])).get(tp);
                    Kit.check(found.offset(), w[1], "offset");
                    Kit.check(found.timestamp(), 1700000000000L + w[1] * 1000, "timestamp");
                }
                Kit.check(c.offsetsForTimes(Map.of(tp, 1700000009000L)).get(tp), null, "offset for a later time");
            }
        });
    }

    static void metadata() {
        Kit.add("metadata/topic", () -> {
            String topic = Kit.topic("known", 3);
            try (var c = Kit.consumer(); var p = Kit.producer()) {
                Kit.check(c.partitionsFor(topic).size(), 3, "partitions");
                Kit.check(p.partitionsFor(topic).get(0).leader().id(), Kit.broker(), "leader");
            }
        });
        Kit.add("metadata/all-topics", () -> {
            String topic = Kit.topic("all", 2);
            try (var c = Kit.consumer()) {
                Kit.until(() -> c.listTopics().containsKey(topic) && c.listTopics().get(topic).size() == 2, "the topic in the list");
            }
        });
        Kit.add("metadata/brokers", () -> {
            var node = Kit.get(Kit.admin.describeCluster().nodes()).iterator().next();
            Kit.check(node.host() + ":" + node.port(), Kit.bootstrap, "address");
        });
    }
}
