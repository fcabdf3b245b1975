package sluice.kafkasuite;

import org.apache.kafka.common.test.ClusterInstance;
import org.apache.kafka.common.test.api.ClusterConfig;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.AfterTestExecutionCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.LifecycleMethodExecutionExceptionHandler;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;
import org.junit.jupiter.api.extension.TestExecutionExceptionHandler;
import org.opentest4j.TestAbortedException;

/** One run of one test: starts its cluster, hands it over, and stops it. */
public class Invocation implements BeforeEachCallback, AfterTestExecutionCallback, AfterEachCallback, ParameterResolver,
        TestExecutionExceptionHandler, LifecycleMethodExecutionExceptionHandler {
    private final SluiceCluster cluster;

    public Invocation(ClusterConfig config) {
        this.cluster = new SluiceCluster(config);
    }

    @Override
    public void beforeEach(ExtensionContext context) {
        cluster.core = context.getRequiredTestClass().getName().startsWith("kafka.");
        try {
            cluster.check();
            if (cluster.config().isAutoStart()) {
                cluster.start();
            }
        } catch (SluiceCluster.Refusal e) {
            throw new TestAbortedException(e.getMessage());
        }
    }

    @Override
    public void afterTestExecution(ExtensionContext context) {
        cluster.stop();
    }

    @Override
    public void afterEach(ExtensionContext context) {
        cluster.stop();
    }

    @Override
    public boolean supportsParameter(ParameterContext p, ExtensionContext context) {
        return p.getParameter().getType() == ClusterInstance.class;
    }

    @Override
    public Object resolveParameter(ParameterContext p, ExtensionContext context) {
        return cluster;
    }

    @Override
    public void handleTestExecutionException(ExtensionContext context, Throwable t) throws Throwable {
        throw judge(t);
    }

    @Override
    public void handleBeforeEachMethodExecutionException(ExtensionContext context, Throwable t) throws Throwable {
        throw judge(t);
    }

    @Override
    public void handleAfterEachMethodExecutionException(ExtensionContext context, Throwable t) throws Throwable {
        throw judge(t);
    }

    /** A test that asked for what there is none of may have wrapped the refusal, or waited for it to go away: it is left out all the same. */
    private Throwable judge(Throwable t) {
        String reason = cluster.refusal();
        if (reason != null && !(t instanceof TestAbortedException)) {
            TestAbortedException aborted = new TestAbortedException(reason);
            aborted.addSuppressed(t);
            return aborted;
        }
        if (reason == null) {
            System.out.println(cluster.logs());
        }
        return t;
    }
}
