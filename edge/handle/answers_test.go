package handle

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"

	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// TestManualAssignments: what is wrong with an assignment is said in Kafka's order and with Kafka's codes, and all replicas are looked at.
func TestManualAssignments(t *testing.T) {
	b := newBroker(t, 2)
	zero, one := int32(b.node[0].ID), int32(b.node[1].ID)
	type assigned = msg.CreateTopicsRequestCreatableReplicaAssignment
	at := func(index int32, replicas ...int32) assigned {
		return assigned{PartitionIndex: index, BrokerIds: replicas}
	}
	for what, c := range map[string]struct {
		factor     int16
		partitions int32
		all        []assigned
		want       kerr.Code
	}{
		"a number of replicas that cannot be, beside it": {0, -1, []assigned{at(0, one)}, kerr.InvalidRequest},
		"a number of partitions beside it":               {-1, 1, []assigned{at(0, one)}, kerr.InvalidRequest},
		"no replicas":                                    {-1, -1, []assigned{at(0)}, kerr.InvalidReplicaAssignment},
		"no such broker":                                 {-1, -1, []assigned{at(0, 77)}, kerr.InvalidReplicaAssignment},
		"no such broker, behind one that is":             {-1, -1, []assigned{at(0, one, 77)}, kerr.InvalidReplicaAssignment},
		"a negative broker":                              {-1, -1, []assigned{at(0, -1)}, kerr.InvalidReplicaAssignment},
		"a broker twice":                                 {-1, -1, []assigned{at(0, one, one)}, kerr.InvalidReplicaAssignment},
		"a partition twice":                              {-1, -1, []assigned{at(0, one), at(0, zero)}, kerr.InvalidReplicaAssignment},
		"a partition left out":                           {-1, -1, []assigned{at(0, one), at(2, zero)}, kerr.InvalidReplicaAssignment},
		"two replicas and one":                           {-1, -1, []assigned{at(0, one, zero), at(1, zero)}, kerr.InvalidReplicaAssignment},
		"all right":                                      {-1, -1, []assigned{at(1, one, zero), at(0, zero, one)}, kerr.None},
	} {
		req, resp := new(msg.CreateTopicsRequest), new(msg.CreateTopicsResponse)
		req.SetDefaults()
		req.TimeoutMs = 0
		req.Topics = []msg.CreateTopicsRequestCreatableTopic{{Name: strings.ReplaceAll(strings.ReplaceAll(what, " ", "-"), ",", ""), NumPartitions: c.partitions, ReplicationFactor: c.factor, Assignments: c.all}}
		b.ask(7, req, resp)
		if got := kerr.Code(resp.Topics[0].ErrorCode); got != c.want {
			t.Errorf("%s: %v, want %v: %v", what, got, c.want, resp.Topics[0].ErrorMessage)
		}
	}
	topic, _ := b.ctl.Image().TopicByName("all-right")
	if first, second := b.partition(topic.ID, 0), b.partition(topic.ID, 1); first.Leader != b.node[0].ID || second.Leader != b.node[1].ID {
		t.Errorf("%+v, %+v", first, second)
	}
}

// TestReassignmentTwice: of a partition that is named twice each mention is answered for itself, and the last that is right counts.
func TestReassignmentTwice(t *testing.T) {
	b := newBroker(t, 3)
	id := b.topic("t", 2)
	one, two := int32(b.node[1].ID), int32(b.node[2].ID)
	req := reassign("t", 0, one)
	parts := &req.Topics[0].Partitions
	*parts = append(*parts, reassign("t", 0, 77).Topics[0].Partitions[0], reassign("t", 0, two).Topics[0].Partitions[0], reassign("t", 1, one).Topics[0].Partitions[0])
	var resp msg.AlterPartitionReassignmentsResponse
	b.ask(1, req, &resp)
	want := []kerr.Code{kerr.None, kerr.InvalidReplicaAssignment, kerr.None, kerr.None}
	for i, p := range resp.Responses[0].Partitions {
		if got := kerr.Code(p.ErrorCode); got != want[i] {
			t.Errorf("mention %d: %v, want %v", i, got, want[i])
		}
	}
	if first, second := b.partition(id, 0), b.partition(id, 1); first.Target != b.node[2].ID || second.Target != b.node[1].ID {
		t.Errorf("%+v, %+v", first, second)
	}
}

