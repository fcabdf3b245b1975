package handle

// The APIs of streams groups (KIP-1071): StreamsGroupHeartbeat (88), 0; StreamsGroupDescribe (89), 0. Package group implements them; here they get to
// know who is asking, names of topics are looked at, and internal topics that a group needs are created on its behalf, if the client may do that.
//
// As in Kafka the answer that had topics created still says that they are missing; the next heartbeat finds them. Kafka tells with the following
// heartbeats what went wrong with one that cannot be created; here the answer waits for the creation, so it tells itself.

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sluice/broker/auth"
	"sluice/broker/group"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// streaming reports whether there are streams groups in this cluster.
func (h *Handler) streaming() bool {
	return FeatureLevel(h.opt.Control.Image(), "streams.version") >= 1
}

func (h *Handler) streamsGroupHeartbeat(c *call, req *msg.StreamsGroupHeartbeatRequest) {
	refuse := func(code kerr.Code, text string) {
		resp := new(msg.StreamsGroupHeartbeatResponse)
		resp.SetDefaults()
		resp.ErrorCode, resp.Status = int16(code), []msg.StreamsGroupHeartbeatResponseStatus{}
		if text != "" {
			resp.ErrorMessage = &text
		}
		c.reply(resp)
	}
	if !h.streaming() {
		refuse(kerr.UnsupportedVersion, "")
		return
	}
	if why := prohibited(streamsTopics(req.Topology)); why != "" {
		refuse(kerr.StreamsInvalidTopology, why)
		return
	}
	// What is needed of the session is taken here: the answer comes on another goroutine.
	unauthorized := func([]group.InternalTopic) []string { return nil }
	if a := h.authorizer(); a != nil {
		who, host := c.session.who, c.session.host
		unauthorized = func(topics []group.InternalTopic) (names []string) {
			if a.Allowed(who, host, auth.Create, auth.Cluster, auth.ClusterName) {
				return nil
			}
			for _, t := range topics {
				if !a.Allowed(who, host, auth.Create, auth.Topic, t.Name) {
					names = append(names, t.Name)
				}
			}
			return names
		}
	}
	ctx := c.Context()
	h.opt.Groups.StreamsGroupHeartbeat(c.caller(), req, func(resp *msg.StreamsGroupHeartbeatResponse, topics []group.InternalTopic) {
		if len(topics) == 0 {
			c.reply(resp)
			return
		}
		if names := unauthorized(topics); len(names) > 0 {
			tellMissing(resp, "; Unauthorized to CREATE on topics "+strings.Join(names, ", ")+".")
			c.reply(resp)
			return
		}
		go func() { // lives as long as the request
			if wrong := h.createInternal(ctx, topics); len(wrong) > 0 {
				tellMissing(resp, "; Creation failed: "+summarized(wrong)+".")
			}
			c.reply(resp)
		}()
	})
}

// streamsTopics are all topics of a topology.
func streamsTopics(t *msg.StreamsGroupHeartbeatRequestTopology) (names []string) {
	if t == nil {
		return nil
	}
	for _, s := range t.Subtopologies {
		names = append(append(names, s.SourceTopics...), s.RepartitionSinkTopics...)
		for _, t := range slices.Concat(s.RepartitionSourceTopics, s.StateChangelogTopics) {
			names = append(names, t.Name)
		}
	}
	return names
}

// prohibited says which topics an application may not have; empty if it may have them all.
func prohibited(names []string) string {
	var internal, invalid []string
	for _, name := range names {
		if isInternal(name) {
			internal = append(internal, name)
		} else if meta.CheckTopicName(name) != nil {
			invalid = append(invalid, name)
		}
	}
	switch {
	case len(internal) > 0:
		return fmt.Sprintf("Use of Kafka internal topics %s in a Kafka Streams topology is prohibited.", strings.Join(internal, ","))
	case len(invalid) > 0:
		return fmt.Sprintf("Topic names %s are not valid topic names.", strings.Join(invalid, ","))
	}
	return ""
}

// tellMissing adds to what the answer says of missing internal topics.
func tellMissing(resp *msg.StreamsGroupHeartbeatResponse, text string) {
	for i := range resp.Status {
		if s := &resp.Status[i]; s.StatusCode == group.StreamsMissingTopics {
			s.StatusDetail += text
		}
	}
}

// summarized names up to three failures.
func summarized(wrong []string) string {
	if len(wrong) <= 3 {
		return strings.Join(wrong, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(wrong[:3], ", "), len(wrong)-3)
}

// createInternal creates internal topics and says what went wrong. Another heartbeat may have been faster.
func (h *Handler) createInternal(ctx context.Context, topics []group.InternalTopic) (wrong []string) {
	var create []meta.NewTopic
	for _, t := range topics {
		asked := askedTopic{Name: t.Name, NumPartitions: t.Partitions, ReplicationFactor: -1}
		for k, v := range t.Configs {
			asked.Configs = append(asked.Configs, msg.CreateTopicsRequestCreatableTopicConfig{Name: k, Value: &v})
		}
		if topic, err := h.newTopic(&asked, false, false); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s (%v)", t.Name, err))
		} else {
			create = append(create, topic)
		}
	}
	if len(create) == 0 {
		return wrong
	}
	created, err := control.Do[meta.TopicsCreated](ctx, h.opt.Control, &meta.CreateTopics{Topics: create})
	if err != nil {
		h.log.Warn("cannot create a streams group's topics", "topics", len(create), "error", err)
		for _, t := range create {
			wrong = append(wrong, fmt.Sprintf("%s (%v)", t.Name, err))
		}
		return wrong
	}
	for i, t := range created.Topics {
		switch err := refusal(t.Err); {
		case err == nil:
			h.log.Info("created a topic of a streams group", "topic", create[i].Name, "partitions", create[i].Partitions)
		case codeOf(err) != kerr.TopicAlreadyExists:
			wrong = append(wrong, fmt.Sprintf("%s (%v)", create[i].Name, err))
		}
	}
	return wrong
}

func (h *Handler) streamsGroupDescribe(c *call, req *msg.StreamsGroupDescribeRequest) {
	if !h.streaming() {
		resp := new(msg.StreamsGroupDescribeResponse)
		for _, name := range req.GroupIds {
			out := add(&resp.Groups)
			out.GroupId, out.ErrorCode = name, int16(kerr.UnsupportedVersion)
		}
		c.reply(resp)
		return
	}
	h.opt.Groups.StreamsGroupDescribe(c.caller(), req, func(r *msg.StreamsGroupDescribeResponse) {
		for i := range r.Groups {
			out := &r.Groups[i]
			h.allowAll(c, req.IncludeAuthorizedOperations, out.ErrorCode, &out.AuthorizedOperations)
		}
		c.reply(r)
	})
}
