import java.util.*;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.Utils;

/** Cases about records: producing, codecs, headers, keys, transactions, times, sizes. */
final class DataCases {
    static void add() {
        produce();
        compression();
        headers();
        keys();
        transactions();
        times();
        sizes();
    }

    static void produce() {
        for (String[] acks : new String[][] {{"none", "0"}, {"leader", "1"}, {"all", "all"}})
            Kit.add("produce/acks-" + acks[0], () -> {
                String topic = Kit.topic("acks" + acks[1], 1);
                List<Long> sent = Kit.send(topic, Kit.numbers(0, 300), "acks", acks[1], "enable.idempotence", "false");
                if (!acks[1].equals("0")) Kit.check(sent, Kit.offsets(0, 300), "offsets");
                Kit.check(Kit.values(Kit.read(topic, 300)), Kit.numbers(0, 300), "values");
            });
        pair("produce/null-key", null, "v");
        pair("produce/null-value", "k", null);
        pair("produce/empty-key-and-value", "", "");
        Kit.add("produce/batch", () -> {
            String topic = Kit.topic("batch", 1);
            Kit.check(Kit.send(topic, Kit.numbers(0, 5000), "linger.ms", "50"), Kit.offsets(0, 5000), "offsets");
            Kit.check(Kit.values(Kit.read(topic, 5000)), Kit.numbers(0, 5000), "values");
        });
        Kit.add("produce/one-by-one", () -> {
            String topic = Kit.topic("onebyone", 1);
            try (var p = Kit.producer()) {
                for (long i = 0; i < 20; i++)
                    Kit.check(Kit.get(p.send(new ProducerRecord<>(topic, 0, null, "" + i))).offset(), i, "offset");
            }
        });
        Kit.add("produce/many-partitions", () -> {
            String topic = Kit.topic("manyparts", 6);
            try (var p = Kit.producer("linger.ms", "20")) {
                List<Future<RecordMetadata>> sent = new ArrayList<>();
                for (int i = 0; i < 600; i++) sent.add(p.send(new ProducerRecord<>(topic, i % 6, null, "" + i)));
                for (int i = 0; i < 600; i++) Kit.check(Kit.get(sent.get(i)).offset(), (long) i / 6, "offset");
            }
        });
        Kit.add("idempotence/order", () -> {
            String topic = Kit.topic("idem", 1);
            Kit.check(Kit.send(topic, Kit.numbers(0, 4000), "enable.idempotence", "true", "batch.size", "500"), Kit.offsets(0, 4000), "offsets");
            Kit.check(Kit.values(Kit.read(topic, 4000)), Kit.numbers(0, 4000), "values");
        });
        Kit.add("idempotence/two-producers-one-partition", () -> {
            String topic = Kit.topic("idem2", 1);
            try (var a = Kit.producer("enable.idempotence", "true"); var b = Kit.producer("enable.idempotence", "true")) {
                for (int i = 0; i < 20; i++)
                    Kit.check(Kit.send(i % 2 == 0 ? a : b, topic, List.of("" + i)), List.of((long) i), "offset");
            }
        });
    }

    static void pair(String name, String key, String value) {
        Kit.add(name, () -> {
            String topic = Kit.topic(name.replace('/', '-'), 1);
            try (var p = Kit.producer()) {
                Kit.get(p.send(new ProducerRecord<>(topic, 0, key, value)));
            }
            ConsumerRecord<String, String> r = Kit.read(topic, 1).get(0);
            Kit.check(r.key(), key, "key");
            Kit.check(r.value(), value, "value");
        });
    }

