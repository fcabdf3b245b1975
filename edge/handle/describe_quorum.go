package handle

// DescribeQuorum (key 55), versions 0-2.
//
// There is no quorum: the metadata log lies in the bucket, and put-if-absent decides. What Kafka's tools ask for is told in its words.
// The leader is the controller's node under the controller's epoch, the high watermark is the position of the image, voters are the
// nodes that may become controller (all that are not fenced), observers are the fenced ones. Positions of other nodes are those that
// this node knows of (Options.Follower); without them, those that they last reported. Listeners are the nodes' PEER endpoints, for
// that is where metadata travels. Every broker answers, from its own image.

import (
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// metadataTopic is what Kafka calls its metadata log.
const metadataTopic = "__cluster_metadata"

// Follower says how far a node has followed the metadata log.
type Follower struct {
	Pos        base.MetaPos
	FetchMS    int64 // when it was last heard of, in Unix milliseconds; -1: not known
	CaughtUpMS int64 // when it last had everything; -1: not known
}

func (h *Handler) describeQuorum(_ *call, req *msg.DescribeQuorumRequest) *msg.DescribeQuorumResponse {
	resp := new(msg.DescribeQuorumResponse)
	resp.SetDefaults()
	if len(req.Topics) != 1 || req.Topics[0].TopicName != metadataTopic || len(req.Topics[0].Partitions) != 1 || req.Topics[0].Partitions[0].PartitionIndex != 0 {
		noSuchQuorum(resp, req)
		return resp
	}
	img := h.opt.Control.Image()
	t := add(&resp.Topics)
	t.TopicName = metadataTopic
	p := add(&t.Partitions)
	p.LeaderId, p.LeaderEpoch, p.HighWatermark = int32(img.Controller().Node), int32(img.Controller().Epoch), int64(img.Pos())
	for n := range img.Nodes() {
		if n.Fenced {
			*add(&p.Observers) = h.replicaState(img, n)
			continue
		}
		*add(&p.CurrentVoters) = h.replicaState(img, n)
		out := add(&resp.Nodes)
		out.NodeId = int32(n.ID)
		for _, e := range n.Endpoints {
			if e.Name == meta.PeerEndpoint {
				l := add(&out.Listeners)
				l.Name, l.Host, l.Port = e.Name, e.Host, uint16(e.Port)
			}
		}
	}
	return resp
}

// noSuchQuorum answers for every partition that was asked for that there is no quorum of that name.
func noSuchQuorum(resp *msg.DescribeQuorumResponse, req *msg.DescribeQuorumRequest) {
	for i := range req.Topics {
		t := add(&resp.Topics)
		t.TopicName = req.Topics[i].TopicName
		for _, asked := range req.Topics[i].Partitions {
			p := add(&t.Partitions)
			text := "the only quorum is that of partition 0 of " + metadataTopic + ", asked for alone"
			p.PartitionIndex, p.ErrorCode, p.ErrorMessage = asked.PartitionIndex, int16(kerr.UnknownTopicOrPartition), &text
		}
	}
}

// replicaState says how far n has followed the metadata log. Its directory is its incarnation: what distinguishes one process that
// had that id from the next.
func (h *Handler) replicaState(img *meta.Image, n meta.Node) (s msg.DescribeQuorumResponseReplicaState) {
	s.SetDefaults()
	s.ReplicaId, s.ReplicaDirectoryId = int32(n.ID), n.Incarnation
	if n.ID == h.opt.Node.ID || n.ID == img.Controller().Node {
		now := time.Now().UnixMilli()
		s.LogEndOffset, s.LastFetchTimestamp, s.LastCaughtUpTimestamp = int64(img.Pos()), now, now
		return s
	}
	s.LogEndOffset = int64(n.Applied)
	if h.opt.Follower != nil {
		if f, ok := h.opt.Follower(n.ID); ok {
			s.LogEndOffset, s.LastFetchTimestamp, s.LastCaughtUpTimestamp = int64(f.Pos), f.FetchMS, f.CaughtUpMS
		}
	}
	return s
}
