package org.apache.kafka.common.test;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import kafka.server.BrokerServer;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.metadata.BrokerState;
import org.mockito.Mockito;
import org.mockito.invocation.InvocationOnMock;
import org.opentest4j.TestAbortedException;
import sluice.kafkasuite.Processes;
import sluice.kafkasuite.Settings;

/**
 * Takes the place of Kafka's class of this name, from which the integration tests of Kafka Streams and Kafka Connect get their brokers: these are
 * processes of Sluice. What it has no setting for, at the start or in a cluster that runs, is left away: those tests use a cluster, they do not test it.
 */
public class KafkaClusterTestKit implements AutoCloseable {
    /** Who may log in at the only listener there is for clients; its protocol is SASL_PLAINTEXT then, and its mechanism PLAIN. */
    private static final String LOGINS = "listener.name.external.plain.sasl.jaas.config";
    private static final Pattern USER = Pattern.compile("user_(\\w+)=\"(\\w+)\"");
    /** What follows from that, or is about controllers. */
    private static final Set<String> ABOUT_LISTENERS = Set.of("listener.name.controller.plain.sasl.jaas.config", "listener.security.protocol.map",
            "sasl.mechanism.inter.broker.protocol", "sasl.mechanism.controller.protocol");

    private final Map<String, Object> client = new HashMap<>();
    private final Map<String, String> properties;
    private final Map<String, Object> ssl;
    private final TestKitNodes nodes;
    private final MockFaultHandler faults = new MockFaultHandler("nonFatalFaultHandler");
    private final Processes processes = new Processes();

    /** Kafka's builder, as far as it is used. */
    public static class Builder {
        private final Map<String, String> properties = new HashMap<>();
        private final Map<String, Object> ssl = new HashMap<>();
        private final TestKitNodes nodes;

        public Builder(TestKitNodes nodes) {
            this.nodes = nodes;
        }

        public Builder setConfigProp(String key, Object value) {
            if (key.startsWith("ssl.")) {
                ssl.put(key, value);
            } else {
                properties.put(key, String.valueOf(value));
            }
            return this;
        }

        public KafkaClusterTestKit build() {
            return new KafkaClusterTestKit(properties, ssl, nodes);
        }
    }

    private KafkaClusterTestKit(Map<String, String> properties, Map<String, Object> ssl, TestKitNodes nodes) {
        this.properties = properties;
        this.ssl = ssl;
        this.nodes = nodes;
    }

    public void format() {
    }

    public void startup() {
        String protocols = properties.get("listener.security.protocol.map");
        boolean tls = protocols != null && protocols.contains("EXTERNAL:SSL");
        String logins = properties.remove(LOGINS);
        properties.keySet().removeAll(ABOUT_LISTENERS);
        Map<String, String> users = new HashMap<>();
        for (Matcher m = USER.matcher(logins == null ? "" : logins); m.find();) {
            users.put(m.group(1), m.group(2));
        }
        for (String name : properties.keySet()) {
            if (name.contains("ssl.") || name.startsWith("listener.") || logins == null && (name.contains("sasl.") || name.startsWith("authorizer."))) {
                throw new TestAbortedException("asks for " + name + ", which this suite does not set up for the tests of Kafka Streams and Kafka Connect");
            }
        }
        if (logins != null) { // the one who runs the broker may do everything
            client.putAll(Map.of("security.protocol", "SASL_PLAINTEXT", "sasl.mechanism", "PLAIN", "sasl.jaas.config", logins));
        }
        if (tls) {
            client.putAll(ssl);
            client.put("security.protocol", "SSL");
            processes.tls(ssl);
        }
        List<Settings> settings = new ArrayList<>();
        nodes.brokerNodes().forEach((id, node) -> {
            Map<String, String> all = new HashMap<>(properties);
            all.putAll(node.propertyOverrides());
            settings.add(logins == null ? new Settings(all) : new Settings(all, true, users));
        });
        processes.start(settings);
        if (!settings.get(0).dynamic.isEmpty()) {
            configure(settings.get(0).dynamic);
        }
    }

    /** Sets configurations of the cluster, one by one, since each may be refused. */
    private void configure(Map<String, String> dynamic) {
        client.put("bootstrap.servers", bootstrapServers());
        try (Admin admin = Admin.create(client)) {
            ConfigResource all = new ConfigResource(ConfigResource.Type.BROKER, "");
            for (Map.Entry<String, String> e : dynamic.entrySet()) {
                AlterConfigOp op = new AlterConfigOp(new ConfigEntry(e.getKey(), e.getValue()), AlterConfigOp.OpType.SET);
                try {
                    admin.incrementalAlterConfigs(Map.of(all, List.of(op))).all().get();
                } catch (ExecutionException refused) {
                    System.out.println("left away: " + e + ": " + refused.getCause().getMessage());
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }

    public void waitForReadyBrokers() {
    }

    public String bootstrapServers() {
        return processes.bootstrapServers();
    }

    /** Brokers that can be asked whether they run, stopped and started. */
    public Map<Integer, BrokerServer> brokers() {
        Map<Integer, BrokerServer> all = new TreeMap<>();
        for (int id : processes.ids()) {
            all.put(id, Mockito.mock(BrokerServer.class, (InvocationOnMock call) -> {
                switch (call.getMethod().getName()) {
                    case "brokerState":
                        return processes.alive(id) ? BrokerState.RUNNING : BrokerState.NOT_RUNNING;
                    case "startup":
                        processes.startAgain(id);
                        return null;
                    case "shutdown":
                        processes.shutdown(id);
                        return null;
                    case "awaitShutdown":
                        return null;
                    case "toString":
                        return "broker " + id;
                    default:
                        throw new TestAbortedException("looks inside a JVM broker");
                }
            }));
        }
        return all;
    }

    public MockFaultHandler nonFatalFaultHandler() {
        return faults;
    }

    @Override
    public void close() {
        processes.stop();
    }
}
