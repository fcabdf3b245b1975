package sluice.kafkasuite;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.security.auth.KafkaPrincipal;
import org.apache.kafka.common.security.auth.SecurityProtocol;
import org.apache.kafka.common.test.JaasUtils;
import org.apache.kafka.common.utils.SecurityUtils;

/** The listeners that a test's configuration of a broker names, and who may log in there. One more, of the suite itself, is added. */
final class Listeners {
    /** A listener; user is whom the test's principal builder takes its clients for, null if they say themselves who they are. */
    record Place(String name, SecurityProtocol protocol, String user) {
        /** The protocol of the broker's listener: clients that do not log in get there by a doorman, who does. */
        SecurityProtocol behind() {
            return user == null ? protocol : SecurityProtocol.SASL_PLAINTEXT;
        }
    }

    static final String OWN = "SUITE";

    final List<Place> places = new ArrayList<>();
    final Map<String, String> users = new TreeMap<>();
    /** By which clients with certificates get their names; null if there are none. */
    String rules;

    /** Reads listeners, their protocols and the principal builder; users are the names and passwords of those who log in. */
    Listeners(Map<String, String> kafka, Map<String, String> users) {
        Map<String, SecurityProtocol> protocols = new HashMap<>();
        for (String pair : kafka.getOrDefault("listener.security.protocol.map", "").split(",")) {
            String[] parts = pair.split(":");
            if (parts.length == 2) {
                protocols.put(parts[0], SecurityProtocol.forName(parts[1]));
            }
        }
        this.users.putAll(users);
        this.users.put(JaasUtils.KAFKA_PLAIN_ADMIN, JaasUtils.KAFKA_PLAIN_ADMIN_PASSWORD);
        for (String listener : kafka.get("listeners").split(",")) {
            String name = listener.substring(0, listener.indexOf(':'));
            SecurityProtocol protocol = protocols.containsKey(name) ? protocols.get(name) : SecurityProtocol.forName(name);
            String builder = kafka.getOrDefault("listener.name." + name.toLowerCase(Locale.ROOT) + "." + Settings.BUILDER, kafka.get(Settings.BUILDER));
            if (builder != null && protocol == SecurityProtocol.SSL && Principals.rules(builder) != null) {
                rules = Principals.rules(builder);
            } else if (builder != null && protocol != SecurityProtocol.PLAINTEXT) {
                throw Harness.javaClass(Settings.BUILDER); // it would have to see certificates and logins
            }
            String user = null;
            if (builder != null && protocol == SecurityProtocol.PLAINTEXT) {
                KafkaPrincipal who = SecurityUtils.parseKafkaPrincipal(Principals.of(builder, name));
                user = who.getName();
                this.users.put(user, Doorman.password(user));
            }
            places.add(new Place(name, protocol, user));
        }
        places.add(new Place(OWN, SecurityProtocol.SASL_PLAINTEXT, null));
    }
}
