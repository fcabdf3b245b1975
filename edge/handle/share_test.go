package handle

import (
	"testing"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/broker/share"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// refusing is a directory of partitions none of which is served.
type refusing kerr.Code

func (r refusing) Get(base.UUID, int32) (*partition.Partition, error) {
	return nil, kerr.Errorf(kerr.Code(r), "not here")
}

// noState keeps no state of share partitions; none is asked for.
type noState struct{ share.Store }

// TestShareLeaderUnknown: who is refused while nobody knows of a leader is told that nobody knows, whatever the refusal is for. The fields that name the leader are 0
// where nothing is said, and clients take that for a node 0, which there need not be: they went on asking it for ever.
func TestShareLeaderUnknown(t *testing.T) {
	for _, code := range []kerr.Code{kerr.NotLeaderOrFollower, kerr.CoordinatorNotAvailable} {
		t.Run(code.String(), func(t *testing.T) { shareLeaderUnknown(t, code) })
	}
}

func shareLeaderUnknown(t *testing.T, code kerr.Code) {
	m := share.NewManager(share.Options{Directory: refusing(code), Store: noState{}})
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
	if kerr.Code(p.ErrorCode) != code || p.CurrentLeader.LeaderId != -1 || p.CurrentLeader.LeaderEpoch != -1 {
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
	if kerr.Code(a.ErrorCode) != code || a.CurrentLeader.LeaderId != -1 || a.CurrentLeader.LeaderEpoch != -1 {
		t.Errorf("acknowledge: %v, leader %+v", kerr.Code(a.ErrorCode), a.CurrentLeader)
	}
}
