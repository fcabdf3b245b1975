package sluice.kafkasuite;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** One broker as a process, over any number of starts; its ports stay the same. */
class Broker {
    final int port = freePort();
    /** Where the suite itself connects, if the settings want a listener for that. */
    final int ownPort;
    private final int admin = freePort();
    private final int peer = freePort();
    private final Path log;
    private final List<String> command = new ArrayList<>();
    private final Map<String, Integer> ports = new HashMap<>();
    private final List<Doorman> doormen = new ArrayList<>();
    private Process process;

    /** The first broker of a cluster makes it and has id 0, as those of Kafka's test kit. Its brokers share a bucket and a directory for their WALs below dir. */
    Broker(Path dir, int id, boolean alone, Settings settings) {
        log = dir.resolve("broker-" + id + ".log");
        command.addAll(List.of(System.getProperty("sluice.binary"), "start", "--node-id", Integer.toString(id), "--name", "broker-" + id,
                "--bucket", "file://" + dir.resolve("bucket"), "--wal", "file://" + dir.resolve("wal") + (alone ? "" : "?shared=true"),
                "--data", dir.resolve("data-" + id).toString(), "--admin", "127.0.0.1:" + admin,
                "--peer", "127.0.0.1:" + peer));
        ownPort = settings.ownListener || settings.listeners != null ? freePort() : port;
        if (settings.listeners != null) {
            listen(settings.listeners, dir);
        } else if (settings.ownListener) {
            command.addAll(List.of("--listeners", "PLAINTEXT://localhost:" + port + ",SASL_PLAINTEXT://localhost:" + ownPort, "--sasl-users", users(dir, settings.users).toString()));
        } else if (settings.login) {
            command.addAll(List.of("--listeners", "SASL_PLAINTEXT://localhost:" + port, "--sasl-users", users(dir, settings.users).toString()));
        } else if (settings.start.containsKey("ssl.keystore.location")) {
            command.addAll(List.of("--listeners", "SSL://localhost:" + port));
        } else {
            command.addAll(List.of("--listen", "localhost:" + port));
        }
        settings.start.forEach((name, value) -> command.addAll(List.of("--set", name + "=" + value)));
    }

    /** Adds listeners to the command, and what stands before them. */
    private void listen(Listeners listeners, Path dir) {
        List<String> bound = new ArrayList<>();
        List<String> advertised = new ArrayList<>();
        List<String> protocols = new ArrayList<>();
        for (Listeners.Place place : listeners.places) {
            int front = place.name().equals(Listeners.OWN) ? ownPort : freePort();
            int back = front;
            if (place.user() != null) {
                back = freePort();
                doormen.add(new Doorman(front, back, place.user()));
            }
            ports.put(place.name(), front);
            bound.add(place.name() + "://localhost:" + back);
            advertised.add(place.name() + "://localhost:" + front);
            protocols.add(place.name() + ":" + place.behind().name);
        }
        command.addAll(List.of("--listeners", String.join(",", bound), "--advertised.listeners", String.join(",", advertised),
                "--listener.security.protocol.map", String.join(",", protocols), "--sasl-users", users(dir, listeners.users).toString()));
    }

    /** The port of a listener, for clients; that of another one if there is none of this name, as that of a controller. */
    int port(String listener) {
        return ports.getOrDefault(listener, ports.entrySet().stream().filter(e -> !e.getKey().equals(Listeners.OWN)).map(Map.Entry::getValue).findFirst().orElse(port));
    }

    /** The users whom brokers know. */
    private static Path users(Path dir, Map<String, String> passwords) {
        Path file = dir.resolve("users");
        try {
            return Files.writeString(file, passwords.entrySet().stream().map(e -> e.getKey() + " = " + e.getValue() + "\n").collect(Collectors.joining()));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The broker refuses a setting. */
    static class WrongSetting extends RuntimeException {
        WrongSetting(String message) {
            super(message);
        }
    }

    void start() {
        try {
            process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile())).start();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (!ready()) {
            if (!process.isAlive() && process.exitValue() == 2) {
                throw new WrongSetting(tail().lines().findFirst().orElse(""));
            }
            if (!process.isAlive() || System.nanoTime() > end) {
                throw new IllegalStateException("the broker does not become ready:\n" + tail());
            }
            sleep();
        }
    }

    boolean alive() {
        return process != null && process.isAlive();
    }

    /** Asks the broker to end in order. */
    void shutdown() {
        end(false);
    }

    void kill() {
        doormen.forEach(Doorman::close);
        end(true);
    }

    private void end(boolean atOnce) {
        if (process == null) {
            return;
        }
        if (atOnce) {
            process.destroyForcibly();
        } else {
            process.destroy();
        }
        try {
            if (!process.waitFor(60, TimeUnit.SECONDS)) {
                process.destroyForcibly().waitFor();
                throw new IllegalStateException("the broker did not end within a minute:\n" + tail());
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }

    String tail() {
        try {
            String text = Files.readString(log);
            return text.substring(Math.max(0, text.length() - 4000));
        } catch (IOException e) {
            return "no log: " + e;
        }
    }

    File log() {
        return log.toFile();
    }

    /** A plain socket: the client of java.net leaves threads behind, which Kafka's tests take for a leak. */
    private String get(String path) throws IOException {
        try (Socket s = new Socket()) {
            s.connect(new InetSocketAddress("127.0.0.1", admin), 1000);
            s.setSoTimeout(2000);
            s.getOutputStream().write(("GET " + path + " HTTP/1.0\r\n\r\n").getBytes(StandardCharsets.US_ASCII));
            InputStream in = s.getInputStream();
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private boolean ready() {
        try {
            return get("/readyz").substring(8).startsWith(" 200");
        } catch (IOException | IndexOutOfBoundsException e) {
            return false;
        }
    }

    /** How many logins the broker has refused, those that were over and were used on among them. */
    double refusedLogins() {
        return sum("sluice_kafka_logins_refused_total");
    }

    /** How many it has let in. */
    double logins() {
        return sum("sluice_kafka_logins_total");
    }

    private double sum(String metric) {
        try {
            return get("/metrics").lines().filter(l -> l.startsWith(metric)).mapToDouble(l -> Double.parseDouble(l.substring(l.lastIndexOf(' ') + 1))).sum();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void sleep() {
        try {
            Thread.sleep(20);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        }
    }

    /** A port below those that the kernel gives to outgoing connections, so that it is still free when a broker comes back. */
    private static int freePort() {
        while (true) {
            int port = ThreadLocalRandom.current().nextInt(12000, 32000);
            try (ServerSocket s = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
                return s.getLocalPort();
            } catch (IOException taken) {
                continue;
            }
        }
    }
}
