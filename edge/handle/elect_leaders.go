package handle

// ElectLeaders (key 43), versions 0-2.
//
// A partition has one replica, its leader, so the preferred leader leads whenever anybody does: ELECTION_NOT_NEEDED. A partition whose
// leader is gone is given to a live node as soon as all that was acknowledged is in the bucket; the controller does that by itself, and
// an election, of either type, only asks for it now. While the WAL of the old leader has not been rescued nothing can be elected, for
// no election here loses records: there is no unclean one.

import (
	"context"
	"slices"

	"sluice/base"
	"sluice/cluster/balance"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// Types of election.
const (
	preferredElection int8 = 0
	uncleanElection   int8 = 1
)

func (h *Handler) electLeaders(c *call, req *msg.ElectLeadersRequest) *msg.ElectLeadersResponse {
	resp := new(msg.ElectLeadersResponse)
	resp.SetDefaults()
	img, all := h.opt.Control.Image(), req.TopicPartitions == nil
	if req.ElectionType != preferredElection && req.ElectionType != uncleanElection && (all || len(req.TopicPartitions) > 0) {
		resp.ErrorCode = int16(kerr.InvalidRequest)
	} else if all {
		for t := range img.Topics() {
			asked := msg.ElectLeadersRequestTopicPartitions{Topic: t.Name}
			for i := range t.Partitions {
				asked.Partitions = append(asked.Partitions, i)
			}
			req.TopicPartitions = append(req.TopicPartitions, asked)
		}
	}
	elected := h.elect(c.Context(), img, orphansOf(img, req), req.ElectionType)
	for _, asked := range req.TopicPartitions {
		out := add(&resp.ReplicaElectionResults)
		out.Topic = asked.Topic
		for _, index := range asked.Partitions {
			id, err := electable(img, asked.Topic, index, req.ElectionType)
			if was, ok := elected[id]; ok {
				err = was
			}
			if all && codeOf(err) == kerr.ElectionNotNeeded {
				continue
			}
			p := add(&out.PartitionResult)
			p.PartitionId, p.ErrorCode, p.ErrorMessage = index, int16(codeOf(err)), messageOf(err)
		}
	}
	return resp
}

// orphansOf returns those of the partitions asked for that need a leader and can be given one.
func orphansOf(img *meta.Image, req *msg.ElectLeadersRequest) (out []meta.PartitionID) {
	seen := map[meta.PartitionID]bool{}
	for _, asked := range req.TopicPartitions {
		for _, index := range asked.Partitions {
			if id, err := electable(img, asked.Topic, index, req.ElectionType); err == nil && !seen[id] {
				seen[id], out = true, append(out, id)
			}
		}
	}
	return out
}

// electable says why no leader can be elected for a partition, nil if one can.
func electable(img *meta.Image, topic string, index int32, electionType int8) (id meta.PartitionID, err error) {
	if electionType != preferredElection && electionType != uncleanElection {
		return id, kerr.Errorf(kerr.InvalidRequest, "Unknown election type %d", electionType)
	}
	t, ok := img.TopicByName(topic)
	if !ok {
		return id, kerr.Errorf(kerr.UnknownTopicOrPartition, "No such topic as %s", topic)
	}
	p, ok := img.Partition(t.ID, index)
	if !ok {
		return id, kerr.Errorf(kerr.UnknownTopicOrPartition, "No such partition as %s-%d", topic, index)
	}
	id = meta.PartitionID{Topic: t.ID, Index: index}
	if n, ok := img.Node(p.Leader); ok && !n.Fenced {
		return id, kerr.ElectionNotNeeded.Err()
	}
	for _, stream := range []base.StreamID{p.Data, p.Meta} {
		if s, _ := img.Stream(stream); s.State != meta.Closed {
			return id, kerr.Errorf(noLeader(electionType), "Node %d was the leader, and what it had not uploaded has not been rescued yet", s.Owner)
		}
	}
	return id, nil
}

// noLeader is the code for a partition that cannot be led by anybody.
func noLeader(electionType int8) kerr.Code {
	if electionType == uncleanElection {
		return kerr.EligibleLeadersNotAvailable
	}
	return kerr.PreferredLeaderNotAvailable
}

// elect gives the partitions to live nodes and returns what became of each.
func (h *Handler) elect(ctx context.Context, img *meta.Image, orphans []meta.PartitionID, electionType int8) map[meta.PartitionID]error {
	out := map[meta.PartitionID]error{}
	for _, id := range orphans {
		out[id] = kerr.Errorf(noLeader(electionType), "No node lives that could lead it")
	}
	if len(orphans) == 0 {
		return out
	}
	for chunk := range slices.Chunk(balance.Spread(img, nil, orphans), meta.MaxCommandPartitions) {
		res, err := control.Do[meta.Outcomes](ctx, h.opt.Control, &meta.AssignPartitions{Partitions: chunk})
		for i, p := range chunk {
			if out[p.Partition] = err; err == nil {
				out[p.Partition] = refusal(res.Errs[i])
			}
		}
	}
	return out
}
