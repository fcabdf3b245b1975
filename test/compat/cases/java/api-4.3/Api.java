import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;

/** What has other names in other versions of the client: 4.0 and newer. */
final class Api {
    static void sendOffsets(KafkaProducer<?, ?> p, Map<TopicPartition, OffsetAndMetadata> offsets, KafkaConsumer<?, ?> c, String group) {
        p.sendOffsetsToTransaction(offsets, c.groupMetadata());
    }

    static OffsetAndMetadata committedWhole(KafkaConsumer<?, ?> c, TopicPartition tp) { return c.committed(Set.of(tp)).get(tp); }

    static Long committed(KafkaConsumer<?, ?> c, TopicPartition tp) {
        OffsetAndMetadata o = committedWhole(c, tp);
        return o == null ? null : o.offset();
    }

    static List<TopicPartition> inLogDirs() throws Exception {
        List<TopicPartition> all = new ArrayList<>();
        for (var dir : Kit.get(Kit.admin.describeLogDirs(List.of(Kit.broker())).allDescriptions()).get(Kit.broker()).values()) all.addAll(dir.replicaInfos().keySet());
        return all;
    }

    static TopicDescription describe(String topic) throws Exception { return Kit.get(Kit.admin.describeTopics(List.of(topic)).allTopicNames()).get(topic); }

    static void addCases() throws Exception {
        Since28.add();
        Since43.add();
        ShareCases.add();
    }
}
