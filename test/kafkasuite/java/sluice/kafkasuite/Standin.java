package sluice.kafkasuite;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import kafka.network.SocketServer;
import kafka.raft.KafkaRaftManager;
import kafka.server.BrokerServer;
import kafka.server.ControllerServer;
import kafka.server.KafkaApis;
import kafka.server.KafkaConfig;
import kafka.server.SharedServer;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.TopicListing;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.internals.Plugin;
import org.apache.kafka.common.network.ListenerName;
import org.apache.kafka.controller.Controller;
import org.apache.kafka.coordinator.group.GroupCoordinator;
import org.apache.kafka.metadata.BrokerState;
import org.apache.kafka.metadata.KRaftMetadataCache;
import org.apache.kafka.metadata.LeaderAndIsr;
import org.apache.kafka.server.authorizer.Authorizer;
import org.mockito.Mockito;
import scala.Option;

/**
 * What a test gets in the place of a broker object: what can be asked of a process, by its protocol or by its state, is answered, and so are its stop and its start. What
 * else is asked of it, such as its logs on a disk and its metrics, is refused.
 */
final class Standin {
    private final int id;
    private final Processes processes;
    private final Supplier<Admin> admin;
    private final Authorizer authorizer;
    private final Supplier<? extends Error> refuse;

    /** The configuration that the broker was made with, if a test keeps that. */
    KafkaConfig given;

    /** Whether a test waits for leaders, as those of Kafka's core do. Others ask for replicas, and there is one. */
    boolean waits;

    /** A stand-in for the broker with this id; the authorizer is null if there is none. */
    Standin(int id, Processes processes, Supplier<Admin> admin, Authorizer authorizer, Supplier<? extends Error> refuse) {
        this.id = id;
        this.processes = processes;
        this.admin = admin;
        this.authorizer = authorizer;
        this.refuse = refuse;
    }

    BrokerServer broker() {
        KRaftMetadataCache cache = Mockito.mock(KRaftMetadataCache.class, Mockito.withSettings().stubOnly().defaultAnswer(call -> switch (call.getMethod().getName()) {
            case "getAliveBrokerNodes" -> nodes();
            case "hasAliveBroker" -> nodes().stream().anyMatch(n -> n.id() == (int) call.getArgument(0));
            case "getTopicId" -> topic(call.getArgument(0)).map(TopicDescription::topicId).orElse(Uuid.ZERO_UUID);
            case "numPartitions" -> topic(call.getArgument(0)).map(t -> t.partitions().size());
            case "contains" -> call.getArgument(0) instanceof String ? topic(call.getArgument(0)).isPresent() : refused();
            case "getLeaderAndIsr" -> !waits ? refused() : topic(call.getArgument(0)).flatMap(t -> leader(t, call.getArgument(1)));
            case "toString" -> "metadata cache of broker " + id;
            default -> refused();
        }));
        GroupCoordinator coordinator = proxy(GroupCoordinator.class, "group coordinator of broker " + id, (self, method, args) ->
                method.getName().equals("groupMetadataTopicConfigs") ? offsetsTopic() : refused());
        SocketServer sockets = sockets(processes, id, refuse);
        Inside inside = new Inside(id, admin, refuse);
        KafkaApis apis = Mockito.mock(KafkaApis.class, Mockito.withSettings().stubOnly().defaultAnswer(call -> switch (call.getMethod().getName()) {
            case "metadataCache" -> cache;
            case "authorizerPlugin" -> plugin(authorizer);
            case "clusterId" -> clusterId();
            default -> refused();
        }));
        return Mockito.mock(BrokerServer.class, Mockito.withSettings().stubOnly().defaultAnswer(call -> switch (call.getMethod().getName()) {
            case "metadataCache" -> cache;
            case "groupCoordinator" -> coordinator;
            case "dataPlaneRequestProcessor" -> apis;
            case "metrics" -> inside.metrics(processes.broker(id)::logins, processes.broker(id)::refusedLogins);
            case "lifecycleManager" -> inside.lifecycle();
            case "replicaManager" -> inside.replicas();
            case "logManager" -> inside.logs();
            case "tokenCache" -> inside.tokens();
            case "credentialProvider" -> inside.credentials();
            case "quotaManagers" -> inside.quotas();
            case "clusterId" -> clusterId();
            case "config" -> given == null ? config() : given;
            case "boundPort" -> processes.port(id, ((ListenerName) call.getArgument(0)).value());
            case "socketServer" -> sockets;
            case "sharedServer" -> Mockito.mock(SharedServer.class, Mockito.withSettings().stubOnly()); // has no loader, and so nothing to wait for
            case "isShutdown" -> !processes.alive(id);
            case "brokerState" -> processes.alive(id) ? BrokerState.RUNNING : BrokerState.SHUTTING_DOWN;
            case "shutdown" -> {
                processes.shutdown(id);
                yield null;
            }
            case "startup" -> {
                processes.startAgain(id);
                yield null;
            }
            case "awaitShutdown" -> null; // a cluster waits for the end of a process that it stops
            case "authorizerPlugin" -> plugin(authorizer);
            case "toString" -> "broker " + id;
            case "hashCode" -> id;
            default -> refused();
        }));
    }

