package sluice.kafkasuite;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import kafka.server.KafkaConfig;

/** The brokers of one cluster, with a directory for its bucket, its WALs and its logs that goes away with it. */
public class Processes {
    private final SortedMap<Integer, Broker> brokers = new TreeMap<>();
    private Path dir;
    private Map<String, String> tls = Map.of();
    /** What each broker said last of its configuration. */
    final Map<Integer, KafkaConfig> said = new ConcurrentHashMap<>();

    /** Has brokers that are started later speak TLS with the keys of these settings. */
    public void tls(Map<String, Object> ssl) {
        makeDir();
        tls = Pem.settings(ssl, dir.resolve("tls"));
    }

    public boolean tls() {
        return !tls.isEmpty();
    }

    /** Starts a broker for each of the settings, with ids from 0 on, one after the other: the first one makes the cluster. */
    public void start(List<Settings> settings) {
        makeDir();
        for (int id = 0; id < settings.size(); id++) {
            settings.get(id).start.putAll(tls);
            Broker broker = new Broker(dir, id, settings.size() == 1, settings.get(id));
            brokers.put(id, broker);
            broker.start();
        }
    }

    /** Adds a broker that is started later, with the keys of these settings if there are any. */
    public void add(int id, Settings settings, Map<String, String> ssl) {
        makeDir();
        if (ssl.containsKey("ssl.keystore.location") || ssl.containsKey("ssl.keystore.key")) {
            settings.start.putAll(Pem.settings(new HashMap<>(ssl), dir.resolve("tls-" + id)));
        }
        brokers.put(id, new Broker(dir, id, false, settings));
    }

    private void makeDir() {
        if (dir != null) {
            return;
        }
        try {
            dir = Files.createTempDirectory("kafkasuite");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Kills what runs and removes the directory. */
    public void stop() {
        brokers.values().forEach(Broker::kill);
        if (dir != null) {
            try (Stream<Path> files = Files.walk(dir)) {
                files.sorted(Comparator.reverseOrder()).forEach(p -> p.toFile().delete());
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    Broker broker(int id) {
        Broker broker = brokers.get(id);
        if (broker == null) {
            throw new IllegalArgumentException("there is no broker " + id);
        }
        return broker;
    }

    public boolean alive(int id) {
        return broker(id).alive();
    }

    public void startAgain(int id) {
        broker(id).start();
    }

    public void shutdown(int id) {
        broker(id).shutdown();
    }

    public SortedSet<Integer> ids() {
        return new TreeSet<>(brokers.keySet());
    }

    SortedSet<Integer> alive() {
        return brokers.entrySet().stream().filter(e -> e.getValue().alive()).map(Map.Entry::getKey).collect(Collectors.toCollection(TreeSet::new));
    }

    double refusedLogins() {
        return brokers.values().stream().filter(Broker::alive).mapToDouble(Broker::refusedLogins).sum();
    }

    int port(int id, String listener) {
        return broker(id).port(listener);
    }

    public String bootstrapServers() {
        return brokers.values().stream().map(b -> "localhost:" + b.port).collect(Collectors.joining(","));
    }

    /** Where a test finds no logs, since there are none on a disk. */
    String noLogs() {
        return dir.resolve("no-logs").toString();
    }

    /** Where the suite itself connects. */
    String ownServers() {
        return brokers.values().stream().map(b -> "localhost:" + b.ownPort).collect(Collectors.joining(","));
    }

    /** The ends of the logs of the brokers. */
    String logs() {
        return brokers.entrySet().stream().map(e -> "log of broker " + e.getKey() + ":\n" + e.getValue().tail()).collect(Collectors.joining("\n"));
    }
}
