package handle

// AlterPartitionReassignments (key 45), versions 0-1.
//
// A partition is moved to the first replica of the list; the others are checked and then have no effect, as everywhere: the bucket
// keeps the copies. Moving is naming another leader, no data is copied. Null instead of a list calls a move off that has not been
// handed over yet. A node that is fenced is refused at once, where Kafka would wait for it.

import (
	"context"
	"slices"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

type askedReassignment = msg.AlterPartitionReassignmentsRequestReassignablePartition

func (h *Handler) alterPartitionReassignments(c *call, req *msg.AlterPartitionReassignmentsRequest) *msg.AlterPartitionReassignmentsResponse {
	resp := new(msg.AlterPartitionReassignmentsResponse)
	resp.SetDefaults()
	if len(req.Topics) == 0 {
		return resp
	}
	resp.ErrorMessage, resp.AllowReplicationFactorChange = nil, req.AllowReplicationFactorChange
	resp.Responses = make([]msg.AlterPartitionReassignmentsResponseReassignableTopicResponse, len(req.Topics))
	img := h.opt.Control.Image()
	var moves []meta.PartitionLeader
	type place struct{ topic, partition int } // in resp
	where := map[place]int{}                  // of moves
	last := map[meta.PartitionID]int{}        // of moves: of a partition that is asked for twice the last wish counts
	for i := range req.Topics {
		out := &resp.Responses[i]
		out.Name = req.Topics[i].Name
		for _, asked := range req.Topics[i].Partitions {
			p := add(&out.Partitions)
			p.PartitionIndex = asked.PartitionIndex
			move, err := reassignment(img, out.Name, asked, req.AllowReplicationFactorChange)
			p.ErrorCode, p.ErrorMessage = int16(codeOf(err)), messageOf(err)
			if err == nil {
				at, again := last[move.Partition]
				if !again {
					at, last[move.Partition] = len(moves), len(moves)
					moves = append(moves, move)
				}
				moves[at], where[place{i, len(out.Partitions) - 1}] = move, at
			}
		}
	}
	errs := h.move(c.Context(), moves)
	for at, i := range where {
		p := &resp.Responses[at.topic].Partitions[at.partition]
		p.ErrorCode, p.ErrorMessage = int16(codeOf(errs[i])), messageOf(errs[i])
	}
	if len(moves) > 0 {
		h.log.Info("moves of partitions were asked for", "partitions", len(moves), "client", c.client)
	}
	return resp
}

// reassignment checks one wish and says what it means.
func reassignment(img *meta.Image, topic string, asked askedReassignment, mayResize bool) (meta.PartitionLeader, error) {
	var move meta.PartitionLeader
	t, ok := img.TopicByName(topic)
	if !ok {
		return move, kerr.Errorf(kerr.UnknownTopicOrPartition, "Unable to find a topic named %s.", topic)
	}
	p, ok := img.Partition(t.ID, asked.PartitionIndex)
	if !ok {
		return move, kerr.Errorf(kerr.UnknownTopicOrPartition, "Unable to find partition %s:%d.", topic, asked.PartitionIndex)
	}
	move.Partition = meta.PartitionID{Topic: t.ID, Index: p.Index}
	if asked.Replicas == nil {
		if p.Target == base.NoNode {
			return move, kerr.Errorf(kerr.NoReassignmentInProgress, "No partition reassignment is in progress.")
		}
		move.Leader = p.Leader
		return move, nil
	}
	if len(asked.Replicas) == 0 {
		return move, kerr.Errorf(kerr.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
	}
	for i, id := range asked.Replicas {
		if _, ok := img.Node(base.NodeID(id)); !ok {
			return move, kerr.Errorf(kerr.InvalidReplicaAssignment, "The manual partition assignment includes broker %d, but no such broker is registered.", id)
		}
		if slices.Contains(asked.Replicas[:i], id) {
			return move, kerr.Errorf(kerr.InvalidReplicaAssignment, "The manual partition assignment includes the broker %d more than once.", id)
		}
	}
	if !mayResize && len(asked.Replicas) != 1 {
		return move, kerr.Errorf(kerr.InvalidReplicationFactor, "The replication factor is changed from 1 to %d", len(asked.Replicas))
	}
	move.Leader = base.NodeID(asked.Replicas[0])
	return move, nil
}

// move asks the controller for moves, as many commands as it takes, and returns what became of each.
func (h *Handler) move(ctx context.Context, moves []meta.PartitionLeader) []error {
	errs := make([]error, 0, len(moves))
	for chunk := range slices.Chunk(moves, meta.MaxCommandPartitions) {
		res, err := control.Do[meta.Outcomes](ctx, h.opt.Control, &meta.MovePartitions{Partitions: chunk})
		for i := range chunk {
			if err == nil {
				errs = append(errs, refusal(res.Errs[i]))
			} else {
				errs = append(errs, err)
			}
		}
	}
	return errs
}
