package handle

// ListPartitionReassignments (key 46), version 0. Moving a partition is one metadata record, so none is ever under way: the list
// is empty.

import "sluice/wire/msg"

func (h *Handler) listPartitionReassignments(*call, *msg.ListPartitionReassignmentsRequest) *msg.ListPartitionReassignmentsResponse {
	resp := new(msg.ListPartitionReassignmentsResponse)
	resp.SetDefaults()
	resp.ErrorMessage = nil
	return resp
}
