import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.*;

/** What the cases have in common: clients with names and settings of this run, and checks. */
final class Kit {
    interface Body { void run() throws Exception; }

    static final int WAIT_SECONDS = 30, LIMIT_SECONDS = 110, AT_ONCE = 6;

    static String bootstrap, prefix;
    static AdminClient admin;
    private static final Map<String, Body> cases = new LinkedHashMap<>();
    private static final List<Path> temporary = new ArrayList<>();

    static void add(String name, Body body) {
        if (cases.put(name, body) != null) throw new IllegalStateException(name + " twice");
    }

    /** Runs all cases side by side, for most of their time is spent waiting, and prints them in the order they were added. */
    static void main(String[] args) throws Exception {
        bootstrap = args[0];
        prefix = args[1];
        String only = args.length > 2 ? args[2] : "";
        admin = AdminClient.create(props());
        cases.keySet().removeIf(name -> !name.contains(only));
        ExecutorService pool = Executors.newFixedThreadPool(AT_ONCE);
        Map<String, Future<String>> results = new LinkedHashMap<>();
        cases.forEach((name, body) -> results.put(name, pool.submit(() -> outcome(name, body))));
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_SECONDS);
        for (var one : results.entrySet()) {
            String result;
            try {
                result = one.getValue().get(Math.max(1, end - System.nanoTime()), TimeUnit.NANOSECONDS);
            } catch (TimeoutException e) {
                result = "fail not finished in time";
            }
            System.out.println("case " + one.getKey() + " " + result);
        }
        System.out.println("done " + results.size());
        System.out.flush();
        for (Path file : temporary) Files.deleteIfExists(file); // deleteOnExit does nothing before a halt
        Runtime.getRuntime().halt(0); // what a case has left open must not hold the program
    }

    /** A file that goes away with the program. */
    static Path temporary(String suffix) throws java.io.IOException {
        Path file = Files.createTempFile("compat", suffix);
        temporary.add(file);
        return file;
    }

    private static String outcome(String name, Body body) {
        long start = System.nanoTime();
        String result;
        try {
            body.run();
            result = "ok";
        } catch (Throwable e) {
            Throwable why = cause(e);
            System.err.println(name);
            e.printStackTrace();
            result = ("fail " + why.getClass().getSimpleName() + " " + why.getMessage()).replaceAll("\\s+", " ");
        }
        System.err.printf("%s: %.1f s, %s%n", name, (System.nanoTime() - start) / 1e9, result);
        return result.substring(0, Math.min(300, result.length()));
    }

    static Throwable cause(Throwable e) {
        return (e instanceof ExecutionException || e instanceof CompletionException) && e.getCause() != null ? cause(e.getCause()) : e;
    }

    static Properties props(Object... more) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        for (int i = 0; i < more.length; i += 2) p.put(more[i], more[i + 1].toString());
        return p;
    }

    static String name(String what) { return prefix + "-" + what; }

    static String topic(String what, int partitions, String... config) throws Exception {
        Map<String, String> configs = new HashMap<>();
        for (int i = 0; i < config.length; i += 2) configs.put(config[i], config[i + 1]);
        create(new NewTopic(name(what), partitions, (short) 1).configs(configs));
        return name(what);
    }

    /** Makes a topic, and waits until the broker knows of what the controller has made. */
    static void create(NewTopic t) throws Exception {
        get(admin.createTopics(List.of(t)).all());
        until(() -> get(admin.listTopics().names()).contains(t.name()), "the new topic");
    }

    /** Waits for an admin call. */
    static <T> T get(Future<T> f) throws Exception { return f.get(WAIT_SECONDS, TimeUnit.SECONDS); }

    static byte[] bytes(String s) { return s == null ? null : s.getBytes(); }

    static KafkaProducer<String, String> producer(Object... more) {
        return new KafkaProducer<>(props(more), new StringSerializer(), new StringSerializer());
    }

    static KafkaProducer<String, String> transactional(String id) {
        var p = producer("transactional.id", name(id), "linger.ms", "0");
        p.initTransactions();
        return p;
    }

    static KafkaConsumer<String, String> consumer(Object... more) {
        Properties p = props("auto.offset.reset", "earliest", "enable.auto.commit", "false", "metadata.max.age.ms", "1000");
        p.putAll(props(more));
        boolean classic = !"consumer".equals(p.get("group.protocol"));
        if (classic) {
            p.putIfAbsent("heartbeat.interval.ms", "200");
            p.putIfAbsent("session.timeout.ms", "10000");
        }
        return new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
    }

    /** A consumer without a group that reads a partition from its start. */
    static KafkaConsumer<String, String> reader(String topic, Object... more) {
        var c = consumer(more);
        c.assign(List.of(new TopicPartition(topic, 0)));
        c.seekToBeginning(c.assignment());
        return c;
    }

    /** Sends values to partition 0 and returns their offsets. */
    static List<Long> send(String topic, List<String> values, Object... more) throws Exception {
        try (var p = producer(more)) {
            return send(p, topic, values);
        }
    }

    static List<Long> send(KafkaProducer<String, String> p, String topic, List<String> values) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (String v : values) sent.add(p.send(new ProducerRecord<>(topic, 0, null, v)));
        p.flush();
        List<Long> offsets = new ArrayList<>();
        for (var f : sent) offsets.add(get(f).offset());
        return offsets;
    }

    static List<ConsumerRecord<String, String>> take(Consumer<String, String> c, int count) {
        List<ConsumerRecord<String, String>> got = new ArrayList<>();
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(40);
        while (got.size() < count) {
            if (System.nanoTime() > end) throw new AssertionError("only " + got.size() + " of " + count + " records came");
            c.poll(Duration.ofMillis(100)).forEach(got::add);
        }
        return got;
    }

    static List<String> values(Iterable<ConsumerRecord<String, String>> records) {
        List<String> all = new ArrayList<>();
        records.forEach(r -> all.add(r.value()));
        return all;
    }

    /** Reads partition 0 of a topic from its start. */
    static List<ConsumerRecord<String, String>> read(String topic, int count, Object... more) {
        try (var c = reader(topic, more)) {
            return take(c, count);
        }
    }

    static List<String> numbers(int from, int to) {
        List<String> all = new ArrayList<>();
        for (int i = from; i < to; i++) all.add("" + i);
        return all;
    }

    static List<Long> offsets(long from, long to) {
        List<Long> all = new ArrayList<>();
        for (long i = from; i < to; i++) all.add(i);
        return all;
    }

    static String filled(String what, int partitions, String... config) throws Exception {
        String topic = topic(what, partitions, config);
        try (var p = producer()) {
            for (int n = 0; n < partitions; n++)
                for (int i = 0; i < 10; i++) p.send(new ProducerRecord<>(topic, n, null, "" + i));
        }
        return topic;
    }

    static void check(Object got, Object want, String what) {
        if (!Objects.equals(got, want)) throw new AssertionError(what + " is " + shorten(got) + ", want " + shorten(want));
    }

    private static String shorten(Object o) {
        String s = String.valueOf(o);
        return s.substring(0, Math.min(120, s.length()));
    }

    static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }

    /** The call has to fail with an exception of a type, by its name, for older clients lack some types. */
    static void refused(String type, Body call) throws Exception {
        try {
            call.run();
        } catch (Exception e) {
            for (Class<?> c = cause(e).getClass(); c != null; c = c.getSuperclass())
                if (c.getSimpleName().equals(type)) return;
            throw new AssertionError("refused with " + cause(e) + ", want " + type);
        }
        throw new AssertionError("not refused, want " + type);
    }

    static void until(Callable<Boolean> holds, String what) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(40);
        while (!holds.call()) {
            if (System.nanoTime() > end) throw new AssertionError("waited in vain for " + what);
            Thread.sleep(20);
        }
    }

    static Map<String, String> configs(ConfigResource of) throws Exception {
        Map<String, String> all = new HashMap<>();
        get(admin.describeConfigs(List.of(of)).all()).get(of).entries().forEach(e -> all.put(e.name(), e.value()));
        return all;
    }

    static ConfigResource topicResource(String topic) { return new ConfigResource(ConfigResource.Type.TOPIC, topic); }

    /** The id of the only broker. */
    static int broker() throws Exception {
        var nodes = get(admin.describeCluster().nodes());
        check(nodes.size(), 1, "number of brokers");
        return nodes.iterator().next().id();
    }

    /** A consumer that is polled by a thread of its own, as a member of a group is. */
    static final class Member {
        final KafkaConsumer<String, String> consumer;
        final Set<TopicPartition> seen = ConcurrentHashMap.newKeySet();
        final Set<String> records = ConcurrentHashMap.newKeySet();
        volatile Set<TopicPartition> assigned = Set.of();
        final AtomicReference<Exception> error = new AtomicReference<>();
        private volatile boolean ending;
        private final Thread thread = new Thread(this::poll);

        Member(KafkaConsumer<String, String> consumer, java.util.function.Consumer<KafkaConsumer<String, String>> subscribe) {
            this.consumer = consumer;
            subscribe.accept(consumer);
            thread.setDaemon(true);
            thread.start();
        }

        private void poll() {
            try {
                while (!ending) {
                    consumer.poll(Duration.ofMillis(50)).forEach(r -> records.add(r.topic() + " " + r.partition() + " " + r.offset()));
                    assigned = Set.copyOf(consumer.assignment());
                }
            } catch (Exception e) { // what ends a member is what the case asks for
                error.set(e);
            } finally {
                consumer.close();
            }
        }

        void leave() throws Exception {
            ending = true;
            thread.join(30000);
        }
    }

    /** Waits until members have different partitions that make up a topic, as evenly as can be. */
    static void share(String topic, int partitions, Member... members) throws Exception {
        until(() -> {
            Set<TopicPartition> all = new HashSet<>();
            int sum = 0, most = 0, least = partitions;
            for (Member m : members) {
                if (m.error.get() != null) throw m.error.get();
                all.addAll(m.assigned);
                sum += m.assigned.size();
                most = Math.max(most, m.assigned.size());
                least = Math.min(least, m.assigned.size());
            }
            return all.size() == partitions && sum == partitions && most - least <= 1;
        }, members.length + " members to share " + partitions + " partitions");
    }
}
