package kafka.server;

import java.util.Properties;
import java.util.stream.Stream;
import kafka.utils.Logging;
import kafka.utils.TestInfoUtils;
import org.apache.kafka.clients.consumer.GroupProtocol;
import org.apache.kafka.common.security.auth.SecurityProtocol;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.metadata.storage.Formatter;
import org.apache.kafka.server.common.MetadataVersion;
import org.apache.kafka.server.fault.MockFaultHandler;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.TestInfo;
import org.junit.jupiter.params.provider.Arguments;
import org.opentest4j.TestAbortedException;
import scala.Option;
import scala.collection.Seq;
import scala.jdk.javaapi.CollectionConverters;
import sluice.kafkasuite.Harness;

/**
 * Takes the place of Kafka's class of this name, from which the tests of its core get their controller and their brokers: brokers are processes of Sluice, and there is no
 * controller but what stands in for one.
 */
public abstract class QuorumTestHarness implements Logging {
    private TestInfo info;
    private Harness harness;
    private String logIdent = "";

    @Override
    public String logIdent() {
        return logIdent;
    }

    @Override
    public void logIdent_$eq(String ident) {
        logIdent = ident;
    }

    public SecurityProtocol controllerListenerSecurityProtocol() {
        return SecurityProtocol.PLAINTEXT;
    }

    public Seq<Properties> kraftControllerConfigs(TestInfo test) {
        return CollectionConverters.asScala(java.util.List.of(new Properties()));
    }

    public MetadataVersion metadataVersion() {
        return MetadataVersion.latestTesting();
    }

    public Option<GroupProtocol> maybeGroupProtocolSpecified() {
        return TestInfoUtils.maybeGroupProtocolSpecified(info);
    }

    public GroupProtocol groupProtocolFromTestParameters() {
        return maybeGroupProtocolSpecified().get();
    }

    public ControllerServer controllerServer() {
        return harness.controller();
    }

    public Seq<ControllerServer> controllerServers() {
        return CollectionConverters.asScala(java.util.List.of(controllerServer()));
    }

    public MockFaultHandler faultHandler() {
        return new MockFaultHandler("kafkasuite");
    }

    public void addFormatterSettings(Formatter formatter) {
    }

    public Seq<SecurityProtocol> extraControllerSecurityProtocols() {
        return CollectionConverters.asScala(java.util.List.<SecurityProtocol>of());
    }

    @BeforeEach
    public void setUp(TestInfo test) {
        info = test;
        Formatter formatter = new Formatter();
        addFormatterSettings(formatter);
        if (metadataVersion().isLessThan(MetadataVersion.latestProduction())) {
            throw new TestAbortedException("no level " + metadataVersion().featureLevel() + " of metadata.version");
        }
        harness = new Harness(formatter);
    }

    @AfterEach
    public void tearDown() {
        if (harness != null) {
            harness.stop();
        }
        System.clearProperty("java.security.auth.login.config");
        javax.security.auth.login.Configuration.setConfiguration(null);
    }

    public KafkaBroker createBroker(KafkaConfig config, Time time, boolean startup, Option<String> prefix) {
        BrokerServer broker = harness.broker(config);
        if (startup) {
            broker.startup();
        }
        return broker;
    }

    public Time createBroker$default$2() {
        return Time.SYSTEM;
    }

    public boolean createBroker$default$3() {
        return true;
    }

    public Option<String> createBroker$default$4() {
        return Option.empty();
    }

    public static Stream<Arguments> getTestGroupProtocolParametersAll() {
        return QuorumTestHarness$.MODULE$.getTestGroupProtocolParametersAll();
    }

    public static Stream<Arguments> getTestGroupProtocolParametersClassicGroupProtocolOnly() {
        return QuorumTestHarness$.MODULE$.getTestGroupProtocolParametersClassicGroupProtocolOnly();
    }

    public static Stream<Arguments> getTestGroupProtocolParametersConsumerGroupProtocolOnly() {
        return QuorumTestHarness$.MODULE$.getTestGroupProtocolParametersConsumerGroupProtocolOnly();
    }
}
