package sluice.kafkasuite;

import java.net.InetAddress;
import java.util.Map;
import org.apache.kafka.common.security.auth.KafkaPrincipalBuilder;
import org.apache.kafka.common.security.auth.PlaintextAuthenticationContext;

/** Asks a class of a test who clients are. It cannot say so to a broker that is no JVM; there, clients who do not log in are User:ANONYMOUS. */
final class Principals {
    /** The builder of SslEndToEndAuthorizationTest as rules: its server and its super user are one, everybody else has the name of his certificate. */
    private static final Map<String, String> RULES = Map.of("kafka.api.SslEndToEndAuthorizationTest$TestPrincipalBuilder", "RULE:^O=A server,.*$/server/,RULE:^.*,CN=super-user$/server/,DEFAULT");

    private Principals() {
    }

    /** What ssl.principal.mapping.rules says in the place of a class that looks at certificates; null if nothing does. */
    static String rules(String builder) {
        return RULES.get(builder);
    }

    /** Whom the class takes clients of a listener for. */
    static String of(String builder, String listener) {
        try {
            KafkaPrincipalBuilder b = (KafkaPrincipalBuilder) Class.forName(builder).getDeclaredConstructor().newInstance();
            return b.build(new PlaintextAuthenticationContext(InetAddress.getLoopbackAddress(), listener)).toString();
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }
}
