package handle

// Metadata (key 3), versions 0-13.
//
// A partition is shown with its leader, this node or another, only when the leader serves it, so a client is never sent to one that is not
// ready; until then it is LEADER_NOT_AVAILABLE. A topic that is created on demand is waited for, so that the first answer is a good one.
// Every partition has one replica, its leader: the bucket keeps the data.

import (
	"context"
	"slices"
	"time"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// settleMax is how long an answer is held back for new partitions to be served.
const settleMax = 2 * time.Second

// Operations a client may do where nobody is refused anything, as bits (KIP-430).
const (
	topicOperations   = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	groupOperations   = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11
	clusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
)

func (h *Handler) metadata(c *call, req *msg.MetadataRequest) *msg.MetadataResponse {
	if c.Version < 12 && slices.ContainsFunc(req.Topics, func(t askedByID) bool { return t.Name == nil || !t.TopicId.IsZero() }) {
		return idsTooEarly(req)
	}
	all := req.Topics == nil || c.Version == 0 && len(req.Topics) == 0
	if !all && h.opt.Config.AutoCreateTopics && (c.Version < 4 || req.AllowAutoTopicCreation) && !byID(req) {
		h.autoCreate(c.Context(), req)
	}
	img := h.opt.Control.Image()
	resp := new(msg.MetadataResponse)
	resp.SetDefaults()
	for _, n := range liveNodes(img) {
		b := add(&resp.Brokers)
		b.NodeId = int32(n.ID)
		b.Host, b.Port = endpoint(n, c.Listener())
		b.Rack = rack(n)
	}
	cluster := img.ClusterID().String()
	resp.ClusterId = &cluster
	resp.ControllerId = int32(h.controller(img))
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	if all {
		resp.Topics = slices.Grow(resp.Topics, img.TopicCount())
		for t := range img.Topics() {
			h.addTopic(resp, img, t, req.IncludeTopicAuthorizedOperations)
		}
		return resp
	}
	h.addAll(resp, img, req)
	return resp
}

// addAll adds the topics that were asked for, each once however often it was asked for. Where one is named by its id, names do not count, as in Kafka.
func (h *Handler) addAll(resp *msg.MetadataResponse, img *meta.Image, req *msg.MetadataRequest) {
	onlyIDs := byID(req)
	names, ids := map[string]bool{}, map[base.UUID]bool{}
	for i := range req.Topics {
		name, id := req.Topics[i].Name, req.Topics[i].TopicId
		switch {
		case onlyIDs && id.IsZero(), ids[id] && !id.IsZero(), id.IsZero() && name != nil && names[*name]:
			continue
		case id.IsZero() && name != nil:
			names[*name] = true
		default:
			ids[id] = true
		}
		h.addRequested(resp, img, name, id, req.IncludeTopicAuthorizedOperations)
	}
}

// byID reports whether a topic is named by its id.
func byID(req *msg.MetadataRequest) bool {
	return slices.ContainsFunc(req.Topics, func(t askedByID) bool { return !t.TopicId.IsZero() })
}

type askedByID = msg.MetadataRequestMetadataRequestTopic

// idsTooEarly refuses a request that asks by id in a version that has the field and not its meaning.
func idsTooEarly(req *msg.MetadataRequest) *msg.MetadataResponse {
	resp := new(msg.MetadataResponse)
	resp.SetDefaults()
	resp.ClusterId, resp.ControllerId = nil, -1
	for i := range req.Topics {
		t := add(&resp.Topics)
		t.TopicId, t.ErrorCode = req.Topics[i].TopicId, int16(kerr.InvalidRequest)
		if name := req.Topics[i].Name; name != nil {
			t.Name = name
		}
	}
	return resp
}

// addRequested adds the topic that was asked for by id, or by name if there is no id.
func (h *Handler) addRequested(resp *msg.MetadataResponse, img *meta.Image, name *string, id base.UUID, operations bool) {
	if name == nil || !id.IsZero() {
		if t, ok := img.TopicByID(id); ok {
			h.addTopic(resp, img, t, operations)
			return
		}
		t := add(&resp.Topics)
		t.Name, t.TopicId, t.ErrorCode = nil, id, int16(kerr.UnknownTopicID)
		return
	}
	if t, ok := img.TopicByName(*name); ok {
		h.addTopic(resp, img, t, operations)
		return
	}
	t := add(&resp.Topics)
	t.Name, t.ErrorCode = name, int16(kerr.UnknownTopicOrPartition)
	if r := meta.CheckTopicName(*name); r != nil {
		t.ErrorCode = int16(kerr.InvalidTopicException)
	}
	if operations { // of what is not there too, as Kafka does
		t.TopicAuthorizedOperations = topicOperations
	}
}

func (h *Handler) addTopic(resp *msg.MetadataResponse, img *meta.Image, topic meta.Topic, operations bool) {
	t := add(&resp.Topics)
	t.Name, t.TopicId, t.IsInternal = &topic.Name, topic.ID, isInternal(topic.Name)
	if operations {
		t.TopicAuthorizedOperations = topicOperations
	}
	t.Partitions = slices.Grow(t.Partitions, int(topic.Partitions))
	for p := range img.PartitionsOf(topic.ID) {
		e := add(&t.Partitions)
		leader, code := h.leader(img, p)
		e.PartitionIndex, e.ErrorCode = p.Index, int16(code)
		e.LeaderId, e.LeaderEpoch = int32(leader), int32(p.LeaderEpoch)
		e.ReplicaNodes, e.IsrNodes, e.OfflineReplicas = replicas(img, p)
	}
}

// leader returns who serves p, or that nobody does.
func (h *Handler) leader(img *meta.Image, p meta.Partition) (base.NodeID, kerr.Code) {
	n, ok := img.Node(p.Leader)
	if !ok || n.Fenced || p.State != meta.Serving || p.Leader == h.opt.Node.ID && !h.opt.Directory.Serves(p.Topic, p.Index) {
		return base.NoNode, kerr.LeaderNotAvailable
	}
	return p.Leader, kerr.None
}

// replicas returns the one replica, in sync if its node lives and offline if not.
func replicas(img *meta.Image, p meta.Partition) (all, inSync, offline []int32) {
	if p.Leader == base.NoNode {
		return nil, nil, nil
	}
	all = []int32{int32(p.Leader)}
	if n, ok := img.Node(p.Leader); !ok || n.Fenced {
		return all, nil, all
	}
	return all, all, nil
}

func liveNodes(img *meta.Image) (live []meta.Node) {
	for n := range img.Nodes() {
		if !n.Fenced {
			live = append(live, n)
		}
	}
	return live
}

// endpoint returns where clients of a listener reach a node.
func endpoint(n meta.Node, listener string) (host string, port int32) {
	for _, e := range n.Endpoints {
		if e.Name == listener {
			return e.Host, e.Port
		}
	}
	return "", -1
}

func rack(n meta.Node) *string {
	if n.Zone == "" {
		return nil
	}
	return &n.Zone
}

// controller returns a live node that takes administrative requests: every broker does, so it is this one if the controller's
// node is not known.
func (h *Handler) controller(img *meta.Image) base.NodeID {
	id := img.Controller().Node
	if n, ok := img.Node(id); ok && !n.Fenced {
		return id
	}
	return h.opt.Node.ID
}

func isInternal(topic string) bool {
	return topic == "__consumer_offsets" || topic == "__transaction_state" || topic == "__share_group_state"
}

// autoCreate creates the topics that were asked for by name and do not exist, and waits a moment for them to be served. What goes
// wrong shows in the answer: a topic that was not created is unknown.
func (h *Handler) autoCreate(ctx context.Context, req *msg.MetadataRequest) {
	img := h.opt.Control.Image()
	var missing []meta.NewTopic
	for i := range req.Topics {
		name := req.Topics[i].Name
		if name == nil || isInternal(*name) || *name == metadataTopic || meta.CheckTopicName(*name) != nil {
			continue
		}
		if _, ok := img.TopicByName(*name); !ok && !slices.ContainsFunc(missing, func(t meta.NewTopic) bool { return t.Name == *name }) {
			missing = append(missing, meta.NewTopic{Name: *name, Partitions: int32(h.opt.Config.NumPartitions)})
		}
	}
	if len(missing) == 0 {
		return
	}
	created, err := control.Do[meta.TopicsCreated](ctx, h.opt.Control, &meta.CreateTopics{Topics: missing})
	if err != nil {
		h.log.Warn("cannot create topics on demand", "topics", len(missing), "error", err)
		return
	}
	var ids []base.UUID
	for i, t := range created.Topics {
		if t.Err == nil {
			ids = append(ids, t.ID)
			h.log.Info("created a topic on demand", "topic", t.Name, "partitions", missing[i].Partitions)
		}
	}
	h.settle(ctx, ids, settleMax)
}

// settle waits until all partitions of the topics are served, at most for the given time.
func (h *Handler) settle(ctx context.Context, topics []base.UUID, most time.Duration) {
	h.waitUntil(ctx, most, func() bool { return h.settled(topics) })
}

// inForce waits until all that has been changed is in force on this node, at most settleMax: what a client does next meets what it has changed.
func (h *Handler) inForce(ctx context.Context) {
	pos := h.opt.Control.Image().Pos()
	h.waitUntil(ctx, settleMax, func() bool { return h.opt.Directory.Applied() >= pos })
}

// waitUntil waits until what follows from the image and the open partitions is so, at most for the given time.
func (h *Handler) waitUntil(ctx context.Context, most time.Duration, done func() bool) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		changed := h.opt.Directory.Changed()
		if done() {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// settled reports whether all partitions of the topics are served that a live node leads.
func (h *Handler) settled(topics []base.UUID) bool {
	img := h.opt.Control.Image()
	for _, id := range topics {
		for p := range img.PartitionsOf(id) {
			if n, ok := img.Node(p.Leader); !ok || n.Fenced {
				continue // that will take longer than anybody waits
			}
			if _, code := h.leader(img, p); code != kerr.None {
				return false
			}
		}
	}
	return true
}
