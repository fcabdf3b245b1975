package differential

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"sluice/test/twin"
	"sluice/wire/msg"
)

// answerMax is how long a broker may take for an answer where some never come.
const answerMax = 10 * time.Second

// lines are a rendered answer.
type lines = map[string]string

// runner takes the steps of a sequence with one broker.
type runner struct {
	env
	target  *twin.Target
	schemas map[int16]schema
	conn    *twin.Conn
	fence   *fence

	answerMax time.Duration
}

// foreign are names that other sequences made.
var foreign = regexp.MustCompile(`^(\d+ "?|user |client-id |ip )?d\d*-`)

func newRunner(target *twin.Target, schemas map[int16]schema, f *fence, prefix string) *runner {
	names := twin.NewNames(target.Node)
	names.FirstEpoch = f.firstEpoch
	r := &runner{env: env{prefix, names}, target: target, schemas: schemas, fence: f}
	names.Skip = func(key string) bool {
		name := foreign.FindString(key) != "" && !strings.Contains(key, prefix)
		return name || strings.HasPrefix(key, "__")
	}
	return r
}

func (r *runner) close() {
	if r.conn != nil {
		r.conn.Close()
		r.conn = nil
	}
}

// on returns the connection, a new one after the broker closed the old one.
func (r *runner) on() (*twin.Conn, error) {
	if r.conn == nil {
		c, err := twin.Dial(r.target.Addr)
		if err != nil {
			return nil, err
		}
		r.conn = c
	}
	return r.conn, nil
}

// take takes a step and returns its answer.
func (r *runner) take(st step) (lines, error) {
	c, err := r.on()
	if err != nil {
		return nil, fmt.Errorf("%s cannot be reached: %w", r.target.Name, err)
	}
	p, err := c.SendBytes(st.Key, st.Version, r.body(st))
	if err == nil && r.silent(st) { // what follows shows whether it was taken
		p, err = c.Send(0, &msg.ApiVersionsRequest{})
	}
	var answer msg.Message
	if err == nil {
		answer, err = p.Await(r.answerMax)
	}
	if err != nil {
		r.close()
		return lines{"": err.Error()}, nil
	}
	switch m := answer.(type) {
	case *msg.FetchResponse:
		gatherTopics(m)
	case *msg.AlterClientQuotasResponse:
		sortEntities(m)
	case *msg.DeleteTopicsResponse:
		r.sortDeleted(m)
	case *msg.WriteTxnMarkersResponse: // Kafka has them in no order
		slices.SortStableFunc(m.Markers, func(a, b msg.WriteTxnMarkersResponseWritableTxnMarkerResult) int {
			return cmp.Compare(a.ProducerId, b.ProducerId)
		})
	case *msg.ListGroupsResponse: // of other sequences
		m.Groups = slices.DeleteFunc(m.Groups, func(g msg.ListGroupsResponseListedGroup) bool { return !strings.HasPrefix(g.GroupId, r.prefix) })
	case *msg.DescribeClientQuotasResponse:
		m.Entries = slices.DeleteFunc(m.Entries, r.isForeign)
	}
	out := lines{}
	for path, value := range r.names.Render(answer) {
		out[strings.ReplaceAll(path, r.prefix, "@")] = strings.ReplaceAll(value, r.prefix, "@")
	}
	return out, nil
}

// gatherTopics puts what a Fetch answers about a topic into one place: the order of partitions is not specified.
func gatherTopics(f *msg.FetchResponse) {
	var all []msg.FetchResponseFetchableTopicResponse
	for _, t := range f.Responses {
		at := slices.IndexFunc(all, func(o msg.FetchResponseFetchableTopicResponse) bool {
			return o.Topic == t.Topic && o.TopicId == t.TopicId
		})
		if at < 0 {
			all = append(all, t)
			continue
		}
		all[at].Partitions = append(all[at].Partitions, t.Partitions...)
	}
	f.Responses = all
}

