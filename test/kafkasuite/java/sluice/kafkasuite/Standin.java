package sluice.kafkasuite;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.function.Supplier;
import kafka.server.KafkaBroker;
import org.apache.kafka.common.Node;
import org.apache.kafka.metadata.MetadataCache;

/**
 * What a test gets in the place of a broker object: one that knows which brokers are alive, and that has ended once it was told to. Whatever else is asked
 * of it is refused.
 */
final class Standin {
    private Standin() {
    }

    static KafkaBroker broker(int id, Supplier<List<Node>> alive, Supplier<? extends Error> refuse) {
        MetadataCache cache = proxy(MetadataCache.class, "metadata cache of broker " + id, (self, method, args) -> {
            if (method.getName().equals("getAliveBrokerNodes")) {
                return alive.get();
            }
            throw refuse.get();
        });
        return proxy(KafkaBroker.class, "broker " + id, (self, method, args) -> switch (method.getName()) {
            case "metadataCache" -> cache;
            case "awaitShutdown" -> null; // a cluster waits for the end of a process that it stops
            default -> throw refuse.get();
        });
    }

    private static <T> T proxy(Class<T> type, String name, InvocationHandler rest) {
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (self, method, args) -> switch (method.getName()) {
            case "toString" -> name;
            case "hashCode" -> System.identityHashCode(self);
            case "equals" -> self == args[0];
            default -> rest.invoke(self, method, args);
        }));
    }
}
