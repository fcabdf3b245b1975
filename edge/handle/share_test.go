package handle

import (
	"testing"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/broker/share"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// moved is where a partition was served until a moment ago.
type moved struct{}

func (moved) Get(base.UUID, int32) (*partition.Partition, error) {
	return nil, kerr.Errorf(kerr.NotLeaderOrFollower, "not here")
}

// noState keeps no state of share partitions; none is asked for.
type noState struct{ share.Store }

// TestShareLeaderUnknown: who asks the node that leads a partition no more, while nobody knows who will, is told that nobody knows. The fields that name the leader are 0
// where nothing is said, and a client went on asking a node 0 that there never was.
func TestShareLeaderUnknown(t *testing.T) {
	m := share.NewManager(share.Options{Directory: moved{}, Store: noState{}})
	defer m.Close()
	b := newBroker(t, 1, func(o *Options) { o.Shares = m })
	group, member := "g", "m"
	fetch, fetched := new(msg.ShareFetchRequest), new(msg.ShareFetchResponse)
	fetch.SetDefaults()
	fetch.GroupId, fetch.MemberId, fetch.MaxBytes, fetch.MaxRecords = &group, &member, 1<<20, 10
	topic := base.UUID{7}
	fetch.Topics = []msg.ShareFetchRequestFetchTopic{{TopicId: topic, Partitions: []msg.ShareFetchRequestFetchPartition{{}}}}
	b.ask(2, fetch, fetched)
	p := fetched.Responses[0].Partitions[0]
	if kerr.Code(p.ErrorCode) != kerr.NotLeaderOrFollower || p.CurrentLeader.LeaderId != -1 || p.CurrentLeader.LeaderEpoch != -1 {
		t.Errorf("fetch: %v, leader %+v", kerr.Code(p.ErrorCode), p.CurrentLeader)
	}
	ack, acked := new(msg.ShareAcknowledgeRequest), new(msg.ShareAcknowledgeResponse)
	ack.SetDefaults()
	ack.GroupId, ack.MemberId, ack.ShareSessionEpoch = &group, &member, 1
	ack.Topics = []msg.ShareAcknowledgeRequestAcknowledgeTopic{{TopicId: topic, Partitions: []msg.ShareAcknowledgeRequestAcknowledgePartition{{
		AcknowledgementBatches: []msg.ShareAcknowledgeRequestAcknowledgementBatch{{AcknowledgeTypes: []int8{1}}},
	}}}}
	b.ask(2, ack, acked)
	a := acked.Responses[0].Partitions[0]
	if kerr.Code(a.ErrorCode) != kerr.NotLeaderOrFollower || a.CurrentLeader.LeaderId != -1 || a.CurrentLeader.LeaderEpoch != -1 {
		t.Errorf("acknowledge: %v, leader %+v", kerr.Code(a.ErrorCode), a.CurrentLeader)
	}
}
