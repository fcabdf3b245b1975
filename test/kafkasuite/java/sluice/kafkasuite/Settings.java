package sluice.kafkasuite;

import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.test.JaasUtils;
import org.apache.kafka.server.config.AbstractKafkaConfig;

/**
 * What becomes of a broker configuration that a test asks for. A setting of Sluice with the same name is set (Sluice takes Kafka's names where there is
 * such a thing). Left away is what has no meaning here and does not change what a client sees, what Kafka does not know either, and what is Kafka's
 * default. Everything else is tried as a dynamic configuration of the cluster, and if that is refused the test is left out.
 */
public class Settings {
    /** Names the class that says who a client is. The suite asks it, see Principals. */
    static final String BUILDER = "principal.builder.class";

    private static final Set<String> OWN = Set.of(System.getProperty("sluice.settings", "").split(","));

    /** Of no meaning: the store keeps the copies, there are no local logs, no controller processes, no JVM, brokers know each other without logins. A dead broker is noticed in Sluice's own time. */
    private static final Set<String> MEANINGLESS = Set.of(
            "offsets.topic.replication.factor", "transaction.state.log.replication.factor", "transaction.state.log.min.isr",
            "share.coordinator.state.topic.replication.factor", "share.coordinator.state.topic.min.isr", "default.replication.factor",
            "min.insync.replicas", "controlled.shutdown.enable", "auto.leader.rebalance.enable", "unclean.leader.election.enable",
            "log.initial.task.delay.ms", "log.segment.delete.delay.ms", "replica.fetch.max.bytes", "replica.fetch.response.max.bytes",
            "replica.lag.time.max.ms", "group.coordinator.threads", "share.coordinator.threads", "num.network.threads", "num.io.threads", "background.threads",
            "queued.max.request.bytes", "unstable.api.versions.enable", "unstable.feature.versions.enable", "log.index.size.max.bytes", "offsets.commit.timeout.ms",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms",
            "broker.session.timeout.ms", "broker.heartbeat.interval.ms", "unclean.leader.election.interval.ms", "replica.fetch.backoff.ms", "transaction.state.log.segment.bytes",
            "log.flush.interval.messages", "group.share.persister.class.name", "log.dirs", "log.dir",
            "group.coordinator.append.linger.ms", "share.coordinator.append.linger.ms", "offsets.topic.segment.bytes", "controller.quorum.auto.join.enable",
            "security.inter.broker.protocol", "sasl.mechanism.inter.broker.protocol", "sasl.mechanism.controller.protocol");

    /** Kafka's name, and Sluice's where it has another one. */
    private static final Map<String, String> RENAMED = Map.of("broker.rack", "zone");

    /** For the command line of a broker. */
    final Map<String, String> start = new TreeMap<>();
    /** For IncrementalAlterConfigs once the cluster runs. */
    public final Map<String, String> dynamic = new TreeMap<>();

    /** Whether clients log in, as users whom the brokers know. */
    final boolean login;
    /** Names and passwords of these: those that Kafka's extension gives its clients, or what a test says. */
    final Map<String, String> users;
    /** Whether there is a listener besides, where the suite itself logs in as a user who may do everything: what clients of the other one may do is up to ACLs. */
    final boolean ownListener;

    /** The listeners, if they are not just one. */
    Listeners listeners;

    /** What is said of listeners, controllers and files, which the suite says itself. */
    private static final Set<String> SAID = Set.of("listeners", "advertised.listeners", "listener.security.protocol.map", "inter.broker.listener.name", "node.id", "broker.id",
            "process.roles", "metadata.log.dir");

    /** Of the files with keys, which are handed over as what they hold. */
    private static final Set<String> STORES = Set.of("ssl.keystore.location", "ssl.keystore.password", "ssl.keystore.type", "ssl.key.password",
            "ssl.truststore.location", "ssl.truststore.password", "ssl.truststore.type", "ssl.keystore.key", "ssl.keystore.certificate.chain", "ssl.truststore.certificates", "ssl.protocol", "ssl.endpoint.identification.algorithm");

    public Settings(Map<String, String> kafka) {
        this(kafka, false);
    }

    /** Of a broker with the listeners that its configuration names; who has the name of an admin of Kafka's tests may do everything. */
    static Settings withListeners(Map<String, String> kafka, Map<String, String> users) {
        Map<String, String> rest = new TreeMap<>(kafka);
        rest.keySet().removeIf(name -> SAID.contains(name) || name.startsWith("controller.") || name.startsWith("listener.name.") || STORES.contains(name) || name.equals(BUILDER) || name.equals("sasl.enabled.mechanisms"));
        if (kafka.containsKey("authorizer.class.name")) {
            rest.merge("super.users", "User:" + JaasUtils.KAFKA_PLAIN_ADMIN, (theirs, own) -> theirs + ";" + own);
        }
        Settings s = new Settings(rest);
        s.listeners = new Listeners(kafka, users);
        if (s.listeners.rules != null) {
            s.start.put("ssl.principal.mapping.rules", s.listeners.rules);
        }
        s.start.put("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512");
        return s;
    }

    public Settings(Map<String, String> kafka, boolean login) {
        this(kafka, login, Map.of(JaasUtils.KAFKA_PLAIN_ADMIN, JaasUtils.KAFKA_PLAIN_ADMIN_PASSWORD,
                JaasUtils.KAFKA_PLAIN_USER1, JaasUtils.KAFKA_PLAIN_USER1_PASSWORD));
    }

    public Settings(Map<String, String> kafka, boolean login, Map<String, String> users) {
        this.login = login;
        this.users = users;
        this.ownListener = kafka.containsKey(BUILDER);
        if (login || ownListener) { // as Kafka's extension: who has logged in as plain-admin may do everything, others what ACLs say
            start.put("sasl.enabled.mechanisms", "PLAIN");
            start.put("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer");
            start.put("super.users", "User:" + JaasUtils.KAFKA_PLAIN_ADMIN);
        }
        kafka.forEach((name, value) -> {
            String own = RENAMED.getOrDefault(name, name);
            if (MEANINGLESS.contains(name) || name.equals(BUILDER)) {
                return;
            }
            if (name.equals("super.users") && ownListener) {
                value += ";" + start.get(name);
            }
            if (OWN.contains(own)) {
                start.put(own, value);
            } else if (changes(name, value)) {
                dynamic.put(name, value);
            }
        });
    }

    private static boolean changes(String name, String value) {
        ConfigDef.ConfigKey key = AbstractKafkaConfig.CONFIG_DEF.configKeys().get(name);
        return key != null && !Objects.equals(ConfigDef.parseType(name, value, key.type), key.defaultValue);
    }
}
