package sluice.kafkasuite;

import com.yammer.metrics.core.Gauge;
import com.yammer.metrics.core.MetricName;
import java.lang.reflect.Field;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import javax.security.auth.login.AppConfigurationEntry;
import javax.security.auth.login.Configuration;
import kafka.server.BrokerServer;
import kafka.server.ControllerServer;
import kafka.server.KafkaConfig;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.config.types.Password;
import org.apache.kafka.common.security.auth.KafkaPrincipal;
import org.apache.kafka.common.test.JaasUtils;
import org.apache.kafka.metadata.storage.Formatter;
import org.apache.kafka.server.metrics.KafkaYammerMetrics;
import org.opentest4j.TestAbortedException;

/** The cluster of a test that is made broker by broker, as those of Kafka's core are: processes of Sluice. */
public final class Harness {
    private static final Pattern SCRAM_USER = Pattern.compile("name=([^,\\]]+),password=([^,\\]]+)");

    private static final String CALLBACK = "sasl.server.callback.handler.class";
    private static final String STANDARD = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";

    /** What a broker that is a JVM counts there for all to see. */
    private static final MetricName KILLED = new MetricName("kafka.network", "Acceptor", "ExpiredConnectionsKilledCount");

    private final Processes processes = new Processes();
    private final Map<String, String> users = new HashMap<>();

    /** Knows the users that the test formats its metadata with. */
    public Harness(Formatter formatter) {
        KafkaYammerMetrics.defaultRegistry().newGauge(KILLED, new Gauge<Double>() {
            @Override
            public Double value() {
                return processes.refusedLogins();
            }
        });
        try {
            Field field = Formatter.class.getDeclaredField("scramArguments");
            field.setAccessible(true);
            for (Object argument : (List<?>) field.get(formatter)) {
                Matcher m = SCRAM_USER.matcher(argument.toString());
                if (m.find()) {
                    users.put(m.group(1), m.group(2));
                }
            }
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }

    private static TestAbortedException refuse() {
        return new TestAbortedException("looks inside a JVM broker");
    }

    /** Refuses a test that brings a class for the broker to load. */
    static TestAbortedException javaClass(String setting) {
        return new TestAbortedException("asks for a Java class in the broker: " + setting);
    }

    private static Error inside() {
        throw refuse();
    }

    /** Makes a broker, which is not started. */
    public BrokerServer broker(KafkaConfig config) {
        Map<String, String> properties = new TreeMap<>();
        config.originals().forEach((k, v) -> properties.put(k, text(v)));
        users.putAll(plainUsers());
        if (!properties.getOrDefault("authorizer.class.name", STANDARD).equals(STANDARD)) {
            throw javaClass("authorizer.class.name");
        }
        if (properties.keySet().stream().anyMatch(name -> name.startsWith("listener.name.") && name.endsWith(CALLBACK))) {
            throw javaClass(CALLBACK);
        }
        processes.add(config.brokerId(), Settings.withListeners(properties, users), properties);
        Acls acls = properties.containsKey("authorizer.class.name") ? acls() : null;
        Standin standin = new Standin(config.brokerId(), processes, this::own, acls, Harness::inside);
        standin.given = config;
        standin.waits = true;
        return standin.broker();
    }

    /** A value as it stands in a file of settings. */
    private static String text(Object value) {
        if (value instanceof Password p) {
            return p.value();
        }
        return value instanceof Collection<?> all ? all.stream().map(Harness::text).collect(Collectors.joining(",")) : String.valueOf(value);
    }

    /** Those whom the static JAAS configuration lets in by PLAIN. */
    private static Map<String, String> plainUsers() {
        Map<String, String> all = new HashMap<>();
        AppConfigurationEntry[] entries = Configuration.getConfiguration().getAppConfigurationEntry("KafkaServer");
        for (AppConfigurationEntry e : entries == null ? new AppConfigurationEntry[0] : entries) {
            e.getOptions().forEach((k, v) -> {
                if (k.startsWith("user_")) {
                    all.put(k.substring("user_".length()), String.valueOf(v));
                }
            });
        }
        return all;
    }

    private Acls acls() {
        String anonymous = KafkaPrincipal.ANONYMOUS.toString();
        return new Acls(this::own, anonymous, anonymous, Harness::inside);
    }

    public ControllerServer controller() {
        return Standin.controller(acls(), processes, this::own, Harness::inside);
    }

    private Admin own() {
        return Admin.create(Map.of("bootstrap.servers", processes.ownServers(), "security.protocol", "SASL_PLAINTEXT", "sasl.mechanism", "PLAIN", "sasl.jaas.config",
                String.format("org.apache.kafka.common.security.plain.PlainLoginModule required username=\"%s\" password=\"%s\";",
                        JaasUtils.KAFKA_PLAIN_ADMIN, JaasUtils.KAFKA_PLAIN_ADMIN_PASSWORD)));
    }

    public void stop() {
        KafkaYammerMetrics.defaultRegistry().removeMetric(KILLED);
        processes.stop();
    }
}
