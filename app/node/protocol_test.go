package node

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/base"
	"sluice/wire/batch"
	"sluice/wire/kbin"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// wire is a connection that speaks the protocol without a client library.
type wire struct {
	t      *testing.T
	nc     net.Conn
	id     int32
	client string // client id; empty: none
}

func (c *cluster) dial() *wire {
	c.t.Helper()
	nc, err := net.Dial("tcp", c.node.Info().Listen)
	if err != nil {
		c.t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	c.t.Cleanup(func() { nc.Close() })
	return &wire{t: c.t, nc: nc}
}

func (w *wire) send(key, version int16, m msg.Message) {
	w.t.Helper()
	w.id++
	h := msg.RequestHeader{APIKey: key, Version: version, CorrelationID: w.id}
	if w.client != "" {
		h.ClientID = &w.client
	}
	b := m.Append(h.Append(make([]byte, 4)), version)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	if _, err := w.nc.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

// receive reads a response and decodes all of it.
func (w *wire) receive(key, version int16, m msg.Message) {
	w.t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(w.nc, size[:]); err != nil {
		w.t.Fatalf("%s version %d: %v", msg.Name(key), version, err)
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(w.nc, b); err != nil {
		w.t.Fatalf("%s version %d: %v", msg.Name(key), version, err)
	}
	r := kbin.NewReader(b)
	if id := r.Int32(); id != w.id {
		w.t.Fatalf("%s version %d: correlation id %d, want %d", msg.Name(key), version, id, w.id)
	}
	if key != msg.KeyApiVersions && msg.IsFlexible(key, version) {
		r.Tags(nil)
	}
	m.Decode(&r, version)
	if r.Err() != nil || r.Len() != 0 {
		w.t.Fatalf("%s version %d: %v, %d bytes left over", msg.Name(key), version, r.Err(), r.Len())
	}
}

func (w *wire) call(version int16, req, resp msg.Message) {
	w.t.Helper()
	w.send(req.APIKey(), version, req)
	w.receive(req.APIKey(), version, resp)
}

// closed checks that the broker closes the connection.
func (w *wire) closed(why string) {
	w.t.Helper()
	if n, err := w.nc.Read(make([]byte, 1)); err == nil {
		w.t.Fatalf("%s: got %d bytes instead of a closed connection", why, n)
	}
}

func TestEveryOfferedVersionIsAnswered(t *testing.T) {
	c := newCluster(t, "telemetry=metrics")
	c.start()
	c.createTopic("known", 1)
	w := c.dial()
	for _, a := range msg.APIs {
		for v := a.Min; v <= a.Max; v++ {
			req := msg.NewRequest(a.Key)
			req.SetDefaults()
			switch m := req.(type) {
			case *msg.ProduceRequest:
				m.Acks = -1
			case *msg.DescribeAclsRequest: // 0 is what is not known, and ends the connection
				m.ResourceTypeFilter, m.Operation, m.PermissionType = 1, 1, 1
			}
			w.call(v, req, msg.NewResponse(a.Key))
		}
	}
}

// telemetryKeys are the APIs that are offered only where somebody takes clients' metrics.
const telemetryKeys = 2

func TestNegotiation(t *testing.T) {
	c := newCluster(t)
	c.start()
	w := c.dial()
	var old msg.ApiVersionsResponse
	w.send(msg.KeyApiVersions, 99, &msg.ApiVersionsRequest{})
	w.receive(msg.KeyApiVersions, 0, &old)
	if kerr.Code(old.ErrorCode) != kerr.UnsupportedVersion || len(old.ApiKeys) != 1 || old.ApiKeys[0].ApiKey != msg.KeyApiVersions || old.ApiKeys[0].MaxVersion != 4 {
		t.Fatalf("unknown version: %+v", old)
	}
	var now msg.ApiVersionsResponse
	w.call(4, &msg.ApiVersionsRequest{ClientSoftwareName: "test", ClientSoftwareVersion: "1.0"}, &now)
	for _, k := range now.ApiKeys {
		if k.ApiKey == msg.KeyProduce && k.MinVersion != 0 {
			t.Errorf("Produce is offered from version %d; librdkafka wants 0", k.MinVersion)
		}
	}
	if len(now.ApiKeys) != len(msg.APIs)-telemetryKeys || now.FinalizedFeaturesEpoch < 0 {
		t.Errorf("%d keys, epoch %d", len(now.ApiKeys), now.FinalizedFeaturesEpoch)
	}
	w.call(3, &msg.ApiVersionsRequest{ClientSoftwareName: "bad name", ClientSoftwareVersion: "1"}, &now)
	if kerr.Code(now.ErrorCode) != kerr.InvalidRequest {
		t.Errorf("bad software name: %v", kerr.Code(now.ErrorCode))
	}
	for name, send := range map[string]func(*wire){
		"unknown key":     func(w *wire) { w.send(999, 0, &msg.ApiVersionsRequest{}) },
		"unknown version": func(w *wire) { w.send(msg.KeyMetadata, 77, &msg.MetadataRequest{}) },
		"old produce":     func(w *wire) { w.send(msg.KeyProduce, 2, &msg.ProduceRequest{}) },
		"malformed":       func(w *wire) { w.nc.Write([]byte{0, 0, 0, 12, 0, 3, 0, 9, 0, 0, 0, 1, 255, 255, 0, 255}) },
	} {
		bad := c.dial()
		send(bad)
		bad.closed(name)
	}
	w.call(0, &msg.ApiVersionsRequest{}, &now) // the others' mistakes are theirs
}

func oneBatch(values ...string) []byte {
	b := batch.NewBuilder(batch.Options{})
	for _, v := range values {
		b.Add(batch.Record{Timestamp: time.Now().UnixMilli(), Value: []byte(v)})
	}
	return b.Bytes()
}

func produceOne(topic string, acks int16, index int32, records []byte) *msg.ProduceRequest {
	return &msg.ProduceRequest{Acks: acks, TimeoutMs: 5000, TopicData: []msg.ProduceRequestTopicProduceData{
		{Name: topic, PartitionData: []msg.ProduceRequestPartitionProduceData{{Index: index, Records: records}}}}}
}

func TestProduceErrors(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.createTopic("p", 1)
	w := c.dial()
	broken := oneBatch("x")
	broken[len(broken)-1] ^= 1
	for _, tc := range []struct {
		name  string
		req   *msg.ProduceRequest
		code  kerr.Code
		start int64
	}{
		{"good", produceOne("p", -1, 0, oneBatch("a", "b")), kerr.None, 0},
		{"leader acks", produceOne("p", 1, 0, oneBatch("c")), kerr.None, 2},
		{"acks 2", produceOne("p", 2, 0, oneBatch("x")), kerr.InvalidRequiredAcks, -1},
		{"no topic", produceOne("none", -1, 0, oneBatch("x")), kerr.UnknownTopicOrPartition, -1},
		{"no partition", produceOne("p", -1, 7, oneBatch("x")), kerr.UnknownTopicOrPartition, -1},
		{"wrong checksum", produceOne("p", -1, 0, broken), kerr.CorruptMessage, -1},
	} {
		var resp msg.ProduceResponse
		w.call(9, tc.req, &resp)
		got := resp.Responses[0].PartitionResponses[0]
		if kerr.Code(got.ErrorCode) != tc.code || got.BaseOffset != tc.start {
			t.Errorf("%s: %v at %d, want %v at %d", tc.name, kerr.Code(got.ErrorCode), got.BaseOffset, tc.code, tc.start)
		}
	}
	// Without acknowledgement there is no answer: the next one belongs to the next request.
	w.send(msg.KeyProduce, 9, produceOne("p", 0, 0, oneBatch("d")))
	var meta msg.MetadataResponse
	w.call(9, &msg.MetadataRequest{}, &meta)
	ends, err := kadm.NewClient(c.client()).ListEndOffsets(c.ctx(), "p")
	if end, _ := ends.Lookup("p", 0); err != nil || end.Offset != 4 {
		t.Fatalf("end %d, %v", end.Offset, err)
	}
	w.send(msg.KeyProduce, 9, produceOne("none", 0, 0, oneBatch("e")))
	w.closed("refused without acknowledgement")
}

func TestPipelinedProduceKeepsOrder(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.createTopic("p", 1)
	w := c.dial()
	for i := range 200 {
		w.send(msg.KeyProduce, 9, produceOne("p", -1, 0, oneBatch(fmt.Sprint(i))))
	}
	w.id = 0
	for i := range 200 {
		w.id++
		var resp msg.ProduceResponse
		w.receive(msg.KeyProduce, 9, &resp)
		if got := resp.Responses[0].PartitionResponses[0]; got.BaseOffset != int64(i) || got.ErrorCode != 0 {
			t.Fatalf("request %d: offset %d, error %v", i, got.BaseOffset, kerr.Code(got.ErrorCode))
		}
	}
}

func TestCreateTopicsChecks(t *testing.T) {
	c := newCluster(t)
	c.start()
	w := c.dial()
	topic := func(name string, partitions int32, rf int16, configs ...string) msg.CreateTopicsRequestCreatableTopic {
		n := msg.CreateTopicsRequestCreatableTopic{Name: name, NumPartitions: partitions, ReplicationFactor: rf}
		for _, kv := range configs {
			k, v, _ := strings.Cut(kv, "=")
			n.Configs = append(n.Configs, msg.CreateTopicsRequestCreatableTopicConfig{Name: k, Value: &v})
		}
		return n
	}
	var resp msg.CreateTopicsResponse
	w.call(7, &msg.CreateTopicsRequest{TimeoutMs: 5000, Topics: []msg.CreateTopicsRequestCreatableTopic{
		topic("good", -1, -1, "retention.ms=1000", "min.insync.replicas=2"), topic("bad/name", 1, 1), topic("none", 0, 1), topic("rf", 1, 0),
		topic("conf", 1, 1, "no.such.thing=1"), topic("value", 1, 1, "retention.ms=soon"), topic("twice", 1, 1), topic("twice", 1, 1),
		topic("__cluster_metadata", 1, 1),
	}}, &resp)
	want := map[string]kerr.Code{"good": kerr.None, "bad/name": kerr.InvalidTopicException, "none": kerr.InvalidPartitions, "rf": kerr.InvalidReplicationFactor,
		"conf": kerr.InvalidConfig, "value": kerr.InvalidConfig, "twice": kerr.InvalidRequest, "__cluster_metadata": kerr.InvalidRequest}
	if len(resp.Topics) != len(want) {
		t.Fatalf("%d answers", len(resp.Topics))
	}
	for _, r := range resp.Topics {
		if kerr.Code(r.ErrorCode) != want[r.Name] {
			t.Errorf("%s: %v, want %v", r.Name, kerr.Code(r.ErrorCode), want[r.Name])
		}
	}
	if good := resp.Topics[0]; good.TopicId.IsZero() || good.NumPartitions != 1 || good.ReplicationFactor != 1 || len(good.Configs) < 20 {
		t.Errorf("good: %+v", good)
	}
	w.call(7, &msg.CreateTopicsRequest{ValidateOnly: true, Topics: []msg.CreateTopicsRequestCreatableTopic{topic("later", 3, 3), topic("good", 1, 1)}}, &resp)
	if resp.Topics[0].ErrorCode != 0 || kerr.Code(resp.Topics[1].ErrorCode) != kerr.TopicAlreadyExists {
		t.Errorf("validation: %+v", resp.Topics)
	}
	if topics, _ := kadm.NewClient(c.client()).ListTopics(c.ctx()); topics.Has("later") {
		t.Error("validation created a topic")
	}
}

func TestConfigurations(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.createTopic("conf", 1, "retention.ms=1000")
	adm := kadm.NewClient(c.client())
	value := func(key string) (string, string) {
		t.Helper()
		rs, err := adm.DescribeTopicConfigs(c.ctx(), "conf")
		if err != nil || len(rs) != 1 || rs[0].Err != nil {
			t.Fatal(err, rs)
		}
		i := slices.IndexFunc(rs[0].Configs, func(kv kadm.Config) bool { return kv.Key == key })
		if i < 0 {
			t.Fatalf("no %s among %d", key, len(rs[0].Configs))
		}
		return rs[0].Configs[i].MaybeValue(), rs[0].Configs[i].Source.String()
	}
	if v, s := value("retention.ms"); v != "1000" || s != "DYNAMIC_TOPIC_CONFIG" {
		t.Errorf("retention.ms = %s from %s", v, s)
	}
	if v, s := value("cleanup.policy"); v != "delete" || s != "DEFAULT_CONFIG" {
		t.Errorf("cleanup.policy = %s from %s", v, s)
	}
	alter := func(op kadm.IncrementalOp, key, v string) error {
		rs, err := adm.AlterTopicConfigs(c.ctx(), []kadm.AlterConfig{{Op: op, Name: key, Value: &v}}, "conf")
		if err != nil {
			return err
		}
		return rs[0].Err
	}
	for _, step := range []struct {
		op           kadm.IncrementalOp
		key, v, want string
		refused      bool
		wantFrom     string
	}{
		{kadm.AppendConfig, "cleanup.policy", "compact", "delete,compact", false, "DYNAMIC_TOPIC_CONFIG"},
		{kadm.SubtractConfig, "cleanup.policy", "delete", "compact", false, "DYNAMIC_TOPIC_CONFIG"},
		{kadm.DeleteConfig, "cleanup.policy", "", "delete", false, "DEFAULT_CONFIG"},
		{kadm.AppendConfig, "retention.ms", "1", "1000", true, "DYNAMIC_TOPIC_CONFIG"},
		{kadm.SetConfig, "retention.ms", "x", "1000", true, "DYNAMIC_TOPIC_CONFIG"},
	} {
		if err := alter(step.op, step.key, step.v); (err != nil) != step.refused {
			t.Errorf("%v %s %s: %v", step.op, step.key, step.v, err)
		}
		if v, from := value(step.key); v != step.want || from != step.wantFrom {
			t.Errorf("after %v %s %s: %s from %s", step.op, step.key, step.v, v, from)
		}
	}
	brokers, err := adm.DescribeBrokerConfigs(c.ctx(), int32(c.node.Info().Node))
	if err != nil || brokers[0].Err != nil || len(brokers[0].Configs) < 100 {
		t.Fatalf("broker: %v, %v, %d settings", err, brokers[0].Err, len(brokers[0].Configs))
	}
	v := "5000"
	if rs, err := adm.AlterBrokerConfigs(c.ctx(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "log.retention.bytes", Value: &v}}); err != nil || rs[0].Err != nil {
		t.Fatal(err, rs)
	}
	if v, s := value("retention.bytes"); v != "5000" || s != "DYNAMIC_BROKER_CONFIG" && s != "DYNAMIC_DEFAULT_BROKER_CONFIG" {
		t.Errorf("retention.bytes = %s from %s", v, s)
	}
}

func TestOffsetsAndDeletion(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.createTopic("o", 1)
	cl := c.client()
	for i := range 10 {
		r := &kgo.Record{Topic: "o", Value: []byte{byte(i)}, Timestamp: time.UnixMilli(int64(1_700_000_000_000 + i*1000))}
		if err := cl.ProduceSync(c.ctx(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	adm := kadm.NewClient(cl)
	at := func(ms int64) int64 {
		t.Helper()
		l, err := adm.ListOffsetsAfterMilli(c.ctx(), ms, "o")
		if err != nil {
			t.Fatal(err)
		}
		o, _ := l.Lookup("o", 0)
		return o.Offset
	}
	for ms, want := range map[int64]int64{0: 0, 1_700_000_003_500: 4, 1_700_000_009_000: 9, 1_800_000_000_000: 10} {
		if got := at(ms); got != want {
			t.Errorf("after %d: offset %d, want %d", ms, got, want)
		}
	}
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: "o", Partition: 0, At: 6})
	res, err := adm.DeleteRecords(c.ctx(), offsets)
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := res.Lookup("o", 0); r.Err != nil || r.LowWatermark != 6 {
		t.Fatalf("%+v", r)
	}
	starts, _ := adm.ListStartOffsets(c.ctx(), "o")
	if s, _ := starts.Lookup("o", 0); s.Offset != 6 {
		t.Errorf("start %d", s.Offset)
	}
	dirs, err := adm.DescribeAllLogDirs(c.ctx(), nil)
	if err != nil || len(dirs) != 1 {
		t.Errorf("log dirs: %v %+v", err, dirs)
	}
	if _, err := adm.CreatePartitions(c.ctx(), 2, "o"); err != nil {
		t.Fatal(err)
	}
	if d, err := adm.DeleteTopic(c.ctx(), "o"); err != nil || d.Err != nil {
		t.Fatal(err, d.Err)
	}
	topics, err := adm.ListTopics(c.ctx(), "o")
	if err != nil || topics["o"].Err == nil {
		t.Fatalf("the topic is still there: %v", err)
	}
	c.createTopic("o", 1)
	again, _ := kadm.NewClient(c.client()).ListTopics(c.ctx(), "o")
	if again["o"].Err != nil || len(again["o"].Partitions) != 1 {
		t.Fatalf("%+v", again["o"])
	}
}

func TestDescriptions(t *testing.T) {
	c := newCluster(t)
	c.start()
	for i := range 5 {
		c.createTopic(fmt.Sprintf("t%d", i), 3)
	}
	w := c.dial()
	var names []string
	var cursor *msg.DescribeTopicPartitionsRequestCursor
	for pages := 0; pages < 20; pages++ {
		var resp msg.DescribeTopicPartitionsResponse
		w.call(0, &msg.DescribeTopicPartitionsRequest{ResponsePartitionLimit: 4, Cursor: cursor}, &resp)
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				names = append(names, fmt.Sprintf("%s-%d", *topic.Name, p.PartitionIndex))
			}
		}
		if resp.NextCursor == nil {
			break
		}
		cursor = &msg.DescribeTopicPartitionsRequestCursor{TopicName: resp.NextCursor.TopicName, PartitionIndex: resp.NextCursor.PartitionIndex}
	}
	if len(names) != 15 || !slices.IsSorted(names) || len(slices.Compact(names)) != 15 {
		t.Errorf("pages gave %v", names)
	}
	req := kmsg.NewDescribeClusterRequest()
	resp, err := req.RequestWith(c.ctx(), c.client())
	if err != nil || resp.ClusterID != c.node.Info().Cluster.String() || len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != resp.ControllerID {
		t.Errorf("cluster: %v %+v", err, resp)
	}
	var byID msg.MetadataResponse
	unknown := base.NewUUID()
	w.call(12, &msg.MetadataRequest{Topics: []msg.MetadataRequestMetadataRequestTopic{{TopicId: unknown}}}, &byID)
	if len(byID.Topics) != 1 || kerr.Code(byID.Topics[0].ErrorCode) != kerr.UnknownTopicID || byID.Topics[0].Name != nil {
		t.Errorf("unknown id: %+v", byID.Topics)
	}
	var none msg.MetadataResponse
	w.call(9, &msg.MetadataRequest{Topics: []msg.MetadataRequestMetadataRequestTopic{}}, &none)
	if len(none.Topics) != 0 || len(none.Brokers) != 1 {
		t.Errorf("no topics asked for: %+v", none)
	}
}