// TestConfigsOfATopicThatIsNotThere: what is to be set is looked at before whether there is such a topic.
func TestConfigsOfATopicThatIsNotThere(t *testing.T) {
	b := newBroker(t, 1)
	for _, c := range []struct {
		name, key, value string
		want             kerr.Code
	}{
		{"gone", "retention.ms", "1000", kerr.UnknownTopicOrPartition},
		{"gone", "no.such.config", "1", kerr.InvalidConfig},
		{"gone", "retention.ms", "x", kerr.InvalidConfig},
		{"", "retention.ms", "1000", kerr.InvalidRequest},
	} {
		one, whole := new(msg.IncrementalAlterConfigsResponse), new(msg.AlterConfigsResponse)
		b.ask(1, &msg.IncrementalAlterConfigsRequest{Resources: []msg.IncrementalAlterConfigsRequestAlterConfigsResource{{ResourceType: topicResource, ResourceName: c.name,
			Configs: []msg.IncrementalAlterConfigsRequestAlterableConfig{{Name: c.key, ConfigOperation: opSet, Value: &c.value}}}}}, one)
		b.ask(2, &msg.AlterConfigsRequest{Resources: []msg.AlterConfigsRequestAlterConfigsResource{{ResourceType: topicResource, ResourceName: c.name,
			Configs: []msg.AlterConfigsRequestAlterableConfig{{Name: c.key, Value: &c.value}}}}}, whole)
		for _, code := range []int16{one.Responses[0].ErrorCode, whole.Responses[0].ErrorCode} {
			if kerr.Code(code) != c.want {
				t.Errorf("%s=%s of %q: %v, want %v", c.key, c.value, c.name, kerr.Code(code), c.want)
			}
		}
	}
}

// TestListsOfConfigs: only settings of topics and brokers can be appended to, and that is looked at before whether a resource may have no name.
func TestListsOfConfigs(t *testing.T) {
	b := newBroker(t, 1)
	b.topic("t", 1)
	value := "compact"
	node := strconv.Itoa(int(b.node[0].ID))
	for _, c := range []struct {
		kind      int8
		name, key string
		op        int8
		want      kerr.Code
	}{
		{topicResource, "", "", opSubtract, kerr.InvalidConfig},
		{topicResource, "", "retention.ms", opAppend, kerr.InvalidConfig},
		{topicResource, "", "cleanup.policy", opAppend, kerr.InvalidRequest},
		{topicResource, "", "no.such.config", opSet, kerr.InvalidRequest},
		{topicResource, "t", "cleanup.policy", opAppend, kerr.None},
		{topicResource, "t", "retention.ms", opAppend, kerr.InvalidConfig},
		{groupResource, "", "no.such.config", opAppend, kerr.InvalidConfig},
		{groupResource, "", "no.such.config", opSet, kerr.InvalidRequest},
		{clientMetricsResource, "s", "metrics", opAppend, kerr.InvalidConfig},
		{clientMetricsResource, "", "metrics", opSubtract, kerr.InvalidConfig},
		{clientMetricsResource, "", "metrics", opSet, kerr.InvalidRequest},
		{clientMetricsResource, "s", "metrics", opSet, kerr.None},
		{brokerLoggerResource, node, "no.such.logger", opAppend, kerr.InvalidRequest},
		{brokerLoggerResource, node, "no.such.logger", opSet, kerr.InvalidConfig},
	} {
		var resp msg.IncrementalAlterConfigsResponse
		b.ask(1, &msg.IncrementalAlterConfigsRequest{ValidateOnly: true, Resources: []msg.IncrementalAlterConfigsRequestAlterConfigsResource{{ResourceType: c.kind, ResourceName: c.name,
			Configs: []msg.IncrementalAlterConfigsRequestAlterableConfig{{Name: c.key, ConfigOperation: c.op, Value: &value}}}}}, &resp)
		if got := kerr.Code(resp.Responses[0].ErrorCode); got != c.want {
			t.Errorf("operation %d on %q of %d %q: %v, want %v", c.op, c.key, c.kind, c.name, got, c.want)
		}
	}
}

