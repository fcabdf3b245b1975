package handle

// ListPartitionReassignments (key 46), version 0. A move is listed from when it was asked for until the old leader has handed the
// partition over: replicas are both nodes, one of them added, the other removed. Topics and partitions that do not exist, or are
// not moving, are left out, as in Kafka.

import (
	"slices"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/wire/msg"
)

func (h *Handler) listPartitionReassignments(_ *call, req *msg.ListPartitionReassignmentsRequest) *msg.ListPartitionReassignmentsResponse {
	resp := new(msg.ListPartitionReassignmentsResponse)
	resp.SetDefaults()
	resp.ErrorMessage = nil
	img := h.opt.Control.Image()
	if req.Topics == nil {
		for t := range img.Topics() {
			addMoving(resp, t.Name, slices.Collect(img.PartitionsOf(t.ID)))
		}
		return resp
	}
	for i := range req.Topics {
		t, ok := img.TopicByName(req.Topics[i].Name)
		if !ok {
			continue
		}
		var asked []meta.Partition
		for _, index := range req.Topics[i].PartitionIndexes {
			if p, ok := img.Partition(t.ID, index); ok {
				asked = append(asked, p)
			}
		}
		addMoving(resp, t.Name, asked)
	}
	return resp
}

// addMoving adds those of a topic's partitions that are moving.
func addMoving(resp *msg.ListPartitionReassignmentsResponse, topic string, parts []meta.Partition) {
	parts = slices.DeleteFunc(parts, func(p meta.Partition) bool { return p.Target == base.NoNode })
	if len(parts) == 0 {
		return
	}
	t := add(&resp.Topics)
	t.Name = topic
	for _, p := range parts {
		out := add(&t.Partitions)
		from, to := int32(p.Leader), int32(p.Target)
		out.PartitionIndex, out.Replicas, out.AddingReplicas, out.RemovingReplicas = p.Index, []int32{to, from}, []int32{to}, []int32{from}
	}
}
