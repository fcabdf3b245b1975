package kafkasuite

import (
	"archive/zip"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// result is what became of one run of one test.
type result struct {
	class   string
	method  string // its name, with [N] where a test runs several times
	outcome outcome
	why     string // first line of what it aborted or failed with
}

// report is JUnit's XML report, what is needed of it.
type report struct {
	XMLName xml.Name `xml:"testsuite"`
	Cases   []struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Skipped *trouble `xml:"skipped"`
		Failure *trouble `xml:"failure"`
		Error   *trouble `xml:"error"`
	} `xml:"testcase"`
}

type trouble struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// aborted starts the text of a test that was aborted by the extension, or by an assumption of its own.
const aborted = "org.opentest4j.TestAbortedException: "

// disabled is in the text of a test that is marked so in its source.
const disabled = " is @Disabled"

// merged puts the tests of a part of a class into the report of the class, in the place of those that this has of the same methods.
func merged(class, part []byte) ([]byte, error) {
	var whole, some report
	if len(class) > 0 {
		if err := xml.Unmarshal(class, &whole); err != nil {
			return nil, fmt.Errorf("read JUnit's report of a class: %w", err)
		}
	}
	if err := xml.Unmarshal(part, &some); err != nil {
		return nil, fmt.Errorf("read JUnit's report of a part of a class: %w", err)
	}
	again := map[string]bool{}
	for _, c := range some.Cases {
		again[bareName(c.Name)] = true
	}
	for _, c := range whole.Cases {
		if !again[bareName(c.Name)] {
			some.Cases = append(some.Cases, c)
		}
	}
	return xml.Marshal(some)
}

// bareName is the name of the method.
func bareName(name string) string {
	bare, _, _ := strings.Cut(name, "(")
	return bare
}

// readReport returns what the report of one class holds.
func readReport(text []byte) ([]result, error) {
	var r report
	if err := xml.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("read JUnit's report: %w", err)
	}
	var all []result
	for _, c := range r.Cases {
		one := result{class: c.Class, method: methodOf(c.Name), outcome: passes}
		switch {
		case c.Failure != nil:
			one.outcome, one.why = fails, firstLine(c.Failure)
		case c.Error != nil:
			one.outcome, one.why = fails, firstLine(c.Error)
		case c.Skipped != nil:
			one.outcome, one.why = aborts, strings.TrimPrefix(firstLine(c.Skipped), aborted)
			if strings.Contains(c.Skipped.Text, disabled) {
				one.why = "Kafka has disabled it"
			}
		}
		all = append(all, one)
	}
	return all, nil
}

// methodOf turns `name(ClusterInstance)[1]` into `name[1]`. Tests with equal names and other parameters do not exist.
func methodOf(name string) string {
	bare, rest, ok := strings.Cut(name, "(")
	if !ok {
		return name
	}
	return bare + rest[strings.LastIndex(rest, ")")+1:]
}

func firstLine(t *trouble) string {
	text, _, _ := strings.Cut(strings.TrimSpace(t.Text), "\n")
	if text == "" {
		text = t.Message
	}
	return text[:min(len(text), 300)]
}

// jars hold the tests.
var jars = []string{"kafka-clients-integration-tests", "kafka-tools", "kafka-streams-integration-tests", "connect-runtime", "connect-mirror"}

// integration and mixed: mixed are jars that hold tests of single classes too, which talk to no broker: what is wanted of them is in a package of this name.
const integration = "/integration/"

var mixed = []string{"connect-runtime", "connect-mirror"}

