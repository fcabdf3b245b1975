package sluice.kafkasuite;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import kafka.server.ControllerServer;
import kafka.server.KafkaBroker;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.UpdateFeaturesOptions;
import org.apache.kafka.clients.consumer.GroupProtocol;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.network.ListenerName;
import org.apache.kafka.common.security.auth.KafkaPrincipal;
import org.apache.kafka.common.security.auth.SecurityProtocol;
import org.apache.kafka.common.test.ClusterInstance;
import org.apache.kafka.common.test.JaasUtils;
import org.apache.kafka.common.test.api.ClusterConfig;
import org.apache.kafka.common.test.api.Type;
import org.apache.kafka.server.authorizer.Authorizer;
import org.apache.kafka.server.common.Feature;
import org.apache.kafka.server.common.MetadataVersion;
import org.apache.kafka.server.fault.FaultHandlerException;

/**
 * A cluster of Sluice in the place of a cluster of JVM brokers. What a test asks for and what there is none of aborts the test, with the reason: JUnit
 * reports it as skipped.
 */
public class SluiceCluster implements ClusterInstance {
    /** The id of the first controller of Kafka's test kit. */
    private static final int CONTROLLER = 3000;

    private final ClusterConfig config;
    private final Processes processes = new Processes();
    private boolean started;
    private boolean stopped;
    private volatile String refusal;

    /** Whether a test of Kafka's core runs: these hand brokers and controllers to Kafka's TestUtils, to wait until all know of a topic. */
    boolean core;

    SluiceCluster(ClusterConfig config) {
        this.config = config;
    }

    /** Why the test is left out, null as long as nothing was refused. */
    String refusal() {
        return refusal;
    }

    /** An error and not an exception: Kafka's tests repeat for a while what throws an exception. */
    static class Refusal extends Error {
        Refusal(String reason) {
            super(reason);
        }
    }

    private Refusal refuse(String reason) {
        if (refusal == null) {
            refusal = reason;
        }
        return new Refusal(reason);
    }

    /** The ends of the logs of the brokers. */
    String logs() {
        return processes.logs();
    }

    private Refusal inside() {
        return refuse("looks inside a JVM broker");
    }

    private Map<Integer, KafkaBroker> standins(Set<Integer> ids) {
        Map<Integer, KafkaBroker> all = new TreeMap<>();
        Acls acls = config.serverProperties().containsKey("authorizer.class.name") ? acls() : null;
        for (int id : ids) {
            Standin standin = new Standin(id, processes, this::own, acls, this::inside);
            standin.waits = core;
            all.put(id, standin.broker());
        }
        return all;
    }

    /** Aborts the test if such a cluster cannot be had. */
    void check() {
        if (config.brokerSecurityProtocol() != SecurityProtocol.PLAINTEXT && config.brokerSecurityProtocol() != SecurityProtocol.SASL_PLAINTEXT) {
            throw refuse("asks for " + config.brokerSecurityProtocol() + ", for which Kafka's extension gives clients nothing");
        }
        for (int id : config.perServerOverrideProperties().keySet()) {
            if (id >= config.numBrokers()) {
                throw refuse("configures a controller apart from the brokers");
            }
        }
        config.serverProperties().forEach((name, value) -> {
            if (name.endsWith(".assignors") && value.contains(".")) {
                throw refuse("asks for a Java class in the broker: " + name);
            }
        });
        for (String name : config.serverProperties().keySet()) {
            if (name.equals("group.share.persister.class.name")) {
                continue; // of no meaning: the state of share groups is kept in one way
            }
            if (name.equals("authorizer.class.name") || name.equals(Settings.BUILDER)) {
                continue; // the broker knows Kafka's own authorizer by its name, and refuses others; the suite asks the builder
            }
            if (name.endsWith(".class.name") || name.endsWith(".reporters") || name.endsWith(".class")) {
                throw refuse("asks for a Java class in the broker: " + name);
            }
        }
    }

