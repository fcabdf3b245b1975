package sluice.kafkasuite;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Proxy;
import java.net.InetAddress;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.security.auth.KafkaPrincipal;
import org.apache.kafka.common.utils.SecurityUtils;
import org.apache.kafka.metadata.authorizer.StandardAcl;
import org.apache.kafka.metadata.authorizer.StandardAuthorizer;
import org.apache.kafka.server.authorizer.Action;
import org.apache.kafka.server.authorizer.AuthorizableRequestContext;
import org.apache.kafka.server.authorizer.AuthorizationResult;

/**
 * Asks Kafka's StandardAuthorizer what lines of standard input say, with tabs between the fields and Kafka's numbers:
 * "new SUPER-USERS EVERYONE" begins anew, "acl TYPE PATTERN NAME PRINCIPAL HOST OPERATION PERMISSION" adds one, "ask PRINCIPAL HOST OPERATION TYPE NAME" and
 * "any PRINCIPAL HOST OPERATION TYPE" (at least one resource of a type) are answered with a line 1 or 0.
 */
public class Decisions {
    private StandardAuthorizer authorizer;

    public static void main(String[] args) throws Exception {
        Decisions d = new Decisions();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        StringBuilder out = new StringBuilder();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] f = line.split("\t", -1);
            switch (f[0]) {
                case "new" -> d.begin(f[1], f[2]);
                case "acl" -> d.add(f);
                case "ask" -> out.append(d.ask(f) == AuthorizationResult.ALLOWED ? "1\n" : "0\n");
                case "any" -> out.append(d.any(f) == AuthorizationResult.ALLOWED ? "1\n" : "0\n");
                default -> throw new IllegalArgumentException(line);
            }
        }
        PrintStream stdout = System.out;
        stdout.print(out);
        stdout.flush();
    }

    private void begin(String superUsers, String everyone) {
        authorizer = new StandardAuthorizer();
        authorizer.configure(Map.of("super.users", superUsers, "allow.everyone.if.no.acl.found", everyone, "node.id", "1"));
        authorizer.withPluginMetrics(metrics());
        authorizer.completeInitialLoad();
    }

    private static org.apache.kafka.common.metrics.PluginMetrics metrics() {
        return new org.apache.kafka.common.metrics.internals.PluginMetricsImpl(new org.apache.kafka.common.metrics.Metrics(), Map.of());
    }

    private void add(String[] f) {
        authorizer.addAcl(Uuid.randomUuid(), new StandardAcl(type(f[1]), f[3], PatternType.fromCode(Byte.parseByte(f[2])), f[4], f[5],
                operation(f[6]), AclPermissionType.fromCode(Byte.parseByte(f[7]))));
    }

    private AuthorizationResult ask(String[] f) throws Exception {
        ResourcePattern resource = new ResourcePattern(type(f[4]), f[5], PatternType.LITERAL);
        return authorizer.authorize(client(f[1], f[2]), List.of(new Action(operation(f[3]), resource, 1, true, true))).get(0);
    }

    private AuthorizationResult any(String[] f) throws Exception {
        return authorizer.authorizeByResourceType(client(f[1], f[2]), operation(f[3]), type(f[4]));
    }

    private static ResourceType type(String code) {
        return ResourceType.fromCode(Byte.parseByte(code));
    }

    private static AclOperation operation(String code) {
        return AclOperation.fromCode(Byte.parseByte(code));
    }

    private static AuthorizableRequestContext client(String principal, String host) throws Exception {
        KafkaPrincipal who = SecurityUtils.parseKafkaPrincipal(principal);
        InetAddress where = InetAddress.getByName(host);
        return (AuthorizableRequestContext) Proxy.newProxyInstance(Decisions.class.getClassLoader(), new Class<?>[] {AuthorizableRequestContext.class},
                (self, method, args) -> switch (method.getName()) {
                    case "principal" -> who;
                    case "clientAddress" -> where;
                    case "listenerName", "clientId" -> "";
                    case "toString" -> "client";
                    default -> 0;
                });
    }
}
