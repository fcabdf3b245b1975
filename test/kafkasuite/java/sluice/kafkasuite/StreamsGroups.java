package sluice.kafkasuite;

import java.lang.reflect.Method;
import java.lang.reflect.Parameter;
import java.util.List;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.InvocationInterceptor;
import org.junit.jupiter.api.extension.ReflectiveInvocationContext;
import org.opentest4j.TestAbortedException;

/**
 * Aborts at once what runs with the group protocol of Kafka Streams (KIP-1071) while the broker has no such groups, which is told by its settings.
 * Otherwise each such test would wait for minutes. The tests get the protocol as an argument, under a few names.
 */
public class StreamsGroups implements InvocationInterceptor {
    private static final boolean THERE = List.of(System.getProperty("sluice.settings", "").split(",")).contains("group.streams.session.timeout.ms");

    @Override
    public void interceptTestTemplateMethod(Invocation<Void> invocation, ReflectiveInvocationContext<Method> method, ExtensionContext context) throws Throwable {
        if (!THERE && wanted(method)) {
            invocation.skip();
            throw new TestAbortedException("needs streams groups (KIP-1071)");
        }
        invocation.proceed();
    }

    private static boolean wanted(ReflectiveInvocationContext<Method> method) {
        Parameter[] parameters = method.getExecutable().getParameters();
        for (int i = 0; i < parameters.length && i < method.getArguments().size(); i++) {
            Object value = method.getArguments().get(i);
            boolean protocol = parameters[i].getName().toLowerCase().contains("protocol");
            if (protocol && (Boolean.TRUE.equals(value) || "streams".equalsIgnoreCase(String.valueOf(value)))) {
                return true;
            }
        }
        return false;
    }
}