    static void compression() {
        List<String> words = new ArrayList<>();
        for (int i = 0; i < 300; i++) words.add(("word " + i + " ").repeat(10));
        for (String codec : List.of("gzip", "snappy", "lz4", "zstd"))
            Kit.add("compression/" + codec, () -> {
                String topic = Kit.topic("codec-" + codec, 1);
                Kit.send(topic, words, "compression.type", codec, "linger.ms", "50");
                Kit.check(Kit.values(Kit.read(topic, words.size())), words, "values");
            });
        Kit.add("compression/mixed-in-one-log", () -> {
            String topic = Kit.topic("codecs", 1);
            List<String> want = new ArrayList<>();
            for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
                Kit.send(topic, words, "compression.type", codec, "linger.ms", "20");
                want.addAll(words);
            }
            Kit.check(Kit.values(Kit.read(topic, want.size())), want, "values");
        });
        for (String codec : List.of("gzip", "uncompressed"))
            Kit.add("compression/topic-codec" + (codec.equals("gzip") ? "" : "-" + codec), () -> {
                String topic = Kit.topic("topiccodec-" + codec, 1, "compression.type", codec);
                Kit.send(topic, words, "linger.ms", "20", "compression.type", "lz4");
                Kit.check(Kit.values(Kit.read(topic, words.size())), words, "values");
            });
    }

    static void headers() {
        header("round-trip", "a", "1", "b", "2");
        header("null-value", "n", null);
        header("empty-value", "e", "");
        header("duplicates-keep-order", "d", "2", "x", "0", "d", "1");
        header("unicode-key", "schlüssel→", "v");
        header("none");
        header("large", "big", "x".repeat(50000));
    }

    static void header(String name, String... pairs) {
        Kit.add("headers/" + name, () -> {
            String topic = Kit.topic("headers-" + name, 1);
            List<Header> headers = new ArrayList<>();
            for (int i = 0; i < pairs.length; i += 2) headers.add(new RecordHeader(pairs[i], Kit.bytes(pairs[i + 1])));
            try (var p = Kit.producer()) {
                Kit.get(p.send(new ProducerRecord<String, String>(topic, 0, null, "v", headers)));
            }
            Kit.check(List.of(Kit.read(topic, 1).get(0).headers().toArray()), headers, "headers");
        });
    }

    static void keys() {
        Kit.add("keys-partitioning/murmur2", () -> {
            String topic = Kit.topic("murmur", 7);
            try (var p = Kit.producer()) {
                for (int i = 0; i < 200; i++) {
                    String key = ("key-" + i).repeat(i % 5 + 1);
                    Kit.check(Kit.get(p.send(new ProducerRecord<>(topic, key, "v"))).partition(),
                        (Utils.murmur2(key.getBytes()) & 0x7fffffff) % 7, "partition of " + key);
                }
            }
        });
        Kit.add("keys-partitioning/explicit-partition", () -> {
            String topic = Kit.topic("explicit", 3);
            try (var p = Kit.producer()) {
                for (int i = 0; i < 10; i++) Kit.check(Kit.get(p.send(new ProducerRecord<>(topic, 2, "k", "v"))).partition(), 2, "partition");
            }
        });
        Kit.add("keys-partitioning/order-within-key", () -> {
            String topic = Kit.topic("keyorder", 3);
            try (var p = Kit.producer("linger.ms", "5")) {
                for (int i = 0; i < 500; i++) p.send(new ProducerRecord<>(topic, "k" + i % 10, "" + i));
            }
            Map<String, Integer> last = new HashMap<>();
            try (var c = Kit.consumer()) {
                c.assign(List.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1), new TopicPartition(topic, 2)));
                c.seekToBeginning(c.assignment());
                for (var r : Kit.take(c, 500)) {
                    int n = Integer.parseInt(r.value());
                    Kit.check(n, last.getOrDefault(r.key(), n % 10 - 10) + 10, "next of " + r.key());
                    last.put(r.key(), n);
                }
            }
        });
    }

    static final String[] COMMITTED = {"isolation.level", "read_committed"};

    static void transactions() {
        Kit.add("transactions/commit", () -> {
            String topic = Kit.topic("txcommit", 1);
            try (var p = Kit.transactional("tx-commit")) {
                p.beginTransaction();
                Kit.send(p, topic, Kit.numbers(0, 100));
                p.commitTransaction();
            }
            Kit.check(Kit.values(Kit.read(topic, 100, (Object[]) COMMITTED)), Kit.numbers(0, 100), "values");
        });
        Kit.add("transactions/abort", () -> {
            String topic = Kit.topic("txabort", 1);
            try (var p = Kit.transactional("tx-abort")) {
                p.beginTransaction();
                Kit.send(p, topic, Kit.numbers(0, 100));
                p.abortTransaction();
            }
            Kit.send(topic, List.of("after"));
            Kit.check(Kit.values(Kit.read(topic, 1, (Object[]) COMMITTED)), List.of("after"), "values");
            Kit.check(Kit.read(topic, 101).size(), 101, "number of records with the aborted");
        });
        Kit.add("transactions/several-in-a-row", () -> {
            String topic = Kit.topic("txrow", 1);
            try (var p = Kit.transactional("tx-row")) {
                for (int i = 0; i < 6; i++) {
                    p.beginTransaction();
                    Kit.send(p, topic, List.of("" + i));
                    if (i % 3 == 2) p.abortTransaction(); else p.commitTransaction();
                }
            }
            Kit.check(Kit.values(Kit.read(topic, 4, (Object[]) COMMITTED)), List.of("0", "1", "3", "4"), "values");
        });
        Kit.add("transactions/empty", () -> {
            try (var p = Kit.transactional("tx-empty")) {
                for (int i = 0; i < 3; i++) {
                    p.beginTransaction();
                    if (i == 1) p.abortTransaction(); else p.commitTransaction();
                }
            }
        });
        Kit.add("transactions/fencing", () -> {
            String topic = Kit.topic("txfence", 1);
            var old = Kit.transactional("tx-fence");
            old.beginTransaction();
            Kit.send(old, topic, List.of("old"));
            try (var p = Kit.transactional("tx-fence")) {
                p.beginTransaction();
                Kit.send(p, topic, List.of("new"));
                p.commitTransaction();
            }
            Kit.refused("ProducerFencedException", old::commitTransaction);
            old.close();
            Kit.check(Kit.values(Kit.read(topic, 1, (Object[]) COMMITTED)), List.of("new"), "values");
        });
        Kit.add("transactions/open-one-holds-readers-back", () -> {
            String topic = Kit.filled("txopen", 1);
            var tp = new TopicPartition(topic, 0);
            try (var p = Kit.transactional("tx-open"); var c = Kit.reader(topic, (Object[]) COMMITTED); var all = Kit.reader(topic)) {
                p.beginTransaction();
                Kit.send(p, topic, List.of("inside"));
                Kit.take(c, 10);
                Kit.check(c.poll(java.time.Duration.ofSeconds(1)).count(), 0, "records before the end of the transaction");
                Kit.check(c.endOffsets(List.of(tp)).get(tp), 10L, "end of what is committed");
                Kit.check(all.endOffsets(List.of(tp)).get(tp), 11L, "end");
                p.commitTransaction();
                Kit.check(Kit.values(Kit.take(c, 1)), List.of("inside"), "values");
            }
        });
        Kit.add("transactions/send-offsets", () -> {
            String source = Kit.filled("txsource", 1), sink = Kit.topic("txsink", 1), group = Kit.name("tx-group");
            var tp = new TopicPartition(source, 0);
            for (boolean commit : new boolean[] {false, true})
                try (var c = Kit.consumer("group.id", group); var p = Kit.transactional("tx-offsets")) {
                    c.subscribe(List.of(source));
                    Kit.take(c, 10);
                    p.beginTransaction();
                    Kit.send(p, sink, Kit.numbers(0, 10));
                    Api.sendOffsets(p, Map.of(tp, new OffsetAndMetadata(10)), c, group);
                    if (commit) p.commitTransaction(); else p.abortTransaction();
                    Kit.until(() -> Objects.equals(Api.committed(c, tp), commit ? 10L : null), "the offset");
                }
            Kit.check(Kit.values(Kit.read(sink, 10, (Object[]) COMMITTED)), Kit.numbers(0, 10), "values");
        });
    }

    static void times() {
        Kit.add("timestamps/create-time", () -> {
            String topic = Kit.topic("createtime", 1);
            try (var p = Kit.producer()) {
                Kit.check(Kit.get(p.send(new ProducerRecord<>(topic, 0, 1700000000007L, null, "v"))).timestamp(), 1700000000007L, "timestamp told");
            }
            var r = Kit.read(topic, 1).get(0);
            Kit.check(r.timestamp(), 1700000000007L, "timestamp");
            Kit.check(r.timestampType(), TimestampType.CREATE_TIME, "type");
        });
        Kit.add("timestamps/log-append-time", () -> {
            String topic = Kit.topic("appendtime", 1, "message.timestamp.type", "LogAppendTime");
            long told;
            try (var p = Kit.producer()) {
                told = Kit.get(p.send(new ProducerRecord<>(topic, 0, 1700000000007L, null, "v"))).timestamp();
            }
            var r = Kit.read(topic, 1).get(0);
            Kit.check(r.timestamp(), told, "timestamp");
            Kit.check(r.timestampType(), TimestampType.LOG_APPEND_TIME, "type");
            Kit.check(Math.abs(System.currentTimeMillis() - told) < 60_000, "the timestamp is now");
        });
        Kit.add("timestamps/too-far-ahead", () -> {
            String topic = Kit.topic("ahead", 1, "message.timestamp.after.max.ms", "1000");
            try (var p = Kit.producer()) {
                Kit.refused("InvalidTimestampException", () -> Kit.get(p.send(new ProducerRecord<>(topic, 0,
                    System.currentTimeMillis() + 3_600_000, null, "v"))));
            }
        });
    }

    static void sizes() {
        Kit.add("large-messages/one-of-900kB", () -> {
            String topic = Kit.topic("large", 1);
            Kit.send(topic, List.of("x".repeat(900_000)));
            Kit.check(Kit.read(topic, 1).get(0).value().length(), 900_000, "length");
        });
        Kit.add("large-messages/one-of-4MB", () -> {
            String topic = Kit.topic("larger", 1, "max.message.bytes", "5000000");
            Kit.send(topic, List.of("y".repeat(4_000_000)), "max.request.size", "5000000");
            Kit.check(Kit.read(topic, 1).get(0).value().length(), 4_000_000, "length");
        });
        Kit.add("large-messages/larger-than-the-fetch", () -> {
            String topic = Kit.topic("largefetch", 1);
            Kit.send(topic, List.of("a".repeat(300_000), "b".repeat(300_000)));
            var got = Kit.read(topic, 2, "max.partition.fetch.bytes", "1000", "fetch.max.bytes", "1000");
            Kit.check(Kit.values(got), List.of("a".repeat(300_000), "b".repeat(300_000)), "values");
        });
        Kit.add("errors/record-too-large", () -> {
            String topic = Kit.topic("toolarge", 1, "max.message.bytes", "2000");
            Kit.refused("RecordTooLargeException", () -> Kit.send(topic, List.of("z".repeat(5000))));
            Kit.check(Kit.send(topic, List.of("z")), List.of(0L), "offset of the next record");
        });
        Kit.add("errors/produce-to-unknown-topic", () -> {
            try (var p = Kit.producer("max.block.ms", "1500")) {
                Kit.refused("InvalidTopicException", () -> Kit.get(p.send(new ProducerRecord<>("no spaces", 0, null, "v"))));
                Kit.refused("TimeoutException", () -> Kit.get(p.send(new ProducerRecord<>(Kit.topic("onepart", 1), 5, null, "v"))));
            }
        });
    }
}
