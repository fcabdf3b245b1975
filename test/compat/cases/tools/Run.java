import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;

/** One run of a case. What it started ends with it. */
class Run implements AutoCloseable {
    private static final long PATIENCE = 40_000_000_000L;

    private final Script script;
    private final Tools tools;
    private final String broker, name;
    private final Path dir;
    private final List<AutoCloseable> open = new ArrayList<>();
    private final String node;
    private String stdin = "";

    Run(Script script, Tools tools, String broker, String name) throws Exception {
        this.script = script;
        this.tools = tools;
        this.broker = broker;
        this.name = name;
        dir = Files.createTempDirectory("tools");
        try (var admin = Admin.create(Map.of("bootstrap.servers", broker))) {
            node = admin.describeCluster().nodes().get().iterator().next().idString();
        }
    }

    /** Takes all steps and returns what is to be the same on both brokers. */
    String all(List<String> steps) throws Exception {
        var said = new StringBuilder();
        for (var step : steps) {
            int blank = step.indexOf(' ');
            String kind = step.substring(0, blank), rest = fill(step.substring(blank + 1).strip());
            switch (kind) {
                case "<" -> stdin = rest.replace("\\n", "\n").replace("\\t", "\t") + "\n";
                case "file" -> Files.writeString(dir.resolve(rest.substring(0, rest.indexOf(' '))), rest.substring(rest.indexOf(' ') + 1).replace("\\n", "\n"));
                case "+" -> start(rest.split(" "));
                case "until" -> said.append(until(rest));
                default -> said.append(command(kind, rest));
            }
        }
        return said.toString().strip();
    }

    private String fill(String text) {
        return text.replace("{p}", name).replace("{broker}", broker).replace("{id}", node).replace("{dir}", dir.toString());
    }

    private Tools.Outcome tool(String line) throws Exception {
        var words = Script.words(line);
        var args = new ArrayList<>(Arrays.asList(words).subList(1, words.length));
        if (!line.contains(broker)) args.addAll(words[0].equals("kafka-cluster") ? args.size() : 0, List.of("--bootstrap-server", broker));
        var out = tools.run(words[0], args.toArray(new String[0]), stdin);
        stdin = "";
        return out;
    }

    private String command(String kind, String line) throws Exception {
        if (!List.of("$", "~", "=", "x", "-").contains(kind)) throw new AssertionError("there is no kind of step " + kind);
        var out = tool(line);
        if (kind.equals("-") && out.code() != 0 || out.text().matches("(?is).*(option +description|usage:).*")) throw new AssertionError("exit " + out.code() + " of " + line + ": " + out.text());
        return (out.code() == 0 ? "" : "exit " + out.code() + " ") + switch (kind) {
            case "-" -> "";
            case "x" -> said(Pattern.compile("\\w+Exception").matcher(out.text()).results().map(MatchResult::group).distinct().collect(Collectors.joining("\n")), "$");
            default -> said(out.text(), kind);
        };
    }

    /** until /PATTERN/ TOOL ARGS: runs the tool until its output holds the pattern. */
    private String until(String line) throws Exception {
        int end = line.indexOf("/ ", 1);
        var pattern = Pattern.compile(line.substring(1, end), Pattern.DOTALL);
        for (long deadline = System.nanoTime() + PATIENCE; ; ) {
            var out = tool(line.substring(end + 2));
            if (out.code() == 0 && pattern.matcher(plain(out.text())).find()) return said(out.text(), "~");
            if (System.nanoTime() > deadline) throw new AssertionError("in vain until " + line + ": " + out.text());
        }
    }

    /** Without where an error was thrown, and without our own one. */
    private static String plain(String text) {
        return text.lines().filter(l -> !l.matches("\\s+(at|\\.\\.\\.) .*|.*Tools.Ended.*|exit \\d")).collect(Collectors.joining("\n"));
    }