    @Override
    public void start() {
        if (started) {
            return;
        }
        check();
        started = true;
        List<Settings> settings = new ArrayList<>();
        for (int i = 0; i < config.numBrokers(); i++) {
            Map<String, String> properties = new HashMap<>(config.serverProperties());
            properties.putAll(config.perServerOverrideProperties().getOrDefault(i, Map.of()));
            settings.add(new Settings(properties, config.brokerSecurityProtocol() == SecurityProtocol.SASL_PLAINTEXT));
        }
        try {
            processes.start(settings);
            configure(settings.get(0));
            waitForReadyBrokers();
        } catch (Broker.WrongSetting e) {
            throw refuse(e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }

    private void configure(Settings settings) throws InterruptedException {
        if (settings.dynamic.isEmpty() && config.features().isEmpty() && config.metadataVersion() == MetadataVersion.latestTesting()) {
            return;
        }
        try (Admin admin = own()) {
            for (Map.Entry<String, String> e : settings.dynamic.entrySet()) {
                ConfigResource all = new ConfigResource(ConfigResource.Type.BROKER, "");
                AlterConfigOp op = new AlterConfigOp(new ConfigEntry(e.getKey(), e.getValue()), AlterConfigOp.OpType.SET);
                try {
                    admin.incrementalAlterConfigs(Map.of(all, List.of(op))).all().get();
                } catch (ExecutionException x) {
                    throw refuse("no setting " + e.getKey());
                }
            }
            Map<String, Short> have = new HashMap<>();
            admin.describeFeatures().featureMetadata().get().finalizedFeatures().forEach((k, v) -> have.put(k, v.maxVersionLevel()));
            for (Map.Entry<Feature, Short> e : config.features().entrySet()) {
                level(admin, have, e.getKey().featureName(), e.getValue());
            }
            if (config.metadataVersion() != MetadataVersion.latestTesting() && config.metadataVersion() != MetadataVersion.latestProduction()) {
                level(admin, have, MetadataVersion.FEATURE_NAME, config.metadataVersion().featureLevel());
            }
        } catch (ExecutionException e) {
            throw new IllegalStateException(e);
        }
    }

    private void level(Admin admin, Map<String, Short> have, String feature, short level) throws InterruptedException {
        short now = have.getOrDefault(feature, (short) 0);
        if (now == level) {
            return;
        }
        FeatureUpdate.UpgradeType type = level > now ? FeatureUpdate.UpgradeType.UPGRADE : FeatureUpdate.UpgradeType.SAFE_DOWNGRADE;
        try {
            admin.updateFeatures(Map.of(feature, new FeatureUpdate(level, type)), new UpdateFeaturesOptions()).all().get();
        } catch (ExecutionException e) {
            throw refuse("no level " + level + " of " + feature);
        }
    }

    @Override
    public void stop() {
        if (!stopped) {
            stopped = true;
            processes.stop();
        }
    }

    @Override
    public boolean started() {
        return started;
    }

    @Override
    public boolean stopped() {
        return stopped;
    }

    @Override
    public void shutdownBroker(int id) {
        processes.broker(id).shutdown();
    }

    @Override
    public void startBroker(int id) {
        processes.broker(id).start();
    }

    @Override
    public Type type() {
        return Type.KRAFT;
    }

    @Override
    public ClusterConfig config() {
        return config;
    }

    @Override
    public Map<Integer, KafkaBroker> brokers() {
        return standins(processes.ids());
    }

    @Override
    public Map<Integer, KafkaBroker> aliveBrokers() {
        return standins(processes.alive());
    }

    @Override
    public Set<Integer> brokerIds() {
        return processes.ids();
    }

    @Override
    public List<Integer> brokerBoundPorts() {
        return processes.ids().stream().map(id -> processes.broker(id).port).collect(Collectors.toList());
    }

    /** One, that is asked for its authorizer, or waited for by a test of the core; otherwise nothing can be asked of it. */
    @Override
    public Map<Integer, ControllerServer> controllers() {
        boolean authorizer = config.serverProperties().containsKey("authorizer.class.name");
        if (!core && !authorizer) {
            throw inside();
        }
        return Map.of(CONTROLLER, Standin.controller(authorizer ? acls() : null, processes, this::own, this::inside));
    }

    private Acls acls() {
        String builder = config.serverProperties().get(Settings.BUILDER);
        String anonymous = KafkaPrincipal.ANONYMOUS.toString();
        String client = builder == null ? anonymous : Principals.of(builder, clientListener().value());
        return new Acls(this::own, client, anonymous, this::inside);
    }

    /** A client for the suite itself. */
    private Admin own() {
        return own(processes.ownServers());
    }

    private Admin own(String servers) {
        Map<String, Object> configs = new HashMap<>(Map.of("bootstrap.servers", servers));
        if (!config.serverProperties().containsKey(Settings.BUILDER)) {
            return admin(configs);
        }
        configs.putAll(Map.of("security.protocol", "SASL_PLAINTEXT", "sasl.mechanism", "PLAIN", "sasl.jaas.config",
                String.format("org.apache.kafka.common.security.plain.PlainLoginModule required username=\"%s\" password=\"%s\";",
                        JaasUtils.KAFKA_PLAIN_ADMIN, JaasUtils.KAFKA_PLAIN_ADMIN_PASSWORD)));
        return Admin.create(configs);
    }

    @Override
    public Set<Integer> controllerIds() {
        if (core) {
            return Set.of(CONTROLLER);
        }
        throw refuse("asks for controllers of their own");
    }

    @Override
    public String bootstrapControllers() {
        throw refuse("asks for controllers of their own");
    }

    @Override
    public ListenerName clientListener() {
        return config.brokerListenerName();
    }

    @Override
    public ListenerName controllerListenerName() {
        return config.controllerListenerName();
    }

    @Override
    public String bootstrapServers() {
        return processes.bootstrapServers();
    }

    @Override
    public String clusterId() {
        return ask(admin -> admin.describeCluster().clusterId().get());
    }

    @Override
    public Set<GroupProtocol> supportedGroupProtocols() {
        String protocols = config.serverProperties().get("group.coordinator.rebalance.protocols");
        boolean consumer = protocols == null || protocols.contains("consumer");
        boolean level = config.features().getOrDefault(Feature.GROUP_VERSION, (short) 1) > 0;
        return consumer && level ? Set.of(GroupProtocol.CLASSIC, GroupProtocol.CONSUMER) : Set.of(GroupProtocol.CLASSIC);
    }

    @Override
    public Optional<FaultHandlerException> firstFatalException() {
        return Optional.empty();
    }

    @Override
    public Optional<FaultHandlerException> firstNonFatalException() {
        return Optional.empty();
    }

    @Override
    public List<Authorizer> authorizers() {
        return List.of(acls());
    }

    @Override
    public void waitAcls(AclBindingFilter filter, Collection<AccessControlEntry> entries) throws InterruptedException {
        Set<AccessControlEntry> wanted = Set.copyOf(entries);
        Acls acls = acls();
        onEach("ACLs " + wanted, admin -> wanted.equals(acls.by(admin, filter).stream().map(AclBinding::entry).collect(Collectors.toSet())));
    }

    /** Every broker knows every living one. */
    @Override
    public void waitForReadyBrokers() throws InterruptedException {
        ensureConsistentMetadata();
    }

    @Override
    public void ensureConsistentMetadata() throws InterruptedException {
        int alive = processes.alive().size();
        onEach("brokers in the metadata of each", admin -> admin.describeCluster().nodes().get().size() == alive);
    }

    @Override
    public void ensureConsistentMetadata(Collection<KafkaBroker> some, Collection<ControllerServer> controllers) throws InterruptedException {
        ensureConsistentMetadata();
    }

    @Override
    public void waitTopicCreation(String topic, int partitions) throws InterruptedException {
        onEach("topic " + topic, admin -> {
            try {
                TopicDescription d = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
                return d.partitions().size() == partitions && d.partitions().stream().allMatch(p -> p.leader() != null && !p.leader().isEmpty());
            } catch (ExecutionException e) {
                if (e.getCause() instanceof UnknownTopicOrPartitionException) {
                    return false;
                }
                throw e;
            }
        });
    }

    @Override
    public void waitTopicDeletion(String topic) throws InterruptedException {
        onEach("no topic " + topic, admin -> !admin.listTopics().names().get().contains(topic));
    }

    private interface Question<T> {
        T ask(Admin admin) throws Exception;
    }

    private <T> T ask(Question<T> q) {
        try (Admin admin = own()) {
            return q.ask(admin);
        } catch (RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    /** Waits until the answer of each broker that runs is yes. */
    private void onEach(String what, Question<Boolean> q) throws InterruptedException {
        for (int id : processes.alive()) {
            int port = processes.broker(id).ownPort;
            try (Admin admin = own("localhost:" + port)) {
                await(what + " on port " + port, () -> q.ask(admin));
            }
        }
    }

    private static void await(String what, Callable<Boolean> yes) throws InterruptedException {
        long end = System.nanoTime() + 30_000_000_000L;
        Exception last = null;
        while (System.nanoTime() < end) {
            try {
                if (yes.call()) {
                    return;
                }
            } catch (InterruptedException e) {
                throw e;
            } catch (Exception e) {
                last = e;
            }
            Thread.sleep(20);
        }
        throw new AssertionError("waited 30 s for " + what, last);
    }
}