// sortDeleted puts topics in order: Kafka shuffles them, so that nobody learns from a place which of them are there.
func (r *runner) sortDeleted(m *msg.DeleteTopicsResponse) {
	type result = msg.DeleteTopicsResponseDeletableTopicResult
	called := func(t result) string {
		name, id := "", t.TopicId.String()
		if t.Name != nil {
			name = *t.Name
		}
		if known, ok := r.names.Known("topic", id); ok {
			id = known
		}
		return name + " " + id
	}
	slices.SortFunc(m.Responses, func(a, b result) int {
		return cmp.Or(strings.Compare(called(a), called(b)), cmp.Compare(a.ErrorCode, b.ErrorCode))
	})
}

// sortEntities puts entities in order, and the parts of each: Kafka has none.
func sortEntities(m *msg.AlterClientQuotasResponse) {
	type part = msg.AlterClientQuotasResponseEntityData
	type entry = msg.AlterClientQuotasResponseEntryData
	called := func(p part) string {
		if p.EntityName == nil {
			return p.EntityType + ":"
		}
		return p.EntityType + ":=" + *p.EntityName
	}
	name := func(e entry) (s string) {
		for _, p := range e.Entity {
			s += called(p) + ","
		}
		return s
	}
	for i := range m.Entries {
		slices.SortFunc(m.Entries[i].Entity, func(a, b part) int { return strings.Compare(called(a), called(b)) })
	}
	slices.SortStableFunc(m.Entries, func(a, b entry) int { return strings.Compare(name(a), name(b)) })
}

// isForeign reports whether limits are of an entity that others may have changed: each part that has a name of this sequence is its own.
func (r *runner) isForeign(e msg.DescribeClientQuotasResponseEntryData) bool {
	return !slices.ContainsFunc(e.Entity, func(p msg.DescribeClientQuotasResponseEntityData) bool {
		return p.EntityName != nil && strings.HasPrefix(*p.EntityName, r.prefix)
	})
}

// body encodes a step.
func (r *runner) body(st step) []byte {
	s, known := r.schemas[st.Key]
	if !known {
		return nil
	}
	b := encode(s, st.Version, st.Body, r.env)
	b = b[:max(0, len(b)-st.Cut)]
	for _, x := range st.Extra {
		b = append(b, byte(x))
	}
	return b
}

// silent reports whether a step has no answer.
func (r *runner) silent(st step) bool {
	o, ok := st.Body.(object)
	return ok && st.Key == msg.KeyProduce && int16(r.number(o["Acks"])) == 0 && st.Cut == 0
}

// changes are the APIs that change metadata, which brokers apply some time later.
var changes = map[int16]bool{
	msg.KeyCreateTopics: true, msg.KeyDeleteTopics: true, msg.KeyCreatePartitions: true, msg.KeyAlterConfigs: true, msg.KeyIncrementalAlterConfigs: true,
	msg.KeyAlterClientQuotas: true, msg.KeyAlterUserScramCredentials: true, msg.KeyAlterPartitionReassignments: true,
	msg.KeyUpdateFeatures: true, msg.KeyElectLeaders: true,
}

// changed reports whether a step may change metadata.
func changed(st step) bool {
	o, _ := st.Body.(object)
	return changes[st.Key] && o["ValidateOnly"] != true || st.Key == msg.KeyMetadata && (st.Version < 4 || o["AllowAutoTopicCreation"] == true) && len(list(o["Topics"])) > 0
}

// prepare makes what sequences use.
func (r *runner) prepare() error {
	c, err := r.on()
	if err != nil {
		return err
	}
	req := &msg.CreateTopicsRequest{TimeoutMs: 30_000}
	for name, partitions := range map[string]int32{"t0": 3, "t1": 1, "c0": 1} {
		t := msg.CreateTopicsRequestCreatableTopic{Name: r.prefix + name, NumPartitions: partitions, ReplicationFactor: 1}
		if compact := "compact"; name == "c0" {
			t.Configs = []msg.CreateTopicsRequestCreatableTopicConfig{{Name: "cleanup.policy", Value: &compact}}
		}
		req.Topics = append(req.Topics, t)
	}
	answer, err := c.Ask(7, req)
	if err != nil {
		return err
	}
	for _, t := range answer.(*msg.CreateTopicsResponse).Topics {
		if t.ErrorCode != 0 {
			return fmt.Errorf("create %s: error %d", t.Name, t.ErrorCode)
		}
	}
	r.names.Render(answer)
	if err := r.fence.pass(); err != nil {
		return err
	}
	return r.fill(c)
}