// TestIDsCreateNothing: where a topic is named by its id, names do not count, and nothing is created on demand.
func TestIDsCreateNothing(t *testing.T) {
	b := newBroker(t, 1)
	id := b.topic("t", 1)
	name, other := "a", "b"
	ask := func(topics ...askedByID) {
		b.ask(12, &msg.MetadataRequest{Topics: topics, AllowAutoTopicCreation: true}, new(msg.MetadataResponse))
	}
	ask(askedByID{Name: &name, TopicId: id}, askedByID{Name: &other})
	if _, created := b.ctl.Image().TopicByName(name); created {
		t.Error("a topic that was named by an id was created")
	}
	if _, created := b.ctl.Image().TopicByName(other); created {
		t.Error("a topic that was named beside an id was created")
	}
	ask(askedByID{Name: &other})
	if _, created := b.ctl.Image().TopicByName(other); !created {
		t.Error("a topic that was named was not created")
	}
}

// TestInitProducerID: ids are handed out once each; since version 3 a request that tells an id and no epoch, or the other way round, is refused, and
// one without a transactional id is never given the id it tells.
func TestInitProducerID(t *testing.T) {
	b := newBroker(t, 1, func(o *Options) { o.ProducerIDs = control.NewProducerIDs(o.Control, o.Node) })
	seen := map[int64]bool{}
	for _, c := range []struct {
		version int16
		id      int64
		epoch   int16
		want    kerr.Code
	}{
		{0, -1, -1, kerr.None}, {2, -1, -1, kerr.None}, {3, -1, -1, kerr.None}, {5, -1, -1, kerr.None},
		{3, 7, -1, kerr.InvalidRequest}, {5, -1, 0, kerr.InvalidRequest}, {5, 1 << 40, 3, kerr.None},
	} {
		var resp msg.InitProducerIdResponse
		b.ask(c.version, &msg.InitProducerIdRequest{TransactionTimeoutMs: 1000, ProducerId: c.id, ProducerEpoch: c.epoch}, &resp)
		if got := kerr.Code(resp.ErrorCode); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
		if c.want != kerr.None {
			if resp.ProducerId != -1 || resp.ProducerEpoch != -1 {
				t.Errorf("refused, and given %d, %d", resp.ProducerId, resp.ProducerEpoch)
			}
			continue
		}
		if resp.ProducerId < 0 || resp.ProducerId == c.id || resp.ProducerEpoch != 0 || seen[resp.ProducerId] {
			t.Errorf("%+v: given %d, %d; before: %v", c, resp.ProducerId, resp.ProducerEpoch, seen)
		}
		seen[resp.ProducerId] = true
	}
}

// TestForeignBrokerConfigs: what no broker knows is kept and its value not shown; so is what is said of a listener that is not there, and of one that is
// there nothing can be changed.
func TestForeignBrokerConfigs(t *testing.T) {
	b := newBroker(t, 1)
	node := b.node[0].ID.String()
	self, _ := b.ctl.Image().Node(b.node[0].ID)
	mine := "listener.name." + strings.ToLower(self.Endpoints[0].Name) + ".ssl.keystore.location"
	const other, password = "listener.name.other.ssl.keystore.location", "listener.name.other.ssl.keystore.password"
	for _, c := range []struct {
		broker, key string
		want        kerr.Code
	}{
		{"", "no.such.config", kerr.None},
		{node, "no.such.config", kerr.None},
		{node, other, kerr.None},
		{node, password, kerr.None},
		{"", other, kerr.InvalidRequest},
		{node, mine, kerr.InvalidRequest},
		{node, "ssl.keystore.location", kerr.InvalidRequest},
	} {
		resp := new(msg.IncrementalAlterConfigsResponse)
		value := "7"
		b.ask(1, &msg.IncrementalAlterConfigsRequest{Resources: []msg.IncrementalAlterConfigsRequestAlterConfigsResource{{ResourceType: brokerResource, ResourceName: c.broker,
			Configs: []msg.IncrementalAlterConfigsRequestAlterableConfig{{Name: c.key, ConfigOperation: opSet, Value: &value}}}}}, resp)
		if got := kerr.Code(resp.Responses[0].ErrorCode); got != c.want {
			t.Errorf("%s of broker %q: %v, want %v", c.key, c.broker, got, c.want)
		}
	}
	resp := new(msg.DescribeConfigsResponse)
	b.ask(4, &msg.DescribeConfigsRequest{IncludeSynonyms: true, Resources: []msg.DescribeConfigsRequestDescribeConfigsResource{
		{ResourceType: brokerResource, ResourceName: node}, {ResourceType: brokerResource, ResourceName: ""}}}, resp)
	seen := map[string]string{}
	for _, r := range resp.Results {
		for _, c := range r.Configs {
			if c.Name != "no.such.config" && !strings.HasPrefix(c.Name, "listener.name.") {
				continue
			}
			text := "null"
			if c.Value != nil {
				text = *c.Value
			}
			seen[r.ResourceName+" "+c.Name] = fmt.Sprintf("%s %v %d", text, c.IsSensitive, len(c.Synonyms))
		}
	}
	want := map[string]string{node + " no.such.config": "null true 2", " no.such.config": "null true 1", node + " " + other: "7 false 1", node + " " + password: "null true 1"}
	if !maps.Equal(seen, want) {
		t.Errorf("shown: %v, want %v", seen, want)
	}
}

