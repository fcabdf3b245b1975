package handle

// CreatePartitions (key 37), versions 0-3. Of a manual assignment the first replica of each new partition becomes its leader.

import (
	"slices"
	"time"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func (h *Handler) createPartitions(c *call, req *msg.CreatePartitionsRequest) *msg.CreatePartitionsResponse {
	resp := new(msg.CreatePartitionsResponse)
	resp.SetDefaults()
	counts := map[string]int{}
	for i := range req.Topics {
		counts[req.Topics[i].Name]++
	}
	once(&req.Topics, func(t *msg.CreatePartitionsRequestCreatePartitionsTopic) string { return t.Name })
	var grow []meta.MorePartitions
	var where []int
	for i := range req.Topics {
		asked := &req.Topics[i]
		out := add(&resp.Results)
		out.Name = asked.Name
		more, err := h.morePartitions(asked, counts[asked.Name] > 1)
		if err == nil && !req.ValidateOnly {
			topic, _ := h.opt.Control.Image().TopicByID(more.Topic.ID)
			err = c.mutate(3, int(more.Count-topic.Partitions))
		}
		if err != nil {
			out.ErrorCode, out.ErrorMessage = int16(codeOf(err)), messageOf(err)
			continue
		}
		grow, where = append(grow, more), append(where, i)
	}
	if len(grow) == 0 {
		return resp
	}
	res, err := control.Do[meta.Outcomes](c.Context(), h.opt.Control, &meta.CreatePartitions{Topics: grow, ValidateOnly: req.ValidateOnly})
	var grown []base.UUID
	for i, at := range where {
		failed := err
		if err == nil {
			failed = refusal(res.Errs[i])
		}
		if failed != nil {
			resp.Results[at].ErrorCode, resp.Results[at].ErrorMessage = int16(codeOf(failed)), messageOf(failed)
			continue
		}
		grown = append(grown, grow[i].Topic.ID)
	}
	if !req.ValidateOnly {
		h.settle(c.Context(), grown, min(time.Duration(max(req.TimeoutMs, 0))*time.Millisecond, settleMax))
	}
	return resp
}

func sorted(ids []int32) []int32 {
	slices.Sort(ids)
	return ids
}

// morePartitions checks what was asked for.
func (h *Handler) morePartitions(asked *msg.CreatePartitionsRequestCreatePartitionsTopic, duplicate bool) (more meta.MorePartitions, err error) {
	topic, ok := h.opt.Control.Image().TopicByName(asked.Name)
	switch {
	case duplicate:
		return more, kerr.Errorf(kerr.InvalidRequest, "Duplicate topic name.")
	case !ok:
		return more, kerr.UnknownTopicOrPartition.Err()
	case asked.Count == topic.Partitions:
		return more, kerr.Errorf(kerr.InvalidPartitions, "Topic already has %d partition(s).", asked.Count)
	case asked.Count < topic.Partitions:
		return more, kerr.Errorf(kerr.InvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.", asked.Name, topic.Partitions, asked.Count)
	case asked.Assignments != nil && len(asked.Assignments) != int(asked.Count-topic.Partitions):
		return more, kerr.Errorf(kerr.InvalidReplicaAssignment, "Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", asked.Count-topic.Partitions, len(asked.Assignments))
	}
	more = meta.MorePartitions{Topic: meta.TopicRef{ID: topic.ID}, Count: asked.Count}
	for _, a := range asked.Assignments {
		if len(a.BrokerIds) == 0 || a.BrokerIds[0] < 0 {
			return more, kerr.Errorf(kerr.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
		}
		if all := sorted(slices.Clone(a.BrokerIds)); len(slices.Compact(all)) < len(a.BrokerIds) {
			return more, kerr.Errorf(kerr.InvalidReplicaAssignment, "The manual partition assignment includes a replica twice.")
		}
		more.Leaders = append(more.Leaders, base.NodeID(a.BrokerIds[0]))
	}
	return more, nil
}
