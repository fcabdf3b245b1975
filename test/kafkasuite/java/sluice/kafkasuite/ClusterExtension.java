package sluice.kafkasuite;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.common.test.api.ClusterConfig;
import org.apache.kafka.common.test.junit.ClusterTestExtensions;
import org.apache.kafka.common.test.junit.RaftClusterInvocationContext;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.TestTemplateInvocationContext;
import org.opentest4j.TestAbortedException;

/**
 * Stands in for Kafka's ClusterTestExtensions, with its reading of the annotations. A test that wants to run with controllers in processes of their
 * own and again within the brokers runs once: that difference does not exist here.
 */
public class ClusterExtension extends ClusterTestExtensions {
    /** Looks for threads that were left behind, unless the test was aborted and had no chance to end them. */
    @Override
    public void afterEach(ExtensionContext context) {
        if (!(context.getExecutionException().orElse(null) instanceof TestAbortedException)) {
            super.afterEach(context);
        }
    }

    @Override
    public Stream<TestTemplateInvocationContext> provideTestTemplateInvocationContexts(ExtensionContext context) {
        List<TestTemplateInvocationContext> all = super.provideTestTemplateInvocationContexts(context).collect(Collectors.toList());
        Set<ClusterConfig> apart = new HashSet<>();
        for (TestTemplateInvocationContext c : all) {
            RaftClusterInvocationContext r = (RaftClusterInvocationContext) c;
            if (!r.combined()) {
                apart.add(r.config());
            }
        }
        return all.stream().filter(c -> {
            RaftClusterInvocationContext r = (RaftClusterInvocationContext) c;
            return !r.combined() || !apart.contains(r.config());
        });
    }
}
