import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;

/** Reads a topic of two partitions from offset 0 with both isolation levels, and then from each PARTITION:OFFSET: see compacted_test.go for the lines it speaks. */
final class Compacted {
    static final long DEADLINE = System.nanoTime() + 120_000_000_000L;

    public static void main(String[] args) {
        for (String isolation : List.of("read_uncommitted", "read_committed")) {
            var config = Map.<String, Object>of("bootstrap.servers", args[0], "isolation.level", isolation, "enable.auto.commit", false, "fetch.max.wait.ms", 20,
                "auto.offset.reset", "none", "key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer", "value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
            try (var c = new KafkaConsumer<String, String>(config)) {
                for (int p = 0; p < 2; p++) read(c, isolation, new TopicPartition(args[1], p), Arrays.copyOfRange(args, 2, args.length));
            }
        }
    }

    static void read(KafkaConsumer<String, String> c, String isolation, TopicPartition tp, String[] seeks) {
        c.assign(List.of(tp));
        c.seek(tp, 0);
        long end = c.endOffsets(List.of(tp)).get(tp);
        while (c.position(tp) < end) {
            for (var r : poll(c, tp)) System.out.printf("read %s %d %d %s %s%n", isolation, tp.partition(), r.offset(), r.key(), r.value());
        }
        System.out.printf("end %s %d %d%n", isolation, tp.partition(), c.position(tp));
        for (String seek : seeks) {
            if (!seek.startsWith(tp.partition() + ":")) continue;
            long from = Long.parseLong(seek.substring(seek.indexOf(':') + 1));
            c.seek(tp, from);
            String got = "end";
            while (got.equals("end") && c.position(tp) < end) {
                for (var r : poll(c, tp)) {
                    got = Long.toString(r.offset());
                    break;
                }
            }
            System.out.printf("seek %s %d %d %s%n", isolation, tp.partition(), from, got);
        }
    }

    static ConsumerRecords<String, String> poll(KafkaConsumer<String, String> c, TopicPartition tp) {
        if (System.nanoTime() > DEADLINE) throw new IllegalStateException("the position stays at " + c.position(tp));
        return c.poll(Duration.ofSeconds(1));
    }
}
