import java.io.FileOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.AuthenticationException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Cases about TLS and logins. What the listeners, files and tokens are is told by the environment. */
final class SecurityCases {
    private static final String MODULES = "org.apache.kafka.common.security.", PASSWORD = "of-the-store";

    static void add() throws Exception {
        String ssl = System.getenv("COMPAT_SSL"), saslSsl = System.getenv("COMPAT_SASL_SSL"), saslPlain = System.getenv("COMPAT_SASL_PLAINTEXT");
        if (ssl == null) throw new IllegalStateException("the environment names no listeners");
        String ca = trust("COMPAT_CA"), cert = keys("COMPAT_CERT"), otherCa = trust("COMPAT_OTHER_CA"), otherCert = keys("COMPAT_OTHER_CERT");
        welcome("certificate", at(ssl, ca, cert));
        unwelcome("no-certificate", at(ssl, ca, null));
        unwelcome("certificate-of-another-authority", at(ssl, ca, otherCert));
        unwelcome("broker-of-another-authority", at(ssl, otherCa, cert));
        unwelcome("plain-text-to-tls", at(ssl, null, null));
        unwelcome("no-login", at(saslPlain, null, null));
        welcome("plain", login(at(saslSsl, ca, null), "PLAIN", "plain", "secret-of-plain"));
        welcome("plain-without-tls", login(at(saslPlain, null, null), "PLAIN", "plain", "secret-of-plain"));
        stranger("plain-wrong-password", login(at(saslSsl, ca, null), "PLAIN", "plain", "not-the-password"));
        for (String size : List.of("256", "512")) {
            String mechanism = "SCRAM-SHA-" + size;
            welcome("scram-" + size, login(at(saslSsl, ca, null), mechanism, "scram", "secret-of-scram"));
            welcome("scram-" + size + "-without-tls", login(at(saslPlain, null, null), mechanism, "scram", "secret-of-scram"));
            stranger("scram-" + size + "-wrong-password", login(at(saslSsl, ca, null), mechanism, "scram", "not-the-password"));
        }
        stranger("scram-512-unknown-user", login(at(saslSsl, ca, null), "SCRAM-SHA-512", "nobody", "not-the-password"));
        welcome("oauthbearer", token(at(saslSsl, ca, null), "COMPAT_TOKEN"));
        welcome("oauthbearer-without-tls", token(at(saslPlain, null, null), "COMPAT_TOKEN"));
        stranger("oauthbearer-ended-token", token(at(saslSsl, ca, null), "COMPAT_OLD_TOKEN"));
        stranger("oauthbearer-unknown-key", token(at(saslSsl, ca, null), "COMPAT_OTHER_TOKEN"));
    }

    static Map<String, Object> at(String address, String trust, String keys) {
        Map<String, Object> p = new HashMap<>(Map.of("bootstrap.servers", address, "security.protocol", trust == null ? "PLAINTEXT" : "SSL"));
        if (trust != null) p.putAll(Map.of("ssl.truststore.location", trust, "ssl.truststore.password", PASSWORD, "ssl.truststore.type", "PKCS12"));
        if (keys != null) p.putAll(Map.of("ssl.keystore.location", keys, "ssl.keystore.password", PASSWORD, "ssl.keystore.type", "PKCS12", "ssl.key.password", PASSWORD));
        return p;
    }

    static Map<String, Object> login(Map<String, Object> p, String mechanism, String user, String password) {
        p.put("security.protocol", "SASL_" + p.get("security.protocol"));
        p.put("sasl.mechanism", mechanism);
        p.put("sasl.jaas.config", MODULES + (mechanism.equals("PLAIN") ? "plain.Plain" : "scram.Scram") + "LoginModule required username=\"" + user + "\" password=\"" + password + "\";");
        return p;
    }

    static Map<String, Object> token(Map<String, Object> p, String variable) {
        p.put("security.protocol", "SASL_" + p.get("security.protocol"));
        p.put("sasl.mechanism", "OAUTHBEARER");
        p.put("sasl.jaas.config", MODULES + "oauthbearer.OAuthBearerLoginModule required token=\"" + System.getenv(variable) + "\";");
        p.put("sasl.login.callback.handler.class", TokenLogin.class.getName());
        return p;
    }

    /** A record is written and read. */
    private static void welcome(String name, Map<String, Object> p) {
        Kit.add("security/" + name, () -> {
            String topic = Kit.topic("welcome-" + name, 1);
            Kit.check(writeAndRead(p, topic, "by " + name, 60_000), "by " + name, "value");
        });
    }

    /** Nothing is written, and nothing hangs. */
    private static void unwelcome(String name, Map<String, Object> p) {
        Kit.add("security/" + name, () -> refused(name, p));
    }

    /** The client is told that its login is wrong. */
    private static void stranger(String name, Map<String, Object> p) {
        Kit.add("security/" + name, () -> {
            Throwable why = refused(name, p);
            if (!(why instanceof AuthenticationException)) throw new AssertionError("no word of a wrong login: " + why);
        });
    }

    private static Throwable refused(String name, Map<String, Object> p) throws Exception {
        String topic = Kit.topic("unwelcome-" + name, 1);
        try {
            writeAndRead(p, topic, "must not be", 8_000);
        } catch (Exception e) {
            return Kit.cause(e);
        }
        throw new AssertionError("it is let in");
    }

    private static String writeAndRead(Map<String, Object> p, String topic, String value, int ms) throws Exception {
        Map<String, Object> conf = new HashMap<>(p);
        conf.put("max.block.ms", ms);
        long offset;
        try (var producer = new KafkaProducer<>(conf, new StringSerializer(), new StringSerializer())) {
            offset = producer.send(new ProducerRecord<>(topic, 0, null, value)).get().offset();
        }
        try (var c = new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer())) {
            c.assign(List.of(new TopicPartition(topic, 0)));
            c.seek(new TopicPartition(topic, 0), offset);
            return Kit.take(c, 1).get(0).value();
        }
    }

    /** The oldest clients read no PEM: makes a store of who is trusted. */
    static String trust(String variable) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        store.setCertificateEntry("ca", certificate(variable));
        return stored(store);
    }

    private static String keys(String variable) throws Exception {
        String pem = Files.readString(Path.of(System.getenv(variable)));
        String body = pem.substring(pem.indexOf("-----BEGIN PRIVATE KEY-----") + 27, pem.indexOf("-----END PRIVATE KEY-----"));
        var key = KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Base64.getMimeDecoder().decode(body)));
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        store.setKeyEntry("key", key, PASSWORD.toCharArray(), new Certificate[] {certificate(variable)});
        return stored(store);
    }

    private static Certificate certificate(String variable) throws Exception {
        String pem = Files.readString(Path.of(System.getenv(variable)));
        byte[] text = pem.substring(pem.indexOf("-----BEGIN CERTIFICATE-----")).getBytes();
        return CertificateFactory.getInstance("X.509").generateCertificate(new java.io.ByteArrayInputStream(text));
    }

    private static String stored(KeyStore store) throws Exception {
        Path file = Kit.temporary(".p12");
        try (var out = new FileOutputStream(file.toFile())) {
            store.store(out, PASSWORD.toCharArray());
        }
        return file.toString();
    }
}
