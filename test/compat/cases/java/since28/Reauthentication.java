import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.serialization.*;

/** Cases for KIP-368: the brokers let a login hold for some seconds (client.txt), and clients log in again on the connections that they have. */
final class Reauthentication {
    private static final int TIMES = 4;

    static void add() throws Exception {
        String ca = SecurityCases.trust("COMPAT_CA"), ssl = System.getenv("COMPAT_SASL_SSL"), plain = System.getenv("COMPAT_SASL_PLAINTEXT");
        goesOn("scram-512-again", SecurityCases.login(SecurityCases.at(ssl, ca, null), "SCRAM-SHA-512", "scram", "secret-of-scram"));
        goesOn("oauthbearer-again", SecurityCases.token(SecurityCases.at(plain, null, null), "COMPAT_TOKEN"));
    }

    /** A producer and a member of a group write and read until both have logged in again some times. None of their connections is cut, and nothing is lost. */
    private static void goesOn(String name, Map<String, Object> login) {
        Kit.add("security/" + name, () -> {
            String topic = Kit.topic(name, 1);
            Map<String, Object> group = new HashMap<>(login);
            group.putAll(Map.of("group.id", Kit.name(name), "auto.offset.reset", "earliest", "heartbeat.interval.ms", "500"));
            List<String> sent = new ArrayList<>(), got = new ArrayList<>();
            try (var p = new KafkaProducer<>(login, new StringSerializer(), new StringSerializer());
                    var c = new KafkaConsumer<>(group, new StringDeserializer(), new StringDeserializer())) {
                c.subscribe(List.of(topic));
                Kit.until(() -> {
                    sent.add("v" + sent.size());
                    Kit.get(p.send(new ProducerRecord<>(topic, 0, null, sent.get(sent.size() - 1))));
                    c.poll(Duration.ofMillis(100)).forEach(r -> got.add(r.value()));
                    c.commitSync();
                    return count(p.metrics(), "successful-reauthentication") >= TIMES && count(c.metrics(), "successful-reauthentication") >= TIMES;
                }, TIMES + " logins on the connections that there are");
                while (got.size() < sent.size()) got.add(Kit.take(c, 1).get(0).value());
                Kit.check(got, sent, "records");
                for (var metrics : List.of(p.metrics(), c.metrics())) {
                    Kit.check(count(metrics, "failed-reauthentication"), 0, "logins that failed");
                    Kit.check(count(metrics, "connection-close"), 0, "connections that were cut");
                }
            }
        });
    }

    private static int count(Map<MetricName, ? extends Metric> metrics, String what) {
        for (var m : metrics.entrySet()) {
            boolean whole = m.getKey().group().equals("producer-metrics") || m.getKey().group().equals("consumer-metrics");
            if (whole && m.getKey().name().equals(what + "-total")) return (int) (double) m.getValue().metricValue();
        }
        throw new AssertionError("no metric " + what);
    }
}