    private Object refused() {
        throw refuse.get();
    }

    private static Option<Plugin<Authorizer>> plugin(Authorizer authorizer) {
        return authorizer == null ? Option.empty() : Option.apply(Plugin.wrapInstance(authorizer, null, "authorizer.class.name"));
    }

    /** The place where clients of a broker connect. */
    private static SocketServer sockets(Processes processes, int id, Supplier<? extends Error> refuse) {
        return Mockito.mock(SocketServer.class, Mockito.withSettings().stubOnly().defaultAnswer(call -> switch (call.getMethod().getName()) {
            case "boundPort" -> processes.port(id, ((ListenerName) call.getArgument(0)).value());
            default -> throw refuse.get();
        }));
    }

    private String clusterId() throws ExecutionException, InterruptedException {
        try (Admin a = admin.get()) {
            return a.describeCluster().clusterId().get();
        }
    }

    /** A controller that has an authorizer, the ids of topics, and quotas. Who wants to talk to it talks to the first broker, for every one takes the requests of a controller. */
    static ControllerServer controller(Authorizer authorizer, Processes processes, Supplier<Admin> admin, Supplier<? extends Error> refuse) {
        Controller active = proxy(Controller.class, "controller", (self, method, args) -> switch (method.getName()) {
            case "isActive" -> true;
            case "findAllTopicIds" -> CompletableFuture.completedFuture(topicIds(admin));
            default -> throw refuse.get();
        });
        KafkaRaftManager<?> log = Mockito.mock(KafkaRaftManager.class, Mockito.RETURNS_DEEP_STUBS); // ends at 0: nothing to wait for
        return Mockito.mock(ControllerServer.class, Mockito.withSettings().stubOnly().defaultAnswer(call -> switch (call.getMethod().getName()) {
            case "authorizerPlugin" -> plugin(authorizer);
            case "controller" -> active;
            case "raftManager" -> log;
            case "socketServer" -> sockets(processes, processes.ids().first(), refuse);
            case "quotaManagers" -> new Inside(-1, admin, refuse).quotas();
            case "toString" -> "controller";
            default -> throw refuse.get();
        }));
    }

    private List<Node> nodes() throws ExecutionException, InterruptedException {
        try (Admin a = admin.get()) {
            return List.copyOf(a.describeCluster().nodes().get());
        }
    }

    private Optional<TopicDescription> topic(String name) throws ExecutionException, InterruptedException {
        try (Admin a = admin.get()) {
            return Optional.of(a.describeTopics(List.of(name)).allTopicNames().get().get(name));
        } catch (ExecutionException e) {
            if (e.getCause() instanceof UnknownTopicOrPartitionException) {
                return Optional.empty();
            }
            throw e;
        }
    }

    private static Optional<LeaderAndIsr> leader(TopicDescription topic, int partition) {
        return topic.partitions().stream().filter(p -> p.partition() == partition && p.leader() != null).findFirst()
                .map((TopicPartitionInfo p) -> new LeaderAndIsr(p.leader().id(), p.isr().stream().map(Node::id).collect(Collectors.toList())));
    }

    private static Map<String, Uuid> topicIds(Supplier<Admin> admin) throws ExecutionException, InterruptedException {
        try (Admin a = admin.get()) {
            return a.listTopics(new ListTopicsOptions().listInternal(true)).listings().get().stream().collect(Collectors.toMap(TopicListing::name, TopicListing::topicId));
        }
    }

    private static Properties offsetsTopic() {
        Properties p = new Properties();
        p.put("cleanup.policy", "compact");
        p.put("compression.type", "producer");
        return p;
    }

    /** What the broker says of its configuration, or what it said last if it does not run. */
    private KafkaConfig config() throws ExecutionException, InterruptedException {
        Properties p = new Properties();
        if (processes.alive(id)) {
            ConfigResource it = new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(id));
            try (Admin a = admin.get()) {
                for (ConfigEntry e : a.describeConfigs(List.of(it)).all().get().get(it).entries()) {
                    if (e.value() != null && e.source() != ConfigEntry.ConfigSource.DEFAULT_CONFIG && !e.name().contains("listener")) {
                        p.put(e.name(), e.value());
                    }
                }
            }
        } else if (processes.said.containsKey(id)) {
            return processes.said.get(id);
        }
        p.keySet().removeAll(List.of("authorizer.class.name", "super.users", "broker.id"));
        p.putAll(Map.of("node.id", Integer.toString(id), "process.roles", "broker", "controller.listener.names", "CONTROLLER",
                "controller.quorum.voters", "3000@localhost:1", "listeners", "EXTERNAL://localhost:" + processes.broker(id).port,
                "inter.broker.listener.name", "EXTERNAL", "listener.security.protocol.map", "EXTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT", "log.dirs", processes.noLogs()));
        KafkaConfig config = new KafkaConfig(p);
        processes.said.put(id, config);
        return config;
    }

    private static <T> T proxy(Class<T> type, String name, InvocationHandler rest) {
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (self, method, args) -> switch (method.getName()) {
            case "toString" -> name;
            case "hashCode" -> System.identityHashCode(self);
            case "equals" -> self == args[0];
            default -> rest.invoke(self, method, args);
        }));
    }
}