// TestOperationsOfTopicsThatAreNotThere: who asks what it may do to a topic is told, whether the topic is there, could be, or could not.
func TestOperationsOfTopicsThatAreNotThere(t *testing.T) {
	b := newBroker(t, 1)
	do[meta.TopicsCreated](b, &meta.CreateTopics{Topics: []meta.NewTopic{{Name: "t", Partitions: 1}}})
	for name, want := range map[string]kerr.Code{"t": kerr.None, "none": kerr.UnknownTopicOrPartition, "not a name": kerr.InvalidTopicException} {
		for _, asks := range []bool{false, true} {
			var resp msg.MetadataResponse
			b.ask(9, &msg.MetadataRequest{Topics: []msg.MetadataRequestMetadataRequestTopic{{Name: &name}}, IncludeTopicAuthorizedOperations: asks}, &resp)
			if len(resp.Topics) != 1 || kerr.Code(resp.Topics[0].ErrorCode) != want {
				t.Errorf("%q: answered %+v", name, resp.Topics)
				continue
			}
			if got := resp.Topics[0].TopicAuthorizedOperations; asks != (got == topicOperations) {
				t.Errorf("%q, asked %v: %d", name, asks, got)
			}
		}
	}
}

// TestScram: what no password gives is refused, and who is described without an error has an empty text for it, as in Kafka.
func TestScram(t *testing.T) {
	b := newBroker(t, 1)
	mac := make([]byte, 32)
	for _, c := range []struct {
		salt, salted []byte
		want         kerr.Code
	}{{mac, nil, kerr.UnacceptableCredential}, {nil, mac, kerr.UnacceptableCredential}, {mac, mac, kerr.None}} {
		var resp msg.AlterUserScramCredentialsResponse
		b.ask(0, &msg.AlterUserScramCredentialsRequest{Upsertions: []msg.AlterUserScramCredentialsRequestScramCredentialUpsertion{
			{Name: "u", Mechanism: 1, Iterations: 4096, Salt: c.salt, SaltedPassword: c.salted}}}, &resp)
		if len(resp.Results) != 1 || kerr.Code(resp.Results[0].ErrorCode) != c.want {
			t.Errorf("salt %x, salted %x: answered %+v", c.salt, c.salted, resp.Results)
		}
	}
	var resp msg.DescribeUserScramCredentialsResponse
	b.ask(0, &msg.DescribeUserScramCredentialsRequest{Users: []msg.DescribeUserScramCredentialsRequestUserName{{Name: "u"}, {Name: "none"}}}, &resp)
	if len(resp.Results) != 2 {
		t.Fatalf("described %+v", resp.Results)
	}
	if r := resp.Results[0]; r.ErrorCode != 0 || r.ErrorMessage == nil || *r.ErrorMessage != "" || len(r.CredentialInfos) != 1 {
		t.Errorf("described %+v", r)
	}
	if r := resp.Results[1]; kerr.Code(r.ErrorCode) != kerr.ResourceNotFound || r.ErrorMessage == nil || *r.ErrorMessage == "" {
		t.Errorf("described %+v", r)
	}
}
