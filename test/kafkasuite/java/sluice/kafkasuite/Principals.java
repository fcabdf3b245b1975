package sluice.kafkasuite;

import java.net.InetAddress;
import org.apache.kafka.common.security.auth.KafkaPrincipalBuilder;
import org.apache.kafka.common.security.auth.PlaintextAuthenticationContext;

/** Asks a class of a test who clients are. It cannot say so to a broker that is no JVM; there, clients who do not log in are User:ANONYMOUS. */
final class Principals {
    private Principals() {
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
