import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.common.utils.Exit;

/** Apache Kafka's tools, run one after the other in this process. What a tool prints is caught, and so is its exit. */
class Tools {
    record Outcome(int code, String text) {}

    /** Stands for the end of the process. */
    static class Ended extends Error {
        Ended(int code) { super("exit " + code, null, false, false); }
    }

    private static final int NONE = -1;
    private static final String TOOLS = "org.apache.kafka.tools.";
    private static final Map<String, String> CLASSES = Map.ofEntries(
        Map.entry("kafka-topics", TOOLS + "TopicCommand"),
        Map.entry("kafka-configs", "kafka.admin.ConfigCommand"),
        Map.entry("kafka-consumer-groups", TOOLS + "consumer.group.ConsumerGroupCommand"),
        Map.entry("kafka-share-groups", TOOLS + "consumer.group.ShareGroupCommand"),
        Map.entry("kafka-streams-groups", TOOLS + "streams.StreamsGroupCommand"),
        Map.entry("kafka-groups", TOOLS + "GroupsCommand"),
        Map.entry("kafka-acls", TOOLS + "AclCommand"),
        Map.entry("kafka-transactions", TOOLS + "TransactionsCommand"),
        Map.entry("kafka-reassign-partitions", TOOLS + "reassign.ReassignPartitionsCommand"),
        Map.entry("kafka-delete-records", TOOLS + "DeleteRecordsCommand"),
        Map.entry("kafka-get-offsets", TOOLS + "GetOffsetShell"),
        Map.entry("kafka-leader-election", TOOLS + "LeaderElectionCommand"),
        Map.entry("kafka-log-dirs", TOOLS + "LogDirsCommand"),
        Map.entry("kafka-features", TOOLS + "FeatureCommand"),
        Map.entry("kafka-client-metrics", TOOLS + "ClientMetricsCommand"),
        Map.entry("kafka-metadata-quorum", TOOLS + "MetadataQuorumCommand"),
        Map.entry("kafka-delegation-tokens", TOOLS + "DelegationTokenCommand"),
        Map.entry("kafka-cluster", TOOLS + "ClusterTool"),
        Map.entry("kafka-broker-api-versions", TOOLS + "BrokerApiVersionsCommand"),
        Map.entry("kafka-streams-application-reset", TOOLS + "StreamsResetter"),
        Map.entry("kafka-console-producer", TOOLS + "ConsoleProducer"),
        Map.entry("kafka-console-consumer", TOOLS + "consumer.ConsoleConsumer"),
        Map.entry("kafka-console-share-consumer", TOOLS + "consumer.ConsoleShareConsumer"),
        Map.entry("kafka-verifiable-producer", TOOLS + "VerifiableProducer"),
        Map.entry("kafka-verifiable-consumer", TOOLS + "VerifiableConsumer"),
        Map.entry("kafka-verifiable-share-consumer", TOOLS + "VerifiableShareConsumer"),
        Map.entry("kafka-producer-perf-test", TOOLS + "ProducerPerformance"),
        Map.entry("kafka-consumer-perf-test", TOOLS + "ConsumerPerformance"),
        Map.entry("kafka-share-consumer-perf-test", TOOLS + "ShareConsumerPerformance"),
        Map.entry("kafka-e2e-latency", TOOLS + "EndToEndLatency"),
        Map.entry("transactional-message-copier", TOOLS + "TransactionalMessageCopier"));

    private final PrintStream stderr = System.err;
    private volatile OutputStream caught;
    private final List<Runnable> hooks = new ArrayList<>(); // for its end: the console producer closes its client in one
    private final AtomicInteger exit = new AtomicInteger(NONE); // of the tool that runs: the first one counts, for some tools catch our Ended and exit again

    Tools() {
        Exit.setExitProcedure((code, why) -> end(code));
        Exit.setHaltProcedure((code, why) -> end(code));
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        // Set once and for all, for Scala's println keeps the stream that it found first.
        System.setOut(new PrintStream(new OutputStream() {
            @Override public void write(int b) { write(new byte[] {(byte) b}, 0, 1); }
            @Override public void write(byte[] b, int at, int n) {
                var to = caught;
                try {
                    if (to != null) to.write(b, at, n);
                } catch (java.io.IOException e) {
                    throw new java.io.UncheckedIOException(e);
                }
            }
        }, true));
    }

    private void end(int code) {
        exit.compareAndSet(NONE, code);
        throw new Ended(code);
    }

    /** Runs a tool to its end. */
    Outcome run(String tool, String[] args, String stdin) throws Exception {
        if (!CLASSES.containsKey(tool)) throw new AssertionError("there is no tool " + tool);
        var text = new ByteArrayOutputStream();
        var in = System.in;
        caught = text;
        exit.set(NONE);
        hooks.clear();
        System.setIn(new ByteArrayInputStream(stdin.getBytes(StandardCharsets.UTF_8)));
        System.setErr(new PrintStream(text, true));
        var pool = Executors.newSingleThreadExecutor();
        try {
            pool.submit(() -> call(Class.forName(CLASSES.get(tool)), args)).get(60, TimeUnit.SECONDS);
            pool.submit(() -> hooks.forEach(Runnable::run)).get(60, TimeUnit.SECONDS);
            return new Outcome(Math.max(exit.get(), 0), text.toString());
        } catch (TimeoutException e) {
            throw new AssertionError(tool + " does not end; it printed " + text);
        } catch (ExecutionException e) {
            return new Outcome(1, text + "\n" + e.getCause());
        } finally {
            pool.shutdownNow();
            caught = null;
            System.setIn(in);
            System.setErr(stderr);
        }
    }

    private static Void call(Class<?> tool, String[] args) throws Exception {
        try { // what the console consumers have counted so far
            var count = tool.getDeclaredField("messageCount");
            count.setAccessible(true);
            count.setInt(null, 0);
        } catch (NoSuchFieldException e) {
            // most tools count nothing
        }
        try {
            tool.getMethod("main", String[].class).invoke(null, (Object) args);
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof Ended) return null;
            throw e.getCause() instanceof Exception failure ? failure : e;
        }
        return null;
    }
}