    /** What a tool printed, without what is another each time, which has to be gone before words and lines are sorted as the kind of step has it. */
    private String said(String text, String kind) {
        var lines = new ArrayList<String>();
        for (var line : plain(text).replace(dir.toString(), "DIR").replace(name, "NAME").replace(broker, "BROKER").split("\n")) {
            line = script.mask(line.replaceAll("\\s+", " ").strip()).strip();
            if (kind.equals("~")) line = Arrays.stream(line.split("[ ,]+")).sorted().collect(Collectors.joining(" "));
            if (!line.isEmpty()) lines.add(line);
        }
        if (!kind.equals("=")) lines.sort(null);
        return "[" + String.join(" | ", lines) + "] ";
    }

    private void start(String[] words) throws Exception {
        switch (words[0]) {
            case "produce" -> produce(words[1], Integer.parseInt(words[2]));
            case "member" -> member(words[1], words[2], words[3], words.length > 4 ? words[4] : null);
            case "share" -> share(words[1], words[2]);
            case "streams" -> streams(words[1], words[2]);
            case "txn" -> txn(words[1], words[2]);
            default -> throw new AssertionError("nothing is called " + words[0]);
        }
    }

    private Properties config(String... more) {
        var p = new Properties();
        p.put("bootstrap.servers", broker);
        for (int i = 0; i < more.length; i += 2) p.put(more[i], more[i + 1]);
        return p;
    }

    private void produce(String topic, int n) throws Exception {
        try (var p = new KafkaProducer<>(config(), new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < n; i++) p.send(new ProducerRecord<>(topic, 0, 1_700_000_000_000L + i, "k" + i % 3, "v" + i)).get();
        }
    }

    private interface Polled { void poll(); }

    /** Polls in a thread of its own until the run ends. */
    private void polling(Polled what, AutoCloseable client) {
        var ending = new AtomicBoolean();
        var thread = new Thread(() -> {
            while (!ending.get()) what.poll();
        });
        thread.start();
        open.add(() -> {
            ending.set(true);
            thread.join();
            client.close();
        });
    }

    private void member(String group, String topic, String protocol, String instance) {
        var p = config("group.id", group, "group.protocol", protocol, "auto.offset.reset", "earliest", "client.id", "member", "enable.auto.commit", "false");
        if (instance != null) p.put("group.instance.id", instance);
        var c = new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
        c.subscribe(List.of(topic));
        polling(() -> {
            c.poll(java.time.Duration.ofMillis(100));
            if (!c.assignment().isEmpty()) c.commitSync();
        }, c);
    }

    private void share(String group, String topic) {
        var c = new KafkaShareConsumer<>(config("group.id", group, "client.id", "member"), new StringDeserializer(), new StringDeserializer());
        c.subscribe(List.of(topic));
        polling(() -> c.poll(java.time.Duration.ofMillis(100)), c);
    }

    private void streams(String app, String topic) {
        var b = new StreamsBuilder();
        b.stream(topic).groupByKey().count().toStream().to(topic + "-out");
        var s = new KafkaStreams(b.build(), config("application.id", app, "group.protocol", "streams", "state.dir", dir.toString(), "client.id", "member",
            "replication.factor", "1", "default.key.serde", "org.apache.kafka.common.serialization.Serdes$StringSerde",
            "default.value.serde", "org.apache.kafka.common.serialization.Serdes$StringSerde"));
        s.start();
        open.add(s);
    }

    private void txn(String id, String topic) throws Exception {
        var p = new KafkaProducer<>(config("transactional.id", id), new StringSerializer(), new StringSerializer());
        p.initTransactions();
        p.beginTransaction();
        p.send(new ProducerRecord<>(topic, 0, "k", "v")).get();
        open.add(() -> p.close(java.time.Duration.ZERO));
    }

    @Override public void close() throws Exception {
        for (var one : open) one.close();
        try (var files = Files.walk(dir)) {
            files.sorted(Comparator.reverseOrder()).forEach(f -> f.toFile().delete());
        }
    }
}
