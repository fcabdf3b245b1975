package handle

import (
	"reflect"
	"testing"

	"sluice/base"
	"sluice/broker/auth"
	"sluice/edge/kafka"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// Whoever adds an API says who may use it: a line in guards, by Kafka's rules. Without one it is refused to all but super users when there is an
// authorizer.
func TestEveryAPIHasAGuard(t *testing.T) {
	for key := range apis {
		if _, ok := guards[key]; !ok {
			t.Errorf("%s has no line in guards (guards.go): say which operation on which resource it takes", msg.Name(key))
		}
	}
}

// gateOf is a gate for alice, who may write and read topic "mine" and use group "g", and nothing else.
func gateOf(key, version int16) *gate {
	allow := func(kind auth.ResourceType, name string, op auth.Operation) auth.ACL {
		return auth.ACL{Pattern: auth.Pattern{Type: kind, Pattern: auth.Literal, Name: name}, Principal: "User:alice", Host: "*", Operation: op, Permission: auth.Allow}
	}
	a := auth.Compile([]auth.ACL{
		allow(auth.Topic, "mine", auth.Read), allow(auth.Topic, "mine", auth.Write), allow(auth.Group, "g", auth.Read), allow(auth.TransactionalID, "t", auth.Write),
	}, nil, false)
	c := &call{Request: &kafka.Request{Key: key, Version: version}, session: &session{who: "User:alice", host: "h", open: true}}
	return &gate{New(Options{}), c, a}
}

func TestGuardsTakeOutAndPutBack(t *testing.T) {
	g := gateOf(msg.KeyProduce, 9)
	req := &msg.ProduceRequest{Acks: -1, TopicData: []msg.ProduceRequestTopicProduceData{
		{Name: "theirs", PartitionData: []msg.ProduceRequestPartitionProduceData{{Index: 3}}}, {Name: "mine"},
	}}
	if answer := guards[msg.KeyProduce](g, req); answer != nil || len(req.TopicData) != 1 || req.TopicData[0].Name != "mine" || !g.c.denied {
		t.Fatalf("what is left to produce: %+v, %v", req.TopicData, answer)
	}
	resp := new(msg.ProduceResponse)
	for _, change := range g.c.after {
		change(resp)
	}
	if len(resp.Responses) != 1 || resp.Responses[0].Name != "theirs" || resp.Responses[0].PartitionResponses[0].ErrorCode != topicRefused || resp.Responses[0].PartitionResponses[0].Index != 3 {
		t.Errorf("what was put back: %+v", resp.Responses)
	}
	id := "other"
	answer := guards[msg.KeyProduce](gateOf(msg.KeyProduce, 9), &msg.ProduceRequest{TransactionalId: &id, TopicData: []msg.ProduceRequestTopicProduceData{{Name: "mine", PartitionData: make([]msg.ProduceRequestPartitionProduceData, 1)}}})
	if r, ok := answer.(*msg.ProduceResponse); !ok || r.Responses[0].PartitionResponses[0].ErrorCode != txnRefused {
		t.Errorf("another's transactional id: %+v", answer)
	}
}

func TestGuardsOfGroupsAndTransactions(t *testing.T) {
	for _, group := range []string{"g", "h"} {
		answer := guards[msg.KeyJoinGroup](gateOf(msg.KeyJoinGroup, 9), &msg.JoinGroupRequest{GroupId: group})
		if r, refused := answer.(*msg.JoinGroupResponse); refused != (group == "h") || refused && r.ErrorCode != groupRefused {
			t.Errorf("join %s: %+v", group, answer)
		}
	}
	commit := &msg.OffsetCommitRequest{GroupId: "g", Topics: []committedTopic{{Name: "theirs", Partitions: make([]msg.OffsetCommitRequestOffsetCommitRequestPartition, 2)}}}
	answer := guards[msg.KeyOffsetCommit](gateOf(msg.KeyOffsetCommit, 9), commit)
	if r, ok := answer.(*msg.OffsetCommitResponse); !ok || len(r.Topics) != 1 || r.Topics[0].Partitions[1].ErrorCode != topicRefused {
		t.Errorf("commit for another's topic: %+v", answer)
	}
	both := &msg.AddPartitionsToTxnRequest{V3AndBelowTransactionalId: "t", V3AndBelowTopics: []addedTopic{{Name: "mine", Partitions: []int32{0}}, {Name: "theirs", Partitions: []int32{0}}}}
	answer = guards[msg.KeyAddPartitionsToTxn](gateOf(msg.KeyAddPartitionsToTxn, 3), both)
	r, ok := answer.(*msg.AddPartitionsToTxnResponse)
	if !ok || r.ResultsByTopicV3AndBelow[0].ResultsByPartition[0].PartitionErrorCode != int16(kerr.OperationNotAttempted) || r.ResultsByTopicV3AndBelow[1].ResultsByPartition[0].PartitionErrorCode != topicRefused {
		t.Errorf("a transaction with another's topic: %+v", answer)
	}
}

// Requests that take the cluster are refused as a whole, in an answer that can be sent.
func TestGuardsOfTheCluster(t *testing.T) {
	for _, key := range []int16{msg.KeyDescribeAcls, msg.KeyDescribeLogDirs, msg.KeyElectLeaders, msg.KeyAlterPartitionReassignments, msg.KeyListPartitionReassignments,
		msg.KeyDescribeQuorum, msg.KeyUpdateFeatures, msg.KeyUnregisterBroker, msg.KeyListConfigResources, msg.KeyDescribeUserScramCredentials, msg.KeyDescribeClientQuotas} {
		row, _ := msg.Lookup(key)
		for v := row.Min; v <= row.Max; v++ {
			answer := guards[key](gateOf(key, v), nil)
			if answer == nil || answer.APIKey() != key || reflect.ValueOf(answer).Elem().FieldByName("ErrorCode").Int() != int64(clusterRefused) {
				t.Errorf("%s version %d: %+v", msg.Name(key), v, answer)
				continue
			}
			answer.Append(nil, v)
		}
	}
}

// TestReadableByID: an id that no topic has, none included, is not a topic that the client may not read; an empty name is.
func TestReadableByID(t *testing.T) {
	b := newBroker(t, 1)
	theirs := b.topic("theirs", 1)
	for _, tc := range []struct {
		key, version int16
		name         string
		id           base.UUID
		want         bool
	}{
		{msg.KeyFetch, 12, "", base.UUID{}, false},
		{msg.KeyFetch, 12, "mine", base.UUID{}, true},
		{msg.KeyFetch, 13, "", base.UUID{}, true},
		{msg.KeyFetch, 13, "", base.NewUUID(), true},
		{msg.KeyFetch, 13, "", theirs, false},
		{msg.KeyShareFetch, 1, "", base.UUID{}, true},
		{msg.KeyShareFetch, 1, "", theirs, false},
	} {
		g := gateOf(tc.key, tc.version)
		h := New(Options{Control: b.ctl, Security: &Security{Authorizer: func() *auth.Authorizer { return g.a }}})
		if got := h.readable(g.c)(tc.name, tc.id); got != tc.want {
			t.Errorf("key %d version %d, %q, %v: %v", tc.key, tc.version, tc.name, tc.id, got)
		}
	}
}

// TestDeletionOfWhatIsMissing: who may describe a topic is told that it is missing, and who may not is told nothing; to delete it is another right.
func TestDeletionOfWhatIsMissing(t *testing.T) {
	b := newBroker(t, 1)
	b.topic("mine", 1)
	other := newBroker(t, 1)
	for _, tc := range []struct {
		name string
		on   *broker
		want kerr.Code
	}{
		{"mine", b, kerr.TopicAuthorizationFailed},
		{"mine", other, kerr.UnknownTopicOrPartition},
		{"theirs", other, kerr.TopicAuthorizationFailed},
	} {
		g := gateOf(msg.KeyDeleteTopics, 5)
		g.h = New(Options{Control: tc.on.ctl})
		guardDeleteTopics(g, &msg.DeleteTopicsRequest{TopicNames: []string{tc.name}})
		resp := new(msg.DeleteTopicsResponse)
		for _, fn := range g.c.after {
			fn(resp)
		}
		if len(resp.Responses) != 1 || kerr.Code(resp.Responses[0].ErrorCode) != tc.want {
			t.Errorf("%s: %+v, want %v", tc.name, resp.Responses, tc.want)
		}
	}
}

// TestUnreadableSharesHaveNoLeader: a refusal for another's topic names nobody as its leader either, see TestShareLeaderUnknown.
func TestUnreadableSharesHaveNoLeader(t *testing.T) {
	b := newBroker(t, 1)
	theirs, group := b.topic("theirs", 1), "g"
	g := gateOf(msg.KeyShareFetch, 2)
	g.h = New(Options{Control: b.ctl})
	fetch := &msg.ShareFetchRequest{GroupId: &group, Topics: []msg.ShareFetchRequestFetchTopic{{TopicId: theirs, Partitions: make([]msg.ShareFetchRequestFetchPartition, 1)}}}
	ack := &msg.ShareAcknowledgeRequest{GroupId: &group, Topics: []msg.ShareAcknowledgeRequestAcknowledgeTopic{{TopicId: theirs, Partitions: make([]msg.ShareAcknowledgeRequestAcknowledgePartition, 1)}}}
	if refused := guardShareFetch(g, fetch); refused != nil || len(fetch.Topics) != 0 {
		t.Fatalf("fetch: %+v", refused)
	}
	fetched, acked := new(msg.ShareFetchResponse), new(msg.ShareAcknowledgeResponse)
	g.c.after[0](fetched)
	if refused := guardShareAcknowledge(g, ack); refused != nil || len(ack.Topics) != 0 {
		t.Fatalf("acknowledge: %+v", refused)
	}
	g.c.after[1](acked)
	if p := fetched.Responses[0].Partitions[0]; p.ErrorCode != topicRefused || p.CurrentLeader.LeaderId != -1 || p.CurrentLeader.LeaderEpoch != -1 {
		t.Errorf("fetch: %+v", p)
	}
	if p := acked.Responses[0].Partitions[0]; p.ErrorCode != topicRefused || p.CurrentLeader.LeaderId != -1 || p.CurrentLeader.LeaderEpoch != -1 {
		t.Errorf("acknowledge: %+v", p)
	}
}