// core are classes of Kafka's core (kafka_2.13) that talk to a broker. It has hundreds more, of single classes of its own and of logs on a disk.
var core = []string{
	"kafka.admin.AddPartitionsTest",
	"kafka.api.AuthorizerIntegrationTest",
	"kafka.api.ClientIdQuotaTest",
	"kafka.api.ConsumerBounceTest",
	"kafka.api.DelegationTokenEndToEndAuthorizationTest",
	"kafka.api.DelegationTokenEndToEndAuthorizationWithOwnerTest",
	"kafka.api.GroupCoordinatorIntegrationTest",
	"kafka.api.GroupEndToEndAuthorizationTest",
	"kafka.api.MetricsTest",
	"kafka.api.PlaintextAdminIntegrationTest",
	"kafka.api.PlaintextConsumerAssignorsTest",
	"kafka.api.PlaintextEndToEndAuthorizationTest",
	"kafka.api.PlaintextProducerSendTest",
	"kafka.api.SaslClientsWithInvalidCredentialsTest",
	"kafka.api.SaslGssapiSslEndToEndAuthorizationTest",
	"kafka.api.SaslMultiMechanismConsumerTest",
	"kafka.api.SaslOAuthBearerSslEndToEndAuthorizationTest",
	"kafka.api.SaslPlainSslEndToEndAuthorizationTest",
	"kafka.api.SaslPlaintextConsumerTest",
	"kafka.api.SaslScramSslEndToEndAuthorizationTest",
	"kafka.api.SaslSslAdminIntegrationTest",
	"kafka.api.SaslSslConsumerTest",
	"kafka.api.SslAdminIntegrationTest",
	"kafka.api.SslConsumerTest",
	"kafka.api.SslEndToEndAuthorizationTest",
	"kafka.api.SslProducerSendTest",
	"kafka.api.TransactionsBounceTest",
	"kafka.api.TransactionsTest",
	"kafka.api.UserClientIdQuotaTest",
	"kafka.api.UserQuotaTest",
	"kafka.server.AddPartitionsToTxnRequestServerTest",
	"kafka.server.AlterUserScramCredentialsRequestNotAuthorizedTest",
	"kafka.server.AlterUserScramCredentialsRequestTest",
	"kafka.server.ApiVersionsRequestTest",
	"kafka.server.ApiVersionsResponseIntegrationTest",
	"kafka.server.ConsumerGroupDescribeRequestTest",
	"kafka.server.ConsumerGroupHeartbeatRequestTest",
	"kafka.server.ConsumerProtocolMigrationTest",
	"kafka.server.ControllerMutationQuotaTest",
	"kafka.server.CreateTopicsRequestTest",
	"kafka.server.DelegationTokenRequestsOnPlainTextTest",
	"kafka.server.DelegationTokenRequestsTest",
	"kafka.server.DelegationTokenRequestsWithDisableTokenFeatureTest",
	"kafka.server.DeleteGroupsRequestTest",
	"kafka.server.DeleteRecordsRequestTest",
	"kafka.server.DeleteTopicsRequestTest",
	"kafka.server.DeleteTopicsRequestWithDeletionDisabledTest",
	"kafka.server.DescribeClusterRequestTest",
	"kafka.server.DescribeGroupsRequestTest",
	"kafka.server.DescribeLogDirsRequestTest",
	"kafka.server.DescribeQuorumRequestTest",
	"kafka.server.DescribeUserScramCredentialsRequestNotAuthorizedTest",
	"kafka.server.DescribeUserScramCredentialsRequestTest",
	"kafka.server.DynamicConfigChangeTest",
	"kafka.server.EdgeCaseRequestTest",
	"kafka.server.FetchFromFollowerIntegrationTest",
	"kafka.server.FetchRequestMaxBytesTest",
	"kafka.server.FetchRequestTest",
	"kafka.server.HeartbeatRequestTest",
	"kafka.server.JoinGroupRequestTest",
	"kafka.server.KafkaMetricReporterExceptionHandlingTest",
	"kafka.server.LeaveGroupRequestTest",
	"kafka.server.ListGroupsRequestTest",
	"kafka.server.ListOffsetsRequestTest",
	"kafka.server.LogOffsetTest",
	"kafka.server.MultipleListenersWithAdditionalJaasContextTest",
	"kafka.server.MultipleListenersWithDefaultJaasContextTest",
	"kafka.server.OffsetCommitRequestTest",
	"kafka.server.OffsetDeleteRequestTest",
	"kafka.server.OffsetFetchRequestTest",
	"kafka.server.OffsetsForLeaderEpochRequestTest",
	"kafka.server.ProduceRequestTest",
	"kafka.server.RaftClusterSnapshotTest",
	"kafka.server.RequestQuotaTest",
	"kafka.server.SaslApiVersionsRequestTest",
	"kafka.server.ServerShutdownTest",
	"kafka.server.ShareFetchAcknowledgeRequestTest",
	"kafka.server.ShareGroupDescribeRequestTest",
	"kafka.server.ShareGroupHeartbeatRequestTest",
	"kafka.server.StreamsGroupDescribeRequestTest",
	"kafka.server.StreamsGroupHeartbeatRequestTest",
	"kafka.server.SyncGroupRequestTest",
	"kafka.server.TxnOffsetCommitRequestTest",
	"kafka.server.WriteTxnMarkersRequestTest",
	"kafka.server.epoch.LeaderEpochIntegrationTest",
}

// classesOf returns the names of the classes of tests in a jar below dir, sorted.
func classesOf(dir, jar string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, jar+"-[0-9]*-test.jar"))
	if err != nil || len(files) != 1 {
		return nil, fmt.Errorf("%s: %d jars of tests of %s, want 1: %w", dir, len(files), jar, os.ErrNotExist)
	}
	z, err := zip.OpenReader(files[0])
	if err != nil {
		return nil, err
	}
	defer z.Close()
	var all []string
	for _, f := range z.File {
		name, ok := strings.CutSuffix(f.Name, "Test.class")
		if slices.Contains(mixed, jar) && !strings.Contains(name, integration) {
			continue
		}
		if ok && !strings.Contains(name, "$") && !strings.HasPrefix(filepath.Base(name), "Abstract") {
			all = append(all, strings.ReplaceAll(name, "/", ".")+"Test")
		}
	}
	slices.Sort(all)
	return all, nil
}
