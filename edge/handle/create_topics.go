package handle

// CreateTopics (key 19), versions 2-7.
//
// Any replication factor from 1 is accepted and reported as 1: the bucket keeps the data, and clients' defaults say 3. Of a manual
// assignment the first replica of each partition becomes its leader; the others are checked and then have no effect. Names that differ only in dot and underscore are allowed,
// which Kafka refuses for the sake of its metrics.

import (
	"context"
	"slices"
	"time"

	"sluice/base"
	"sluice/broker/lead"
	"sluice/broker/topicconfig"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func (h *Handler) createTopics(c *call, req *msg.CreateTopicsRequest) *msg.CreateTopicsResponse {
	resp := new(msg.CreateTopicsResponse)
	resp.SetDefaults()
	resp.Topics = slices.Grow(resp.Topics, len(req.Topics))
	excess := h.tooManyPartitions(req)
	counts := map[string]int{}
	for i := range req.Topics {
		counts[req.Topics[i].Name]++
	}
	var taken map[string]bool
	var unclear error
	if excess == nil {
		taken, unclear = h.taken(c.Context(), req.Topics)
	}
	var create []meta.NewTopic
	var where []int // in resp, of the topics in create
	for i := range req.Topics {
		asked := &req.Topics[i]
		if counts[asked.Name] == 0 {
			continue // a duplicate that has been answered
		}
		out := add(&resp.Topics)
		out.Name, out.ErrorMessage, out.Configs = asked.Name, nil, []msg.CreateTopicsResponseCreatableTopicConfigs{}
		topic, err := meta.NewTopic{}, excess
		if err == nil {
			topic, err = h.newTopic(asked, counts[asked.Name] > 1, taken[asked.Name])
		}
		counts[asked.Name] = 0
		if err == nil && h.known(asked.Name) {
			err = unclear
		}
		if err == nil && !req.ValidateOnly && !h.known(asked.Name) {
			err = c.mutate(6, int(topic.Partitions))
		}
		if err != nil {
			out.ErrorCode, out.ErrorMessage = int16(codeOf(err)), messageOf(err)
			continue
		}
		create, where = append(create, topic), append(where, len(resp.Topics)-1)
	}
	if len(create) == 0 {
		return resp
	}
	res, err := control.Do[meta.TopicsCreated](c.Context(), h.opt.Control, &meta.CreateTopics{Topics: create, ValidateOnly: req.ValidateOnly})
	var made []base.UUID
	for i, at := range where {
		out := &resp.Topics[at]
		failed := err
		if err == nil {
			failed = refusal(res.Topics[i].Err)
		}
		if failed != nil {
			out.ErrorCode, out.ErrorMessage = int16(codeOf(failed)), messageOf(failed)
			continue
		}
		out.TopicId, out.NumPartitions, out.ReplicationFactor = res.Topics[i].ID, create[i].Partitions, 1
		out.Configs = h.createdConfigs(create[i].Configs)
		made = append(made, res.Topics[i].ID)
		if !req.ValidateOnly {
			h.log.Info("created a topic", "topic", out.Name, "partitions", out.NumPartitions, "client", c.client)
		}
	}
	if !req.ValidateOnly {
		h.settle(c.Context(), made, min(time.Duration(max(req.TimeoutMs, 0))*time.Millisecond, settleMax))
	}
	return resp
}

// partitionsMax is how many partitions one request may ask for, as in Kafka. Each topic of the answer has some forty settings.
const partitionsMax = 10_000

// tooManyPartitions refuses all topics of a request together.
func (h *Handler) tooManyPartitions(req *msg.CreateTopicsRequest) error {
	all := 0
	for i := range req.Topics {
		switch t := &req.Topics[i]; {
		case len(t.Assignments) > 0:
			all += len(t.Assignments)
		case t.NumPartitions == -1:
			all += h.opt.Config.NumPartitions
		default:
			all += int(max(t.NumPartitions, 0))
		}
	}
	if all > partitionsMax {
		return kerr.Errorf(kerr.PolicyViolation, "Excessively large number of partitions per request.")
	}
	return nil
}

type askedTopic = msg.CreateTopicsRequestCreatableTopic

// newTopic checks what was asked for: a topic whose name is asked for twice in one request, or is taken, or neither.
func (h *Handler) newTopic(asked *askedTopic, duplicate, taken bool) (meta.NewTopic, error) {
	t := meta.NewTopic{Name: asked.Name, Partitions: asked.NumPartitions}
	if duplicate {
		return t, kerr.Errorf(kerr.InvalidRequest, "Duplicate topic name.")
	}
	if asked.Name == metadataTopic {
		return t, kerr.Errorf(kerr.InvalidRequest, "Creation of internal topic %s is prohibited.", metadataTopic)
	}
	if r := meta.CheckTopicName(asked.Name); r != nil {
		return t, r
	}
	if taken { // before anything else is looked at
		return t, kerr.Errorf(kerr.TopicAlreadyExists, "Topic '%s' already exists.", asked.Name)
	}
	configs := map[string]string{}
	for _, kv := range asked.Configs {
		if kv.Value == nil {
			return t, kerr.Errorf(kerr.InvalidConfig, "Null value not supported for topic configs: %s", kv.Name)
		}
		configs[kv.Name] = *kv.Value
	}
	if err := topicconfig.Validate(configs); err != nil {
		return t, kerr.Errorf(kerr.InvalidConfig, "%v", err)
	}
	if len(configs) > 0 {
		t.Configs = configs
	}
	if len(asked.Assignments) > 0 {
		return t, h.assign(&t, asked)
	}
	if asked.ReplicationFactor == 0 || asked.ReplicationFactor < -1 {
		return t, kerr.Errorf(kerr.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	}
	switch {
	case t.Partitions == -1:
		t.Partitions = int32(h.opt.Config.NumPartitions)
	case t.Partitions < 1:
		return t, kerr.Errorf(kerr.InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	return t, nil
}

// taken says which of the names that are asked for topics have. What this broker's image has may have been deleted, and the deletion answered, elsewhere: one question
// to the controller brings the image up to date. Of names that this broker does not know the command will tell.
func (h *Handler) taken(ctx context.Context, asked []askedTopic) (map[string]bool, error) {
	question := &meta.CreateTopics{ValidateOnly: true}
	for i := range asked {
		if name := asked[i].Name; h.known(name) {
			question.Topics = append(question.Topics, meta.NewTopic{Name: name, Partitions: 1})
		}
	}
	if len(question.Topics) == 0 {
		return nil, nil
	}
	res, err := control.Do[meta.TopicsCreated](ctx, h.opt.Control, question)
	if err != nil {
		return nil, err
	}
	taken := map[string]bool{}
	for i, t := range question.Topics {
		refused := res.Topics[i].Err
		taken[t.Name] = refused != nil && refused.Code == meta.TopicExists
	}
	return taken, nil
}

// assign takes the leaders of a manual assignment.
func (h *Handler) assign(t *meta.NewTopic, asked *askedTopic) error {
	switch {
	case asked.ReplicationFactor != -1:
		return kerr.Errorf(kerr.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
	case asked.NumPartitions != -1:
		return kerr.Errorf(kerr.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
	}
	t.Partitions = int32(len(asked.Assignments))
	leaders := map[int32]base.NodeID{}
	replicas := len(asked.Assignments[0].BrokerIds)
	for _, a := range asked.Assignments {
		if _, again := leaders[a.PartitionIndex]; again {
			return kerr.Errorf(kerr.InvalidReplicaAssignment, "Found multiple manual partition assignments for partition %d", a.PartitionIndex)
		}
		if err := h.checkReplicas(a.BrokerIds); err != nil {
			return err
		}
		if n := len(a.BrokerIds); n != replicas {
			return kerr.Errorf(kerr.InvalidReplicaAssignment, "The manual partition assignment includes a partition with %d replica(s), "+
				"but this is not consistent with previous partitions, which have %d replica(s).", n, replicas)
		}
		leaders[a.PartitionIndex] = base.NodeID(a.BrokerIds[0])
	}
	for i := range t.Partitions {
		leader, ok := leaders[i]
		if !ok {
			return kerr.Errorf(kerr.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
		t.Leaders = append(t.Leaders, leader)
	}
	return nil
}

// checkReplicas checks a partition's replicas. Whether the first is a broker that lives is for the controller to say; the others have no effect.
func (h *Handler) checkReplicas(ids []int32) error {
	if len(ids) == 0 {
		return kerr.Errorf(kerr.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
	}
	sorted := slices.Sorted(slices.Values(ids))
	for i, id := range sorted {
		_, known := h.opt.Control.Image().Node(base.NodeID(id))
		switch {
		case !known && (id < 0 || id != ids[0]):
			return kerr.Errorf(kerr.InvalidReplicaAssignment, "The manual partition assignment includes broker %d, but no such broker is registered.", id)
		case i > 0 && id == sorted[i-1]:
			return kerr.Errorf(kerr.InvalidReplicaAssignment, "The manual partition assignment includes the broker %d more than once.", id)
		}
	}
	return nil
}

// createdConfigs returns all settings of a topic with these overrides; those that Kafka does not have, or does not show, only if they are set.
func (h *Handler) createdConfigs(overrides map[string]string) []msg.CreateTopicsResponseCreatableTopicConfigs {
	broker := lead.BrokerConfigs(h.opt.Control.Image(), h.opt.Node.ID)
	out := make([]msg.CreateTopicsResponseCreatableTopicConfigs, 0, len(topicconfig.Topic()))
	for _, def := range topicconfig.Topic() {
		v := def.Resolve(overrides, broker)
		if _, set := overrides[def.Name]; !set && (def.Hidden() || def.Own()) {
			continue
		}
		e := add(&out)
		e.Name, e.Value, e.ConfigSource, e.IsSensitive = def.Name, &v.Value, int8(v.Source), def.Sensitive()
	}
	return out
}