// fill writes some records.
func (r *runner) fill(c *twin.Conn) error {
	for _, to := range []struct {
		topic   string
		records int
	}{{"t0", 3}, {"t0", 2}, {"t1", 1}} {
		one := msg.ProduceRequestPartitionProduceData{Records: r.batch(object{"n": to.records})}
		req := &msg.ProduceRequest{Acks: -1, TimeoutMs: 30_000, TopicData: []msg.ProduceRequestTopicProduceData{
			{Name: r.prefix + to.topic, PartitionData: []msg.ProduceRequestPartitionProduceData{one}}}}
		answer, err := c.Ask(9, req)
		if err != nil {
			return err
		}
		if code := answer.(*msg.ProduceResponse).Responses[0].PartitionResponses[0].ErrorCode; code != 0 {
			return fmt.Errorf("%s: write to %s: error %d", r.target.Name, to.topic, code)
		}
	}
	return nil
}

// fence tells when a broker has applied what it was told before: its controller decides in order, so a setting that is changed later shows later. Twice,
// because a broker shows a setting before it has done the rest of what came with it.
type fence struct {
	target     *twin.Target
	topic      string
	firstEpoch int32
	conn       *twin.Conn
	count      int
}

var errStuck = errors.New("what was changed does not show")

func newFence(target *twin.Target, prefix string) (*fence, error) {
	c, err := twin.Dial(target.Addr)
	if err != nil {
		return nil, err
	}
	f := &fence{target: target, topic: "d0-fence-" + prefix, conn: c}
	req := &msg.CreateTopicsRequest{TimeoutMs: 30_000, Topics: []msg.CreateTopicsRequestCreatableTopic{{Name: f.topic, NumPartitions: 1, ReplicationFactor: 1}}}
	if _, err := c.Ask(7, req); err != nil {
		return nil, err
	}
	if err := f.pass(); err != nil {
		return nil, err
	}
	name := f.topic
	answer, err := c.Ask(9, &msg.MetadataRequest{Topics: []msg.MetadataRequestMetadataRequestTopic{{Name: &name}}})
	if err != nil {
		return nil, err
	}
	topics := answer.(*msg.MetadataResponse).Topics
	if len(topics) != 1 || len(topics[0].Partitions) != 1 {
		return nil, errStuck
	}
	f.firstEpoch = topics[0].Partitions[0].LeaderEpoch
	return f, nil
}

func (f *fence) pass() error {
	for range 2 {
		if err := f.once(); err != nil {
			return fmt.Errorf("%s: %w", f.target.Name, err)
		}
	}
	return nil
}

func (f *fence) once() error {
	f.count++
	want := fmt.Sprint(1<<20 + f.count)
	alter := &msg.IncrementalAlterConfigsRequest{Resources: []msg.IncrementalAlterConfigsRequestAlterConfigsResource{{ResourceType: 2, ResourceName: f.topic,
		Configs: []msg.IncrementalAlterConfigsRequestAlterableConfig{{Name: "segment.bytes", ConfigOperation: 0, Value: &want}}}}}
	if _, err := f.conn.Ask(1, alter); err != nil {
		return err
	}
	read := &msg.DescribeConfigsRequest{Resources: []msg.DescribeConfigsRequestDescribeConfigsResource{{ResourceType: 2, ResourceName: f.topic, ConfigurationKeys: []string{"segment.bytes"}}}}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		answer, err := f.conn.Ask(4, read)
		if err != nil {
			return err
		}
		for _, res := range answer.(*msg.DescribeConfigsResponse).Results {
			for _, c := range res.Configs {
				if c.Value != nil && *c.Value == want {
					return nil
				}
			}
		}
	}
	return errStuck
}
