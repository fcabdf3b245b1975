package org.apache.kafka.common.test.junit;

import java.util.List;
import org.apache.kafka.common.test.api.ClusterConfig;
import org.junit.jupiter.api.extension.Extension;
import org.junit.jupiter.api.extension.TestTemplateInvocationContext;
import sluice.kafkasuite.Invocation;

/**
 * Takes the place of Kafka's class of this name, which is the one that Kafka's extension makes for every cluster that a test asks for: here it is a
 * cluster of Sluice. Kafka's reading of the annotations stays in use.
 */
public class RaftClusterInvocationContext implements TestTemplateInvocationContext {
    private final String name;
    private final ClusterConfig config;
    private final boolean combined;

    public RaftClusterInvocationContext(String name, ClusterConfig config, boolean combined) {
        this.name = name;
        this.config = config;
        this.combined = combined;
    }

    /** Whether broker and controller were to be one process; Sluice has one kind of process. */
    public boolean combined() {
        return combined;
    }

    public ClusterConfig config() {
        return config;
    }

    @Override
    public String getDisplayName(int index) {
        return String.format("%s [%d] %s", name, index, String.join(",", config.displayTags()));
    }

    @Override
    public List<Extension> getAdditionalExtensions() {
        return List.of(new Invocation(config));
    }
}
