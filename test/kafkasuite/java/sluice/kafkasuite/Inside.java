package sluice.kafkasuite;

import java.util.AbstractMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.function.DoubleSupplier;
import java.util.function.Supplier;
import kafka.cluster.Partition;
import kafka.log.LogManager;
import kafka.server.QuotaFactory.QuotaManagers;
import kafka.server.ReplicaManager;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.common.MetricName;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.metrics.KafkaMetric;
import org.apache.kafka.common.metrics.Measurable;
import org.apache.kafka.common.metrics.MetricConfig;
import org.apache.kafka.common.metrics.Metrics;
import org.apache.kafka.common.metrics.Quota;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.quota.ClientQuotaFilterComponent;
import org.apache.kafka.common.security.scram.ScramCredential;
import org.apache.kafka.common.security.scram.internals.ScramMechanism;
import org.apache.kafka.common.security.token.delegation.internals.DelegationTokenCache;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.security.CredentialProvider;
import org.apache.kafka.server.BrokerLifecycleManager;
import org.apache.kafka.server.quota.ControllerMutationQuotaManager;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.mockito.Mockito;
import org.mockito.stubbing.Answer;
import scala.Option;

/** What tests look at inside of a broker and what its protocol can tell: where logs begin and end, tokens, quotas. All brokers say the same of a partition, for its log is in the bucket. */
final class Inside {
    private final int id;
    private final Supplier<Admin> admin;
    private final Supplier<? extends Error> refuse;

    Inside(int id, Supplier<Admin> admin, Supplier<? extends Error> refuse) {
        this.id = id;
        this.admin = admin;
        this.refuse = refuse;
    }

    private <T> T standin(Class<T> type, Answer<Object> answer) {
        return Mockito.mock(type, Mockito.withSettings().stubOnly().defaultAnswer(answer));
    }

    private Object refused() {
        throw refuse.get();
    }

    /** A broker of a cluster is ready when it is started. */
    BrokerLifecycleManager lifecycle() {
        return standin(BrokerLifecycleManager.class, call -> call.getMethod().getName().equals("initialUnfenceFuture") ? CompletableFuture.<Void>completedFuture(null) : refused());
    }

    ReplicaManager replicas() {
        return standin(ReplicaManager.class, call -> switch (call.getMethod().getName()) {
            case "localLog" -> Option.apply(log(call.getArgument(0)));
            case "onlinePartition" -> Option.apply(partition(call.getArgument(0)));
            default -> refused();
        });
    }

    /** A partition, null if there is none: of it can be told whether the broker leads it. */
    private Partition partition(TopicPartition partition) throws ExecutionException, InterruptedException {
        Integer leader = leader(partition);
        return leader == null ? null : standin(Partition.class, call -> switch (call.getMethod().getName()) {
            case "leaderLogIfLocal" -> leader == id ? Option.apply(log(partition)) : Option.empty();
            case "isLeader" -> leader == id;
            case "getLeaderEpoch" -> epoch(partition);
            case "toString" -> "partition " + partition;
            default -> refused();
        });
    }

    LogManager logs() {
        return standin(LogManager.class, call -> switch (call.getMethod().getName()) {
            case "getLog" -> Option.apply(log(call.getArgument(0)));
            case "getLog$default$2" -> false;
            default -> refused();
        });
    }

    QuotaManagers quotas() {
        ControllerMutationQuotaManager mutations = mutations();
        return standin(QuotaManagers.class, call -> call.getMethod().getName().equals("controllerMutation") ? mutations : refused());
    }

    /** The log of a partition, null if there is none. */
    UnifiedLog log(TopicPartition partition) throws ExecutionException, InterruptedException {
        if (leader(partition) == null) {
            return null;
        }
        return standin(UnifiedLog.class, call -> switch (call.getMethod().getName()) {
            case "logStartOffset" -> offset(partition, OffsetSpec.earliest());
            case "logEndOffset", "highWatermark" -> offset(partition, OffsetSpec.latest());
            case "toString" -> "log of " + partition;
            default -> refused();
        });
    }

