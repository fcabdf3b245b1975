package sluice.kafkasuite;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import javax.crypto.Cipher;
import javax.crypto.EncryptedPrivateKeyInfo;
import javax.crypto.SecretKey;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;
import org.apache.kafka.common.config.types.Password;

/** Writes the stores of keys and certificates that a test gives a broker as PEM, which is what Sluice reads. */
final class Pem {
    private Pem() {
    }

    /** What to tell a broker in the place of the test's settings of TLS. */
    static Map<String, String> settings(Map<String, Object> ssl, Path dir) {
        try {
            Files.createDirectories(dir);
            if (ssl.get("ssl.keystore.key") != null) {
                return given(ssl, dir);
            }
            KeyStore keys = load(ssl, "ssl.keystore.");
            String alias = Collections.list(keys.aliases()).get(0);
            Key key = keys.getKey(alias, password(ssl, "ssl.key.password"));
            Path keyFile = write(dir.resolve("key.pem"), "PRIVATE KEY", List.of(key.getEncoded()));
            List<byte[]> chain = new ArrayList<>();
            for (Certificate c : keys.getCertificateChain(alias)) {
                chain.add(c.getEncoded());
            }
            Path chainFile = write(dir.resolve("chain.pem"), "CERTIFICATE", chain);
            Map<String, String> all = new HashMap<>();
            all.put("ssl.keystore.location", keyFile + "," + chainFile);
            if (ssl.get("ssl.truststore.location") != null) {
                KeyStore trusted = load(ssl, "ssl.truststore.");
                List<byte[]> authorities = new ArrayList<>();
                for (String name : Collections.list(trusted.aliases())) {
                    authorities.add(trusted.getCertificate(name).getEncoded());
                }
                all.put("ssl.truststore.location", write(dir.resolve("trusted.pem"), "CERTIFICATE", authorities).toString());
            }
            return all;
        } catch (IOException | GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Of a test that has them as PEM itself. */
    private static Map<String, String> given(Map<String, Object> ssl, Path dir) throws IOException, GeneralSecurityException {
        Path key = write(dir.resolve("key.pem"), "PRIVATE KEY", List.of(decrypted(text(ssl, "ssl.keystore.key"), password(ssl, "ssl.key.password"))));
        Path chain = Files.writeString(dir.resolve("chain.pem"), text(ssl, "ssl.keystore.certificate.chain"));
        Path trusted = Files.writeString(dir.resolve("trusted.pem"), text(ssl, "ssl.truststore.certificates"));
        return Map.of("ssl.keystore.location", key + "," + chain, "ssl.truststore.location", trusted.toString());
    }

    /** A key that was encrypted with a password; Sluice reads such that are not. */
    private static byte[] decrypted(String pem, char[] password) throws IOException, GeneralSecurityException {
        EncryptedPrivateKeyInfo key = new EncryptedPrivateKeyInfo(Base64.getMimeDecoder().decode(pem.replaceAll("-----.*-----", "")));
        SecretKey secret = SecretKeyFactory.getInstance(key.getAlgName()).generateSecret(new PBEKeySpec(password));
        Cipher cipher = Cipher.getInstance(key.getAlgName());
        cipher.init(Cipher.DECRYPT_MODE, secret, key.getAlgParameters());
        return key.getKeySpec(cipher).getEncoded();
    }

    private static String text(Map<String, Object> ssl, String name) {
        Object value = ssl.get(name);
        return value instanceof Password p ? p.value() : String.valueOf(value);
    }

    private static char[] password(Map<String, Object> ssl, String name) {
        return ssl.get(name) == null ? null : text(ssl, name).toCharArray();
    }

    private static KeyStore load(Map<String, Object> ssl, String prefix) throws IOException, GeneralSecurityException {
        KeyStore store = KeyStore.getInstance(String.valueOf(ssl.getOrDefault(prefix + "type", "JKS")));
        try (InputStream in = Files.newInputStream(Path.of(String.valueOf(ssl.get(prefix + "location"))))) {
            store.load(in, password(ssl, prefix + "password"));
        }
        return store;
    }

    private static Path write(Path file, String what, List<byte[]> parts) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            String body = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(part);
            out.writeBytes(("-----BEGIN " + what + "-----\n" + body + "\n-----END " + what + "-----\n").getBytes(StandardCharsets.US_ASCII));
        }
        return Files.write(file, out.toByteArray());
    }
}
