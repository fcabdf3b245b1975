import java.util.*;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerTokenCallback;

/** Logs in with the token that the option `token` of the login module holds, as it is: whether it is good is for the broker to say. */
public final class TokenLogin implements AuthenticateCallbackHandler {
    private String text;

    @Override public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> entries) {
        text = (String) entries.get(0).getOptions().get("token");
    }

    @Override public void handle(Callback[] callbacks) throws UnsupportedCallbackException {
        for (Callback c : callbacks)
            if (c instanceof OAuthBearerTokenCallback asked) asked.token(new Token(text));
            else if (!c.getClass().getSimpleName().equals("SaslExtensionsCallback")) throw new UnsupportedCallbackException(c); // there are none
    }

    @Override public void close() { }

    private static final class Token implements OAuthBearerToken {
        private final String text;
        private final long now = System.currentTimeMillis();

        Token(String text) { this.text = text; }

        @Override public String value() { return text; }
        @Override public Set<String> scope() { return Set.of(); }
        @Override public long lifetimeMs() { return now + 3_600_000; }
        @Override public String principalName() { return "dave"; }
        @Override public Long startTimeMs() { return now; }
    }
}