    /** The broker that leads a partition, null if there is none. */
    private Integer leader(TopicPartition partition) throws ExecutionException, InterruptedException {
        try (Admin a = admin.get()) {
            return a.describeTopics(List.of(partition.topic())).allTopicNames().get().get(partition.topic()).partitions().stream()
                    .filter(p -> p.partition() == partition.partition() && p.leader() != null).map(p -> p.leader().id()).findFirst().orElse(null);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof UnknownTopicOrPartitionException) {
                return null;
            }
            throw e;
        }
    }

    /** The epoch of the leader, which comes with the end of the log. */
    private int epoch(TopicPartition partition) throws ExecutionException, InterruptedException {
        try (Admin a = admin.get()) {
            return a.listOffsets(Map.of(partition, OffsetSpec.latest())).partitionResult(partition).get().leaderEpoch().orElseThrow(refuse);
        }
    }

    private long offset(TopicPartition partition, OffsetSpec which) throws ExecutionException, InterruptedException {
        try (Admin a = admin.get()) {
            ListOffsetsResultInfo info = a.listOffsets(Map.of(partition, which)).partitionResult(partition).get();
            return info.offset();
        }
    }

    /** What a broker counts of logins, by Kafka's names. It tells refused ones together, so a test that wants none of one kind sees all kinds. */
    Metrics metrics(DoubleSupplier succeeded, DoubleSupplier refused) {
        Map<MetricName, KafkaMetric> logins = new HashMap<>();
        Map.of("successful-authentication-total", succeeded, "failed-authentication-total", refused, "failed-reauthentication-total", refused,
                "expired-connections-killed-count", refused).forEach((name, count) -> {
            MetricName m = new MetricName(name, "socket-server-metrics", "", Map.of());
            logins.put(m, new KafkaMetric(this, m, (Measurable) (config, now) -> count.getAsDouble(), new MetricConfig(), Time.SYSTEM));
        });
        Map<MetricName, KafkaMetric> known = new AbstractMap<>() {
            @Override
            public Set<Map.Entry<MetricName, KafkaMetric>> entrySet() {
                return logins.entrySet();
            }

            @Override
            public KafkaMetric get(Object name) {
                throw refuse.get();
            }
        };
        return standin(Metrics.class, call -> call.getMethod().getName().equals("metrics") ? known : refused());
    }

    /** The users that brokers know by SCRAM; what they log in with is not told. */
    CredentialProvider credentials() {
        CredentialProvider known = new CredentialProvider(ScramMechanism.mechanismNames(), null);
        try (Admin a = admin.get()) {
            a.describeUserScramCredentials().all().get().forEach((user, d) -> d.credentialInfos().forEach(c ->
                    known.updateCredential(c.mechanism(), user, new ScramCredential(new byte[0], new byte[0], new byte[0], c.iterations()))));
        } catch (InterruptedException | ExecutionException e) {
            throw new IllegalStateException(e);
        }
        return known;
    }

    DelegationTokenCache tokens() {
        return standin(DelegationTokenCache.class, call -> {
            if (!call.getMethod().getName().equals("tokens")) {
                return refused();
            }
            try (Admin a = admin.get()) {
                return a.describeDelegationToken().delegationTokens().get().stream().map(t -> t.tokenInfo()).toList();
            }
        });
    }

    /** The quota that is set for a user alone, as one of no bound if there is none. */
    private ControllerMutationQuotaManager mutations() {
        return standin(ControllerMutationQuotaManager.class, call -> {
            if (!call.getMethod().getName().equals("quota") || !(call.getArgument(0) instanceof String)) {
                return refused();
            }
            ClientQuotaFilter filter = ClientQuotaFilter.containsOnly(List.of(ClientQuotaFilterComponent.ofEntity(ClientQuotaEntity.USER, call.getArgument(0))));
            try (Admin a = admin.get()) {
                return new Quota(a.describeClientQuotas(filter).entities().get().values().stream().map(m -> m.get("controller_mutation_rate"))
                        .filter(v -> v != null).findFirst().orElse((double) Long.MAX_VALUE), true);
            }
        });
    }
}
